local c = BuildmasterConfig
c.workers = { Worker{ "my worker", "pw" } }

--[==[ told
master.lua:2: Worker "my worker": 'name' must be an identifier (letters, digits, '_' and '-', no digit first), got "my worker"
  --> master.lua:2
   | 2 | c.workers = { Worker{ "my worker", "pw" } }
1 mistake
exit 1
]==]
