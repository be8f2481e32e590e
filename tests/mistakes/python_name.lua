local c = BuildmasterConfig
local t = True

--[==[ told
master.lua:2: 'True' is not there: Lua writes true
  --> master.lua:2
   | 2 | local t = True
1 mistake
exit 1
]==]
