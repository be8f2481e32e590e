//! `checkconfig --online` and the same at the start of a master, with the real program and an EC2 of the test's own: which worker has
//! what wrong; the others run.
#![cfg(feature = "ec2")]

mod support;

use serde_json::{Value, json};
use support::ec2::{Act, FakeEc2, When};
use support::*;

fn config(fake: &FakeEc2) -> String {
    let lua = r#"
local function machine(name, args)
  args.name, args.instance_type = name, "m5.large"
  args.identifier, args.secret_identifier, args.endpoint_url = "AKIAEXAMPLE", "hunter2", "@URL@"
  args.build_wait_timeout = 0
  return EC2LatentWorker(args)
end
c.workers = {
  machine("good", { ami = "ami-1" }),
  machine("pool", { ami = "ami-404", keypair_name = "nobodys", pool = { max = 3 } }),
  machine("placed", { ami = "ami-1", keypair_name = None, subnet_id = { "subnet-a", "subnet-x" }, security_group_ids = { "sg-1", "sg-x" },
    elastic_ip = "203.0.113.9" }),
  machine("new", { ami = "ami-1", security_name = "not-made-yet" }),
  LocalWorker{ "here" },
}
local f = util.BuildFactory{ steps.ShellCommand{ command = "true" } }
c.builders = {
  util.BuilderConfig{ name = "local", workernames = { "here" }, factory = f },
  util.BuilderConfig{ name = "machines", workernames = { "pool", "placed", "new", "good" }, factory = f },
}
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "local" } } }
"#;
    lua.replace("@URL@", &fake.url())
}

const WRONG: [&str; 5] = [
    "there is no image ami-404 in us-east-1",
    "there is no key pair \"nobodys\" in us-east-1: import it, name another with 'keypair_name', or say keypair_name = None",
    "there is no security group sg-x in us-east-1",
    "there is no subnet subnet-x in us-east-1",
    "this account has no address 203.0.113.9 in us-east-1",
];

#[test]
fn checkconfig_tells_which_worker_has_what_wrong() {
    let fake = FakeEc2::start();
    let master = Master::create(&config(&fake));
    let plain = master.command("checkconfig", &[], &[]);
    assert!(plain.code == Some(0) && fake.with(|w| w.journal.is_empty()), "nothing is asked without --online: {plain:?}");

    let ran = master.command("checkconfig", &[], &["--online"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for wrong in WRONG {
        assert!(ran.err.contains(wrong), "{wrong}: {}", ran.err);
    }
    assert!(
        ran.err.contains("EC2LatentWorker \"pool-1, pool-2 and pool-3\"") || ran.err.contains("EC2LatentWorker \"pool-1, pool-2, pool-3\""),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("EC2LatentWorker \"placed\"") && ran.err.contains("master.lua:"), "{}", ran.err);
    assert!(!ran.err.contains("EC2LatentWorker \"good\"") && !ran.err.contains("hunter2") && ran.err.contains("5 mistakes"), "{}", ran.err);

    let ran = master.command("checkconfig", &[], &["--online", "--json"]);
    let told: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    assert_eq!((&told["ok"], told["mistakes"].as_array().map(Vec::len), &told["online"]["workers"]), (&json!(false), Some(5), &json!(6)));
    let notes = told["online"]["notes"].as_array().cloned().unwrap_or_default();
    assert!(notes.len() == 1 && notes[0].to_string().contains("the first launch makes it, with no open port"), "{notes:?}");
    // Few questions for all of them, and nothing was started or made.
    let asked = fake.calls("DescribeKeyPairs").len();
    assert!((4..=6).contains(&asked), "{asked}");
    assert!(fake.calls("RunInstances").is_empty() && fake.calls("CreateSecurityGroup").is_empty());
}

#[test]
fn keys_that_are_refused_are_told_as_that() {
    let fake = FakeEc2::start();
    fake.fault("*", When::Always, Act::Error("AuthFailure"));
    let master = Master::create(&config(&fake));
    let ran = master.command("checkconfig", &[], &["--online"]);
    assert!(ran.code == Some(1) && ran.err.contains("the keys are refused: AuthFailure"), "{ran:?}");
    assert!(!ran.err.contains("image") && !ran.err.contains("hunter2"), "nothing else is known: {}", ran.err);
}

#[test]
fn a_provider_that_is_not_there_is_told() {
    let url = {
        let fake = FakeEc2::start();
        config(&fake)
    };
    let master = Master::create(&url);
    let ran = master.command("checkconfig", &[], &["--online"]);
    assert!(ran.code == Some(1) && ran.err.contains("region us-east-1 does not answer"), "{ran:?}");
}

#[test]
fn a_start_tells_it_too_and_what_is_right_runs() {
    let fake = FakeEc2::start();
    let master = Master::start(&config(&fake));
    for wrong in WRONG {
        master.wait_log(wrong);
    }
    assert_eq!(master.build("local", json!({}))["results"], SUCCESS);
    assert!(!master.log().contains("hunter2"));
    // A reload asks again for what was wrong, not for what was right.
    let before = fake.calls("DescribeKeyPairs").len();
    fake.with(|w| w.key_pairs.push("nobodys".into()));
    let ran = master.command("reconfig", &[], &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    wait_for("it is asked again", || (fake.calls("DescribeKeyPairs").len() > before).then_some(()));
}
