-- Machines on demand: workers on instances of Amazon EC2 that are started when a build wants them and stopped afterwards.
-- For somebody with a master.cfg: the arguments are those of Buildbot's EC2LatentWorker; what is new is said.
--
--     buildmoon checkconfig examples/ec2             nothing of Amazon is asked
--     buildmoon checkconfig --online examples/ec2    keys, images, key pairs, groups, subnets and addresses are looked up
--     buildmoon instances                            what runs, since when, what it costs, and why it ends

local c = BuildmasterConfig

-- WORKERS -----------------------------------------------------------------------------------------------------------

-- New: what every instance runs when it starts, so that a plain image will do. It installs buildbot-worker with pip, gives it
-- name and password, and starts it as a service. A worker without a password gets one for each instance, which is worth
-- nothing once the instance is gone.
--
-- First of all it arms a switch: the instance powers itself off when the setup fails, or when its worker had no
-- connection to a master that answers for `power_off_after`. Instances are launched so that a power-off terminates them: the
-- bill ends though the master never comes back.
local user_data = util.UserData{ "ci.example.org:9989",
  requirements = { "buildbot-worker==4.3.0" },
  packages = { "git", "make", "gcc" },
  prepare = util.Interpolate([[
    install -d -o nobody /srv/cache
    echo "machine of %(worker:name)s, launch %(worker:launch_id)s" >/etc/motd
  ]]),
  power_off_after = "30m",
  setup_timeout = "15m",
}

c.workers = {
  -- One machine of a fixed image. Keys: `identifier` and `secret_identifier`, or `aws_id_file_path`, or ~/.ec2/aws_id, or what
  -- the environment, the profile or the role of this machine has, in this order.
  EC2LatentWorker{ "build-linux", None, "m5.large",
    ami = "ami-0123456789abcdef0",
    region = "eu-central-1",
    keypair_name = None, security_group_ids = { "sg-0123456789abcdef0" },
    user_data = user_data,
    price_per_hour = 0.115, -- new: what `buildmoon instances` reckons with; Amazon does not say it
    build_wait_timeout = 600, -- kept so long after its last build; 0: a fresh machine for each build
    missing_timeout = 1200, -- its worker must have attached by then, or the machine is stopped and its console quoted
  },

  -- New: up to eight of them at the spot market, `test-1` to `test-8`; the image is the newest of one's own, and where there
  -- is no room for one type or subnet, the next is tried. When the market takes a machine back its worker takes no more
  -- builds, and one that does not end in time is repeated elsewhere. The price is known from the market.
  EC2LatentWorker{ "test", None, { "c5.xlarge", "c5a.xlarge", "m5.xlarge" },
    valid_ami_owners = { 123456789012 },
    valid_ami_location_regex = [[123456789012/ci-(\d+)]],
    region = "eu-central-1",
    subnet_id = { "subnet-0aaaaaaaaaaaaaaaa", "subnet-0bbbbbbbbbbbbbbbb" },
    keypair_name = None,
    spot_instance = true, max_spot_price = 0.2,
    tags = { team = "ci" },
    user_data = user_data,
    max_builds = 1,
    pool = { max = 8 },
    max_lifetime = "12h", -- then it takes no more builds and ends
  },
}

-- Workers connect from the machines to here.
c.protocols = { pb = { port = 9989 } }

-- Machines with this master's mark that it does not know are stopped, looked for that often. A stop that fails is tried again
-- for ever; who stands here is told when that goes on for an hour.
c.reap_interval = 300
c.notify_on_leak = { "ci-admins@example.org" }

-- BUILDERS ----------------------------------------------------------------------------------------------------------

local compile = util.BuildFactory{
  steps.ShellCommand{ name = "compile", command = { "make", "-j8" }, haltOnFailure = true },
}
local test = util.BuildFactory{
  steps.ShellCommand{ name = "test", command = { "make", "check" } },
}

c.builders = {
  util.BuilderConfig{ name = "compile", workernames = { "build-linux" }, factory = compile },
  -- The name of a pool stands for all of its workers.
  util.BuilderConfig{ name = "test", workernames = { "test" }, factory = test },
}

c.schedulers = {
  schedulers.ForceScheduler{ name = "force", builderNames = { "compile", "test" } },
}

c.www = { port = 8010 }
c.buildbotURL = "http://localhost:8010/"
