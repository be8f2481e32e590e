local c = BuildmasterConfig
local x = require("lib.circle")

--[==[ told
lib/circle.lua:1 (from master.lua:2): modules require each other: lib.circle -> lib.circle
  --> lib/circle.lua:1
   | 1 | local again = require("lib.circle")
    lib/circle.lua:1: in the file
    master.lua:2: in the file
1 mistake
exit 1
]==]
