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
