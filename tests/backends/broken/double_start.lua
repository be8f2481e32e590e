-- breaks: double_start, interrupted_start
-- says: 2 instances run for one launch
-- Each start asks for a unit of its own, whatever was started for the launch before.
local Rack = require("base")
local Broken = Rack:extend("SecondStartStartsAnother")
function Broken:start_instance(build)
  local unit = http.post(self.rack_url .. "/boot", { check = true, json = { name = self.name, launch_id = self.launch_id .. "-" .. random.hex(4), owner = self.master_id } })
  return { handle = unit.json.id }
end
function Broken:list_instances()
  return list.map(Rack.list_instances(self), function(unit) return { handle = unit.handle, launch_id = unit.launch_id:match("^[^-]*") } end)
end

BuildmasterConfig.workers = { Broken{ "unit" } }
