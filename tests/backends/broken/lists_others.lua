-- breaks: own_only
-- says: another master would list it
-- Marks its units as its own kind's, not as this master's.
local Broken = require("base"):extend("ListsOthers")
function Broken:start_instance(build)
  return { handle = http.post(self.rack_url .. "/boot", { check = true, json = { name = self.name, launch_id = self.launch_id, owner = "buildmoon" } }).json.id }
end
function Broken:list_instances() return http.get(self.rack_url .. "/units?owner=buildmoon", { check = true }).json end

BuildmasterConfig.workers = { Broken{ "unit" } }
