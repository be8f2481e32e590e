local c = BuildmasterConfig
local Rack = worker.AbstractLatentWorker:extend("RackWorker")
function Rack:start_instance(build) return { "unit", "7" } end
function Rack:stop_instance(handle, fast) end
c.workers = { Rack{ "one" }, Rack{ "two" } }
c.builders = {
  util.BuilderConfig{ name = "b", workernames = { "one", "two" }, factory = util.BuildFactory{ steps.ShellCommand{ command = "true" } } },
}
c.schedulers = { schedulers.ForceScheduler{ name = "f", builderNames = { "b" } } }

--[==[ told
warning: master.lua:2: 'worker.AbstractLatentWorker' is now 'LatentWorker'
  --> master.lua:2
   | 2 | local Rack = worker.AbstractLatentWorker:extend("RackWorker")
warning: master.lua:5: RackWorker "one": RackWorker has no list_instances: a machine whose start was interrupted (the master died, the call failed half way) can't be found again, so start_instance is called again with the same self.launch_id, and what is left over is never stopped
  --> master.lua:5
   | 5 | c.workers = { Rack{ "one" }, Rack{ "two" } }
. is good: 2 workers, 1 builders, 1 schedulers
exit 0
]==]
