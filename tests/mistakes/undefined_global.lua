local c = BuildmasterConfig
c.workers = { Wroker{ "w", "pw" } }

--[==[ told
master.lua:2: 'Wroker' is not defined (did you mean 'Worker'?)
  --> master.lua:2
   | 2 | c.workers = { Wroker{ "w", "pw" } }
1 mistake
exit 1
]==]
