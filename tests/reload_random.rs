//! Random sequences of edits on fifty workers and fifty builders while builds run: after each reload the master is as one that was
//! started on the same file, no worker is asked for what it does not know or loses a build, and every build ends well.
//! `ROUNDS` says how many sequences, `SEED` repeats one.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use buildmoon::master::{Master, Options};
use buildmoon::model::{Query, WorkerInfo};
use buildmoon::web::{Backend, Caller, Resource};
use buildmoon::wire::{Command, CommandEnd, Update};
use buildmoon::workers::link::BoxFuture;
use buildmoon::workers::{CommandEvent, Gate, Link, RunningCommand};
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

const WORKERS: usize = 50;
const BUILDERS: usize = 50;
/// These run in the master; no build is forced on them.
const LOCALS: usize = 2;
const EDITS: usize = 5;

#[derive(Clone, PartialEq, Debug)]
struct WorkerSaid {
    password: u32,
    max_builds: u32,
    property: u32,
    local: bool,
}

#[derive(Clone, PartialEq, Debug)]
struct BuilderSaid {
    workers: BTreeSet<usize>,
    folder: u32,
    steps: u32,
    tag: u32,
    asks: bool,
}

/// What the file says.
#[derive(Clone, Debug)]
struct Said {
    workers: BTreeMap<usize, WorkerSaid>,
    builders: BTreeMap<usize, BuilderSaid>,
    label: u32,
    second: bool,
    title: u32,
}

impl Said {
    fn first(random: &mut fastrand::Rng) -> Said {
        let workers =
            (0..WORKERS).map(|w| (w, WorkerSaid { password: 0, max_builds: 1 + random.u32(0..4), property: 0, local: w < LOCALS }));
        let mut said = Said { workers: workers.collect(), builders: BTreeMap::new(), label: 0, second: false, title: 0 };
        for b in 0..BUILDERS {
            let builder = said.builder(random);
            said.builders.insert(b, builder);
        }
        said
    }

    fn builder(&self, random: &mut fastrand::Rng) -> BuilderSaid {
        let all: Vec<usize> = self.workers.keys().copied().filter(|w| *w >= LOCALS).collect();
        let count = random.usize(1..5);
        BuilderSaid {
            workers: (0..count).map(|_| all[random.usize(0..all.len())]).collect(),
            folder: random.u32(0..2),
            steps: random.u32(1..3),
            tag: 0,
            asks: random.u8(0..4) == 0,
        }
    }

    fn edit(&mut self, random: &mut fastrand::Rng) {
        let some = |keys: Vec<usize>, random: &mut fastrand::Rng| keys.get(random.usize(0..keys.len().max(1))).copied();
        let worker = some(self.workers.keys().copied().filter(|w| *w >= LOCALS).collect(), random);
        let builder = some(self.builders.keys().copied().collect(), random);
        match (random.u8(0..16), worker, builder) {
            (0 | 1, Some(w), _) if self.workers.len() > WORKERS / 2 => {
                self.workers.remove(&w);
                for b in self.builders.values_mut() {
                    b.workers.remove(&w);
                }
                self.builders.retain(|_, b| !b.workers.is_empty());
            }
            (2, ..) => {
                for w in LOCALS..WORKERS {
                    self.workers.entry(w).or_insert(WorkerSaid { password: 0, max_builds: 2, property: 0, local: false });
                }
            }
            (3 | 4, Some(w), _) => self.workers.get_mut(&w).expect("there").password += 1,
            (5, Some(w), _) => self.workers.get_mut(&w).expect("there").max_builds = random.u32(1..5),
            (6, Some(w), _) => self.workers.get_mut(&w).expect("there").property += 1,
            (7, ..) => {
                let local = self.workers.get_mut(&0).expect("there");
                local.local = !local.local;
            }
            (8, _, Some(b)) => drop(self.builders.remove(&b)),
            (9 | 10, ..) => {
                let fresh = self.builder(random);
                self.builders.entry(random.usize(0..BUILDERS)).or_insert(fresh);
            }
            (11 | 12, _, Some(b)) => {
                let fresh = self.builder(random);
                self.builders.insert(b, fresh);
            }
            (13, _, Some(b)) => self.builders.get_mut(&b).expect("there").tag += 1,
            (14, ..) => self.second = !self.second,
            _ => (self.label, self.title) = (self.label + 1, self.title + 1),
        }
    }

