-- checkconfig: --strict
local c = BuildmasterConfig
c.workers = { LocalWorker{ "linux" } }
c.builders = { util.BuilderConfig{ name = "b", workernames = { "linux" }, factory = util.BuildFactory{
  steps.Compile{ warningPattern = None, maxWarnCount = 5, suppressionList = { { "lib/", None } } },
} } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "b" } } }

--[==[ told
master.lua:5: Compile: 'maxWarnCount' has no effect: without 'warningPattern' no line is a warning
  --> master.lua:5
   | 5 |   steps.Compile{ warningPattern = None, maxWarnCount = 5, suppressionList = { { "lib/", None } } },
master.lua:5: Compile: 'suppressionList' has no effect: without 'warningPattern' no line is a warning
  --> master.lua:5
   | 5 |   steps.Compile{ warningPattern = None, maxWarnCount = 5, suppressionList = { { "lib/", None } } },
2 mistakes
exit 1
]==]
