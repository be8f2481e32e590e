local c = BuildmasterConfig
local farm = require("lib.farm")
c.workers = farm.farm{ "a" }

--[==[ told
lib/farm.lua:4 (from lib/farm.lua:10, master.lua:3): Worker "a": unknown argument 'max_build' (did you mean 'max_builds'?)
  --> lib/farm.lua:4
   | 4 |   local made = Worker(dict.merge({ name, "pw" }, options or {}))
   = called from farm() at lib/farm.lua:10
   = called from master.lua:3
1 mistake
exit 1
]==]
