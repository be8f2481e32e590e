local form = schedulers.ForceScheduler{ name = "a", builderNames = { "b" }, codebases = {} }
local twice = schedulers.ForceScheduler{ name = "c", builderNames = { "b" }, codebases = { "lib", util.CodebaseParameter{ "lib" } } }

--[==[ told
master.lua:1: ForceScheduler "a": 'codebases' must not be empty: leave it out for the one without a name
  --> master.lua:1
   | 1 | local form = schedulers.ForceScheduler{ name = "a", builderNames = { "b" }, codebases = {} }
master.lua:2: ForceScheduler "c": 'codebases' has "lib" twice
  --> master.lua:2
   | 2 | local twice = schedulers.ForceScheduler{ name = "c", builderNames = { "b" }, codebases = { "lib", util.CodebaseParameter{ "lib" } } }
2 mistakes
exit 1
]==]
