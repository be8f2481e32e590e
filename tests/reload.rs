//! A running master takes over a changed file, whole or not at all: each kind of change by itself, files that are wrong, and
//! reloads at bad moments. What did not change is not touched.

mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::*;

for_each_version!(
    workers_see_only_what_concerns_them,
    a_build_ends_as_it_began,
    a_changed_password_lets_the_builds_end,
    a_removed_worker_finishes_and_comes_back,
);

/// Workers `w1` and `w2`; the builders are named by what a test gives. A build waits for the file `go`.
fn config(workers: &str, builders: &str) -> String {
    format!(
        r#"
c.collapseRequests = false
local function factory(...)
  local f = util.BuildFactory()
  for _, command in ipairs{{...}} do f:addStep(steps.ShellCommand{{ name = command:match("^%a+"), command = command }}) end
  return f
end
local wait = "echo begun; while [ -d @DIR@ ] && [ ! -e @DIR@/go ]; do sleep 0.1; done; echo ended"
c.workers = {{ {workers} }}
c.builders = {{ {builders} }}
local names = {{}}
for i, b in ipairs(c.builders) do names[i] = b.name end
c.schedulers = {{ schedulers.ForceScheduler{{ name = "force", builderNames = names }} }}
"#
    )
}

const TWO: &str = r#"Worker{ "w1", "pass1" }, Worker{ "w2", "pass2", max_builds = 2 }"#;

fn builder(name: &str, workers: &str, more: &str) -> String {
    format!("util.BuilderConfig{{ name = '{name}', workernames = {{ {workers} }}, factory = factory(wait){more} }},")
}

fn go(master: &Master) {
    std::fs::write(master.dir().join("go"), "").expect("the file");
}

/// The answer of `buildmoon reconfig --json` on this configuration.
fn reconfig(master: &Master, lua: &str) -> Value {
    master.configure(lua);
    let ran = master.command("reconfig", &[], &["--json"]);
    let answer: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    assert_eq!(ran.code, Some(if answer["ok"] == true { 0 } else { 1 }), "{ran:?}");
    answer
}

/// The same, which succeeds; the texts of the changes.
fn change(master: &Master, lua: &str) -> Vec<String> {
    let answer = reconfig(master, lua);
    assert_eq!((&answer["ok"], &answer["mistakes"]), (&json!(true), &json!([])));
    answer["changes"].as_array().expect("changes").iter().map(|c| c["text"].as_str().expect("a text").to_owned()).collect()
}

fn served(master: &Master) -> Value {
    master.http.get("config").json()["config"].clone()
}

fn begun(master: &Master, builder: &str) -> (i64, Value) {
    let request = master.force(builder, json!({}));
    let build = master.wait_build(request, 1);
    master.wait_log_of(&build, "echo", "begun");
    (request, build)
}

fn workers_see_only_what_concerns_them(version: &str) {
    let b1 = builder("b1", "'w1'", "");
    let first = config(TWO, &b1);
    let master = Master::start(&first);
    let w1 = Worker::start(version, "w1", "pass1", master.pb);
    let _w2 = Worker::start(version, "w2", "pass2", master.pb);
    master.wait_attached("w1");
    master.wait_attached("w2");
    w1.wait_log("worker is ready");
    wait_for("w1 has nothing more to say", || {
        let before = w1.log();
        std::thread::sleep(Duration::from_secs(1));
        (w1.log() == before).then_some(())
    });
    let (said, since) = (w1.log(), [master.worker("w1")["attached_at"].clone(), master.worker("w2")["attached_at"].clone()]);

    assert_eq!(change(&master, &first), [""; 0]);
    let more = TWO.replace("max_builds = 2", "max_builds = 3, properties = { p = 1 }, keepalive_interval = 60");
    let b2 = builder("b2", "'w2'", ", tags = { 't' }");
    let changes = change(&master, &config(&more, &format!("{b1}{b2}")));
    assert_eq!(changes.len(), 3, "{changes:?}");
    assert!(changes[0].starts_with("Worker \"w2\" changed: max_builds 2 → 3 (at once)"), "{changes:?}");
    assert_eq!(changes[1], "BuilderConfig \"b2\" added: its workers are told of it");
    assert!(changes[2].starts_with("ForceScheduler \"force\" changed: builderNames { \"b1\" } → { \"b1\", \"b2\" }"), "{changes:?}");
    go(&master);
    let build = master.build("b2", json!({}));
    assert_eq!((&build["results"], &master.properties(&build)["p"]), (&json!(SUCCESS), &json!([1, "Worker"])));
    assert_eq!(since, [master.worker("w1")["attached_at"].clone(), master.worker("w2")["attached_at"].clone()]);
    assert_eq!(w1.log(), said, "a worker whose builders are the same hears nothing");
    assert_eq!(served(&master)["generation"], 3);
    assert_eq!(master.http.row("builders/b2", "builders")["tags"], json!(["t"]));
}

