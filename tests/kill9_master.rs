//! `kill -9` of the master at any moment: every accepted request is still there, an unfinished build is closed as RETRY and its
//! request runs again, what was finished is finished, and the state of the workers is the truth of the new process.

mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use support::*;

for_each_version!(an_unfinished_build_runs_again);

const CONFIG: &str = r#"
c.collapseRequests = false
c.workers = { Worker{ "w", "pass" }, Worker{ "absent", "pass" } }
local quick, wait = util.BuildFactory(), util.BuildFactory()
quick:addStep(steps.ShellCommand{ name = "say", command = { "echo", "quick" } })
wait:addStep(steps.ShellCommand{ name = "wait", command = "echo begun; while [ -d @DIR@ ] && [ ! -e @DIR@/go ]; do sleep 0.1; done" })
c.builders = {
  util.BuilderConfig{ name = "quick", workernames = { "w" }, factory = quick },
  util.BuilderConfig{ name = "wait", workernames = { "w" }, factory = wait },
  util.BuilderConfig{ name = "later", workernames = { "absent" }, factory = quick },
}
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "quick", "wait", "later" } } }
"#;

fn an_unfinished_build_runs_again(version: &str) {
    let mut master = Master::start(CONFIG);
    let worker = Worker::start(version, "w", "pass", master.pb);
    master.wait_attached("w");
    let finished = master.build("quick", json!({}));
    assert_eq!(finished["results"], SUCCESS, "{finished:#}");
    let say = master.log_raw(&finished, "say", "stdio");
    let running = master.force("wait", json!({}));
    let build = master.wait_build(running, 1);
    master.wait_log_of(&build, "wait", "begun");
    // What a log got is safe from a crash two seconds later.
    let written = Instant::now();
    let waiting: Vec<i64> = (0..5).map(|_| master.force("later", json!({}))).collect();

    std::thread::sleep(Duration::from_secs(4).saturating_sub(written.elapsed()));
    master.kill9();
    // It dials again by itself; stopped meanwhile, it can't be attached when the new process is first asked.
    worker.signal("STOP");
    master.launch();
    assert!(!master.attached("w"), "connected_to tells of a connection that died with the old process");
    worker.signal("CONT");

    let again = master.http.row(&format!("builds/{}", finished["buildid"]), "builds");
    assert_eq!((&again["results"], &again["complete"]), (&json!(SUCCESS), &json!(true)), "{again:#}");
    assert_eq!(master.log_raw(&again, "say", "stdio"), say, "the log of a finished build changed");
    for id in &waiting {
        assert_eq!(master.request(*id)["complete"], false);
    }
    let unfinished = master.http.row(&format!("builds/{}", build["buildid"]), "builds");
    assert_eq!((&unfinished["results"], &unfinished["complete"]), (&json!(RETRY), &json!(true)), "{unfinished:#}");
    assert!(String::from_utf8_lossy(&master.log_raw(&unfinished, "wait", "stdio")).contains("begun"), "its log is lost");

    master.wait_attached("w");
    std::fs::write(master.dir().join("go"), "").expect("the file");
    assert_eq!(master.wait_request(running), SUCCESS);
    assert_eq!(master.builds_of(running).len(), 2);
    let _absent = Worker::start(version, "absent", "pass", master.pb);
    for id in waiting {
        assert_eq!(master.wait_request(id), SUCCESS);
        assert_eq!(master.builds_of(id).len(), 1);
    }
}

/// Killed while requests pour in: each that was answered is there afterwards, and none twice.
#[test]
fn every_accepted_request_survives() {
    let mut master = Master::start(CONFIG);
    let builder = master.builder_id("later");
    let mut accepted = BTreeSet::new();
    for _round in 0..3 {
        let http = master.http;
        let over = AtomicBool::new(false);
        let more = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "force", "params": {"builderid": builder.to_string()}});
                        let mut ids = Vec::new();
                        while !over.load(Ordering::Relaxed) {
                            // The connection breaks when the master is killed: such a request was not accepted.
                            let Ok(answer) = http.request("POST", "/api/v2/forceschedulers/force", Some(&call), &[]) else { continue };
                            assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
                            ids.push(answer.json()["result"][1][builder.to_string()].as_i64().expect("a request"));
                        }
                        ids
                    })
                })
                .collect();
            wait_for("some requests", || {
                let rows = http.rows("buildrequests?limit=1&order=-buildrequestid&field=buildrequestid", "buildrequests");
                (rows.first()?["buildrequestid"].as_i64()? > accepted.len() as i64 + 20).then_some(())
            });
            master.kill9();
            over.store(true, Ordering::Relaxed);
            clients.into_iter().flat_map(|c| c.join().expect("a client")).collect::<Vec<i64>>()
        });
        assert!(more.len() >= 10, "only {} requests were accepted", more.len());
        for id in more {
            assert!(accepted.insert(id), "request {id} was given out twice");
        }
        master.launch();
        let there: BTreeSet<i64> = master
            .http
            .rows("buildrequests?complete=false&field=buildrequestid", "buildrequests")
            .iter()
            .filter_map(|r| r["buildrequestid"].as_i64())
            .collect();
        let lost: Vec<_> = accepted.difference(&there).collect();
        assert!(lost.is_empty(), "accepted and lost: {lost:?}");
    }
}

/// Killed again and again at any moment while builds run: each request ends once, with success.
#[test]
fn every_request_ends_once_over_random_kills() {
    let mut master = Master::start(
        r#"
c.collapseRequests = false
c.workers = { LocalWorker{ "a", max_builds = 2 }, LocalWorker{ "b" } }
local f = util.BuildFactory()
f:addStep(steps.ShellCommand{ name = "short", command = "sleep 0.05; echo done" })
c.builders = {}
for _, name in ipairs{ "x", "y" } do
  table.insert(c.builders, util.BuilderConfig{ name = name, workernames = { "a", "b" }, factory = f })
end
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "x", "y" } } }
"#,
    );
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let requests: Vec<i64> = (0..20).map(|n| master.force(if n % 2 == 0 { "x" } else { "y" }, json!({}))).collect();
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(random.u64(0..250)));
        master.kill9();
        master.launch();
    }
    for id in &requests {
        assert_eq!(master.wait_request(*id), SUCCESS);
        let results: Vec<_> = master.builds_of(*id).iter().map(|b| b["results"].clone()).collect();
        let successes = results.iter().filter(|r| **r == SUCCESS).count();
        assert!(successes == 1 && results.iter().all(|r| *r == SUCCESS || *r == RETRY), "request {id}: {results:?}");
    }
    let mut numbers = BTreeSet::new();
    for build in master.http.rows("builds?field=builderid&field=number", "builds") {
        assert!(numbers.insert((build["builderid"].as_i64(), build["number"].as_i64())), "a number twice: {build}");
    }
}
