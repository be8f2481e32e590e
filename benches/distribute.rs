//! The choice of what starts where, with 10,000 requests waiting: 200 builders over 100 workers.

use std::collections::HashMap;
use std::hint::black_box;

use buildmoon::base::{BuilderId, RequestId, Timestamp};
use buildmoon::builds::distribute::{Room, Situation, Waiting, order, plan};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

const BUILDERS: i64 = 200;
const REQUESTS_EACH: i64 = 50;
const WORKERS: usize = 100;

/// `free` of the workers have room.
fn situation(free: usize) -> Situation {
    let workers: Vec<String> = (0..WORKERS).map(|i| format!("worker-{i}")).collect();
    let builders = (0..BUILDERS)
        .map(|b| Waiting {
            builder: BuilderId(b),
            name: format!("builder-{b}"),
            priority: b % 3,
            since: Timestamp(b * 7919 % 1000),
            requests: (0..REQUESTS_EACH).map(|r| RequestId(b * REQUESTS_EACH + r)).collect(),
            workers: workers.clone(),
            wishes: Vec::new(),
        })
        .collect();
    let rooms: HashMap<String, Room> = workers.into_iter().take(free).map(|w| (w, Room { more: Some(4), running: 0 })).collect();
    Situation { builders, rooms, askable: HashMap::new() }
}

fn distribution(c: &mut Criterion) {
    for free in [0, 1, WORKERS] {
        c.bench_function(&format!("10,000 requests, {free} workers free"), |b| {
            let mut random = fastrand::Rng::with_seed(1);
            let make = || situation(free);
            b.iter_batched(
                make,
                |mut situation| {
                    order(&mut situation.builders, None);
                    black_box(plan(&mut situation, &mut random));
                    situation
                },
                BatchSize::LargeInput,
            );
        });
    }
}

criterion_group!(benches, distribution);
criterion_main!(benches);
