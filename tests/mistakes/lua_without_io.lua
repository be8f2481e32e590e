local c = BuildmasterConfig
local f = io.open("x")

--[==[ told
master.lua:2: 'io' is not there: use fs.read and fs.write
  --> master.lua:2
   | 2 | local f = io.open("x")
1 mistake
exit 1
]==]
