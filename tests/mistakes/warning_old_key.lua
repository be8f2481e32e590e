local c = BuildmasterConfig
c.slaves = { LocalWorker{ "linux" } }
local f = util.BuildFactory{ steps.ShellCommand{ command = "make" } }
c.builders = { util.BuilderConfig{ name = "b", workernames = { "linux" }, factory = f } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "b" } } }
c.slavePortnum = 9989

--[==[ told
warning: master.lua:2: BuildmasterConfig: 'slaves' is the old spelling of 'workers'
  --> master.lua:2
   | 2 | c.slaves = { LocalWorker{ "linux" } }
warning: master.lua:6: BuildmasterConfig: 'slavePortnum' is the old spelling of protocols = { pb = { port = … } }
  --> master.lua:6
   | 6 | c.slavePortnum = 9989
. is good: 1 workers, 1 builders, 1 schedulers
exit 0
]==]
