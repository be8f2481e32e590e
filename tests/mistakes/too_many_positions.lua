local c = BuildmasterConfig
c.workers = { Worker{ "w", "pw", 3 } }

--[==[ told
master.lua:2: Worker "w": takes at most 2 positional arguments, got 3
  --> master.lua:2
   | 2 | c.workers = { Worker{ "w", "pw", 3 } }
1 mistake
exit 1
]==]
