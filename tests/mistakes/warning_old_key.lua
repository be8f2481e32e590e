local c = BuildmasterConfig
c.slaves = { LocalWorker{ "linux" } }
local f = util.BuildFactory{ steps.ShellCommand{ command = "make" } }
c.builders = { util.BuilderConfig{ name = "b", workernames = { "linux" }, factory = f } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "b" } } }
c.slavePortnum = 9989

--[==[ told
warning: master.lua: BuildmasterConfig: 'slaves' is the old spelling of 'workers'
warning: master.lua: BuildmasterConfig: 'slavePortnum' is the old spelling of protocols = { pb = { port = … } }
. is good: 1 workers, 1 builders, 1 schedulers
exit 0
]==]
