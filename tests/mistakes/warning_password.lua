-- mode: 644
local c = BuildmasterConfig
c.protocols = { pb = { port = 9989 } }
c.workers = { Worker{ "linux", "sekrit" } }
local f = util.BuildFactory{ steps.ShellCommand{ command = "make" } }
c.builders = { util.BuilderConfig{ name = "b", workernames = { "linux" }, factory = f } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "b" } } }

--[==[ told
warning: master.lua:4: a password stands here, and others may read this file: chmod o-r, or read it from a file of its own
  --> master.lua:4
   | 4 | c.workers = { Worker{ "linux", "sekrit" } }
. is good: 1 workers, 1 builders, 1 schedulers
exit 0
]==]
