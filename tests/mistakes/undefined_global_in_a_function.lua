local c = BuildmasterConfig
local function pick(builder, workers)
  return wokers[1]
end
c.prioritizeBuilders = function(master, builders) return pick(master, builders) end

--[==[ told
master.lua:3: 'wokers' is not defined (did you mean 'worker'?)
  --> master.lua:3
   | 3 |   return wokers[1]
1 mistake
exit 1
]==]
