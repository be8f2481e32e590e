local c = BuildmasterConfig
local a = util.NoAuth{}
local l = util.locks.MasterLock
local h = hooks.GitHubEventHandler

--[==[ told
master.lua:2: 'util.NoAuth' is not there: Buildbot's NoAuth is not supported yet
  --> master.lua:2
   | 2 | local a = util.NoAuth{}
master.lua:3: 'util.locks' is not defined
  --> master.lua:3
   | 3 | local l = util.locks.MasterLock
master.lua:4: 'hooks' is not defined
  --> master.lua:4
   | 4 | local h = hooks.GitHubEventHandler
3 mistakes
exit 1
]==]
