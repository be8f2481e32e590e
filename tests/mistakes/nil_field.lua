local c = BuildmasterConfig
local t = {}
local function f() return t.x.y end
c.title = f()

--[==[ told
master.lua:3: attempt to index a nil value (field 'x')
  --> master.lua:3
   | 3 | local function f() return t.x.y end
    master.lua:3: in 'f'
    master.lua:4: in the file
1 mistake
exit 1
]==]
