//! What mails say, each as it is kept in `tests/mails/`: subject and text in `NAME.txt`, the HTML in `NAME.html`.
//! `UPDATE=1 cargo test --test mails` writes them anew, to be read before they are kept.

mod support;

use std::path::Path;

use buildmoon::base::LogId;
use buildmoon::config::{BodyType, FormatterKind, FormatterSpec, Place, TemplateTexts, WantedLogs, Wants};
use buildmoon::model::{Absence, Results};
use buildmoon::report::about::LogText;
use buildmoon::report::compose::{compose, merge, wishes};
use buildmoon::report::facts::{BuildFacts, BuilderFacts, RequestFacts};
use buildmoon::report::notice::{LeakNotice, Notice, ReloadNotice, RunningBuild, WorkerNotice};
use buildmoon::report::{About, Composed};
use proptest::prelude::*;
use support::reports::*;

fn formatter(kind: FormatterKind) -> FormatterSpec {
    let place = Place { file: "master.lua".into(), line: 12, from: Vec::new() };
    FormatterSpec { class: "MessageFormatter".into(), kind, wants: Wants::default(), ctx: Default::default(), call: None, place }
}

fn templates(template: &str, subject: Option<&str>, body: Option<BodyType>) -> FormatterSpec {
    formatter(FormatterKind::Template(TemplateTexts { template: Some(template.into()), subject: subject.map(str::to_owned), body }))
}

/// What must hold of every message, whatever it is made of.
fn sound(name: &str, made: &Composed) {
    assert!(!made.subject.is_empty() && made.subject.chars().count() <= 200, "{name}: {}", made.subject);
    assert!(!made.subject.chars().any(char::is_control), "{name}: {:?}", made.subject);
    for text in made.text.iter().chain(&made.html) {
        let strange = text.chars().find(|c| c.is_control() && *c != '\n' && *c != '\t');
        assert_eq!(strange, None, "{name}");
        assert!(!text.contains('\u{202e}'), "{name}");
    }
}

fn kept(name: &str, made: &Composed) {
    sound(name, made);
    let mut text = format!("Subject: {}\n\n{}", made.subject, made.text.as_deref().unwrap_or("(no text)\n"));
    for file in &made.attachments {
        let content = String::from_utf8_lossy(&file.content);
        text.push_str(&format!("\n== {} ({})\n{content}", file.name, file.media_type));
    }
    is_kept(&format!("{name}.txt"), &text);
    if let Some(html) = &made.html {
        is_kept(&format!("{name}.html"), html);
    }
}

fn is_kept(name: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mails").join(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, wanted).expect("it can be written");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == wanted, "tests/mails/{name} is not what is made; UPDATE=1 cargo test --test mails rewrites it. Made:\n{wanted}");
}

#[test]
fn a_build_that_passed() {
    kept("passed", &compose(None, &About::Finished(&build(Results::Success)), &Given::default().setting()));
}

#[test]
fn a_build_that_failed_with_the_end_of_its_log() {
    let given = Given { logs: texts(&[(1002, TEST_LOG)]), ..Given::default() };
    kept("failed", &compose(None, &About::Finished(&build(Results::Failure)), &given.setting()));
    let wished: Vec<i64> = wishes(None, &About::Finished(&build(Results::Failure)), &WantedLogs::None).iter().map(|w| w.log.0).collect();
    assert_eq!(wished, [1002], "only the log of the step that failed is read");
}

#[test]
fn a_long_log_is_cut_and_logs_hang_on_the_mail() {
    let long: String = (0..5000).map(|i| format!("oline {i} of the output\n")).collect();
    let mut logs = texts(&[(1002, &long), (1001, "ogcc -c a.c\n")]);
    logs.get_mut(&LogId(1002)).expect("the log").first_line = 70_000;
    let given = Given { logs, add_logs: WantedLogs::Named(vec!["test.stdio".into(), "compile.stdio".into()]), ..Given::default() };
    let mut made = compose(None, &About::Finished(&build(Results::Failure)), &given.setting());
    let names: Vec<&str> = made.attachments.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["compile.stdio", "test.stdio"]);
    let last = &mut made.attachments[1];
    assert!(last.content.starts_with(b"[the first 70000 lines are left out]\nline 0 of the output\n") && last.content.len() > 100_000);
    last.content.truncate(100);
    kept("long_log", &made);
}

