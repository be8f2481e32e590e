local c = BuildmasterConfig
local f = util.BuildFactory()
f:addStep(steps.ShellCommand{ command = { "sleep", 1200 * 1.5 } })

--[==[ told
master.lua:3: ShellCommand: command[2] must be text or a whole number, got 1800.0 (a float: write math.tointeger(x))
  --> master.lua:3
   | 3 | f:addStep(steps.ShellCommand{ command = { "sleep", 1200 * 1.5 } })
1 mistake
exit 1
]==]
