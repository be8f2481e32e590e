//! Small things that once went wrong, of the master as a whole: what it says once, how it is interrupted, what it tries again.

mod support;

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;
use support::*;

/// A line of the log with this text, and how many there are.
fn lines<'a>(log: &'a str, text: &str) -> Vec<&'a str> {
    log.lines().filter(|line| line.contains(text)).collect()
}

#[test]
fn a_worker_that_goes_is_told_of_once() {
    let master = Master::start("c.workers = { Worker{ 'w', 'pass' } }");
    let worker = Worker::start("4.3.0", "w", "pass", master.pb);
    master.wait_attached("w");
    drop(worker);
    master.wait_detached("w");
    master.wait_log("worker detached");
    std::thread::sleep(Duration::from_millis(300));
    let log = master.log();
    let told = lines(&log, "worker detached");
    assert!(told.len() == 1 && told[0].contains("worker=\"w\"") && told[0].contains("peer="), "{told:#?}");
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
        let told = lines(&log, beginning);
        assert_eq!(told.len(), 1, "{told:#?}");
        assert!((0.0..60.0).contains(&seconds(told[0])), "{told:#?}");
    };
    after("configuration reloaded: no object is different");
    master.configure("c.workers = { Worker{ 'w', 'pass' }, Worker{ 'v', 'pass' } }");
    after("configuration reloaded: 1 object is different");
    master.configure("c.workers = nonsense");
    after("the configuration is not loaded; the one before stays at work");
}

/// A SIGINT or SIGTERM that comes between the evaluation of the file and the build's first command is heard as well.