    fn lua(&self) -> String {
        let mut out = format!("local c = BuildmasterConfig\nc.title = 't{}'; c.collapseRequests = false\nc.workers = {{\n", self.title);
        for (w, said) in &self.workers {
            let common = format!("max_builds = {}, properties = {{ p = {} }}", said.max_builds, said.property);
            let _ = match said.local {
                true => writeln!(out, "  LocalWorker{{ 'w{w}', {common} }},"),
                false => writeln!(out, "  Worker{{ 'w{w}', 'pw{}', {common} }},", said.password),
            };
        }
        out += "}\nc.builders = {\n";
        for (b, said) in &self.builders {
            let steps: Vec<String> = (0..said.steps).map(|s| format!("steps.ShellCommand{{ command = 'step {s}' }}")).collect();
            let workers: Vec<String> = said.workers.iter().map(|w| format!("'w{w}'")).collect();
            let asks = if said.asks { "canStartBuild = function() return true end," } else { "" };
            let _ = writeln!(
                out,
                "  util.BuilderConfig{{ name = 'b{b}', workernames = {{ {} }}, workerbuilddir = 'b{b}-{}', tags = {{ 't{}' }}, {asks}\n    \
                 factory = util.BuildFactory{{ {} }} }},",
                workers.join(", "),
                said.folder,
                said.tag,
                steps.join(", ")
            );
        }
        let names: Vec<String> = self.builders.keys().map(|b| format!("'b{b}'")).collect();
        let names = names.join(", ");
        let _ = writeln!(
            out,
            "}}\nc.schedulers = {{ schedulers.ForceScheduler{{ name = 'force', label = 'l{}', builderNames = {{ {names} }} }} }}",
            self.label
        );
        if self.second {
            let _ =
                writeln!(out, "table.insert(c.schedulers, schedulers.ForceScheduler{{ name = 'second', builderNames = {{ {names} }} }})");
        }
        out
    }
}

/// What all scripted workers of a sequence share.
struct World {
    /// Commands end once it is true; some end by themselves.
    go: watch::Sender<bool>,
    faults: Mutex<Vec<String>>,
    random: Mutex<fastrand::Rng>,
}

impl World {
    fn fault(&self, text: String) {
        self.faults.lock().unwrap().push(text);
    }
}

/// A process of a remote worker, from login to the end of its connection.
struct Process {
    name: String,
    world: Arc<World>,
    gone: CancellationToken,
    knows: Mutex<BTreeMap<String, String>>,
    running: Arc<Mutex<HashSet<String>>>,
}

impl Link for Process {
    fn set_builders(&self, builders: Vec<(String, String)>) -> BoxFuture<'_, Result<(), String>> {
        let delay = Duration::from_micros(self.world.random.lock().unwrap().u64(0..20_000));
        Box::pin(async move {
            tokio::time::sleep(delay).await;
            let builders: BTreeMap<String, String> = builders.into_iter().collect();
            let mut knows = self.knows.lock().unwrap();
            for builder in self.running.lock().unwrap().iter() {
                if builders.get(builder) != knows.get(builder) {
                    self.world.fault(format!("{}: {builder} is taken away or moved while it builds", self.name));
                }
            }
            *knows = builders;
            Ok(())
        })
    }

    fn start(&self, builder: &str, _: Command) -> RunningCommand {
        let (events, receiver) = mpsc::channel(4);
        if !self.knows.lock().unwrap().contains_key(builder) {
            self.world.fault(format!("{} is to build {builder}, which it does not know", self.name));
        }
        if !self.running.lock().unwrap().insert(builder.to_owned()) {
            self.world.fault(format!("{} has two commands of {builder}", self.name));
        }
        let (gone, running, builder, mut go) = (self.gone.clone(), self.running.clone(), builder.to_owned(), self.world.go.subscribe());
        let short = { self.world.random.lock().unwrap().u64(0..40) };
        tokio::spawn(async move {
            let end = tokio::select! {
                biased;
                () = gone.cancelled() => CommandEnd::Lost("gone".into()),
                () = tokio::time::sleep(Duration::from_millis(short)), if short < 30 => CommandEnd::Complete,
                _ = go.wait_for(|go| *go) => CommandEnd::Complete,
            };
            running.lock().unwrap().remove(&builder);
            let _ = events.send(CommandEvent::Update(Update::Rc(0))).await;
            let _ = events.send(CommandEvent::End(end)).await;
        });
        RunningCommand::new(receiver, Arc::new(|_| {}))
    }

    fn ping(&self, _: Duration) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.gone.cancel() })
    }

    fn disconnect(&self, why: &str) {
        if !self.running.lock().unwrap().is_empty() {
            self.world.fault(format!("{} is disconnected while it builds: {why}", self.name));
        }
        self.gone.cancel();
    }

    fn closed(&self) -> BoxFuture<'_, String> {
        Box::pin(async {
            self.gone.cancelled().await;
            "gone".to_owned()
        })
    }
}

