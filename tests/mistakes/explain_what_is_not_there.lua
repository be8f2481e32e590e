-- checkconfig: --explain bb
local c = BuildmasterConfig
c.workers = { LocalWorker{ "linux" } }
local f = util.BuildFactory{ steps.ShellCommand{ command = "make" } }
c.builders = { util.BuilderConfig{ name = "b", workernames = { "linux" }, factory = f } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "b" } } }

--[==[ told
buildmoon: there is no builder 'bb' (did you mean 'b'?)
exit 1
]==]
