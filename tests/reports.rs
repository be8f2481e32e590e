//! Who is told of which builds, with the real program and a real mail server: modes, filters, recipients, both spellings of a
//! notifier, sets, starts and requests, reporters of one's own, and a master that is killed before a message is queued.

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::*;

/// Two builders on local workers, whose result is asked for by the property `rc`.
const HEAD: &str = r#"
c.collapseRequests = false
local function notify(to, args)
  args.fromaddr, args.relayhost, args.smtpPort, args.name = "Builds <buildbot@example.org>", "127.0.0.1", @SMTP@, args.name or to
  args.extraRecipients = args.extraRecipients or { to .. "@example.org" }
  if args.sendToInterestedUsers == nil then args.sendToInterestedUsers = false end
  return MailNotifier(args)
end
local codes = {}
for code = 0, 6 do codes[code] = code end
local function builder(name, worker, tags, properties)
  local step = steps.ShellCommand{ name = "end", command = { "sh", "-c", Interpolate("echo said; exit %(prop:rc:-0)s") }, decodeRC = codes, warnOnWarnings = true }
  return util.BuilderConfig{ name = name, workernames = { worker }, tags = tags, properties = properties, factory = util.BuildFactory{ step } }
end
local function force(name, builders)
  return schedulers.ForceScheduler{ name = name, builderNames = builders, properties = {
    util.StringParameter{ name = "rc", default = "0" }, util.StringParameter{ name = "owners", multiple = true, default = "" } } }
end
c.workers = { LocalWorker{ "w", owner = "owner-of-w@example.org" }, LocalWorker{ "x", owner = "owner-of-x@example.org" } }
c.builders = { builder("a", "w", { "nightly" }), builder("b", "x", { "release", "linux" }) }
c.schedulers = { force("force", { "a", "b" }), force("other", { "a", "b" }) }
"#;

fn start(sink: &MailSink, services: &str) -> Master {
    Master::start(&configuration(sink, services))
}

fn configuration(sink: &MailSink, services: &str) -> String {
    format!("{HEAD}{services}").replace("@SMTP@", &sink.port.to_string())
}

/// Waits until every message about what has happened so far has arrived. A notifier called `all` tells of every end of a build, and
/// is queued with all others.
fn settled(master: &Master, sink: &MailSink, ended: usize) -> Vec<Value> {
    wait_for("all messages are sent", || {
        let all = master.http.rows("outbox", "outbox");
        let told = all.iter().filter(|m| m["reporter"] == "all" && m["about"].as_str().is_some_and(|a| a.starts_with("build finished")));
        let sent = all.iter().filter(|m| m["state"] == "sent").count();
        assert!(all.iter().all(|m| m["state"] != "given up"), "{all:#?}");
        (told.count() == ended && sent == all.len() && sink.count() == sent).then_some(())
    });
    sink.wait_mails(0)
}

const ALL: &str = "notify('all', { generators = { reporters.BuildStartEndStatusGenerator{} } })";

/// The mails for one address.
fn of<'a>(mails: &'a [Value], user: &str) -> Vec<&'a Value> {
    let address = json!(format!("{user}@example.org"));
    mails.iter().filter(|m| m["to"].as_array().is_some_and(|to| to.iter().any(|t| t[1] == address))).collect()
}

fn subject(mail: &Value) -> &str {
    mail["headers"]["subject"][0].as_str().unwrap_or_default()
}

fn addresses(mail: &Value, header: &str) -> Vec<String> {
    mail[header].as_array().into_iter().flatten().filter_map(|a| a[1].as_str().map(str::to_owned)).collect()
}

