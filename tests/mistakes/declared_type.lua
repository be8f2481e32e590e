local c = BuildmasterConfig
local Mine = util.BuildFactory:extend("Mine", { args = { branch = "sting" } })

--[==[ told
master.lua:2: args of Mine: 'branch' has no known type (string, integer, number, boolean, function, table, list, list<…>, any, with ? for optional)
  --> master.lua:2
   | 2 | local Mine = util.BuildFactory:extend("Mine", { args = { branch = "sting" } })
1 mistake
exit 1
]==]
