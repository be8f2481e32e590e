local c = BuildmasterConfig
c.workers = { Worker{ "w", "pw", missing_timeout = util.timedelta{ hour = 1 } } }

--[==[ told
master.lua:2: timedelta: unknown argument 'hour' (did you mean 'hours'?)
  --> master.lua:2
   | 2 | c.workers = { Worker{ "w", "pw", missing_timeout = util.timedelta{ hour = 1 } } }
1 mistake
exit 1
]==]