#[test]
fn every_mode_tells_what_it_is_for() {
    let sink = MailSink::start();
    let words = ["change", "failing", "passing", "problem", "warnings", "exception", "cancelled"];
    let list = words.map(|w| format!("notify('{w}', {{ generators = {{ reporters.BuildStatusGenerator{{ mode = {{ '{w}' }} }} }} }})"));
    let alone = ["all", "warnings"]
        .map(|w| format!("notify('alone-{w}', {{ generators = {{ reporters.BuildStatusGenerator{{ mode = '{w}' }} }} }})"));
    let usual = "notify('usual', { generators = { reporters.BuildStatusGenerator{} } })";
    let master = start(&sink, &format!("c.services = {{ {ALL}, {usual}, {}, {} }}", list.join(", "), alone.join(", ")));
    let sequence = [SUCCESS, SUCCESS, FAILURE, FAILURE, WARNINGS, EXCEPTION, FAILURE, CANCELLED, CANCELLED, SUCCESS];
    for results in sequence {
        let build = master.build("a", json!({ "rc": results.to_string() }));
        assert_eq!(build["results"], results, "{build:#}");
    }
    let mails = settled(&master, &sink, sequence.len());
    let expected = [
        ("change", "3 5 6 7 8 10"),
        ("failing", "3 4 7"),
        ("passing", "1 2 10"),
        ("problem", "3 7"),
        ("warnings", "5"),
        ("exception", "6"),
        ("cancelled", "8 9"),
        ("alone-all", "1 2 3 4 5 6 7 8 9 10"),
        ("alone-warnings", "3 4 5 7"),
        ("usual", "1 2 3 4 5 7 10"),
    ];
    let told = master.http.rows("outbox?order=messageid", "outbox");
    let mut by_reporter: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for message in told.iter().rev().filter(|m| m["about"].as_str().is_some_and(|a| a.starts_with("build finished "))) {
        let number = message["about"].as_str().and_then(|a| a.rsplit(' ').next()).unwrap_or_default();
        by_reporter.entry(message["reporter"].as_str().unwrap_or_default()).or_default().push(number.to_owned());
    }
    for (mode, builds) in expected {
        let mut told = by_reporter.remove(mode).unwrap_or_default();
        told.sort_by_key(|n| n.parse::<i64>().unwrap_or_default());
        assert_eq!(told.join(" "), builds, "{mode}");
        assert_eq!(of(&mails, mode).len(), builds.split(' ').count(), "{mode}");
    }
    // In the order of the builds, with what they say.
    let failing: Vec<&str> = of(&mails, "failing").into_iter().map(subject).collect();
    assert!(failing.iter().all(|s| s.contains("a")), "{failing:?}");
    for mail in &mails {
        assert_eq!(mail["defects"], json!([]), "{mail:#}");
        assert_eq!(addresses(mail, "from"), ["buildbot@example.org"]);
    }
}

#[test]
fn every_filter_lets_its_own_through() {
    let sink = MailSink::start();
    let filters = [
        ("builders", "builders = { 'b' }"),
        ("tags", "tags = { 'linux', 'mac' }"),
        ("schedulers", "schedulers = { 'other' }"),
        ("branch", "branches = { 'main' }"),
        ("nobranch", "branches = { None }"),
        ("two", "builders = { 'a' }, schedulers = { 'other' }"),
        ("none", "builders = {}"),
    ];
    let services = filters.map(|(name, filter)| {
        format!("notify('{name}', {{ generators = {{ reporters.BuildStatusGenerator{{ mode = 'all', {filter} }} }} }})")
    });
    let worker = "notify('worker', { workers = { 'x' }, generators = { reporters.BuildStatusGenerator{ mode = 'all' } } })";
    let own = r#"
        local Mine = reporters.BuildStatusGenerator:extend("Mine", { args = { wanted = "string" } })
        function Mine:is_message_needed_by_props(build) return build.properties.buildername[1] == self.wanted end
        function Mine:is_message_needed_by_results(build) return build.results == util.SUCCESS and build.complete end"#;
    let mine = "notify('mine', { generators = { Mine{ wanted = 'a', mode = 'failing' } } })";
    let master = start(&sink, &format!("{own}\nc.services = {{ {ALL}, {worker}, {mine}, {} }}", services.join(", ")));
    let build = |scheduler: &str, builder: &str, branch: &str| {
        let request = master.force_by(scheduler, builder, json!({ "branch": branch }));
        assert_eq!(master.wait_request(request), SUCCESS);
    };
    build("force", "a", "main");
    build("force", "b", "");
    build("other", "a", "");
    build("other", "b", "dev");
    let mails = settled(&master, &sink, 4);
    let count = |user: &str| of(&mails, user).len();
    let counts = ["builders", "tags", "schedulers", "branch", "nobranch", "two", "none", "worker", "mine"].map(count);
    assert_eq!(counts, [2, 2, 2, 1, 2, 1, 0, 2, 2], "{:#?}", mails.iter().map(subject).collect::<Vec<_>>());
}

