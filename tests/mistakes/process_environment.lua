local c = BuildmasterConfig
c.workers = {
  ProcessLatentWorker{ "a", env = { ["A-B"] = "x" } },
  ProcessLatentWorker{ "b", env = { A = true } },
  ProcessLatentWorker{ "c", env = { BUILDMASTER = "elsewhere" } },
  ProcessLatentWorker{ "d", env = { A = "x", B = 2, C = Interpolate("%(prop:x)s") } },
  FakeLatentWorker{ "e", start_time = "5m" },
}

--[==[ told
master.lua:3: ProcessLatentWorker "a": env: "A-B" is no name of a variable
  --> master.lua:3
   | 3 |   ProcessLatentWorker{ "a", env = { ["A-B"] = "x" } },
master.lua:4: ProcessLatentWorker "b": env: A must be text, got true
  --> master.lua:4
   | 4 |   ProcessLatentWorker{ "b", env = { A = true } },
master.lua:5: ProcessLatentWorker "c": env: BUILDMASTER is set for each launch, and can't be given
  --> master.lua:5
   | 5 |   ProcessLatentWorker{ "c", env = { BUILDMASTER = "elsewhere" } },
master.lua:7: FakeLatentWorker "e": start_time must be a number of seconds, got "5m"
  --> master.lua:7
   | 7 |   FakeLatentWorker{ "e", start_time = "5m" },
master.lua:7: FakeLatentWorker "e": 'start_time' must be a number of seconds, got "5m"
  --> master.lua:7
   | 7 |   FakeLatentWorker{ "e", start_time = "5m" },
5 mistakes
exit 1
]==]
