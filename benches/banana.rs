//! How long does one update of 64 KiB take from bytes to text?

use buildmoon::wire::banana::{Banana, Decoder, Limits};
use buildmoon::wire::jelly::{Value, updates};
use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn update() -> Bytes {
    let text = Value::Text(vec![b'x'; 65_536].into());
    let dict = Value::Dict(vec![(Value::text("stdout"), text)]);
    let args = Value::Tuple(vec![Value::List(vec![Value::List(vec![dict, Value::Int(0)])])]);
    let mut decoder = Decoder::new(Limits::WORKER);
    args.encode(decoder.buffer());
    let args = decoder.decode().ok().flatten().unwrap_or(Banana::Int(0));
    let word = |text: &'static str| Banana::Bytes(Bytes::from_static(text.as_bytes()));
    let kwargs = Banana::List(vec![word("dictionary")]);
    let mut out = BytesMut::new();
    Banana::List(vec![word("message"), Banana::Int(4), Banana::Int(3), word("update"), Banana::Int(1), args, kwargs]).encode(&mut out);
    out.freeze()
}

fn decode(c: &mut Criterion) {
    let bytes = update();
    let mut group = c.benchmark_group("banana");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("decode a 64 KiB update", |b| {
        let mut decoder = Decoder::new(Limits::WORKER);
        b.iter(|| {
            decoder.buffer().extend_from_slice(&bytes);
            let Ok(Some(Banana::List(mut message))) = decoder.decode() else { panic!("it decodes") };
            let args = Value::from_banana(message.swap_remove(5)).ok().and_then(Value::into_items).unwrap_or_default();
            args.into_iter().map(updates).map(|found| found.len()).sum::<usize>()
        })
    });
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
