//! What is put into the outbox arrives: in the order of its lane, once, whatever dies in between. Against aiosmtpd and a small
//! HTTP server; how mails look and what relays answer is in `mail_delivery.rs`.
//!
//! The sending process that is killed is this program itself, started again with a task in its environment.

mod support;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use buildmoon::base::{MailAddress, SystemClock};
use buildmoon::config::MailSpec;
use buildmoon::lua;
use buildmoon::model::{NewOutboxItem, OutboxState};
use buildmoon::report::sending::courier::Courier;
use buildmoon::report::sending::mail::Mail;
use buildmoon::report::sending::mailer::{MailSender, Surroundings};
use buildmoon::report::sending::outbox::{Outbox, Outcome, Policy, Sender};
use buildmoon::report::sending::smtp::Limits;
use buildmoon::secrets::SecretSource;
use buildmoon::store::{Store, StoreOptions};
use serde_json::{Value, json};
use support::{MailSink, wait_for};
use tempfile::TempDir;

const FAST: Policy = Policy {
    first: Duration::from_millis(20),
    longest: Duration::from_millis(100),
    patience: Duration::from_secs(3600),
    grace: Duration::ZERO,
    lane_waits: Duration::from_secs(3600),
};

async fn open(folder: &Path) -> Store {
    Store::open(StoreOptions { database: folder.join("state.sqlite"), logs: folder.join("logs") }).await.unwrap()
}

async fn mailer(folder: &Path, port: u16) -> Box<dyn Sender> {
    std::fs::write(folder.join("master.lua"), "").unwrap();
    let loaded = lua::load(lua::LoadOptions::new(folder)).await.unwrap();
    let secrets = SecretSource::new(loaded.config, loaded.generation);
    let around = Surroundings { master_id: "m".into(), folder: folder.to_owned(), secrets };
    let spec = MailSpec {
        fromaddr: MailAddress::parse("bot@example.test").unwrap(),
        relayhost: "127.0.0.1".into(),
        smtp_port: port,
        ..MailSpec::default()
    };
    let limits = Limits { connect: Duration::from_secs(20), command: Duration::from_secs(60), end: Duration::from_secs(60) };
    Box::new(MailSender::new(spec, around, limits, courier(folder, &format!("mail {port}"))))
}

fn courier(folder: &Path, reporter: &str) -> Courier {
    Courier::of_program(env!("CARGO_BIN_EXE_buildmoon").into(), &folder.join("outbox"), reporter)
}

fn mail(reporter: &str, lane: &str, number: usize) -> NewOutboxItem {
    mail_of(reporter, lane, number, "It failed.")
}

fn mail_of(reporter: &str, lane: &str, number: usize, text: &str) -> NewOutboxItem {
    let mail = Mail {
        from: "bot@example.test".into(),
        to: vec!["anna@example.test".into()],
        subject: format!("{lane} {number}"),
        text: Some(text.into()),
        ..Mail::default()
    };
    NewOutboxItem { reporter: reporter.into(), key: format!("{lane} {number}"), lane: lane.into(), payload: mail.to_payload().unwrap() }
}

/// Lane and number of each mail in the order of arrival.
fn subjects(sink: &MailSink) -> Vec<(String, usize)> {
    let one = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let line = text.lines().find_map(|l| l.strip_prefix("Subject: ")).expect("a subject");
        let (lane, number) = line.rsplit_once(' ').expect("lane and number");
        (lane.to_owned(), number.parse().expect("a number"))
    };
    sink.arrived().iter().map(|a| one(&a.bytes)).collect()
}

fn message_ids(sink: &MailSink) -> Vec<String> {
    let one = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        text.lines().find_map(|l| l.strip_prefix("Message-ID: ")).expect("an id").to_owned()
    };
    sink.arrived().iter().map(|a| one(&a.bytes)).collect()
}

#[track_caller]
fn in_order(all: &[(String, usize)]) {
    let mut next: BTreeMap<&str, usize> = BTreeMap::new();
    for (lane, number) in all {
        let expected = next.entry(lane).or_default();
        assert_eq!(number, expected, "of lane {lane}");
        *expected += 1;
    }
}

