//! A master's latent half in the test's process, on the real store, driver, backend and SDK: workers' processes are names that come and go
//! with their instances, builds are waits. It can be killed at any moment and started again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant as Moment};

use buildmoon::base::{BuildId, Clock, RequestId, Secret, SystemClock, Timestamp};
use buildmoon::latent::backend::WantedBuild;
use buildmoon::latent::driver::{Configured, Latent, Leak, Surroundings, View};
use buildmoon::latent::ec2::backend::Ec2Backend;
use buildmoon::latent::ec2::credentials::Keys;
use buildmoon::latent::ec2::region::{Pace, Region};
use buildmoon::latent::ec2::sdk::{Connect, Ec2, Patience};
use buildmoon::latent::ec2::settings::Settings;
use buildmoon::latent::{Event, Policy, State, Timing};
use buildmoon::model::{LaunchId, LaunchRecord};
use buildmoon::store::{Store, StoreOptions};
use buildmoon::workers::BoxFuture;
use serde_json::{Map, Value};
use tokio::runtime::Runtime;

use crate::support::ec2::FakeEc2;

pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[derive(Clone, PartialEq, Debug)]
enum Progress {
    Queued(Moment),
    Asked,
    Granted,
    Building(Moment),
    Done,
}

#[derive(Clone, Debug)]
pub struct Request {
    worker: Arc<str>,
    takes: Duration,
    progress: Progress,
    /// Why it was refused, each time.
    pub refusals: Vec<String>,
    /// How often its worker was lost.
    pub lost: usize,
}

/// What goes on outside of the master, and outlives it.
#[derive(Default)]
struct Floor {
    /// Instance and the worker on it.
    agents: BTreeMap<String, Arc<str>>,
    attached: BTreeSet<Arc<str>>,
    /// Connections that the master closes.
    cut: BTreeSet<Arc<str>>,
    dial_at: BTreeMap<Arc<str>, Moment>,
    requests: BTreeMap<i64, Request>,
    missing: Vec<String>,
    leaks: Vec<String>,
    /// Two instances of one worker at a time.
    doubled: Option<String>,
}

struct Around(Arc<Mutex<Floor>>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Surroundings for Around {
    fn answer(&self, _: &str, request: RequestId, answer: Result<(), String>) {
        let mut floor = lock(&self.0);
        let Some(request) = floor.requests.get_mut(&request.0) else { return };
        match answer {
            Ok(()) => request.progress = Progress::Granted,
            Err(why) => {
                request.refusals.push(why);
                request.progress = Progress::Queued(Moment::now() + ms(50));
            }
        }
    }
    fn disconnect(&self, worker: &str, _: &str) {
        lock(&self.0).cut.insert(worker.into());
    }
    fn missing(&self, worker: &str, why: &str) {
        lock(&self.0).missing.push(format!("{worker}: {why}"));
    }
    fn changed(&self, _: &str) {}
    fn leak(&self, leak: Leak) -> BoxFuture<'static, Result<(), String>> {
        lock(&self.0).leaks.push(leak.to_string());
        Box::pin(async { Ok(()) })
    }
    fn password(&self, _: &str, _: &LaunchId) -> Result<Secret, String> {
        Ok(Secret::new("x"))
    }
    fn build(&self, _: &str, _: RequestId) -> (Map<String, Value>, WantedBuild) {
        Default::default()
    }
}

/// A wall clock that is wrong by so much.
struct Wrong(Duration);

impl Clock for Wrong {
    fn now(&self) -> Timestamp {
        Timestamp(SystemClock.now().0 - self.0.as_millis() as i64)
    }
}

struct Master {
    runtime: Runtime,
    latent: Arc<Latent>,
    store: Store,
}

pub struct Site {
    pub ec2: Arc<FakeEc2>,
    folder: tempfile::TempDir,
    floor: Arc<Mutex<Floor>>,
    pub workers: Vec<Arc<str>>,
    pub settings: Settings,
    pub policy: Policy,
    pub patience: Patience,
    /// How long a choice without room is left alone at first.
    pub cooling: Duration,
    /// How much the wall clock is behind when the master starts.
    pub clock_behind: Duration,
    generation: i64,
    master: Option<Master>,
    told: Arc<Mutex<Option<Arc<Latent>>>>,
    over: Arc<AtomicBool>,
    next: i64,
}

