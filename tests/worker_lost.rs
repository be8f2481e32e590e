//! A worker that dies in the middle of a build: the build ends as RETRY and its request runs again, three times at most;
//! then it ends as EXCEPTION and says what happened.

mod support;

use serde_json::json;
use support::*;

for_each_version!(a_lost_build_runs_again);

/// The step waits until the file `go` is there; it ends by itself when the test has cleaned up.
const CONFIG: &str = r#"
c.workers = { Worker{ "w", "pass" } }
local f = util.BuildFactory()
f:addStep(steps.ShellCommand{ name = "wait", command = "echo begun; while [ -d @DIR@ ] && [ ! -e @DIR@/go ]; do sleep 0.1; done" })
c.builders = { util.BuilderConfig{ name = "b", workernames = { "w" }, factory = f } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "b" } } }
"#;

fn a_lost_build_runs_again(version: &str) {
    let master = Master::start(CONFIG);
    let mut worker = Worker::start(version, "w", "pass", master.pb);
    master.wait_attached("w");
    let request = master.force("b", json!({}));
    let first = master.wait_build(request, 1);
    master.wait_log_of(&first, "wait", "begun");
    worker.kill9();
    let id = first["buildid"].clone();
    let lost = wait_for("the build is complete", || {
        let build = master.builds_of(request).into_iter().find(|b| b["buildid"] == id)?;
        (build["complete"] == true).then_some(build)
    });
    assert_eq!(lost["results"], RETRY, "{lost:#}");
    assert_eq!(master.step(&lost, "wait")["results"], RETRY);
    master.wait_detached("w");
    let waiting = master.request(request);
    assert_eq!(waiting["complete"], false);
    assert!(waiting["waiting_for"]["text"].is_string(), "{waiting:#}");

    std::fs::write(master.dir().join("go"), "").expect("the file");
    worker.launch();
    assert_eq!(master.wait_request(request), SUCCESS);
    let builds = master.builds_of(request);
    assert_eq!(builds.len(), 2, "{builds:#?}");
    assert_eq!((&builds[0]["results"], &builds[1]["results"]), (&json!(RETRY), &json!(SUCCESS)));
    assert_ne!(builds[0]["number"], builds[1]["number"]);
}

#[test]
fn after_three_lost_builds_the_request_ends_with_the_story() {
    let master = Master::start(CONFIG);
    let mut worker = Worker::start("4.3.0", "w", "pass", master.pb);
    let request = master.force("b", json!({}));
    for attempt in 1..=3 {
        let build = master.wait_build(request, attempt);
        master.wait_log_of(&build, "wait", "begun");
        worker.kill9();
        master.wait_detached("w");
        worker.launch();
    }
    assert_eq!(master.wait_request(request), EXCEPTION);
    let builds = master.builds_of(request);
    let results: Vec<_> = builds.iter().map(|b| b["results"].as_i64()).collect();
    assert_eq!(results, [Some(RETRY), Some(RETRY), Some(EXCEPTION)], "{builds:#?}");
    // The story: where a person looks first, the build's own line.
    let state = builds[2]["state_string"].as_str().expect("a state");
    let lost = |n: usize| state.contains(&format!("build {} on w", builds[n]["buildid"]));
    assert!(state.contains("given up") && lost(0) && lost(1) && lost(2), "the build says only '{state}'");
    // Nothing more is tried.
    master.wait_attached("w");
    let next = master.force("b", json!({}));
    master.wait_build(next, 1);
    assert_eq!(master.builds_of(request).len(), 3);
}

#[test]
fn a_worker_that_goes_is_told_of_once() {
    let master = Master::start("c.workers = { Worker{ 'w', 'pass' } }");
    let worker = Worker::start("4.3.0", "w", "pass", master.pb);
    master.wait_attached("w");
    drop(worker);
    master.wait_detached("w");
    master.wait_log("worker detached");
    std::thread::sleep(std::time::Duration::from_millis(300));
    let log = master.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("worker detached")).collect();
    assert!(told.len() == 1 && told[0].contains("worker=\"w\"") && told[0].contains("peer="), "{told:#?}");
}