async fn until<T, F: Future<Output = Option<T>>>(what: &str, probe: impl Fn() -> F) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(start.elapsed() < support::DEADLINE, "{what}: not so in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn waiting(store: &Store) -> u64 {
    store.outbox_counts().await.unwrap().iter().map(|c| c.waiting).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_down_for_ten_tries_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = MailSink::create(json!({}));
    let store = open(folder.path()).await;
    let outbox = Outbox::new(store.clone(), Arc::new(SystemClock), FAST);
    outbox.configure(vec![("mail".into(), mailer(folder.path(), sink.port).await)]);
    let items = (0..6).map(|n| mail("mail", if n % 2 == 0 { "linux" } else { "mac" }, n / 2)).collect();
    outbox.put(items, vec![]).await.unwrap();
    let tries = || async {
        let all = store.outbox(Some(OutboxState::Waiting), 10).await.unwrap();
        Some(all).filter(|all| all.iter().map(|i| i.attempts).sum::<u32>() >= 10)
    };
    let all = until("ten tries", tries).await;
    assert!(all.iter().any(|i| i.last_error.as_deref().is_some_and(|e| e.contains("refused"))), "{all:?}");
    assert!(all.iter().all(|i| i.failing_since.is_some()));
    let sink = tokio::task::spawn_blocking(move || {
        sink.launch();
        sink
    });
    let sink = sink.await.unwrap();
    until("all are sent", || async { (waiting(&store).await == 0).then_some(()) }).await;
    in_order(&subjects(&sink));
    assert_eq!(sink.count(), 6);
    outbox.close(Duration::from_secs(5)).await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_and_a_slow_relay_delay_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let (good, slow) = (MailSink::start(), MailSink::start());
    slow.script(json!({ "delay": 3600 }));
    // Takes connections and says nothing.
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let store = open(folder.path()).await;
    let outbox = Outbox::new(store.clone(), Arc::new(SystemClock), FAST);
    outbox.configure(vec![
        ("dead".into(), mailer(folder.path(), dead.local_addr().unwrap().port()).await),
        ("slow".into(), mailer(folder.path(), slow.port).await),
        ("good".into(), mailer(folder.path(), good.port).await),
    ]);
    let items = (0..30).map(|n| mail(["dead", "slow", "good"][n % 3], "linux", n / 3)).collect();
    let start = Instant::now();
    outbox.put(items, vec![]).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "who puts waits for no relay");
    until("the good relay has all", || async { (good.count() == 10).then_some(()) }).await;
    in_order(&subjects(&good));
    assert_eq!(slow.count(), 0);
    outbox.close(Duration::ZERO).await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_mail_that_can_not_be_sent_is_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    let sink = MailSink::start();
    sink.script(json!({ "rcpt": { "full@example.test": "452 mailbox full", "gone@example.test": "550 no such user" } }));
    let store = open(folder.path()).await;
    let outbox = Outbox::new(store.clone(), Arc::new(SystemClock), FAST);
    outbox.configure(vec![("mail".into(), mailer(folder.path(), sink.port).await)]);
    let to = |address: &str, lane: &str, number| {
        let item = mail("mail", lane, number);
        NewOutboxItem { payload: item.payload.replace("anna@example.test", address), ..item }
    };
    let some = |address: &str, lane: &str, number| {
        let item = mail("mail", lane, number);
        NewOutboxItem { payload: item.payload.replace("\"anna@example.test\"", &format!("\"anna@example.test\",\"{address}\"")), ..item }
    };
    // Of one lane: one whose only recipient is put off; of another: one who is put off among two.
    outbox.put(vec![to("full@example.test", "stuck", 0), mail("mail", "stuck", 1)], vec![]).await.unwrap();
    outbox.put(vec![some("full@example.test", "part", 0), mail("mail", "part", 1)], vec![]).await.unwrap();
    outbox.put(vec![to("gone@example.test", "refused", 0), mail("mail", "refused", 1)], vec![]).await.unwrap();
    until("what can be sent is sent", || async { (sink.count() >= 3).then_some(()) }).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut arrived = subjects(&sink);
    arrived.sort();
    // The lane of the one that nobody has waits; where somebody has it, or where it is given up, it goes on.
    let name = |lane: &str, n| (lane.to_owned(), n);
    let partly = arrived.clone();
    assert!(partly.contains(&name("part", 0)) && partly.contains(&name("part", 1)) && partly.contains(&name("refused", 1)), "{partly:?}");
    assert!(!partly.contains(&name("stuck", 1)), "{partly:?}");
    let given_up = store.outbox(Some(OutboxState::GivenUp), 10).await.unwrap();
    assert_eq!(given_up.len(), 1);
    assert_eq!(given_up[0].last_error.as_deref(), Some("gone@example.test: 550 no such user"));
    sink.script(json!({}));
    until("all the rest is sent", || async { (waiting(&store).await == 0).then_some(()) }).await;
    let all = subjects(&sink);
    assert_eq!(all.iter().filter(|s| **s == name("part", 0)).count(), 2, "each of its recipients once");
    let position = |s: (String, usize)| all.iter().position(|x| *x == s).expect("it arrived");
    assert!(position(name("stuck", 0)) < position(name("stuck", 1)));
    outbox.close(Duration::from_secs(5)).await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn patience_ends_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let policy = Policy { patience: Duration::from_millis(300), ..FAST };
    let outbox = Outbox::new(store.clone(), Arc::new(SystemClock), policy);
    outbox.configure(vec![("mail".into(), mailer(folder.path(), support::free_port()).await)]);
    outbox.put((0..120).map(|n| mail("mail", "linux", n)).collect(), vec![]).await.unwrap();
    until("all are given up", || async { (waiting(&store).await == 0).then_some(()) }).await;
    let counts = store.outbox_counts().await.unwrap();
    assert_eq!((counts.len(), counts[0].given_up), (1, 120));
    // The same is not queued again.
    outbox.put(vec![mail("mail", "linux", 7)], vec![]).await.unwrap();
    assert_eq!(waiting(&store).await, 0);
    outbox.close(Duration::from_secs(5)).await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_is_taken_over_while_mails_wait() {
    let folder = tempfile::tempdir().unwrap();
    let sink = MailSink::start();
    let store = open(folder.path()).await;
    let slow = Policy { first: Duration::from_secs(3600), longest: Duration::from_secs(3600), ..FAST };
    let outbox = Outbox::new(store.clone(), Arc::new(SystemClock), slow);
    outbox.configure(vec![("mail".into(), mailer(folder.path(), support::free_port()).await)]);
    outbox.put(vec![mail("mail", "linux", 0), mail("mail", "linux", 1)], vec![]).await.unwrap();
    let failed = || async { store.outbox(None, 10).await.unwrap().iter().any(|i| i.attempts == 1).then_some(()) };
    until("the first try", failed).await;
    // Without its reporter it waits; with a good one it is sent at once, an hour's pause or not.
    outbox.configure(vec![]);
    outbox.put(vec![mail("mail", "linux", 2)], vec![]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(waiting(&store).await, 3);
    outbox.configure(vec![("mail".into(), mailer(folder.path(), sink.port).await)]);
    until("all are sent", || async { (waiting(&store).await == 0).then_some(()) }).await;
    in_order(&subjects(&sink));
    assert_eq!(sink.count(), 3);
    assert!(sink.arrived().iter().all(|a| a.envelope["connection"] == 1), "one connection serves a batch");
    outbox.close(Duration::from_secs(5)).await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_mails_wait_and_arrive_in_flat_memory() {
    const LANES: usize = 25;
    const EACH: usize = 200;
    let folder = tempfile::tempdir().unwrap();
    let mut sink = MailSink::create(json!({}));
    let text = "A line of a log that hangs on.\n".repeat(700);
    {
        let store = open(folder.path()).await;
        for n in 0..EACH {
            let items = (0..LANES).map(|lane| mail_of("mail", &format!("builder{lane}"), n, &text)).collect();
            store.put_outbox(items, vec![], buildmoon::base::Timestamp(1)).await.unwrap();
        }
        store.close().await;
    }
    // A process of its own, so that memory is that of the outbox alone.
    let child = sender_process(folder.path(), sink.port);
    let memory = || -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", child.0.id())).expect("/proc");
        let line = text.lines().find(|l| l.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("kB")
    };
    // It is up once it has tried; what it needs for a try counts as well.
    {
        let store = open(folder.path()).await;
        let tried = || async { store.outbox_counts().await.unwrap().iter().any(|c| c.failing > 0).then_some(()) };
        until("it has tried", tried).await;
        store.close().await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = memory();
    let sink = tokio::task::spawn_blocking(move || {
        sink.launch();
        sink
    });
    let sink = sink.await.unwrap();
    let mut most = before;
    let start = Instant::now();
    while sink.count() < LANES * EACH {
        most = most.max(memory());
        assert!(start.elapsed() < Duration::from_secs(900), "{} of {} have arrived", sink.count(), LANES * EACH);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    eprintln!("5000 mails in {:.0} s; resident memory {before} kB before, at most {most} kB", start.elapsed().as_secs_f64());
    // All payloads together are 110 MB.
    assert!(most < before + 30_000, "{before} kB before, then {most} kB");
    let all = subjects(&sink);
    in_order(&all);
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), LANES * EACH);
    assert_eq!(message_ids(&sink).iter().collect::<HashSet<_>>().len(), LANES * EACH);
}

// kill -9.

/// A process that sends what waits in a folder.
struct Sending(Child);

impl Drop for Sending {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn sender_process(folder: &Path, port: u16) -> Sending {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_sending_process", "--nocapture"])
        .env("OUTBOX_FOLDER", folder)
        .env("OUTBOX_PORT", port.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    Sending(child)
}

/// Not a test: what [`sender_process`] runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sending_process() {
    let (Ok(folder), Ok(port)) = (std::env::var("OUTBOX_FOLDER"), std::env::var("OUTBOX_PORT")) else { return };
    let folder = PathBuf::from(folder);
    let store = open(&folder).await;
    let outbox = Outbox::new(store, Arc::new(SystemClock), FAST);
    let port = port.parse().unwrap();
    outbox.configure(vec![("mail".into(), mailer(&folder, port).await), ("push".into(), pushes::pusher(&folder, port).await)]);
    std::future::pending().await
}

/// One mail, killed where the relay stands at `point`; what arrives in the end.
fn killed_at(point: &str, kill: impl Fn(&mut Sending)) -> Vec<String> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sink = MailSink::start();
    sink.script(json!({ "pause": point }));
    // More than fits between two programs: who is killed in the middle of it has not sent its end.
    let text = if point == "body" { "A line of a log that hangs on.\n".repeat(300_000) } else { "It failed.".into() };
    queue(&runtime, folder.path(), vec![mail_of("mail", "linux", 0, &text)]);
    let mut child = sender_process(folder.path(), sink.port);
    sink.wait_paused();
    kill(&mut child);
    sink.go_on();
    let child = sender_process(folder.path(), sink.port);
    wait_settled(&runtime, &folder);
    drop(child);
    message_ids(&sink)
}

impl Sending {
    fn kill9(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Its processes of the program, which carry its messages.
    fn couriers(&self) -> Vec<i32> {
        let parent = |pid: i32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok()
        };
        let pids = std::fs::read_dir("/proc").unwrap().filter_map(|e| e.unwrap().file_name().to_str()?.parse().ok());
        pids.filter(|pid| parent(*pid) == Some(self.0.id())).collect()
    }
}

fn kill9(pid: i32) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
}

/// Puts them into the outbox of a folder where nobody sends yet.
fn queue(runtime: &tokio::runtime::Runtime, folder: &Path, items: Vec<NewOutboxItem>) {
    runtime.block_on(async {
        let store = open(folder).await;
        store.put_outbox(items, vec![], buildmoon::base::Timestamp(1)).await.unwrap();
        store.close().await;
    });
}

fn wait_settled(runtime: &tokio::runtime::Runtime, folder: &TempDir) {
    wait_for("the mail is settled", || {
        runtime.block_on(async {
            let store = open(folder.path()).await;
            let left = waiting(&store).await;
            store.close().await;
            (left == 0).then_some(())
        })
    });
}

#[test]
fn killed_at_any_point_of_the_sending_exactly_one_arrives() {
    for point in ["mail", "rcpt", "data", "body", "dot", "accepted"] {
        assert_eq!(killed_at(point, Sending::kill9).len(), 1, "killed at {point}");
    }
}

/// Who sends is killed with the master, after the relay has all of the mail and before it answers: nobody can tell whether it
/// was taken. It comes again with the same id.
#[test]
fn killed_with_its_courier_it_arrives_and_is_known_as_the_same() {
    for point in ["body", "dot", "accepted"] {
        let ids = killed_at(point, |child| {
            let couriers = child.couriers();
            assert_eq!(couriers.len(), 1);
            child.kill9();
            kill9(couriers[0]);
        });
        assert!((1..=2).contains(&ids.len()), "killed at {point}: {} times", ids.len());
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 1, "killed at {point}");
    }
}

