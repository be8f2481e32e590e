local c = BuildmasterConfig
local Rack = LatentWorker:extend("RackWorker", { args = { rack_url = "string", size = "string?", on_start = "function?" } })
function Rack:start_instance(build) end
function Rack:stop_instanc(handle, fast) end
local Half = LatentWorker:extend("HalfWorker")
function Half:stop_instance(handle) end
c.workers = {
  Rack{ "one", size = util.Interpolate("%(prop:size)s") },
  Rack{ "two", rack_url = 5 },
  Half{ "three", rack = "r" },
  LatentWorker{ "four" },
}
