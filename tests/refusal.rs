//! Who may not attach: an unknown name, a wrong password, a second worker with a name that is alive. The worker is told in a
//! way that it understands, the log says who came from where and why not, and nobody else notices.

mod support;

use std::time::Duration;

use serde_json::json;
use support::worker::stays_true;
use support::*;

for_each_version!(unknown_names_and_wrong_passwords_are_refused, a_second_worker_of_a_name_is_turned_away);

const CONFIG: &str = r#"
c.workers = { Worker{ "w", "right" }, Worker{ "other", "right" } }
local f = util.BuildFactory()
f:addStep(steps.ShellCommand{ name = "wait", command = "echo begun; while [ -d @DIR@ ] && [ ! -e @DIR@/go ]; do sleep 0.1; done" })
c.builders = { util.BuilderConfig{ name = "b", workernames = { "w" }, factory = f } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "b" } } }
"#;

fn unknown_names_and_wrong_passwords_are_refused(version: &str) {
    let master = Master::start(CONFIG);
    let unknown = Worker::start(version, "nobody", "right", master.pb);
    let wrong = Worker::start(version, "w", "the-wrong-one", master.pb);
    for worker in [&unknown, &wrong] {
        worker.wait_log("unauthorized login");
    }
    for name in ["nobody", "w"] {
        let line = wait_for(&format!("a line on the refusal of {name}"), || {
            master.log().lines().find(|l| l.contains(name) && l.contains("refused")).map(str::to_owned)
        });
        assert!(line.contains("127.0.0.1"), "it does not say from where: {line}");
    }
    let log = master.log();
    assert!(!log.contains("the-wrong-one") && !log.contains("right"), "a password is in the log:\n{log}");
    assert!(!master.attached("w"));
    drop((unknown, wrong));

    let _right = Worker::start(version, "w", "right", master.pb);
    master.wait_attached("w");
}

fn a_second_worker_of_a_name_is_turned_away(version: &str) {
    let master = Master::start(CONFIG);
    let _first = Worker::start(version, "w", "right", master.pb);
    master.wait_attached("w");
    let request = master.force("b", json!({}));
    let build = master.wait_build(request, 1);
    master.wait_log_of(&build, "wait", "begun");

    let second = Worker::start(version, "w", "right", master.pb);
    wait_for("a line on the second worker", || {
        master.log().lines().any(|l| l.contains("attached already") && l.contains("127.0.0.1")).then_some(())
    });
    stays_true(Duration::from_secs(2), "the first worker stays", || master.attached("w"));
    std::fs::write(master.dir().join("go"), "").expect("the file");
    assert_eq!(master.wait_request(request), SUCCESS);
    assert_eq!(master.builds_of(request).len(), 1, "the build was disturbed");
    drop(second);
}

#[test]
fn a_worker_that_comes_back_before_its_old_connection_is_found_dead_replaces_it() {
    let master = Master::start(CONFIG);
    // Stopped, it keeps its connection and answers nothing: what a machine that lost its network looks like.
    let first = Worker::start("4.3.0", "w", "right", master.pb);
    master.wait_attached("w");
    first.signal("STOP");
    let second = Worker::start("4.3.0", "w", "right", master.pb);
    second.wait_log("Connected to");
    // A build shows that the new one is meant: the old one can't run it.
    std::fs::write(master.dir().join("go"), "").expect("the file");
    let request = master.force("b", json!({}));
    assert_eq!(master.wait_request(request), SUCCESS);
    first.signal("CONT");
}
