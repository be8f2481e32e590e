//! A worker that is gone for too long is told by mail, once; so is its return, a machine that can't be stopped, and a file that is not
//! loaded. Workers are stock ones, mails go to a real server.

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::pb::Scripted;
use support::worker::stays_true;
use support::*;

const MAILS: &str = "c.buildbotURL = 'http://ci.example/'\n\
    local function notifier(port, more)\n\
      local args = { fromaddr = 'ci@example.org', relayhost = '127.0.0.1', smtpPort = port, builders = {} }\n\
      for name, value in pairs(more or {}) do args[name] = value end\n\
      return MailNotifier(args)\n\
    end\n";

/// One builder on worker `w`, whose build waits until the test has cleaned up; `worker` is what the worker is told besides.
fn config(worker: &str, services: &str) -> String {
    format!(
        "{MAILS}c.workers = {{ Worker{{ 'w', 'pass', {worker} }} }}\n\
         local f = util.BuildFactory{{ steps.ShellCommand{{ name = 'wait', command = 'echo begun; while [ -d @DIR@ ]; do sleep 0.1; done' }} }}\n\
         c.builders = {{ util.BuilderConfig{{ name = 'long', workernames = {{ 'w' }}, factory = f }} }}\n\
         c.schedulers = {{ schedulers.ForceScheduler{{ name = 'force', builderNames = {{ 'long' }} }} }}\n\
         c.services = {{ {services} }}\n"
    )
}

fn header<'a>(mail: &'a Value, name: &str) -> &'a str {
    mail["headers"][name][0].as_str().unwrap_or_else(|| panic!("no {name} in {mail}"))
}

fn addresses(mail: &Value) -> Vec<String> {
    let list = mail["to"].as_array().expect("addresses").iter();
    list.map(|address| address[1].as_str().expect("an address").to_owned()).collect()
}

#[test]
fn a_loss_is_told_once_with_what_there_is_to_know() {
    let sink = MailSink::start();
    let port = sink.port;
    // Two that would tell: the first one does.
    let headers =
        "['Reply-To'] = 'admins@example.org', ['X-Worker'] = Property('workername'), ['X-Builder'] = Interpolate('%(prop:buildername)s')";
    let services = format!(
        "notifier({port}, {{ extraHeaders = {{ {headers} }} }}), notifier({port}, {{ name = 'second', extraRecipients = {{ 'all@example.org' }} }})"
    );
    let worker = "notify_on_missing = { 'ada@example.org', 'Bob Ó <bob@example.org>' }, missing_timeout = 3600, notify_on_return = true";
    let mut master = Master::start(&config(worker, &services));
    let mut stock = Worker::create("4.3.0", "w", "pass", master.pb);
    std::fs::write(stock.base().join("info/admin"), "Ada <ada@example.org>\n").expect("info/admin");
    std::fs::write(stock.base().join("info/host"), "a machine under the desk\n").expect("info/host");
    stock.launch();
    master.wait_attached("w");
    let build = master.wait_build(master.force("long", json!({})), 1);
    master.wait_log_of(&build, "wait", "begun");
    // It had all the time it needs to come.
    master.reconfig(&config(&worker.replace("3600", "2"), &services));
    stock.kill9();

    let mails = sink.wait_mails(1);
    let mail = &mails[0];
    assert_eq!(addresses(mail), ["ada@example.org", "bob@example.org"], "{mail}");
    assert!(header(mail, "subject").contains("w") && header(mail, "subject").contains("missing"), "{mail}");
    assert_eq!((header(mail, "reply-to"), header(mail, "x-worker")), ("admins@example.org", "w"), "{mail}");
    assert_eq!(header(mail, "list-id"), "<worker-w.mailnotifier-builders.example.org>", "no builder's list");
    assert_eq!(mail["headers"]["x-builder"], Value::Null, "a header of nothing is none: {mail}");
    let text = mail["text"].as_str().expect("a text");
    for part in ["127.0.0.1", "Ada <ada@example.org>", "a machine under the desk", "long", "http://ci.example/#/workers/"] {
        assert!(text.contains(part), "nothing about {part:?}:\n{text}");
    }
    assert!(mail["html"].as_str().is_some_and(|html| html.contains("a machine under the desk")), "{mail}");

    // Neither time nor a restart makes it another loss.
    master.restart();
    master.kill9();
    master.launch();
    stays_true(Duration::from_secs(4), "one mail", || sink.count() == 1);

    // It comes back, is lost once more, and that is another loss.
    stock.launch();
    let mails = sink.wait_mails(2);
    assert!(header(&mails[1], "subject").contains("back"), "{}", mails[1]);
    stock.kill9();
    let mails = sink.wait_mails(3);
    assert!(header(&mails[2], "subject").contains("missing"), "{}", mails[2]);
    assert_ne!(header(&mails[0], "message-id"), header(&mails[2], "message-id"));
}

