local c = BuildmasterConfig
c.workers = { LocalWorker{ "linux", notify_on_missing = "ops@example.com" } }
local f = util.BuildFactory{ steps.ShellCommand{ command = "make" } }
c.builders = { util.BuilderConfig{ name = "b", workernames = { "linux" }, factory = f } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "b" } } }

--[==[ told
warning: master.lua:2: LocalWorker "linux": 'notify_on_missing' has no effect: a worker inside the master is never missing
  --> master.lua:2
   | 2 | c.workers = { LocalWorker{ "linux", notify_on_missing = "ops@example.com" } }
. is good: 1 workers, 1 builders, 1 schedulers
exit 0
]==]
