//! Puts the rooms together: loads the configuration, opens the store, settles what a crash left, listens, reloads, shuts down.
//!
//! Nothing is decided here. Two masters can live in one process: everything hangs on [`Master`].

mod absences;
mod backend;
pub mod bench;
#[cfg(feature = "ec2")]
mod ec2;
pub mod folder;
mod leftovers;
mod listeners;
mod locals;
mod machines;
mod notices;
pub mod oneshot;
pub mod online;
mod outbox;
mod providers;
mod reload;
mod scripted;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::task::JoinSet;

use crate::base::{BuilderId, Clock, SystemClock, Timestamp, WorkerId};
use crate::builds::engine::MAX_ATTEMPTS;
use crate::builds::{Active, Engine};
use crate::config::{MasterConfig, Mistake, WorkerSpec};
use crate::latent::Shutdown;
use crate::lua::processes::owned_in;
use crate::lua::{self, Loaded, Surroundings};
use crate::model::query::Row;
use crate::report::driver::Reports;
use crate::report::sending::outbox::{Outbox, Policy};
use crate::secrets::{self, SecretSource};
use crate::store::{BuilderRow, Store, StoreOptions};
use crate::web;
use crate::workers::Gate;
use crate::workers::pb::PbServer;
use crate::workers::registry::{Configured, Registry};
use absences::Absences;
use folder::Folder;
use listeners::{Listeners, Servers};
use locals::Locals;
use machines::Machines;
use reload::Reloads;

/// So long a stopping master waits for its machines' ends, after all builds have ended.
const MACHINES_END: Duration = Duration::from_secs(30);

/// So long a stopping master waits for the messages that are just being sent.
const OUTBOX_END: Duration = Duration::from_secs(5);

/// The only master of its database, until several share one.
const MASTER_ID: i64 = 1;

pub struct Options {
    /// Holds `master.lua`, `state.sqlite`, `buildmoon.pid` and whatever the master writes.
    pub folder: PathBuf,
    /// For the evaluation of the configuration.
    pub config_timeout: Duration,
}

/// Why a master does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{}", .0.iter().map(Mistake::to_string).collect::<Vec<_>>().join("\n"))]
    Configuration(Vec<Mistake>, Surroundings),
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

pub struct Master {
    pub engine: Arc<Engine>,
    pub registry: Arc<Registry>,
    store: Store,
    clock: Arc<dyn Clock>,
    at_work: RwLock<Arc<AtWork>>,
    reloads: Reloads,
    started_at: Timestamp,
    name: String,
    listeners: tokio::sync::Mutex<Listeners>,
    locals: Arc<Locals>,
    machines: Machines,
    /// Messages until they have arrived.
    pub outbox: Arc<Outbox>,
    /// What makes messages of what happens.
    pub reports: Arc<Reports>,
    absences: Absences,
    master_id: Arc<str>,
    tasks: tokio::sync::Mutex<JoinSet<()>>,
    config_timeout: Duration,
    folder: Folder,
}

/// The configuration at work, and what questions about it are answered from.
struct AtWork {
    loaded: Loaded,
    /// Counts those that were put to work.
    generation: u64,
    since: Timestamp,
    builder_ids: Arc<HashMap<String, BuilderId>>,
    builder_rows: Arc<Vec<Row>>,
    scheduler_rows: Vec<Row>,
}

impl AtWork {
    fn new(loaded: Loaded, generation: u64, since: Timestamp, ids: &Ids) -> AtWork {
        AtWork {
            builder_rows: Arc::new(backend::builder_rows(&loaded.config, &ids.builders)),
            scheduler_rows: backend::scheduler_rows(&loaded.config, &ids.schedulers),
            builder_ids: ids.builders.clone(),
            loaded,
            generation,
            since,
        }
    }

    fn active(&self) -> Active {
        Active { config: self.loaded.config.clone(), generation: self.loaded.generation.clone(), builder_ids: self.builder_ids.clone() }
    }
}