#[test]
fn both_spellings_of_a_notifier() {
    let sink = MailSink::start();
    let services = format!(
        r#"
        local old = mail.MailNotifier{{ fromaddr = "buildbot@example.org", relayhost = "127.0.0.1", smtpPort = @SMTP@,
          sendToInterestedUsers = false, extraRecipients = {{ "old@example.org" }},
          mode = "failing", builders = {{ "a" }}, subject = "%(builder)s of %(title)s: %(result)s", addLogs = true }}
        local new = reporters.MailNotifier{{ "buildbot@example.org", "127.0.0.1", smtpPort = @SMTP@,
          sendToInterestedUsers = false, extraRecipients = {{ "new@example.org" }}, extraHeaders = {{ ["X-Builder"] = Property("buildername") }},
          generators = {{ reporters.BuildStatusGenerator{{ mode = {{ "failing" }}, builders = {{ "a" }}, add_logs = {{ "end.stdio" }},
            message_formatter = reporters.MessageFormatter{{ subject = "{{{{ buildername }}}} ended", template = "{{{{ summary }}}}" }} }} }},
          name = "new" }}
        c.status = {{ {ALL}, old, new }}"#
    );
    let master = start(&sink, &services);
    for rc in ["2", "0"] {
        master.build("a", json!({ "rc": rc }));
        master.build("b", json!({ "rc": rc }));
    }
    let mails = settled(&master, &sink, 4);
    let (old, new) = (of(&mails, "old"), of(&mails, "new"));
    assert_eq!((old.len(), new.len()), (1, 1));
    assert_eq!((subject(old[0]), subject(new[0])), ("a of Buildbot: failure", "a ended"));
    assert_eq!(new[0]["headers"]["x-builder"], json!(["a"]));
    for mail in [old[0], new[0]] {
        let files = mail["attachments"].as_array().expect("attachments");
        assert_eq!(files.len(), 1, "{mail:#}");
        assert_eq!(files[0]["name"], "end.stdio", "{mail:#}");
    }
    let warned = |text: &str| master.log().matches(text).count();
    assert_eq!(warned("'mail.MailNotifier' is now 'MailNotifier'"), 1, "{}", master.log());
    assert_eq!(warned("today"), 1, "{}", master.log());
}

#[test]
fn notifiers_that_would_be_called_the_same_are_refused() {
    let sink = MailSink::create(json!({}));
    let lua = "local function n() return MailNotifier{ fromaddr = 'a@example.org' } end\nc.services = { n(), n() }\nc.services[3] = reporters.HttpStatusPush{ 'http://a.example/x?y' }";
    let master = Master::create(&configuration(&sink, lua));
    let ran = master.command("checkconfig", &[], &[]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("MailNotifier: it is called 'MailNotifier' as the one of master.lua:"), "{}", ran.err);
    assert!(ran.err.contains("give name = \"…\""), "{}", ran.err);
}

#[test]
fn interested_users_with_and_without_lookup() {
    let sink = MailSink::start();
    let generators = "generators = { reporters.BuildStatusGenerator{ mode = 'all' } }, sendToInterestedUsers = true";
    let services = format!(
        r#"c.services = {{ {ALL},
          notify("plain", {{ {generators} }}),
          notify("alone", {{ {generators}, extraRecipients = {{}} }}),
          notify("domain", {{ {generators}, lookup = "@corp.example.org" }}),
          notify("function", {{ {generators}, lookup = function(name)
            sleep(0.2)
            if name == "nobody" then return nil end
            if name == "broken" then error("the directory is closed") end
            return "Found " .. name .. " <" .. name:gsub("@.*", "") .. "@found.example.org>"
          end }}),
          notify("owners", {{ sendToWorkerOwners = true, extraRecipients = {{}}, generators = {{ reporters.BuildStatusGenerator{{ mode = "all" }} }} }}),
        }}"#
    );
    let master = start(&sink, &services);
    let build = |rc: &str, builder: &str, owners: &[&str]| master.build(builder, json!({ "rc": rc, "owners": owners, "username": "" }));
    build("0", "a", &["ann", "bob@example.net", "nobody", "broken", "eve\r\nBcc: victim@example.org", "bob@example.net"]);
    build("2", "b", &[]);
    let mails = settled(&master, &sink, 2);
    let lists = |reporter: &str, n: usize| -> (Vec<String>, Vec<String>) {
        // Each notifier's own mails are known by its fixed recipient.
        let mut mine: Vec<&Value> = mails
            .iter()
            .filter(|m| {
                let all = [addresses(m, "to"), addresses(m, "cc")].concat();
                all.iter().any(|a| a == &format!("{reporter}@example.org"))
            })
            .collect();
        // Builders' mails arrive in any order; the first build is the one with users.
        mine.sort_by_key(|m| addresses(m, "cc").is_empty());
        mine.get(n).map(|m| (addresses(m, "to"), addresses(m, "cc"))).unwrap_or_default()
    };
    let texts = |list: &[&str]| list.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
    assert_eq!(lists("plain", 0), (texts(&["bob@example.net"]), texts(&["plain@example.org"])));
    assert_eq!(lists("plain", 1), (texts(&["plain@example.org"]), vec![]));
    assert_eq!(
        lists("domain", 0),
        (
            texts(&["ann@corp.example.org", "bob@example.net", "nobody@corp.example.org", "broken@corp.example.org"]),
            texts(&["domain@example.org"])
        )
    );
    assert_eq!(lists("function", 0).0[..2], texts(&["ann@found.example.org", "bob@found.example.org"]));
    assert_eq!(lists("function", 0).1, texts(&["function@example.org"]));
    // The owner of the machine is told of the failure there, and of nothing else.
    assert_eq!(of(&mails, "owner-of-x").len(), 1);
    assert_eq!(of(&mails, "owner-of-w").len(), 0);
    let victim = mails.iter().any(|m| m["headers"].get("bcc").is_some() || m.to_string().contains("\"victim@example.org\""));
    assert!(!victim, "{mails:#?}");
    // `alone` has nobody for the second build: no mail, and no complaint of a server.
    let told = master.http.rows("outbox?reporter=alone", "outbox");
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(master.log().contains("the directory is closed"), "{}", master.log());
}

