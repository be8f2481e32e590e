local c = BuildmasterConfig
local Mine = util.BuildFactory:extend("Mine")
function Mine:init(args) self.super.init(self, args) end
local f = Mine{}

--[==[ told
master.lua:3: self.super would loop in a third generation: write the class's name, as in Mine.super
  --> master.lua:3
   | 3 | function Mine:init(args) self.super.init(self, args) end
    master.lua:3: in 'init'
    master.lua:4: in the file
1 mistake
exit 1
]==]