async fn start(folder: &Path) -> Arc<Master> {
    Master::start(Options { folder: folder.to_owned(), config_timeout: Duration::from_secs(60) }).await.expect("a master")
}

/// Every remote worker that is configured and not attached logs in.
async fn attach_all(master: &Arc<Master>, said: &Said, world: &Arc<World>) {
    for w in said.workers.iter().filter(|(_, w)| !w.local).map(|(w, _)| format!("w{w}")) {
        if master.registry.attached(&w).is_some() {
            continue;
        }
        let process = Process {
            name: w.clone(),
            world: world.clone(),
            gone: CancellationToken::new(),
            knows: Mutex::new(master.registry.builders(&w).into_iter().collect()),
            running: Arc::default(),
        };
        let link: Arc<dyn Link> = Arc::new(process);
        if master.registry.attach(&w, "test", WorkerInfo::default(), link.clone()).is_ok() {
            let registry = master.registry.clone();
            tokio::spawn(async move {
                let why = link.closed().await;
                registry.detach(&w, &link, &why);
            });
        }
    }
}

/// What people see, by names instead of numbers.
fn seen(master: &Master) -> Value {
    let without = |row: &Map<String, Value>, fields: &[&str]| -> Value {
        row.iter().filter(|(name, _)| !fields.contains(&name.as_str())).map(|(n, v)| (n.clone(), v.clone())).collect::<Map<_, _>>().into()
    };
    let builders = master.builders();
    let names: BTreeMap<i64, String> =
        builders.iter().map(|b| (b["builderid"].as_i64().expect("an id"), b["name"].as_str().expect("a name").to_owned())).collect();
    let mut shown: Vec<Value> = builders.iter().map(|b| without(b, &["builderid"])).collect();
    shown.sort_by_key(|b| b["name"].to_string());
    let workers = master.workers();
    let configured = workers.iter().filter(|w| w["leaving"] != "it is not in the configuration any more").map(|w| {
        let on = w["configured_on"].as_array().expect("a list").iter();
        let mut on: Vec<&String> = on.map(|c| &names[&c["builderid"].as_i64().expect("an id")]).collect();
        on.sort();
        json!({ "name": w["name"], "configured_on": on, "paused": w["paused"], "graceful": w["graceful"] })
    });
    let schedulers: Vec<Value> = master.schedulers().iter().map(|s| without(s, &["schedulerid"])).collect();
    json!({
        "builders": shown, "workers": configured.collect::<Vec<_>>(), "schedulers": schedulers,
        "forceschedulers": master.forceschedulers(), "title": master.config()["title"],
    })
}

/// Which builders may run where, and in which folder.
fn places(master: &Master, said: &Said) -> BTreeMap<String, BTreeMap<String, String>> {
    said.workers.keys().map(|w| format!("w{w}")).map(|w| (w.clone(), master.registry.builders(&w).into_iter().collect())).collect()
}

