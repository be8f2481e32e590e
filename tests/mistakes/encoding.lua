local c = BuildmasterConfig
local f = util.BuildFactory()
f:addStep(steps.ShellCommand{ command = "make", logEncoding = "utf-16" })

--[==[ told
master.lua:3: ShellCommand: 'logEncoding' must be the name of an encoding such as "utf-8" or "latin-1", or None, got "utf-16", which is not supported
  --> master.lua:3
   | 3 | f:addStep(steps.ShellCommand{ command = "make", logEncoding = "utf-16" })
1 mistake
exit 1
]==]
