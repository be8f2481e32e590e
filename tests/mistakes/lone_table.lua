local c = BuildmasterConfig
local branch = { zzz = 1 }
local f = util.BuildFactory(branch)

--[==[ told
master.lua:3: BuildFactory: unknown argument 'zzz'; a lone table is the argument table: to give it as 'steps' write BuildFactory{ { … } }
  --> master.lua:3
   | 3 | local f = util.BuildFactory(branch)
1 mistake
exit 1
]==]
