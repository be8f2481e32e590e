-- A backend that keeps every promise, for a rack that answers under $RACK. The files beside it break one each.
local Rack = LatentWorker:extend("RackWorker", { args = { rack_url = { "string", default = os.getenv("RACK") } } })

local function ask(self, method, path, json)
  local answer = http.request{ method = method, url = self.rack_url .. path, json = json, timeout = 20 }
  if answer.status >= 300 and answer.status ~= 404 then error("the rack answered " .. answer.status) end
  return answer
end

function Rack:start_instance(build)
  local unit = ask(self, "POST", "/boot", { name = self.name, password = self.password, launch_id = self.launch_id, owner = self.master_id })
  return { handle = unit.json.id, status = { "unit", unit.json.id } }
end

function Rack:stop_instance(handle, fast) ask(self, "DELETE", "/units/" .. handle) end

function Rack:check_instance(handle)
  if ask(self, "GET", "/units/" .. handle).status == 404 then return false, "the rack has no such unit" end
  return true
end

function Rack:list_instances() return ask(self, "GET", "/units?owner=" .. self.master_id).json end

return Rack
