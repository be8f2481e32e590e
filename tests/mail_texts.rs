//! What arrives by mail of real builds: the built-in texts with the end of a log, logs as attachments, texts by templates and by Lua,
//! and the built-in text in place of what failed. Sent by the real program, read by Python's `email`.

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::master::copy_dir;
use support::*;

const HEAD: &str = r#"
c.title = "Prüfstand <CI>"
c.lua = { callback_timeout = 3 }
local Provider = secrets.SecretProviderBase:extend("Provider", { get = function() return "s3cr3t-value" end })
c.secretsProviders = { Provider{} }
local function notify(to, generator)
  return MailNotifier{ name = to, fromaddr = "ci@example.org", relayhost = "127.0.0.1", smtpPort = @SMTP@, generators = { generator },
    extraRecipients = { to .. "@example.org" }, sendToInterestedUsers = false }
end
local function by(formatter) return reporters.BuildStatusGenerator{ mode = "all", message_formatter = formatter } end
local check = [[
i=1; while [ $i -le 300 ]; do echo "line $i of the output"; i=$((i+1)); done
printf '\033[31massert <x> & \303\244\033[0m\n'
echo "no $TOKEN here" >&2
exit 1]]
c.workers = { LocalWorker{ "w" } }
c.builders = { util.BuilderConfig{ name = "check", workernames = { "w" }, factory = util.BuildFactory{
  steps.ShellCommand{ name = "compile", command = "echo compiled" },
  steps.ShellCommand{ name = "check <b>", command = check, env = { TOKEN = util.Secret("token") }, logEnviron = false } } } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "check" } } }
"#;

fn mails(services: &str, names: &[&str]) -> (Master, MailSink, Vec<Value>) {
    let sink = MailSink::start();
    let config = format!("{HEAD}{services}").replace("@SMTP@", &sink.port.to_string());
    let master = Master::start(&config);
    let build = master.build("check", json!({}));
    assert_eq!(build["results"], FAILURE, "{build:#}");
    let all = sink.wait_mails(names.len());
    let found = names.iter().map(|name| {
        let address = json!(format!("{name}@example.org"));
        let mail = all.iter().find(|m| m["to"][0][1] == address);
        mail.unwrap_or_else(|| panic!("no mail to {name}: {all:#?}")).clone()
    });
    let found: Vec<Value> = found.collect();
    for mail in &found {
        assert_eq!(mail["defects"], json!([]), "{mail:#}");
    }
    (master, sink, found)
}

fn text<'a>(mail: &'a Value, what: &str) -> &'a str {
    mail[what].as_str().unwrap_or_default()
}

fn subject(mail: &Value) -> &str {
    mail["headers"]["subject"][0].as_str().unwrap_or_default()
}

#[test]
fn the_built_in_text_says_why_a_build_failed() {
    let (master, _sink, mails) = mails("c.services = { notify('plain', by(nil)) }", &["plain"]);
    let (mail, plain, html) = (&mails[0], text(&mails[0], "text").replace('\r', ""), text(&mails[0], "html"));
    assert_eq!(subject(mail), "check #1 failed - Prüfstand <CI>");
    assert!(plain.starts_with("check #1 failed.\n\nResult      failure\n"), "{plain}");
    for row in ["\nBuilder     check\n", "\nWorker      w\n", "\nSource      the newest revision\n", "\nTook        "] {
        assert!(plain.contains(row), "{row}: {plain}");
    }
    assert!(plain.contains("\nStep 1 \"check <b>\" failed after "), "{plain}");
    assert!(plain.contains("\nLog \"stdio\", the last 25 lines of what it says\n"), "{plain}");
    assert!(
        plain.contains("    line 300 of the output\n") && plain.contains("    assert <x> & ä\n") && !plain.contains("line 200 of"),
        "{plain}"
    );
    assert!(
        html.contains("assert &lt;x&gt; &amp; ä") && html.contains("check &lt;b&gt;") && html.contains("Prüfstand &lt;CI&gt;"),
        "{html}"
    );
    assert!(mail["attachments"].as_array().is_some_and(Vec::is_empty), "{mail:#}");
    drop(master);
}