fn a_build_ends_as_it_began(version: &str) {
    let both = "'w1', 'w2'";
    let (kept, gone) = (builder("kept", both, ""), builder("gone", both, ""));
    let master = Master::start(&config(TWO, &format!("{kept}{gone}")));
    let _w1 = Worker::start(version, "w1", "pass1", master.pb);
    master.wait_attached("w1");
    let (kept_request, kept_build) = begun(&master, "kept");
    let (gone_request, _) = begun(&master, "gone");
    let waiting = master.force("gone", json!({}));
    assert_eq!(served(&master)["generations_alive"], 1);

    // Other steps and another folder for one, the end of the other: while both build.
    let changed = "util.BuilderConfig{ name = 'kept', workernames = { 'w1' }, workerbuilddir = 'elsewhere', factory = factory('pwd') },";
    let changes = change(&master, &config(TWO, changed));
    assert!(changes.iter().any(|c| c.starts_with("BuilderConfig \"gone\" removed")), "{changes:?}");
    assert_eq!(served(&master)["generations_alive"], 2, "the running builds need the old one");
    let why = wait_for("a reason", || Some(master.request(waiting)["waiting_for"].clone()).filter(|w| w["code"] == "builder_removed"));
    assert_eq!(why["text"], "builder gone is not in the configuration any more");
    go(&master);
    assert_eq!((master.wait_request(kept_request), master.wait_request(gone_request)), (SUCCESS, SUCCESS));
    assert!(master.steps(&kept_build).iter().all(|s| s["name"] != "pwd"), "the steps that it began with");
    wait_for("the old configuration is dropped", || (served(&master)["generations_alive"] == 1).then_some(()));

    let next = master.build("kept", json!({}));
    let pwd = master.log_contents(&next, "pwd", "stdio");
    assert!(pwd.contains("elsewhere/build\n"), "{pwd}");
    // Back again: what waited goes on.
    change(&master, &config(TWO, &format!("{changed}{gone}")));
    assert_eq!(master.wait_request(waiting), SUCCESS);
    assert_eq!(master.last_build_of(waiting)["number"], 2);
}

fn a_changed_password_lets_the_builds_end(version: &str) {
    let b = builder("b1", "'w1'", "");
    let master = Master::start(&config(TWO, &b));
    let mut worker = Worker::start(version, "w1", "pass1", master.pb);
    master.wait_attached("w1");
    let (request, _) = begun(&master, "b1");
    let changes = change(&master, &config(&TWO.replace("pass1", "other1"), &b));
    assert_eq!(changes, ["Worker \"w1\" changed: password *** → *** (the worker finishes its builds, then it has to attach anew)"]);
    assert_eq!(master.worker("w1")["leaving"], "its password changed");
    // The old one again: nothing has happened.
    change(&master, &config(TWO, &b));
    assert_eq!(master.worker("w1")["leaving"], Value::Null);
    change(&master, &config(&TWO.replace("pass1", "other1"), &b));
    assert!(master.attached("w1"));
    go(&master);
    assert_eq!(master.wait_request(request), SUCCESS);
    master.wait_log("its password changed");
    wait_for("it is turned away", || master.log().contains("login refused: wrong password").then_some(()));
    assert!(!master.attached("w1"));
    worker.kill9();
    let _again = Worker::start(version, "w1", "other1", master.pb);
    master.wait_attached("w1");
    assert_eq!(master.build("b1", json!({}))["results"], SUCCESS);
}