#[test]
fn sets_starts_requests_and_several_generators_in_one() {
    let sink = MailSink::start();
    let services = format!(
        r#"
        local function text(t) return reporters.MessageFormatter{{ subject = t .. " {{{{ buildername }}}}", template = t .. " of {{{{ buildername }}}}" }} end
        c.services = {{ {ALL},
          notify("set", {{ generators = {{ reporters.BuildSetStatusGenerator{{ mode = "failing", message_formatter = text("set") }} }} }}),
          notify("combined", {{ generators = {{ reporters.BuildSetCombinedStatusGenerator{{}} }} }}),
          notify("new", {{ generators = {{ reporters.BuildStatusGenerator{{ mode = "failing", report_new = true }} }} }}),
          notify("request", {{ generators = {{ reporters.BuildRequestGenerator{{ formatter = text("request") }} }} }}),
          notify("merged", {{ generators = {{
            reporters.BuildStatusGenerator{{ mode = "failing", message_formatter = text("first") }},
            reporters.BuildStatusGenerator{{ mode = "all", message_formatter = text("second") }},
          }} }}),
        }}
        c.builders[3] = util.BuilderConfig{{ name = "never", workernames = {{ "away" }}, factory = util.BuildFactory() }}
        c.workers[3] = Worker{{ "away", "pass" }}
        c.schedulers[3] = schedulers.ForceScheduler{{ name = "third", builderNames = {{ "never" }} }}
        "#
    );
    let master = start(&sink, &services);
    // One set of two requests.
    let both = json!({ "rc": "2", "builderNames": ["a", "b"] });
    let forced = master.http.control("forceschedulers/force", "force", both).expect("two requests");
    let requests: Vec<i64> = forced[1].as_object().expect("requests").values().filter_map(Value::as_i64).collect();
    assert_eq!(requests.len(), 2, "{forced}");
    requests.iter().for_each(|r| assert_eq!(master.wait_request(*r), FAILURE));
    assert_eq!(master.build("a", json!({ "rc": "0" }))["results"], SUCCESS);
    let never = master.force_by("third", "never", json!({}));
    master.http.control(&format!("buildrequests/{never}"), "cancel", json!({ "reason": "no" })).expect("it is cancelled");
    wait_for("the cancelled request is told", || {
        let told = master.http.rows("outbox?reporter=request", "outbox");
        told.iter().any(|m| m["about"] == format!("request cancelled {never}")).then_some(())
    });
    let mails = settled(&master, &sink, 3);
    let set = of(&mails, "set");
    assert_eq!(set.len(), 1);
    let body = set[0]["text"].as_str().unwrap_or_default();
    assert!(body.contains("set of a") && body.contains("set of b"), "{body}");
    // Sets of one build too, and the one that had none.
    assert!(of(&mails, "combined").len() >= 2);
    assert_eq!(of(&mails, "new").len(), 3 + 2, "starts and failures");
    assert_eq!(of(&mails, "request").len(), 4 + 1);
    let merged = of(&mails, "merged");
    assert_eq!(merged.len(), 3);
    let (double, single): (Vec<&Value>, Vec<&Value>) = merged.into_iter().partition(|m| subject(m).starts_with("first"));
    assert_eq!((double.len(), single.len()), (2, 1));
    let body = double[0]["text"].as_str().unwrap_or_default();
    assert!(body.starts_with("first of") && body.contains("second of"), "{body}");
    assert_eq!(of(&mails, "all").len(), 6);
}

