//! The driver against a cloud in memory that misbehaves to order.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Map, Value as Json, json};

use super::*;
use crate::base::{BuildId, RequestId, Secret, SystemClock};
use crate::latent::backend::{Instance, Start, Started, WantedBuild};
use crate::latent::{Failure, State, Timing};
use crate::store::StoreOptions;
use crate::workers::link::BoxFuture;

/// A cloud in memory, with orders to misbehave.
#[derive(Default)]
struct Cloud {
    running: Mutex<Vec<Instance>>,
    starts: AtomicUsize,
    /// The next answers of start: the instance is made, the answer is that.
    start_says: Mutex<Vec<Failure>>,
    stop_fails: AtomicUsize,
    console: Mutex<Option<String>>,
    dead: Mutex<Option<String>>,
    ledger: Mutex<Option<Store>>,
    /// Instances of another place are not seen.
    place: &'static str,
    /// How long it takes to list them.
    list_takes: Duration,
    /// Other places.
    others: Vec<Arc<Cloud>>,
}

struct Fake(Arc<Cloud>);

impl Backend for Fake {
    fn class(&self) -> &str {
        "FakeLatentWorker"
    }
    fn group(&self) -> String {
        format!("fake at {}", self.0.place)
    }
    fn settings(&self) -> String {
        format!("at {}", self.0.place)
    }
    fn can_check(&self) -> bool {
        true
    }
    fn can_list(&self) -> bool {
        true
    }
    fn start(&self, start: Start) -> BoxFuture<'static, Result<Started, Failure>> {
        let cloud = self.0.clone();
        Box::pin(async move {
            let ledger = lock(&cloud.ledger).clone();
            if let Some(ledger) = ledger {
                let open = ledger.open_launches().await.expect("the ledger");
                assert!(open.iter().any(|r| r.id == start.launch), "started before it was recorded");
            }
            cloud.starts.fetch_add(1, Ordering::SeqCst);
            let instance = Instance { launch: start.launch, handle: json!("i-1") };
            lock(&cloud.running).push(instance);
            match lock(&cloud.start_says).pop() {
                Some(failure) => Err(failure),
                None => Ok(Started { handle: json!("i-1"), price_per_hour: Some(0.25), ..Started::default() }),
            }
        })
    }
    fn stop(&self, launch: LaunchId, _: Json, _: bool) -> BoxFuture<'static, Result<(), String>> {
        let cloud = self.0.clone();
        Box::pin(async move {
            if cloud.stop_fails.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
                return Err("throttled".into());
            }
            lock(&cloud.running).retain(|i| i.launch != launch);
            Ok(())
        })
    }
    fn check(&self, _: LaunchId, _: Json) -> BoxFuture<'static, Result<Result<(), String>, String>> {
        let dead = lock(&self.0.dead).clone();
        Box::pin(async { Ok(dead.map_or(Ok(()), Err)) })
    }
    fn console(&self, _: Json) -> BoxFuture<'static, Result<Option<String>, String>> {
        let console = lock(&self.0.console).clone();
        Box::pin(async { Ok(console) })
    }
    fn place(&self) -> Option<String> {
        Some(self.0.place.into())
    }
    fn at(&self, place: &str) -> Option<Arc<dyn Backend>> {
        let there = self.0.others.iter().find(|cloud| cloud.place == place)?;
        Some(Arc::new(Fake(there.clone())))
    }
    fn list(&self) -> BoxFuture<'static, Result<Vec<Instance>, String>> {
        let cloud = self.0.clone();
        Box::pin(async move {
            tokio::time::sleep(cloud.list_takes).await;
            Ok(lock(&cloud.running).clone())
        })
    }
}

#[derive(Default)]
struct Around(Mutex<Vec<(RequestId, Result<(), String>)>>, Mutex<Vec<Leak>>, Mutex<Option<String>>);

impl Surroundings for Around {
    fn answer(&self, _: &str, request: RequestId, answer: Result<(), String>) {
        lock(&self.0).push((request, answer));
    }
    fn disconnect(&self, _: &str, _: &str) {}
    fn missing(&self, _: &str, _: &str) {}
    fn changed(&self, _: &str) {}
    fn password(&self, _: &str, _: &LaunchId) -> Result<Secret, String> {
        Ok(Secret::new(lock(&self.2).clone().unwrap_or_else(|| "hunter2".into())))
    }
    fn sealed(&self, launch: &LaunchId, password: &Secret) -> Option<String> {
        Some(format!("{launch} {}", password.reveal().chars().rev().collect::<String>()))
    }
    fn leak(&self, leak: Leak) -> BoxFuture<'static, Result<(), String>> {
        lock(&self.1).push(leak);
        Box::pin(async { Ok(()) })
    }
    fn build(&self, _: &str, _: RequestId) -> (Map<String, Json>, WantedBuild) {
        Default::default()
    }
}

