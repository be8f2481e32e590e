local c = BuildmasterConfig
c.workers = { Worker{ "w", "pw", max_builds = 0 } }

--[==[ told
master.lua:2: Worker "w": 'max_builds' must be a whole number ≥ 1, got 0
  --> master.lua:2
   | 2 | c.workers = { Worker{ "w", "pw", max_builds = 0 } }
1 mistake
exit 1
]==]
