local c = BuildmasterConfig
c.workers = { Worker{ "w", "pw", properties = { f = print } } }

--[==[ told
master.lua:2: Worker "w": properties.f must be plain data, got a function of the library
  --> master.lua:2
   | 2 | c.workers = { Worker{ "w", "pw", properties = { f = print } } }
1 mistake
exit 1
]==]
