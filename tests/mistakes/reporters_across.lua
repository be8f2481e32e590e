local c = BuildmasterConfig
c.workers = { LocalWorker{ "bot" } }
c.builders = { util.BuilderConfig{ name = "check", workernames = { "bot" }, factory = util.BuildFactory() } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "check" } } }
local function notifier(args)
  args.fromaddr = "buildbot@example.org"
  return MailNotifier(args)
end
c.services = {
  notifier{},
  notifier{ extraRecipients = { "ann@example.org" } },
  notifier{ builders = { "chekc" }, mode = "failing" },
  notifier{ name = "ops", workers = { "bto" }, smtpUser = "ops", smtpPassword = util.Secret("smtp"), extraHeaders = { Subject = "x" } },
}

