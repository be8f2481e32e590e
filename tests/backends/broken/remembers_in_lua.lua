-- breaks: stop, lost_handle
-- says: stop_instance failed
-- What it needs to stop an instance is gone with the master that started it.
local Rack = require("base")
local Broken = Rack:extend("RemembersInLua")
function Broken:start_instance(build)
  self.unit = Rack.start_instance(self, build).handle
  return { handle = "the unit" }
end
function Broken:stop_instance(handle, fast) Rack.stop_instance(self, self.unit, fast) end
function Broken:check_instance(handle) return true end

BuildmasterConfig.workers = { Broken{ "unit" } }
