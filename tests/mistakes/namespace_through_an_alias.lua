local c = BuildmasterConfig
local S = steps
local function make() return S.Compil{} end

--[==[ told
master.lua:3: 'steps.Compil' is not defined (did you mean 'steps.Compile'?)
  --> master.lua:3
   | 3 | local function make() return S.Compil{} end
1 mistake
exit 1
]==]
