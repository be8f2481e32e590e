local c = BuildmasterConfig
c.title = "Farm"
c.workers = { Worker{ "linux-1", "one", max_builds = 2 }, Worker{ "linux-2", "two" } }
c.protocols = { pb = { port = 9989 } }
local f = util.BuildFactory()
f:addStep(steps.ShellCommand{ command = { "make", "check" }, env = { CC = "clang" }, haltOnFailure = true })
f:addStep(steps.ShellCommand{ command = { "make", "dist" }, doStepIf = function(step) return step.name == "dist" end })
c.builders = {
  util.BuilderConfig{ name = "release", workernames = { "linux-1", "linux-2" }, factory = f, tags = { "slow" },
    nextBuild = function(builder, requests) return requests[#requests] end },
}
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "release" } } }
c.services = {
  reporters.MailNotifier{ fromaddr = "farm@example.org", extraRecipients = { "ops@example.org" }, smtpUser = "farm", smtpPassword = "hush" },
}
