local c = BuildmasterConfig
local Mine = util.BuildFactory:extend("Mine")
function Mine:init(args) self.x = 1 end
local f = Mine{}

--[==[ told
master.lua:4: Mine: init must call Mine.super.init(self, …)
  --> master.lua:4
   | 4 | local f = Mine{}
1 mistake
exit 1
]==]
