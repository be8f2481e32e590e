local c = BuildmasterConfig
c.workers = { Worker{ "linux", "pw" } }
local f = util.BuildFactory{ steps.ShellCommand{ command = "make" } }
c.builders = { util.BuilderConfig{ name = "b", workernames = { "linux" }, factory = f } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "b" } } }

--[==[ told
warning: master.lua: BuildmasterConfig: Worker "linux" can't connect: protocols has no pb port
. is good: 1 workers, 1 builders, 1 schedulers
exit 0
]==]
