local c = BuildmasterConfig
local t = {}
t.t = t
c.properties = t

--[==[ told
master.lua: a table holds itself, or tables are nested deeper than 100
1 mistake
exit 1
]==]
