-- Workers that are started when a build wants them, as processes of this machine or by ssh on another one, and stopped afterwards.
--
--     pip install buildbot-worker         here and there; then start the master here, and
--     buildmoon force force --builder compile --wait

local c = BuildmasterConfig

c.workers = {
  -- Two on this machine. Each works in workers/NAME below this folder, which is kept; stopped ten minutes after its last build.
  ProcessLatentWorker{ "here", pool = { max = 2 }, max_builds = 1 },

  -- One on a machine that ssh reaches with a key: nothing runs there while there is nothing to do. Its folder is below the home
  -- folder there. `program` is where the stock worker was installed.
  ProcessLatentWorker{ "big", host = "builder@big.example.org", ssh_options = { "-i", "/etc/buildmoon/big.key" },
    program = "/opt/worker/bin/buildbot-worker", masterFQDN = "ci.example.org",
    env = { MAKEFLAGS = "-j64" }, build_wait_timeout = 300 },

  -- A worker of one's own: whatever runs in the folder, logs in with what it finds in its environment, and stays.
  ProcessLatentWorker{ "container", command = "exec podman run --rm --network host " ..
    "--env BUILDMASTER --env BUILDMASTER_PORT --env WORKERNAME --env WORKERPASS example.org/our-worker" },
}
c.protocols = { pb = { port = 9989 } }

c.builders = {
  util.BuilderConfig{ name = "compile", workernames = { "here", "big" }, factory = util.BuildFactory{
    steps.ShellCommand{ name = "compile", command = { "sh", "-c", "echo ${MAKEFLAGS:-one job}" } },
  } },
  util.BuilderConfig{ name = "package", workernames = { "container" }, factory = util.BuildFactory{
    steps.ShellCommand{ name = "package", command = { "echo", "packed" } },
  } },
}
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "compile", "package" } } }

c.www = { port = 8010 }
c.buildbotURL = "http://localhost:8010/"