fn a_removed_worker_finishes_and_comes_back(version: &str) {
    let (one, both) = (builder("b1", "'w2'", ""), builder("b1", "'w1', 'w2'", ""));
    let master = Master::start(&config(TWO, &both));
    let _worker = Worker::start(version, "w1", "pass1", master.pb);
    master.wait_attached("w1");
    let id = master.worker("w1")["workerid"].clone();
    let (request, _) = begun(&master, "b1");
    let changes = change(&master, &config(r#"Worker{ "w2", "pass2" }"#, &one));
    assert!(changes.contains(&"Worker \"w1\" removed: it finishes its builds, then it is disconnected".to_owned()), "{changes:?}");
    assert_eq!(master.worker("w1")["leaving"], "it is not in the configuration any more");
    go(&master);
    assert_eq!(master.wait_request(request), SUCCESS);
    wait_for("it is gone", || (master.http.get("workers/w1").status == 404).then_some(()));
    change(&master, &config(TWO, &both));
    master.wait_attached("w1");
    assert_eq!(master.worker("w1")["workerid"], id);
    assert_eq!(master.build("b1", json!({}))["results"], SUCCESS);
}

/// One local worker, and what a test adds.
fn local(more: &str) -> String {
    config("LocalWorker{ 'l' }", &builder("b1", "'l'", "")) + more
}

#[test]
fn a_wrong_file_changes_nothing() {
    let mut master = Master::create(&local(""));
    master.launch_in("exec \"$@\" --config-timeout 3");
    let (request, _) = begun(&master, "b1");
    let before = master.http.get("builders").json();
    for (more, told) in [
        ("c.titel = 'x'", "unknown key 'titel' (did you mean 'title'?)"),
        ("c.builders[1].workernames = { 'nobody' }", "workernames names 'nobody', which is no worker"),
        ("error('not today')", "not today"),
        ("c.builders = (", "unexpected symbol"),
        ("while true do end", "did not end within"),
        ("local t = {} while true do t[#t + 1] = ('x'):rep(1e6) .. #t end", "the memory limit is used up"),
        ("require 'nowhere'", "there is no nowhere.lua"),
        ("c.workers[1] = LocalWorker{ 'l', workdir = 'master.lua/x' }", "the local worker's folder"),
        ("c.db_url = 'sqlite:///other.sqlite'", "the database can't change from state.sqlite to other.sqlite"),
    ] {
        let answer = reconfig(&master, &local(more));
        assert_eq!((&answer["ok"], &answer["changes"]), (&json!(false), &json!([])), "{more}");
        let mistakes = answer["mistakes"].to_string();
        assert!(mistakes.contains(told), "{more}: {mistakes}");
        let config = served(&master);
        assert_eq!((&config["generation"], &config["generations_alive"]), (&json!(1), &json!(1)), "{more}");
        assert_eq!((&config["reload"], &config["files"][0]["changed"]), (&answer, &json!(true)), "{more}");
        assert!(master.log().contains(told), "{more}: it is in the log");
    }
    let ran = master.command("reconfig", &[], &[]);
    assert!(ran.err.contains("can't change") && ran.err.contains("the one before stays at work") && ran.out.is_empty(), "{ran:?}");
    let status = master.command("status", &[], &[]).out;
    assert!(status.contains("changed on disk, not loaded: master.lua") && status.contains("can't change"), "{status}");
    assert_eq!(master.http.get("builders").json(), before);
    go(&master);
    assert_eq!(master.wait_request(request), SUCCESS);
    assert_eq!(change(&master, &local("")), [""; 0]);
    assert_eq!(served(&master)["files"], json!([{ "path": "master.lua", "changed": false }]));
}

#[test]
fn diff_says_what_a_reload_would_change_and_changes_nothing() {
    let master = Master::start(&local(""));
    let before = served(&master);
    let ran = master.command("diff", &[], &[]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "a reload would change nothing\n"), "{ran:?}");
    master.configure(&local("c.title = 'another'"));
    let ran = master.command("diff", &[], &[]);
    assert!(ran.code == Some(0) && ran.out.contains("title") && ran.out.contains("another"), "{ran:?}");
    let answer: Value = serde_json::from_str(&master.command("diff", &[], &["--json"]).out).expect("JSON");
    assert_eq!((&answer["ok"], answer["changes"].as_array().map(Vec::len)), (&json!(true), Some(1)));
    master.configure(&local("c.titel = 'x'"));
    let ran = master.command("diff", &[], &[]);
    assert!(ran.code == Some(1) && ran.err.contains("did you mean 'title'?") && ran.err.contains("a reload would be refused"), "{ran:?}");
    master.configure(&local("c.title = 'another'"));
    let now = served(&master);
    assert_eq!((&now["generation"], &now["reload"]), (&before["generation"], &before["reload"]), "it was put to work");
    assert_eq!(change(&master, &local("c.title = 'another'")).len(), 1);
}

#[test]
fn fifty_signals_make_one_reload_or_two() {
    let master = Master::start(&local(""));
    let number = || served(&master)["reload"]["number"].as_u64().expect("a number");
    let begun = Instant::now();
    for _ in 0..50 {
        signal(master.pid(), "HUP");
        std::thread::sleep(Duration::from_millis(15));
    }
    // One at once and one for those that came meanwhile; after each there is a second of rest.
    let most = 3 + begun.elapsed().as_secs();
    wait_for("it has reloaded", || (number() > 1).then_some(()));
    // The last signal counts.
    master.configure(&local("c.title = 'new'"));
    signal(master.pid(), "HUP");
    signal(master.pid(), "HUP");
    wait_for("the title is new", || (served(&master)["title"] == "new").then_some(()));
    master.wait_log("title \"Buildbot\" → \"new\"");
    assert!(number() <= most + 2, "the start is the first; {}", number());
}

#[test]
fn who_asks_is_answered_by_a_reload_that_began_later() {
    let slow = "local stop = time.now() + 1; while time.now() < stop do end;";
    let master = Master::start(&local(slow));
    let ask = || master.http.control("config", "reload", json!({})).expect("an answer");
    let answers: Vec<Value> = std::thread::scope(|scope| {
        let first = scope.spawn(ask);
        master.wait_log("reloading the configuration number=2");
        let asked: Vec<_> = (0..9).map(|_| scope.spawn(ask)).collect();
        [first].into_iter().chain(asked).map(|a| a.join().expect("an answer")).collect()
    });
    assert!(answers[1..].iter().all(|a| a["number"].as_u64() > answers[0]["number"].as_u64()), "{answers:?}");
    assert!(answers.iter().all(|a| a["ok"] == true), "{answers:?}");
    let number = served(&master)["reload"]["number"].as_u64().expect("a number");
    assert!((3..=4).contains(&number), "the start, one, and one for all who asked meanwhile: {number}");
}

#[test]
fn a_mended_file_does_not_wait_for_a_loop() {
    let master = Master::start(&local(""));
    master.configure(&local("while true do end"));
    std::thread::scope(|scope| {
        let first = scope.spawn(|| master.command("reconfig", &[], &["--json"]));
        master.wait_log("reloading the configuration number=2");
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(served(&master)["generation"], 1, "the old one works on meanwhile");
        change(&master, &local("c.title = 'mended'"));
        assert_eq!(served(&master)["title"], "mended");
        let first = first.join().expect("an answer");
        assert!(first.out.contains("mended") && first.code == Some(0), "{first:?}");
    });
}

#[test]
fn a_reload_while_the_master_starts_comes_after_it() {
    let slow = "local stop = time.now() + 1; while time.now() < stop do end;";
    let mut master = Master::create(&local(slow));
    let dir = master.dir();
    let asked = std::thread::spawn(move || {
        wait_for("it has begun", || dir.join("buildmoon.pid").exists().then_some(()));
        buildmoon(["reconfig".as_ref(), dir.as_os_str(), "--json".as_ref()])
    });
    // A signal, too, as soon as it can hear one.
    master.launch_in("(while [ -d \"$3\" ] && [ ! -e \"$3/buildmoon.pid\" ]; do sleep 0.05; done; kill -HUP $$) & exec \"$@\"");
    let ran = asked.join().expect("an answer");
    let answer: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    assert_eq!((&answer["ok"], ran.code), (&json!(true), Some(0)), "{ran:?}");
    assert_eq!(served(&master)["reload"]["ok"], true);
}

#[test]
fn a_master_that_stops_loads_nothing() {
    let mut master = Master::start(&local(""));
    let (request, _) = begun(&master, "b1");
    signal(master.pid(), "USR1");
    master.wait_log("stopping");
    let answer = reconfig(&master, &local("c.title = 'new'"));
    assert_eq!(answer["mistakes"], json!(["the master is stopping and loads no configuration"]));
    signal(master.pid(), "HUP");
    assert!(master.alive());
    go(&master);
    assert!(master.wait_exit().success());
    master.launch();
    assert_eq!(master.wait_request(request), SUCCESS);
    // In the middle of an evaluation.
    master.configure(&local("while true do end"));
    signal(master.pid(), "HUP");
    master.wait_log("reloading the configuration number=2");
    assert!(master.stop().success());
}

#[test]
fn ports_change_without_a_gap() {
    let port_of = |pb: u16, web: u16, interface: &str| {
        format!("c.protocols.pb.port = 'tcp:{pb}:interface={interface}'; c.www.port = 'tcp:{web}:interface={interface}';")
    };
    let b = builder("b1", "'w1', 'w2'", "");
    let mut master = Master::start(&config(TWO, &b));
    let _w1 = Worker::start("4.3.0", "w1", "pass1", master.pb);
    master.wait_attached("w1");
    let since = master.worker("w1")["attached_at"].clone();
    let (old_web, pb, web) = (master.http.port, free_port(), free_port());
    let changes = change(&master, &(config(TWO, &b) + &port_of(pb, web, "127.0.0.1")));
    assert!(changes.len() == 1 && changes[0].contains("protocols.pb.port") && changes[0].contains("www.port"), "{changes:?}");
    master.http.port = web;
    wait_for("the old port is closed", || std::net::TcpStream::connect(("127.0.0.1", old_web)).is_err().then_some(()));
    let _w2 = Worker::start("4.3.0", "w2", "pass2", pb);
    master.wait_attached("w2");
    assert_eq!(master.worker("w1")["attached_at"], since, "who is connected stays");

    // The same numbers on another interface: both can't be open at once.
    change(&master, &(config(TWO, &b) + &port_of(pb, web, "0.0.0.0")));
    assert_eq!((master.worker("w1")["attached_at"].clone(), master.attached("w2")), (since.clone(), true));

    // A port that is taken: nothing changes, also not what could.
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let taken = taken.local_addr().expect("its address").port();
    let answer = reconfig(&master, &(config(TWO, &b) + &port_of(taken, free_port(), "127.0.0.1") + "c.title = 'x'"));
    assert!(answer["ok"] == false && answer["mistakes"].to_string().contains("cannot listen for workers"), "{answer}");
}

#[test]
fn a_port_that_is_taken_refuses_the_reload() {
    let master = Master::start(&local(""));
    let holder = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let taken = holder.local_addr().expect("its address").port();
    let free = free_port();
    let more = format!("c.title = 'x'; c.protocols.pb.port = {free}; c.www.port = 'tcp:{taken}:interface=127.0.0.1'");
    let answer = reconfig(&master, &local(&more));
    assert!(answer["ok"] == false && answer["mistakes"].to_string().contains(&format!("can't listen on 127.0.0.1:{taken}")), "{answer}");
    assert_eq!(served(&master)["title"], "Buildbot");
    wait_for("the other port is closed again", || std::net::TcpStream::connect(("127.0.0.1", free)).is_err().then_some(()));
    // Half of it needs room that the old port takes, and the other half fails: the old port is open again.
    let more = format!("c.protocols.pb.port = 'tcp:{}:interface=0.0.0.0'; c.www.port = 'tcp:{taken}:interface=127.0.0.1'", master.pb);
    assert_eq!(reconfig(&master, &local(&more))["ok"], false);
    wait_for("the old port is open", || std::net::TcpStream::connect(("127.0.0.1", master.pb)).ok());
    drop(holder);
}

/// A class of the file whose method has another body is told with every builder that uses it.
#[test]
fn another_method_of_a_step_is_a_difference() {
    let lua = |says: &str| {
        format!(
            "local Say = steps.BuildStep:extend('Say')\nfunction Say:what() return '{says}' end\n\
             function Say:run() self:addCompleteLog('said', self:what()) return util.SUCCESS end\n\
             local f, g = util.BuildFactory{{ Say{{ name = 'it' }} }}, util.BuildFactory{{ steps.ShellCommand{{ command = 'true' }} }}\n\
             c.workers = {{ LocalWorker{{ 'l' }} }}\n\
             c.builders = {{ util.BuilderConfig{{ name = 'b', workernames = {{ 'l' }}, factory = f }},\n\
             util.BuilderConfig{{ name = 'other', workernames = {{ 'l' }}, factory = g }} }}\n\
             c.schedulers = {{ schedulers.ForceScheduler{{ name = 'force', builderNames = {{ 'b' }} }} }}\n"
        )
    };
    let master = Master::start(&lua("one"));
    assert_eq!(change(&master, &(lua("one") + "-- nothing\n")), Vec::<String>::new());
    let changes = change(&master, &lua("two"));
    assert_eq!(changes.len(), 1, "{changes:?}");
    let told = changes[0].contains("BuilderConfig \"b\" changed") && changes[0].contains("what a function (master.lua:");
    assert!(told && changes[0].contains("(for builds that start from now on)") && !changes[0].contains(".run "), "{changes:?}");
    let build = master.build("b", json!({}));
    assert_eq!(master.log_contents(&build, "it", "said").trim(), "two");
}

#[test]
fn unix_sockets_come_and_go() {
    let master = Master::start(&local(""));
    let folder = tempfile::tempdir().expect("a folder");
    let (one, two) = (folder.path().join("one.sock"), folder.path().join("two.sock"));
    let at = |path: &std::path::Path| local(&format!("c.www.port = 'unix:{}'", path.display()));
    change(&master, &at(&one));
    wait_for("the port is closed", || std::net::TcpStream::connect(("127.0.0.1", master.http.port)).is_err().then_some(()));
    let mut kept = UnixStream::connect(&one).expect("the socket");
    assert!(asked(&mut kept).starts_with("HTTP/1.1 200"));

    // Another change leaves the socket alone, and who is connected to it.
    change(&master, &(at(&one) + "c.title = 'x'"));
    assert!(asked(&mut kept).contains("\"title\":\"x\""));

    // A path that can't be had: nothing changes.
    let nowhere = folder.path().join("no/such/folder.sock");
    let answer = reconfig(&master, &(at(&nowhere) + "c.title = 'y'"));
    assert!(answer["ok"] == false && answer["mistakes"].to_string().contains("folder.sock"), "{answer}");
    assert!(asked(&mut kept).contains("\"title\":\"x\""));

    // Others may connect from now on, as when a proxy is put before it; what it changes is refused all the same.
    change(&master, &at(&one).replace(".sock", ".sock:mode=666"));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&one).expect("the socket").permissions());
    assert_eq!(mode & 0o777, 0o666);
    let mut proxy = UnixStream::connect(&one).expect("the socket");
    // In one piece: it is refused before its body is read.
    let head = "POST /api/v2/outbox HTTP/1.1\r\nHost: localhost\r\nContent-Length: 58\r\nConnection: close\r\n\r\n";
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"retry","params":{     }}"#;
    proxy.write_all(format!("{head}{body}").as_bytes()).expect("sent");
    let mut refused = Vec::new();
    // Whatever ends the connection.
    let _ = proxy.read_to_end(&mut refused);
    let refused = String::from_utf8_lossy(&refused);
    assert!(refused.contains("where a proxy speaks for strangers"), "{refused}");

    change(&master, &at(&two));
    assert!(asked(&mut UnixStream::connect(&two).expect("the new socket")).starts_with("HTTP/1.1 200"));
    wait_for("the old socket is gone", || UnixStream::connect(&one).is_err().then_some(()));
    change(&master, &local(""));
    wait_for("the new socket is gone too", || UnixStream::connect(&two).is_err().then_some(()));
    assert_eq!(served(&master)["title"], "Buildbot");
}

