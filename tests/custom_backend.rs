//! The example of a backend of one's own, with the real program: its processes run stock workers, builds run on them, they are stopped,
//! and a master that was killed adopts or stops what it finds.

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::*;

const VERSION: &str = "4.3.0";

/// The example as it stands, but for ports and the time that a machine is kept; with a builder whose builds last.
fn config(wait: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/custom-backend/master.lua");
    let text = std::fs::read_to_string(file).expect("the example");
    let change = |text: String, from: &str, to: &str| {
        assert!(text.contains(from), "the example has no {from}");
        text.replace(from, to)
    };
    let text = change(text, "9989", "@PB@");
    let text = change(text, "8010", "@WEB@");
    let text = change(text, "build_wait_timeout = 60", &format!("build_wait_timeout = {wait}"));
    text + r#"
local wait = util.BuildFactory{ steps.ShellCommand{ name = "wait", command = "echo begun; while [ -d @DIR@ ] && [ ! -e @DIR@/go ]; do sleep 0.1; done" } }
table.insert(c.builders, util.BuilderConfig{ name = "wait", workernames = { "bot-1" }, factory = wait })
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "hello", "wait" } } }
c.collapseRequests = false
c.reap_interval = 10
"#
}

fn launch(master: &mut Master) {
    let bin = peers::worker_bin(VERSION);
    master.launch_in(&format!("PATH={}:$PATH; exec \"$@\"", bin.display()));
}

fn started(wait: &str) -> Master {
    let mut master = Master::create(&config(wait));
    launch(&mut master);
    master
}

/// The processes that carry a mark of this master's workers, by the folder of the master in which they run.
fn processes(master: &Master) -> Vec<u32> {
    let folder = master.dir().join("workers");
    marked("CI_LAUNCH=")
        .into_iter()
        .filter(|pid| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(&folder)))
        .collect()
}

/// The processes with this in their environment.
fn marked(mark: &str) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    let has = |pid: &u32| {
        let text = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        text.split(|b| *b == 0).any(|variable| variable.starts_with(mark.as_bytes()))
    };
    pids.filter(has).collect()
}

#[test]
fn it_keeps_the_promises_of_a_backend() {
    let master = Master::create(&config("60"));
    let path = format!("{}:{}", peers::worker_bin(VERSION).display(), std::env::var("PATH").unwrap_or_default());
    let ran =
        std::process::Command::new(master::BUILDMOON).arg("backend-test").arg(master.dir().join("master.lua")).env("PATH", path).output();
    let ran = master::ran(ran.expect("buildmoon"));
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    none_left(&master);
}

fn instances(master: &Master) -> Vec<Value> {
    master.http.rows("instances?gone_at=null", "instances")
}

fn none_left(master: &Master) {
    wait_for("no process is left", || processes(master).is_empty().then_some(()));
}

#[test]
fn builds_run_and_instances_stop() {
    let master = started("2");
    let requests: Vec<i64> = (0..3).map(|_| master.force("hello", json!({}))).collect();
    for request in requests {
        assert_eq!(master.wait_request(request), SUCCESS);
    }
    let build = master.build("hello", json!({}));
    let said = master.log_contents(&build, "greet", "stdio");
    assert!(said.contains("oHello from bot-"), "{said}");
    // Neither the password nor the mark is among what a build sees of a worker's secrets.
    assert!(!said.contains("WORKERPASS="), "{said}");
    none_left(&master);
    wait_for("the ledger is closed", || instances(&master).is_empty().then_some(()));
}

#[test]
fn killed_while_it_builds_the_master_adopts_the_process() {
    let mut master = started("1");
    let request = master.force("wait", json!({}));
    let build = master.wait_build(request, 1);
    master.wait_log_of(&build, "wait", "begun");
    // A worker may build before its start has returned where it is.
    let handle = wait_for("its handle is known", || Some(instances(&master)[0]["handle"].clone()).filter(|handle| !handle.is_null()));
    let pid = handle["pid"].as_u64().expect("a pid") as u32;
    assert!(processes(&master).contains(&pid), "{handle}");
    master.kill9();
    assert!(processes(&master).contains(&pid), "the worker ends with its master");
    launch(&mut master);
    let again = master.wait_build(request, 2);
    master.wait_log_of(&again, "wait", "begun");
    assert_eq!(instances(&master)[0]["handle"], handle, "another one was started");
    std::fs::write(master.dir().join("go"), "").expect("the file");
    assert_eq!(master.wait_request(request), SUCCESS);
    none_left(&master);
}

#[test]
fn killed_and_configured_otherwise_the_master_stops_it() {
    let mut master = started("-1");
    assert_eq!(master.build("hello", json!({}))["results"], SUCCESS);
    let before = processes(&master);
    assert!(!before.is_empty());
    master.kill9();
    assert_eq!(processes(&master), before);
    master.configure(
        &config("-1")
            .replace("Processes{ \"bot\"", "Processes{ \"other\"")
            .replace("\"bot\"", "\"other\"")
            .replace("\"bot-1\"", "\"other-1\""),
    );
    launch(&mut master);
    none_left(&master);
    assert_eq!(master.build("hello", json!({}))["results"], SUCCESS);
    assert!(master.stop().success());
    none_left(&master);
}

/// A process with the master's mark of which the ledger knows nothing.
#[test]
fn what_nobody_knows_is_stopped() {
    let mut master = Master::create(&reaped_by_hand(&config("-1")));
    launch(&mut master);
    assert_eq!(master.build("hello", json!({}))["results"], SUCCESS);
    let pid = *processes(&master).first().expect("a process");
    let text = std::fs::read(format!("/proc/{pid}/environ")).expect("its environment");
    let mark = text.split(|b| *b == 0).find(|v| v.starts_with(b"CI_MASTER=")).expect("the mark");
    let (_, id) = std::str::from_utf8(mark).expect("text").split_once('=').expect("a value");
    let mut stray = std::process::Command::new("sleep")
        .arg("1005")
        .env("CI_MASTER", id)
        .env("CI_LAUNCH", "00112233445566778899aabbccddeeff")
        .spawn()
        .expect("sleep");
    let mut stranger =
        std::process::Command::new("sleep").arg("1006").env("CI_MASTER", "other").env("CI_LAUNCH", "1").spawn().expect("sleep");
    let ran = master.command("instances", &[], &["--reap"]);
    assert!(ran.out.contains("stopped: 1"), "{ran:?}");
    wait_for("the stray process is stopped", || stray.try_wait().expect("its state"));
    assert!(stranger.try_wait().expect("its state").is_none(), "another's process was stopped");
    assert!(processes(&master).contains(&pid));
    let _ = (stranger.kill(), stranger.wait());
    assert!(master.stop().success());
    none_left(&master);
}
