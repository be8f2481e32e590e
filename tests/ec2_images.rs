//! Many images through the real SDK: all pages are read, what the provider can narrow is narrowed there, and a page that fails is no answer.
#![cfg(feature = "ec2")]

mod support;

use std::time::{Duration, Instant};

use buildmoon::base::Secret;
use buildmoon::latent::ec2::api::Ec2Api;
use buildmoon::latent::ec2::credentials::Keys;
use buildmoon::latent::ec2::image::{Filters, anchored, choose};
use buildmoon::latent::ec2::sdk::{Connect, Ec2};
use support::ec2::{Act, FakeEc2, Image, When};

const IMAGES: usize = 20_000;

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_images_in_pages() {
    // The server has a runtime of its own, which can't begin within this one.
    let fake = std::thread::spawn(FakeEc2::start).join().expect("a server");
    fake.with(|w| {
        let image = |n: usize| Image::new(&format!("ami-{n:08}"), "111111111111", &format!("111111111111/ci-linux-{}", n * 7919 % IMAGES));
        w.images = (0..IMAGES).map(image).collect();
        let foreign = Image::new("ami-foreign", "222222222222", "222222222222/ci-linux-999999");
        let unborn = Image { state: "pending", ..Image::new("ami-unborn", "111111111111", "111111111111/ci-linux-888888") };
        w.images.extend([foreign, unborn]);
    });
    let keys = Keys { identifier: Secret::new("AKIAEXAMPLE"), secret: Secret::new("hunter2") };
    let to = Connect { region: "us-east-1".into(), endpoint_url: Some(fake.url()), profile: None, keys: Some(keys) };
    let api = Ec2::connect(to).await;
    let owners = vec!["111111111111".to_owned()];

    let began = Instant::now();
    let images = api.images(owners.clone()).await.expect("images");
    assert_eq!((images.len(), fake.calls("DescribeImages").len()), (IMAGES, IMAGES / 1000));
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let filters = Filters { owners: owners.clone(), location: anchored(r"\d+/ci-linux-(\d+)").ok() };
    let chosen = choose(&images, &filters).expect("an image");
    assert!(chosen.location.as_deref().is_some_and(|l| l.ends_with(&format!("ci-linux-{}", IMAGES - 1))), "{chosen:?}");

    fake.fault("DescribeImages", When::Page(7), Act::Error("UnauthorizedOperation"));
    let failed = api.images(owners).await.expect_err("a page is missing");
    assert_eq!(failed.code.as_deref(), Some("UnauthorizedOperation"));
}