/// Asks for the configuration over a connection that stays open.
fn asked(stream: &mut UnixStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time limit");
    stream.write_all(b"GET /api/v2/config HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("a question");
    let mut answer = Vec::new();
    loop {
        let mut part = [0; 65536];
        let n = stream.read(&mut part).expect("an answer");
        assert!(n > 0, "closed after {:?}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&part[..n]);
        let text = String::from_utf8_lossy(&answer).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|l| l.to_lowercase().strip_prefix("content-length: ").map(str::to_owned));
        if length.and_then(|l| l.parse().ok()).is_some_and(|length: usize| body.len() >= length) {
            return text;
        }
    }
}

#[test]
fn local_workers_come_and_go() {
    let workers = |list: &str| config(list, &builder("b1", "'l'", "")).replace("factory(wait)", "factory('pwd')");
    let master = Master::start(&workers("LocalWorker{ 'l' }"));
    let place = |build: &Value| master.log_contents(build, "pwd", "stdio");
    assert!(place(&master.build("b1", json!({}))).contains("/workers/l/b1/build\n"));
    // Another folder: it attaches anew.
    change(&master, &workers("LocalWorker{ 'l', workdir = 'other' }, LocalWorker{ 'm' }"));
    master.wait_attached("m");
    wait_for("it works in the other folder", || {
        let build = master.build("b1", json!({}));
        place(&build).contains("/other/b1/build\n").then_some(())
    });
    // Of another class, and back.
    let changes = change(&master, &workers("Worker{ 'l', 'pw' }"));
    assert!(changes.iter().any(|c| c.starts_with("Worker \"l\" changed: class LocalWorker → Worker")), "{changes:?}");
    master.wait_detached("l");
    let remote = Worker::start("4.3.0", "l", "pw", master.pb);
    master.wait_attached("l");
    assert_eq!(master.build("b1", json!({}))["results"], SUCCESS);
    change(&master, &workers("LocalWorker{ 'l' }"));
    wait_for("the local one is attached", || (master.worker("l")["peer"] == "this process").then_some(()));
    drop(remote);
    assert!(place(&master.build("b1", json!({}))).contains("/workers/l/b1/build\n"));
    // Gone and back in two reloads.
    change(&master, &config("LocalWorker{ 'x' }", &builder("b1", "'x'", "")));
    assert_eq!(master.http.get("workers/l").status, 404);
    change(&master, &workers("LocalWorker{ 'l' }"));
    master.wait_attached("l");
    assert_eq!(master.build("b1", json!({}))["results"], SUCCESS);
    // A local worker that was asked to stop stays so; what did not change is not touched.
    let id = master.worker("l")["workerid"].clone();
    master.http.control(&format!("workers/{id}"), "stop", json!({})).expect("a stop");
    master.wait_detached("l");
    assert_eq!(change(&master, &workers("LocalWorker{ 'l' }")), [""; 0]);
    assert!(!master.attached("l"));
}

#[test]
fn modules_are_read_afresh_and_decisions_are_the_newest() {
    let more = "local m = require 'lib.decide'; c.builders[1].canStartBuild = m.decide";
    let module = |answer: &str| format!("return {{ decide = function() {answer} end }}");
    let master = Master::create(&local(more));
    let mut master = master;
    std::fs::create_dir(master.dir().join("lib")).expect("a folder");
    let file = master.dir().join("lib/decide.lua");
    // It never answers by itself before its budget is used up.
    std::fs::write(&file, module("while true do end")).expect("the module");
    master.launch();
    go(&master);
    let request = master.force("b1", json!({}));
    wait_for("it is being asked", || {
        master.request(request)["waiting_for"]["text"].as_str().filter(|t| t.contains("being asked")).map(drop)
    });
    std::fs::write(&file, module("return true")).expect("the module");
    let files = served(&master)["files"].clone();
    let changed = |path: &str| files.as_array().expect("files").iter().find(|f| f["path"] == path).expect("the file")["changed"].clone();
    assert_eq!((changed("master.lua"), changed("lib/decide.lua")), (json!(false), json!(true)), "{files}");
    let changes = change(&master, &local(more));
    assert!(changes.len() == 1 && changes[0].contains("canStartBuild"), "{changes:?}");
    assert_eq!(served(&master)["reload"]["changed_files"], json!(["lib/decide.lua"]));
    let begun = Instant::now();
    assert_eq!(master.wait_request(request), SUCCESS);
    assert!(begun.elapsed() < Duration::from_secs(20), "the question to the old one is given up");
    wait_for("the old one is dropped", || (served(&master)["generations_alive"] == 1).then_some(()));
}

#[test]
fn the_api_reloads_and_shows_no_secret() {
    let with = |n: u32| {
        format!(
            "c.workers[2] = Worker{{ 'w', 'hush{n}' }}; c.builders[1].env = {{ TOKEN = 'hush-token{n}' }}; c.notify_on_reload_failure = {{ 'a@b.cd' }}"
        )
    };
    let master = Master::start(&local(&with(1)));
    master.configure(&local(&with(2)));
    let answer = master.http.control("config", "reload", json!({})).expect("a reload");
    assert_eq!(answer["ok"], true);
    let texts = answer["changes"].to_string();
    assert!(texts.contains("password *** → ***") && texts.contains("env.TOKEN *** → ***"), "{texts}");
    assert!(!format!("{answer}{}{}", served(&master), master.log()).contains("hush"));
    let (status, error) = master.http.control("config", "relaod", json!({})).expect_err("no method");
    assert!(status == 400 && error["message"].as_str().is_some_and(|m| m.contains("did you mean 'reload'?")), "{error}");
    let stranger =
        master.http.request("POST", "/api/v2/config", Some(&json!({"jsonrpc": "2.0", "method": "reload"})), &[("Host", "evil.example")]);
    assert_eq!(stranger.expect("an answer").status, 403);
}

#[test]
fn a_builder_with_another_number_of_workers() {
    let workers = "LocalWorker{ 'l1' }, LocalWorker{ 'l2' }, LocalWorker{ 'l3' }";
    let on = |names: &str| config(workers, &builder("b1", names, ""));
    let master = Master::start(&on("'l1'"));
    let configured = |name: &str| master.worker(name)["configured_on"].as_array().expect("a list").len();
    let (first, second) = (begun(&master, "b1").0, master.force("b1", json!({})));
    assert!(master.builds_of(second).is_empty());
    change(&master, &on("'l2', 'l3'"));
    assert_eq!(["l1", "l2", "l3"].map(configured), [0, 1, 1]);
    master.wait_build(second, 1);
    go(&master);
    assert_eq!((master.wait_request(first), master.wait_request(second)), (SUCCESS, SUCCESS));
}

#[test]
fn a_reload_says_how_long_it_took() {
    let master = Master::start("c.workers = { Worker{ 'w', 'pass' } }");
    let seconds = |line: &str| -> f64 {
        let took = line.split("took ").nth(1).and_then(|rest| rest.split_once(" seconds")).map(|(number, _)| number);
        took.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no time in {line}"))
    };
    let after = |beginning: &str| {
        signal(master.pid(), "HUP");
        let log = wait_for(beginning, || Some(master.log()).filter(|log| log.contains(beginning)));
        let told: Vec<&str> = log.lines().filter(|line| line.contains(beginning)).collect();
        assert_eq!(told.len(), 1, "{told:#?}");
        assert!((0.0..60.0).contains(&seconds(told[0])), "{told:#?}");
    };
    after("configuration reloaded: no object is different");
    master.configure("c.workers = { Worker{ 'w', 'pass' }, Worker{ 'v', 'pass' } }");
    after("configuration reloaded: 1 object is different");
    let answer = || served(&master)["reload"]["answer"].as_str().unwrap_or_default().to_owned();
    assert!(answer().starts_with("1 object is different; took "), "{}", answer());
    master.configure("c.workers = nonsense");
    after("the configuration is not loaded; the one before stays at work: 1 mistake; took ");
    assert!(answer().starts_with("1 mistake; took "), "{}", answer());
}
