local c = BuildmasterConfig
local Mine = util.BuildFactory:extend("Mine", { args = { branch = "string", tags = "list<string>?" } })
local f = Mine{ tags = { 1 } }

--[==[ told
master.lua:3: Mine: missing argument 'branch'
  --> master.lua:3
   | 3 | local f = Mine{ tags = { 1 } }
master.lua:3: Mine: 'tags' must be list<string>, got a table
  --> master.lua:3
   | 3 | local f = Mine{ tags = { 1 } }
2 mistakes
exit 1
]==]