#[test]
fn formatters_of_every_kind() {
    let services = r#"
local Short = reporters.MessageFormatter:extend("Short", { want_steps = true,
  template = "{{ last }} by {{ build['properties']['buildername'][0] }}: {% for s in build.steps %}{{ s.name }}={{ result_names[s.results] }} {% endfor %}" })
function Short:buildAdditionalContext(master, ctx)
  local builds = master.data:get("builders/check/builds", { limit = 1 })
  ctx.last = #builds.builds .. " build " .. master.config.title
end
function Short:render_message_subject(ctx) return "own: " .. ctx.status_detected end
c.services = {
  notify("logs", by(reporters.MessageFormatter{ want_logs_content = { "check <b>.stdio" }, template_type = "html",
    template = "<p>{{ buildername }}{% for s in build.steps %}{% for l in s.logs if l.content %}<pre>{% for line in l.content.content.splitlines() if line[0] == 'e' %}{{ line }}{% endfor %}</pre>{% endfor %}{% endfor %}" })),
  notify("own", by(Short{})),
  notify("raw", by(reporters.MessageFormatterFunctionRaw(function(master, ctx) return { body = "raw " .. ctx.build.number, subject = "a\nb" } end))),
  notify("rendered", by(reporters.MessageFormatterRenderable(Interpolate("%(prop:buildername)s on %(prop:workername)s")))),
  notify("set", reporters.BuildSetStatusGenerator{ mode = "all" }),
}"#;
    let (master, _sink, mails) = mails(services, &["logs", "own", "raw", "rendered", "set"]);
    let [logs, own, raw, rendered, set] = &mails[..] else { panic!("{mails:#?}") };
    let html = text(logs, "html");
    assert!(html.trim_end() == "<p>check<pre>eno &lt;token&gt; here</pre>" && logs["text"].is_null(), "{html}");
    let files = logs["attachments"].as_array().expect("attachments");
    assert_eq!((files.len(), files[0]["name"].as_str()), (1, Some("check _b_.stdio")), "{logs:#}");
    let content = base64_of(&files[0]["content"]);
    assert!(content.contains("line 1 of the output\n") && content.contains("\nline 300 of the output\n"), "{content}");
    assert!(content.contains("no <token> here") && !content.contains("s3cr3t"), "{content}");
    assert_eq!(subject(own), "own: failed build");
    assert_eq!(text(own, "text").trim_end(), "1 build Prüfstand <CI> by check: compile=success check <b>=failure");
    assert_eq!((subject(raw), text(raw, "text").trim_end()), ("a b", "raw 1"));
    assert_eq!(text(rendered, "text").trim_end(), "check on w");
    assert!(subject(set).starts_with("Build set 1 failed: check - "), "{}", subject(set));
    assert!(text(set, "text").contains("check #1: Step 1 \"check <b>\" failed after "), "{set:#}");
    drop(master);
}

