local c = BuildmasterConfig
c.www = { prot = 8010 }

--[==[ told
master.lua:2: BuildmasterConfig.www: unknown key 'prot' (did you mean 'port'?)
  --> master.lua:2
   | 2 | c.www = { prot = 8010 }
1 mistake
exit 1
]==]
