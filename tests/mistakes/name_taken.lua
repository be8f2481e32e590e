local c = BuildmasterConfig
c.workers = {
  LocalWorker{ "w" },
  Worker{ "w", "pw" },
}

--[==[ told
master.lua:4: Worker "w": the name is taken by LocalWorker "w" (master.lua:3) already
  --> master.lua:4
   | 4 |   Worker{ "w", "pw" },
1 mistake
exit 1
]==]
