//! What the worker port has to bear: other protocols, random bytes, lengths and depths that promise too much, thousands of
//! connections that say nothing, one that reads nothing. Each is closed, with a line in the log; memory stays bounded; a worker builds on.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use support::*;

const CONFIG: &str = r#"
c.collapseRequests = false
c.workers = { Worker{ "w", "pass" } }
local quick, wait = util.BuildFactory(), util.BuildFactory()
quick:addStep(steps.ShellCommand{ name = "say", command = { "echo", "quick" } })
wait:addStep(steps.ShellCommand{ name = "wait", command = "echo begun; while [ -d @DIR@ ] && [ ! -e @DIR@/go ]; do sleep 0.1; done; echo done" })
c.builders = {
  util.BuilderConfig{ name = "quick", workernames = { "w" }, factory = quick },
  util.BuilderConfig{ name = "wait", workernames = { "w" }, factory = wait },
}
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "quick", "wait" } } }
"#;

// Banana: numbers are little endian in base 128, then a byte that says what they are.
const LIST: u8 = 0x80;
const INT: u8 = 0x81;
const STRING: u8 = 0x82;

fn string(text: &str) -> Vec<u8> {
    let mut bytes = vec![text.len() as u8, STRING];
    bytes.extend(text.as_bytes());
    bytes
}

/// The dialect and the version, as a worker sends them before its first call.
fn greeting() -> Vec<u8> {
    [string("pb"), vec![2, LIST], string("version"), vec![6, INT]].concat()
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a time limit");
    stream.set_write_timeout(Some(Duration::from_secs(5))).expect("a time limit");
    stream
}

/// Sends, then waits until the master hangs up.
fn closed_after(master: &Master, what: &str, bytes: &[u8]) {
    let mut stream = connect(master.pb);
    // The write may fail: the master may hang up before all of it is sent.
    let _ = stream.write_all(bytes);
    wait_for(&format!("the master closes: {what}"), || hung_up(&mut stream).then_some(()));
}

fn hung_up(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 4096];
    match stream.read(&mut buffer) {
        Ok(0) => true,
        Ok(_) => false,
        Err(e) => !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted),
    }
}

/// Many connections at a time need more file descriptors than a process has by default.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit of open files");
    assert!(hard >= 4096, "the test needs 4096 open files, the hard limit is {hard} (ulimit -Hn)");
    if soft < 4096 {
        setrlimit(Resource::RLIMIT_NOFILE, 4096, hard).expect("a higher limit of open files");
    }
}

/// `work`, while a build runs and others come and go on a stock worker; none of them may notice.
fn undisturbed(work: impl FnOnce(&Master)) {
    let mut master = Master::start(CONFIG);
    let _worker = Worker::start("4.3.0", "w", "pass", master.pb);
    master.wait_attached("w");
    let long = master.force("wait", json!({}));
    let build = master.wait_build(long, 1);
    master.wait_log_of(&build, "wait", "begun");
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);

    work(&master);

    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    std::fs::write(master.dir().join("go"), "").expect("the file");
    assert_eq!(master.wait_request(long), SUCCESS);
    assert_eq!(master.builds_of(long).len(), 1, "the running build was disturbed");
    assert!(master.alive());
    let log = master.log();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn what_is_no_worker_is_closed_with_a_line_in_the_log() {
    undisturbed(|master| {
        let before = master.log().lines().count();
        let cases: Vec<(&str, Vec<u8>)> = vec![
            ("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
            ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".to_vec()),
            ("a dialect nobody offered", string("none-such")),
            ("a length of 4 GiB", [greeting(), vec![0, 0, 0, 0, 0x10, STRING], vec![b'x'; 1 << 20]].concat()),
            ("a list of 4 G items", [greeting(), vec![0, 0, 0, 0, 0x10, LIST]].concat()),
            ("a number of 100 digits", [greeting(), vec![0x7f; 100], vec![INT]].concat()),
            ("a list 10,000 deep", [greeting(), [1, LIST].repeat(10_000)].concat()),
            ("a list of a million lists", [greeting(), vec![0x40, 0x09, 0x3d, LIST], [0, LIST].repeat(1_000_000)].concat()),
            ("an unknown message", [greeting(), vec![1, LIST], string("explode")].concat()),
            ("a message that is no list", [greeting(), vec![7, INT]].concat()),
        ];
        for (what, bytes) in cases {
            closed_after(master, what, &bytes);
        }
        // One line, not one for each: it is the same stranger, and a log can be flooded too.
        let line = wait_for("a line in the log", || master.log().lines().skip(before).find(|l| l.contains("127.0.0.1")).map(str::to_owned));
        assert!(line.contains("HTTP") || line.contains("dialect") || line.contains("Banana"), "it does not say why: {line}");
    });
}

#[test]
fn random_bytes_close_the_connection_and_nothing_else() {
    undisturbed(|master| {
        // A fixed generator: what fails today fails tomorrow.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for round in 0..200 {
            let mut bytes = if round % 2 == 0 { Vec::new() } else { greeting() };
            let length = 1 + random() % 4000;
            bytes.extend((0..length).map(|_| random() as u8));
            let mut stream = connect(master.pb);
            let _ = stream.write_all(&bytes);
            if round % 3 == 0 {
                let _ = hung_up(&mut stream);
            }
        }
    });
}

