//! Workers that know the password and behave badly: they die in the middle of a line, go on after the end, answer twice, claim to be
//! another, stop answering, flood. It costs them their build or their connection; it costs nobody else anything.

mod support;

use std::time::{Duration, Instant};

use serde_json::json;
use support::pb::{B, Call, Scripted, raw, tagged, text};
use support::*;

const CONFIG: &str = r#"
c.collapseRequests = false
c.workers = { Worker{ "w", "pass", keepalive_interval = 2 }, Worker{ "other", "pass" } }
local f = util.BuildFactory()
f:addStep(steps.ShellCommand{ name = "run", command = { "run" } })
c.builders = {
  util.BuilderConfig{ name = "b", workernames = { "w" }, factory = f },
  util.BuilderConfig{ name = "o", workernames = { "other" }, factory = f },
}
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "b", "o" } } }
"#;

/// The other worker still builds, and the master has not stumbled.
fn undisturbed(master: &mut Master) {
    assert_eq!(master.build("o", json!({}))["results"], SUCCESS);
    assert!(master.alive());
    let log = master.log();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn one_that_dies_in_the_middle_of_a_line() {
    let mut master = Master::start(CONFIG);
    Scripted::attach(master.pb, "other", "pass").serve_on();
    let mut worker = Scripted::attach(master.pb, "w", "pass");
    let request = master.force("b", json!({}));
    let command = worker.next_command();
    assert_eq!(command.name, "shell");
    worker.update(&command, "stdout", text("whole line\nhalf a li")).expect("an update");
    let build = master.wait_build(request, 1);
    master.wait_log_of(&build, "run", "whole line");
    drop(worker);

    Scripted::attach(master.pb, "w", "pass").serve_on();
    assert_eq!(master.wait_request(request), SUCCESS);
    let builds = master.builds_of(request);
    assert_eq!(builds[0]["results"], RETRY, "{builds:#?}");
    let log = String::from_utf8_lossy(&master.log_raw(&builds[0], "run", "stdio")).into_owned();
    assert!(log.contains("whole line\n") && log.contains("half a li"), "{log:?}");
    undisturbed(&mut master);
}

#[test]
fn one_that_goes_on_after_the_end_and_answers_twice() {
    let mut master = Master::start(CONFIG);
    Scripted::attach(master.pb, "other", "pass").serve_on();
    let mut worker = Scripted::attach(master.pb, "w", "pass");
    let request = master.force("b", json!({}));
    let command = worker.next_command();
    worker.update(&command, "stdout", text("before\n")).expect("an update");
    worker.finish(&command, 0).expect("the end");
    // Any of these may cost it the connection, so that a write fails.
    let _ = worker.update(&command, "stdout", text("after\n"));
    let _ = worker.update(&command, "rc", B::Int(1));
    let _ = worker.finish(&command, 2);
    let _ = worker.answer(command.request, B::none());
    let _ = worker.answer(987_654, B::none());
    let _ = worker.update(&support::pb::Started { object: 4711, ..command }, "stdout", text("to nobody\n"));
    assert_eq!(master.wait_request(request), SUCCESS);
    let build = master.last_build_of(request);
    let log = String::from_utf8_lossy(&master.log_raw(&build, "run", "stdio")).into_owned();
    assert!(log.contains("before\n") && !log.contains("after"), "{log}");
    drop(worker);
    master.wait_detached("w");
    undisturbed(&mut master);
}

#[test]
fn one_that_claims_to_be_another() {
    let mut master = Master::start(CONFIG);
    let mut worker = Scripted::attach(master.pb, "w", "pass");
    // On a connection that is somebody's already, with and without the password of the other.
    for password in ["wrong", "pass"] {
        if let Ok(number) = worker.login("other", password) {
            while let Ok(call) = worker.next() {
                if let Call::Answer(n, well, value) = call {
                    assert!(n != number || !well, "a second login on one connection: {value:?}");
                    break;
                }
            }
        }
    }
    assert!(!master.attached("other"));
    // The other itself is not kept out by it.
    Scripted::attach(master.pb, "other", "pass").serve_on();
    master.wait_attached("other");
    undisturbed(&mut master);
}

#[test]
fn one_that_no_longer_answers_is_noticed_in_two_minutes() {
    let mut master = Master::start(CONFIG);
    Scripted::attach(master.pb, "other", "pass").serve_on();
    let mut worker = Scripted::attach(master.pb, "w", "pass");
    let request = master.force("b", json!({}));
    worker.next_command();
    let silent = Instant::now();
    // The connection stays open: only that nobody answers shows that there is nobody.
    let build = wait_within(Duration::from_secs(125), "the build is given up", || {
        master.builds_of(request).into_iter().find(|b| b["complete"] == true)
    });
    assert_eq!(build["results"], RETRY, "after {:?}: {build:#}", silent.elapsed());
    master.wait_detached("w");
    undisturbed(&mut master);
    drop(worker);
}

#[test]
fn text_that_is_no_utf8_is_kept_to_the_byte() {
    let master = Master::start(CONFIG);
    let mut worker = Scripted::attach(master.pb, "w", "pass");
    let request = master.force("b", json!({}));
    let command = worker.next_command();
    worker.update(&command, "stdout", raw(b"a\xff\xc3b\n")).expect("an update");
    // A character may be cut in two between updates, and so may a line.
    worker.update(&command, "stdout", raw(b"gr\xc3")).expect("an update");
    worker.update(&command, "stdout", raw(b"\xbcn\n")).expect("an update");
    worker.finish(&command, 0).expect("the end");
    assert_eq!(master.wait_request(request), SUCCESS);
    let log = master.log_raw(&master.last_build_of(request), "run", "stdio");
    let contains = |part: &[u8]| log.windows(part.len()).any(|w| w == part);
    assert!(contains(b"a\xff\xc3b\n") && contains("grün\n".as_bytes()), "{:?}", String::from_utf8_lossy(&log));
}

#[test]
fn one_that_floods_is_written_down_in_constant_memory() {
    let mut master = Master::start(CONFIG);
    Scripted::attach(master.pb, "other", "pass").serve_on();
    let mut worker = Scripted::attach(master.pb, "w", "pass");
    let request = master.force("b", json!({}));
    let command = worker.next_command();
    let (before, _) = master.memory();
    let line = "all work and no play makes a dull log, with some number in it: ";
    let mut lines = 0;
    let (mut calls, mut answers) = (0, 0);
    for _ in 0..200 {
        let mut part = String::new();
        while part.len() < 500_000 {
            part += &format!("{line}{lines}\n");
            lines += 1;
        }
        calls = worker.update(&command, "stdout", text(&part)).expect("an update");
        // A stock worker reads while it writes; here the answers are taken now and then.
        while calls - answers > 8 {
            if let Call::Answer(..) = worker.next().expect("an answer") {
                answers += 1;
            }
        }
    }
    worker.finish(&command, 0).expect("the end");
    assert_eq!(master.wait_request(request), SUCCESS);
    let (_, peak) = master.memory();
    assert!(peak < before + (64 << 20), "100 MB of log: memory grew from {before} to {peak} bytes, {calls} updates");
    let build = master.last_build_of(request);
    let log = master.log_raw(&build, "run", "stdio");
    let found = String::from_utf8(log).expect("UTF-8").lines().filter(|l| l.starts_with(line)).count();
    assert_eq!(found, lines);
    let (_, peak) = master.memory();
    assert!(peak < before + (64 << 20), "reading it: memory grew from {before} to {peak} bytes");
    undisturbed(&mut master);
}

/// Each log is a row and a file: their number and the length of their names are nothing that a worker decides.
#[test]
fn one_that_invents_logs_is_stopped() {
    let mut master = Master::start(CONFIG);
    Scripted::attach(master.pb, "other", "pass").serve_on();
    for (invent, why) in [
        (&(|n: usize| format!("log {n}")) as &dyn Fn(usize) -> String, "more than 1000 logs"),
        (&|n| format!("{n}{}", "x".repeat(100_000)), "is longer than"),
    ] {
        let mut worker = Scripted::attach(master.pb, "w", "pass");
        let request = master.force("b", json!({}));
        let command = worker.next_command();
        for n in 0..1500 {
            let entry = tagged("tuple", [text(&invent(n)), text("line\n")]);
            worker.update(&command, "log", entry).expect("an update");
            if n % 8 == 7 {
                for _ in 0..8 {
                    while !matches!(worker.next().expect("an answer"), Call::Answer(..)) {}
                }
            }
        }
        worker.finish(&command, 0).expect("the end");
        assert_eq!(master.wait_request(request), EXCEPTION);
        let build = master.last_build_of(request);
        let logs = master.http.rows(&format!("steps/{}/logs?field=name", master.step(&build, "run")["stepid"]), "logs");
        assert!(logs.len() <= 1002, "{} logs", logs.len());
        let told = String::from_utf8_lossy(&master.log_raw(&build, "run", "err.text")).into_owned();
        assert!(told.contains(why), "{told}");
        drop(worker);
        master.wait_detached("w");
    }
    undisturbed(&mut master);
}
