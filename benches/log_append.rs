//! What a large log costs: 100 MB of lines of 80 bytes in pieces as a worker sends them, and reading them back.

use std::hint::black_box;

use buildmoon::base::{LogId, StepId};
use buildmoon::model::build::Stream;
use buildmoon::model::{Log, LogKind};
use buildmoon::store::{LogLimits, Store, StoreOptions};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::TryStreamExt;

const SIZE: usize = 100_000_000;
const LINE: usize = 80;
const PIECE: usize = 65_536;

/// Lines that differ, as those of a compiler do.
fn content() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SIZE);
    for n in 0..SIZE / LINE {
        let name = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bytes.extend_from_slice(format!("{n:09} compiling src/module_{:05}/part_{name:016x}.c with flags ", n / 40 % 100_000).as_bytes());
        let fill = LINE - 1 - bytes.len() % LINE;
        bytes.extend(std::iter::repeat_n(b'x', fill));
        bytes.push(b'\n');
    }
    bytes
}

fn log(store: &Store) -> Log {
    let id: LogId = store.next_log_id();
    Log { id, step: StepId(1), name: "stdio".into(), slug: "stdio".into(), kind: LogKind::Stdio, complete: false, num_lines: 0 }
}

fn write(store: &Store, log: Log, bytes: &[u8]) -> Log {
    let mut writer = store.log_writer(log, LogLimits::default());
    for piece in bytes.chunks(PIECE) {
        writer.append(Stream::Stdout, piece).expect("append");
    }
    writer.finish().expect("finish")
}

fn log_append(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    let folder = tempfile::tempdir().expect("folder");
    let options = StoreOptions { database: folder.path().join("state.sqlite"), logs: folder.path().join("logs") };
    let store = runtime.block_on(Store::open(options)).expect("store");
    let bytes = content();

    let mut group = criterion.benchmark_group("log");
    group.sample_size(10).throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("append 100 MB", |bencher| {
        bencher.iter_batched(|| log(&store), |log| write(&store, log, black_box(&bytes)), BatchSize::PerIteration);
    });
    let written = write(&store, log(&store), &bytes);
    group.bench_function("read 100 MB raw", |bencher| {
        bencher.iter(|| {
            let length = runtime.block_on(async {
                let raw = store.log_raw(written.id).await.expect("raw");
                raw.try_fold(0, |length, chunk| async move { Ok(length + chunk.len()) }).await.expect("content")
            });
            assert_eq!(length, bytes.len());
        });
    });
    group.finish();
    runtime.block_on(store.close());
}

criterion_group!(benches, log_append);
criterion_main!(benches);
