local c = BuildmasterConfig
local f = util.BuildFactory()
f:addStep(steps.ShelCommand{ command = "make" })

--[==[ told
master.lua:3: 'steps.ShelCommand' is not defined (did you mean 'steps.ShellCommand'?)
  --> master.lua:3
   | 3 | f:addStep(steps.ShelCommand{ command = "make" })
1 mistake
exit 1
]==]