impl Master {
    /// Everything up: it listens, and what waited before goes on.
    pub async fn start(options: Options) -> Result<Arc<Master>, StartError> {
        let folder = Folder::lock(&options.folder)?;
        raise_file_limit();
        let load = lua::LoadOptions { path: options.folder.clone(), timeout: options.config_timeout, checking: false };
        let (loaded, surroundings) = load_to_start(load).await?;
        for warning in &loaded.config.warnings {
            tracing::warn!("{warning}");
        }
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let config = loaded.config.clone();
        let open = secrets::check(&config, loaded.generation.folder());
        if !open.is_empty() {
            return Err(StartError::Configuration(open, surroundings));
        }
        let store = open_store(&folder, &config).await?;
        let (registry, worker_events) = Registry::new(store.clone(), clock.clone());
        let engine = Engine::new(store.clone(), registry.clone(), clock.clone());

        let machines = Machines::new(folder.path(), store.clone(), &*clock, &engine, &registry)?;

        // Listeners first: a port that is taken must not cost a recovery.
        let mut listeners = Listeners::new(folder.path().to_owned());
        let ports = listeners.prepare(&config, None).await?;
        let control = folder.bind_control_socket()?;

        let now = clock.now();
        let mut ids = Ids::sync(&store, &config).await.map_err(|e| anyhow!("the names of the configuration could not be stored: {e}"))?;
        let recovery =
            store.recover(now, MAX_ATTEMPTS).await.map_err(|e| anyhow!("the database could not be settled after the last run: {e}"))?;
        for build in &recovery.interrupted {
            tracing::warn!(build = build.0, "build was running when the master ended; closed as retry, its request runs again");
        }
        let workers = configured(&config, std::mem::take(&mut ids.workers));
        let reloads = Reloads::new(now, &loaded);
        let secrets = SecretSource::new(config.clone(), loaded.generation.clone());
        let at_work = AtWork::new(loaded, 1, now, &ids);
        engine.configure(at_work.active(), workers);
        registry.fetch_passwords(secrets).await;
        // Before anybody attaches, and before a request asks for one.
        machines.configure(&at_work).await.map_err(|e| anyhow!("the ledger of latent workers can't be read: {e}"))?;
        let master_id: Arc<str> = machines.master_id().into();
        let outbox = Outbox::new(store.clone(), clock.clone(), Policy::default());
        outbox::configure(&outbox, &at_work, &master_id, folder.path());
        let absences = Absences::read(&store).await.map_err(|e| anyhow!("which workers are away can't be read: {e}"))?;
        let reports = Reports::new(store.clone(), engine.clone(), registry.clone(), outbox.clone());
        engine.adopt(recovery.waiting, &recovery.last_numbers);
        engine.remember_completions(&recovery.last_completions);

        let name = folder.master_name();
        let master = Arc::new(Master {
            engine: engine.clone(),
            registry: registry.clone(),
            store,
            clock,
            at_work: RwLock::new(Arc::new(at_work)),
            reloads,
            started_at: now,
            name,
            listeners: tokio::sync::Mutex::new(Listeners::default()),
            locals: Locals::new(folder.path().to_owned(), owned_in(folder.path())),
            machines,
            outbox,
            reports: reports.clone(),
            absences,
            master_id,
            tasks: tokio::sync::Mutex::new(JoinSet::new()),
            config_timeout: options.config_timeout,
            folder,
        });
        master.machines.set_master(Arc::downgrade(&master));
        let backend: Arc<dyn web::Backend> = master.clone();
        master.at_work().loaded.generation.set_data(web::Data::new(Arc::downgrade(&backend)));
        master.at_work().loaded.generation.set_kept(Arc::new(master.store.clone()));
        master.locals.hide(secrets::private_variables(&config));
        leftovers::end(master.folder.path()).await;
        // Before anybody can ask: a master that answers has its own workers.
        for spec in &config.workers {
            master.locals.attach(&registry, spec).await?;
        }
        let mut tasks = master.tasks.lock().await;
        tasks.spawn(engine.clone().distribute(worker_events));
        tasks.spawn(master.clone().serve_reloads());
        tasks.spawn(reap(Arc::downgrade(&master)));
        tasks.spawn(reports.run());
        tasks.spawn(absences::watch(Arc::downgrade(&master)));
        drop(tasks);
        let servers = master.servers();
        listeners.commit(ports, &config, &servers);
        listeners.serve_control(control, &servers);
        *master.listeners.lock().await = listeners;
        Ok(master)
    }

    /// Who answers on its ports.
    fn servers(self: &Arc<Self>) -> Servers {
        let gate: Arc<dyn Gate> = self.registry.clone();
        Servers { workers: PbServer::new(gate), web: web::router(self.clone()) }
    }

