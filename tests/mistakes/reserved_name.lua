local c = BuildmasterConfig
c.workers = { Worker{ "debug", "pw" } }

--[==[ told
master.lua:2: Worker "debug": 'name' can't be "debug": that name is reserved
  --> master.lua:2
   | 2 | c.workers = { Worker{ "debug", "pw" } }
1 mistake
exit 1
]==]
