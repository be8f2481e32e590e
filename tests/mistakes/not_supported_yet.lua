local c = BuildmasterConfig
c.change_source = { 1 }

--[==[ told
master.lua:2: BuildmasterConfig: 'change_source' is not supported yet
  --> master.lua:2
   | 2 | c.change_source = { 1 }
1 mistake
exit 1
]==]
