local c = BuildmasterConfig
c.workers = { LocalWorker{ "linux" }, LocalWorker{ "spare" } }
local f = util.BuildFactory{ steps.ShellCommand{ command = "make" } }
c.builders = { util.BuilderConfig{ name = "b", workernames = { "linux" }, factory = f } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "b" } } }

--[==[ told
warning: master.lua:2: LocalWorker "spare": no builder uses it
  --> master.lua:2
   | 2 | c.workers = { LocalWorker{ "linux" }, LocalWorker{ "spare" } }
. is good: 2 workers, 1 builders, 1 schedulers
exit 0
]==]
