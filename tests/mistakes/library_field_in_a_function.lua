local c = BuildmasterConfig
local function read() return fs.raed("x") end

--[==[ told
master.lua:2: 'fs.raed' is not defined (did you mean 'fs.read'?)
  --> master.lua:2
   | 2 | local function read() return fs.raed("x") end
1 mistake
exit 1
]==]
