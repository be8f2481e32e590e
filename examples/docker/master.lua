-- Workers in containers: each build gets a fresh one, which is gone when the build is done.
-- For somebody with a master.cfg: the arguments are those of Buildbot's DockerLatentWorker; what is new is said.
--
--     buildmoon checkconfig examples/docker        the engine is not asked
--     buildmoon instances                          what runs, since when, and why it ends

local c = BuildmasterConfig

-- WORKERS -----------------------------------------------------------------------------------------------------------

-- The engine of this machine. Another one: "tcp://HOST:2375", or "https://HOST:2376" with
-- tls = { client_cert = { "cert.pem", "key.pem" }, ca_cert = "ca.pem" }.
local engine = "unix:///var/run/docker.sock"

-- New: what every container of ours is made of can be changed, as the engine's interface has it.
local Labelled = DockerLatentWorker:extend("Labelled", { args = { team = "string" } })

function Labelled:container_spec(build)
  local made = Labelled.super.container_spec(self, build)
  made.Labels["org.example.team"] = self.team
  return made
end

c.workers = {
  -- The image is chosen by a property of the build, and pulled where the engine does not have it. `build_wait_timeout` is 0
  -- unless it is given: the next build gets a container of its own. New: up to four of them at a time, `linux-1` to `linux-4`.
  Labelled{ "linux", None, engine, Interpolate("registry.example.org/ci/%(prop:distribution:-debian)s:latest"),
    team = "tools",
    autopull = true,
    volumes = { "/srv/cache:/cache:ro" },
    hostconfig = { mem_limit = "4g", cap_drop = { "NET_RAW" }, extra_hosts = { ["git.example.org"] = "192.0.2.7" } },
    masterFQDN = "ci.example.org", -- how the containers call this machine
    pool = { max = 4 },
    max_builds = 1,
  },

  -- The image is built where the engine does not have it: its name is made of this text, so that a changed text is a new image.
  DockerLatentWorker{ "docs", None, engine,
    dockerfile = [[
FROM debian:bookworm
RUN apt-get update && apt-get install -y buildbot-worker python3-sphinx make
CMD buildbot-worker create-worker /w $BUILDMASTER:$BUILDMASTER_PORT $WORKERNAME $WORKERPASS && exec buildbot-worker start --nodaemon /w
]],
    masterFQDN = "ci.example.org",
    build_wait_timeout = 300, -- kept so long after its last build
    followStartupLogs = true, -- what it writes until its worker attaches is in the master's log
  },
}

-- Workers connect from the containers to here.
c.protocols = { pb = { port = 9989 } }

-- BUILDERS ----------------------------------------------------------------------------------------------------------

local check = util.BuildFactory{
  steps.ShellCommand{ name = "check", command = { "make", "check" } },
}
local docs = util.BuildFactory{
  steps.ShellCommand{ name = "docs", command = { "make", "-C", "doc", "html" } },
}

c.builders = {
  util.BuilderConfig{ name = "check", workernames = { "linux" }, factory = check },
  util.BuilderConfig{ name = "docs", workernames = { "docs" }, factory = docs },
}

c.schedulers = {
  schedulers.ForceScheduler{ name = "force", builderNames = { "check", "docs" },
    properties = { util.ChoiceStringParameter{ name = "distribution", choices = { "debian", "fedora" }, default = "debian" } } },
}

c.www = { port = 8010 }
c.buildbotURL = "http://localhost:8010/"
