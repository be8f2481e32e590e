//! Latent workers with the real program: instances of a fake EC2 that run stock workers. A machine is started when a build wants it, kept as
//! long as it was said, ended whatever happens to the master, and never started twice.
#![cfg(feature = "ec2")]

mod support;

use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};
use support::ec2::FakeEc2;
use support::*;

const VERSION: &str = "4.3.0";

fn config(fake: &FakeEc2, options: &str, more: &str) -> String {
    format!(
        r#"
c.collapseRequests = false
c.reap_interval = 10
c.workers = {{ EC2LatentWorker{{ "bot", None, "m5.large", ami = "ami-1", identifier = "AKIAEXAMPLE", secret_identifier = "hunter2",
  endpoint_url = "{}", user_data = util.Interpolate("%(worker:name)s %(worker:password)s"), {options} }} }}
local quick, wait = util.BuildFactory(), util.BuildFactory()
quick:addStep(steps.ShellCommand{{ name = "say", command = {{ "echo", "quick" }} }})
wait:addStep(steps.ShellCommand{{ name = "wait", command = "echo begun; while [ -d @DIR@ ] && [ ! -e @DIR@/go ]; do sleep 0.1; done" }})
c.builders = {{
  util.BuilderConfig{{ name = "quick", workernames = {{ "bot" }}, factory = quick }},
  util.BuilderConfig{{ name = "wait", workernames = {{ "bot" }}, factory = wait }},
}}
c.schedulers = {{ schedulers.ForceScheduler{{ name = "force", builderNames = {{ "quick", "wait" }} }} }}
{more}
"#,
        fake.url()
    )
}

/// Every instance runs a stock worker, with the name and the password of its user data.
fn boots(fake: &FakeEc2, port: u16) {
    fake.machines(move |instance| {
        let data = base64::engine::general_purpose::STANDARD.decode(&instance.params["UserData"]).expect("base64");
        let data = String::from_utf8(data).expect("text");
        let (name, password) = data.split_once(' ').expect("name and password");
        Box::new(Worker::start(VERSION, name, password, port))
    });
}

fn master(fake: &FakeEc2, options: &str, more: &str) -> Master {
    let mut master = Master::create(&config(fake, options, more));
    boots(fake, master.pb);
    master.launch();
    master
}

fn state(master: &Master, worker: &str) -> Value {
    master.worker(worker)["machine"]["state"].clone()
}

fn wait_state(master: &Master, worker: &str, wanted: &str) {
    wait_for(&format!("the machine of {worker} is {wanted}"), || (state(master, worker) == wanted).then_some(()));
}

fn wait_live(fake: &FakeEc2, count: usize) {
    wait_for(&format!("{count} instances live"), || (fake.live().len() == count).then_some(()));
}

fn go(master: &Master) {
    std::fs::write(master.dir().join("go"), "").expect("the file");
}

#[test]
fn a_build_starts_its_machine_and_the_machine_ends() {
    let fake = FakeEc2::start();
    let master = master(&fake, "build_wait_timeout = 600", "");
    assert_eq!(state(&master, "bot"), "idle");
    assert!(fake.calls("RunInstances").is_empty(), "nobody wanted one");

    let request = master.force("quick", json!({}));
    wait_for("the request says what it waits for", || {
        let why = master.request(request)["waiting_for"].clone();
        let (code, launch) = (why["code"].as_str()?.to_owned(), why["launch_id"].as_str()?.to_owned());
        assert_eq!((code.as_str(), launch.len()), ("worker_machine", 32), "{why}");
        Some(())
    });
    assert!(master.builds_of(request).is_empty(), "it is no build yet");
    assert_eq!(master.wait_request(request), SUCCESS);
    let build = master.last_build_of(request);
    assert_eq!(build["number"], 1);
    assert_eq!(master.log_contents(&build, "say", "stdio").lines().filter(|l| *l == "oquick").count(), 1);

    // The ledger has it.
    let told = master.instances();
    let row = &told["instances"][0];
    assert_eq!(
        (&row["workername"], &row["state"], &row["backend"]),
        (&json!("bot"), &json!("ready"), &json!("EC2LatentWorker")),
        "{told:#}"
    );
    assert_eq!(row["handle"]["instance"], fake.live()[0].id.as_str());

    // The next build finds it running.
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    assert_eq!(fake.calls("RunInstances").len(), 1);
    assert_eq!((state(&master, "bot"), fake.live().len()), (json!("ready"), 1));
    master.reconfig(&config(&fake, "build_wait_timeout = 1", ""));
    wait_state(&master, "bot", "idle");
    fake.assert_bill_stops();
    assert!(master.http.rows("instances?gone_at=null", "instances").is_empty());
    let gone = master.http.rows("instances?state=gone", "instances");
    assert!(gone.len() == 1 && gone[0]["reason"].as_str().is_some_and(|r| r.contains("idle")), "{gone:#?}");
    assert!(!master.log().contains("hunter2"));
}

