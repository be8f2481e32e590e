//! What is asked of EC2 through the real SDK: calls without keys, a volume that is attached already, a public address.
#![cfg(feature = "ec2")]

mod support;

use buildmoon::base::Secret;
use buildmoon::latent::ec2::api::{Class, Ec2Api, RunInstance};
use buildmoon::latent::ec2::credentials::Keys;
use buildmoon::latent::ec2::sdk::{Connect, Ec2};
use support::ec2::{Act, FakeEc2, When};

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