#[test]
fn a_mail_of_several_generators_goes_to_the_users_of_all() {
    let sink = MailSink::start();
    let services = format!(
        r#"
        c.builders[1] = builder("a", "w")
        c.builders[2] = builder("b", "x", nil, {{ owner = "bob@example.net" }})
        c.services = {{ {ALL}, notify("two", {{ sendToInterestedUsers = true, generators = {{
          reporters.BuildSetStatusGenerator{{ mode = "all", builders = {{ "a" }} }},
          reporters.BuildSetStatusGenerator{{ mode = "all", builders = {{ "b" }} }},
        }} }}) }}"#
    );
    let master = start(&sink, &services);
    let both = json!({ "builderNames": ["a", "b"], "owners": ["ann@example.net"], "username": "" });
    let forced = master.http.control("forceschedulers/force", "force", both).expect("two requests");
    forced[1].as_object().expect("requests").values().filter_map(Value::as_i64).for_each(|r| assert_eq!(master.wait_request(r), SUCCESS));
    wait_for("the set is told", || master.http.rows("outbox?reporter=two", "outbox").first().filter(|m| m["state"] == "sent").map(|_| ()));
    let mails = settled(&master, &sink, 2);
    let told: Vec<Vec<String>> = mails.iter().filter(|m| addresses(m, "cc") == ["two@example.org"]).map(|m| addresses(m, "to")).collect();
    assert_eq!(told, [["ann@example.net", "bob@example.net"]], "{mails:#?}");
}

#[test]
fn a_generator_of_ones_own_decides_about_requests_too() {
    let sink = MailSink::start();
    let services = format!(
        r#"
        local Mine = reporters.BuildRequestGenerator:extend("Mine")
        function Mine:is_message_needed_by_props(build)
          return build.builder.name == "b" and build.properties.scheduler[1] == "force" and not build.complete
        end
        c.services = {{ {ALL}, notify("mine", {{ generators = {{ Mine{{ builders = {{ "a" }} }} }} }}) }}"#
    );
    let master = start(&sink, &services);
    for builder in ["a", "b"] {
        master.build(builder, json!({}));
    }
    settled(&master, &sink, 2);
    let told = master.http.rows("outbox?reporter=mine", "outbox");
    let lanes: Vec<&str> = told.iter().filter_map(|m| m["lane"].as_str()).collect();
    assert_eq!(lanes, ["b"], "{told:#?}");
}

/// The formatter waits for a file, so the build's end is in the store and its message is not.
#[test]
fn a_master_killed_before_the_message_is_queued_sends_it_once() {
    let sink = MailSink::start();
    let services = r#"
        local slow = reporters.MessageFormatterFunction{ function(ctx)
          while ctx.buildername == "a" and not fs.exists("@DIR@/go") do sleep(0.1) end
          return ctx.buildername .. " number " .. ctx.build.number
        end, "plain" }
        c.services = { notify("slow", { generators = { reporters.BuildStatusGenerator{ mode = "all", message_formatter = slow } } }) }"#;
    let mut master = start(&sink, services);
    let begun = Instant::now();
    for number in 1..=3 {
        let build = master.build("a", json!({}));
        assert_eq!(build["number"], number);
    }
    assert!(begun.elapsed() < Duration::from_secs(25), "builds wait for the formatter");
    // Another builder's message does not wait for it.
    master.build("b", json!({}));
    sink.wait_mails(1);
    assert_eq!(master.http.rows("outbox", "outbox").len(), 1);
    master.kill9();
    std::fs::write(master.dir().join("go"), "").expect("the file");
    master.launch();
    let mails = sink.wait_mails(4);
    let bodies: Vec<&str> = mails.iter().map(|m| m["text"].as_str().unwrap_or_default().trim()).collect();
    assert_eq!(bodies, ["b number 1", "a number 1", "a number 2", "a number 3"]);
    // Nothing is told again by another start.
    wait_for("all is sent", || master.http.rows("outbox?state=sent", "outbox").len().eq(&4).then_some(()));
    master.kill9();
    master.launch();
    assert_eq!(master.build("b", json!({}))["results"], SUCCESS);
    let mails = sink.wait_mails(5);
    assert_eq!(mails.len(), 5);
    assert_eq!(mails[4]["text"].as_str().map(str::trim), Some("b number 2"));
}

