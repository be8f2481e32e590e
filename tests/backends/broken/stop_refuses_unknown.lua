-- breaks: stop_again
-- says: the rack has no unit
-- What is gone already would be stopped again and again.
local Broken = require("base"):extend("StopRefusesUnknown")
function Broken:stop_instance(handle, fast)
  if http.delete(self.rack_url .. "/units/" .. handle).status == 404 then error("the rack has no unit " .. handle) end
end

BuildmasterConfig.workers = { Broken{ "unit" } }
