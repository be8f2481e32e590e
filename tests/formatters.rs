//! Formatters that are written in Lua, wholly or in part: what they are called with, what may come back, and that a message comes
//! about whatever they do.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use buildmoon::config::FormatterSpec;
use buildmoon::lua::{LoadOptions, Loaded, load};
use buildmoon::model::{Absence, Results};
use buildmoon::report::format::{Callable, message};
use buildmoon::report::notice::WorkerNotice;
use buildmoon::report::{About, Composed};
use buildmoon::secrets::{BuildSecrets, SecretSource};
use support::reports::*;

struct Made {
    loaded: Loaded,
    folder: tempfile::TempDir,
}

impl Made {
    fn formatter(&self) -> Arc<FormatterSpec> {
        let generators = self.loaded.config.reporters.iter().flat_map(|r| &r.generators);
        generators.filter_map(|g| g.formatter.clone()).next().expect("a formatter")
    }

    async fn message(&self, about: &About<'_>) -> Composed {
        let secrets = BuildSecrets::new(SecretSource::new(self.loaded.config.clone(), self.loaded.generation.clone()), Arc::default());
        let callable = Callable { generation: &self.loaded.generation, secrets: &secrets };
        message(callable, Some(&self.formatter()), about, &Given::default().setting()).await
    }

    /// About a build that failed.
    async fn says(&self) -> Composed {
        self.message(&About::Finished(&build(Results::Failure))).await
    }
}

/// `source` makes the local `f`, from line 1 on.
async fn made(source: &str) -> Made {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("body.txt"), "From a file: {{ buildername }}\n").expect("a template");
    let generator = if source.contains("MissingWorker") { "WorkerMissingGenerator" } else { "BuildStatusGenerator" };
    let rest = format!(
        "BuildmasterConfig.title = 'CI'
local g = reporters.{generator}{{ message_formatter = f }}
BuildmasterConfig.services = {{ reporters.MailNotifier{{ fromaddr = 'ci@example.org', generators = {{ g }} }} }}"
    );
    std::fs::write(folder.path().join("master.lua"), format!("{source}\n{rest}")).expect("master.lua");
    let loaded = load(LoadOptions::new(folder.path())).await.unwrap_or_else(|m| panic!("{source}: {m:?}"));
    Made { loaded, folder }
}

async fn mistakes(source: &str) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("master.lua"), source).expect("master.lua");
    std::fs::write(folder.path().join("bad.txt"), "one\n{{ x\n").expect("a template");
    std::fs::write(folder.path().join("latin1.txt"), b"gr\xfc\xdfe").expect("a template");
    match load(LoadOptions::new(folder.path())).await {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.iter().map(ToString::to_string).collect(),
    }
}

#[tokio::test]
async fn functions_of_the_context_are_called_by_templates() {
    let made = made(
        "local f = reporters.MessageFormatter{ template = '{{ loud(buildername) }} {{ n + 1 }} {{ results }} {{ deep.f() }}',
  subject = '{{ loud(result_names[previous_results]) }}', ctx = { loud = string.upper, n = 1, results = 'mine', deep = { f = function() return 'deep' end } } }",
    )
    .await;
    let said = made.says().await;
    assert_eq!((said.failed.as_deref(), said.text.as_deref()), (None, Some("RUNTESTS 2 mine deep")));
    assert!(said.html.is_none() && said.subject == "SUCCESS");
}

#[tokio::test]
async fn a_class_adds_to_the_context() {
    let made = made(
        "local F = reporters.MessageFormatter:extend('F', { template = '{{ sigil }}{{ buildername }} by {{ owner }} {{ buildbot_title }}' })
function F:buildAdditionalContext(master, ctx)
  ctx.owner = ctx.build.properties.owner[1]
  ctx.buildbot_title = master.config.title
  sleep(0.01)
end
local f = F{ ctx = { sigil = '#' } }",
    )
    .await;
    let said = made.says().await;
    assert_eq!((said.failed.as_deref(), said.text.as_deref()), (None, Some("#runtests by alice@example.org CI")));
    assert_eq!(said.subject, "runtests #7 failed (main) - Hello World CI");
}

