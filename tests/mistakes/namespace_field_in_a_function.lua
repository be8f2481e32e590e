local c = BuildmasterConfig
local function later()
  return schedulers.ForceSchedular{ name = "force" }
end
c.title = "x"

--[==[ told
master.lua:3: 'schedulers.ForceSchedular' is not defined (did you mean 'schedulers.ForceScheduler'?)
  --> master.lua:3
   | 3 |   return schedulers.ForceSchedular{ name = "force" }
1 mistake
exit 1
]==]
