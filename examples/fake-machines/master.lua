-- What does this configuration do when machines are slow, scarce or broken? Machines that behave as the build wishes, to find out without
-- any: each is a process of this one that runs a stock worker. Builds really run, so the steps are as harmless as you write them.
--
--     pip install buildbot-worker         then start the master here, and
--     buildmoon force force --builder test --wait
--     buildmoon force force --builder test --property fake_start=capacity --property fake_start_time=5
--     buildmoon instances                 what runs, and why it ends

local c = BuildmasterConfig

-- What every machine does where the build wishes nothing else: five seconds to start, three until its worker attaches.
local usual = { start_time = 5, attach_time = 3, build_wait_timeout = 30, missing_timeout = 60 }

c.workers = {
  FakeLatentWorker(dict.merge(usual, { "cheap", pool = { max = 3 } })),
  -- One in the other hall: it dies after two minutes whatever it does.
  FakeLatentWorker(dict.merge(usual, { "spot", lifetime = 120 })),
}
c.protocols = { pb = { port = "tcp:9989:interface=127.0.0.1" } }

c.builders = {
  util.BuilderConfig{ name = "test", workernames = { "cheap", "spot" }, factory = util.BuildFactory{
    steps.ShellCommand{ name = "test", command = { "sleep", "3" } },
  } },
}

-- The wishes, for whoever starts a build.
c.schedulers = {
  schedulers.ForceScheduler{ name = "force", builderNames = { "test" }, properties = {
    util.ChoiceStringParameter{ name = "fake_start", label = "The start", default = "ok",
      choices = { "ok", "capacity", "retry", "config_error", "error", "false", "lost", "hang" } },
    util.IntParameter{ name = "fake_start_time", label = "It takes so many seconds", default = 5 },
    util.BooleanParameter{ name = "fake_attach", label = "A worker attaches", default = true },
  } },
}

c.www = { port = "tcp:8010:interface=127.0.0.1" }
c.buildbotURL = "http://localhost:8010/"
