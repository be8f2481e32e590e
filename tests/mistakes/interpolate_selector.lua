local c = BuildmasterConfig
local f = util.BuildFactory()
f:addStep(steps.ShellCommand{ command = Interpolate("%(porp:x)s") })

--[==[ told
master.lua:3: Interpolate: unknown selector 'porp' in '%(porp:x)s' (did you mean 'prop'?)
  --> master.lua:3
   | 3 | f:addStep(steps.ShellCommand{ command = Interpolate("%(porp:x)s") })
1 mistake
exit 1
]==]
