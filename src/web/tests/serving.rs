//! Clients that are slow, silent, many, or read nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Web;
use super::fake::Fake;
use crate::web::router;
use crate::web::serve::{Limits, serve_tcp_within};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let web = Web::start().await;
    let mut stream = web.connect().await;
    for _ in 0..3 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut got = [0; 1024];
        let count = stream.read(&mut got).await.unwrap();
        assert!(got[..count].starts_with(b"HTTP/1.1 200 OK") && got[..count].ends_with(b"\r\n\r\nok\n"));
    }
}

#[tokio::test]
async fn a_head_that_comes_slowly_is_cut_off() {
    let web = Web::within(Limits { head: Duration::from_millis(200), ..Limits::default() }).await;
    let mut stream = web.connect().await;
    let mut all = vec![];
    stream.write_all(b"GET /hea").await.unwrap();
    timeout(SOON, stream.read_to_end(&mut all)).await.expect("the server hangs up").unwrap();
}

#[tokio::test]
async fn a_silent_crowd_locks_nobody_out() {
    let web = Web::within(Limits { connections: 8, ..Limits::default() }).await;
    let mut crowd = vec![];
    for _ in 0..40 {
        crowd.push(web.connect().await);
    }
    assert_eq!(timeout(SOON, web.get("/healthz")).await.expect("served").status, 200);
    // the oldest went
    let mut all = vec![];
    timeout(SOON, crowd[0].read_to_end(&mut all)).await.expect("hung up").unwrap();
}

#[tokio::test]
async fn who_reads_nothing_is_waited_for_without_memory_and_then_cut_off() {
    let web = Web::within(Limits { stall: Duration::from_millis(500), ..Limits::default() }).await;
    let mut stream = web.connect().await;
    stream.write_all(b"GET /api/v2/logs/9/raw HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    let pieces = || web.fake.pieces.load(Ordering::Relaxed);
    // until the buffers of the two sockets are full
    let mut last = 0;
    while pieces() != last {
        last = pieces();
        sleep(Duration::from_millis(100)).await;
    }
    assert!(last < 1000, "{last} pieces of 64 KiB for nobody");
    sleep(Duration::from_millis(900)).await;
    let mut all = vec![];
    let end = timeout(SOON, stream.read_to_end(&mut all)).await.expect("hung up");
    assert!(end.is_err() || !all.ends_with(b"0\r\n\r\n"), "it must not look whole");
    assert!(pieces() <= last + 1);
}

#[tokio::test]
async fn busy_connections_are_not_sent_away() {
    let web = Web::within(Limits { connections: 2, ..Limits::default() }).await;
    let mut download = web.connect().await;
    download.write_all(b"GET /api/v2/logs/9/raw HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut some = vec![0; 1 << 20];
    download.read_exact(&mut some).await.unwrap();
    for _ in 0..10 {
        assert_eq!(web.get("/healthz").await.status, 200);
    }
    for _ in 0..20 {
        download.read_exact(&mut some).await.unwrap();
    }
}

#[tokio::test]
async fn rubbish_harms_nobody() {
    let web = Web::start().await;
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(200_000));
    for text in
        ["\r\n\r\n\r\n\r\n", "\u{0}\u{1}\u{2}\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET /api/v2/builders HTTP/1.1\r\nA\r\n\r\n", &long]
    {
        let mut stream = web.connect().await;
        // the server may hang up before all is sent
        _ = stream.write_all(text.as_bytes()).await;
        _ = stream.shutdown().await;
        let mut all = vec![];
        _ = timeout(SOON, stream.read_to_end(&mut all)).await.expect("hung up");
        assert!(all.is_empty() || all.starts_with(b"HTTP/1.1 4"), "{:?}", String::from_utf8_lossy(&all));
    }
    assert_eq!(web.get("/healthz").await.status, 200);
}

/// Also while all places are taken and one more waits.
#[tokio::test]
async fn a_port_is_given_up_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (limits, stop) = (Limits { connections: 1, ..Limits::default() }, CancellationToken::new());
    let served = tokio::spawn(serve_tcp_within(listener, router(Arc::new(Fake::new())), limits, stop.clone()));
    let mut download = TcpStream::connect(address).await.unwrap();
    download.write_all(b"GET /api/v2/logs/9/raw HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    download.read_exact(&mut [0; 12]).await.unwrap();
    let mut waits = TcpStream::connect(address).await.unwrap();
    sleep(Duration::from_millis(200)).await;
    stop.cancel();
    timeout(SOON, waits.read_to_end(&mut vec![])).await.expect("it still waits").ok();
    assert!(TcpStream::connect(address).await.is_err(), "somebody listens");
    // Who has a place is served to the end.
    download.read_exact(&mut vec![0; 1 << 20]).await.unwrap();
    assert!(!served.is_finished());
    served.abort();
}
