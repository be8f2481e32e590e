local c = BuildmasterConfig
c.workers = { LocalWorker{ "linux" } }
local f = util.BuildFactory{ steps.ShellCommand{ command = "make" } }
c.builders = { util.BuilderConfig{ name = "b", slavenames = { "linux" }, factory = f } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "b" } } }

--[==[ told
warning: master.lua:4: BuilderConfig "b": 'slavenames' is the old spelling of 'workernames'
  --> master.lua:4
   | 4 | c.builders = { util.BuilderConfig{ name = "b", slavenames = { "linux" }, factory = f } }
. is good: 1 workers, 1 builders, 1 schedulers
exit 0
]==]