#[tokio::test]
async fn parts_can_be_overridden_over_generations() {
    let made = made(
        "local A = reporters.MessageFormatter:extend('A')
function A:render_message_body(ctx) return 'A<' .. A.super.render_message_body(self, ctx):match('^[^\\n]*') .. '>' end
local B = A:extend('B')
function B:render_message_body(ctx) return 'B ' .. B.super.render_message_body(self, ctx) end
function B:render_message_subject(ctx) return 'own\\r\\nBcc: x@example.org' end
function B:render_message_extra_info(ctx) return { pushover = { priority = 1 } } end
local f = B{}",
    )
    .await;
    let said = made.says().await;
    assert_eq!(said.failed, None);
    assert_eq!(said.text.as_deref(), Some("B A<runtests #7 failed.>"));
    assert!(said.html.is_none(), "the built-in HTML says something else");
    assert_eq!(said.subject, "own Bcc: x@example.org");
    assert_eq!(said.extra_info, serde_json::json!({ "pushover": { "priority": 1 } }));
}

#[tokio::test]
async fn format_makes_the_whole_message() {
    let made = made(
        "local F = reporters.MessageFormatter:extend('F')
function F:format(ctx)
  local m = F.super.format(self, ctx)
  m.subject = ctx.result_names[ctx.results + 1] .. ': ' .. m.subject
  return m
end
local f = F()",
    )
    .await;
    let said = made.says().await;
    assert_eq!((said.failed.clone(), said.subject.as_str()), (None, "failure: runtests #7 failed (main) - Hello World CI"));
    assert!(said.text.is_some_and(|t| t.starts_with("runtests #7 failed.\n")) && said.html.is_some_and(|h| h.contains("<table")));
    let inline =
        self::made("local f = reporters.MessageFormatter{ format = function(self, ctx) return { body = '<i>x</i>', type = 'html' } end }")
            .await;
    let said = inline.says().await;
    assert_eq!((said.failed, said.text, said.html.as_deref()), (None, None, Some("<i>x</i>")));
}

#[tokio::test]
async fn functions_and_renderables() {
    let f = made("local f = reporters.MessageFormatterFunction(function(ctx) return ctx.build.state_string end, 'plain')").await;
    assert_eq!(f.says().await.text.as_deref(), Some("3 tests failed (failure)"));
    let data = made("local f = reporters.MessageFormatterFunction{ function(ctx) return { n = ctx.build.number, tags = ctx.build.builder.tags } end, 'json' }").await;
    let said = data.says().await;
    assert_eq!((said.failed, said.json), (None, Some(serde_json::json!({ "n": 7, "tags": ["nightly"] }))));
    let raw = made(
        "local f = reporters.MessageFormatterFunctionRaw{ ['function'] = function(master, ctx)
  return { body = master.config.title .. ' ' .. ctx.buildername, html = '<p>', subject = 's', extra_info = { a = { b = 1 } } }
end }",
    )
    .await;
    let said = raw.says().await;
    assert_eq!((said.text.as_deref(), said.html.as_deref(), said.subject.as_str()), (Some("CI runtests"), Some("<p>"), "s"));
    assert_eq!(said.extra_info, serde_json::json!({ "a": { "b": 1 } }));
    let rendered = made(
        "local f = reporters.MessageFormatterRenderable{ Interpolate('%(prop:buildername)s by %(prop:owner)s on %(src::branch)s %(kw:n)s',
  { n = util.renderer(function(props) return props.build.number end) }), subject = Interpolate('about %(prop:buildername)s') }",
    )
    .await;
    let said = rendered.says().await;
    assert_eq!((said.failed, said.subject.as_str()), (None, "about runtests"));
    assert_eq!(said.text.as_deref(), Some("runtests by alice@example.org on main 7"));
    let empty = made("local f = reporters.MessageFormatterEmpty{}").await.says().await;
    assert_eq!((empty.text, empty.html, empty.subject.as_str()), (None, None, "runtests #7 failed (main) - Hello World CI"));
}

