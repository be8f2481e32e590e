local c = BuildmasterConfig
c.workers = { Worker{ "w" } }

--[==[ told
master.lua:2: Worker "w": missing argument 'password'
  --> master.lua:2
   | 2 | c.workers = { Worker{ "w" } }
1 mistake
exit 1
]==]
