//! An example of each class for the reference, and what Buildbot calls it where that differs. A test evaluates every one of them.

/// What the reference says of a class besides its declaration.
pub struct Note {
    pub class: &'static str,
    /// As it would stand in a `master.lua`.
    pub example: &'static str,
    /// Empty where Buildbot has the same name in the same place.
    pub buildbot: &'static str,
}

const fn note(class: &'static str, example: &'static str) -> Note {
    Note { class, example, buildbot: "" }
}

const fn other(class: &'static str, buildbot: &'static str, example: &'static str) -> Note {
    Note { class, example, buildbot }
}

pub const NOTES: &[Note] = &[
    note("Worker", r#"c.workers = { Worker{ "bot", "pass", max_builds = 2, properties = { os = "linux" } } }"#),
    note("LocalWorker", r#"c.workers = { LocalWorker{ "here", max_builds = 1 } }"#),
    other(
        "LatentWorker",
        "buildbot.worker.AbstractLatentWorker",
        r#"local Rack = LatentWorker:extend("RackWorker", { args = { rack_url = "string" } })
function Rack:start_instance(build)
  local unit = http.post(self.rack_url .. "/boot", { json = { name = self.name, password = self.password, launch_id = self.launch_id } })
  if unit.status == 503 then latent.capacity("the rack is full") end
  if unit.status ~= 201 then error("the rack answered " .. unit.status) end
  return { handle = unit.json.id, status = { "rack unit", unit.json.id } }
end
function Rack:stop_instance(handle, fast) http.delete(self.rack_url .. "/units/" .. handle) end
function Rack:list_instances() return http.get(self.rack_url .. "/units?owner=" .. self.master_id).json end
c.workers = { Rack{ "bot", rack_url = "http://rack.example.org", build_wait_timeout = 600 } }"#,
    ),
    note(
        "OpenStackLatentWorker",
        r##"c.workers = { OpenStackLatentWorker{ "bot", flavor = "m1.small", image = "debian-13", networks = { "builds" },
  os_auth_url = "https://cloud.example:5000/v3", os_username = "ci", os_password = "pass", os_tenant_name = "builds",
  user_data = util.Interpolate("#!/bin/sh\nbuildbot-worker create-worker /w %(prop:master_host)s %(prop:workername)s %(prop:workerpassword)s\nbuildbot-worker start /w\n") } }"##,
    ),
    note(
        "ProcessLatentWorker",
        r#"c.workers = {
  ProcessLatentWorker{ "here", program = "/opt/worker/bin/buildbot-worker", build_wait_timeout = 60 },
  ProcessLatentWorker{ "there", host = "builder@big.example.org", masterFQDN = "ci.example.org", max_builds = 4 },
}"#,
    ),
    note(
        "FakeLatentWorker",
        r#"c.workers = { FakeLatentWorker{ "test", start_time = 5, build_wait_timeout = 0 } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "check" },
  properties = { util.ChoiceStringParameter{ name = "fake_start", choices = { "ok", "capacity", "error", "lost" }, default = "ok" } } } }
