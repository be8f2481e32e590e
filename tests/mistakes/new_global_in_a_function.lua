local c = BuildmasterConfig
local function remember(x)
  last = x
end
c.title = "x"

--[==[ told
master.lua:3: 'last' would be a new global: write 'local last'
  --> master.lua:3
   | 3 |   last = x
1 mistake
exit 1
]==]
