//! What a peer may send, through banana, jelly and the broker: `cargo fuzz run wire`.

#![no_main]

use buildmoon::wire::banana::{Decoder, Limits};
use buildmoon::wire::jelly::{Value, updates};
use buildmoon::wire::pb::{Broker, Event, Refusal};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut decoder = Decoder::new(Limits::WORKER);
    let mut broker = Broker::<(), ()>::new();
    broker.call(1, "print", &[], &[], ());
    for piece in bytes.chunks(7) {
        decoder.buffer().extend_from_slice(piece);
        loop {
            let Ok(value) = decoder.decode() else { return };
            let Some(value) = value else { break };
            if let Ok(value) = Value::from_banana(value.clone()) {
                updates(value);
            }
            match broker.receive(value) {
                Ok(Some(Event::Call(call))) => broker.refuse(call.reply, &Refusal::NoSuchObject),
                Ok(_) => {}
                Err(_) => return,
            }
            broker.output().clear();
        }
    }
});
