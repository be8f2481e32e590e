local c = BuildmasterConfig
local f = util.BuildFactory()
f:addStep(steps.ShellCommand{ command = Interpolate("make %(kw:x)s", { y = 1 }) })

--[==[ told
master.lua:3: Interpolate: '%(kw:x)s' has no argument 'x' (did you mean 'y'?)
  --> master.lua:3
   | 3 | f:addStep(steps.ShellCommand{ command = Interpolate("make %(kw:x)s", { y = 1 }) })
1 mistake
exit 1
]==]
