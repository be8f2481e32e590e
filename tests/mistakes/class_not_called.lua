local c = BuildmasterConfig
c.workers = { LocalWorker }

--[==[ told
master.lua:2: BuildmasterConfig: workers[1] must be a Worker, got a class (call it)
  --> master.lua:2
   | 2 | c.workers = { LocalWorker }
1 mistake
exit 1
]==]
