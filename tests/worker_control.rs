//! What is asked of an attached stock worker: several builds at a time, pause, a graceful stop by either side, facts about itself.

mod support;

use serde_json::{Value, json};
use support::*;

for_each_version!(
    builds_of_several_builders_run_at_the_same_time,
    a_paused_worker_gets_no_build,
    a_graceful_stop_waits_for_the_build,
    a_worker_may_ask_for_its_own_end,
);

const CONFIG: &str = r#"
c.collapseRequests = false
c.workers = { Worker{ "w", "pass", max_builds = 3 } }
c.builders = {}
for _, name in ipairs{ "b1", "b2", "b3", "b4" } do
  local f = util.BuildFactory()
  f:addStep(steps.ShellCommand{ name = "wait", command = "echo begun; while [ -d @DIR@ ] && [ ! -e @DIR@/go ]; do sleep 0.1; done; echo ended" })
  table.insert(c.builders, util.BuilderConfig{ name = name, workernames = { "w" }, factory = f })
end
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "b1", "b2", "b3", "b4" } } }
"#;

fn go(master: &Master) {
    std::fs::write(master.dir().join("go"), "").expect("the file");
}

/// A build of `b1` that has begun.
fn running(master: &Master) -> (i64, Value) {
    let request = master.force("b1", json!({}));
    let build = master.wait_build(request, 1);
    master.wait_log_of(&build, "wait", "begun");
    (request, build)
}

fn builds_of_several_builders_run_at_the_same_time(version: &str) {
    let master = Master::start(CONFIG);
    let _worker = Worker::start(version, "w", "pass", master.pb);
    master.wait_attached("w");
    let requests: Vec<i64> = ["b1", "b2", "b3"].iter().map(|b| master.force(b, json!({}))).collect();
    for request in &requests {
        let build = master.wait_build(*request, 1);
        master.wait_log_of(&build, "wait", "begun");
    }
    // The fourth has to wait: three is the worker's most.
    let fourth = master.force("b4", json!({}));
    let why = wait_for("a reason", || master.request(fourth)["waiting_for"]["text"].as_str().map(str::to_owned));
    assert!(why.contains('w'), "{why}");
    assert!(master.builds_of(fourth).is_empty());
    go(&master);
    for request in requests.into_iter().chain([fourth]) {
        assert_eq!(master.wait_request(request), SUCCESS);
    }
}

fn a_paused_worker_gets_no_build(version: &str) {
    let master = Master::start(CONFIG);
    let _worker = Worker::start(version, "w", "pass", master.pb);
    master.wait_attached("w");
    go(&master);
    master.http.control("workers/w", "pause", json!({"reason": "a new disk"})).expect("pause");
    let paused = wait_for("it is paused", || Some(master.worker("w")).filter(|w| w["paused"] == true));
    assert_eq!(paused["pause_reason"], "a new disk");
    let request = master.force("b1", json!({}));
    let why = wait_for("a reason", || master.request(request)["waiting_for"]["text"].as_str().map(str::to_owned));
    assert!(why.contains("paused"), "{why}");
    worker::stays_true(std::time::Duration::from_secs(1), "nothing runs", || master.builds_of(request).is_empty());
    master.http.control("workers/w", "unpause", json!({})).expect("unpause");
    assert_eq!(master.wait_request(request), SUCCESS);
    assert_eq!(master.worker("w")["paused"], false);
}

fn a_graceful_stop_waits_for_the_build(version: &str) {
    let master = Master::start(CONFIG);
    let mut worker = Worker::start(version, "w", "pass", master.pb);
    master.wait_attached("w");
    let (request, _) = running(&master);
    master.http.control("workers/w", "stop", json!({"reason": "enough for today"})).expect("stop");
    wait_for("it is told", || (master.worker("w")["graceful"] == true).then_some(()));
    let next = master.force("b2", json!({}));
    worker::stays_true(std::time::Duration::from_secs(1), "nothing new", || master.builds_of(next).is_empty());
    go(&master);
    assert_eq!(master.wait_request(request), SUCCESS);
    assert_eq!(master.builds_of(request).len(), 1);
    worker.wait_exit();
    master.wait_detached("w");
}

fn a_worker_may_ask_for_its_own_end(version: &str) {
    let master = Master::start(CONFIG);
    let mut worker = Worker::create_with(version, "w", "pass", master.pb, &["--allow-shutdown=signal"]);
    std::fs::write(worker.base().join("info/admin"), "Zoë <zoe@example.org>\n").expect("info/admin");
    std::fs::write(worker.base().join("info/host"), "a machine in a cellar\n").expect("info/host");
    worker.launch();
    master.wait_attached("w");
    let info = master.worker("w")["workerinfo"].clone();
    assert!(info["admin"].as_str().is_some_and(|a| a.trim() == "Zoë <zoe@example.org>"), "{info:#}");
    assert!(info["host"].as_str().is_some_and(|h| h.trim() == "a machine in a cellar"), "{info:#}");
    assert!(info["version"].is_string(), "{info:#}");

    let (request, _) = running(&master);
    worker.signal("HUP");
    wait_for("the master knows", || (master.worker("w")["graceful"] == true).then_some(()));
    go(&master);
    assert_eq!(master.wait_request(request), SUCCESS);
    assert_eq!(master.builds_of(request).len(), 1);
    worker.wait_exit();
    master.wait_detached("w");
}
