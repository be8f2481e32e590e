local c = BuildmasterConfig
local f = util.BuildFactory()
f:addStep(steps.Compile{ warningPattern = "(" })

--[==[ told
master.lua:3: Compile: 'warningPattern' must be a regular expression, got "(": unclosed group
  --> master.lua:3
   | 3 | f:addStep(steps.Compile{ warningPattern = "(" })
1 mistake
exit 1
]==]
