local c = BuildmasterConfig
local Rack = worker.AbstractLatentWorker:extend("RackWorker")
function Rack:start_instance(build) return { "unit", "7" } end
function Rack:stop_instance(handle, fast) end
c.workers = { Rack{ "one" }, Rack{ "two" } }
c.builders = {
  util.BuilderConfig{ name = "b", workernames = { "one", "two" }, factory = util.BuildFactory{ steps.ShellCommand{ command = "true" } } },
}
c.schedulers = { schedulers.ForceScheduler{ name = "f", builderNames = { "b" } } }