#[test]
fn without_a_wait_each_build_has_a_machine_of_its_own() {
    let fake = FakeEc2::start();
    let master = master(&fake, "build_wait_timeout = 0", "");
    let requests = [master.force("quick", json!({})), master.force("quick", json!({}))];
    for request in requests {
        assert_eq!(master.wait_request(request), SUCCESS);
        assert_eq!(master.builds_of(request).len(), 1);
    }
    assert_eq!((fake.calls("RunInstances").len(), fake.high_water()), (2, 1));
    fake.assert_bill_stops();
}

#[test]
fn a_request_that_is_cancelled_while_it_waits_leaves_nothing() {
    let fake = FakeEc2::start();
    let mut master = Master::create(&config(&fake, "build_wait_timeout = 60", ""));
    master.launch();
    let request = master.force("quick", json!({}));
    wait_state(&master, "bot", "waiting");
    master.http.control(&format!("buildrequests/{request}"), "cancel", json!({})).expect("cancelled");
    assert_eq!(master.wait_request(request), CANCELLED);
    wait_state(&master, "bot", "idle");
    fake.assert_bill_stops();
    assert!(master.builds_of(request).is_empty());

    // And it starts again for the next one.
    boots(&fake, master.pb);
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
}

#[test]
fn a_stranger_does_not_attach() {
    let fake = FakeEc2::start();
    let mut master = Master::create(&config(&fake, "", "").replace("\"bot\", None,", "\"bot\", \"pass\","));
    master.launch();
    let mut worker = Worker::start(VERSION, "bot", "pass", master.pb);
    master.wait_log("no build asked for its machine");
    assert!(!master.attached("bot"));
    worker.kill9();
}

#[test]
fn other_workers_do_not_wait_for_a_machine() {
    let fake = FakeEc2::start();
    let lua = config(&fake, "", "table.insert(c.workers, LocalWorker{ 'here' })")
        .replace("workernames = { \"bot\" }, factory = quick", "workernames = { \"bot\", \"here\" }, factory = quick");
    let mut master = Master::create(&lua);
    // Its machine never comes up.
    master.launch();
    let held = master.force("wait", json!({}));
    wait_state(&master, "bot", "waiting");
    for _ in 0..3 {
        assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    }
    assert_eq!(fake.calls("RunInstances").len(), 1);
    master.http.control(&format!("buildrequests/{held}"), "cancel", json!({})).expect("cancelled");
    fake.assert_bill_stops();
}

#[test]
fn a_pool_builds_at_the_same_time() {
    let fake = FakeEc2::start();
    let master = master(&fake, "pool = { max = 3 }, build_wait_timeout = 1", "");
    let requests: Vec<i64> = (0..3).map(|_| master.force("wait", json!({}))).collect();
    for request in &requests {
        let build = master.wait_build(*request, 1);
        master.wait_log_of(&build, "wait", "begun");
    }
    assert_eq!((fake.live().len(), fake.calls("RunInstances").len()), (3, 3));
    go(&master);
    for request in requests {
        assert_eq!(master.wait_request(request), SUCCESS);
    }
    fake.assert_bill_stops();
}

#[test]
fn an_instance_that_dies_under_its_build_is_replaced() {
    let fake = FakeEc2::start();
    let master = master(&fake, "build_wait_timeout = 1, quarantine_initial_timeout = 1", "");
    let request = master.force("wait", json!({}));
    let build = master.wait_build(request, 1);
    master.wait_log_of(&build, "wait", "begun");
    fake.kill(&fake.live()[0].id.clone(), "Server.InternalError: the host failed");
    let again = master.wait_build(request, 2);
    master.wait_log_of(&again, "wait", "begun");
    go(&master);
    assert_eq!(master.wait_request(request), SUCCESS);
    assert_eq!((fake.calls("RunInstances").len(), fake.high_water()), (2, 1));
    fake.assert_bill_stops();
}

#[test]
fn an_instance_that_nobody_knows_is_reaped() {
    let fake = FakeEc2::start();
    let mut master = Master::create(&reaped_by_hand(&config(&fake, "build_wait_timeout = -1", "")));
    boots(&fake, master.pb);
    master.launch();
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    let own = fake.live()[0].clone();
    fake.boots_nothing();
    let mark = own.tags["buildmoon:master"].clone();
    let stray = fake.with(|w| w.found(&[("buildmoon:master", &mark), ("buildmoon:launch", "0123"), ("buildmoon:worker", "bot")]));
    fake.with(|w| w.found(&[("buildmoon:master", "somebody else"), ("buildmoon:launch", "4567")]));
    let ran = master.command("instances", &[], &["--reap"]);
    assert!(ran.out.starts_with("stopped: 1\ninstances: 1\n"), "{ran:?}");
    let live: Vec<String> = fake.live().into_iter().map(|i| i.id).collect();
    assert!(live.contains(&own.id) && !live.contains(&stray) && live.len() == 2, "{live:?}");
}

