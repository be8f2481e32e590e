//! `examples/fleet`, a configuration as large installations write them: its builds run on stock workers, whose passwords its own provider
//! of secrets makes, with a step of its own that observes, counts, and adds steps.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;
use support::master::copy_dir;
use support::*;

const KEY: &str = "a key for tests";

fn example() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/fleet")
}

/// A master with the example in its folder, on ports of its own.
fn fleet() -> Master {
    let master = Master::create("");
    copy_dir(&example(), &master.dir());
    let file = master.dir().join("master.lua");
    let text = fs::read_to_string(&file).expect("the example");
    let text =
        text.replace("port = 9989", &format!("port = {}", master.pb)).replace("port = 8010", &format!("port = {}", master.http.port));
    fs::write(&file, text).expect("master.lua");
    let key = master.dir().join("fleet.key");
    fs::write(&key, format!("{KEY}\n")).expect("the key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("its mode");
    master
}

/// Each branch has a scheduler of its own.
fn force(master: &Master, builder: &str, params: serde_json::Value) -> i64 {
    let branch = branch(builder).replace('.', "-");
    master.force_by(&format!("force-{branch}"), builder, params)
}

fn branch(builder: &str) -> &str {
    builder.split(' ').find(|word| ["main", "3.14", "3.13"].contains(word)).expect("a branch")
}

fn password(worker: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).expect("any key does");
    mac.update(worker.as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
    hex[..32].to_owned()
}

#[test]
fn builds_of_the_fleet_run_on_stock_workers() {
    let mut master = fleet();
    master.launch();
    let names = ["debian-x86_64-1", "debian-x86_64-2", "raspbian-armv7-1"];
    let _workers: Vec<Worker> =
        names.iter().zip(peers::VERSIONS).map(|(name, version)| Worker::start(version, name, &password(name), master.pb)).collect();
    names.iter().for_each(|name| master.wait_attached(name));
    assert_eq!(master.http.rows("builders?field=name", "builders").len(), 444);

    let builders = ["debian-x86_64 main", "debian-x86_64 3.13 Debug", "only debian-x86_64-2 3.14 ASAN", "raspbian-armv7 main"];
    let requests: Vec<i64> = builders.iter().map(|b| force(&master, b, json!({ "ignore_downtime": true }))).collect();
    for (builder, request) in builders.iter().zip(requests) {
        master.wait_request(request);
        let build = master.last_build_of(request);
        assert_eq!(build["results"], SUCCESS, "{builder}: {build:#}");
        let test = master.step(&build, "test");
        let expected = if builder.starts_with("raspbian") { 9 } else { 10 };
        assert_eq!(test["state_string"], format!("tests: {expected} ok, 0 failed, 1 skipped"), "{builder}");
        assert_eq!(master.step(&build, "compile")["results"], WARNINGS, "{builder}: its warning is not counted");
        let properties = master.properties(&build);
        assert_eq!(properties["tests_failed"], json!([[], "TestSuite"]), "{properties:#}");
        assert_eq!(properties["got_revision"][0], format!("{}-1", branch(builder)));
    }
    let asan = master.http.rows("builders?name=only%20debian-x86_64-2%203.14%20ASAN", "builders");
    assert_eq!(asan[0]["tags"], json!(["3.14", "tier-1", "unix", "sanitizer", "machine"]));

    // A test that fails once is run again by a step that was not there before.
    let request = force(&master, "debian-x86_64 main", json!({ "flaky": true, "keep_files": true }));
    master.wait_request(request);
    let build = master.last_build_of(request);
    assert_eq!(build["results"], WARNINGS, "{build:#}");
    let steps: Vec<String> = master.steps(&build).iter().map(|s| s["name"].as_str().unwrap_or_default().to_owned()).collect();
    let after = steps.iter().position(|s| s == "test").expect("test") + 1;
    assert_eq!(steps[after], "test again", "{steps:?}");
    assert_eq!(master.log_contents(&build, "test", "failed").trim_start_matches('o').trim(), "test_flaky");
    assert_eq!(master.step(&build, "clean")["results"], SKIPPED, "keep_files does not keep them");
    assert_eq!(master.step(&build, "clean")["hidden"], true);

    // Nobody else knows the passwords.
    let answer = master.http.get("workers").json().to_string() + &master.log();
    assert!(names.iter().all(|name| !answer.contains(&password(name))), "a password is shown");
}

#[test]
fn hours_of_rest_are_counted_in_the_owner_s_zone() {
    let master = fleet();
    let script = master.dir().join("hours.lua");
    fs::write(
        &script,
        r#"
local left = require("fleet.downtime").seconds_left
local berlin = { from = "22:00", to = "06:00", tz = "Europe/Berlin" }
local function at(text) return time.parse(text) end
assert(left(berlin, at("2026-07-01T20:00:00Z")) == 8 * 3600)       -- 22:00 in summer
assert(left(berlin, at("2026-01-01T20:59:59Z")) == 0)              -- 21:59 in winter
assert(left(berlin, at("2026-01-02T04:59:30Z")) == 30)
assert(left(berlin, at("2026-01-02T05:00:00Z")) == 0)
assert(left(nil, 0) == 0)
print("good")
"#,
    )
    .expect("a script");
    let ran = buildmoon(["lua".as_ref(), script.as_os_str()]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "good\n"), "{ran:?}");
}

#[test]
fn a_request_for_a_machine_that_rests_says_until_when() {
    let mut master = fleet();
    let settings = master.dir().join("settings.yaml");
    let text = fs::read_to_string(&settings).expect("settings");
    // All day long.
    let text = text.replacen("  debian-x86_64-1:\n", "  debian-x86_64-1:\n    downtime: { from: \"00:00\", to: \"24:00\", tz: UTC }\n", 1);
    fs::write(&settings, text).expect("settings");
    master.launch();
    let _worker = Worker::start("4.3.0", "debian-x86_64-1", &password("debian-x86_64-1"), master.pb);
    master.wait_attached("debian-x86_64-1");
    let request = force(&master, "only debian-x86_64-1 main", json!({}));
    let text = wait_for("it says why", || {
        let why = master.request(request)["waiting_for"]["text"].as_str()?.to_owned();
        why.contains("canStartBuild").then_some(why)
    });
    assert!(text.contains("said no for worker debian-x86_64-1; asked again in"), "{text}");
}
