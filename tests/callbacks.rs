//! What the configuration's callbacks do to the queue of a real master: which worker, which request, not now, not there, and
//! what happens when one of them answers nonsense or never. Also how builds end and what is told of it.

mod support;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use support::*;

const HELPERS: &str = r#"
local function builder(name, more)
  local f = util.BuildFactory()
  f:addStep(steps.ShellCommand{ name = "say", command = "echo said" })
  more.name, more.factory = name, f
  more.workernames = more.workernames or { "a", "b" }
  return util.BuilderConfig(more)
end
c.collapseRequests = false
c.workers = { LocalWorker{ "a" }, LocalWorker{ "b" } }
"#;

fn start(text: &str, builders: &str) -> Master {
    Master::start(&format!(
        "{HELPERS}\n{text}\nc.schedulers = {{ schedulers.ForceScheduler{{ name = 'force', builderNames = {builders} }} }}"
    ))
}

fn reason(master: &Master, request: i64, part: &str) -> String {
    wait_for(&format!("a reason with '{part}'"), || {
        let row = master.request(request);
        let text = row["waiting_for"]["text"].as_str()?;
        text.contains(part).then(|| text.to_owned())
    })
}

#[test]
fn next_worker_chooses_and_nonsense_is_told() {
    let master = start(
        r#"c.builders = {
            builder("second", { nextWorker = function(b, workers, r) for _, w in ipairs(workers) do if w.name == "b" then return w end end end }),
            builder("never", { nextWorker = function() return nil end }),
            builder("wrong", { nextWorker = function() return "nobody" end }),
            builder("stuck", { canStartBuild = function() while true do end end }),
        }"#,
        "{ 'second', 'never', 'wrong', 'stuck' }",
    );
    let stuck = master.force("stuck", json!({}));
    let never = master.force("never", json!({}));
    let wrong = master.force("wrong", json!({}));
    for _ in 0..3 {
        let build = master.build("second", json!({}));
        assert_eq!(build["results"], SUCCESS);
        assert_eq!(master.properties(&build)["workername"][0], "b", "{build:#}");
    }
    reason(&master, never, "nextWorker of never chose no worker");
    reason(&master, wrong, "nextWorker");
    assert_eq!(master.request(stuck)["complete"], false);
    let waits = reason(&master, stuck, "");
    assert!(waits.contains("canStartBuild") || waits.contains("callbacks"), "{waits}");
}

