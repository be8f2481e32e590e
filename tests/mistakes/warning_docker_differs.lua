local c = BuildmasterConfig
c.workers = {
  DockerLatentWorker{ "bot", None, "tcp://engine:2375", Interpolate("ci/%(prop:tag)s"), build_wait_timeout = 60, max_builds = 2 },
  DockerLatentWorker{ "plain", None, "tcp://engine:2375", "ci", hostname = Interpolate("%(worker:name)s"), build_wait_timeout = 60 },
}
c.builders = { util.BuilderConfig{ name = "b", workernames = { "bot", "plain" }, factory = util.BuildFactory() } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "b" } } }
c.protocols = { pb = { port = 9989 } }