c.builders = { util.BuilderConfig{ name = "check", workernames = { "test" }, factory = util.BuildFactory{} } }"#,
    ),
    note(
        "DockerLatentWorker",
        r#"c.workers = { DockerLatentWorker{ "bot", None, "unix:///var/run/docker.sock", image = Interpolate("ci/%(prop:distribution:-debian)s"),
  hostconfig = { network_mode = "host", mem_limit = "4g" }, autopull = true } }"#,
    ),
    note(
        "LibVirtWorker",
        r#"c.workers = { LibVirtWorker{ "bot", None, base_image = "/srv/images/ci.qcow2", uri = "qemu:///system", memory = 4096, vcpus = 2 } }"#,
    ),
    note("EC2LatentWorker", r#"c.workers = { EC2LatentWorker{ "bot", None, "m5.large", ami = "ami-1234", build_wait_timeout = 600 } }"#),
    other(
        "EC2LatentBuildSlave",
        "The old class; its key pair and its group are called `latent_buildbot_slave`.",
        r#"c.workers = { EC2LatentBuildSlave{ "bot", "pass", "m5.large", ami = "ami-1234" } }"#,
    ),
    note(
        "BuilderConfig",
        r#"local f = util.BuildFactory{ steps.ShellCommand{ command = { "make", "check" } } }
c.workers = { Worker{ "bot", "pass" } }
c.builders = { util.BuilderConfig{ name = "check", workernames = { "bot" }, factory = f } }"#,
    ),
    note(
        "BuildFactory",
        r#"local f = util.BuildFactory{ workdir = "src" }
f:addStep(steps.ShellCommand{ command = { "make", "check" } })"#,
    ),
    other(
        "BuildStep",
        "buildbot.process.buildstep.BuildStep, and ShellMixin in one",
        r#"local Tag = steps.BuildStep:extend("Tag", { args = { tag = "string" } })
function Tag:run()
  local cmd = self:makeRemoteShellCommand{ command = { "git", "tag", self.tag } }
  self:runCommand(cmd)
  return cmd:results()
end
local step = Tag{ tag = "nightly" }"#,
    ),
    note("ShellCommand", r#"local step = steps.ShellCommand{ name = "check", command = { "make", "check" }, haltOnFailure = true }"#),
    note("Configure", r#"local step = steps.Configure{ command = { "./configure", "--prefix=/opt" } }"#),
    note(
        "WarningCountingShellCommand",
        r#"local step = steps.WarningCountingShellCommand{ command = { "make" }, warningPattern = "^.*: warning: ", maxWarnCount = 10 }"#,
    ),
    note("Compile", r#"local step = steps.Compile{ command = { "make", "-j4" } }"#),
    note("Test", r#"local step = steps.Test{ command = { "make", "check" }, flunkOnWarnings = true }"#),
    note(
        "ShellSequence",
        r#"local step = steps.ShellSequence{ commands = {
  util.ShellArg{ command = { "make" }, logname = "make" },
  util.ShellArg{ command = { "make", "install" } },
} }"#,
    ),
    note("SetProperty", r#"local step = steps.SetProperty{ property = "channel", value = Interpolate("%(prop:branch)s-nightly") }"#),
    note("SetProperties", r#"local step = steps.SetProperties{ properties = { channel = "nightly", keep = 3 } }"#),
    note("SetPropertyFromCommand", r#"local step = steps.SetPropertyFromCommand{ command = { "uname", "-m" }, property = "machine" }"#),
    note("ShellArg", r#"local arg = util.ShellArg{ command = { "make" }, logname = "make", haltOnFailure = true }"#),
    note(
        "ForceScheduler",
        r#"local f = util.BuildFactory{ steps.ShellCommand{ command = "true" } }
c.workers = { Worker{ "bot", "pass" } }
c.builders = { util.BuilderConfig{ name = "check", workernames = "bot", factory = f } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "check" } } }"#,
    ),
    note("FixedParameter", r#"local p = util.FixedParameter{ name = "channel", default = "nightly" }"#),
    note("StringParameter", r#"local p = util.StringParameter{ name = "version", label = "Version:", regex = "^[0-9.]+$" }"#),
    note("TextParameter", r#"local p = util.TextParameter{ name = "notes", cols = 60, rows = 5 }"#),
    note("IntParameter", r#"local p = util.IntParameter{ name = "jobs", default = 4 }"#),
    note("BooleanParameter", r#"local p = util.BooleanParameter{ name = "clean", label = "Start afresh", default = false }"#),
    note("UserNameParameter", r#"local p = util.UserNameParameter{ label = "Your name:", size = 40 }"#),
    note(
        "ChoiceStringParameter",
        r#"local p = util.ChoiceStringParameter{ name = "target", choices = { "test", "live" }, default = "test" }"#,
    ),
    note("WorkerChoiceParameter", r#"local p = util.WorkerChoiceParameter{ label = "On which worker:" }"#),
    note("FileParameter", r#"local p = util.FileParameter{ name = "patch", maxsize = 65536 }"#),
    note("AnyPropertyParameter", r#"local p = util.AnyPropertyParameter{ name = "extra" }"#),
    note(
        "NestedParameter",
        r#"local p = util.NestedParameter{ name = "options", layout = "vertical", fields = {
  util.StringParameter{ name = "version" },
  util.BooleanParameter{ name = "debug" },
} }"#,
    ),
    note(
        "CodebaseParameter",
        r#"local p = util.CodebaseParameter{ codebase = "", branch = util.StringParameter{ name = "branch", default = "main" } }"#,
    ),
    note("Property", r#"local step = steps.ShellCommand{ command = { "echo", Property("branch", "main") } }"#),
    note(
        "Interpolate",
        r#"local step = steps.ShellCommand{ command = { "echo", Interpolate("%(prop:branch:-main)s on %(prop:workername)s") } }"#,
    ),
    other("WithProperties", "buildbot.process.properties.WithProperties, which is gone there, too", ""),
    note(
        "Transform",
        r#"local upper = util.Transform(function(s) return s and s:upper() end, Property("branch"))
local step = steps.ShellCommand{ command = { "echo", upper } }"#,
    ),
    note(
        "renderer",
        r#"local jobs = util.renderer(function(props) return "-j" .. (props:getProperty("jobs") or 2) end)
local step = steps.ShellCommand{ command = { "make", jobs } }"#,
    ),
    note("FlattenList", r#"local step = steps.ShellCommand{ command = util.FlattenList{ { "make", { "check", "V=1" } } } }"#),
    other(
        "UserData",
        "none, it is Buildmoon's own",
        r#"local data = util.UserData{ "ci.example.org:9989", packages = { "git", "make" }, power_off_after = "20m" }"#,
    ),
    note("Secret", r#"local step = steps.ShellCommand{ command = "deploy", env = { TOKEN = util.Secret("token") }, logEnviron = false }"#),
    note("SecretInAFile", r#"c.secretsProviders = { secrets.SecretInAFile{ dirname = "secrets", suffixes = { "", ".txt" } } }"#),
    note("SecretInPass", r#"c.secretsProviders = { secrets.SecretInPass{ dirname = "password-store" } }"#),
    other(
        "SecretInCommand",
        "none, it is Buildmoon's own",
        r#"c.secretsProviders = { secrets.SecretInCommand{ { "vault", "kv", "get", "-field=value", "ci/%(name)s" }, timeout = 10 } }"#,
    ),
    other(
        "SecretInEnvironment",
        "none, it is Buildmoon's own",
        r#"c.secretsProviders = { secrets.SecretInEnvironment{ prefix = "CI_" } }"#,
    ),
    other(
        "SecretProviderBase",
        "buildbot.secrets.providers.base.SecretProviderBase",
        r#"local Table = secrets.SecretProviderBase:extend("Table", { args = { values = "table" } })
function Table:get(name) return self.values[name] end
c.secretsProviders = { Table{ values = { token = "s3cret" } } }"#,
    ),
    note(
        "MailNotifier",
        r#"c.services = { MailNotifier{
  fromaddr = "Buildbot <buildbot@example.org>", relayhost = "smtp.example.org", useTls = true,
  sendToInterestedUsers = false, extraRecipients = { "team@example.org" },
  generators = { reporters.BuildStatusGenerator{ mode = { "problem", "exception" } }, reporters.WorkerMissingGenerator{} },
} }"#,
    ),
    note("HttpStatusPush", r#"c.services = { reporters.HttpStatusPush{ serverUrl = "https://example.org/builds" } }"#),
    other(
        "ReporterBase",
        "buildbot.reporters.base.ReporterBase",
        r#"local Chat = reporters.ReporterBase:extend("Chat", { args = { room = "string" } })
function Chat:sendMessage(reports)
  for _, report in ipairs(reports) do
    http.post("https://chat.example.org/" .. self.room, { json = { text = report.subject }, check = true })
  end
end
c.services = { Chat{ room = "builds", generators = { reporters.BuildStatusGenerator{ mode = "failing" } } } }"#,
    ),
    note("BuildStatusGenerator", r#"local g = reporters.BuildStatusGenerator{ mode = "problem", tags = { "nightly" } }"#),
    note("BuildSetStatusGenerator", r#"local g = reporters.BuildSetStatusGenerator{ mode = { "failing", "exception" } }"#),
    note("BuildSetCombinedStatusGenerator", r#"local g = reporters.BuildSetCombinedStatusGenerator{}"#),
    note("BuildStartEndStatusGenerator", r#"local g = reporters.BuildStartEndStatusGenerator{ builders = { "release" } }"#),
    note("BuildRequestGenerator", r#"local g = reporters.BuildRequestGenerator{}"#),
    note("WorkerMissingGenerator", r#"local g = reporters.WorkerMissingGenerator{ workers = { "bot-solaris" } }"#),
    note(
        "MessageFormatter",
        r#"local f = reporters.MessageFormatter{
  subject = "{{ buildername }}: {{ result_names[results] }}",
  template = "{{ summary }}\n\n{{ build_url }}\n{% for name in blamelist %}{{ called(name) }}\n{% endfor %}",
  ctx = { called = function(name) return name:gsub("@.*", "") end },
}"#,
    ),
    note(
        "MessageFormatterRenderable",
        r#"local f = reporters.MessageFormatterRenderable{ Interpolate("%(prop:buildername)s on %(prop:workername)s") }"#,
    ),
    note(
        "MessageFormatterFunction",
        r#"local f = reporters.MessageFormatterFunction{ function(ctx) return ctx.build.state_string end, "plain" }"#,
    ),
    note(
        "MessageFormatterFunctionRaw",
        r#"local f = reporters.MessageFormatterFunctionRaw{ function(master, ctx)
  return { subject = master.config.title, body = ctx.summary, type = "plain" }
end }"#,
    ),
    note("MessageFormatterEmpty", r#"local f = reporters.MessageFormatterEmpty{}"#),
    note(
        "MessageFormatterMissingWorker",
        r#"local f = reporters.MessageFormatterMissingWorker{
  subject = "{{ worker.name }} is {{ state }}", template = "Last seen: {{ worker.last_connection }}",
}"#,
    ),
];

pub fn note_of(class: &str) -> Option<&'static Note> {
    NOTES.iter().find(|n| n.class == class)
}
