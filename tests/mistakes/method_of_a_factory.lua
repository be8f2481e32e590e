local c = BuildmasterConfig
local f = util.BuildFactory()
f:addStpe(steps.ShellCommand{ command = "make" })

--[==[ told
master.lua:3: attempt to call a nil value (method 'addStpe'); did you mean 'addStep'?
  --> master.lua:3
   | 3 | f:addStpe(steps.ShellCommand{ command = "make" })
1 mistake
exit 1
]==]
