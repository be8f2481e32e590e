local c = BuildmasterConfig
c.workers = { LocalWorker{ "linux", notify_on_missing = "ops@example.com" } }
local f = util.BuildFactory{ steps.ShellCommand{ command = "make" } }
c.builders = { util.BuilderConfig{ name = "b", workernames = { "linux" }, factory = f } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "b" } } }

--[==[ told
. is good: 1 workers, 1 builders, 1 schedulers
exit 0
]==]
