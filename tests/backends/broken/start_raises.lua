-- breaks: start
-- says: answered 404
-- Asks for what the rack does not have.
local Broken = require("base"):extend("StartRaises")
function Broken:start_instance(build)
  http.post(self.rack_url .. "/bot", { check = true, json = { name = self.name } })
end

BuildmasterConfig.workers = { Broken{ "unit" } }