#[test]
fn a_reload_changes_who_is_told_at_once() {
    let sink = MailSink::start();
    let services = |to: &str, mode: &str| {
        let generator = format!("reporters.BuildStatusGenerator{{ mode = '{mode}', builders = {{ 'a' }} }}");
        format!(
            "c.services = {{ {ALL}, notify('team', {{ extraRecipients = {{ '{to}@example.org' }}, generators = {{ {generator} }} }}) }}"
        )
    };
    let master = start(&sink, &services("ann", "passing"));
    master.build("a", json!({}));
    master.build("a", json!({ "rc": "2" }));
    // A build that has ended is told of soon, by the configuration that is at work then.
    settled(&master, &sink, 2);
    master.configure(&configuration(&sink, &services("bob", "failing")));
    let ran = master.command("reconfig", &[], &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("MailNotifier \"team\" changed"), "{}", ran.out);
    assert!(ran.out.contains("extraRecipients { \"ann@example.org\" } → { \"bob@example.org\" } (at once)"), "{}", ran.out);
    master.build("a", json!({}));
    master.build("a", json!({ "rc": "2" }));
    let mails = settled(&master, &sink, 4);
    assert_eq!((of(&mails, "ann").len(), of(&mails, "bob").len()), (1, 1));
}

/// A server that answers each post with the next of these, and hands over what was posted.
fn http_sink(answers: Vec<u16>) -> (u16, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let mut answers = answers.into_iter();
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            loop {
                let (mut line, mut length) = (String::new(), 0);
                while reader.read_line(&mut line).unwrap_or(0) > 2 {
                    if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap_or(0);
                    }
                    line.clear();
                }
                if length == 0 {
                    break;
                }
                let mut body = vec![0; length];
                if reader.read_exact(&mut body).is_err() {
                    break;
                }
                let status = answers.next().unwrap_or(200);
                let _ = tell.send(serde_json::from_slice(&body).unwrap_or(Value::Null));
                let _ = write!(reader.get_mut(), "HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n");
            }
        }
    });
    (port, told)
}

#[test]
fn pushes_and_reporters_of_ones_own_get_plain_data_and_try_again() {
    let sink = MailSink::start();
    let (port, pushed) = http_sink(vec![]);
    let (own_port, told) = http_sink(vec![500]);
    let services = format!(
        r#"
        local Chat = reporters.ReporterBase:extend("Chat", {{ args = {{ room = "string" }} }})
        function Chat:sendMessage(reports)
          for _, report in ipairs(reports) do
            local r = http.post(self.room, {{ json = {{ subject = report.subject, number = report.builds[1].number,
              results = report.results, users = report.users, type = report.type, null = report.nothing }} }})
            if r.status ~= 200 then error("the room answered " .. r.status) end
          end
        end
        c.services = {{ {ALL},
          reporters.HttpStatusPush{{ "http://127.0.0.1:{port}/" }},
          Chat{{ name = "chat", room = "http://127.0.0.1:{own_port}/", generators = {{ reporters.BuildStatusGenerator{{ mode = "failing" }} }} }},
        }}"#
    );
    let master = start(&sink, &services);
    master.build("a", json!({ "rc": "2" }));
    let started = pushed.recv_timeout(DEADLINE).expect("the start is pushed");
    let ended = pushed.recv_timeout(DEADLINE).expect("the end is pushed");
    assert_eq!((&started["complete"], &started["number"]), (&json!(false), &json!(1)), "{started:#}");
    assert_eq!((&ended["complete"], &ended["results"]), (&json!(true), &json!(FAILURE)), "{ended:#}");
    assert_eq!(ended["properties"]["buildername"][0], "a", "{ended:#}");
    let first = told.recv_timeout(DEADLINE).expect("the room is told");
    let again = told.recv_timeout(DEADLINE).expect("and told again, since it answered 500");
    assert_eq!(first, again);
    assert_eq!((&first["number"], &first["results"], &first["type"]), (&json!(1), &json!(FAILURE), &json!("plain")), "{first:#}");
    wait_for("it is sent", || master.http.rows("outbox?reporter=chat&state=sent", "outbox").len().eq(&1).then_some(()));
}
