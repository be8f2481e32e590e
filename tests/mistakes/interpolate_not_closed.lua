local c = BuildmasterConfig
local f = util.BuildFactory()
f:addStep(steps.ShellCommand{ command = Interpolate("%(prop:branch") })

--[==[ told
master.lua:3: Interpolate: '%(prop:branch' is not closed: its ')' is missing
  --> master.lua:3
   | 3 | f:addStep(steps.ShellCommand{ command = Interpolate("%(prop:branch") })
1 mistake
exit 1
]==]
