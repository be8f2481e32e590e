local c = BuildmasterConfig
c.workers = { DockerLatentWorker{ "bot", None, "unix:///var/run/docker.sock", "ci/debian", hostconfig = { network_mod = "host" } } }

--[==[ told
master.lua:2: DockerLatentWorker "bot": hostconfig: unknown name 'network_mod' (did you mean 'network_mode'?)
  --> master.lua:2
   | 2 | c.workers = { DockerLatentWorker{ "bot", None, "unix:///var/run/docker.sock", "ci/debian", hostconfig = { network_mod = "host" } } }
1 mistake
exit 1
]==]
