-- breaks: nothing
-- says: it has no list_instances: what is left over after a crash is never stopped
-- Works, and can't find what it lost. (Where starts are cut off, the rack finds the launch.)
local Broken = LatentWorker:extend("NoList", { args = { rack_url = { "string", default = os.getenv("RACK") } } })
function Broken:start_instance(build)
  return { handle = http.post(self.rack_url .. "/boot", { check = true, json = { name = self.name, launch_id = self.launch_id, owner = self.master_id } }).json.id }
end
function Broken:stop_instance(handle) http.delete(self.rack_url .. "/units/" .. handle) end

BuildmasterConfig.workers = { Broken{ "unit" } }
