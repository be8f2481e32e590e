-- breaks: stop_fails
-- says: it returned as if the instance were gone: the instance would run for ever
-- A rack that can't be reached has not stopped anything.
local Rack = require("base")
local Broken = Rack:extend("StopSwallowsErrors")
function Broken:stop_instance(handle, fast) pcall(Rack.stop_instance, self, handle, fast) end

BuildmasterConfig.workers = { Broken{ "unit" } }
