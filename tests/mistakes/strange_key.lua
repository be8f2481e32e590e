local c = BuildmasterConfig
c.workers = { Worker{ "w", "pw", [2.5] = 1 } }

--[==[ told
master.lua:2: Worker "w": has the key [2.5], which is neither a name nor the next position
  --> master.lua:2
   | 2 | c.workers = { Worker{ "w", "pw", [2.5] = 1 } }
1 mistake
exit 1
]==]
