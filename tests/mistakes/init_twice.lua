local c = BuildmasterConfig
local Mine = util.BuildFactory:extend("Mine")
function Mine:init(args)
  Mine.super.init(self, {})
  Mine.super.init(self, {})
end
local f = Mine{}

--[==[ told
master.lua:5: init of Mine called its parent's init twice
  --> master.lua:5
   | 5 |   Mine.super.init(self, {})
    master.lua:5: in 'init'
    master.lua:7: in the file
1 mistake
exit 1
]==]
