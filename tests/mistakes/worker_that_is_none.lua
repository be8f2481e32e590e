local c = BuildmasterConfig
c.workers = { LocalWorker{ "linux" } }
local f = util.BuildFactory{ steps.ShellCommand{ command = "make" } }
c.builders = { util.BuilderConfig{ name = "b", workernames = { "linus" }, factory = f } }

--[==[ told
master.lua:4: BuilderConfig "b": workernames names 'linus', which is no worker (did you mean 'linux'?)
  --> master.lua:4
   | 4 | c.builders = { util.BuilderConfig{ name = "b", workernames = { "linus" }, factory = f } }
1 mistake
exit 1
]==]