#[test]
fn a_stop_of_the_master_ends_the_machines() {
    let fake = FakeEc2::start();
    let mut master = master(&fake, "build_wait_timeout = -1", "");
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    wait_live(&fake, 1);
    assert!(master.stop().success());
    fake.assert_bill_stops();
}

#[test]
fn killed_while_it_is_idle_the_machine_is_adopted() {
    let fake = FakeEc2::start();
    let mut master = master(&fake, "build_wait_timeout = 600", "");
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    master.kill9();
    assert_eq!(fake.live().len(), 1);
    master.launch();
    master.wait_attached("bot");
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    assert_eq!(fake.calls("RunInstances").len(), 1, "started twice");
    master.reconfig(&config(&fake, "build_wait_timeout = 1", ""));
    fake.assert_bill_stops();
}

#[test]
fn killed_while_it_builds_the_build_runs_again_on_the_same_machine() {
    let fake = FakeEc2::start();
    let mut master = master(&fake, "build_wait_timeout = 1", "");
    let request = master.force("wait", json!({}));
    let build = master.wait_build(request, 1);
    master.wait_log_of(&build, "wait", "begun");
    master.kill9();
    master.launch();
    let again = master.wait_build(request, 2);
    master.wait_log_of(&again, "wait", "begun");
    go(&master);
    assert_eq!(master.wait_request(request), SUCCESS);
    assert_eq!((fake.calls("RunInstances").len(), fake.high_water()), (1, 1));
    fake.assert_bill_stops();
}

#[test]
fn killed_while_it_boots_it_is_waited_for() {
    let fake = FakeEc2::start();
    fake.with(|w| w.boot_time = Duration::from_secs(4));
    let mut master = master(&fake, "build_wait_timeout = 1", "");
    let request = master.force("quick", json!({}));
    wait_live(&fake, 1);
    master.kill9();
    master.launch();
    assert_eq!(master.wait_request(request), SUCCESS);
    assert_eq!((fake.calls("RunInstances").len(), fake.high_water()), (1, 1));
    fake.assert_bill_stops();
}

#[test]
fn a_worker_that_went_from_the_configuration_meanwhile_is_ended() {
    let fake = FakeEc2::start();
    let mut master = master(&fake, "build_wait_timeout = -1", "");
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    master.kill9();
    let lua = config(&fake, "build_wait_timeout = -1", "").replace("\"bot\"", "\"renamed\"");
    master.configure(&lua);
    master.launch();
    fake.assert_bill_stops();
}

/// The configuration of a running master is replaced by one with a mistake: the old one stays, machines start and stop as before.
#[test]
fn scenario_22_a_reload_with_a_mistake_disturbs_no_machine() {
    let fake = FakeEc2::start();
    let master = master(&fake, "build_wait_timeout = 1", "");
    let request = master.force("wait", json!({}));
    let build = master.wait_build(request, 1);
    master.wait_log_of(&build, "wait", "begun");
    master.configure(&config(&fake, "build_wait_timeout = 1, ami = 5", ""));
    signal(master.pid(), "HUP");
    master.wait_log("master.lua:");
    let ran = master.command("checkconfig", &[], &[]);
    assert!(ran.code == Some(1) && ran.err.contains("master.lua:") && ran.err.contains("ami"), "{ran:?}");
    go(&master);
    assert_eq!(master.wait_request(request), SUCCESS);
    wait_state(&master, "bot", "idle");
    wait_live(&fake, 0);
    assert_eq!((master.build("quick", json!({}))["results"].as_i64(), fake.calls("RunInstances").len()), (Some(SUCCESS), 2));
    fake.assert_bill_stops();
}

#[test]
fn another_password_ends_the_machine_at_once() {
    let fake = FakeEc2::start();
    let lua = |password: &str| config(&fake, "build_wait_timeout = -1", "").replace("\"bot\", None,", &format!("\"bot\", \"{password}\","));
    let mut master = Master::create(&lua("first"));
    boots(&fake, master.pb);
    master.launch();
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    master.reconfig(&lua("open-sesame"));
    // Its worker is not waited for: that could be told it is missing after 20 minutes.
    wait_live(&fake, 0);
    assert!(master.http.rows("instances", "instances")[0]["reason"].as_str().is_some_and(|r| r.contains("password has changed")));
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    assert!(!master.log().contains("open-sesame"));
}

