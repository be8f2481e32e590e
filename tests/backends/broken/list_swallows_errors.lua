-- breaks: list_fails
-- says: what it does not list counts as gone, so it must raise
-- What could not be asked for is not gone.
local Rack = require("base")
local Broken = Rack:extend("ListSwallowsErrors")
function Broken:list_instances()
  local ok, units = pcall(Rack.list_instances, self)
  return ok and units or {}
end

BuildmasterConfig.workers = { Broken{ "unit" } }
