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

--[==[ told
master.lua:11: MailNotifier: it is called 'MailNotifier' as the one of master.lua:10 is: give name = "…"
  --> master.lua:11
   | 11 |   notifier{ extraRecipients = { "ann@example.org" } },
master.lua:13: MailNotifier "ops": it uses the secret 'smtp', but c.secretsProviders is empty
  --> master.lua:13
   | 13 |   notifier{ name = "ops", workers = { "bto" }, smtpUser = "ops", smtpPassword = util.Secret("smtp"), extraHeaders = { Subject = "x" } },
2 mistakes
exit 1
]==]
