//! Workers that are processes, with the real program: here and, by a real sshd, elsewhere. Whatever ends, no process is left that nobody
//! knows, and none is started twice.

mod support;

use serde_json::{Value, json};
use support::sshd::Sshd;
use support::*;

const VERSIONS: [&str; 3] = peers::VERSIONS;
const VERSION: &str = "4.3.0";

fn program(version: &str) -> String {
    peers::worker_bin(version).join("buildbot-worker").display().to_string()
}

fn config(workers: &str) -> String {
    format!(
        r#"
c.collapseRequests = false
c.reap_interval = 10
c.workers = {{ {workers} }}
local quick = util.BuildFactory{{ steps.ShellCommand{{ name = "say", command = "echo quick; env" }} }}
local wait = util.BuildFactory{{
  steps.ShellCommand{{ name = "wait", command = "echo begun; while [ -d @DIR@ ] && [ ! -e @DIR@/go ]; do sleep 0.1; done" }} }}
c.builders = {{
  util.BuilderConfig{{ name = "quick", workernames = {{ "bot" }}, factory = quick }},
  util.BuilderConfig{{ name = "wait", workernames = {{ "bot" }}, factory = wait }},
}}
c.schedulers = {{ schedulers.ForceScheduler{{ name = "force", builderNames = {{ "quick", "wait" }} }} }}
"#
    )
}

fn here(options: &str) -> String {
    config(&format!("ProcessLatentWorker{{ \"bot\", program = {:?}, {options} }}", program(VERSION)))
}

fn marked(mark: &str) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    let has = |pid: &u32| {
        let text = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        text.split(|b| *b == 0).any(|variable| variable == mark.as_bytes())
    };
    pids.filter(has).collect()
}

/// The launches in the ledger whose machine is not known to be gone.
fn live(master: &Master) -> Vec<Value> {
    master.http.rows("instances?gone_at=null", "instances")
}

/// The only one of them, once it is known where it runs: a worker may build before its start has returned that.
fn known(master: &Master) -> Value {
    wait_for("its handle is in the ledger", || live(master).into_iter().find(|row| !row["handle"].is_null()))
}

fn launch_mark(instance: &Value) -> String {
    let id = instance["launch_id"].as_str().unwrap_or_else(|| panic!("no launch_id in {instance}"));
    format!("BUILDMOON_LAUNCH_ID={id}")
}

fn wait_ended(mark: &str) {
    wait_for(&format!("no process has {mark}"), || marked(mark).is_empty().then_some(()));
}

fn builds_and_stops(version: &str) {
    let options = "build_wait_timeout = 1, env = { OWN = \"it's\" }";
    let master = Master::start(&config(&format!("ProcessLatentWorker{{ \"bot\", program = {:?}, {options} }}", program(version))));
    let build = master.build("quick", json!({}));
    assert_eq!(build["results"], SUCCESS);
    let said = master.log_contents(&build, "say", "stdio");
    assert!(said.lines().any(|l| l == "oquick") && said.lines().any(|l| l == "oOWN=it's"), "{said}");
    assert!(!said.contains("WORKERPASS") && !said.contains("BUILDMASTER="), "{said}");
    assert!(master.dir().join("workers/bot/twistd.log").is_file());
    let mark = launch_mark(&master.http.rows("instances", "instances")[0]);
    wait_ended(&mark);
    wait_for("the ledger is closed", || live(&master).is_empty().then_some(()));
}

#[test]
fn stock_workers_of_every_version_are_started_and_stopped() {
    VERSIONS.iter().for_each(|version| builds_and_stops(version));
}

