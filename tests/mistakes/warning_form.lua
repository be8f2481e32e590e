-- checkconfig: --strict
local c = BuildmasterConfig
c.workers = { LocalWorker{ "linux" } }
c.builders = { util.BuilderConfig{ name = "b", workernames = { "linux" }, factory = util.BuildFactory{} } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "b" }, properties = {
  util.StringParameter{ name = "version" },
  util.NestedParameter{ name = "more", fields = { util.IntParameter{ name = "version", default = 2.0 } } },
  util.ChoiceStringParameter{ name = "target", choices = { "test", "live" }, default = "tets" },
} } }

--[==[ told
master.lua:8: ChoiceStringParameter "target": 'default' is "tets", which is none of the choices (did you mean 'test'?): whoever leaves it is refused
  --> master.lua:8
   | 8 |   util.ChoiceStringParameter{ name = "target", choices = { "test", "live" }, default = "tets" },
master.lua:5: ForceScheduler "force": 'properties' has several parameters that set 'version': the last one counts
  --> master.lua:5
   | 5 | c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "b" }, properties = {
2 mistakes
exit 1
]==]
