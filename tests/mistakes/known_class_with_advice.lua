local c = BuildmasterConfig
local s = steps.MasterShellCommand{ command = "make" }

--[==[ told
master.lua:2: 'steps.MasterShellCommand' is not there: Buildbot's MasterShellCommand is not supported yet; a ShellCommand on a LocalWorker runs beside the master
  --> master.lua:2
   | 2 | local s = steps.MasterShellCommand{ command = "make" }
1 mistake
exit 1
]==]
