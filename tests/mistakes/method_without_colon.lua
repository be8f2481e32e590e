local c = BuildmasterConfig
local f = util.BuildFactory()
f.addStep(steps.ShellCommand{ command = "make" })

--[==[ told
master.lua:3: write f:addStep(…) and f:addSteps{ … } with a colon, f being the factory
  --> master.lua:3
   | 3 | f.addStep(steps.ShellCommand{ command = "make" })
1 mistake
exit 1
]==]