#[test]
fn another_region_while_the_master_was_away_ends_the_machine_where_it_is() {
    let fake = FakeEc2::start();
    let mut master = master(&fake, "build_wait_timeout = -1, region = 'eu-west-1'", "");
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    let old = fake.live()[0].id.clone();
    master.kill9();
    fake.boots_nothing();
    master.configure(&config(&fake, "build_wait_timeout = -1, region = 'us-east-2'", ""));
    master.launch();
    wait_for("the old one is ended", || fake.live().iter().all(|i| i.id != old).then_some(()));
    wait_for("its row is closed", || master.http.rows("instances?gone_at=null", "instances").is_empty().then_some(()));
    assert!(!fake.calls("TerminateInstances").is_empty());
    fake.assert_bill_stops();
}

#[test]
fn what_a_machine_costs_is_shown() {
    let fake = FakeEc2::start();
    let master = master(&fake, "build_wait_timeout = -1, price_per_hour = 36", "");
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    let row = wait_for("it costs something", || {
        let row = master.http.rows("instances", "instances").remove(0);
        row["cost"].as_f64().is_some_and(|cost| cost > 0.0).then_some(row)
    });
    assert_eq!(row["price_per_hour"], 36.0, "{row:#}");
    let ran = master.command("instances", &[], &[]);
    assert!(ran.out.contains("36.000 an hour") && ran.out.contains("together: 36.000 an hour"), "{ran:?}");
}

#[test]
fn a_request_that_waits_shows_the_console() {
    let fake = FakeEc2::start();
    let mut master = Master::create(&config(&fake, "missing_timeout = 140", ""));
    master.launch();
    let request = master.force("quick", json!({}));
    let why = wait_within(Duration::from_secs(170), "the console is shown", || {
        let why = master.request(request)["waiting_for"].clone();
        (why["console"] == json!(["cloud-init: no worker could be started"])).then_some(why)
    });
    assert!(
        why["text"].as_str().is_some_and(|t| t.ends_with("; its console ends with \"cloud-init: no worker could be started\"")),
        "{why}"
    );
    master.wait_log("was not attached within 2 min 20 s; its console ends with");
}

/// The whole: an image without a worker becomes one by its user data, builds, and ends the bill itself when the master does not come back.
#[test]
fn scenario_18_a_machine_ends_itself_when_its_master_is_gone() {
    use support::machine::{self, Kind, Machine};
    if let Some(why) = machine::missing() {
        println!("scenario_18: not run, since there can be no machine here: {why}");
        return;
    }
    let fake = std::sync::Arc::new(FakeEc2::start());
    let home = machine::folder();
    let data = format!(
        "user_data = util.UserData{{ '127.0.0.1:@PB@', install = 'image', user = 'root', basedir = '{}', power_off_after = 20, metadata_url = None }}",
        home.path().join("worker").display()
    );
    let lua = config(&fake, "build_wait_timeout = -1", "")
        .replace("user_data = util.Interpolate(\"%(worker:name)s %(worker:password)s\")", &data);
    let mut master = Master::create(&lua);
    let home = std::sync::Mutex::new(Some(home));
    let bin = support::peers::worker_bin(VERSION);
    let killer = std::sync::Arc::downgrade(&fake);
    fake.machines(move |instance| {
        let script = base64::engine::general_purpose::STANDARD.decode(&instance.params["UserData"]).expect("base64");
        let script = String::from_utf8(script).expect("text");
        let Some(home) = home.lock().expect("the folder").take() else { return Box::new(()) };
        let machine = Machine::boot(home, &script, Kind { bin: Some(&bin), systemd: false });
        let (off, id, killer) = (machine.path("off"), instance.id.clone(), killer.clone());
        std::thread::spawn(move || {
            while let Some(fake) = killer.upgrade() {
                if off.exists() {
                    return fake.kill(&id, "Client.InstanceInitiatedShutdown: powered off");
                }
                drop(fake);
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        Box::new(machine)
    });
    master.launch();
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    master.kill9();
    wait_live(&fake, 0);
    fake.assert_bill_stops();
    assert!(fake.calls("TerminateInstances").is_empty(), "nobody told it to");
    // The master that comes back learns of it.
    master.launch();
    let gone = wait_for("its row is closed", || {
        let rows = master.http.rows("instances?state=gone", "instances");
        rows.first().map(|row| row["reason"].clone())
    });
    assert!(gone.as_str().is_some_and(|why| why.contains("shut itself down")), "{gone}");
    assert!(!master.log().contains("hunter2"));
}
