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

--[==[ told
master.lua:8: RackWorker: missing argument 'rack_url'
  --> master.lua:8
   | 8 |   Rack{ "one", size = util.Interpolate("%(prop:size)s") },
master.lua:9: RackWorker: 'rack_url' must be string, got 5
  --> master.lua:9
   | 9 |   Rack{ "two", rack_url = 5 },
master.lua:8: RackWorker "one": has no stop_instance: write function RackWorker:stop_instance(handle, fast) … end
  --> master.lua:8
   | 8 |   Rack{ "one", size = util.Interpolate("%(prop:size)s") },
master.lua:9: RackWorker "two": has no stop_instance: write function RackWorker:stop_instance(handle, fast) … end
  --> master.lua:9
   | 9 |   Rack{ "two", rack_url = 5 },
master.lua:10: HalfWorker "three": unknown argument 'rack'
  --> master.lua:10
   | 10 |   Half{ "three", rack = "r" },
master.lua:10: HalfWorker "three": has no start_instance: write function HalfWorker:start_instance(build) … return { handle = … } end
  --> master.lua:10
   | 10 |   Half{ "three", rack = "r" },
master.lua:11: LatentWorker "four": starts nothing by itself: write LatentWorker:extend("Name") with start_instance and stop_instance, and use that class
  --> master.lua:11
   | 11 |   LatentWorker{ "four" },
warning: master.lua:4: RackWorker: the method 'stop_instanc' overrides nothing (did you mean 'stop_instance'?)
  --> master.lua:4
   | 4 | function Rack:stop_instanc(handle, fast) end
7 mistakes
exit 1
]==]
