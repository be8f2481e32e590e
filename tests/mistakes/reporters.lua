local c = BuildmasterConfig
c.workers = { LocalWorker{ "bot" } }
c.builders = { util.BuilderConfig{ name = "check", workernames = { "bot" }, factory = util.BuildFactory() } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "check" } } }
local build = reporters.BuildStatusGenerator
local modes = {
  build{ mode = "failling" },
  build{ mode = { "passing", "all" } },
  build{ mode = 5 },
  build{ builders = "check" },
  build{ builders = { "check" }, tags = { "nightly" } },
  build{ message_formatter = "hello" },
}
c.services = {
  MailNotifier{ fromaddr = "buildbot", relayhost = "smtp example", smtpPort = 0, extraRecipients = { "team@example.org", "bob" } },
  MailNotifier{ fromaddr = "a@example.org", mode = "failing", generators = { build{} } },
  MailNotifier{ fromaddr = "a@example.org", useTls = true, useSmtps = true, smtpUser = "ann", builders = { "check" }, tags = {} },
  MailNotifier{ fromaddr = "a@example.org", lookup = "not a domain", extraHeaders = { ["X Y"] = "z" } },
  reporters.HttpStatusPush{ serverUrl = "example.org/x", auth = { "user" }, verify = 1, headers = { A = Interpolate("%(prop:x)s") } },
  reporters.ReporterBase{ name = "chat" },
  reporters.ReporterBase:extend("Chat", { sendMesage = function(self, reports) end }){},
  "mail",
}

--[==[ told
master.lua:7: BuildStatusGenerator: 'mode' is "failling", which is no mode (did you mean 'failing'?); there are change, failing, passing, problem, warnings, exception, cancelled, and all
  --> master.lua:7
   | 7 |   build{ mode = "failling" },
master.lua:8: BuildStatusGenerator: mode[2] can't be "all": that word stands alone, as in mode = "all"
  --> master.lua:8
   | 8 |   build{ mode = { "passing", "all" } },
master.lua:9: BuildStatusGenerator: 'mode' must be "all", or one or more of "change", "failing", "passing", "problem", "warnings", "exception", "cancelled", got 5
  --> master.lua:9
   | 9 |   build{ mode = 5 },
master.lua:10: BuildStatusGenerator: 'builders' must be a list of texts, got "check"
  --> master.lua:10
   | 10 |   build{ builders = "check" },
master.lua:11: BuildStatusGenerator: 'builders' and 'tags' exclude each other
  --> master.lua:11
   | 11 |   build{ builders = { "check" }, tags = { "nightly" } },
master.lua:12: BuildStatusGenerator: 'message_formatter' must be a formatter such as reporters.MessageFormatter, got "hello"
  --> master.lua:12
   | 12 |   build{ message_formatter = "hello" },
master.lua:15: MailNotifier: 'fromaddr' must be an address of mail such as "ann@example.org" or "Ann <ann@example.org>", got "buildbot"
  --> master.lua:15
   | 15 |   MailNotifier{ fromaddr = "buildbot", relayhost = "smtp example", smtpPort = 0, extraRecipients = { "team@example.org", "bob" } },
master.lua:15: MailNotifier: 'smtpPort' must be a port number from 1 to 65535, got 0
  --> master.lua:15
   | 15 |   MailNotifier{ fromaddr = "buildbot", relayhost = "smtp example", smtpPort = 0, extraRecipients = { "team@example.org", "bob" } },
master.lua:15: MailNotifier: extraRecipients[2] must be an address of mail such as "ann@example.org" or "Ann <ann@example.org>", got "bob"
  --> master.lua:15
   | 15 |   MailNotifier{ fromaddr = "buildbot", relayhost = "smtp example", smtpPort = 0, extraRecipients = { "team@example.org", "bob" } },
master.lua:16: MailNotifier: 'mode' belongs in one of its generators: give either generators or the arguments of old files
  --> master.lua:16
   | 16 |   MailNotifier{ fromaddr = "a@example.org", mode = "failing", generators = { build{} } },
master.lua:17: MailNotifier: 'useTls' and 'useSmtps' exclude each other: STARTTLS begins without TLS
  --> master.lua:17
   | 17 |   MailNotifier{ fromaddr = "a@example.org", useTls = true, useSmtps = true, smtpUser = "ann", builders = { "check" }, tags = {} },
master.lua:17: MailNotifier: 'smtpUser' needs 'smtpPassword'
  --> master.lua:17
   | 17 |   MailNotifier{ fromaddr = "a@example.org", useTls = true, useSmtps = true, smtpUser = "ann", builders = { "check" }, tags = {} },
master.lua:18: MailNotifier: 'lookup' must be a domain such as "example.org", a function or None, got "not a domain"
  --> master.lua:18
   | 18 |   MailNotifier{ fromaddr = "a@example.org", lookup = "not a domain", extraHeaders = { ["X Y"] = "z" } },
master.lua:19: HttpStatusPush: 'auth' must be a list of a user and a password, each text, a util.Secret or an Interpolate of one secret, got a list
  --> master.lua:19
   | 19 |   reporters.HttpStatusPush{ serverUrl = "example.org/x", auth = { "user" }, verify = 1, headers = { A = Interpolate("%(prop:x)s") } },
master.lua:19: HttpStatusPush: headers.A may hold %(secret:…)s only: there is no build whose properties it could have
  --> master.lua:19
   | 19 |   reporters.HttpStatusPush{ serverUrl = "example.org/x", auth = { "user" }, verify = 1, headers = { A = Interpolate("%(prop:x)s") } },
master.lua:19: HttpStatusPush: 'verify' must be true, false or the name of a file in PEM, got 1
  --> master.lua:19
   | 19 |   reporters.HttpStatusPush{ serverUrl = "example.org/x", auth = { "user" }, verify = 1, headers = { A = Interpolate("%(prop:x)s") } },
master.lua:20: ReporterBase "chat": has no method 'sendMessage(self, reports)': write reporters.ReporterBase:extend("Name", { sendMessage = function(self, reports) … end })
  --> master.lua:20
   | 20 |   reporters.ReporterBase{ name = "chat" },
master.lua:21: Chat: has no method 'sendMessage(self, reports)': write reporters.ReporterBase:extend("Name", { sendMessage = function(self, reports) … end })
  --> master.lua:21
   | 21 |   reporters.ReporterBase:extend("Chat", { sendMesage = function(self, reports) end }){},
master.lua:23: BuildmasterConfig: services[8] must be a reporter such as MailNotifier, got "mail"
  --> master.lua:23
   | 23 | }
warning: master.lua:21: Chat: the method 'sendMesage' overrides nothing (did you mean 'sendMessage'?)
  --> master.lua:21
   | 21 |   reporters.ReporterBase:extend("Chat", { sendMesage = function(self, reports) end }){},
19 mistakes
exit 1
]==]
