local c = BuildmasterConfig
local x = require("lib.fram")

--[==[ told
master.lua:2: require("lib.fram"): there is no lib/fram.lua and no lib/fram/init.lua in the configuration's folder
  --> master.lua:2
   | 2 | local x = require("lib.fram")
1 mistake
exit 1
]==]
