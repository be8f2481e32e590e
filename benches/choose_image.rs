//! The choice of an image among 100,000.

use std::hint::black_box;

use buildmoon::latent::ec2::image::{Filters, Image, anchored, choose};
use criterion::{Criterion, criterion_group, criterion_main};

const IMAGES: usize = 100_000;

fn choice(c: &mut Criterion) {
    let image = |n: usize| Image {
        id: format!("ami-{n:017x}"),
        location: Some(format!("111111111111/buildbot-linux-{}/image.manifest.xml", n * 7919 % IMAGES)),
        owner: "111111111111".into(),
        state: "available".into(),
        keeps: Vec::new(),
    };
    let images: Vec<Image> = (0..IMAGES).map(image).collect();
    for (name, regex) in [("by number", r"\d+/buildbot-.*-(\d+)/image"), ("by location", r"\d+/buildbot-")] {
        let filters = Filters { owners: vec!["111111111111".into()], location: anchored(regex).ok() };
        c.bench_function(&format!("100,000 images, {name}"), |b| b.iter(|| black_box(choose(&images, &filters)).is_ok()));
    }
}

criterion_group!(benches, choice);
criterion_main!(benches);
