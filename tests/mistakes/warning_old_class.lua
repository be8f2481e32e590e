local c = BuildmasterConfig
local function older() return BuildSlave{ "x", "pw" } end
c.workers = { LocalBuildSlave{ "linux" } }
local f = util.BuildFactory{ steps.ShellCommand{ command = "make" } }
c.builders = { util.BuilderConfig{ name = "b", workernames = { "linux" }, factory = f } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "b" } } }

--[==[ told
warning: master.lua:3: 'LocalBuildSlave' is now 'LocalWorker'
  --> master.lua:3
   | 3 | c.workers = { LocalBuildSlave{ "linux" } }
warning: master.lua:2: 'BuildSlave' is now 'Worker'
  --> master.lua:2
   | 2 | local function older() return BuildSlave{ "x", "pw" } end
. is good: 1 workers, 1 builders, 1 schedulers
exit 0
]==]
