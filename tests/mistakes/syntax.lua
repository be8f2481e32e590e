local c = BuildmasterConfig
c.workers = { LocalWorker{ "a" } LocalWorker{ "b" } }

--[==[ told
master.lua:2: '}' expected near 'LocalWorker'; is a comma missing before it?
  --> master.lua:2
   | 2 | c.workers = { LocalWorker{ "a" } LocalWorker{ "b" } }
1 mistake
exit 1
]==]
