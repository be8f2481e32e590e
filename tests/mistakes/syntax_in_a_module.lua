local c = BuildmasterConfig
local b = require("lib.broken")

--[==[ told
lib/broken.lua:1 (from master.lua:2): unexpected symbol near '='; Lua assigns once per statement
  --> lib/broken.lua:1
   | 1 | return { a = 1, b = = 2 }
   = called from master.lua:2
1 mistake
exit 1
]==]
