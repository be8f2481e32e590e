local c = BuildmasterConfig
c.title = 5

--[==[ told
master.lua:2: BuildmasterConfig: 'title' must be text, got 5
  --> master.lua:2
   | 2 | c.title = 5
1 mistake
exit 1
]==]
