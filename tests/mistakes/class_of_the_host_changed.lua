local c = BuildmasterConfig
function steps.ShellCommand:run() end

--[==[ told
master.lua:2: ShellCommand belongs to the host: extend it
  --> master.lua:2
   | 2 | function steps.ShellCommand:run() end
1 mistake
exit 1
]==]
