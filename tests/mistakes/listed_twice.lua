local c = BuildmasterConfig
local w = LocalWorker{ "w" }
c.workers = { w, w }

--[==[ told
master.lua:2: LocalWorker "w": is listed twice
  --> master.lua:2
   | 2 | local w = LocalWorker{ "w" }
1 mistake
exit 1
]==]