async fn until(seed: u64, what: &str, mut so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !so().await {
        assert!(begun.elapsed() < Duration::from_secs(180), "SEED={seed}: {what}: not so after 180 s");
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

async fn force(master: &Master, said: &Said, random: &mut fastrand::Rng) {
    let all: Vec<&usize> = said.builders.keys().collect();
    for _ in 0..10 {
        let builder = format!("b{}", all[random.usize(0..all.len())]);
        let params = json!({ "builderNames": [builder] }).as_object().cloned().expect("an object");
        master.force("force", params, Caller::Socket).await.expect("a request");
    }
}

async fn sequence(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let (folder, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let write =
        |text: &str| [&folder, &other].into_iter().for_each(|f| std::fs::write(f.path().join("master.lua"), text).expect("master.lua"));
    let world = Arc::new(World { go: watch::Sender::new(false), faults: Mutex::default(), random: Mutex::new(random.fork()) });
    let mut said = Said::first(&mut random);
    write(&said.lua());
    let master = start(folder.path()).await;
    attach_all(&master, &said, &world).await;
    let mut good = 1;
    for _ in 0..EDITS {
        force(&master, &said, &mut random).await;
        tokio::time::sleep(Duration::from_micros(random.u64(0..8000))).await;
        let before = said.clone();
        for _ in 0..random.usize(1..5) {
            said.edit(&mut random);
        }
        if random.u8(0..5) == 0 {
            let seen_before = seen(&master);
            write(&(said.lua() + "c.builders[1].workernames = { 'nobody' }\n"));
            let answer = master.reload(Caller::Socket).await.expect("an answer");
            assert_eq!(answer["ok"], false, "SEED={seed}");
            assert_eq!(seen(&master), seen_before, "SEED={seed}: a wrong file changes nothing");
            said = before;
            continue;
        }
        write(&said.lua());
        let answer = master.reload(Caller::Socket).await.expect("an answer");
        assert_eq!(answer["ok"], true, "SEED={seed}: {answer}");
        good += 1;
        // At once, while workers are still told of new builders.
        force(&master, &said, &mut random).await;
        if random.bool() {
            attach_all(&master, &said, &world).await;
        }
        let fresh = start(other.path()).await;
        let wanted = seen(&fresh);
        fresh.shutdown(Duration::ZERO).await;
        assert_eq!(seen(&master), wanted, "SEED={seed}");
    }
    assert_eq!(master.config()["generation"], good, "SEED={seed}");

    // All builds end; each worker is what the last file says.
    world.go.send_replace(true);
    until(seed, "no build runs and every worker is attached", async || {
        attach_all(&master, &said, &world).await;
        let attached = said.workers.keys().all(|w| master.registry.attached(&format!("w{w}")).is_some());
        let workers = master.workers();
        let left = workers.len() == said.workers.len() && workers.iter().all(|w| w["leaving"].is_null());
        attached && left && master.engine.running().is_empty() && master.registry.unsettled().is_empty()
    })
    .await;
    // Builders that were removed come back, and what waited for them goes on.
    for b in 0..BUILDERS {
        let builder = said.builder(&mut random);
        said.builders.entry(b).or_insert(builder);
    }
    write(&said.lua());
    assert_eq!(master.reload(Caller::Socket).await.expect("an answer")["ok"], true, "SEED={seed}");
    until(seed, "all requests are complete", async || {
        let all = master.list(Resource::Buildrequests, vec![], Query::default()).await.expect("requests");
        all.rows.iter().all(|r| r["complete"] == true)
    })
    .await;
    until(seed, "all is settled", async || master.engine.running().is_empty() && master.registry.unsettled().is_empty()).await;
    let builds = master.list(Resource::Builds, vec![], Query::default()).await.expect("builds");
    let bad: Vec<_> = builds.rows.iter().filter(|b| b["results"] != 0).collect();
    assert!(bad.is_empty() && !builds.rows.is_empty(), "SEED={seed}: {bad:?}");
    let mut numbers = HashSet::new();
    assert!(builds.rows.iter().all(|b| numbers.insert((b["builderid"].as_i64(), b["number"].as_i64()))), "SEED={seed}: a number twice");
    let fresh = start(other.path()).await;
    assert_eq!((seen(&master), places(&master, &said)), (seen(&fresh), places(&fresh, &said)), "SEED={seed}");
    fresh.shutdown(Duration::ZERO).await;
    until(seed, "old configurations are dropped", async || master.config()["generations_alive"] == 1).await;
    master.shutdown(Duration::ZERO).await;
    let faults = world.faults.lock().unwrap();
    assert!(faults.is_empty(), "SEED={seed}: {faults:#?}");
}

#[test]
fn a_reloaded_master_is_as_one_that_was_started() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let seeds: Vec<u64> = match number("SEED") {
        Some(seed) => vec![seed],
        None => {
            let first = fastrand::u64(0..1 << 40);
            println!("SEED={first} and those after it");
            (first..first + number("ROUNDS").unwrap_or(30)).collect()
        }
    };
    let run = |seed: u64| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        runtime.block_on(sequence(seed));
    };
    for group in seeds.chunks(4) {
        std::thread::scope(|scope| group.iter().for_each(|seed| drop(scope.spawn(|| run(*seed)))));
    }
}