impl Site {
    /// Not started yet.
    pub fn new(workers: usize) -> Site {
        let ec2 = Arc::new(FakeEc2::start());
        let floor: Arc<Mutex<Floor>> = Arc::default();
        let settings = Settings {
            region: "us-east-1".into(),
            instance_types: vec!["m5.large".into()],
            ami: Some("ami-1".into()),
            ..Settings::default()
        };
        let timing = Timing {
            tick: ms(20),
            capacity_rest: ms(200),
            settling: ms(1500),
            absence: ms(300),
            look_every: ms(100),
            drain: ms(1000),
            stop_backoff: ms(50),
            longest_stop_backoff: ms(400),
            console_every: ms(200),
            ..Timing::default()
        };
        let policy = Policy {
            configured: true,
            build_wait: Some(ms(200)),
            missing_timeout: ms(20_000),
            check_interval: ms(100),
            max_lifetime: None,
            warm: false,
            quarantine_initial: ms(100),
            quarantine_max: ms(1000),
            can_check: true,
            can_list: true,
            stop_timeout: ms(10_000),
            timing,
        };
        let site = Site {
            ec2,
            folder: tempfile::tempdir().expect("a folder"),
            floor,
            workers: (0..workers).map(|n| format!("bot{n}").into()).collect(),
            settings,
            policy,
            patience: Patience { attempts: 4, backoff: ms(20), answer_within: ms(3000) },
            cooling: ms(500),
            clock_behind: Duration::ZERO,
            generation: 1,
            master: None,
            told: Arc::default(),
            over: Arc::default(),
            next: 0,
        };
        site.boots();
        site.pump();
        site
    }

    /// From now on an instance that runs has its worker on it.
    pub fn boots(&self) {
        let floor = self.floor.clone();
        self.ec2.machines(move |instance| {
            let (floor, id) = (floor.clone(), instance.id.clone());
            if !instance.worker().is_empty() {
                lock(&floor).agents.insert(id.clone(), instance.worker().into());
            }
            Box::new(Agent { floor, id })
        });
    }

    fn pump(&self) {
        let (floor, told, over, ec2) = (self.floor.clone(), self.told.clone(), self.over.clone(), self.ec2.clone());
        std::thread::spawn(move || {
            while !over.load(Ordering::SeqCst) {
                let mut live: Vec<String> = ec2.live().iter().map(|i| i.worker().to_owned()).filter(|w| !w.is_empty()).collect();
                live.sort();
                if let Some(pair) = live.windows(2).find(|pair| pair[0] == pair[1]) {
                    lock(&floor).doubled = Some(pair[0].clone());
                }
                {
                    // Held over the step: a master that is killed hears nothing after that.
                    let told = lock(&told);
                    if let Some(latent) = &*told {
                        lock(&floor).step(latent);
                    }
                }
                std::thread::sleep(ms(10));
            }
        });
    }

    pub fn start(&mut self) {
        assert!(self.master.is_none(), "it runs already");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let options = StoreOptions { database: self.folder.path().join("state.sqlite"), logs: self.folder.path().join("logs") };
        let store = runtime.block_on(Store::open(options)).expect("a store");
        let latent = {
            let _inside = runtime.enter();
            Latent::new(store.clone(), &Wrong(self.clock_behind), Arc::new(Around(self.floor.clone())))
        };
        self.master = Some(Master { runtime, latent: latent.clone(), store });
        self.configure(self.workers.len());
        *lock(&self.told) = Some(latent);
    }

    /// The first so many workers are configured, as settings and policy are now.
    pub fn configure(&mut self, workers: usize) {
        let master = self.master.as_ref().expect("a master");
        let keys = Keys { identifier: Secret::new("AKIAEXAMPLE"), secret: Secret::new("hunter2") };
        let to = Connect { region: "us-east-1".into(), endpoint_url: Some(self.ec2.url()), profile: None, keys: Some(keys) };
        let api = master.runtime.block_on(Ec2::connect_with(to, self.patience.clone()));
        let pace = Pace {
            ask: ms(30),
            settling: ms(1500),
            image_kept: ms(60_000),
            first_cooling: self.cooling,
            longest_cooling: self.cooling * 4,
            throttled_rest: ms(300),
        };
        let region = Region::at_pace("test us-east-1".into(), Arc::new(api), pace);
        let configured = self.workers[..workers].iter().map(|name| Configured {
            name: name.clone(),
            policy: self.policy.clone(),
            backend: Arc::new(Ec2Backend::new("master-1".into(), self.settings.clone(), region.clone())),
            generation: self.generation,
        });
        master.runtime.block_on(master.latent.configure(configured.collect())).expect("configured");
        self.generation += 1;
    }

    /// As if by kill -9: whatever it was doing ends there.
    pub fn crash(&mut self) {
        *lock(&self.told) = None;
        let master = self.master.take().expect("a master");
        drop(master.latent);
        drop(master.store);
        master.runtime.shutdown_timeout(ms(2000));
        let mut floor = lock(&self.floor);
        floor.attached.clear();
        floor.cut.clear();
        for request in floor.requests.values_mut().filter(|r| r.progress != Progress::Done) {
            request.progress = Progress::Queued(Moment::now());
        }
    }

    /// Asks for a build of so long on the worker of that number.
    pub fn build(&mut self, worker: usize, takes: Duration) -> i64 {
        self.next += 1;
        let request = Request {
            worker: self.workers[worker].clone(),
            takes,
            progress: Progress::Queued(Moment::now()),
            refusals: Vec::new(),
            lost: 0,
        };
        lock(&self.floor).requests.insert(self.next, request);
        self.next
    }

    pub fn request(&self, id: i64) -> Request {
        lock(&self.floor).requests[&id].clone()
    }

    pub fn builds(&self, id: i64) -> bool {
        matches!(self.request(id).progress, Progress::Building(_))
    }