fn policy() -> Policy {
    Policy {
        configured: true,
        build_wait: Some(Duration::from_millis(300)),
        missing_timeout: Duration::from_secs(30),
        check_interval: Duration::from_secs(10),
        max_lifetime: None,
        warm: false,
        quarantine_initial: Duration::from_secs(10),
        quarantine_max: Duration::from_secs(3600),
        can_check: true,
        can_list: true,
        stop_timeout: Duration::from_secs(600),
        timing: Timing::default(),
    }
}

struct Test {
    _folder: tempfile::TempDir,
    store: Store,
    cloud: Arc<Cloud>,
    around: Arc<Around>,
    latent: Arc<Latent>,
}

impl Test {
    async fn new() -> Test {
        Test::with(policy()).await
    }

    async fn with(policy: Policy) -> Test {
        let folder = tempfile::tempdir().expect("a folder");
        let options = StoreOptions { database: folder.path().join("state.sqlite"), logs: folder.path().join("logs") };
        let store = Store::open(options).await.expect("a store");
        let cloud = Arc::new(Cloud::default());
        *lock(&cloud.ledger) = Some(store.clone());
        let around = Arc::new(Around::default());
        let latent = Latent::new(store.clone(), &SystemClock, around.clone());
        let test = Test { _folder: folder, store, cloud, around, latent };
        test.configure_with(policy).await;
        test
    }

    async fn configure(&self) {
        self.configure_with(policy()).await;
    }

    async fn configure_with(&self, policy: Policy) {
        let backend = Arc::new(Fake(self.cloud.clone()));
        let configured = Configured { name: "bot".into(), policy, backend, generation: 1 };
        self.latent.configure(vec![configured]).await.expect("configured");
    }

    /// The same under a master that was just started.
    async fn killed(self) -> Test {
        self.latent.close();
        let latent = Latent::new(self.store.clone(), &SystemClock, self.around.clone());
        Test { latent, ..self }
    }

