local c = BuildmasterConfig
local t = {}
t.t = t
c.properties = t

--[==[ told
master.lua:4: BuildmasterConfig.properties: a table holds itself, or tables are nested deeper than 100
  --> master.lua:4
   | 4 | c.properties = t
1 mistake
exit 1
]==]
