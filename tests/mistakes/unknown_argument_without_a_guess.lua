local c = BuildmasterConfig
c.workers = { Worker{ "w", "pw", colour = "red" } }

--[==[ told
master.lua:2: Worker "w": unknown argument 'colour'
  --> master.lua:2
   | 2 | c.workers = { Worker{ "w", "pw", colour = "red" } }
1 mistake
exit 1
]==]