#[test]
fn one_that_flaps_is_not_missing() {
    let sink = MailSink::start();
    let master = Master::start(&config("notify_on_missing = 'ada@example.org', missing_timeout = 5", &format!("notifier({})", sink.port)));
    let began = Instant::now();
    let mut times = 0;
    while times < 10 || began.elapsed() < Duration::from_secs(8) {
        // It comes within milliseconds, which a stock worker on a busy machine may not.
        drop(Scripted::attach(master.pb, "w", "pass"));
        master.wait_detached("w");
        std::thread::sleep(Duration::from_millis(300));
        times += 1;
    }
    let worker = Scripted::attach(master.pb, "w", "pass");
    assert_eq!(sink.count(), 0);
    // The last loss is one.
    drop(worker);
    assert_eq!(sink.wait_mails(1).len(), 1);
}

#[test]
fn owners_are_told_of_their_own_machine() {
    let sink = MailSink::start();
    let port = sink.port;
    let lua = config("missing_timeout = 1, owner = 'owner@example.org'", &format!("notifier({port}, {{ sendToWorkerOwners = true }})"))
        + "c.workers[2] = Worker{ 'other', 'pass', missing_timeout = 1, owner = 'stranger@example.org', notify_on_missing = 'ops@example.org' }\n\
           c.builders[2] = util.BuilderConfig{ name = 'b2', workernames = { 'other' }, factory = f }\n";
    // Neither ever came.
    let _master = Master::start(&lua);
    let mails = sink.wait_mails(2);
    let mut told: Vec<(Vec<String>, bool)> = mails.iter().map(|m| (addresses(m), header(m, "subject").contains("other"))).collect();
    told.sort();
    let ops = vec!["ops@example.org".to_owned(), "stranger@example.org".to_owned()];
    assert_eq!(told, [(ops, true), (vec!["owner@example.org".to_owned()], false)]);
}

#[test]
fn a_reload_changes_who_is_waited_for() {
    let sink = MailSink::start();
    let services = format!("notifier({})", sink.port);
    let master = Master::start(&config("missing_timeout = 1", &services));
    stays_true(Duration::from_secs(3), "no mail, since nobody is to be told", || sink.count() == 0);
    master.reconfig(&config("notify_on_missing = 'ada@example.org', missing_timeout = 1", &services));
    assert_eq!(addresses(&sink.wait_mails(1)[0]), ["ada@example.org"]);
    // The same loss is not told to whoever joins later.
    master.reconfig(&config("notify_on_missing = { 'ada@example.org', 'late@example.org' }, missing_timeout = 1", &services));
    stays_true(Duration::from_secs(3), "one mail", || sink.count() == 1);
}

