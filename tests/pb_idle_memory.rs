//! An idle worker costs little: many attached connections, counted at the allocator.

mod pb_support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use buildmoon::wire::banana::Banana;
use buildmoon::wire::jelly::Value;
use buildmoon::workers::pb::{PbServer, bind_tcp};
use bytes::{Bytes, BytesMut};
use pb_support::*;

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const WORKERS: usize = 200;

fn bytes(messages: &[Banana]) -> Vec<u8> {
    let mut out = BytesMut::new();
    messages.iter().for_each(|message| message.encode(&mut out));
    out.to_vec()
}

fn answer(id: i64, value: &Value) -> Banana {
    Banana::List(vec![word("answer"), Banana::Int(id), jelly(value)])
}

/// Reads until that was said; the server runs meanwhile.
async fn heard(stream: &mut std::net::TcpStream, word: &[u8]) {
    stream.set_nonblocking(true).unwrap();
    let (mut said, mut part) = (Vec::new(), [0; 4096]);
    while !said.windows(word.len()).any(|w| w == word) {
        match stream.read(&mut part) {
            Ok(0) => panic!("closed after {:?}", String::from_utf8_lossy(&said)),
            Ok(n) => said.extend_from_slice(&part[..n]),
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
    stream.set_nonblocking(false).unwrap();
}

#[tokio::test]
async fn an_idle_worker_takes_less_than_20_kib() {
    use md5::{Digest, Md5};
    let gate = Arc::new(TestGate { forgetful: true, keepalive: Some(Duration::from_secs(60)), ..TestGate::new() });
    let challenge = [7; 16];
    let server = PbServer::with_fixed_challenge(gate.clone(), challenge);
    let listener = bind_tcp(Some("127.0.0.1"), 0).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { server.serve(listener).await });

    let before = LIVE.load(Ordering::Relaxed);
    let mut streams: Vec<std::net::TcpStream> = (0..WORKERS).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    let response = Md5::new().chain_update(Md5::digest("secret-pw")).chain_update(challenge).finalize().to_vec();
    let call = |id, object, method: &str, args| {
        let args = jelly(&Value::Tuple(args));
        Banana::List(vec![word("message"), Banana::Int(id), object, word(method), Banana::Int(1), args, jelly(&Value::Dict(vec![]))])
    };
    // A long answer, so that a buffer that is kept would show.
    let info = Value::Dict(vec![
        (Value::text("version"), Value::text("4.3.0")),
        (Value::text("odd"), Value::List(vec![Value::text(&"x".repeat(100_000))])),
    ]);
    let builders = Value::Dict(vec![(Value::text("demo"), Value::Remote(2))]);
    for (n, phase) in (0..5).enumerate() {
        for (worker, stream) in streams.iter_mut().enumerate() {
            let name = Value::Bytes(Bytes::from(format!("worker{worker}")));
            let messages = match n {
                0 => vec![word("pb"), Banana::List(vec![word("version"), Banana::Int(6)]), call(1, word("root"), "login", vec![name])],
                1 => vec![call(2, Banana::Int(1), "respond", vec![Value::Bytes(response.clone().into()), Value::Remote(1)])],
                _ => vec![answer(phase - 1, [&Value::None, &info, &builders][n - 2])],
            };
            stream.write_all(&bytes(&messages)).unwrap();
        }
        // What the server says next.
        let words: [&[u8]; 4] = [&challenge, b"print", b"getWorkerInfo", b"setBuilderList"];
        for stream in streams.iter_mut().filter(|_| n < words.len()) {
            heard(stream, words[n]).await;
        }
    }
    let began = std::time::Instant::now();
    while gate.links.lock().unwrap().len() < WORKERS {
        assert!(began.elapsed() < Duration::from_secs(90), "{} of {WORKERS} are attached", gate.links.lock().unwrap().len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let each = (LIVE.load(Ordering::Relaxed) - before) / WORKERS;
    println!("{each} bytes for each idle worker");
    assert!(each < 20 * 1024, "{each} bytes for each idle worker");
}
