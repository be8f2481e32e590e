local c = BuildmasterConfig
local Mine = util.BuildFactory:extend("Mine")
function Mine:init(args) sleep(1) end
local f = Mine{}

--[==[ told
master.lua:3: init may not wait: make what it needs before the instance
  --> master.lua:3
   | 3 | function Mine:init(args) sleep(1) end
    master.lua:3: in 'init'
    master.lua:4: in the file
1 mistake
exit 1
]==]
