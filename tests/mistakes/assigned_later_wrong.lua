local c = BuildmasterConfig
local w = Worker{ "w", "pw" }

w.max_builds = "two"
c.workers = { w }

--[==[ told
master.lua:4: Worker "w": 'max_builds' must be a whole number ≥ 1, got "two"
  --> master.lua:4
   | 4 | w.max_builds = "two"
1 mistake
exit 1
]==]
