local c = BuildmasterConfig
local function f() return os.execute("ls") end

--[==[ told
master.lua:2: there is no os.execute: use process.run
  --> master.lua:2
   | 2 | local function f() return os.execute("ls") end
1 mistake
exit 1
]==]
