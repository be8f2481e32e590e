local c = BuildmasterConfig
c.workers = { DockerLatentWorker{ "bot", None, "tcp://engine:2375", Property("image"), pool = { max = 2, min = 1 } } }
