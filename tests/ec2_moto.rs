//! The real SDK against moto's EC2: launch with tags and token, images by owner, listing, spot, address, volume, stop.
#![cfg(feature = "ec2")]

mod support;

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use buildmoon::base::Secret;
use buildmoon::latent::backend::{Backend, Start};
use buildmoon::latent::ec2::api::{Class, Ec2Api};
use buildmoon::latent::ec2::backend::Ec2Backend;
use buildmoon::latent::ec2::credentials::Keys;
use buildmoon::latent::ec2::image::{Filters, anchored};
use buildmoon::latent::ec2::region::Region;
use buildmoon::latent::ec2::sdk::{Connect, Ec2};
use buildmoon::latent::ec2::settings::{Settings, SpotSettings};
use buildmoon::model::LaunchId;
use support::peers;

struct Moto {
    process: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Moto {
    async fn start() -> Moto {
        let folder = tempfile::tempdir().expect("a folder");
        let image = |id: &str, owner: &str, location: &str| {
            serde_json::json!({ "ami_id": id, "name": id, "description": "", "owner_id": owner, "public": true, "virtualization_type": "hvm",
                "architecture": "x86_64", "state": "available", "platform": null, "image_type": "machine", "hypervisor": "xen",
                "root_device_name": "/dev/sda1", "root_device_type": "ebs", "sriov": "simple", "creation_date": "2026-01-01T00:00:00.000Z",
                "image_location": location })
        };
        let images = serde_json::json!([
            image("ami-00000009", "111111111111", "buildbot-linux-9/image.manifest.xml"),
            image("ami-00000010", "111111111111", "buildbot-linux-10/image.manifest.xml"),
            image("ami-00000099", "222222222222", "buildbot-linux-99/image.manifest.xml"),
        ]);
        let file = folder.path().join("images.json");
        std::fs::write(&file, images.to_string()).expect("images");
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        let process = Command::new(peers::moto_bin().join("moto_server"))
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .env("MOTO_AMIS_PATH", &file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto starts");
        let moto = Moto { process, url: format!("http://127.0.0.1:{port}"), _folder: folder };
        for _ in 0..600 {
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return moto;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("moto does not listen");
    }

    async fn connect(&self) -> Arc<Ec2> {
        let keys = Keys { identifier: Secret::new("AKIAEXAMPLE"), secret: Secret::new("hunter2") };
        let to = Connect { region: "us-east-1".into(), endpoint_url: Some(self.url.clone()), profile: None, keys: Some(keys) };
        Arc::new(Ec2::connect(to).await)
    }
}

fn start(launch: &str) -> Start {
    let (worker, password) = ("bot".into(), Secret::new("x"));
    Start { launch: LaunchId(launch.into()), worker, password, properties: Default::default(), build: Default::default() }
}

#[tokio::test]
async fn an_instance_from_its_launch_to_its_end() {
    let moto = Moto::start().await;
    let api = moto.connect().await;
    let settings = Settings {
        region: "us-east-1".into(),
        instance_types: vec!["m5.large".into()],
        filters: Filters { owners: vec!["111111111111".into()], location: anchored(r"buildbot\-.*\-(\d+)/image.manifest.xml").ok() },
        user_data: Some("#!/bin/sh\necho hello\n".into()),
        tags: vec![("team".into(), "ci".into())],
        placements: vec!["a".into()],
        ..Settings::default()
    };
    let region = Region::new("moto us-east-1".into(), api.clone());
    let backend = Ec2Backend::new("master-1".into(), settings, region);
    let started = backend.start(start("00ab")).await.expect("started");
    let id = started.handle["instance"].as_str().expect("an id").to_owned();

    let there = backend.list().await.expect("a list");
    assert!(there.len() == 1 && &*there[0].launch.0 == "00ab" && there[0].handle["instance"] == id.as_str(), "{there:?}");
    let seen = api.describe(vec![id.clone(), "i-0123456789abcdef0".into()]).await.expect("described");
    assert!(seen.len() == 1 && seen[0].tag("team") == Some("ci") && seen[0].tag("buildmoon:worker") == Some("bot"), "{seen:?}");
    assert!(started.status.contains(&"ami-00000010".to_owned()), "{started:?}");
    assert_eq!(backend.check(there[0].launch.clone(), started.handle.clone()).await, Ok(Ok(())));

    backend.stop(there[0].launch.clone(), started.handle.clone(), false).await.expect("stopped");
    assert!(backend.list().await.expect("a list").is_empty());
    assert!(matches!(backend.check(there[0].launch.clone(), started.handle).await, Ok(Err(why)) if why.contains("terminated")));
}

#[tokio::test]
async fn spot_address_and_errors() {
    let moto = Moto::start().await;
    let api = moto.connect().await;
    assert!(!api.has_key_pair("latent_buildbot_worker".into()).await.expect("key pairs"));
    assert_eq!(api.security_group("latent_buildbot_worker".into()).await.expect("groups"), None);
    let group = api.create_security_group("latent_buildbot_worker".into()).await.expect("a group");
    assert_eq!(api.security_group("latent_buildbot_worker".into()).await.expect("groups"), Some(group));
    assert!(!api.has_address("203.0.113.9".into()).await.expect("addresses"));
    assert!(!api.has_subnet("subnet-00000000".into()).await.expect("subnets"));

    let wrong = api.terminate("i-0123456789abcdef0".into()).await.expect_err("no such instance");
    assert_eq!(wrong.class(), Class::NotFound, "{wrong}");

    let settings = Settings {
        region: "us-east-1".into(),
        instance_types: vec!["m5.large".into()],
        ami: Some("ami-00000009".into()),
        spot: Some(SpotSettings { max_price: Some(0.05), multiplier: Some(1.2), product: "Linux/UNIX".into() }),
        security_name: Some("latent_buildbot_worker".into()),
        ..Settings::default()
    };
    let backend = Ec2Backend::new("master-1".into(), settings.clone(), Region::new("moto".into(), api.clone()));
    backend.start(start("01")).await.expect("a spot instance");
}

#[tokio::test]
async fn nobody_listens() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let keys = Keys { identifier: Secret::new("AKIAEXAMPLE"), secret: Secret::new("hunter2") };
    let to =
        Connect { region: "us-east-1".into(), endpoint_url: Some(format!("http://127.0.0.1:{port}")), profile: None, keys: Some(keys) };
    let api = Ec2::connect(to).await;
    let failed = api.describe(vec!["i-1".into()]).await.expect_err("nobody is there");
    assert!(failed.code.is_none() && !format!("{failed:?}").contains("hunter2"), "{failed:?}");
}
