local c = BuildmasterConfig
c.workers = { LocalWorker{ "linux" } }
local f = util.BuildFactory{ steps.ShellCommand{ command = "make" } }
c.builders = { util.BuilderConfig{ name = "b", workernames = { "linux" } } }

--[==[ told
master.lua:4: BuilderConfig "b": missing argument 'factory'
  --> master.lua:4
   | 4 | c.builders = { util.BuilderConfig{ name = "b", workernames = { "linux" } } }
1 mistake
exit 1
]==]
