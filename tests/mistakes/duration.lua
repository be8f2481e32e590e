local c = BuildmasterConfig
c.workers = { Worker{ "w", "pw", missing_timeout = "soon" } }

--[==[ told
master.lua:2: Worker "w": 'missing_timeout' must be a number of seconds or a duration such as "2h30m", got "soon"
  --> master.lua:2
   | 2 | c.workers = { Worker{ "w", "pw", missing_timeout = "soon" } }
1 mistake
exit 1
]==]
