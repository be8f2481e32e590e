//! Workers on servers of a cloud that answers as OpenStack does, with the real program and stock workers on the servers. What is asked of
//! Nova in detail is in `tests/lua/backends/openstack_test.lua`.

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::conformance::assert_conforms;
use support::openstack::{Cloud, Fault, IMAGE};
use support::*;

const VERSION: &str = "4.3.0";

fn worker(cloud: &Cloud, name: &str, options: &str) -> String {
    format!(
        r#"OpenStackLatentWorker{{ "{name}", flavor = "m1.small", image = "debian-13", os_auth_url = "{}", os_username = "ci",
  os_password = "cloud-password", os_tenant_name = "builds", check_instance_interval = 1, {options}
  user_data = util.Interpolate("%(prop:workername)s\n%(prop:workerpassword)s\n%(prop:master_port)s\n") }}"#,
        cloud.auth_url()
    )
}

fn config(cloud: &Cloud, options: &str) -> String {
    format!(
        r#"
c.collapseRequests = false
c.reap_interval = 10
c.workers = {{ {} }}
local quick, wait = util.BuildFactory(), util.BuildFactory()
quick:addStep(steps.ShellCommand{{ name = "say", command = {{ "echo", "quick" }} }})
wait:addStep(steps.ShellCommand{{ name = "wait", command = "echo begun; while [ -d @DIR@ ] && [ ! -e @DIR@/go ]; do sleep 0.1; done" }})
c.builders = {{
  util.BuilderConfig{{ name = "quick", workernames = {{ "bot" }}, factory = quick }},
  util.BuilderConfig{{ name = "wait", workernames = {{ "bot" }}, factory = wait }},
}}
c.schedulers = {{ schedulers.ForceScheduler{{ name = "force", builderNames = {{ "quick", "wait" }} }} }}
"#,
        worker(cloud, "bot", options)
    )
}

fn master(cloud: &Cloud, options: &str) -> Master {
    let mut master = Master::create(&config(cloud, options));
    cloud.machines(|data| {
        let mut lines = data.lines();
        let mut next = || lines.next().unwrap_or_default().to_owned();
        let (name, password, port) = (next(), next(), next());
        Box::new(Worker::start(VERSION, &name, &password, port.parse().expect("a port")))
    });
    master.launch();
    master
}

fn state(master: &Master) -> Value {
    master.worker("bot")["machine"]["state"].clone()
}

#[test]
fn a_build_runs_on_a_server_that_is_made_for_it() {
    let cloud = Cloud::start();
    cloud.takes(Duration::from_secs(2), Duration::from_secs(1));
    let options = "build_wait_timeout = 600, meta = { team = 'ci' }, nova_args = { key_name = 'ops' },";
    let master = master(&cloud, options);
    assert_eq!(cloud.live(), 0, "nobody wanted one");
    let build = master.build("quick", json!({}));
    assert_eq!(build["results"], SUCCESS);
    let asked = &cloud.requests()[0];
    assert_eq!((&asked["name"], &asked["imageRef"], &asked["key_name"]), (&json!("bot"), &json!(IMAGE), &json!("ops")), "{asked:#}");
    assert_eq!((&asked["metadata"]["team"], &asked["metadata"]["buildmoon-worker"]), (&json!("ci"), &json!("bot")), "{asked:#}");
    let told = master.instances();
    let row = &told["instances"][0];
    assert_eq!((&row["backend"], &row["state"]), (&json!("OpenStackLatentWorker"), &json!("ready")), "{told:#}");
    assert_eq!(row["launch_id"], asked["metadata"]["buildmoon-launch"], "{told:#}");

    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    assert_eq!(cloud.calls("POST /servers"), 1, "the second build finds it running");
    assert_eq!(cloud.live(), 1);
    master.reconfig(&config(&cloud, &options.replace("600", "1")));
    cloud.wait_live(0);
    wait_for("the worker is idle", || (state(&master) == "idle").then_some(()));
    assert_eq!(cloud.high_water(), 1);
    let log = master.log();
    assert!(!log.contains("cloud-password") && !log.contains("gAAAAAB"), "a secret is in the log: {log}");
}

#[test]
fn lost_answers_ended_tokens_and_refusals_start_no_second_server() {
    let cloud = Cloud::start();
    let master = master(&cloud, "build_wait_timeout = 0, quarantine_initial_timeout = 1,");
    // The server is made, and nobody hears of it.
    cloud.fault("POST /servers", Fault::LostAnswer);
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    assert_eq!((cloud.high_water(), cloud.calls("POST /servers")), (1, 1));
    cloud.wait_live(0);

    // Tokens end in between; the gateway is away for a moment.
    let before = cloud.logins();
    cloud.end_tokens();
    cloud.fault("GET /servers/detail", Fault::Status(503, json!({})));
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    assert!(cloud.logins() > before);
    cloud.wait_live(0);

    // A server that fails is taken away, and another one made.
    cloud.fault("POST /servers", Fault::Error("Build of instance aborted: Block Device Mapping is Invalid."));
    let request = master.force("quick", json!({}));
    master.wait_log("Build of instance aborted");
    assert_eq!(master.wait_request(request), SUCCESS);
    cloud.wait_live(0);
    assert_eq!(cloud.high_water(), 1, "never two at once");
}

#[test]
fn a_master_that_was_killed_stops_what_it_does_not_want_and_adopts_the_rest() {
    let cloud = Cloud::start();
    let mut master = master(&cloud, "build_wait_timeout = 600,");
    let request = master.force("wait", json!({}));
    let build = master.wait_build(request, 1);
    master.wait_log_of(&build, "wait", "begun");
    let mark = cloud.requests()[0]["metadata"]["buildmoon-master"].clone();
    assert_eq!(cloud.live(), 1);
    master.kill9();
    // Left behind by a start of which the ledger knows nothing, and somebody else's.
    cloud.add(json!({ "buildmoon-master": mark, "buildmoon-launch": "00000000000000000000000000000007" }));
    cloud.add(json!({ "buildmoon-master": "another", "buildmoon-launch": "1" }));
    cloud.add(json!({ "team": "nobody's" }));
    assert_eq!(cloud.live(), 4);
    master.launch();
    cloud.wait_live(3);
    std::fs::write(master.dir().join("go"), "").expect("go");
    assert_eq!(master.wait_request(request), SUCCESS);
    assert_eq!(cloud.requests().iter().filter(|r| r["name"] == "bot").count(), 1, "the server was adopted");
}

#[test]
fn a_wrong_password_is_told_and_nothing_is_made() {
    let cloud = Cloud::start();
    let lua = config(&cloud, "").replace("cloud-password", "wrong-password");
    let master = Master::start(&lua);
    master.force("quick", json!({}));
    master.wait_log("requires authentication. (status 401)");
    assert_eq!(cloud.calls("POST /servers"), 0);
    wait_for("the worker rests", || (state(&master) == "quarantined").then_some(()));
    assert!(!master.log().contains("wrong-password"), "{}", master.log());
}

#[test]
fn the_backend_conforms() {
    let cloud = Cloud::start();
    cloud.takes(Duration::from_millis(200), Duration::from_millis(200));
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("cloud.lua");
    std::fs::write(&file, format!("BuildmasterConfig.workers = {{ {} }}\n", worker(&cloud, "bot", ""))).expect("a file");
    assert_conforms(&file, &["--timeout", "60"], &[], &[]);
    assert_eq!(cloud.live(), 0);
    assert!(cloud.calls("POST /servers") > 5);
}
