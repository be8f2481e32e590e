local c = BuildmasterConfig
local function check(ok) assert(ok, "out of luck") end
check(true)
check(false)

--[==[ told
master.lua:2: out of luck
  --> master.lua:2
   | 2 | local function check(ok) assert(ok, "out of luck") end
    master.lua:2: in 'check'
    master.lua:4: in the file
1 mistake
exit 1
]==]
