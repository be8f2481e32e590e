-- Secrets: a build gets the value, everybody else sees <NAME>. Try it:
--
--     CI_deploy=s3cret-word buildmoon run deploy examples/secrets

local c = BuildmasterConfig

-- WHERE SECRETS COME FROM -------------------------------------------------------------------------------------------
-- Asked in this order; the first that has one of that name counts. Files in a folder (SecretInAFile), the password
-- store `pass` (SecretInPass) and any command (SecretInCommand) are asked the same way.

-- A provider of one's own is a class with the method `get`.
local Table = secrets.SecretProviderBase:extend("Table", { args = { values = "table" } })
function Table:get(name) return self.values[name] end

c.secretsProviders = {
  -- The secret `deploy` is the variable CI_deploy of the master's environment.
  secrets.SecretInEnvironment{ prefix = "CI_" },
  Table{ values = { worker = "for-tests-only" } },
}

-- A worker's password may be a secret, too: it is fetched when the master starts.
c.workers = {
  Worker{ "example-worker", util.Secret("worker") },
}
c.protocols = { pb = { port = 9989 } }

-- BUILDERS ----------------------------------------------------------------------------------------------------------

local f = util.BuildFactory{
  -- The whole value of an argument …
  steps.ShellCommand{ name = "deploy", env = { TOKEN = util.Secret("deploy") }, logEnviron = false,
    command = 'echo "The token has ${#TOKEN} letters: $TOKEN"' },
  -- … or a part of a text.
  steps.ShellCommand{ name = "tell", command = { "echo", Interpolate("https://ci:%(secret:deploy)s@example.org/") } },
}

c.builders = {
  util.BuilderConfig{ name = "deploy", workernames = { "example-worker" }, factory = f },
}

c.schedulers = {
  schedulers.ForceScheduler{ name = "force", builderNames = { "deploy" } },
}

c.www = { port = 8010 }
