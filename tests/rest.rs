//! The API as a script that was written for a Buildbot master sees it: paths, names of fields, filters, paging, errors, control.

mod support;

use serde_json::{Value, json};
use support::*;

const CONFIG: &str = r#"
c.collapseRequests = false
c.workers = { LocalWorker{ "w", max_builds = 1 }, Worker{ "away", "a-secret-word" } }
local f = util.BuildFactory()
f:addStep(steps.ShellCommand{ name = "say", command = { "echo", Interpolate("colour=%(prop:colour)s") } })
c.builders = {
  util.BuilderConfig{ name = "b", workernames = { "w" }, factory = f, tags = { "nightly", "linux" }, description = "says it" },
  util.BuilderConfig{ name = "with space/ü", workernames = { "away" }, factory = f },
}
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "b", "with space/ü" }, properties = {
  util.StringParameter{ name = "colour", default = "grey", regex = "^[a-z]+$" },
  util.ChoiceStringParameter{ name = "size", choices = { "small", "large" }, default = "small" },
} } }
"#;

fn fields(row: &Value, names: &[&str]) {
    for name in names {
        assert!(row.get(name).is_some(), "no field '{name}' in {row:#}");
    }
}

#[test]
fn resources_have_the_names_and_fields_that_scripts_know() {
    let master = Master::start(CONFIG);
    let build = master.build("b", json!({"colour": "red"}));
    let http = master.http;
    fields(
        &build,
        &[
            "buildid",
            "number",
            "builderid",
            "buildrequestid",
            "workerid",
            "masterid",
            "started_at",
            "complete_at",
            "complete",
            "state_string",
            "results",
            "properties",
        ],
    );
    let step = master.step(&build, "say");
    fields(
        &step,
        &["stepid", "number", "name", "buildid", "started_at", "complete_at", "complete", "state_string", "results", "urls", "hidden"],
    );
    fields(
        &http.row(&format!("steps/{}/logs/stdio", step["stepid"]), "logs"),
        &["logid", "name", "slug", "stepid", "complete", "num_lines", "type"],
    );
    let request = master.request(build["buildrequestid"].as_i64().expect("an id"));
    fields(
        &request,
        &[
            "buildrequestid",
            "buildsetid",
            "builderid",
            "priority",
            "claimed",
            "claimed_at",
            "complete",
            "complete_at",
            "submitted_at",
            "waited_for",
            "results",
        ],
    );
    assert_eq!(request["waiting_for"], Value::Null);
    let set = http.row(&format!("buildsets/{}", request["buildsetid"]), "buildsets");
    fields(&set, &["bsid", "reason", "submitted_at", "complete", "complete_at", "results", "sourcestamps", "external_idstring"]);
    fields(&http.rows("builders?name=b", "builders")[0], &["builderid", "name", "tags", "description", "masterids"]);
    fields(&master.worker("w"), &["workerid", "name", "connected_to", "configured_on", "workerinfo", "paused", "graceful"]);
    fields(&http.row("masters/1", "masters"), &["masterid", "name", "active", "last_active"]);
    fields(&http.rows("schedulers", "schedulers")[0], &["schedulerid", "name", "enabled", "master"]);
    fields(
        &http.row("forceschedulers/force", "forceschedulers"),
        &["name", "label", "button_name", "builder_names", "all_fields", "enabled"],
    );
    assert!(http.rows("changes", "changes").is_empty());
    fields(&http.get("config").json()["config"], &["generation", "loaded_at", "files"]);

    // The same build by all its paths.
    let id = build["buildid"].clone();
    let builder = build["builderid"].clone();
    for path in [
        format!("builds/{id}"),
        format!("builders/{builder}/builds/1"),
        "builders/b/builds/1".into(),
        format!("buildrequests/{}/builds", build["buildrequestid"]),
    ] {
        assert_eq!(http.row(&path, "builds")["buildid"], id, "{path}");
    }
    for path in [format!("builds/{id}/steps/say"), format!("steps/{}", step["stepid"]), "builders/b/builds/1/steps/say".into()] {
        assert_eq!(http.row(&path, "steps")["stepid"], step["stepid"], "{path}");
    }
    assert_eq!(http.row("builders/with%20space%2F%C3%BC", "builders")["name"], "with space/ü");
    assert_eq!(http.row(&format!("builds/{id}?property=colour"), "builds")["properties"], json!({"colour": ["red", "Force Build Form"]}));
}

