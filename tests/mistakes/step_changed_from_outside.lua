local c = BuildmasterConfig
local s = steps.ShellCommand{ command = "make" }
s.command = "make all"
local Mine = steps.ShellCommand:extend("Mine")
local m = Mine{ command = "make" }
m.target = "all"

--[==[ told
master.lua:3: ShellCommand: a step is made anew for every build: give 'command' to the constructor of ShellCommand
  --> master.lua:3
   | 3 | s.command = "make all"
master.lua:6: Mine: a step is made anew for every build: set 'target' in the init of Mine
  --> master.lua:6
   | 6 | m.target = "all"
2 mistakes
exit 1
]==]
