//! What becomes of requests in a real master: order by priority, collapse, the chosen worker, rebuild, quarantine, the limit of
//! retries.

mod support;

use serde_json::json;
use support::*;

const HELPERS: &str = r#"
local function builder(name, command, more)
  more = more or {}
  more.name, more.factory = name, util.BuildFactory{ steps.ShellCommand{ name = "say", command = command } }
  more.workernames = more.workernames or { "a", "b" }
  return util.BuilderConfig(more)
end
local WAIT = "while [ -d '@DIR@' ] && [ ! -e '@DIR@/go' ]; do sleep 0.05; done"
"#;

fn go(master: &Master) {
    std::fs::write(master.dir().join("go"), "").expect("the folder can be written");
}

#[test]
fn the_higher_priority_goes_first_and_can_be_raised() {
    let master = Master::start(&format!(
        r#"{HELPERS}
        c.collapseRequests = false
        c.workers = {{ LocalWorker{{ "a", max_builds = 1 }} }}
        c.builders = {{ builder("x", WAIT, {{ workernames = {{ "a" }} }}) }}
        c.schedulers = {{ schedulers.ForceScheduler{{ name = "force", builderNames = {{ "x" }} }} }}"#
    ));
    let first = master.force("x", json!({}));
    wait_for("the first build", || master.builds_of(first).first().cloned());
    let plain = master.force("x", json!({}));
    let urgent = master.force("x", json!({ "priority": "7" }));
    let raised = master.force("x", json!({}));
    assert_eq!(master.request(urgent)["priority"], 7);
    assert_eq!(master.request(plain)["waiting_for"]["code"], "behind_others");
    master.http.control(&format!("buildrequests/{raised}"), "set_priority", json!({ "priority": 9 })).expect("it is raised");
    assert_eq!(master.request(raised)["waiting_for"]["code"], "worker_busy");
    go(&master);
    for request in [first, raised, urgent, plain] {
        assert_eq!(master.wait_request(request), SUCCESS);
    }
    let number = |request| master.last_build_of(request)["number"].as_i64();
    assert_eq!([first, raised, urgent, plain].map(number), [1, 2, 3, 4].map(Some));
}

#[test]
fn equal_requests_collapse_into_the_newest() {
    let master = Master::start(&format!(
        r#"{HELPERS}
        c.workers = {{ LocalWorker{{ "a" }} }}
        c.builders = {{ builder("x", WAIT, {{ workernames = {{ "a" }} }}), builder("apart", WAIT, {{ workernames = {{ "a" }}, collapseRequests = false }}) }}
        c.schedulers = {{ schedulers.ForceScheduler{{ name = "force", builderNames = {{ "x", "apart" }} }} }}"#
    ));
    for builder in ["x", "apart"] {
        let first = master.force(builder, json!({}));
        wait_for("the first build", || master.builds_of(first).first().cloned());
    }
    let older = master.force("x", json!({ "reason": "one" }));
    let other = master.force("x", json!({ "branch": "other" }));
    let newer = master.force("x", json!({ "reason": "two", "owner": "somebody else" }));
    let (one, two) = (master.force("apart", json!({})), master.force("apart", json!({})));
    assert_eq!(master.wait_request(older), SKIPPED);
    go(&master);
    for request in [other, newer, one, two] {
        assert_eq!(master.wait_request(request), SUCCESS);
    }
    assert!(master.builds_of(older).is_empty());
}

#[test]
fn the_chosen_worker_builds_and_select_next_worker_chooses_for_all() {
    let master = Master::start(&format!(
        r#"{HELPERS}
        c.collapseRequests = false
        c.workers = {{ LocalWorker{{ "a" }}, LocalWorker{{ "b" }} }}
        c.builders = {{ builder("x", "true") }}
        c.select_next_worker = function(builder, workers, request)
          for _, w in ipairs(workers) do if w.name == "a" or #workers == 1 then return w end end
        end
        c.schedulers = {{ schedulers.ForceScheduler{{ name = "force", builderNames = {{ "x" }}, properties = {{ util.WorkerChoiceParameter() }} }} }}"#
    ));
    for (params, worker) in [(json!({}), "a"), (json!({ "workername": "b" }), "b"), (json!({ "workername": "a" }), "a")] {
        let build = master.build("x", params);
        assert_eq!(build["results"], SUCCESS);
        assert_eq!(master.properties(&build)["workername"][0], worker);
    }
    let nobody = master.force("x", json!({ "workername": "nobody" }));
    let text = wait_for("a reason", || {
        let text = master.request(nobody)["waiting_for"]["text"].as_str()?.to_owned();
        text.contains("nobody").then_some(text)
    });
    assert_eq!(text, "the request asks for worker nobody, which is no worker of x");
}

