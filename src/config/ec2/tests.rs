//! What `EC2LatentWorker` makes of its arguments, and what it says is wrong with them.

use std::time::Duration;

use super::*;
use crate::config::MasterConfig;
use crate::config::testing::{mistakes_of, object, table};
use crate::config::{SaidAt, Table, assemble};

fn worker(args: Table) -> Arc<Object> {
    object("EC2LatentWorker", 3, args)
}

fn plain() -> Table {
    table!["bot", "sekrit", "m5.large"; ami = "ami-1"]
}

fn with(name: &str, value: Value) -> Table {
    let mut args = plain();
    args.named.insert(name.into(), value);
    args
}

fn config(workers: Vec<Arc<Object>>, named: &str) -> Result<MasterConfig, Vec<String>> {
    let factory = object("BuildFactory", 9, Table::default());
    let builder = object("BuilderConfig", 9, table![; name = "b", workername = named, factory = &factory]);
    let mut objects = workers.clone();
    objects.extend([factory, builder.clone()]);
    let list = |items: Vec<Arc<Object>>| Table { items: items.iter().map(Value::from).collect(), ..Table::default() };
    let root = table![; workers = list(workers), builders = list(vec![builder])];
    assemble(&root, &Default::default(), &objects, SaidAt::default()).map_err(|all| all.iter().map(|m| m.text.clone()).collect())
}

fn spec(args: Table) -> (Arc<super::super::LatentSpec>, Arc<Ec2Spec>) {
    let config = config(vec![worker(args)], "bot").expect("right");
    let WorkerKind::Latent(latent) = &config.workers[0].kind else { panic!("no latent worker") };
    let BackendSpec::Ec2(ec2) = &latent.backend else { panic!("{:?}", latent.backend) };
    (latent.clone(), ec2.clone())
}

#[test]
fn what_is_left_out() {
    let (latent, ec2) = spec(plain());
    assert_eq!((latent.build_wait_timeout, latent.warm), (Some(Duration::from_secs(600)), false));
    assert_eq!(
        (ec2.region.as_str(), ec2.keypair_name.as_deref(), ec2.security_name.as_deref()),
        ("us-east-1", Some(KEY_PAIR), Some(KEY_PAIR))
    );
    let config = config(vec![worker(plain())], "bot").unwrap();
    assert_eq!(config.workers[0].missing_timeout, Some(Duration::from_secs(1200)));
}

#[test]
fn groups_and_lists() {
    let (_, ec2) = spec(with("subnet_id", table!["subnet-1", "subnet-2"].into()));
    assert_eq!((ec2.security_name.as_deref(), ec2.subnet_ids.len()), (None, 2));
    for (name, value) in
        [("subnet_id", Value::from("subnet-1")), ("security_group_ids", table!["sg-1"].into()), ("security_name", Value::None)]
    {
        let mut args = with("associate_public_ip", false.into());
        args.named.insert(name.into(), value);
        assert_eq!(spec(args).1.associate_public_ip, Some(false));
    }
    let (_, ec2) = spec(with("keypair_name", Value::None));
    assert_eq!(ec2.keypair_name, None);
    let mut args = plain();
    args.named.remove("ami");
    args.named.insert("valid_ami_owners".into(), table![11111111111_i64, "222222222222"].into());
    args.named.insert("valid_ami_location_regex".into(), r"buildbot\-.*\-(\d+)/image.manifest.xml".into());
    let (_, ec2) = spec(args);
    assert_eq!(ec2.owners, ["011111111111", "222222222222"]);
    let location = ec2.location.as_ref().unwrap();
    assert!(location.is_match("buildbot-x-3/image.manifest.xml") && !location.is_match("my-buildbot-x-3/image.manifest.xml"));
    let ebs = table![; VolumeSize = 50, VolumeType = "gp3"];
    let (_, ec2) = spec(with("block_device_map", table![table![; DeviceName = "/dev/xvda", Ebs = ebs]].into()));
    assert_eq!((ec2.block_devices[0].volume_size_gib, ec2.block_devices[0].device_name.as_str()), (Some(50), "/dev/xvda"));
    let (_, ec2) = spec(with("volumes", table![table!["vol-1", "/dev/xvdb"]].into()));
    assert_eq!(ec2.volumes, [("vol-1".to_owned(), "/dev/xvdb".to_owned())]);
}

