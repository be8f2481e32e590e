-- What an editor has to underline. The comment of a line names the finding and a part of its text.
local c = BuildmasterConfig

c.workers = {
  Worker{ "bot", "pass", max_build = 2 }, --> param-type-mismatch max_build
  Worker{ "bot", "pass", max_builds = "two" }, --> param-type-mismatch max_builds
  Worker{ "bot", "pass", keepalive_interval = true }, --> param-type-mismatch keepalive_interval
}

local f = util.BuildFactory{ wrkdir = "src" } --> param-type-mismatch wrkdir
f:addStep(steps.ShellCommand{ name = "check" }) --> missing-fields command
f:addStep(steps.ShellCommand{ comand = "make" }) --> missing-fields command
f:addStep(steps.ShellCommand{ command = "make", halt_on_failure = true }) --> param-type-mismatch halt_on_failure
f:addStep(steps.ShellCommand{ command = true }) --> assign-type-mismatch boolean
f:addStep(steps.Compile{ command = { "make", Interpolate{ "%(prop:x)s" } }, maxWarnCount = "few" }) --> param-type-mismatch Compile.Arguments
f:addStep("make") --> param-type-mismatch Step
f:addStep(steps.ShellCommand) --> param-type-mismatch ShellCommand.Class

c.builders = {
  util.BuilderConfig{ name = "a", workernames = 3, factory = f }, --> param-type-mismatch workernames
  util.BuilderConfig{ name = "b", workernames = { "bot" }, factory = steps.ShellCommand{ command = "x" } }, --> param-type-mismatch factory
}
c.schedulers = { util.StringParameter{ name = "x" } } --> assign-type-mismatch Scheduler
