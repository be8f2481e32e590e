local c = BuildmasterConfig
local wait = timedelta{ hours = 1 }
local name = steps.hostname()

--[==[ told
master.lua:2: 'timedelta' is not there: it is util.timedelta
  --> master.lua:2
   | 2 | local wait = timedelta{ hours = 1 }
master.lua:3: 'steps.hostname' is not there: it is util.hostname
  --> master.lua:3
   | 3 | local name = steps.hostname()
2 mistakes
exit 1
]==]