#[test]
fn next_build_chooses_and_can_start_build_delays() {
    let mut master = start(
        r#"c.builders = {
            builder("last", { workernames = { "a" }, nextBuild = function(b, requests) return requests[#requests] end }),
            builder("later", { canStartBuild = function(b, w, r)
                if fs.exists("@DIR@/go") then return true end
                return false, 0.2
            end }),
        }"#,
        "{ 'last', 'later' }",
    );
    let later = master.force("later", json!({}));
    reason(&master, later, "canStartBuild of later said no");
    let worker = master.worker("a")["workerid"].clone();
    master.http.control(&format!("workers/{worker}"), "pause", json!({ "reason": "test" })).expect("paused");
    let requests: Vec<i64> = (0..3).map(|_| master.force("last", json!({}))).collect();
    reason(&master, requests[0], "paused: test");
    // A pause is kept over a restart.
    master.restart();
    reason(&master, requests[0], "paused: test");
    master.http.control(&format!("workers/{worker}"), "unpause", json!({})).expect("unpaused");
    for request in &requests {
        assert_eq!(master.wait_request(*request), SUCCESS);
    }
    let numbers: Vec<i64> = requests.iter().map(|r| master.last_build_of(*r)["number"].as_i64().expect("a number")).collect();
    assert_eq!(numbers, [3, 2, 1], "the last request goes first");
    std::fs::write(master.dir().join("go"), "").expect("the file");
    assert_eq!(master.wait_request(later), SUCCESS);
}

#[test]
fn equal_requests_collapse_unless_told_otherwise() {
    let master = start(
        r#"c.collapseRequests = nil
        c.builders = { builder("on", { workernames = { "a" } }), builder("off", { workernames = { "a" }, collapseRequests = false }) }"#,
        "{ 'on', 'off' }",
    );
    let worker = master.worker("a")["workerid"].clone();
    master.http.control(&format!("workers/{worker}"), "pause", json!({})).expect("paused");
    let on: Vec<i64> = (0..3).map(|_| master.force("on", json!({}))).collect();
    let off: Vec<i64> = (0..2).map(|_| master.force("off", json!({}))).collect();
    assert_eq!((master.wait_request(on[0]), master.wait_request(on[1])), (SKIPPED, SKIPPED));
    let status = master.command("status", &[], &["--json"]);
    let status: serde_json::Value = serde_json::from_str(&status.out).expect("JSON");
    assert_eq!(status["waiting_total"], 3, "{status:#}");
    // Cancelled while it waits; cancelled once more, nothing happens.
    for _ in 0..2 {
        master.http.control(&format!("buildrequests/{}", off[0]), "cancel", json!({ "reason": "no" })).expect("cancelled");
        assert_eq!(master.wait_request(off[0]), CANCELLED);
    }
    master.http.control(&format!("workers/{worker}"), "unpause", json!({})).expect("unpaused");
    assert_eq!((master.wait_request(on[2]), master.wait_request(off[1])), (SUCCESS, SUCCESS));
    let nothing = master.http.control("forceschedulers/force", "force", json!({ "builderNames": [] }));
    assert!(nothing.is_err(), "a force of no builder: {nothing:?}");
}

#[test]
fn prioritize_builders_orders_and_cannot_stop_the_master() {
    let master = start(
        r#"c.builders = { builder("x", { workernames = { "a" } }), builder("y", { workernames = { "a" } }), builder("z", { workernames = { "a" } }) }
        c.workers = { LocalWorker{ "a", max_builds = 1 }, LocalWorker{ "b" } }
        c.prioritizeBuilders = function(master, builders)
            if fs.exists("@DIR@/loop") then while true do end end
            table.sort(builders, function(p, q) return p.name > q.name end)
            return builders
        end"#,
        "{ 'x', 'y', 'z' }",
    );
    let worker = master.worker("a")["workerid"].clone();
    let pause = |method: &str| master.http.control(&format!("workers/{worker}"), method, json!({})).map(drop).expect("done");
    pause("pause");
    let requests: Vec<i64> = ["x", "y", "z"].iter().map(|b| master.force(b, json!({}))).collect();
    pause("unpause");
    let started: Vec<i64> = requests
        .iter()
        .map(|r| {
            assert_eq!(master.wait_request(*r), SUCCESS);
            master.last_build_of(*r)["buildid"].as_i64().expect("a build")
        })
        .collect();
    assert!(started[2] < started[1] && started[1] < started[0], "{started:?}");
    std::fs::write(master.dir().join("loop"), "").expect("the file");
    assert_eq!(master.build("x", json!({}))["results"], SUCCESS);
    master.wait_log("builders go in the plain order");
}

/// A stop ends the running step; `alwaysRun` steps do their work nevertheless.
#[test]
fn always_run_steps_run_after_a_stop() {
    let master = start(
        r#"local f = util.BuildFactory()
        f:addStep(steps.ShellCommand{ name = "long", command = "echo begun; sleep 600" })
        f:addStep(steps.ShellCommand{ name = "never", command = "true" })
        f:addStep(steps.ShellCommand{ name = "clean", command = "sleep 0.3; echo cleaned", alwaysRun = true })
        c.builders = { util.BuilderConfig{ name = "b", workernames = { "a" }, factory = f } }"#,
        "{ 'b' }",
    );
    let request = master.force("b", json!({}));
    let build = master.wait_build(request, 1);
    master.wait_log_of(&build, "long", "begun");
    master.http.control(&format!("builds/{}", build["buildid"]), "stop", json!({ "reason": "enough" })).expect("stopped");
    assert_eq!(master.wait_request(request), CANCELLED);
    assert_eq!(master.step(&build, "clean")["results"], SUCCESS, "{:#?}", master.steps(&build));
    assert!(master.log_contents(&build, "clean", "stdio").contains("cleaned"));
    assert!(!master.steps(&build).iter().any(|s| s["name"] == "never"));
}

/// A local worker whose line was cut is there again.
#[test]
fn a_killed_local_worker_does_not_stay_attached_with_a_dead_line() {
    let mut master = start(r#"c.builders = { builder("b", { workernames = { "a" } }) }"#, "{ 'b' }");
    let worker = master.worker("a")["workerid"].clone();
    master.http.control(&format!("workers/{worker}"), "stop", json!({})).expect("stopped");
    wait_for("the worker is gone", || (!master.attached("a")).then_some(()));
    let request = master.force("b", json!({}));
    reason(&master, request, "not attached");
    master.restart();
    assert_eq!(master.wait_request(request), SUCCESS);
}

/// A terminal that is slower than the build slows the build down; it misses nothing.
#[test]
fn run_shows_all_output() {
    let master = Master::create(
        r#"c.workers = { LocalWorker{ "a" } }
        local f = util.BuildFactory()
        f:addStep(steps.ShellCommand{ name = "much", command = "yes 0123456789012345678901234567890123456789 | head -c 20500000" })
        c.builders = { util.BuilderConfig{ name = "b", workernames = { "a" }, factory = f } }"#,
    );
    let mut child = Command::new(support::master::BUILDMOON)
        .args(["run", "b"])
        .arg(master.dir())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("buildmoon run");
    let begun = Instant::now();
    std::thread::sleep(Duration::from_millis(1500));
    let (mut lines, mut out) = (0, child.stdout.take().expect("its output"));
    let mut text = Vec::new();
    std::io::Read::read_to_end(&mut out, &mut text).expect("its output");
    for line in text.split(|b| *b == b'\n') {
        lines += usize::from(line == b"0123456789012345678901234567890123456789");
    }
    assert!(child.wait().expect("its end").success(), "after {:?}", begun.elapsed());
    assert_eq!(lines, 500_000);
}
