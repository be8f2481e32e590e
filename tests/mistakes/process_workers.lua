local c = BuildmasterConfig
c.workers = {
  ProcessLatentWorker{ "a", command = "run-it", program = "/opt/worker" },
  ProcessLatentWorker{ "b", host = "-oProxyCommand=x" },
  FakeLatentWorker{ "d", start = "perhaps", start_time = -1 },
  FakeLatentWorker{ "e", stop = "never" },
  FakeLatentWorker{ "f", strat = "ok" },
  LocalLatentWorker{ "g" },
}

--[==[ told
master.lua:4: ProcessLatentWorker "b": host must be the name of a machine, got "-oProxyCommand=x"
  --> master.lua:4
   | 4 |   ProcessLatentWorker{ "b", host = "-oProxyCommand=x" },
master.lua:5: FakeLatentWorker "d": start must be one of capacity, config_error, error, false, hang, lost, ok, retry, got "perhaps"
  --> master.lua:5
   | 5 |   FakeLatentWorker{ "d", start = "perhaps", start_time = -1 },
master.lua:6: FakeLatentWorker "e": stop must be one of error, hang, ok, got "never"
  --> master.lua:6
   | 6 |   FakeLatentWorker{ "e", stop = "never" },
master.lua:3: ProcessLatentWorker "a": 'command' and 'program' exclude each other
  --> master.lua:3
   | 3 |   ProcessLatentWorker{ "a", command = "run-it", program = "/opt/worker" },
master.lua:5: FakeLatentWorker "d": 'start_time' must be a number of seconds, got -1
  --> master.lua:5
   | 5 |   FakeLatentWorker{ "d", start = "perhaps", start_time = -1 },
master.lua:7: FakeLatentWorker "f": unknown argument 'strat' (did you mean 'start'?)
  --> master.lua:7
   | 7 |   FakeLatentWorker{ "f", strat = "ok" },
warning: master.lua:8: 'LocalLatentWorker' is now 'ProcessLatentWorker'
  --> master.lua:8
   | 8 |   LocalLatentWorker{ "g" },
6 mistakes
exit 1
]==]
