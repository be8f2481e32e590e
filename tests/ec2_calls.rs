//! EC2 through the real SDK and the real program: calls without keys, a volume that is attached already, a public address, and functions
//! of the file that have moved.
#![cfg(feature = "ec2")]

mod support;

use buildmoon::base::Secret;
use buildmoon::latent::ec2::api::{Class, Ec2Api, RunInstance};
use buildmoon::latent::ec2::credentials::Keys;
use buildmoon::latent::ec2::sdk::{Connect, Ec2};
use serde_json::json;
use support::ec2::{Act, FakeEc2, When};
use support::*;

/// The server has a runtime of its own, which can't begin within this one.
fn started() -> FakeEc2 {
    std::thread::spawn(FakeEc2::start).join().expect("a server")
}

async fn connected(fake: &FakeEc2) -> Ec2 {
    let keys = Keys { identifier: Secret::new("AKIAEXAMPLE"), secret: Secret::new("hunter2") };
    Ec2::connect(Connect { region: "us-east-1".into(), endpoint_url: Some(fake.url()), profile: None, keys: Some(keys) }).await
}

fn run(token: &str) -> RunInstance {
    let (image_id, instance_type) = ("ami-1".into(), "m5.large".into());
    RunInstance { client_token: token.into(), image_id, instance_type, ..RunInstance::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_without_keys_was_not_made() {
    let fake = started();
    let profile = Some("buildmoon-has-no-such-profile".to_owned());
    let api = Ec2::connect(Connect { region: "us-east-1".into(), endpoint_url: Some(fake.url()), profile, keys: None }).await;
    let failed = api.run_instance(run("a-0")).await.expect_err("no keys");
    assert_eq!(failed.class(), Class::Keys, "nothing can have been started: {failed:?}");
    assert_eq!(api.list("buildmoon:master", "m-1".into()).await.expect_err("no keys").class(), Class::Keys);
    assert!(fake.with(|w| w.journal.is_empty()), "{}", fake.story());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_is_attached_there_already_is_attached() {
    let fake = started();
    let api = connected(&fake).await;
    fake.with(|w| w.lend_volume("vol-lent"));
    let ids = [api.run_instance(run("a-0")).await, api.run_instance(run("b-0")).await].map(|i| i.expect("an instance").id);
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let attach = |id: &str| api.attach_volume("vol-lent".into(), "/dev/sdf".into(), id.to_owned());
    // It was done, and the answer was lost: the repetition is refused.
    fake.fault("AttachVolume", When::Nth(1), Act::CommitThenDrop);
    assert_eq!(attach(&ids[0]).await, Ok(()), "{}", fake.story());
    assert_eq!(fake.calls("AttachVolume").len(), 2);
    assert_eq!(attach(&ids[1]).await.expect_err("another has it").class(), Class::Taken);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_address_is_asked_for_in_the_usual_subnet_too() {
    let fake = started();
    let api = connected(&fake).await;
    for subnet_id in [None, Some("subnet-a".to_owned())] {
        let groups = vec!["sg-1".to_owned()];
        let token = format!("{subnet_id:?}");
        let wanted =
            RunInstance { associate_public_ip: Some(false), security_group_ids: groups, subnet_id: subnet_id.clone(), ..run(&token) };
        api.run_instance(wanted).await.expect("an instance");
        let asked = fake.calls("RunInstances").pop().expect("a call").params;
        let of = |name: &str| asked.get(&format!("NetworkInterface.1.{name}")).cloned();
        assert_eq!(
            (of("AssociatePublicIpAddress").as_deref(), of("SecurityGroupId.1").as_deref(), of("SubnetId")),
            (Some("false"), Some("sg-1"), subnet_id),
            "{asked:?}"
        );
        assert!(!asked.contains_key("SubnetId") && !asked.contains_key("SecurityGroupId.1"), "{asked:?}");
    }
}

/// A worker whose machine is told what a function says, and a builder for it.
fn config(fake: &FakeEc2) -> String {
    let lua = r#"
c.workers = { EC2LatentWorker{ "bot", "pass", "m5.large", ami = "ami-1", region = "us-east-1", endpoint_url = "@URL@",
  identifier = "AKIAEXAMPLE", secret_identifier = "hunter2", build_wait_timeout = -1, check_instance_interval = 1,
  user_data = util.Transform(function(name)
    return "hello " .. name
  end, Interpolate("%(worker:name)s")) } }
local quick = util.BuildFactory{ steps.ShellCommand{ command = { "echo", "quick" } } }
c.builders = { util.BuilderConfig{ name = "quick", workernames = { "bot" }, factory = quick } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "quick" } } }
"#;
    lua.replace("@URL@", &fake.url())
}

#[test]
fn a_function_that_has_moved_in_the_file_is_the_same() {
    let fake = FakeEc2::start();
    let lua = config(&fake);
    let mut master = Master::create(&lua);
    let port = master.pb;
    fake.machines(move |instance| Box::new(Worker::start("4.3.0", instance.worker(), "pass", port)));
    master.launch();
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    let told = fake.calls("RunInstances")[0].params["UserData"].clone();
    assert_eq!(told, "aGVsbG8gYm90", "hello bot");
    // Another function before it, and a line.
    master.kill9();
    master.configure(&format!("local before = util.Transform(function() return 1 end)\n{lua}"));
    master.launch();
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    assert_eq!(fake.calls("RunInstances").len(), 1, "its machine serves on\n{}", fake.story());
    // A function that says something else is another.
    master.kill9();
    master.configure(&lua.replace("\"hello \"", "\"good bye \""));
    master.launch();
    master.wait_log("it was started with other settings");
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    assert_eq!((fake.calls("RunInstances").len(), fake.high_water()), (2, 1), "{}", fake.story());
    assert_eq!(master.stop().code(), Some(0));
    fake.assert_bill_stops();
}

#[test]
fn a_machine_is_ended_once_the_vault_with_its_keys_is_back() {
    let fake = FakeEc2::start();
    let lua = |wait: i32| {
        let vault = r#"
local Vault = secrets.SecretProviderBase:extend("Vault")
function Vault:get(name)
  if not fs.exists("@DIR@/open") then error("the vault is away") end
  return "hunter2"
end
c.secretsProviders = { Vault{} }
"#;
        let plain = config(&fake).replace("secret_identifier = \"hunter2\"", "secret_identifier = util.Secret('key')");
        vault.to_owned() + &plain.replace("build_wait_timeout = -1", &format!("build_wait_timeout = {wait}"))
    };
    let mut master = Master::create(&lua(-1));
    let (port, open) = (master.pb, master.dir().join("open"));
    fake.machines(move |instance| Box::new(Worker::start("4.3.0", instance.worker(), "pass", port)));
    std::fs::write(&open, "").expect("the vault");
    master.launch();
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    master.kill9();
    std::fs::remove_file(&open).expect("the vault");
    master.configure(&lua(1));
    master.launch();
    wait_for("it can't be ended", || {
        let log = master.log();
        (log.contains("before there are keys") && log.contains("its machine is stopped: it was idle")).then_some(())
    });
    assert_eq!(fake.live().len(), 1);
    std::fs::write(&open, "").expect("the vault");
    wait_for("it is ended", || fake.live().is_empty().then_some(()));
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    assert_eq!(master.stop().code(), Some(0));
    fake.assert_bill_stops();
}