/// The courier alone dies: its master starts another one.
#[test]
fn a_courier_that_dies_is_replaced() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sink = MailSink::start();
    sink.script(json!({ "pause": "data" }));
    queue(&runtime, folder.path(), vec![mail("mail", "linux", 0), mail("mail", "linux", 1)]);
    let child = sender_process(folder.path(), sink.port);
    sink.wait_paused();
    kill9(child.couriers()[0]);
    sink.go_on();
    wait_settled(&runtime, &folder);
    assert_eq!(subjects(&sink), [("linux".to_owned(), 0), ("linux".to_owned(), 1)]);
}

#[test]
fn killed_after_it_was_settled_it_arrives_once() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sink = MailSink::start();
    queue(&runtime, folder.path(), vec![mail("mail", "linux", 0)]);
    let mut child = sender_process(folder.path(), sink.port);
    wait_for("it arrives", || (sink.count() == 1).then_some(()));
    wait_settled(&runtime, &folder);
    child.kill9();
    let _again = sender_process(folder.path(), sink.port);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(sink.count(), 1);
}

/// Killed at moments of chance while many are sent: each arrives, in its order, and once.
#[test]
fn killed_again_and_again_everything_arrives() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sink = MailSink::start();
    queue(&runtime, folder.path(), (0..300).map(|n| mail("mail", ["linux", "mac", "win"][n % 3], n / 3)).collect());
    let mut kills = 0;
    for pause in [250, 410, 330, 290, 370, 450] {
        let mut child = sender_process(folder.path(), sink.port);
        std::thread::sleep(Duration::from_millis(pause));
        child.kill9();
        kills += usize::from(sink.count() < 300);
    }
    let _last = sender_process(folder.path(), sink.port);
    wait_settled(&runtime, &folder);
    assert!(kills >= 3, "{kills} kills: most came too late to show anything");
    let all = subjects(&sink);
    assert_eq!(all.len(), 300, "after {kills} kills");
    in_order(&all);
}

