local c = BuildmasterConfig
c.workrs = {}

--[==[ told
master.lua:2: BuildmasterConfig: unknown key 'workrs' (did you mean 'workers'?)
  --> master.lua:2
   | 2 | c.workrs = {}
1 mistake
exit 1
]==]
