-- breaks: stop_fails
-- says: a healthy instance would be stopped, so it must raise
-- Takes a rack that does not answer for a unit that is dead.
local Rack = require("base")
local Broken = Rack:extend("CheckCondemns")
function Broken:check_instance(handle)
  local ok, good = pcall(Rack.check_instance, self, handle)
  if ok and good then return true end
  return false, "the unit does not answer"
end

BuildmasterConfig.workers = { Broken{ "unit" } }
