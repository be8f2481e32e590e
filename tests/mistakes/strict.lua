-- checkconfig: --strict
local c = BuildmasterConfig
c.workers = { LocalWorker{ "linux" } }
local f = util.BuildFactory{ steps.ShellCommand{ command = "make" } }
c.builders = { util.BuilderConfig{ name = "b", workernames = { "linux" }, factory = f } }

--[==[ told
master.lua:5: BuilderConfig "b": no scheduler starts it
  --> master.lua:5
   | 5 | c.builders = { util.BuilderConfig{ name = "b", workernames = { "linux" }, factory = f } }
1 mistake
exit 1
]==]