#[test]
fn the_password_is_in_no_command_line_and_in_no_file() {
    let mut master = Master::start(&here("").replace("\"bot\", program", "\"bot\", \"pass-of-bot\", program"));
    let request = master.force("wait", json!({}));
    let build = master.wait_build(request, 1);
    master.wait_log_of(&build, "wait", "begun");
    let mark = launch_mark(&live(&master)[0]);
    assert!(!marked(&mark).is_empty());
    for pid in marked(&mark) {
        let line = String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()).into_owned();
        assert!(!line.contains("pass-of-bot"), "{line}");
    }
    let tac = std::fs::read_to_string(master.dir().join("workers/bot/buildbot.tac")).expect("the file");
    assert!(!tac.contains("pass-of-bot") && !master.log().contains("pass-of-bot"));
    std::fs::write(master.dir().join("go"), "").expect("the file");
    assert_eq!(master.wait_request(request), SUCCESS);
    let info = master.worker("bot").to_string();
    assert!(!info.contains("pass-of-bot"), "{info}");
    assert!(master.stop().success());
    wait_ended(&mark);
}

#[test]
fn a_stop_ends_what_builds_have_left() {
    let master = Master::start(
        &here("build_wait_timeout = 1").replace("echo quick; env", "setsid sleep 1007 </dev/null >/dev/null 2>&1 & echo left"),
    );
    let build = master.build("quick", json!({}));
    assert_eq!(build["results"], SUCCESS);
    let row = master.http.rows("instances", "instances").remove(0);
    let mark = launch_mark(&row);
    let sleeper =
        marked(&mark).into_iter().find(|pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n"));
    assert!(sleeper.is_some() || live(&master).is_empty(), "the command of the build runs on");
    wait_ended(&mark);
    wait_for("the ledger is closed", || live(&master).is_empty().then_some(()));
}

#[test]
fn an_orderly_end_of_the_master_ends_its_workers() {
    let mut master = Master::start(&here("build_wait_timeout = -1"));
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    let mark = launch_mark(&live(&master)[0]);
    assert!(!marked(&mark).is_empty());
    assert!(master.stop().success());
    wait_ended(&mark);
}

#[test]
fn both_keep_the_promises_of_a_backend() {
    for class in ["ProcessLatentWorker", "FakeLatentWorker"] {
        let master = Master::create(&here("").replace("ProcessLatentWorker", class));
        let file = master.dir().join("master.lua");
        let ran = buildmoon(["backend-test".as_ref(), file.as_os_str()]);
        assert_eq!(ran.code, Some(0), "{class}: {}{}", ran.out, ran.err);
        assert!(!ran.out.contains("FAIL") && !ran.out.contains("skip"), "{}", ran.out);
    }
}

/// What a configuration has started for itself.
#[test]
fn programs_end_with_the_master_in_order() {
    let mark = format!("BUILDMOON_TEST_PROGRAM={}", std::process::id());
    let (name, value) = mark.split_once('=').expect("a mark");
    let own = format!("process.start({{ 'sleep', '1008' }}, {{ env = {{ {name} = '{value}' }} }})\n");
    let mut master = Master::start(&(own.clone() + &here("")));
    assert_eq!(marked(&mark).len(), 1);
    // The next configuration has one of its own.
    master.reconfig(&(own + &here("build_wait_timeout = 5")));
    wait_for("the program of the old configuration ends", || (marked(&mark).len() == 1).then_some(()));
    assert!(master.stop().success());
    wait_ended(&mark);
}

#[test]
fn killed_while_it_builds_the_master_adopts_the_worker() {
    let mut master = Master::start(&here("build_wait_timeout = 1"));
    let request = master.force("wait", json!({}));
    let build = master.wait_build(request, 1);
    master.wait_log_of(&build, "wait", "begun");
    let before = known(&master);
    master.kill9();
    master.launch();
    let again = master.wait_build(request, 2);
    master.wait_log_of(&again, "wait", "begun");
    let after = live(&master);
    assert_eq!((after.len(), &after[0]["handle"]), (1, &before["handle"]));
    std::fs::write(master.dir().join("go"), "").expect("the file");
    assert_eq!(master.wait_request(request), SUCCESS);
    wait_ended(&launch_mark(&before));
}

#[test]
fn killed_and_moved_to_another_machine_it_is_stopped_where_it_is() {
    let mut master = Master::start(&here("build_wait_timeout = -1"));
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    let mark = launch_mark(&known(&master));
    master.kill9();
    assert!(!marked(&mark).is_empty());
    master.configure(&here("build_wait_timeout = -1, host = 'nowhere.invalid'"));
    master.launch();
    wait_ended(&mark);
    wait_for("the ledger is closed", || live(&master).is_empty().then_some(()));
}

#[test]
fn killed_while_it_starts_nothing_is_left_and_nothing_doubled() {
    // Its start lasts: it is killed before it could write down a handle.
    let slow = "function(props) sleep(1) return { sh = 'x' } end";
    let mut master = Master::start(&here(&format!("build_wait_timeout = 1, env = util.renderer({slow})")));
    let request = master.force("quick", json!({}));
    let row = wait_for("the ledger has it", || live(&master).into_iter().next());
    let mark = launch_mark(&row);
    wait_for("its process runs", || (!marked(&mark).is_empty()).then_some(()));
    master.kill9();
    master.launch();
    assert_eq!(master.wait_request(request), SUCCESS);
    wait_ended(&mark);
    wait_for("the ledger is closed", || live(&master).is_empty().then_some(()));
}

#[test]
fn a_worker_that_can_not_start_says_why() {
    for (options, wanted) in [
        ("program = '/no/such/worker'", "the worker can't be started on this machine: there is no program '/no/such/worker'"),
        (
            "command = \"echo it does not work >&2; exit 3\"",
            "the worker can't be started on this machine: the worker ended at once: it does not work",
        ),
        (
            "command = \"until [ -e @DIR@/end ]; do sleep 0.1; done; echo no longer; exit 3\", check_instance_interval = 1",
            "the worker's process has ended: no longer",
        ),
        ("program = 'x', env = { ['a b'] = 1 }", "env: \"a b\" is no name of a variable"),
    ] {
        let master = Master::start(&config(&format!("ProcessLatentWorker{{ \"bot\", {options} }}")));
        let request = master.force("quick", json!({}));
        if options.contains("/end") {
            known(&master);
            std::fs::write(master.dir().join("end"), "").expect("the file");
        }
        master.wait_log(wanted);
        let why = wait_for("the request says why it waits", || {
            let text = master.request(request)["waiting_for"].to_string().replace("\\\"", "\"");
            text.contains(wanted.split(": ").last().unwrap_or_default().trim_matches('"')).then_some(text)
        });
        assert!(why.contains("bot"), "{why}");
        wait_for("nothing runs", || live(&master).is_empty().then_some(()));
    }
}

#[test]
fn a_worker_on_another_machine() {
    let Some(sshd) = Sshd::start() else { return };
    let home = tempfile::tempdir().expect("a folder");
    let options = format!(
        "host = \"127.0.0.1\", ssh_options = {}, basedir = {:?}, masterFQDN = \"localhost\", build_wait_timeout = 1, env = {{ OWN = \"it's\" }}",
        sshd.options(),
        home.path().join("a worker's folder")
    );
    let mut master = Master::start(&here(&options));
    let build = master.build("quick", json!({}));
    assert_eq!(build["results"], SUCCESS, "{}", master.log());
    assert!(master.log_contents(&build, "say", "stdio").lines().any(|l| l == "oOWN=it's"));
    assert!(home.path().join("a worker's folder/twistd.log").is_file());
    wait_ended(&launch_mark(&master.http.rows("instances", "instances")[0]));

    // Its master dies, and finds it.
    let request = master.force("wait", json!({}));
    let build = master.wait_build(request, 1);
    master.wait_log_of(&build, "wait", "begun");
    let before = known(&master);
    assert_eq!(before["handle"]["host"], "127.0.0.1");
    master.kill9();
    master.launch();
    let again = master.wait_build(request, 2);
    master.wait_log_of(&again, "wait", "begun");
    assert_eq!(live(&master)[0]["handle"], before["handle"]);
    std::fs::write(master.dir().join("go"), "").expect("the file");
    assert_eq!(master.wait_request(request), SUCCESS);
    wait_ended(&launch_mark(&before));
    wait_for("the ledger is closed", || live(&master).is_empty().then_some(()));

    // A machine that is away is told as such, and nothing is thought to run there.
    drop(sshd);
    master.force("quick", json!({}));
    master.wait_log("the worker can't be started on 127.0.0.1: ");
    master.wait_log("Connection refused");
}

/// What the build wishes, machine by machine: one for each, since a failure is followed by a pause.
#[test]
fn fake_machines_do_as_the_build_wishes() {
    let wishes = [
        ("fake_start", "capacity", "no room, as the build wishes"),
        ("fake_start", "retry", "not now, as the build wishes"),
        ("fake_start", "config_error", "wrong settings, as the build wishes"),
        ("fake_start", "error", "an error, as the build wishes"),
        ("fake_start", "lost", "the answer is lost, as the build wishes: the instance runs"),
        ("fake_start", "false", "start_instance returned false: not now"),
        ("fake_start", "nonsense", "fake_start must be one of capacity, config_error, error, false, hang, lost, ok, retry"),
        ("fake_start_time", "long", "fake_start_time must be a number of seconds"),
        ("fake_check", "the disk is full", "the disk is full (as the build wishes)"),
        ("fake_attach", "false", "was not attached within 10.0 s"),
    ];
    let lua = format!(
        r#"
c.collapseRequests, c.reap_interval = false, 10
c.workers, c.builders = {{}}, {{}}
local names, fields = {{}}, {{}}
for i = 1, {} do
  names[i] = "b" .. i
  c.workers[i] = FakeLatentWorker{{ "bot" .. i, program = {:?}, build_wait_timeout = 1, check_instance_interval = 1, missing_timeout = 10 }}
  c.builders[i] = util.BuilderConfig{{ name = names[i], workernames = {{ "bot" .. i }}, factory = util.BuildFactory{{
    steps.ShellCommand{{ name = "say", command = {{ "echo", "quick" }} }} }} }}
end
for i, name in ipairs{{ "start", "start_time", "check", "attach" }} do fields[i] = util.StringParameter{{ name = "fake_" .. name }} end
c.schedulers = {{ schedulers.ForceScheduler{{ name = "force", builderNames = names, properties = fields }} }}
"#,
        wishes.len() + 2,
        program(VERSION)
    );
    let master = Master::start(&lua);
    let requests: Vec<i64> =
        wishes.iter().zip(1..).map(|((name, value, _), i)| master.force(&format!("b{i}"), json!({ *name: value }))).collect();
    let last = |n: usize| format!("b{}", wishes.len() + n);
    // One that just works, and one that takes its time.
    let good = [master.force(&last(1), json!({})), master.force(&last(2), json!({ "fake_start_time": "1" }))];
    for request in good {
        assert_eq!(master.wait_request(request), SUCCESS);
    }
    for ((name, value, wanted), request) in wishes.iter().zip(requests) {
        let told = || {
            let rows = master.http.rows("instances", "instances");
            rows.iter().any(|row| row["reason"].as_str().is_some_and(|why| why.contains(wanted))).then_some(())
        };
        wait_for(&format!("{name} = {value}: {wanted}"), told);
        master.http.control(&format!("buildrequests/{request}"), "cancel", json!({})).expect("cancelled");
        // The worker of an instance whose answer was lost may attach and build before anybody has looked for it.
        let ended = master.wait_request(request);
        assert!(ended == CANCELLED || (*value == "lost" && ended == SUCCESS), "{name} = {value}: {ended}");
    }
    let marks: Vec<String> = master.http.rows("instances", "instances").iter().map(launch_mark).collect();
    assert!(marks.len() >= wishes.len() + 2);
    marks.iter().for_each(|mark| wait_ended(mark));
    // What an error has left is looked for some minutes more: a cloud may show it late.
    let open = || live(&master).iter().filter(|row| row["workername"] != "bot4").count();
    wait_for("the ledger is closed", || (open() == 0).then_some(()));
}
