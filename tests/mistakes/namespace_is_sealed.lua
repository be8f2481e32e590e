local c = BuildmasterConfig
steps.Mine = {}

--[==[ told
master.lua:2: 'steps.Mine' can't be set: steps belongs to the host
  --> master.lua:2
   | 2 | steps.Mine = {}
1 mistake
exit 1
]==]