#[test]
fn a_build_that_started() {
    let mut build = build(Results::Success);
    (build.build.results, build.build.complete_at) = (None, None);
    kept("started", &compose(None, &About::Started(&build), &Given::default().setting()));
}

#[test]
fn a_build_set() {
    let set = two_builds();
    let about = About::Set { set: &set, builds: set.builds.iter().collect(), combined: false };
    let given = Given { logs: texts(&[(1002, TEST_LOG)]), ..Given::default() };
    kept("set", &compose(None, &about, &given.setting()));
    let passed = About::Set { set: &set, builds: vec![&set.builds[1]], combined: false };
    let subject = compose(None, &passed, &given.setting()).subject;
    assert_eq!(subject, "Build set 12 failed (main) - Hello World CI", "none of those that failed is told of");
}

#[test]
fn a_build_set_by_templates() {
    let set = two_builds();
    let builds: Vec<&BuildFacts> = set.builds.iter().collect();
    let about = |combined| About::Set { set: &set, builds: builds.clone(), combined };
    let given = Given { add_logs: WantedLogs::All, logs: texts(&[(1002, TEST_LOG)]), ..Given::default() };
    let each = templates("{{ buildername }}: {{ result_names[results] }}", None, None);
    kept("set_of_templates", &compose(Some(&each), &about(false), &given.setting()));
    let all = "{% for build in builds %}{{ build.builder.name }} {{ build.results }}\n{% endfor %}{{ summary }}\n";
    let combined = templates(all, Some("{{ projects }}: {{ builds|length }} builds"), None);
    let made = compose(Some(&combined), &about(true), &given.setting());
    assert_eq!(made.text.as_deref(), Some("runtests 2\ndocs 0\nThe build set failed"));
    assert_eq!(made.subject, "hello: 2 builds");
}

#[test]
fn requests() {
    let waiting = RequestFacts {
        request: request(buildset()),
        builder: builder("runtests"),
        results: None,
        complete_at: None,
        url: "http://ci.example.org/#/buildrequests/21".into(),
    };
    kept("pending", &compose(None, &About::Pending(&waiting), &Given::default().setting()));
    let cancelled = RequestFacts { results: Some(Results::Cancelled), complete_at: Some(after(30)), ..waiting };
    kept("cancelled", &compose(None, &About::Cancelled(&cancelled), &Given::default().setting()));
    let template = templates("{{ buildername }} {{ status_detected }} {{ build.state_string }} {{ workername }}", None, None);
    let made = compose(Some(&template), &About::Cancelled(&cancelled), &Given::default().setting());
    assert_eq!(made.text.as_deref(), Some("runtests cancelled request cancelled <unknown>"));
}

fn worker() -> WorkerNotice {
    WorkerNotice {
        absence: Absence {
            worker: "bot-solaris".into(),
            since: after(3540),
            last_seen: Some(after(3540)),
            peer: Some("192.0.2.17:40112".into()),
            told_at: Some(after(7140)),
        },
        now: after(7200),
        admin: Some("Bob <bob@example.com>\n".into()),
        host: Some("Sun Fire V100,\nroom 12\n".into()),
        version: Some("4.3.0".into()),
        building: vec![RunningBuild { builder: "runtests".into(), number: 7, url: "http://ci.example.org/#/builders/1/builds/7".into() }],
        why: None,
        notify: vec!["bob@example.com".into()],
        url: "http://ci.example.org/#/workers/4".into(),
    }
}