#[test]
fn filters_order_paging_and_fields() {
    let master = Master::start(CONFIG);
    let http = master.http;
    for _ in 0..5 {
        master.build("b", json!({}));
    }
    let numbers = |path: &str| -> Vec<i64> { http.rows(path, "builds").iter().filter_map(|b| b["number"].as_i64()).collect() };
    assert_eq!(numbers("builds?order=-number&limit=2&offset=1"), [4, 3]);
    assert_eq!(numbers("builds?number__gt=2&number__le=4&order=number"), [3, 4]);
    assert_eq!(numbers("builds?number=1&number=5&order=number"), [1, 5]);
    assert_eq!(numbers("builds?complete=false"), [0_i64; 0]);
    assert_eq!(numbers("builds?state_string__contains=no-such-text"), [0_i64; 0]);
    let page = http.get("builds?limit=2").json();
    assert_eq!((page["builds"].as_array().map(Vec::len), &page["meta"]["total"]), (Some(2), &json!(5)));
    assert_eq!(http.rows("builders?tags__contains=linux", "builders").len(), 1);
    assert_eq!(http.rows("builders?name__contains=space&field=name", "builders"), [json!({"name": "with space/ü"})]);
}

#[test]
fn errors_are_json_and_say_what_is_wrong() {
    let master = Master::start(CONFIG);
    for (path, status, part) in [
        ("builds/99", 404, "99"),
        ("nothing", 404, "nothing"),
        ("builders?nmae=b", 400, "nmae"),
        ("builds?limit=many", 400, "limit"),
        ("builds?number__near=2", 400, "near"),
    ] {
        let answer = master.http.get(path);
        assert_eq!(answer.status, status, "{path}");
        let error = answer.json()["error"].to_string();
        assert!(error.contains(part), "{path}: {error}");
    }
}

#[test]
fn control_calls() {
    let master = Master::start(CONFIG);
    let http = master.http;
    // A form that is filled in badly is refused, field by field.
    let builder = master.builder_id("b").to_string();
    for (params, part) in
        [(json!({"builderid": builder, "colour": "RED 1"}), "colour"), (json!({"builderid": builder, "size": "huge"}), "size")]
    {
        let (status, error) = http.control("forceschedulers/force", "force", params).expect_err("a refusal");
        assert_eq!(status, 400, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
    for (path, method, wanted) in [
        ("forceschedulers/froce", "force", 404),
        ("forceschedulers/force", "forec", 404),
        ("builds/99", "stop", 404),
        ("workers/nobody", "pause", 404),
    ] {
        let (status, error) = http.control(path, method, json!({})).expect_err("a refusal");
        assert!(status == wanted || status == 501 || status == 400, "{path} {method}: {status} {error}");
        assert!(error["message"].is_string() || error["message"].is_object(), "{path} {method}: {error}");
    }

    let build = master.build("b", json!({"colour": "red"}));
    let result = http.control(&format!("builds/{}", build["buildid"]), "rebuild", json!({})).expect("rebuild");
    let request = result[1].as_object().and_then(|ids| ids.values().next()).and_then(Value::as_i64).expect("a request");
    assert_eq!(master.wait_request(request), SUCCESS);
    let again = master.last_build_of(request);
    assert_ne!(again["buildid"], build["buildid"]);
    assert_eq!(master.properties(&again)["colour"][0], "red");

    let waiting = master.force("with space/ü", json!({}));
    http.control(&format!("buildrequests/{waiting}"), "set_priority", json!({"priority": 7})).expect("set_priority");
    assert_eq!(master.request(waiting)["priority"], 7);
    http.control(&format!("buildrequests/{waiting}"), "cancel", json!({})).expect("cancel");
    assert_eq!(master.wait_request(waiting), CANCELLED);
}

#[test]
fn control_is_closed_to_strangers_and_their_pages() {
    let master = Master::start(CONFIG);
    let port = master.http.port;
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "force", "params": {"builderid": master.builder_id("b").to_string()}});
    let post =
        |headers: &[(&str, &str)]| master.http.request("POST", "/api/v2/forceschedulers/force", Some(&call), headers).expect("an answer");
    for headers in [&[("Origin", "http://evil.example")][..], &[("Host", "evil.example")], &[("Origin", "null")]] {
        let answer = post(headers);
        assert_eq!(answer.status, 403, "{headers:?}: {}", String::from_utf8_lossy(&answer.body));
        assert!(answer.json().to_string().contains("authz"), "it does not say what to configure: {}", answer.json());
    }
    let own = format!("http://localhost:{port}");
    assert_eq!(post(&[("Host", &format!("localhost:{port}")), ("Origin", &own)]).status, 200);
    assert_eq!(master.http.rows("buildrequests", "buildrequests").len(), 1);
}

#[test]
fn what_is_secret_is_not_shown() {
    let master = Master::start(CONFIG);
    for path in ["workers", "builders", "masters", "config", "schedulers", "forceschedulers", "application.spec"] {
        let answer = master.http.get(path);
        assert!(!String::from_utf8_lossy(&answer.body).contains("a-secret-word"), "/api/v2/{path} shows a password");
    }
    assert!(!master.log().contains("a-secret-word"));
}

#[test]
fn health_is_told() {
    let master = Master::start(CONFIG);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(master.http.request("GET", path, None, &[]).expect("an answer").status, 200, "{path}");
    }
}