    pub fn is_done(&self, id: i64) -> bool {
        self.request(id).progress == Progress::Done
    }

    pub fn wait_done(&self, id: i64) {
        self.wait("the build ends", |s| s.is_done(id));
    }

    pub fn missing(&self) -> Vec<String> {
        lock(&self.floor).missing.clone()
    }

    pub fn leaks(&self) -> Vec<String> {
        lock(&self.floor).leaks.clone()
    }

    pub fn wait(&self, what: &str, holds: impl Fn(&Site) -> bool) {
        let end = Moment::now() + Duration::from_secs(40);
        while !holds(self) {
            assert!(Moment::now() < end, "{what}: not so\n{}{:#?}", self.ec2.story(), lock(&self.floor).requests);
            std::thread::sleep(ms(10));
        }
    }

    pub fn view(&self, worker: usize) -> View {
        let master = self.master.as_ref().expect("a master");
        master.latent.view(&self.workers[worker]).expect("a worker")
    }

    pub fn state(&self, worker: usize) -> State {
        self.view(worker).state
    }

    pub fn open_rows(&self) -> Vec<LaunchRecord> {
        let master = self.master.as_ref().expect("a master");
        master.runtime.block_on(master.store.open_launches()).expect("the ledger")
    }

    pub fn rows(&self) -> Vec<LaunchRecord> {
        let master = self.master.as_ref().expect("a master");
        master.runtime.block_on(master.store.launches(1000)).expect("the ledger")
    }

    /// How many it stopped.
    pub fn reap(&self) -> usize {
        let master = self.master.as_ref().expect("a master");
        master.runtime.block_on(master.latent.reap())
    }

    /// Tells the driver something, as the rest of a master would.
    pub fn tell(&self, worker: usize, event: Event) {
        self.master.as_ref().expect("a master").latent.tell(&self.workers[worker], event);
    }

    /// Every row is closed, nothing costs anything, and no worker ever had two instances.
    pub fn finish(self) {
        let end = Moment::now() + Duration::from_secs(40);
        while !self.open_rows().is_empty() {
            self.reap();
            let views: Vec<View> = (0..self.workers.len()).map(|n| self.view(n)).filter(|v| v.record.is_some()).collect();
            assert!(Moment::now() < end, "not every row is closed: {views:#?}");
            std::thread::sleep(ms(20));
        }
        self.ec2.assert_bill_stops();
        let floor = lock(&self.floor);
        assert_eq!(floor.doubled, None, "two instances of one worker\n{}", self.ec2.story());
        assert!(floor.requests.values().all(|r| r.progress == Progress::Done), "{:#?}", floor.requests);
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        *lock(&self.told) = None;
        if std::thread::panicking() {
            eprintln!("{}", self.ec2.story());
        }
        if let Some(master) = self.master.take() {
            master.runtime.shutdown_background();
        }
    }
}

/// A worker's process on an instance.
struct Agent {
    floor: Arc<Mutex<Floor>>,
    id: String,
}

impl Drop for Agent {
    fn drop(&mut self) {
        lock(&self.floor).agents.remove(&self.id);
    }
}

impl Floor {
    fn step(&mut self, latent: &Latent) {
        let now = Moment::now();
        let there: BTreeSet<Arc<str>> = self.agents.values().cloned().collect();
        let cut = std::mem::take(&mut self.cut);
        let gone: Vec<Arc<str>> = self.attached.iter().filter(|w| !there.contains(*w) || cut.contains(*w)).cloned().collect();
        for worker in cut {
            self.dial_at.insert(worker, now + ms(200));
        }
        for worker in gone {
            self.attached.remove(&worker);
            latent.tell(&worker, Event::Detached);
            for (id, request) in self.requests.iter_mut().filter(|(_, r)| r.worker == worker) {
                match request.progress {
                    Progress::Building(_) => {
                        latent.tell(&worker, Event::BuildEnded { build: BuildId(*id), lost: true });
                        request.lost += 1;
                    }
                    Progress::Granted => {}
                    _ => continue,
                }
                request.progress = Progress::Queued(now);
            }
        }
        for worker in there {
            if !self.attached.contains(&worker) && self.dial_at.get(&worker).is_none_or(|at| *at <= now) {
                latent.tell(&worker, Event::Attached);
                self.attached.insert(worker);
            }
        }
        for (id, request) in &mut self.requests {
            let id = RequestId(*id);
            match request.progress {
                Progress::Queued(at) if at <= now => {
                    latent.tell(&request.worker, Event::Wanted(id));
                    request.progress = Progress::Asked;
                }
                Progress::Granted if self.attached.contains(&request.worker) => {
                    latent.tell(&request.worker, Event::BuildStarted(id, BuildId(id.0)));
                    request.progress = Progress::Building(now + request.takes);
                }
                Progress::Granted => request.progress = Progress::Queued(now),
                Progress::Building(until) if until <= now => {
                    latent.tell(&request.worker, Event::BuildEnded { build: BuildId(id.0), lost: false });
                    request.progress = Progress::Done;
                }
                _ => {}
            }
        }
    }
}
