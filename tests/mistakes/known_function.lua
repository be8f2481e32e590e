local c = BuildmasterConfig
local r = util.URLForBuild

--[==[ told
master.lua:2: 'util.URLForBuild' is not there: Buildbot's URLForBuild is not supported yet; Interpolate can join buildbotURL with the build's properties
  --> master.lua:2
   | 2 | local r = util.URLForBuild
1 mistake
exit 1
]==]
