-- breaks: start
-- says: the handle must be plain data
-- A handle must outlive the master.
local Rack = require("base")
local Broken = Rack:extend("HandleOfFunctions")
function Broken:start_instance(build)
  local id = Rack.start_instance(self, build).handle
  return { handle = { stop = function() Rack.stop_instance(self, id) end } }
end

BuildmasterConfig.workers = { Broken{ "unit" } }
