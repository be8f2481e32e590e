-- Workers on servers of an OpenStack cloud: one is made when a build wants it, and deleted afterwards.
-- For somebody with a master.cfg: the arguments are those of Buildbot's OpenStackLatentWorker; what is new is said.
--
--     buildmoon checkconfig examples/openstack     the cloud is not asked
--     buildmoon instances                          what runs, since when, and why it ends

local c = BuildmasterConfig

-- Keystone's password stands in no file that is shared: CI_keystone=… in the environment of the master.
c.secretsProviders = { secrets.SecretInEnvironment{ prefix = "CI_" } }

-- WORKERS -----------------------------------------------------------------------------------------------------------

-- The cloud, the same for all. An application credential would be
-- os_auth_args = { auth_url = …, application_credential_id = …, application_credential_secret = util.Secret("…") }.
local cloud = {
  os_auth_url = "https://cloud.example.org:5000/v3",
  os_username = "ci",
  os_password = util.Secret("keystone"),
  os_tenant_name = "builds",
  region = "RegionOne",
}

-- New: what the server does at its first start, so that an image as the vendor made it will do. The properties are those of the launch.
local first_start = Interpolate([[
#!/bin/sh
apt-get update && apt-get install -y buildbot-worker make gcc
buildbot-worker create-worker /srv/worker %(prop:master_host)s:%(prop:master_port)s %(prop:workername)s %(prop:workerpassword)s
exec buildbot-worker start /srv/worker
]])

c.workers = {
  -- A plain image by its name: the newest of that name is taken. New: up to ten servers, `small-1` to `small-10`; no password in the
  -- file, since each server gets one of its own.
  OpenStackLatentWorker(dict.merge(cloud, { "small", None, "m1.small",
    image = "debian-12",
    networks = { "builds" },
    nova_args = { key_name = "ci", security_groups = { "worker" } },
    user_data = first_start,
    build_wait_timeout = 300, -- kept so long after its last build
    pool = { max = 10 },
  })),

  -- An image that a function chooses among all, a disk of its own, and another flavor where the build wishes it.
  OpenStackLatentWorker(dict.merge(cloud, { "large", None, Interpolate("%(prop:flavor:-m1.large)s"),
    image = function(images)
      for _, image in ipairs(images) do
        if text.startswith(image.name, "worker-") then return image end
      end
      error("the cloud has no image worker-…")
    end,
    block_devices = { { uuid = "debian-12", source_type = "image", destination_type = "volume", volume_size = 80, boot_index = 0 } },
    networks = { "builds" },
    build_wait_timeout = 0,
    max_builds = 1,
  })),
}

-- Workers connect from the servers to here.
c.protocols = { pb = { port = 9989 } }

-- BUILDERS ----------------------------------------------------------------------------------------------------------

local check = util.BuildFactory{
  steps.ShellCommand{ name = "check", command = { "make", "check" } },
}

c.builders = {
  util.BuilderConfig{ name = "check", workernames = { "small" }, factory = check },
  util.BuilderConfig{ name = "bench", workernames = { "large" }, factory = check },
}

c.schedulers = {
  schedulers.ForceScheduler{ name = "force", builderNames = { "check", "bench" },
    properties = { util.ChoiceStringParameter{ name = "flavor", choices = { "m1.large", "m1.huge" }, default = "m1.large" } } },
}

c.www = { port = 8010 }
c.buildbotURL = "http://localhost:8010/"
