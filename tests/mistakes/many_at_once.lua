local c = BuildmasterConfig
c.titel = "x"
c.workers = { Worker{ "w", "pw", max_build = 1 }, Worker{ "x" } }
local f = util.BuildFactory()
f:addStep(steps.ShellCommand{ command = "make", timeout = "soon" })
local function later() return utl.Interpolate end
local x = nil + 1

--[==[ told
master.lua:7: attempt to perform arithmetic on a nil value
  --> master.lua:7
   | 7 | local x = nil + 1
master.lua:6: 'utl' is not defined (did you mean 'util'?)
  --> master.lua:6
   | 6 | local function later() return utl.Interpolate end
master.lua:3: Worker "w": unknown argument 'max_build' (did you mean 'max_builds'?)
  --> master.lua:3
   | 3 | c.workers = { Worker{ "w", "pw", max_build = 1 }, Worker{ "x" } }
master.lua:3: Worker "x": missing argument 'password'
  --> master.lua:3
   | 3 | c.workers = { Worker{ "w", "pw", max_build = 1 }, Worker{ "x" } }
master.lua:5: ShellCommand: 'timeout' must be a number of seconds or a duration such as "2h30m", got "soon"
  --> master.lua:5
   | 5 | f:addStep(steps.ShellCommand{ command = "make", timeout = "soon" })
master.lua:2: BuildmasterConfig: unknown key 'titel' (did you mean 'title'?)
  --> master.lua:2
   | 2 | c.titel = "x"
6 mistakes
exit 1
]==]
