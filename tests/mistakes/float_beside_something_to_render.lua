local c = BuildmasterConfig
local f = util.BuildFactory()
f:addStep(steps.ShellCommand{ command = { "sleep", Property("x"), 2.0 } })

--[==[ told
master.lua:3: ShellCommand: command[3] must be text or a whole number, got 2.0 (a float: write math.tointeger(x))
  --> master.lua:3
   | 3 | f:addStep(steps.ShellCommand{ command = { "sleep", Property("x"), 2.0 } })
1 mistake
exit 1
]==]
