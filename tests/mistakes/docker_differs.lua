local c = BuildmasterConfig
c.workers = { DockerLatentWorker{ "bot", None, "tcp://engine:2375", Property("image"), pool = { max = 2, min = 1 } } }

--[==[ told
master.lua:2: DockerLatentWorker "bot": pool: 'min' keeps machines that no build asked for, and 'image' differs from build to build
  --> master.lua:2
   | 2 | c.workers = { DockerLatentWorker{ "bot", None, "tcp://engine:2375", Property("image"), pool = { max = 2, min = 1 } } }
1 mistake
exit 1
]==]
