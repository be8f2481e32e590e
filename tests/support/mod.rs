//! What the tests of the real program share: a master to start, stop and kill; stock workers to attach; a small HTTP client.
//!
//! Nothing here skips: what can't be had fails the test with a text that says what is missing. Success is waited for with
//! a deadline, never slept for. The peers are installed below `target/peers/`, once (see [`peers`]).

#![allow(dead_code, unused_imports)] // each test file is a program of its own and uses a part

pub mod conformance;
pub mod debian;
pub mod docker;
pub mod ec2;
pub mod emmylua;
pub mod http;
pub mod libvirt;
pub mod machine;
pub mod master;
pub mod opensmtpd;
pub mod openstack;
pub mod pb;
pub mod peers;
pub mod rack;
pub mod reports;
pub mod smtp;
pub mod sshd;
pub mod worker;

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

pub use http::Http;
pub use master::{Master, buildmoon, signal};
pub use smtp::MailSink;
pub use worker::Worker;

/// Generous, since the machine may be busy; a test that succeeds never waits that long.
pub const DEADLINE: Duration = Duration::from_secs(90);

pub const SUCCESS: i64 = 0;
pub const WARNINGS: i64 = 1;
pub const FAILURE: i64 = 2;
pub const SKIPPED: i64 = 3;
pub const EXCEPTION: i64 = 4;
pub const RETRY: i64 = 5;
pub const CANCELLED: i64 = 6;

/// Asks until there is an answer.
pub fn wait_for<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    wait_within(DEADLINE, what, probe)
}

pub fn wait_within<T>(limit: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(start.elapsed() < limit, "{what}: not so after {} s", limit.as_secs());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A port nobody listens on. It lies below the range from which outgoing connections take theirs, so that a client of
/// another test can't get it between here and its use.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() as u16).wrapping_mul(61);
    for _ in 0..20_000 {
        let port = 11_000 + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        if TcpListener::bind(("0.0.0.0", port)).is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free TCP port between 11000 and 31000")
}

/// The same configuration, but for how often machines that nobody knows are looked for: where the test asks for it, it is the one to find
/// them.
pub fn reaped_by_hand(lua: &str) -> String {
    let often = "c.reap_interval = 10\n";
    assert!(lua.contains(often), "no '{often}' in {lua}");
    lua.replace(often, "c.reap_interval = 3600\n")
}

/// A test per version of the stock worker for each function named: `fn scenario(version: &str)` becomes the tests
/// `v2_10_5::scenario`, `v3_11_9::scenario`, `v4_3_0::scenario`.
#[macro_export]
macro_rules! for_each_version {
    ($($scenario:ident),+ $(,)?) => {
        mod v2_10_5 { $(#[test] fn $scenario() { super::$scenario("2.10.5") })+ }
        mod v3_11_9 { $(#[test] fn $scenario() { super::$scenario("3.11.9") })+ }
        mod v4_3_0 { $(#[test] fn $scenario() { super::$scenario("4.3.0") })+ }
    };
}
