local c = BuildmasterConfig
local r = util.renderer(function(props) return "x" end)

--[==[ told
master.lua:2: 'util.renderer' is not there: Buildbot's renderer is not supported yet; a plain function of the properties does the same
  --> master.lua:2
   | 2 | local r = util.renderer(function(props) return "x" end)
1 mistake
exit 1
]==]
