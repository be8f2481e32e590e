local c = BuildmasterConfig
c.workers = { LocalWorker{ "linux" } }
local f = util.BuildFactory{ steps.ShellCommand{ command = "make" } }
c.builders = { util.BuilderConfig{ name = "b", workernames = { "linux" }, factory = f } }

--[==[ told
warning: master.lua:4: BuilderConfig "b": no scheduler starts it
  --> master.lua:4
   | 4 | c.builders = { util.BuilderConfig{ name = "b", workernames = { "linux" }, factory = f } }
. is good: 1 workers, 1 builders, 0 schedulers
exit 0
]==]
