local c = BuildmasterConfig
c.workers = { Worker{ "w", "pw", max_build = 2 } }

--[==[ told
master.lua:2: Worker "w": unknown argument 'max_build' (did you mean 'max_builds'?)
  --> master.lua:2
   | 2 | c.workers = { Worker{ "w", "pw", max_build = 2 } }
1 mistake
exit 1
]==]