#[test]
fn workers() {
    let notice = Notice::WorkerMissing(worker());
    kept("missing", &compose(None, &(&notice).into(), &Given::default().setting()));
    let returned = WorkerNotice { building: Vec::new(), ..worker() };
    kept("returned", &compose(None, &About::Returned(&returned), &Given::default().setting()));
    let absence = Absence { last_seen: None, peer: None, ..worker().absence };
    let why = Some("its instance i-012345 runs, and no worker has attached".into());
    let never = WorkerNotice { absence, admin: None, host: None, version: None, building: Vec::new(), why, ..worker() };
    kept("missing_latent", &compose(None, &About::Missing(&never), &Given::default().setting()));
    let texts = TemplateTexts {
        template: Some(
            "{{ worker.name }} {{ worker.last_connection }} {{ worker.workerinfo.admin.strip() }} {{ worker.notify|join(',') }}".into(),
        ),
        subject: Some("{{ buildbot_title }}: {{ worker['name'] }} {{ state }}".into()),
        body: None,
    };
    let made = compose(Some(&formatter(FormatterKind::Worker(texts))), &About::Missing(&worker()), &Given::default().setting());
    assert_eq!(made.subject, "Hello World CI: bot-solaris missing");
    assert_eq!(made.text.as_deref(), Some("bot-solaris 2026-11-21 08:59:00 UTC Bob <bob@example.com> bob@example.com"));
}

#[test]
fn what_goes_wrong_in_the_master() {
    let leak = LeakNotice {
        worker: "bot2".into(),
        backend: "EC2LatentWorker".into(),
        launch: "00112233445566778899aabbccddeeff".into(),
        handle: Some("{\"instance\":\"i-0123456789abcdef0\"}".into()),
        started_at: NOW,
        stop_wanted_at: after(3000),
        reason: "it was idle for 10 min".into(),
        failure: "UnauthorizedOperation".into(),
        now: after(7200),
    };
    kept("leak", &compose(None, &About::Leak(&leak), &Given::default().setting()));
    let reload = ReloadNotice {
        at: after(7200),
        mistakes: vec![
            "master.lua:12: Worker \"bot-linux\": unknown argument 'max_build' (did you mean 'max_builds'?)".into(),
            "master.lua:31: BuilderConfig \"runtests\": workernames names 'bot-solarsi', which is no worker".into(),
        ],
    };
    kept("reload_failed", &compose(None, &About::ReloadFailed(&reload), &Given::default().setting()));
}

#[test]
fn every_script_of_the_world() {
    let mut build = build(Results::Warnings);
    build.builder = BuilderFacts { description: Some("Prüft die Übersetzung – 日本語".into()), ..builder("größe-プローブ") };
    build.build.state = "2 Warnungen: „schön“ 🎉".into();
    let given = Given { title: "Grüße aus Köln".into(), blamelist: vec!["Zoë <zoë@bücher.example>".into()], ..Given::default() };
    kept("scripts", &compose(None, &About::Finished(&build), &given.setting()));
}

#[test]
fn hostile_names_break_nothing() {
    let bad = "</pre><script>alert(1)</script>\r\nBcc: victim@example.org\r\n\r\n\u{1b}[2J\0\u{202e}{{ 7 * 7 }}\"'";
    let mut build = build(Results::Failure);
    build.builder = BuilderFacts { description: Some(bad.into()), ..builder(bad) };
    build.worker = Some(bad.into());
    build.build.state = bad.into();
    build.url = "javascript:alert(1)".into();
    let mut set = buildset();
    set.reason = bad.into();
    let stamp = &mut set.sourcestamps[0].1;
    (stamp.branch, stamp.revision, stamp.repository, stamp.project) = (Some(bad.into()), Some(bad.into()), bad.into(), bad.into());
    build.request = request(set);
    let failed = &mut build.steps[2];
    (failed.step.name, failed.step.state, failed.logs[0].name) = (bad.into(), bad.into(), format!("../{bad}"));
    let given = Given {
        title: bad.into(),
        blamelist: vec![bad.into()],
        add_logs: WantedLogs::All,
        logs: texts(&[(1002, &format!("o{}\n", bad.replace(['\r', '\n'], " ")))]),
        ..Given::default()
    };
    let mut made = compose(None, &About::Finished(&build), &given.setting());
    for file in &made.attachments {
        assert!(!file.name.contains(['/', '\n', '\0']) && !file.name.starts_with('.'), "{:?}", file.name);
    }
    made.attachments.clear();
    let html = made.html.as_deref().expect("HTML");
    assert!(!html.contains("<script") && !html.contains("href=\"javascript") && !html.contains("49"), "{html}");
    kept("hostile", &made);

    let template = templates("<b>{{ buildername }}</b> {{ build.state_string }}", Some("{{ buildername }}"), Some(BodyType::Html));
    let made = compose(Some(&template), &About::Finished(&build), &given.setting());
    let html = made.html.as_deref().expect("HTML");
    assert!(html.starts_with("<b>&lt;&#x2f;pre&gt;&lt;script&gt;") && made.text.is_none(), "{html}");
    assert!(!made.subject.contains(['\r', '\n']), "{:?}", made.subject);

    let absence = Absence { worker: bad.into(), peer: Some(bad.into()), ..worker().absence };
    let missing = WorkerNotice { absence, admin: Some(bad.into()), host: Some(bad.into()), why: Some(bad.into()), ..worker() };
    sound("missing", &compose(None, &About::Missing(&missing), &given.setting()));
}

