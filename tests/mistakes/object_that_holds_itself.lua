local c = BuildmasterConfig
local t = {}
t.t = t
c.workers = {
  LocalWorker{ "here", properties = t },
  LocalWorker{ "there", max_builds = 0 },
}
c.builders = { util.BuilderConfig{ name = "b", workernames = { "here" } } }

--[==[ told
master.lua:5: LocalWorker "here": a table holds itself, or tables are nested deeper than 100
  --> master.lua:5
   | 5 |   LocalWorker{ "here", properties = t },
master.lua:6: LocalWorker "there": 'max_builds' must be a whole number ≥ 1, got 0
  --> master.lua:6
   | 6 |   LocalWorker{ "there", max_builds = 0 },
master.lua:8: BuilderConfig "b": missing argument 'factory'
  --> master.lua:8
   | 8 | c.builders = { util.BuilderConfig{ name = "b", workernames = { "here" } } }
3 mistakes
exit 1
]==]