#[test]
fn who_begins_and_does_not_go_on_is_closed_in_time() {
    undisturbed(|master| {
        let mut silent = connect(master.pb);
        let mut half = connect(master.pb);
        half.write_all(&[greeting(), vec![5, LIST], string("message")].concat()).expect("half a list");
        // One that keeps the connection busy with a byte now and then is no worker either.
        let mut slow = connect(master.pb);
        let begin = Instant::now();
        let mut sent = 0;
        let mut open = [true; 3];
        while open.contains(&true) {
            assert!(begin.elapsed() < DEADLINE, "still open (silent, half a list, slow): {open:?}");
            if sent < begin.elapsed().as_secs() {
                sent += 1;
                let _ = slow.write_all(&[0]);
            }
            for (stream, open) in [&mut silent, &mut half, &mut slow].into_iter().zip(&mut open) {
                *open = *open && !hung_up(stream);
            }
        }
    });
}

#[test]
fn two_thousand_silent_connections_keep_no_worker_out() {
    let mut master = Master::start(CONFIG);
    // Only for the test's own process: the master has to see to itself.
    raise_file_limit();
    let (before, _) = master.memory();
    let mut crowd = Vec::new();
    for _ in 0..2000 {
        match TcpStream::connect(("127.0.0.1", master.pb)) {
            Ok(stream) => crowd.push(stream),
            Err(e) => panic!("connection {} failed: {e}", crowd.len() + 1),
        }
    }
    let _worker = Worker::start("4.3.0", "w", "pass", master.pb);
    master.wait_attached("w");
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    let (_, peak) = master.memory();
    assert!(peak < before + (64 << 20), "memory grew from {before} to {peak} bytes");
    assert!(master.alive());
    drop(crowd);
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
}

#[test]
fn memory_is_bounded_whatever_is_promised() {
    undisturbed(|master| {
        let (before, _) = master.memory();
        // Each sends what is allowed of a message that never ends, and all of them stay.
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for kind in 0..16 {
                let (over, port) = (&over, master.pb);
                scope.spawn(move || {
                    let mut stream = connect(port);
                    let part = if kind % 2 == 0 {
                        [vec![0x7f, 0x04, STRING], vec![b'x'; 0x7f + 4 * 128]].concat()
                    } else {
                        [vec![0x40, 0x09, LIST], [1, INT].repeat(64)].concat()
                    };
                    let _ = stream.write_all(&[greeting(), vec![0, 0x40, LIST]].concat());
                    let mut sent = 0;
                    while sent < 32 << 20 && !over.load(Ordering::Relaxed) && stream.write_all(&part).is_ok() {
                        sent += part.len();
                    }
                });
            }
            let end = Instant::now() + Duration::from_secs(10);
            while Instant::now() < end {
                let (_, peak) = master.memory();
                assert!(peak < before + (256 << 20), "memory grew from {before} to {peak} bytes");
                std::thread::sleep(Duration::from_millis(100));
            }
            over.store(true, Ordering::Relaxed);
        });
    });
}

#[test]
fn one_that_reads_nothing_is_no_burden() {
    undisturbed(|master| {
        let (before, _) = master.memory();
        // Calls without end, each of which wants an answer, and nobody who takes the answers.
        let mut stream = connect(master.pb);
        let call = |id: u8| {
            [
                vec![7, LIST],
                string("message"),
                vec![id, INT],
                string("root"),
                string("login"),
                vec![1, INT],
                vec![2, LIST],
                string("tuple"),
                string("w"),
                vec![1, LIST],
                string("dictionary"),
            ]
            .concat()
        };
        let mut all = greeting();
        for id in 1..100 {
            all.extend(call(id));
        }
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(20) && stream.write_all(&all).is_ok() {}
        let (_, peak) = master.memory();
        assert!(peak < before + (64 << 20), "memory grew from {before} to {peak} bytes");
    });
}