#[test]
fn a_rebuild_repeats_the_request() {
    let master = Master::start(&format!(
        r#"{HELPERS}
        c.workers = {{ LocalWorker{{ "a" }} }}
        c.builders = {{ builder("x", {{ "echo", Interpolate("%(prop:branch)s %(prop:colour)s") }}, {{ workernames = {{ "a" }} }}) }}
        c.schedulers = {{ schedulers.ForceScheduler{{ name = "force", builderNames = {{ "x" }}, properties = {{ util.StringParameter{{ "colour" }} }} }} }}"#
    ));
    let build = master.build("x", json!({ "branch": "stable", "colour": "red" }));
    let answer = master.http.control(&format!("builds/{}", build["buildid"]), "rebuild", json!({})).expect("it is built again");
    let request = answer[1].as_object().and_then(|r| r.values().next()).and_then(|r| r.as_i64()).expect("a request");
    assert_eq!(master.wait_request(request), SUCCESS);
    let again = master.last_build_of(request);
    assert!(master.log_contents(&again, "say", "stdio").contains("ostable red\n"));
    let buildset = master.http.row(&format!("buildsets/{}", answer[0]), "buildsets");
    assert_eq!(buildset["rebuilt_buildid"], build["buildid"]);
    assert_eq!(master.http.control("builds/4711", "rebuild", json!({})).map_err(|(status, _)| status), Err(404));
}

#[test]
fn an_exception_rests_the_worker_and_says_so() {
    let master = Master::start(&format!(
        r#"{HELPERS}
        c.collapseRequests = false
        c.workers = {{ LocalWorker{{ "a", quarantine_initial_timeout = 8 }} }}
        c.builders = {{ builder("x", function(props) error("no command today") end, {{ workernames = {{ "a" }} }}), builder("y", "true", {{ workernames = {{ "a" }} }}) }}
        c.schedulers = {{ schedulers.ForceScheduler{{ name = "force", builderNames = {{ "x", "y" }} }} }}"#
    ));
    let build = master.build("x", json!({}));
    assert_eq!(build["results"], EXCEPTION);
    assert!(master.log_contents(&build, "say", "err.text").contains("no command today"));
    assert!(master.worker("a")["quarantined_until"].is_number());
    let request = master.force("y", json!({}));
    assert_eq!(master.request(request)["waiting_for"]["code"], "worker_quarantined");
    assert_eq!(master.wait_request(request), SUCCESS);
    assert!(master.worker("a")["quarantined_until"].is_null());
}

#[test]
fn what_ends_as_retry_by_itself_ends_some_day() {
    let master = Master::start(&format!(
        r#"{HELPERS}
        c.workers = {{ LocalWorker{{ "a" }} }}
        c.builders = {{ util.BuilderConfig{{ name = "x", workernames = {{ "a" }}, factory = util.BuildFactory{{
          steps.ShellCommand{{ command = "exit 75", decodeRC = {{ [0] = SUCCESS, [75] = RETRY }} }} }} }} }}
        c.schedulers = {{ schedulers.ForceScheduler{{ name = "force", builderNames = {{ "x" }} }} }}"#
    ));
    let request = master.force("x", json!({}));
    assert_eq!(master.wait_request(request), EXCEPTION);
    let results: Vec<_> = master.builds_of(request).iter().map(|b| b["results"].as_i64()).collect();
    assert_eq!(results, [Some(RETRY), Some(RETRY), Some(EXCEPTION)]);
    assert!(master.last_build_of(request)["state_string"].as_str().is_some_and(|s| s.starts_with("given up: build 1 on a: ")));
}
