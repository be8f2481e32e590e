local c = BuildmasterConfig
local f = util.BuildFactory()
f:addStep(steps.ShellCommand{ command = {} })

--[==[ told
master.lua:3: ShellCommand: 'command' must hold at least one word, got an empty list
  --> master.lua:3
   | 3 | f:addStep(steps.ShellCommand{ command = {} })
1 mistake
exit 1
]==]
