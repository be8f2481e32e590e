-- Who is told of builds, and what the mails say. The texts that are built in need none of the formatters below: a
-- MailNotifier with `fromaddr` and `relayhost` is enough.

local c = BuildmasterConfig
c.title, c.buildbotURL = "Hello World CI", "http://localhost:8010/"

c.workers = { LocalWorker{ "here", max_builds = 1 }, Worker{ "bot", "pass", notify_on_missing = "ops@example.org" } }
c.protocols = { pb = { port = 9989 } }
local factory = util.BuildFactory{
  steps.ShellCommand{ name = "compile", command = { "echo", "compiled" }, haltOnFailure = true },
  steps.ShellCommand{ name = "test", command = { "sh", "-c", "echo '3 tests failed'; exit 1" } },
}
c.builders = { util.BuilderConfig{ name = "runtests", workernames = { "here", "bot" }, factory = factory, tags = { "nightly" } } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "runtests" } } }

-- TEMPLATES ---------------------------------------------------------------------------------------------------------
-- A template sees the build as REST shows it, and what the reference lists as MessageContext. In HTML what fills the
-- places is escaped. Functions of Lua can be called from it.

local problem = reporters.MessageFormatter{
  subject = "{{ status_detected }}: {{ buildername }}, {{ short(sourcestamps) }}",
  template_filename = "templates/problem.html", template_type = "html",
  want_steps = true,
  ctx = { short = function(text) return #text > 40 and text:sub(1, 40) .. "…" or text end },
}

-- FUNCTIONS ---------------------------------------------------------------------------------------------------------
-- A class of one's own changes what it wants to; the rest stays built in. It may ask the master, and wait for the answer.

local Count = reporters.MessageFormatter:extend("Count")

function Count:buildAdditionalContext(master, ctx)
  local path = ("builders/%d/builds"):format(ctx.build.builderid)
  local failed = master.data:get(path, { results = FAILURE, limit = 1 })
  ctx.failures = failed.meta.total
end

function Count:render_message_subject(ctx)
  return ("%s (failures so far: %d)"):format(Count.super.render_message_subject(self, ctx), ctx.failures)
end

-- WHO IS TOLD -------------------------------------------------------------------------------------------------------

c.services = {
  -- New problems go to those who are responsible for the build.
  MailNotifier{
    name = "people", fromaddr = "buildbot@example.org", relayhost = "localhost", lookup = "example.org",
    generators = { reporters.BuildStatusGenerator{ mode = { "problem", "exception" }, message_formatter = problem } },
  },
  -- Everything that fails at night goes to a list, with the output of the tests hanging on the mail.
  MailNotifier{
    name = "list", fromaddr = "buildbot@example.org", relayhost = "localhost",
    sendToInterestedUsers = false, extraRecipients = { "nightly@example.org" },
    generators = {
      reporters.BuildStatusGenerator{ mode = "failing", tags = { "nightly" }, message_formatter = Count{ want_logs_content = { "test.stdio" } } },
      reporters.WorkerMissingGenerator{},
    },
  },
}
