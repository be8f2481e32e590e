local c = BuildmasterConfig
local s = schedulers.Nightly{ name = "night", builderNames = {} }

--[==[ told
master.lua:2: 'schedulers.Nightly' is not there: Buildbot's Nightly is not supported yet; cron can call `buildmoon force`
  --> master.lua:2
   | 2 | local s = schedulers.Nightly{ name = "night", builderNames = {} }
1 mistake
exit 1
]==]
