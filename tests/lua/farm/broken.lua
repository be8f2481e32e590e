local c = BuildmasterConfig
c.workers = { Worker{ "linux-1", "one", max_build = 2 } }
c.builders = { util.BuilderConfig{ name = "release", workernames = { "linux-3" }, factory = util.BuildFactory() } }
