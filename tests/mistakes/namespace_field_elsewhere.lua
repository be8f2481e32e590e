local c = BuildmasterConfig
local s = util.ShellCommand{ command = "make" }

--[==[ told
master.lua:2: 'util.ShellCommand' is not there: it is steps.ShellCommand
  --> master.lua:2
   | 2 | local s = util.ShellCommand{ command = "make" }
1 mistake
exit 1
]==]
