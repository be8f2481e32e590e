-- A fleet: fifty machines of volunteers, three branches, several hundred builders, out of a few short files.
--
--   settings.yaml         the machines
--   fleet/settings.lua    reads them
--   fleet/factories.lua   what a build does: a hierarchy of classes
--   fleet/steps.lua       steps of our own
--   fleet/downtime.lua    when a machine may not be used
--   fleet/secrets.lua     passwords out of one key
--
-- Try it here, without a worker:
--
--   buildmoon checkconfig examples/fleet
--   buildmoon run "debian-x86_64 main" examples/fleet
--
-- or as a master of your own: copy the folder, and make its key, out of which every worker's password follows:
--
--   head -c 32 /dev/urandom | base64 > fleet.key && chmod 600 fleet.key
--   echo 'print(hash.hmac_sha256(text.strip(fs.read("fleet.key")), arg[1]):sub(1, 32))' > password.lua
--   buildmoon lua password.lua debian-x86_64-1

local settings = require("fleet.settings")
local factories = require("fleet.factories")
local downtime = require("fleet.downtime")
local WorkerPasswords = require("fleet.secrets")

local c = BuildmasterConfig

c.title, c.titleURL, c.buildbotURL = "Fleet", "https://example.org/", "http://localhost:8010/"
c.protocols = { pb = { port = 9989 } }
c.www = { port = 8010 }
c.db = { db_url = "sqlite:///state.sqlite" }
c.secretsProviders = { WorkerPasswords{ key_file = os.getenv("FLEET_KEY_FILE") or "fleet.key" } }

-- WORKERS -----------------------------------------------------------------------------------------------------------

c.workers = list.map(settings.workers, function(w)
  return Worker{ w.name, util.Secret("worker/" .. w.name), max_builds = w.max_builds,
    properties = { jobs = w.jobs, tier = w.tier, platform = w.platform } }
end)

-- BUILDERS ----------------------------------------------------------------------------------------------------------
-- One for each platform, branch and kind of build; the machines of a platform share it. Machines of the first two tiers have
-- one of their own for each branch besides, so that a fault of the machine shows.

local platforms, names = {}, {}
for _, w in ipairs(settings.workers) do
  if not platforms[w.platform] then
    platforms[w.platform] = { kind = w.kind, tier = w.tier, tags = w.tags, workers = {} }
    names[#names + 1] = w.platform
  end
  table.insert(platforms[w.platform].workers, w.name)
end

local can_start_build = downtime.can_start_build(settings.workers)
c.builders = {}

local function builder(name, branch, class, workernames, tier, tags)
  local factory = factories[class]{ branch = branch.name, tags = tags }
  local config = util.BuilderConfig{
    name = name .. " " .. branch.name .. factory.buildername_suffix,
    workernames = workernames,
    factory = factory,
    properties = { branch_name = branch.name, priority_of_branch = branch.priority },
    tags = list.concat({ branch.name, "tier-" .. tier }, factory.tags),
    collapseRequests = branch.name ~= "main",
  }
  config.canStartBuild = can_start_build
  table.insert(c.builders, config)
end

for _, branch in ipairs(settings.branches) do
  for _, platform in ipairs(names) do
    local p = platforms[platform]
    for _, class in ipairs(settings.kinds[p.kind]) do builder(platform, branch, class, p.workers, p.tier, p.tags) end
  end
  for _, w in ipairs(settings.workers) do
    if w.tier < 3 then
      for _, class in ipairs(settings.kinds[w.kind]) do builder("only " .. w.name, branch, class, { w.name }, w.tier, { "machine" }) end
    end
  end
end

-- Builders of branches that matter more go first; among them those that have waited longest.
local priority = {}
for _, b in ipairs(c.builders) do priority[b.name] = b.properties.priority_of_branch end

c.prioritizeBuilders = function(master, builders)
  return list.sorted(builders, function(b) return { -priority[b.name], b.name } end)
end

-- The least busy machine first.
c.select_next_worker = function(builder, workers, request)
  return list.sorted(workers, function(wfb) return { wfb.worker:active_builds(), wfb.worker.name } end)[1]
end

-- SCHEDULERS --------------------------------------------------------------------------------------------------------

c.schedulers = list.map(settings.branches, function(branch)
  return schedulers.ForceScheduler{
    name = "force-" .. branch.name:gsub("%W", "-"),
    builderNames = list.map(list.filter(c.builders, function(b) return list.contains(b.tags, branch.name) end),
      function(b) return b.name end),
    properties = {
      util.BooleanParameter{ name = "keep_files", label = "Keep the files of the build", default = false },
      util.BooleanParameter{ name = "flaky", label = "Let a test fail the first time", default = false },
      util.BooleanParameter{ name = "ignore_downtime", label = "Also on machines that rest now", default = false },
    },
  }
end)
