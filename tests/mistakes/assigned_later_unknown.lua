local c = BuildmasterConfig
local w = Worker{ "w", "pw" }

w.max_build = 2
c.workers = { w }

--[==[ told
master.lua:4: Worker "w": unknown argument 'max_build' (did you mean 'max_builds'?)
  --> master.lua:4
   | 4 | w.max_build = 2
1 mistake
exit 1
]==]
