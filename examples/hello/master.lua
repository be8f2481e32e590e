-- A first configuration. Try it without a server or a worker of your own:
--
--     buildmoon run hello examples/hello
--
-- The file fills the table BuildmasterConfig, which everybody calls `c`.

local c = BuildmasterConfig

-- WORKERS -----------------------------------------------------------------------------------------------------------
-- The machines that do the work. Each logs in with a name and a password; on such a machine these two commands are enough:
--
--     buildbot-worker create-worker DIR localhost:9989 example-worker pass
--     buildbot-worker start DIR

c.workers = {
  Worker{"example-worker", "pass"},
}

-- Where workers connect.
c.protocols = { pb = { port = 9989 } }

-- BUILDERS ----------------------------------------------------------------------------------------------------------
-- A factory is a list of steps. The steps run one after the other in the builder's folder on the worker. These need
-- nothing but a shell, so they run anywhere.

local f = util.BuildFactory()

-- A list of words is a program and its arguments; no shell looks at them.
f:addStep(steps.ShellCommand{ name = "greet", command = { "echo", "Hello from Buildmoon!" } })

-- A text is a line for the shell. With haltOnFailure the build ends here if the command fails.
f:addStep(steps.ShellCommand{ name = "test", command = "test $((6 * 7)) -eq 42 && echo 'The sum is right.'",
  description = "testing", descriptionDone = "tested", haltOnFailure = true })

-- What a command prints can be kept as a property of the build …
f:addStep(steps.SetPropertyFromCommand{ name = "system", command = { "uname", "-sm" }, property = "system" })

-- … and used in later steps: Interpolate fills the places in %(…)s anew for every build.
f:addStep(steps.ShellCommand{ name = "report",
  command = { "echo", Interpolate("Build %(prop:buildnumber)s of %(prop:buildername)s ran on %(prop:system)s.") } })

-- A builder joins a factory and the workers that may run it. Several builders may share both.
c.builders = {
  util.BuilderConfig{ name = "hello", workernames = { "example-worker" }, factory = f },
  util.BuilderConfig{ name = "runtests", workernames = { "example-worker" }, factory = f },
}

-- SCHEDULERS --------------------------------------------------------------------------------------------------------
-- They decide when builders run. This one waits for people: `buildmoon force force DIR --builder runtests --wait`.

c.schedulers = {
  schedulers.ForceScheduler{ name = "force", builderNames = { "hello", "runtests" } },
}

-- THE MASTER --------------------------------------------------------------------------------------------------------

c.title = "Hello World CI"
c.titleURL = "https://example.org/"
-- How others reach this master; it stands in messages and answers.
c.buildbotURL = "http://localhost:8010/"
-- REST, on this machine only.
c.www = { port = 8010 }
-- Where builds and their results are kept.
c.db = { db_url = "sqlite:///state.sqlite" }
