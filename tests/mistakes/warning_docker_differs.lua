local c = BuildmasterConfig
c.workers = {
  DockerLatentWorker{ "bot", None, "tcp://engine:2375", Interpolate("ci/%(prop:tag)s"), build_wait_timeout = 60, max_builds = 2 },
  DockerLatentWorker{ "plain", None, "tcp://engine:2375", "ci", hostname = Interpolate("%(worker:name)s"), build_wait_timeout = 60 },
}
c.builders = { util.BuilderConfig{ name = "b", workernames = { "bot", "plain" }, factory = util.BuildFactory() } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "b" } } }
c.protocols = { pb = { port = 9989 } }

--[==[ told
warning: master.lua:3: DockerLatentWorker "bot": 'build_wait_timeout' has no effect: 'image' differs from build to build, so that each gets a machine of its own
  --> master.lua:3
   | 3 |   DockerLatentWorker{ "bot", None, "tcp://engine:2375", Interpolate("ci/%(prop:tag)s"), build_wait_timeout = 60, max_builds = 2 },
warning: master.lua:3: DockerLatentWorker "bot": 'max_builds' has no effect: 'image' differs from build to build, so that each gets a machine of its own
  --> master.lua:3
   | 3 |   DockerLatentWorker{ "bot", None, "tcp://engine:2375", Interpolate("ci/%(prop:tag)s"), build_wait_timeout = 60, max_builds = 2 },
. is good: 2 workers, 1 builders, 1 schedulers
exit 0
]==]