#[test]
fn what_fails_is_told_in_the_mail() {
    let services = r#"
c.services = {
  notify("raises", by(reporters.MessageFormatterFunction(function(ctx) error("boom " .. ctx.buildername) end, "plain"))),
  notify("loops", by(reporters.MessageFormatterFunction(function(ctx) while true do end end, "plain"))),
  notify("template", by(reporters.MessageFormatter{ template = "{{ build.nothing.there }}" })),
  notify("fine", by(reporters.MessageFormatter{ template = "fine" })),
}"#;
    let (master, _sink, mails) = mails(services, &["raises", "loops", "template", "fine"]);
    let cases = [
        ("MessageFormatterFunction", "MessageFormatterFunction: boom check"),
        ("MessageFormatterFunction", "MessageFormatterFunction: did not return within its budget of 3.0 s"),
        ("MessageFormatter", "template: line 1 of the template: undefined value"),
    ];
    for (mail, (class, why)) in mails.iter().zip(cases) {
        let plain = text(mail, "text").replace('\r', "");
        assert!(plain.starts_with("check #1 failed.\n") && plain.contains("    assert <x> & ä\n"), "{plain}");
        let told = plain.lines().find(|l| l.starts_with("This is the built-in text, since ")).unwrap_or_else(|| panic!("{plain}"));
        assert!(told.contains(&format!("{class} (master.lua:")) && told.contains(why), "{told}");
        assert!(master.log().lines().any(|l| l.contains("a message is not as the configuration has it") && l.contains(why)), "{why}");
    }
    assert_eq!(text(&mails[3], "text").trim_end(), "fine");
    drop(master);
}

#[test]
fn a_reload_changes_what_mails_say() {
    let sink = MailSink::start();
    let config = |template: &str, function: &str| {
        let formatter = format!(
            "reporters.MessageFormatter{{ template = '{template}', subject_filename = 'subject.txt', ctx = {{ f = function() return {function} end }} }}"
        );
        format!("{HEAD}c.services = {{ notify('plain', by({formatter})) }}").replace("@SMTP@", &sink.port.to_string())
    };
    let mut master = Master::create("");
    let subject_file = master.dir().join("subject.txt");
    let write = |text: &str| std::fs::write(&subject_file, text).expect("a template");
    write("one {{ buildername }}");
    master.configure(&config("{{ f() }} one", "1"));
    master.launch();
    let mut said = Vec::new();
    let mut build = |master: &Master| {
        master.build("check", json!({}));
        let mail = sink.wait_mails(said.len() + 1).pop().expect("a mail");
        said.push(format!("{}: {}", subject(&mail), text(&mail, "text").trim_end()));
    };
    build(&master);
    for (template, function, file) in [("{{ f() }} two", "1", "one"), ("{{ f() }} two", "2", "one"), ("{{ f() }} two", "2", "two")] {
        write(&format!("{file} {{{{ buildername }}}}"));
        master.configure(&config(template, function));
        let ran = master.command("reconfig", &[], &[]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.out.contains("MailNotifier") || ran.err.contains("MailNotifier"), "{template} {function} {file}: {ran:?}");
        build(&master);
    }
    assert_eq!(said, ["one check: 1 one", "one check: 1 two", "one check: 2 two", "two check: 2 two"]);
}

#[test]
fn the_example_sends_what_it_says() {
    let sink = MailSink::start();
    let mut master = Master::create("");
    copy_dir(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/mail/templates"), &master.dir().join("templates"));
    let source = include_str!("../examples/mail/master.lua").replace("c.protocols = { pb = { port = 9989 } }", "");
    let relay = format!("relayhost = \"127.0.0.1\", smtpPort = {}", sink.port);
    master.configure(&source.replace("relayhost = \"localhost\"", &relay));
    master.launch();
    for _ in 0..2 {
        assert_eq!(master.build("runtests", json!({}))["results"], FAILURE);
    }
    let mails = sink.wait_mails(2);
    let subjects: Vec<&str> = mails.iter().map(subject).collect();
    let said = |n| format!("runtests #{n} failed - Hello World CI (failures so far: {n})");
    assert_eq!(subjects, [said(1), said(2)]);
    assert_eq!((&mails[0]["to"][0][1], &mails[0]["attachments"][0]["name"]), (&json!("nightly@example.org"), &json!("test.stdio")));
    assert!(text(&mails[0], "html").contains("3 tests failed") && text(&mails[0], "text").contains("    3 tests failed"));
}

/// The text of an attachment.
fn base64_of(content: &Value) -> String {
    use base64::Engine;
    let text = content.as_str().unwrap_or_default();
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).expect("base64");
    String::from_utf8_lossy(&bytes).into_owned()
}
