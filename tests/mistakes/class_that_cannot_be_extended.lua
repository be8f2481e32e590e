local c = BuildmasterConfig
local Mine = Interpolate:extend("Mine")

--[==[ told
master.lua:2: Interpolate can't be extended
  --> master.lua:2
   | 2 | local Mine = Interpolate:extend("Mine")
1 mistake
exit 1
]==]
