local c = BuildmasterConfig
local x = None.title

--[==[ told
master.lua:2: attempt to index a userdata value (global 'None'); is it None? None tells the host that there is nothing; Lua's own nothing is nil
  --> master.lua:2
   | 2 | local x = None.title
1 mistake
exit 1
]==]
