//! The whole engine with scripted workers, over random schedules of forcing, cancelling, stopping, losing workers and restarting:
//! no request is lost, none runs twice at a time, no worker gets more than it takes. `ROUNDS` and `SEED` choose how long and which.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use buildmoon::base::{BuilderId, Clock, RequestId, SystemClock};
use buildmoon::builds::engine::MAX_ATTEMPTS;
use buildmoon::builds::{Active, Engine};
use buildmoon::lua::{LoadOptions, load};
use buildmoon::model::request::NewBuildset;
use buildmoon::model::{Event, Properties, Query, Results, SourceStamp, WorkerInfo};
use buildmoon::store::{BuilderRow, Resource, Store, StoreOptions};
use buildmoon::wire::{Command, CommandEnd, Update};
use buildmoon::workers::link::BoxFuture;
use buildmoon::workers::registry::{Configured, Registry};
use buildmoon::workers::{CommandEvent, Gate, Link, RunningCommand};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const CONFIG: &str = r#"
local c = BuildmasterConfig
c.workers = { Worker{ "w1", "p", max_builds = 1 }, Worker{ "w2", "p", max_builds = 2 }, Worker{ "w3", "p" } }
local function factory()
  local f = util.BuildFactory()
  f:addStep(steps.ShellCommand{ name = "one", command = "one" })
  f:addStep(steps.ShellCommand{ name = "last", command = "last", alwaysRun = true })
  return f
end
local all = { "w1", "w2", "w3" }
local asked = 0
c.builders = {
  util.BuilderConfig{ name = "plain", workernames = all, factory = factory(), collapseRequests = false },
  util.BuilderConfig{ name = "collapsing", workernames = { "w1", "w2" }, factory = factory() },
  util.BuilderConfig{ name = "asking", workernames = all, factory = factory(), collapseRequests = false,
    nextWorker = function(builder, workers, request) return workers[1] end,
    canStartBuild = function(builder, wfb, request)
      asked = asked + 1
      if asked % 3 == 0 then return false, 0.02 end
      return true
    end },
}
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "plain", "collapsing", "asking" } } }
"#;

const WORKERS: [(&str, u32); 3] = [("w1", 1), ("w2", 2), ("w3", u32::MAX)];

/// Ends its commands after a moment, each with success.
struct Scripted {
    gone: CancellationToken,
    running: Arc<AtomicU32>,
    folders: Arc<Mutex<HashSet<String>>>,
    most: u32,
    seed: Mutex<fastrand::Rng>,
}

impl Link for Scripted {
    fn set_builders(&self, _: Vec<(String, String)>) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }

    fn start(&self, builder: &str, _: Command) -> RunningCommand {
        let (events, receiver) = mpsc::channel(4);
        let interrupted = CancellationToken::new();
        let interrupt = interrupted.clone();
        if !self.gone.is_cancelled() {
            assert!(self.running.fetch_add(1, Ordering::SeqCst) < self.most, "more builds than max_builds");
            assert!(self.folders.lock().unwrap().insert(builder.to_owned()), "two commands in one folder");
        }
        let (gone, running, folders, builder) = (self.gone.clone(), self.running.clone(), self.folders.clone(), builder.to_owned());
        let delay = Duration::from_micros(self.seed.lock().unwrap().u64(0..3000));
        tokio::spawn(async move {
            let here = !gone.is_cancelled();
            let end = tokio::select! {
                biased;
                () = gone.cancelled() => CommandEnd::Lost("gone".into()),
                () = interrupted.cancelled() => {
                    tokio::time::sleep(delay / 4).await;
                    let _ = events.send(CommandEvent::Update(Update::Rc(-1))).await;
                    CommandEnd::Complete
                }
                () = tokio::time::sleep(delay) => {
                    let _ = events.send(CommandEvent::Update(Update::Rc(0))).await;
                    CommandEnd::Complete
                }
            };
            if here {
                running.fetch_sub(1, Ordering::SeqCst);
                folders.lock().unwrap().remove(&builder);
            }
            let _ = events.send(CommandEvent::End(end)).await;
        });
        RunningCommand::new(receiver, Arc::new(move |_| interrupt.cancel()))
    }

    fn ping(&self, _: Duration) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.gone.cancel() })
    }

    fn disconnect(&self, _: &str) {
        self.gone.cancel();
    }

    fn closed(&self) -> BoxFuture<'_, String> {
        Box::pin(async {
            self.gone.cancelled().await;
            "gone".to_owned()
        })
    }
}

/// One life of a master on a folder.
struct Life {
    engine: Arc<Engine>,
    registry: Arc<Registry>,
    store: Store,
    builders: Vec<BuilderId>,
    distributor: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    complete: HashMap<RequestId, u32>,
    missed: u64,
}