    fn at_work(&self) -> Arc<AtWork> {
        self.at_work.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A file of the configuration as people know it: below the base folder, if it is there.
    fn shown(&self, path: &Path) -> String {
        path.strip_prefix(self.folder.path()).unwrap_or(path).display().to_string()
    }

    /// One line that says where it listens and what it runs.
    pub async fn describe(&self) -> String {
        let at_work = self.at_work();
        let c = &at_work.loaded.config;
        let addresses = self.listeners.lock().await.addresses();
        let listens = if addresses.is_empty() { "no ports".to_owned() } else { addresses.join(", ") };
        format!("buildmoon is ready: {listens}; {} workers, {} builders", c.workers.len(), c.builders.len())
    }

    /// In order: no new builds, running ones get `grace`, then they end as retry; lines to workers are cut; all is stored.
    pub async fn shutdown(&self, grace: Duration) {
        // From here on no reload begins, and none is half done.
        self.reloads.close().await;
        // What has no build ends now, the rest when its builds have ended.
        self.machines.latent.shutdown(Shutdown::Orderly, Duration::ZERO).await;
        self.engine.shutdown(grace).await;
        match self.machines.latent.shutdown(Shutdown::Fast, MACHINES_END).await {
            0 => {}
            left => tracing::warn!("{left} machines of latent workers are not known to be gone; the next start looks after them"),
        }
        self.machines.latent.close();
        self.registry.disconnect_all("the master stops");
        // The sessions note when they end; give them a moment, since nothing is lost if they can't.
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.outbox.close(OUTBOX_END).await;
        self.listeners.lock().await.shutdown().await;
        self.tasks.lock().await.shutdown().await;
        self.store.close().await;
        self.folder.release();
    }
}

/// Looks for machines that nobody knows, at the start and from time to time.
async fn reap(master: Weak<Master>) {
    loop {
        let Some(interval) = master.upgrade().map(|m| m.at_work().loaded.config.reap_interval) else { return };
        let Some(latent) = master.upgrade().map(|m| m.machines.latent.clone()) else { return };
        let stopped = latent.reap().await;
        if stopped > 0 {
            tracing::warn!("{stopped} machines that nobody knew were stopped");
        }
        drop(latent);
        tokio::time::sleep(interval).await;
    }
}

struct Ids {
    builders: Arc<HashMap<String, BuilderId>>,
    workers: HashMap<String, crate::store::StoredWorker>,
    schedulers: HashMap<String, crate::base::SchedulerId>,
}

impl Ids {
    async fn sync(store: &Store, config: &MasterConfig) -> Result<Ids, crate::store::StoreError> {
        let builders: Vec<BuilderRow> = config
            .builders
            .iter()
            .map(|b| BuilderRow {
                name: b.name.clone(),
                description: b.description.clone(),
                description_format: b.description_format.clone(),
                tags: b.tags.clone(),
            })
            .collect();
        let workers: Vec<String> = config.workers.iter().map(|w| w.name.clone()).collect();
        let schedulers: Vec<String> = config.schedulers.iter().map(|s| s.name.clone()).collect();
        Ok(Ids {
            builders: Arc::new(store.sync_builders(&builders).await?),
            workers: store.sync_workers(&workers).await?,
            schedulers: store.sync_schedulers(&schedulers).await?,
        })
    }
}

/// With what is shown beside the mistakes that are found later.
async fn load_to_start(options: lua::LoadOptions) -> Result<(Loaded, Surroundings), StartError> {
    let checked = lua::check(options).await;
    match checked.outcome {
        Ok(loaded) => Ok((loaded, checked.surroundings)),
        Err(mistakes) => Err(StartError::Configuration(mistakes, checked.surroundings)),
    }
}

async fn open_store(folder: &Folder, config: &MasterConfig) -> Result<Store> {
    let database = folder.path().join(&config.sqlite);
    let options = StoreOptions { logs: folder.path().join("logs"), database: database.clone() };
    Store::open(options).await.with_context(|| format!("cannot open the database {}", database.display()))
}

/// The workers with the builders that name them.
fn configured(config: &MasterConfig, mut stored: HashMap<String, crate::store::StoredWorker>) -> Vec<Configured> {
    let mut builders: HashMap<&str, Vec<(String, String)>> = HashMap::new();
    for builder in &config.builders {
        for worker in &builder.workers {
            builders.entry(worker).or_default().push((builder.name.clone(), builder.workerbuilddir.clone()));
        }
    }
    config
        .workers
        .iter()
        .map(|spec| Configured {
            stored: stored.remove(&spec.name).unwrap_or_else(|| unknown_worker(spec)),
            builders: builders.remove(spec.name.as_str()).unwrap_or_default(),
            spec: spec.clone(),
        })
        .collect()
}

/// The store answers for every name it was given; this keeps a bug there from being a panic here.
fn unknown_worker(spec: &WorkerSpec) -> crate::store::StoredWorker {
    tracing::error!(worker = spec.name, "the store gave no id for a worker");
    crate::store::StoredWorker { id: WorkerId(0), paused: false, pause_reason: None, last_seen: None, info: Default::default() }
}

/// A connection is a file, and a fleet is larger than the usual limit of 1024.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && let Err(e) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::warn!("the limit of {soft} open files could not be raised to {hard}: {e}");
    }
}
