local step = steps.ShellCommand{ command = "make", interruptSignal = "SIGTERM" }
local other = steps.ShellCommand{ command = "make", interruptSignal = "term" }
local third = steps.ShellCommand{ command = "make", interruptSignal = "TERM" }

--[==[ told
master.lua:1: ShellCommand: 'interruptSignal' must be the name of a signal such as "KILL" or "TERM", got "SIGTERM"
  --> master.lua:1
   | 1 | local step = steps.ShellCommand{ command = "make", interruptSignal = "SIGTERM" }
master.lua:2: ShellCommand: 'interruptSignal' must be the name of a signal such as "KILL" or "TERM", got "term" (did you mean 'TERM'?)
  --> master.lua:2
   | 2 | local other = steps.ShellCommand{ command = "make", interruptSignal = "term" }
2 mistakes
exit 1
]==]
