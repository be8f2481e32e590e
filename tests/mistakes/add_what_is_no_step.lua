local c = BuildmasterConfig
local f = util.BuildFactory()
f:addStep("make")
f:addStep(steps.ShellCommand)

--[==[ told
master.lua:3: BuildFactory: addStep needs a step, got "make"
  --> master.lua:3
   | 3 | f:addStep("make")
master.lua:4: BuildFactory: addStep needs a step, got the class itself: call it
  --> master.lua:4
   | 4 | f:addStep(steps.ShellCommand)
2 mistakes
exit 1
]==]