#[tokio::test]
async fn classes_have_arguments_and_init_of_their_own() {
    let made = made(
        "local F = reporters.MessageFormatter:extend('F', { args = { channel = 'string', loud = { 'boolean', default = true } } })
function F:init(args)
  self.greeting = 'to ' .. args.channel
  F.super.init(self, { template = '{{ greeting }}: {{ buildername }}', ctx = { greeting = self.greeting } })
end
function F:render_message_subject(ctx) return (self.loud and 'LOUD ' or '') .. self.channel end
local G = F:extend('G')
local f = G{ channel = 'ops' }",
    )
    .await;
    let said = made.says().await;
    assert_eq!((said.failed, said.text.as_deref(), said.subject.as_str()), (None, Some("to ops: runtests"), "LOUD ops"));
}

#[tokio::test]
async fn messages_about_workers_are_formatted_too() {
    let made = made(
        "local F = reporters.MessageFormatterMissingWorker:extend('F')
function F:format(ctx)
  local m = F.super.format(self, ctx)
  return { subject = ctx.worker.name .. ' ' .. ctx.state, body = m.body:match('^[^\\n]*') .. ' ' .. #ctx.worker.building .. ' ' .. ctx.worker.notify[1] }
end
local f = F{}",
    )
    .await;
    let absence = Absence { worker: "bot".into(), since: NOW, last_seen: None, peer: None, told_at: None };
    let (admin, host, version, why, url) = (None, None, None, None, String::new());
    let worker = WorkerNotice { absence, now: after(60), admin, host, version, building: vec![], why, notify: vec!["b@c.org".into()], url };
    let said = made.message(&About::Missing(&worker)).await;
    assert_eq!((said.failed, said.text.as_deref()), (None, Some("Worker bot is missing. 0 b@c.org")));
    assert_eq!(said.subject, "bot missing");
}

#[tokio::test]
async fn extra_info_and_files() {
    let made = made(
        "local f = reporters.MessageFormatter{ template_filename = 'body.txt', template_dir = '.',
  extra_info_cb = function(ctx) return { info = { builder = ctx.buildername } } end }",
    )
    .await;
    let said = made.says().await;
    assert_eq!((said.failed.clone(), said.text.as_deref()), (None, Some("From a file: runtests")));
    assert_eq!(said.extra_info, serde_json::json!({ "info": { "builder": "runtests" } }));
    let read: Vec<_> = made.loaded.files.iter().map(|f| format!("{f:?}")).collect();
    assert!(read.iter().any(|f| f.contains("body.txt")), "the template belongs to the configuration: {read:?} {:?}", made.folder);
}

#[tokio::test]
async fn a_build_set_calls_the_formatter_for_each_build() {
    let made =
        made("local f = reporters.MessageFormatterFunction{ function(ctx) return ctx.buildername .. ' ' .. ctx.results end, 'plain' }")
            .await;
    let set = two_builds();
    let builds = set.builds.iter().collect();
    let said = made.message(&About::Set { set: &set, builds, combined: false }).await;
    assert_eq!((said.failed, said.text.as_deref()), (None, Some("runtests 2\n\n\ndocs 0\n")));
}

