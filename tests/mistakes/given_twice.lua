local c = BuildmasterConfig
c.workers = { Worker{ "w", "pw", name = "w" } }

--[==[ told
master.lua:2: Worker "w": 'name' given twice, by position and by name
  --> master.lua:2
   | 2 | c.workers = { Worker{ "w", "pw", name = "w" } }
1 mistake
exit 1
]==]
