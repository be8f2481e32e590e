local c = BuildmasterConfig
c.title = 5
c.www = { port = 99999 }
c.workers = { LocalWorker{ "linux" }, LocalWorker{ "linux" } }
local f = util.BuildFactory{ steps.ShellCommand{ command = "make" } }
c.builders = { util.BuilderConfig{ name = "b", workernames = { "linus" }, factory = f } }

--[==[ told
master.lua:4: LocalWorker "linux": the name is taken by LocalWorker "linux" (master.lua:4) already
  --> master.lua:4
   | 4 | c.workers = { LocalWorker{ "linux" }, LocalWorker{ "linux" } }
master.lua:6: BuilderConfig "b": workernames names 'linus', which is no worker (did you mean 'linux'?)
  --> master.lua:6
   | 6 | c.builders = { util.BuilderConfig{ name = "b", workernames = { "linus" }, factory = f } }
master.lua:2: BuildmasterConfig: 'title' must be text, got 5
  --> master.lua:2
   | 2 | c.title = 5
master.lua:3: BuildmasterConfig.www: 'port' must be a port from 0 to 65535, got 99999
  --> master.lua:3
   | 3 | c.www = { port = 99999 }
4 mistakes
exit 1
]==]
