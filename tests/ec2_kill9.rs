//! `kill -9` of the real program while machines at EC2 start, run and build: none is started twice, none is forgotten, every build runs.
//! The instances of the fake EC2 run stock workers, which outlive the master as machines do.
#![cfg(feature = "ec2")]

mod support;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};
use support::ec2::{Act, FakeEc2, When};
use support::*;

const VERSION: &str = "4.3.0";
/// Twenty stock workers start on a busy machine.
const LONG: Duration = Duration::from_secs(240);

/// So many workers `bot1` …, each with a builder `quick1` … that ends at once and one, `long1` …, that waits for a file.
fn config(ec2: &FakeEc2, workers: usize) -> String {
    let lua = r#"
c.collapseRequests = false
c.reap_interval = 10
c.workers, c.builders = {}, {}
local quick, long, names = util.BuildFactory(), util.BuildFactory(), {}
quick:addStep(steps.ShellCommand{ name = "say", command = { "echo", "quick" } })
long:addStep(steps.ShellCommand{ name = "wait", command = "echo begun; while [ -d @DIR@ ] && [ ! -e @DIR@/go ]; do sleep 0.2; done" })
for i = 1, @WORKERS@ do
  c.workers[i] = EC2LatentWorker{ "bot" .. i, "pass", "m5.large", ami = "ami-1", region = "us-east-1", endpoint_url = "@URL@",
    identifier = "AKIAEXAMPLE", secret_identifier = "hunter2", build_wait_timeout = -1, check_instance_interval = 2 }
  for name, factory in pairs{ quick = quick, long = long } do
    names[#names + 1] = name .. i
    c.builders[#c.builders + 1] = util.BuilderConfig{ name = name .. i, workernames = { "bot" .. i }, factory = factory }
  end
end
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = names } }
"#;
    lua.replace("@WORKERS@", &workers.to_string()).replace("@URL@", &ec2.url())
}

/// A process that may still be starting when its instance ends.
#[derive(Default)]
struct Slot {
    worker: Option<Worker>,
    ended: bool,
}