#[test]
fn subjects() {
    let build = build(Results::Failure);
    let of = |subject: &str| {
        let given = Given { subject: Some(subject.into()), ..Given::default() };
        compose(None, &About::Finished(&build), &given.setting()).subject
    };
    assert_eq!(of("%(result)s: %(builder)s of %(projectName)s"), "failure: runtests of hello");
    assert_eq!(of("100%% %(title)s %(unknown)s %"), "100% Hello World CI %(unknown)s %");
    assert_eq!(of("a\r\nBcc: x"), "a Bcc: x");
    assert_eq!(of(" \n"), "runtests #7 failed (main) - Hello World CI", "an empty one is none");
    let long = of(&"very ".repeat(500));
    assert!(long.chars().count() < 200 && long.ends_with('…'), "{long}");
    let template = templates("x", Some("{{ status_detected }}\n{{ buildername }}"), None);
    let given = Given { subject: Some("older".into()), ..Given::default() };
    assert_eq!(compose(Some(&template), &About::Finished(&build), &given.setting()).subject, "new failure runtests");
}

#[test]
fn the_context_is_as_documented() {
    let template = "{{ results }} {{ result_names[results] }} {{ mode|join('+') }} {{ buildername }} {{ workername }}
{{ build['properties']['owner'][0] }} {{ build['properties'].get('reason', ['<unknown>'])[0] }} {{ build.steps is defined }}
{{ buildset.reason }} {{ buildset.sourcestamps[0].branch }} {{ build.buildset.bsid }} {{ build.buildrequest.buildrequestid }}
{{ projects }} | {{ previous_results }} | {{ status_detected }} | {{ summary }} | {{ sourcestamps }}
{{ build_url }} {{ buildbot_url }} {{ buildbot_title }} {{ ', '.join(blamelist) }} {{ is_buildset }}
{{ build['number'] }} {{ build['state_string'] }} {{ build['started_at'] }} {{ build.complete }} {{ build.builder.tags }} {{ build.url == build_url }}";
    let made = compose(Some(&templates(template, None, None)), &About::Finished(&build(Results::Failure)), &Given::default().setting());
    is_kept("context.txt", &made.text.expect("text"));

    let mut wanting = templates(
        "{% for s in build.steps %}{{ s.name }} {{ s.results }} {% for l in s.logs %}{{ l.name }} {{ l.type }} {{ l.url }}\n{% for line in (l.content or {}).get('content', '').splitlines() %}[{{ line }}]{% endfor %}\n{% endfor %}{% endfor %}",
        None,
        None,
    );
    wanting.wants = Wants { properties: false, steps: true, logs: true, content: WantedLogs::Named(vec!["test.stdio".into()]) };
    let given = Given { logs: texts(&[(1002, TEST_LOG), (1001, "osecret\n")]), ..Given::default() };
    let made = compose(Some(&wanting), &About::Finished(&build(Results::Failure)), &given.setting());
    is_kept("context_with_logs.txt", &made.text.expect("text"));
    assert_eq!(made.attachments.len(), 1, "the logs that were wanted hang on the mail");
}

#[test]
fn a_template_that_fails_costs_no_message() {
    for wrong in ["{{ builder.name.upper().x.y }}", "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}"] {
        let made = compose(Some(&templates(wrong, None, None)), &About::Finished(&build(Results::Failure)), &Given::default().setting());
        let text = made.text.expect("text");
        assert!(text.contains("\nThis is the built-in text, since MessageFormatter (master.lua:12) failed: template: "), "{text}");
        assert!(made.failed.is_some() && made.html.is_some_and(|html| html.contains("since MessageFormatter (master.lua:12) failed")));
    }
}

