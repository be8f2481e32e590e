local c = BuildmasterConfig
local s = steps.ShellCommand("make")

--[==[ told
master.lua:2: ShellCommand: takes no positional arguments, got 1; write command = …
  --> master.lua:2
   | 2 | local s = steps.ShellCommand("make")
master.lua:2: ShellCommand: missing argument 'command'
  --> master.lua:2
   | 2 | local s = steps.ShellCommand("make")
2 mistakes
exit 1
]==]