async fn begin(folder: &Path, seen: &Arc<Mutex<Seen>>) -> Life {
    let loaded =
        load(LoadOptions { path: folder.into(), timeout: Duration::from_secs(60), checking: false }).await.expect("the configuration");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = Store::open(StoreOptions { database: folder.join("state.sqlite"), logs: folder.join("logs") }).await.expect("a store");
    let (registry, events) = Registry::new(store.clone(), clock.clone());
    let engine = Engine::new(store.clone(), registry.clone(), clock.clone());
    let rows: Vec<BuilderRow> = loaded
        .config
        .builders
        .iter()
        .map(|b| BuilderRow { name: b.name.clone(), description: None, description_format: None, tags: vec![] })
        .collect();
    let ids = store.sync_builders(&rows).await.expect("builders");
    let names: Vec<String> = loaded.config.workers.iter().map(|w| w.name.clone()).collect();
    let mut stored = store.sync_workers(&names).await.expect("workers");
    let recovery = store.recover(clock.now(), MAX_ATTEMPTS).await.expect("recovery");
    let builders_of = |worker: &str| {
        let named = loaded.config.builders.iter().filter(|b| b.workers.iter().any(|w| w == worker));
        named.map(|b| (b.name.clone(), b.workerbuilddir.clone())).collect()
    };
    let workers = loaded.config.workers.iter().map(|spec| Configured {
        spec: spec.clone(),
        stored: stored.remove(&spec.name).expect("a worker"),
        builders: builders_of(&spec.name),
    });
    let workers = workers.collect();
    let builders = ["plain", "collapsing", "asking"].map(|name| ids[name]).to_vec();
    engine.configure(Active { config: loaded.config.clone(), generation: loaded.generation, builder_ids: Arc::new(ids) }, workers);
    engine.adopt(recovery.waiting, &recovery.last_numbers);
    let (mut watch, seen) = (engine.subscribe(), seen.clone());
    tokio::spawn(async move {
        loop {
            match watch.recv().await {
                Ok(Event::RequestComplete(id, _)) => *seen.lock().unwrap().complete.entry(id).or_default() += 1,
                Ok(_) => {}
                Err(tokio::sync::broadcast::error::RecvError::Lagged(n)) => seen.lock().unwrap().missed += n,
                Err(_) => return,
            }
        }
    });
    let distributor = tokio::spawn(engine.clone().distribute(events));
    Life { engine, registry, store, builders, distributor }
}

impl Life {
    fn attach(&self, which: usize, random: &mut fastrand::Rng) {
        let (name, most) = WORKERS[which];
        let link: Arc<dyn Link> = Arc::new(Scripted {
            gone: CancellationToken::new(),
            running: Arc::default(),
            folders: Arc::default(),
            most,
            seed: Mutex::new(random.fork()),
        });
        if self.registry.attach(name, "test", WorkerInfo::default(), link.clone()).is_ok() {
            let (registry, name) = (self.registry.clone(), name.to_owned());
            tokio::spawn(async move {
                let why = link.closed().await;
                registry.detach(&name, &link, &why);
            });
        }
    }

    async fn submit(&self, random: &mut fastrand::Rng) -> Vec<RequestId> {
        let count = if random.u8(0..4) == 0 { 3 } else { 1 };
        let first = random.usize(0..3);
        let mut properties = Properties::default();
        if random.u8(0..3) == 0 {
            // w3 does not build everything.
            properties.set("workername", WORKERS[random.usize(0..2)].0, "Force Build Form");
        }
        let new = NewBuildset {
            reason: "simulated".into(),
            submitted_at: self.engine.now(),
            external_idstring: None,
            sourcestamps: vec![SourceStamp::default()],
            properties,
            builders: (0..count).map(|i| self.builders[(first + i) % 3]).collect(),
            priority: random.i64(-1..2),
            rebuilt_buildid: None,
        };
        if random.u8(0..5) == 0 {
            // The client hangs up: the request is accepted or not, but never half.
            let _ = tokio::time::timeout(Duration::from_micros(random.u64(0..800)), self.engine.submit(new)).await;
            return vec![];
        }
        self.engine.submit(new).await.expect("accepted").requests.into_values().collect()
    }

    async fn end(self) {
        self.engine.shutdown(Duration::from_millis(1)).await;
        self.registry.disconnect_all("the master stops");
        self.distributor.abort();
        self.store.close().await;
    }
}

async fn rows(store: &Store, what: Resource) -> Vec<serde_json::Map<String, serde_json::Value>> {
    store.list(what, vec![], Query::default()).await.expect("rows").rows
}