    async fn until(&self, what: &str, mut holds: impl FnMut(&Test, &View) -> bool) {
        for _ in 0..1500 {
            if holds(self, &self.latent.view("bot").expect("a view")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not {what}: {:?}", self.latent.view("bot"));
    }

    fn running(&self) -> usize {
        lock(&self.cloud.running).len()
    }
}

#[tokio::test]
async fn from_the_wish_to_the_end() {
    let test = Test::new().await;
    test.latent.tell("bot", Event::Wanted(RequestId(7)));
    test.until("waiting", |_, v| v.state == State::Waiting).await;
    test.latent.tell("bot", Event::Attached);
    test.until("answered", |t, _| *lock(&t.around.0) == [(RequestId(7), Ok(()))]).await;
    test.latent.tell("bot", Event::BuildStarted(RequestId(7), BuildId(7)));
    test.latent.tell("bot", Event::BuildEnded { build: BuildId(7), lost: false });
    test.until("idle", |_, v| v.state == State::Idle).await;
    assert_eq!(test.running(), 0);
    let rows = test.store.launches(9).await.expect("rows");
    assert!(rows.len() == 1 && rows[0].handle == Some(json!("i-1")) && rows[0].attached_at.is_some(), "{rows:?}");
    assert!(rows[0].gone.as_ref().is_some_and(|(why, _)| why.contains("idle")), "{rows:?}");
    assert_eq!(test.cloud.starts.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_start_of_which_nothing_is_known_is_looked_for_and_stopped() {
    let test = Test::new().await;
    lock(&test.cloud.start_says).push(Failure::Unknown("connection reset".into()));
    test.cloud.stop_fails.store(1, Ordering::SeqCst);
    test.latent.tell("bot", Event::Wanted(RequestId(1)));
    test.until("refused", |t, _| *lock(&t.around.0) == [(RequestId(1), Err("connection reset".into()))]).await;
    test.until("gone", |t, v| v.record.is_none() && t.running() == 0).await;
    let kept = test.store.quarantines().await.expect("quarantines");
    assert_eq!(kept.get("bot").map(|q| q.failures), Some(1));
}

#[tokio::test]
async fn what_a_killed_master_left_is_adopted_or_reaped() {
    let test = Test::new().await;
    test.latent.tell("bot", Event::Wanted(RequestId(1)));
    test.until("waiting", |_, v| v.state == State::Waiting).await;
    let test = test.killed().await;
    lock(&test.cloud.running).push(Instance { launch: LaunchId("unknown".into()), handle: json!("i-2") });
    test.configure().await;
    test.until("waiting again", |_, v| v.state == State::Waiting).await;
    assert_eq!(test.latent.reap().await, 1);
    assert_eq!(test.running(), 1);
    test.latent.tell("bot", Event::Attached);
    test.until("ready", |_, v| v.state == State::Ready).await;
    assert_eq!(test.cloud.starts.load(Ordering::SeqCst), 1, "started twice");
}

#[tokio::test]
async fn without_a_record_nothing_is_started() {
    let test = Test::new().await;
    test.store.close().await;
    test.latent.tell("bot", Event::Wanted(RequestId(1)));
    test.until("refused", |t, _| lock(&t.around.0).first().is_some_and(|(_, a)| a.is_err())).await;
    assert_eq!(test.cloud.starts.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn people_are_told_once_of_a_machine_that_can_t_be_stopped() {
    let mut hasty = policy();
    (hasty.build_wait, hasty.timing.tick) = (Some(Duration::ZERO), Duration::from_millis(20));
    (hasty.timing.leak_after, hasty.timing.stop_backoff) = (Duration::from_millis(300), Duration::from_millis(50));
    hasty.timing.longest_stop_backoff = Duration::from_millis(50);
    let test = Test::with(hasty.clone()).await;
    test.cloud.stop_fails.store(usize::MAX, Ordering::SeqCst);
    test.latent.tell("bot", Event::Wanted(RequestId(1)));
    test.latent.tell("bot", Event::Attached);
    test.until("answered", |t, _| *lock(&t.around.0) == [(RequestId(1), Ok(()))]).await;
    test.latent.tell("bot", Event::BuildStarted(RequestId(1), BuildId(1)));
    test.latent.tell("bot", Event::BuildEnded { build: BuildId(1), lost: false });
    test.until("stopping", |_, v| v.state == State::Stopping).await;
    test.until("told", |t, v| !lock(&t.around.1).is_empty() && v.record.as_ref().is_some_and(|r| r.leak_told_at.is_some())).await;
    let text = lock(&test.around.1)[0].to_string();
    assert!(
        text.contains("\"i-1\" of worker bot") && text.contains("may still cost money") && text.ends_with("the last one with: throttled"),
        "{text}"
    );

    // A new master knows that they know.
    let test = test.killed().await;
    test.configure_with(hasty).await;
    test.until("tried again", |_, v| v.tries >= 3).await;
    assert_eq!(lock(&test.around.1).len(), 1);
    test.cloud.stop_fails.store(0, Ordering::SeqCst);
    test.until("gone", |t, v| v.record.is_none() && t.running() == 0).await;
}

#[tokio::test]
async fn the_console_tells_why_a_worker_is_missing() {
    let mut hasty = policy();
    (hasty.missing_timeout, hasty.timing.tick) = (Duration::from_millis(1500), Duration::from_millis(20));
    hasty.timing.console_every = Duration::from_millis(100);
    let test = Test::with(hasty).await;
    *lock(&test.cloud.console) = Some("kernel: up\nlogin with hunter2: no route to host\n".into());
    test.latent.tell("bot", Event::Wanted(RequestId(1)));
    test.until("read", |_, v| v.console == ["kernel: up", "login with <password>: no route to host"]).await;
    test.until("refused", |t, _| {
        let refused = lock(&t.around.0).first().and_then(|(_, answer)| answer.clone().err());
        refused.is_some_and(|why| why.ends_with("; its console ends with \"kernel: up / login with <password>: no route to host\""))
    })
    .await;
}

#[tokio::test]
async fn the_console_tells_why_a_machine_ended() {
    let test = Test::new().await;
    *lock(&test.cloud.console) = Some("buildmoon: the setup failed".into());
    *lock(&test.cloud.dead) = Some("instance i-1 is terminated".into());
    let hasty = Policy { check_interval: Duration::from_millis(50), ..policy() };
    test.configure_with(hasty).await;
    test.latent.tell("bot", Event::Wanted(RequestId(1)));
    let told = "instance i-1 is terminated; its console ends with \"buildmoon: the setup failed\"";
    test.until("refused", |t, _| *lock(&t.around.0) == [(RequestId(1), Err(told.into()))]).await;
}

#[tokio::test]
async fn a_machine_whose_worker_has_another_password_ends_when_it_is_free() {
    let test = Test::new().await;
    test.configure_with(Policy { build_wait: None, ..policy() }).await;
    test.latent.tell("bot", Event::Wanted(RequestId(1)));
    test.latent.tell("bot", Event::Attached);
    test.until("ready", |_, v| v.state == State::Ready && v.record.as_ref().is_some_and(|r| r.price_per_hour == Some(0.25))).await;
    test.latent.tell("bot", Event::BuildStarted(RequestId(1), BuildId(1)));
    *lock(&test.around.2) = Some("another".into());
    test.until("closed to builds", |_, v| v.state == State::Ready && !v.available).await;
    test.latent.tell("bot", Event::BuildEnded { build: BuildId(1), lost: false });
    test.until("gone", |t, v| v.state == State::Idle && t.running() == 0).await;
    let rows = test.store.launches(9).await.expect("rows");
    assert!(
        rows[0].gone.as_ref().is_some_and(|(why, _)| why.contains("password has changed")) && rows[0].price_per_hour == Some(0.25),
        "{rows:?}"
    );
}

#[tokio::test]
async fn a_password_that_changed_while_the_master_was_down_ends_the_machine_at_the_start() {
    let test = Test::new().await;
    test.latent.tell("bot", Event::Wanted(RequestId(1)));
    test.until("waiting", |_, v| v.state == State::Waiting).await;
    let test = test.killed().await;
    test.configure().await;
    test.until("looked after", |_, v| v.state == State::Waiting).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(test.running(), 1, "it can log in");
    let test = test.killed().await;
    *lock(&test.around.2) = Some("longer than before".into());
    test.configure().await;
    test.until("gone", |t, v| v.state == State::Idle && t.running() == 0).await;
    let rows = test.store.launches(9).await.expect("rows");
    assert!(rows[0].gone.as_ref().is_some_and(|(why, _)| why.contains("password has changed")), "{rows:?}");
}

#[tokio::test]
async fn what_another_place_does_not_list_is_not_gone() {
    let mut hasty = policy();
    (hasty.timing.absence, hasty.timing.settling) = (Duration::ZERO, Duration::ZERO);
    let test = Test::with(hasty.clone()).await;
    test.latent.tell("bot", Event::Wanted(RequestId(1)));
    test.until("waiting", |_, v| v.state == State::Waiting).await;
    let elsewhere = Arc::new(Cloud { place: "elsewhere", ..Cloud::default() });
    let configured = Configured { name: "bot".into(), policy: hasty.clone(), backend: Arc::new(Fake(elsewhere)), generation: 2 };
    test.latent.configure(vec![configured]).await.expect("configured");
    for _ in 0..3 {
        test.latent.reap().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    test.until("waiting still", |_, v| v.state == State::Waiting).await;
    // Where it is it would be missed.
    test.configure_with(hasty).await;
    lock(&test.cloud.running).clear();
    test.latent.reap().await;
    test.until("gone", |_, v| v.record.is_none()).await;
}

/// The master was killed before the answer came, and the worker was moved meanwhile.
#[tokio::test]
async fn a_start_without_an_answer_is_looked_for_where_it_was() {
    let test = Test::new().await.killed().await;
    let there = Arc::new(Cloud { place: "there", ..Cloud::default() });
    let launch = LaunchId("left".into());
    lock(&there.running).push(Instance { launch: launch.clone(), handle: json!("i-1") });
    let left = LaunchRecord::new(launch.clone(), "bot", "FakeLatentWorker", "at there".into(), SystemClock.now());
    test.store.put_launch(&LaunchRecord { place: Some("there".into()), ..left }).await.expect("the ledger");
    let here = Arc::new(Cloud { place: "here", others: vec![there.clone()], ..Cloud::default() });
    let configured = Configured { name: "bot".into(), policy: policy(), backend: Arc::new(Fake(here)), generation: 2 };
    test.latent.configure(vec![configured]).await.expect("configured");
    test.until("gone", |_, v| v.record.is_none()).await;
    assert_eq!(lock(&there.running).len(), 0);
    let row = test.store.launch(&launch).await.expect("the ledger").expect("a row");
    assert!(row.handle == Some(json!("i-1")) && row.gone.is_some(), "{row:?}");
}

#[tokio::test]
async fn a_place_that_does_not_answer_keeps_no_other_waiting() {
    let test = Test::new().await;
    let place = |place, list_takes| Arc::new(Cloud { place, list_takes, ..Cloud::default() });
    let mut places: Vec<Arc<Cloud>> = ["a", "b", "c", "d", "e"].map(|name| place(name, Duration::from_secs(3600))).into();
    places.push(place("f", Duration::ZERO));
    lock(&places[5].running).push(Instance { launch: LaunchId("unknown".into()), handle: json!("i-2") });
    let worker = |(n, cloud): (usize, &Arc<Cloud>)| {
        let backend = Arc::new(Fake(cloud.clone()));
        Configured { name: format!("w{n}").into(), policy: policy(), backend, generation: 1 }
    };
    test.latent.configure(places.iter().enumerate().map(worker).collect()).await.expect("configured");
    let latent = test.latent.clone();
    let pass = tokio::spawn(async move { latent.reap().await });
    for _ in 0..500 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        if lock(&places[5].running).is_empty() {
            return pass.abort();
        }
    }
    panic!("the last place waits for those that do not answer");
}

#[tokio::test]
async fn a_stray_that_can_t_be_stopped_is_told_of_and_ends() {
    let mut hasty = policy();
    (hasty.timing.tick, hasty.timing.leak_after) = (Duration::from_millis(20), Duration::from_millis(300));
    (hasty.timing.stop_backoff, hasty.timing.longest_stop_backoff) = (Duration::from_millis(50), Duration::from_millis(50));
    let test = Test::with(hasty.clone()).await;
    for _ in 0..2 {
        lock(&test.cloud.running).push(Instance { launch: LaunchId("unknown".into()), handle: json!("i-2") });
    }
    test.cloud.stop_fails.store(usize::MAX, Ordering::SeqCst);
    assert_eq!(test.latent.reap().await, 0);
    assert_eq!(test.latent.reap().await, 0);
    test.until("told", |t, _| lock(&t.around.1).len() == 1).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!((lock(&test.around.1).len(), test.latent.views().len()), (1, 2));
    let row = test.store.launch(&LaunchId("unknown".into())).await.expect("the ledger").expect("a row");
    assert!(row.worker == "(unknown)" && row.gone.is_none() && row.handle == Some(json!("i-2")), "{row:?}");

    // A new master goes on.
    let test = test.killed().await;
    test.configure_with(hasty.clone()).await;
    let strays = test.latent.strays().await.expect("strays");
    assert_eq!(strays.len(), 1);
    for stray in strays {
        test.latent.end_stray(stray, hasty.clone(), Arc::new(Fake(test.cloud.clone())));
    }
    test.cloud.stop_fails.store(0, Ordering::SeqCst);
    test.until("gone", |t, _| t.running() == 0).await;
    test.until("forgotten", |t, _| t.latent.views().len() == 1).await;
    assert_eq!(test.store.open_launches().await.expect("the ledger"), []);
}

/// What a reload looks for must not be what has just begun or is about to end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_begins_or_ends_is_no_stray() {
    let hasty = Policy { quarantine_initial: Duration::ZERO, build_wait: Some(Duration::ZERO), ..policy() };
    let test = Test::with(hasty).await;
    let store = test.store.clone();
    // Whoever reads has to wait for others.
    let busy = tokio::spawn(async move {
        loop {
            let _ = store.open_launches().await;
        }
    });
    for round in 0..100 {
        test.latent.tell("bot", Event::Wanted(RequestId(round)));
        test.latent.tell("bot", Event::Attached);
        test.latent.tell("bot", Event::BuildStarted(RequestId(round), BuildId(round)));
        test.latent.tell("bot", Event::BuildEnded { build: BuildId(round), lost: false });
        for _ in 0..20 {
            assert_eq!(test.latent.strays().await.expect("strays"), []);
        }
        test.until("idle", |_, v| v.state == State::Idle).await;
    }
    busy.abort();
}