/// The usual relay of a machine listens on a port that a test may not have; what would go there waits.
#[test]
fn without_a_notifier_the_usual_one_tells() {
    let master = Master::start(&config("notify_on_missing = 'ada@example.org', missing_timeout = 1", ""));
    let waiting = || {
        let messages = master.http.rows("outbox", "outbox");
        messages.into_iter().find(|m| m["about"].as_str().is_some_and(|about| about.contains("worker w missing")))
    };
    let message = wait_for("a message is in the outbox", waiting);
    assert_eq!(message["reporter"], "MailNotifier", "{message}");
    assert_eq!(master.http.row("reporters", "reporters")["class"], "MailNotifier");
    let status = master.command("status", &[], &[]);
    assert!(status.out.contains("MailNotifier: 1 waiting"), "{}", status.out);
}

#[test]
fn a_file_that_is_not_loaded_is_told_once() {
    let sink = MailSink::start();
    let good = config("", &format!("notifier({})", sink.port)) + "c.notify_on_reload_failure = { 'ada@example.org' }\n";
    let master = Master::start(&good);
    let refused = |lua: &str| {
        master.configure(&format!("{good}{lua}"));
        assert_eq!(master.command("reconfig", &[], &[]).code, Some(1));
    };
    for _ in 0..3 {
        refused("c.titel = 'x'");
    }
    let mails = sink.wait_mails(1);
    assert_eq!(addresses(&mails[0]), ["ada@example.org"]);
    assert!(mails[0]["text"].as_str().is_some_and(|text| text.contains("titel") && text.contains("'title'")), "{}", mails[0]);
    refused("c.titel = 'x'; c.colour = 'blue'");
    let mails = sink.wait_mails(2);
    assert!(mails[1]["text"].as_str().is_some_and(|text| text.contains("colour")), "{}", mails[1]);
    // Mended, and broken as before: that is news.
    master.reconfig(&good);
    refused("c.titel = 'x'");
    sink.wait_mails(3);
    stays_true(Duration::from_secs(1), "three mails", || sink.count() == 3);
}

/// Machines whose end has been wanted for hours when the master starts again.
#[test]
fn a_machine_that_cannot_be_stopped_is_told_once() {
    let sink = MailSink::start();
    let lua = format!(
        "{MAILS}local Stuck = LatentWorker:extend('Stuck')\n\
         function Stuck:start_instance() store.put('launch', self.launch_id) return {{ handle = 'unit-7' }} end\n\
         function Stuck:stop_instance(handle) error('the rack does not answer') end\n\
         function Stuck:list_instances() return {{ {{ handle = 'unit-7', launch_id = store.get('launch') }} }} end\n\
         c.workers = {{ Stuck{{ 'w' }} }}\n\
         local f = util.BuildFactory{{ steps.ShellCommand{{ command = 'true' }} }}\n\
         c.builders = {{ util.BuilderConfig{{ name = 'b', workernames = {{ 'w' }}, factory = f }} }}\n\
         c.schedulers = {{ schedulers.ForceScheduler{{ name = 'force', builderNames = {{ 'b' }} }} }}\n\
         c.services = {{ notifier({}) }}\n\
         c.notify_on_leak = {{ 'ops@example.org' }}\n",
        sink.port
    );
    let mut master = Master::start(&lua);
    master.force("b", json!({}));
    wait_for("the machine runs", || (master.http.rows("instances", "instances").first()?["handle"] == "unit-7").then_some(()));
    master.kill9();
    let hours_ago = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time").as_millis() as i64 - 7_200_000;
    let database = rusqlite::Connection::open(master.dir().join("state.sqlite")).expect("the database");
    let changed = database.execute("UPDATE launches SET stop_reason = 'nobody wants it', stop_wanted_at = ?1", [hours_ago]);
    assert_eq!(changed.expect("the ledger"), 1);
    drop(database);
    master.launch();
    let mails = sink.wait_mails(1);
    assert_eq!(addresses(&mails[0]), ["ops@example.org"]);
    let text = mails[0]["text"].as_str().expect("a text");
    for part in ["unit-7", "Stuck", "the rack does not answer", "nobody wants it"] {
        assert!(text.contains(part), "nothing about {part:?}:\n{text}");
    }
    master.kill9();
    master.launch();
    stays_true(Duration::from_secs(3), "one mail", || sink.count() == 1);
}