async fn simulate(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("master.lua"), CONFIG).expect("master.lua");
    let seen = Arc::new(Mutex::new(Seen::default()));
    let mut life = begin(folder.path(), &seen).await;
    let mut accepted: Vec<RequestId> = vec![];
    // Builds of one request that may end as retry besides those whose worker was lost.
    let mut again = 0;
    for _ in 0..80 {
        match random.u8(0..22) {
            0..8 => accepted.extend(life.submit(&mut random).await),
            8..10 if !accepted.is_empty() => {
                let id = accepted[random.usize(0..accepted.len())];
                let _ = life.engine.cancel(id, "simulated").await;
            }
            10 if !accepted.is_empty() => {
                let id = accepted[random.usize(0..accepted.len())];
                let _ = life.engine.set_priority(id, random.i64(-5..5)).await;
            }
            11 => {
                let running = life.engine.running();
                if let Some((id, ..)) = running.get(random.usize(0..running.len().max(1))) {
                    let results = if random.bool() { Results::Retry } else { Results::Cancelled };
                    again += 1;
                    life.engine.stop_build(*id, "simulated", results);
                }
            }
            12..16 => life.attach(random.usize(0..3), &mut random),
            16 => {
                if let Some(link) = life.registry.link(WORKERS[random.usize(0..3)].0) {
                    link.disconnect("simulated");
                }
            }
            17 => drop(life.registry.set_paused(WORKERS[random.usize(0..3)].0, random.bool(), Some("simulated"))),
            18 => drop(life.registry.stop_gracefully(WORKERS[random.usize(0..3)].0, "simulated")),
            19 if random.u8(0..3) == 0 => {
                again += 1;
                life.end().await;
                life = begin(folder.path(), &seen).await;
            }
            _ => {}
        }
        tokio::time::sleep(Duration::from_micros(random.u64(0..2500))).await;
    }
    // Everything is well again: each request has to end now.
    let begun = std::time::Instant::now();
    loop {
        for (which, (name, _)) in WORKERS.iter().enumerate() {
            life.registry.set_paused(name, false, None);
            life.attach(which, &mut random);
        }
        let open: Vec<i64> = rows(&life.store, Resource::Buildrequests)
            .await
            .iter()
            .filter(|r| r["complete"] == false)
            .filter_map(|r| r["buildrequestid"].as_i64())
            .collect();
        if open.is_empty() && life.engine.running().is_empty() {
            break;
        }
        if begun.elapsed() > Duration::from_secs(120) {
            let why: Vec<_> = open.iter().map(|id| (id, life.engine.why(RequestId(*id)), life.engine.build_of(RequestId(*id)))).collect();
            panic!("SEED={seed}: requests do not end: {why:?}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    check(seed, &life.store, &accepted, &seen, again).await;
    life.end().await;
}

async fn check(seed: u64, store: &Store, accepted: &[RequestId], seen: &Mutex<Seen>, again: usize) {
    let requests: HashSet<i64> = rows(store, Resource::Buildrequests).await.iter().filter_map(|r| r["buildrequestid"].as_i64()).collect();
    for id in accepted {
        assert!(requests.contains(&id.0), "SEED={seed}: request {id} is gone");
    }
    let mut numbers = HashSet::new();
    let mut builds: HashMap<i64, Vec<(f64, f64)>> = HashMap::new();
    for build in rows(store, Resource::Builds).await {
        let number = |field: &str| build[field].as_i64().unwrap_or_default();
        assert_eq!(build["complete"], true, "SEED={seed}: {build:?}");
        assert!(numbers.insert((number("builderid"), number("number"))), "SEED={seed}: a number twice: {build:?}");
        let time = |field: &str| build[field].as_f64().unwrap_or_default();
        builds.entry(number("buildrequestid")).or_default().push((time("started_at"), time("complete_at")));
    }
    for (request, mut times) in builds {
        times.sort_by(|a, b| a.partial_cmp(b).expect("times"));
        assert!(times.windows(2).all(|w| w[0].1 <= w[1].0), "SEED={seed}: two builds of request {request} at a time: {times:?}");
        assert!(times.len() <= MAX_ATTEMPTS as usize + again, "SEED={seed}: request {request} ran {} times", times.len());
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    let seen = seen.lock().unwrap();
    for (id, times) in &seen.complete {
        assert_eq!(*times, 1, "SEED={seed}: request {id} ended {times} times");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_request_ends_exactly_once() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    for seed in first..first + number("ROUNDS").unwrap_or(12) {
        println!("SEED={seed}");
        simulate(seed).await;
    }
}