// HTTP.

mod pushes {
    use super::*;
    use buildmoon::base::Secret;
    use buildmoon::config::{HttpPushSpec, Password, SecretPart, SecretText, Verify};
    use buildmoon::report::sending::push::PushSender;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::Mutex;

    /// A request as it came: head and body.
    type Seen = Arc<Mutex<Vec<(String, String)>>>;

    /// Answers requests with these heads, one after the other, and with 200 from then on. An empty one: it hangs up.
    fn server(answers: &'static [&'static str]) -> (u16, Seen) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Seen::default();
        let kept = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), answers, &kept);
            }
        });
        (port, seen)
    }

    fn request(stream: &mut TcpStream) -> (String, String) {
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while reader.read_line(&mut head).is_ok_and(|n| n > 0) && !head.ends_with("\r\n\r\n") {}
        let length = head.to_lowercase().lines().find_map(|l| l.strip_prefix("content-length: ").map(str::to_owned));
        let mut body = vec![0; length.and_then(|n| n.parse().ok()).unwrap_or(0)];
        reader.read_exact(&mut body).unwrap();
        (head, String::from_utf8(body).unwrap())
    }

    fn serve(mut stream: TcpStream, answers: &[&str], seen: &Seen) {
        let said = request(&mut stream);
        let mut all = seen.lock().unwrap();
        let answer = answers.get(all.len()).copied().unwrap_or("200 OK");
        all.push(said);
        drop(all);
        if !answer.is_empty() {
            let _ = write!(stream, "HTTP/1.1 {answer}\r\nContent-Length: 5\r\nConnection: close\r\n\r\nsaid\n");
        }
    }

    pub async fn pusher(folder: &Path, port: u16) -> Box<dyn Sender> {
        let plain = |text: &str| Password::Plain(Secret::new(text));
        let spec = HttpPushSpec {
            server_url: format!("http://127.0.0.1:{port}/hook?token=abc"),
            auth: Some((plain("bot"), plain("s3cret"))),
            headers: vec![("X-Team".into(), SecretText(vec![SecretPart::Text("moon".into())]))],
            debug: true,
            verify: Verify::System,
            cert: None,
        };
        pusher_of(folder, spec).await
    }

    async fn pusher_of(folder: &Path, spec: HttpPushSpec) -> Box<dyn Sender> {
        std::fs::write(folder.join("master.lua"), "").unwrap();
        let loaded = lua::load(lua::LoadOptions::new(folder)).await.unwrap();
        let secrets = SecretSource::new(loaded.config, loaded.generation);
        let around = Surroundings { master_id: "m".into(), folder: folder.to_owned(), secrets };
        Box::new(PushSender::new(spec, around, courier(folder, "push")))
    }

    fn report(number: usize) -> NewOutboxItem {
        let payload = json!({ "buildid": number, "results": 0 }).to_string();
        NewOutboxItem { reporter: "push".into(), key: format!("build finished {number}"), lane: "linux".into(), payload }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn reports_are_posted_until_they_are_taken() {
        let folder = tempfile::tempdir().unwrap();
        let (port, seen) = server(&["503 Busy", "", "429 Slow down", "408 Timeout", "201 Created", "400 Bad", "302 Elsewhere"]);
        let store = open(folder.path()).await;
        let outbox = Outbox::new(store.clone(), Arc::new(SystemClock), FAST);
        outbox.configure(vec![("push".into(), pusher(folder.path(), port).await)]);
        outbox.put((0..4).map(report).collect(), vec![]).await.unwrap();
        until("all are settled", || async { (waiting(&store).await == 0).then_some(()) }).await;
        let all = seen.lock().unwrap().clone();
        let ids: Vec<i64> = all.iter().map(|(_, body)| serde_json::from_str::<Value>(body).unwrap()["buildid"].as_i64().unwrap()).collect();
        assert_eq!(ids, [0, 0, 0, 0, 0, 1, 2, 3], "in their order");
        let head = &all[0].0;
        assert!(head.starts_with("POST /hook?token=abc HTTP/1.1\r\n"), "{head}");
        let field = |head: &str, name: &str| {
            head.lines().find_map(|l| l.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name))).map(|(_, v)| v.to_owned())
        };
        assert_eq!(field(head, "content-type").as_deref(), Some("application/json"));
        assert_eq!(field(head, "authorization").as_deref(), Some("Basic Ym90OnMzY3JldA=="));
        assert_eq!(field(head, "x-team").as_deref(), Some("moon"));
        assert_eq!(field(head, "idempotency-key"), field(&all[4].0, "idempotency-key"), "the same report");
        assert_ne!(field(head, "idempotency-key"), field(&all[5].0, "idempotency-key"), "another one");
        let given_up = store.outbox(Some(OutboxState::GivenUp), 10).await.unwrap();
        let errors: Vec<&str> = given_up.iter().filter_map(|i| i.last_error.as_deref()).collect();
        assert_eq!(
            errors,
            [
                "the server answers 302 Found: said: a report is not posted to another address, give that one",
                "the server answers 400 Bad Request: said"
            ]
        );
        outbox.close(Duration::from_secs(5)).await;
        store.close().await;
    }

    /// The server has the report, and holds its answer back until the master is dead.
    #[test]
    fn killed_while_the_server_thinks_it_is_posted_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen, gate) = (Seen::default(), Arc::new(Mutex::new(())));
        let (kept, closed) = (seen.clone(), gate.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                kept.lock().unwrap().push(request(&mut stream));
                drop(closed.lock().unwrap());
                let _ = write!(stream, "HTTP/1.1 204 Kept\r\nConnection: close\r\n\r\n");
            }
        });
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        queue(&runtime, folder.path(), vec![report(0)]);
        let thinks = gate.lock().unwrap();
        let mut child = sender_process(folder.path(), port);
        wait_for("the report is there", || (seen.lock().unwrap().len() == 1).then_some(()));
        child.kill9();
        let _again = sender_process(folder.path(), port);
        std::thread::sleep(Duration::from_millis(500));
        drop(thinks);
        wait_settled(&runtime, &folder);
        assert_eq!(seen.lock().unwrap().len(), 1);
    }

    const HTTPS: &str = r#"
