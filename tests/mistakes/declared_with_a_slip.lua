local c = BuildmasterConfig
local Mine = util.BuildFactory:extend("Mine", { args = { tries = { "integer?", defualt = 3 } } })

--[==[ told
master.lua:2: args of Mine: 'tries' has a type and a default, and the unknown key 'defualt' (did you mean 'default'?)
  --> master.lua:2
   | 2 | local Mine = util.BuildFactory:extend("Mine", { args = { tries = { "integer?", defualt = 3 } } })
1 mistake
exit 1
]==]