#[tokio::test]
async fn whatever_a_formatter_does_there_is_a_message() {
    let cases = [
        ("function(self, ctx) error('boom') end", "master.lua:1: format: boom"),
        (
            "function(self, ctx) return nil end",
            "master.lua:1: format: must give a text or a table of body, type, subject and extra_info, got nil",
        ),
        ("function(self, ctx) return { body = 5 } end", "must give the body as text, got 5"),
        ("function(self, ctx) return { body = 'x', type = 'pdf' } end", "must give 'plain', 'html' or 'json' as type, got \"pdf\""),
        ("function(self, ctx) return { body = 'x', subject = {} } end", "must give the subject as text, got a table"),
        ("function(self, ctx) return { body = 'x', extra_info = { a = 1 } } end", "must give extra_info as a table of tables, got 1 at a"),
        ("function(self, ctx) return ('x'):rep(2000000) end", "gave body of 2000000 bytes, it may have 1048576 at most"),
        (
            "function(self, ctx) return { body = print, type = 'json' } end",
            "gave the body with something that is no plain data: a function",
        ),
        ("function(self, ctx) return { body = '\\xff' } end", "gave text that is not UTF-8 as body"),
        ("function(self, ctx) return ctx.build.nothing.there end", "attempt to index a nil value"),
    ];
    for (function, why) in cases {
        let made = made(&format!("local f = reporters.MessageFormatter{{ format = {function} }}")).await;
        let said = made.says().await;
        let text = said.text.expect("text");
        assert!(text.starts_with("runtests #7 failed.\n"), "{function}: {text}");
        let failed = said.failed.unwrap_or_default();
        let start = "This is the built-in text, since MessageFormatter (master.lua:1) failed: master.lua:1: format: ";
        assert!(failed.starts_with(start) && failed.contains(why), "{function}: {failed}");
        assert!(text.contains(start), "{text}");
        assert_eq!(said.subject, "runtests #7 failed (main) - Hello World CI");
    }
    let made = made("local f = reporters.MessageFormatterRenderable{ Interpolate('%(secret:none)s') }").await;
    let failed = made.says().await.failed.expect("it failed");
    assert!(failed.contains("failed: template: there is no secret 'none': c.secretsProviders is empty"), "{failed}");
}

#[tokio::test]
async fn a_formatter_that_never_ends_is_ended() {
    let made = made(
        "BuildmasterConfig.lua = { callback_timeout = 1 }
local f = reporters.MessageFormatterFunction{ function(ctx) while true do end end, 'plain' }",
    )
    .await;
    let began = Instant::now();
    let said = made.says().await;
    assert!(began.elapsed() < Duration::from_secs(20));
    let failed = said.failed.expect("it failed");
    assert!(failed.ends_with("failed: master.lua:2: MessageFormatterFunction: did not return within its budget of 1.0 s"), "{failed}");
    assert!(said.text.is_some_and(|t| t.starts_with("runtests #7 failed.\n")));
}

#[tokio::test]
async fn mistakes_are_told_at_load() {
    let told = mistakes("local a = reporters.MessageFormatter{ template = 'a\\n{% if %}' }").await;
    assert_eq!(told, ["master.lua:1: MessageFormatter: 'template': line 2 of the template: syntax error: unexpected end of block"]);
    let told = mistakes("local a = reporters.MessageFormatter{ template_filename = 'bad.txt' }").await;
    assert!(told[0].starts_with("master.lua:1: MessageFormatter: 'template_filename' \"bad.txt\": line 2 of the template: "), "{told:?}");
    let told = mistakes("local a = reporters.MessageFormatter{ subject_filename = 'no.txt' }").await;
    assert!(told.len() == 1 && told[0].starts_with("master.lua:1: MessageFormatter: 'subject_filename': "), "{told:?}");
    assert!(told[0].contains("no.txt") && told[0].contains("No such file"), "{told:?}");
    let told = mistakes("local a = reporters.MessageFormatter{ template_filename = 'latin1.txt' }").await;
    assert_eq!(told, ["master.lua:1: MessageFormatter: 'template_filename': latin1.txt is not UTF-8"]);
    let told = mistakes("local a = reporters.MessageFormatter{ template = 'x', template_filename = 'bad.txt' }").await;
    assert_eq!(told, ["master.lua:1: MessageFormatter: 'template' given twice, also as the file 'bad.txt'"]);
    let told = mistakes("local a = reporters.MessageFormatterFunction{ 'x' }").await;
    assert_eq!(told[0], "master.lua:1: MessageFormatterFunction: 'function' must be a function, got \"x\"");
    let told =
        mistakes("local F = reporters.MessageFormatter:extend('F')\nfunction F:format_message_for_build(master, build) end\nlocal a = F{}")
            .await;
    assert!(
        told[0].starts_with("master.lua:3: F: the method 'format_message_for_build' is not called: write format(self, ctx)"),
        "{told:?}"
    );
    assert_eq!(
        mistakes("local a = reporters.MessageFormatter{ want_steps = true, wantLogs = { 'stdio' }, ctx = { f = print } }").await,
        [""; 0]
    );
}
