local c = BuildmasterConfig
c.workers = { LocalWorker{ "linux" } }
local f = util.BuildFactory{ steps.ShellCommand{ command = "make" } }
c.builders = {
  { name = "good", workername = "linux", factory = f },
  { name = "bad", workername = "linus", factori = f },
}

--[==[ told
master.lua:7: BuilderConfig "bad": unknown argument 'factori' (did you mean 'factory'?)
  --> master.lua:7
   | 7 | }
master.lua:7: BuilderConfig "bad": missing argument 'factory'
  --> master.lua:7
   | 7 | }
master.lua:7: BuilderConfig "bad": workername names 'linus', which is no worker (did you mean 'linux'?)
  --> master.lua:7
   | 7 | }
3 mistakes
exit 1
]==]
