local c = BuildmasterConfig
local unused = require("lib.unused")
c.title = "x"

--[==[ told
lib/unused.lua:4: 'list.concatt' is not defined (did you mean 'list.concat'?)
  --> lib/unused.lua:4
   | 4 |   return list.concatt({ 1 }, { 2 }), stepss.ShellCommand
lib/unused.lua:4: 'stepss' is not defined (did you mean 'steps'?)
  --> lib/unused.lua:4
   | 4 |   return list.concatt({ 1 }, { 2 }), stepss.ShellCommand
2 mistakes
exit 1
]==]
