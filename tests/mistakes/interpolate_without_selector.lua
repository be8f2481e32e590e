local c = BuildmasterConfig
local f = util.BuildFactory()
f:addStep(steps.ShellCommand{ command = Interpolate("%(branch)s") })

--[==[ told
master.lua:3: Interpolate: '%(branch)s' has no selector: write '%(prop:branch)s' for a property, '%(kw:branch)s' for an argument
  --> master.lua:3
   | 3 | f:addStep(steps.ShellCommand{ command = Interpolate("%(branch)s") })
1 mistake
exit 1
]==]
