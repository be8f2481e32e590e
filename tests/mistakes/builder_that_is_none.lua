local c = BuildmasterConfig
c.workers = { LocalWorker{ "linux" } }
local f = util.BuildFactory{ steps.ShellCommand{ command = "make" } }
c.builders = { util.BuilderConfig{ name = "runtests", workernames = { "linux" }, factory = f } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "runtest" } } }

--[==[ told
master.lua:5: ForceScheduler "force": builderNames names 'runtest', which is no builder (did you mean 'runtests'?)
  --> master.lua:5
   | 5 | c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "runtest" } } }
1 mistake
exit 1
]==]