#[test]
fn what_is_wrong_is_told() {
    let two = |a: (&str, Value), b: (&str, Value)| {
        let mut args = with(a.0, a.1);
        args.named.insert(b.0.into(), b.1);
        args
    };
    for (args, expected) in [
        (table!["bot", "x", "m5.large"], "must say which image is started"),
        (with("valid_ami_owners", 1.into()), "'ami' names the image"),
        (with("valid_ami_owners", table![1, "2222-oops"].into()), "valid_ami_owners[2] must be an account number, got \"2222-oops\""),
        (with("valid_ami_location_regex", "(?=x)".into()), "look-around"),
        (with("identifier", "AKIA".into()), "'identifier' is given without 'secret_identifier'"),
        (with("secret_identifier", "x".into()), "'secret_identifier' is given without 'identifier'"),
        (two(("security_name", "sg".into()), ("subnet_id", "subnet-1".into())), "'security_name' has no meaning in a subnet"),
        (with("associate_public_ip", true.into()), "'associate_public_ip' needs 'security_group_ids'"),
        (two(("profile", "ci".into()), ("aws_id_file_path", "keys".into())), "both 'aws_id_file_path' and 'profile' are given"),
        (with("placement", "us-east-1a".into()), "'placement' must be the letter of a zone"),
        (with("tags", table![; x = 1].into()), "tags.x must be text"),
        (with("volumes", table![table!["vol-1"]].into()), "volumes[1] must be a pair"),
        (
            with("block_device_map", table![table![; DeviceName = "x", Ebs = table![; Size = 1]]].into()),
            "block_device_map[1].Ebs: unknown key 'Size'",
        ),
        (with("max_spot_price", Value::Float(f64::NAN)), "'max_spot_price' must be a number above 0"),
        (with("pool", table![; max = 0].into()), "pool: 'max' must be a whole number ≥ 1"),
        (with("pool", table![; max = 2, min = 3].into()), "pool: 'min' (3) must not be more than 'max' (2)"),
        (with("missing_timeout", Value::None), "'missing_timeout' must be longer than 0"),
        (with("user_data", "x".repeat(20_000).as_str().into()), "'user_data' must not be longer than 16384 bytes"),
    ] {
        let told = mistakes_of(&worker(args)).join("\n");
        assert!(told.contains(expected), "{expected}: {told}");
    }
    let told = mistakes_of(&worker(with("identifier", "hunter2".into()))).join("\n");
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn a_pool_is_many_workers() {
    let config = config(vec![worker(with("pool", table![; max = 3, min = 1].into()))], "bot").unwrap();
    let names: Vec<&str> = config.workers.iter().map(|w| w.name.as_str()).collect();
    assert_eq!(names, ["bot-1", "bot-2", "bot-3"]);
    assert_eq!(config.builders[0].workers, ["bot-1", "bot-2", "bot-3"]);
    let warm = |w: &crate::config::WorkerSpec| matches!(&w.kind, WorkerKind::Latent(l) if l.warm);
    assert_eq!(config.workers.iter().map(|w| warm(w)).collect::<Vec<_>>(), [true, false, false]);
}

#[test]
fn an_instance_that_was_made_for_a_build_serves_no_other() {
    let differs = || Value::from(&object("Interpolate", 5, table!["%(prop:size)s"]));
    let mut args = plain();
    args.named.insert("tags".into(), table![; size = differs()].into());
    args.named.insert("build_wait_timeout".into(), Value::Int(60));
    let config = config(vec![worker(args)], "bot").unwrap();
    let WorkerKind::Latent(latent) = &config.workers[0].kind else { panic!("no latent worker") };
    assert_eq!((latent.build_wait_timeout, config.workers[0].max_builds), (Some(Duration::ZERO), Some(1)));
    assert!(config.warnings.iter().any(|w| w.text.contains("'build_wait_timeout' has no effect: 'tags' differs")), "{:?}", config.warnings);
    let mut args = with("pool", table![; max = 3, min = 1].into());
    args.named.insert("ami".into(), differs());
    let told = mistakes_of(&worker(args)).join("\n");
    assert!(told.contains("'min' keeps machines that no build asked for, and 'ami' differs"), "{told}");
}

#[test]
fn a_name_within_a_pool_is_taken_once() {
    let other = object("Worker", 4, table!["bot-2", "x"]);
    let told = config(vec![worker(with("pool", table![; max = 3].into())), other], "bot").unwrap_err();
    assert!(told.iter().any(|t| t.contains("the name 'bot-2' of a worker of its pool is taken already")), "{told:?}");
}

#[test]
fn the_old_class_has_its_own_defaults() {
    let old = object("EC2LatentBuildSlave", 3, plain());
    let config = config(vec![old], "bot").unwrap();
    let WorkerKind::Latent(latent) = &config.workers[0].kind else { panic!("no latent worker") };
    let BackendSpec::Ec2(ec2) = &latent.backend else { panic!("{:?}", latent.backend) };
    assert_eq!((ec2.keypair_name.as_deref(), ec2.security_name.as_deref()), (Some(OLD_KEY_PAIR), Some(OLD_KEY_PAIR)));
    assert!(config.warnings.iter().any(|w| w.text.contains("old spelling of 'EC2LatentWorker'")));
}
