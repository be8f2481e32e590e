local c = BuildmasterConfig
local f = util.BuildFactory()
f:addStep(steps.ShellCommand{ command = { "sleep", { "-x", 0.5 } } })

--[==[ told
master.lua:3: ShellCommand: command[2][2] must be text or a whole number, got 0.5 (a float: write tostring(x))
  --> master.lua:3
   | 3 | f:addStep(steps.ShellCommand{ command = { "sleep", { "-x", 0.5 } } })
1 mistake
exit 1
]==]