#[test]
fn several_messages_become_one() {
    let plain = |text: &str| Composed { subject: text.into(), text: Some(text.into()), ..Composed::default() };
    let html = |text: &str| Composed { subject: text.into(), html: Some(text.into()), ..Composed::default() };
    let made = merge(vec![plain("a\n"), plain("b")], "");
    assert_eq!((made.subject.as_str(), made.text.as_deref(), made.html), ("a\n", Some("a\n\n\nb\n"), None));
    let two =
        "<!DOCTYPE html>\n<html>\n<head><meta charset=\"utf-8\"></head>\n<body>\n<pre>&lt;a&gt;</pre>\n<hr>\n<b>b</b>\n</body>\n</html>\n";
    let made = merge(vec![plain("<a>"), html("<html><body class='x'>\n<b>b</b></body></html>")], "both");
    assert_eq!((made.subject.as_str(), made.text, made.html.as_deref()), ("both", None, Some(two)));
    let mut parts: Vec<Composed> = (0..100).map(|_| plain(&"x".repeat(100_000))).collect();
    parts[0].extra_info = serde_json::json!({ "a": { "b": 1 } });
    parts[1].extra_info = serde_json::json!({ "a": { "b": 2, "c": 3 }, "d": {} });
    let made = merge(parts, "");
    let text = made.text.expect("text");
    assert!(text.len() < 4_000_000 && text.ends_with("more builds are left out: the message is too large with them.\n"));
    assert_eq!(made.extra_info, serde_json::json!({ "a": { "b": 1, "c": 3 }, "d": {} }));
    assert_eq!(merge(Vec::new(), "none").subject, "none");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_names_there_are_the_page_is_ours(name in any::<String>(), state in "[\\PC\\x00-\\x1f<>&\"'{}%]{0,400}", log in any::<Vec<u8>>()) {
        let mut build = build(Results::Failure);
        build.builder = BuilderFacts { description: Some(state.clone()), ..builder(&name) };
        build.worker = Some(state.clone());
        build.build.state = state.clone();
        build.url = format!("http://{name}");
        (build.steps[2].step.name, build.steps[2].step.state) = (name.clone(), state.clone());
        let content = [b"o".as_slice(), &log, b"\n"].concat();
        let text = LogText { content, ..LogText::default() };
        let given = Given {
            title: name.clone(),
            blamelist: vec![state.clone(), name],
            subject: Some(format!("%(builder)s {state}")),
            add_logs: WantedLogs::All,
            logs: [(LogId(1002), text)].into(),
            ..Given::default()
        };
        let made = compose(None, &About::Finished(&build), &given.setting());
        sound("random", &made);
        let html = made.html.expect("HTML");
        for (at, _) in html.match_indices('<') {
            let tag = html[at + 1..].trim_start_matches('/');
            let known = ["!DOCTYPE", "html>", "head>", "meta ", "title>", "body", "p ", "p>", "table", "tr>", "td", "a ", "a>", "pre", "hr>"];
            prop_assert!(known.iter().any(|k| tag.starts_with(k)), "{}", &html[at..]);
        }
    }
}

#[test]
fn the_largest_build_set_makes_a_mail_of_usual_size() {
    let many = (0..5000).map(|i| BuildFacts { builder: builder(&format!("{i}{}", "x".repeat(5000))), ..build(Results::Failure) });
    let mut set = set(many.collect());
    for build in &mut set.builds[..100] {
        let step = build.steps[2].clone();
        build.steps.extend(std::iter::repeat_n(step, 1000));
        build.build.state = "y".repeat(1_000_000);
    }
    let given = Given { blamelist: vec!["z".repeat(100_000); 5000], title: "t".repeat(100_000), ..Given::default() };
    let about = About::Set { set: &set, builds: set.builds.iter().collect(), combined: false };
    let made = compose(None, &about, &given.setting());
    sound("large", &made);
    assert!(made.text.is_some_and(|t| t.len() < 60_000) && made.html.is_some_and(|h| h.len() < 120_000));
    assert!(wishes(None, &about, &WantedLogs::All).iter().map(|w| w.bytes).sum::<usize>() < 8 << 20);
}