import http.server, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open("bodies", "ab") as f:
            f.write(body + b"\n")
        self.send_response(204)
        self.end_headers()
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("cert.pem", "key.pem")
if sys.argv[2] == "client":
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations("client.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
open("ready", "w").close()
server.serve_forever()
"#;

    /// Python's server with that certificate, as it demands one of the client or not; the bodies it took.
    fn https(folder: &Path, clients: &str) -> (Sending, u16) {
        let port = support::free_port();
        let _ = std::fs::remove_file(folder.join("ready"));
        let mut python = Command::new("python3");
        python.args(["-c", HTTPS, &port.to_string(), clients]).current_dir(folder).stdin(Stdio::null()).stderr(Stdio::null());
        let child = Sending(python.spawn().expect("python3"));
        wait_for("Python's server listens", || folder.join("ready").exists().then_some(()));
        (child, port)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn certificates_are_checked_both_ways() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let write = |name: &str, text: String| std::fs::write(path(name), text).unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let client = rcgen::generate_simple_self_signed(vec!["master.test".to_owned()]).unwrap();
        write("cert.pem", made.cert.pem());
        write("key.pem", made.signing_key.serialize_pem());
        write("client.pem", client.cert.pem());
        write("client-key.pem", client.signing_key.serialize_pem());
        let (_open, open_port) = https(folder.path(), "any");
        let (_closed, closed_port) = https(folder.path(), "client");
        let spec = |port: u16, verify: Verify, cert: Option<(String, Option<String>)>| HttpPushSpec {
            server_url: format!("https://localhost:{port}/"),
            auth: None,
            headers: Vec::new(),
            debug: false,
            verify,
            cert,
        };
        let own = || Verify::File(path("cert.pem"));
        let identity = || Some((path("client.pem"), Some(path("client-key.pem"))));
        let item = |attempts| buildmoon::model::OutboxItem {
            id: 1,
            reporter: "push".into(),
            key: "k".into(),
            lane: "l".into(),
            state: OutboxState::Waiting,
            attempts,
            next_try: buildmoon::base::Timestamp(0),
            failing_since: None,
            yields: false,
            created_at: buildmoon::base::Timestamp(0),
            settled_at: None,
            last_error: None,
        };
        let cases = [
            (spec(open_port, Verify::System, None), Some("certificate")),
            (spec(open_port, own(), None), None),
            (spec(open_port, Verify::Off, None), None),
            (spec(open_port, Verify::File(path("client.pem")), None), Some("certificate")),
            (spec(open_port, Verify::File("nosuch.pem".into()), None), Some("nosuch.pem: No such file")),
            (spec(open_port, Verify::File(path("key.pem")), None), Some("holds no certificate")),
            (spec(closed_port, own(), None), Some("")),
            (spec(closed_port, own(), identity()), None),
        ];
        for ((spec, expected), attempt) in cases.into_iter().zip(0..) {
            let shown = format!("{spec:?}");
            let mut sender = pusher_of(folder.path(), spec).await;
            let outcome = sender.send(&item(attempt), "{}".into(), None).await;
            match (expected, &outcome) {
                (None, Outcome::Sent { remark: None }) => {}
                (Some(part), Outcome::Down(why)) if why.contains(part) => {}
                _ => panic!("{shown}: {outcome:?}"),
            }
        }
        assert_eq!(std::fs::read_to_string(path("bodies")).unwrap(), "{}\n{}\n{}\n");
    }
}
