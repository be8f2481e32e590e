local c = BuildmasterConfig
c.workers = {
  ProcessLatentWorker{ "a", command = "run-it", program = "/opt/worker" },
  ProcessLatentWorker{ "b", host = "-oProxyCommand=x" },
  FakeLatentWorker{ "d", start = "perhaps", start_time = -1 },
  FakeLatentWorker{ "e", stop = "never" },
  FakeLatentWorker{ "f", strat = "ok" },
  LocalLatentWorker{ "g" },
}
