-- checkconfig: --explain b
local c = BuildmasterConfig
c.workers = { LocalWorker{ "linux" } }
local f = util.BuildFactory{ steps.ShellCommand{ command = "make" } }
c.builders = { util.BuilderConfig{ name = "b", workernames = { "linux" }, factory = f } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "b" } } }

--[==[ told
builder b (master.lua:5)
  folder b on the workers
  workers
    linux  LocalWorker  master.lua:3
  schedulers
    force  ForceScheduler  master.lua:6
  factory BuildFactory (master.lua:4)
  steps
    shell  ShellCommand  master.lua:4
exit 0
]==]