struct Process(Arc<Mutex<Slot>>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Drop for Process {
    fn drop(&mut self) {
        lock(&self.0).ended = true;
        let worker = lock(&self.0).worker.take();
        drop(worker);
    }
}

/// Every instance runs a stock worker once it has booted.
fn boots(ec2: &FakeEc2, port: u16) {
    ec2.machines(move |instance| {
        let slot = Arc::new(Mutex::new(Slot::default()));
        let (name, process) = (instance.worker().to_owned(), Process(slot.clone()));
        if !name.is_empty() {
            std::thread::spawn(move || {
                let worker = Worker::start(VERSION, &name, "pass", port);
                let mut slot = lock(&slot);
                if !slot.ended {
                    slot.worker = Some(worker);
                }
            });
        }
        Box::new(process)
    });
}

fn started(workers: usize) -> (FakeEc2, Master) {
    let ec2 = FakeEc2::start();
    let mut master = Master::create(&config(&ec2, workers));
    boots(&ec2, master.pb);
    master.launch();
    (ec2, master)
}

fn done(master: &Master, request: i64) -> bool {
    master.request(request)["complete"] == true
}

fn succeeds(master: &Master, requests: &[i64]) {
    for id in requests {
        wait_within(LONG, &format!("request {id} is complete"), || done(master, *id).then_some(()));
        assert_eq!(master.request(*id)["results"], SUCCESS);
    }
}

fn state(master: &Master, worker: usize) -> Value {
    master.worker(&format!("bot{worker}"))["machine"]["state"].clone()
}

/// An orderly end leaves nothing.
fn ends(ec2: &FakeEc2, mut master: Master) {
    assert_eq!(master.stop().code(), Some(0));
    ec2.assert_bill_stops();
}

#[test]
fn scenario_01_killed_before_the_launch_is_carried_out() {
    let (ec2, mut master) = started(1);
    ec2.fault("RunInstances", When::Nth(1), Act::CommitAfter(Duration::from_secs(4)));
    let request = master.force("quick1", json!({}));
    wait_for("the launch is asked for", || (!ec2.calls("RunInstances").is_empty()).then_some(()));
    master.kill9();
    assert!(ec2.live().is_empty());
    master.launch();
    succeeds(&master, &[request]);
    assert_eq!(ec2.with(|w| w.instances.len()), 1, "{}", ec2.story());
    ends(&ec2, master);
}

#[test]
fn scenario_02_killed_after_the_launch_was_carried_out() {
    let (ec2, mut master) = started(1);
    ec2.fault("RunInstances", When::Nth(1), Act::Delay(Duration::from_secs(60)));
    let request = master.force("quick1", json!({}));
    wait_for("the instance is there", || (ec2.live().len() == 1).then_some(()));
    master.kill9();
    master.launch();
    succeeds(&master, &[request]);
    assert_eq!(ec2.calls("RunInstances").len(), 1, "{}", ec2.story());
    wait_for("the row has its instance", || {
        let handle = master.worker("bot1")["machine"]["handle"]["instance"].clone();
        (handle == ec2.live()[0].id.as_str()).then_some(())
    });
    ends(&ec2, master);
}

#[test]
fn scenario_19_the_master_is_away_for_a_day() {
    let (ec2, mut master) = started(2);
    let requests: Vec<i64> = (1..=2).map(|n| master.force(&format!("quick{n}"), json!({}))).collect();
    succeeds(&master, &requests);
    master.kill9();
    // The machines end by themselves, as they are launched to do.
    for instance in ec2.live() {
        assert_eq!(instance.params["InstanceInitiatedShutdownBehavior"], "terminate");
        ec2.kill(&instance.id, "Client.InstanceInitiatedShutdown");
    }
    let bill = ec2.bill();
    ec2.with(|w| w.ahead += Duration::from_secs(24 * 3600));
    assert_eq!(ec2.bill(), bill);
    master.launch();
    for n in 1..=2 {
        let gone = || {
            let machine = master.worker(&format!("bot{n}"))["machine"].clone();
            machine["launch_id"].is_null().then_some(())
        };
        wait_for("its row is closed", gone);
    }
    assert_eq!(ec2.calls("RunInstances").len(), 2, "a start of the master starts nothing");
    ends(&ec2, master);
}

#[test]
fn twenty_machines_idle_building_and_booting() {
    let (ec2, mut master) = started(20);
    let requests: Vec<i64> = (1..=14).map(|n| master.force(&format!("quick{n}"), json!({}))).collect();
    succeeds(&master, &requests);
    let long: Vec<i64> = (8..=14).map(|n| master.force(&format!("long{n}"), json!({}))).collect();
    for id in &long {
        let build = master.wait_build(*id, 1);
        master.wait_log_of(&build, "wait", "begun");
    }
    // These do not get far: their instances are launched and nothing boots on them.
    ec2.boots_nothing();
    let booting: Vec<i64> = (15..=20).map(|n| master.force(&format!("quick{n}"), json!({}))).collect();
    wait_for("twenty instances run", || (ec2.live().len() == 20).then_some(()));

    master.kill9();
    let before: BTreeSet<String> = ec2.live().into_iter().map(|i| i.id).collect();
    boots(&ec2, master.pb);
    master.launch();

    std::fs::write(master.dir().join("go"), "").expect("the file");
    succeeds(&master, &long);
    succeeds(&master, &booting);
    for id in &long {
        let builds = master.builds_of(*id);
        let results: Vec<Value> = builds.iter().map(|b| b["results"].clone()).collect();
        assert_eq!(results, [json!(RETRY), json!(SUCCESS)], "the build that was running is retried once");
    }
    for n in 1..=20 {
        wait_within(LONG, &format!("the machine of bot{n} is ready"), || (state(&master, n) == "ready").then_some(()));
    }
    let after: BTreeSet<String> = ec2.live().into_iter().map(|i| i.id).collect();
    assert_eq!(after, before, "the same machines serve");
    assert_eq!((ec2.high_water(), ec2.with(|w| w.instances.len())), (20, 20));
    assert!(ec2.calls("TerminateInstances").is_empty());
    ends(&ec2, master);
}
