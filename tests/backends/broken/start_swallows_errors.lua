-- breaks: start_fails
-- says: as if something had been started
-- Gives a handle of nothing when the rack does not answer.
local Rack = require("base")
local Broken = Rack:extend("StartSwallowsErrors")
function Broken:start_instance(build)
  local ok, started = pcall(Rack.start_instance, self, build)
  return ok and started or { handle = "none" }
end

BuildmasterConfig.workers = { Broken{ "unit" } }
