//! A build can be stopped at any moment and a step runs no longer than it may; the worker's processes are gone then.

mod support;

use std::time::{Duration, Instant};

use serde_json::json;
use support::*;

for_each_version!(a_running_build_is_stopped, a_step_that_hangs_is_ended_by_its_time_limits);

fn a_running_build_is_stopped(version: &str) {
    // The step writes its process id and then waits much longer than the test does.
    let master = Master::start(
        r#"
c.collapseRequests = false
c.workers = { Worker{ "w", "pass", max_builds = 1 } }
local f = util.BuildFactory()
f:addStep(steps.ShellCommand{ name = "long", command = "echo $$ > @DIR@/pid; echo begun; exec sleep 120", haltOnFailure = true })
f:addStep(steps.ShellCommand{ name = "after", command = "echo after" })
f:addStep(steps.ShellCommand{ name = "cleanup", command = "echo cleaned up", alwaysRun = true })
c.builders = { util.BuilderConfig{ name = "b", workernames = { "w" }, factory = f } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "b" } } }
"#,
    );
    let _worker = Worker::start(version, "w", "pass", master.pb);
    master.wait_attached("w");
    let running = master.force("b", json!({}));
    let waiting = master.force("b", json!({}));
    let build = master.wait_build(running, 1);
    master.wait_log_of(&build, "long", "begun");

    // A request that waits can say why, and can be cancelled.
    let why = master.request(waiting)["waiting_for"].clone();
    assert!(why["text"].as_str().is_some_and(|t| t.contains('w')), "waiting_for is {why}");
    master.http.control(&format!("buildrequests/{waiting}"), "cancel", json!({"reason": "not needed"})).expect("cancel");
    assert_eq!(master.wait_request(waiting), CANCELLED);
    assert!(master.builds_of(waiting).is_empty());

    let asked = Instant::now();
    master.http.control(&format!("builds/{}", build["buildid"]), "stop", json!({"reason": "enough of it"})).expect("stop");
    assert_eq!(master.wait_request(running), CANCELLED);
    assert!(asked.elapsed() < Duration::from_secs(60), "the stop took {:?}", asked.elapsed());
    let build = master.last_build_of(running);
    assert_eq!(build["results"], CANCELLED, "{build:#}");
    assert_eq!(master.step(&build, "long")["results"], CANCELLED);
    let pid = std::fs::read_to_string(master.dir().join("pid")).expect("the step's process id");
    wait_for("the step's process is gone", || (!alive(pid.trim())).then_some(()));
    assert!(master.attached("w"), "the worker was lost by the stop");
}

fn a_step_that_hangs_is_ended_by_its_time_limits(version: &str) {
    let master = Master::start(
        r#"
c.workers = { Worker{ "w", "pass" } }
local f = util.BuildFactory()
f:addStep(steps.ShellCommand{ name = "silent", command = "echo begun; exec sleep 120", timeout = 2 })
f:addStep(steps.ShellCommand{ name = "busy", command = "while :; do echo again; sleep 0.2; done", maxTime = 2, timeout = 60 })
f:addStep(steps.ShellCommand{ name = "in time", command = "echo fine", timeout = 60, maxTime = 60 })
c.builders = { util.BuilderConfig{ name = "b", workernames = { "w" }, factory = f } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "b" } } }
"#,
    );
    let _worker = Worker::start(version, "w", "pass", master.pb);
    master.wait_attached("w");
    let build = master.build("b", json!({}));
    assert_eq!(build["results"], FAILURE, "{build:#}");
    for name in ["silent", "busy"] {
        assert_eq!(master.step(&build, name)["results"], FAILURE, "step {name}");
    }
    let silent = String::from_utf8_lossy(&master.log_raw(&build, "silent", "stdio")).into_owned();
    assert!(silent.contains("begun") && silent.contains("without output"), "the log does not say why it ended:\n{silent}");
    assert_eq!(master.step(&build, "in time")["results"], SUCCESS);
}

/// Is there such a process, and is it more than a zombie?
fn alive(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
