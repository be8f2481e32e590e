local c = BuildmasterConfig
c.workers = { LocalWorker{ "linux" } }
local Check = steps.ShellCommand:extend("Check")
function Check:evalauteCommand(cmd) return util.SUCCESS end
local f = util.BuildFactory{ steps.ShellCommand{ command = "make" } }
c.builders = { util.BuilderConfig{ name = "b", workernames = { "linux" }, factory = f } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "b" } } }

--[==[ told
warning: master.lua:4: Check: the method 'evalauteCommand' overrides nothing (did you mean 'evaluateCommand'?)
  --> master.lua:4
   | 4 | function Check:evalauteCommand(cmd) return util.SUCCESS end
. is good: 1 workers, 1 builders, 1 schedulers
exit 0
]==]
