local c = BuildmasterConfig
local a = util.NoAuth{}
local l = util.locks.MasterLock
local h = hooks.GitHubEventHandler

--[==[ told
master.lua:2: 'util.NoAuth' is not there: Buildbot's NoAuth is not supported yet; the web server answers on 127.0.0.1 only, so a server in front of it can ask for a login
  --> master.lua:2
   | 2 | local a = util.NoAuth{}
master.lua:3: 'util.locks' is not there: Buildbot's locks is not supported yet; max_builds = 1 lets one build at a time run on a worker
  --> master.lua:3
   | 3 | local l = util.locks.MasterLock
master.lua:4: 'hooks' is not there: Buildbot's hooks is not supported yet; a hook of the repository can call `buildmoon force`
  --> master.lua:4
   | 4 | local h = hooks.GitHubEventHandler
3 mistakes
exit 1
]==]
