//! Puts the rooms together: loads the configuration, opens the store, settles what a crash left, listens, shuts down.
//!
//! Nothing is decided here. Two masters can live in one process: everything hangs on [`Master`].

mod backend;
pub mod folder;
pub mod oneshot;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::task::JoinSet;

use crate::base::{BuilderId, Clock, SystemClock, Timestamp, WorkerId};
use crate::builds::engine::MAX_ATTEMPTS;
use crate::builds::{Active, Engine};
use crate::config::{Listen, MasterConfig, Mistake, WorkerKind, WorkerSpec};
use crate::lua::{self, Loaded};
use crate::model::query::Row;
use crate::secrets::{self, SecretSource};
use crate::store::{BuilderRow, Store, StoreOptions};
use crate::web::{self, Bound};
use crate::workers::local::{LocalLink, SHUT_DOWN};
use crate::workers::pb::PbServer;
use crate::workers::registry::{Configured, Registry};
use crate::workers::{Gate, Link, pb};
use folder::Folder;

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
    Configuration(Vec<Mistake>),
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

pub struct Master {
    pub engine: Arc<Engine>,
    pub registry: Arc<Registry>,
    store: Store,
    clock: Arc<dyn Clock>,
    loaded: Loaded,
    loaded_at: Timestamp,
    builder_ids: Arc<HashMap<String, BuilderId>>,
    builder_rows: Arc<Vec<Row>>,
    scheduler_rows: Vec<Row>,
    started_at: Timestamp,
    name: String,
    /// What it listens on, for the line that says so.
    addresses: Vec<String>,
    tasks: tokio::sync::Mutex<JoinSet<()>>,
    folder: Folder,
}

impl Master {
    /// Everything up: it listens, and what waited before goes on.
    pub async fn start(options: Options) -> Result<Arc<Master>, StartError> {
        let folder = Folder::lock(&options.folder)?;
        raise_file_limit();
        let load = lua::LoadOptions { path: options.folder.clone(), timeout: options.config_timeout, checking: false };
        let loaded = lua::load(load).await.map_err(StartError::Configuration)?;
        for warning in &loaded.config.warnings {
            tracing::warn!("{warning}");
        }
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let config = loaded.config.clone();
        let open = secrets::check(&config, loaded.generation.folder());
        if !open.is_empty() {
            return Err(StartError::Configuration(open));
        }
        let store = open_store(&folder, &config).await?;
        let (registry, worker_events) = Registry::new(store.clone(), clock.clone());
        let engine = Engine::new(store.clone(), registry.clone(), clock.clone());

        // Listeners first: a port that is taken must not cost a recovery.
        let mut addresses = Vec::new();
        let mut worker_listeners = Vec::new();
        for listen in &config.pb {
            worker_listeners.push(listen_for_workers(listen, &folder, &mut addresses)?);
        }
        let web_listener = match &config.www {
            Some(listen) => Some(listen_for_the_web(listen, &folder, &mut addresses)?),
            None => None,
        };
        let control = folder.bind_control_socket()?;

        let now = clock.now();
        let ids = Ids::sync(&store, &config).await.map_err(|e| anyhow!("the names of the configuration could not be stored: {e}"))?;
        let recovery =
            store.recover(now, MAX_ATTEMPTS).await.map_err(|e| anyhow!("the database could not be settled after the last run: {e}"))?;
        for build in &recovery.interrupted {
            tracing::warn!(build = build.0, "build was running when the master ended; closed as retry, its request runs again");
        }
        let builder_ids = Arc::new(ids.builders);
        registry.configure(configured(&config, ids.workers));
        registry.fetch_passwords(SecretSource::new(config.clone(), loaded.generation.clone())).await;
        engine.configure(Active { config: config.clone(), generation: loaded.generation.clone(), builder_ids: builder_ids.clone() });
        engine.adopt(recovery.waiting, &recovery.last_numbers);
        engine.remember_completions(&recovery.last_completions);

        let name = folder.master_name();
        let master = Arc::new(Master {
            builder_rows: Arc::new(backend::builder_rows(&config, &builder_ids)),
            scheduler_rows: backend::scheduler_rows(&config, &ids.schedulers),
            engine: engine.clone(),
            registry: registry.clone(),
            store,
            clock,
            loaded,
            loaded_at: now,
            builder_ids,
            started_at: now,
            name,
            addresses,
            tasks: tokio::sync::Mutex::new(JoinSet::new()),
            folder,
        });
        let backend: Arc<dyn web::Backend> = master.clone();
        master.loaded.generation.set_data(web::Data::new(Arc::downgrade(&backend)));
        // Before anybody can ask: a master that answers has its own workers.
        for spec in &config.workers {
            if let WorkerKind::Local { workdir } = &spec.kind {
                let base = workdir.clone().unwrap_or_else(|| PathBuf::from("workers").join(&spec.name));
                attach_local(&master.registry, spec, master.folder.path().join(base), secrets::private_variables(&config)).await?;
            }
        }
        let mut tasks = master.tasks.lock().await;
        tasks.spawn(engine.clone().distribute(worker_events));
        for listener in worker_listeners {
            let gate: Arc<dyn Gate> = registry.clone();
            match listener {
                WorkerListener::Tcp(listener) => tasks.spawn(async move { PbServer::new(gate).serve(listener).await }),
                WorkerListener::Unix(listener) => tasks.spawn(async move { PbServer::new(gate).serve_unix(listener).await }),
            };
        }
        let router = web::router(master.clone());
        tasks.spawn(web::serve_unix(control, router.clone()));
        match web_listener {
            Some(Bound::Tcp(listener)) => drop(tasks.spawn(web::serve_tcp(listener, router))),
            Some(Bound::Unix(listener)) => drop(tasks.spawn(web::serve_unix(listener, router))),
            None => {}
        }
        drop(tasks);
        Ok(master)
    }

    /// One line that says where it listens and what it runs.
    pub fn describe(&self) -> String {
        let c = &self.loaded.config;
        let listens = if self.addresses.is_empty() { "no ports".to_owned() } else { self.addresses.join(", ") };
        format!("buildmoon is ready: {listens}; {} workers, {} builders", c.workers.len(), c.builders.len())
    }

    /// In order: no new builds, running ones get `grace`, then they end as retry; lines to workers are cut; all is stored.
    pub async fn shutdown(&self, grace: Duration) {
        self.engine.shutdown(grace).await;
        self.registry.disconnect_all("the master stops");
        // The sessions note when they end; give them a moment, since nothing is lost if they can't.
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.tasks.lock().await.shutdown().await;
        self.store.close().await;
        self.folder.release();
    }

    pub fn config(&self) -> &MasterConfig {
        &self.loaded.config
    }
}

struct Ids {
    builders: HashMap<String, BuilderId>,
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
            builders: store.sync_builders(&builders).await?,
            workers: store.sync_workers(&workers).await?,
            schedulers: store.sync_schedulers(&schedulers).await?,
        })
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

/// Attaches a local worker. It is back at once after its line was cut, but not after it was asked to stop.
async fn attach_local(registry: &Arc<Registry>, spec: &WorkerSpec, base: PathBuf, private: Vec<String>) -> Result<()> {
    let link = attach_local_once(registry, &spec.name, base.clone(), &private).await?;
    let (registry, name) = (Arc::downgrade(registry), spec.name.clone());
    tokio::spawn(async move {
        let mut link = link;
        loop {
            let why = link.closed().await;
            let Some(registry) = registry.upgrade() else { return };
            registry.detach(&name, &link, &why);
            if why == SHUT_DOWN || registry.closing() {
                return;
            }
            link = match attach_local_once(&registry, &name, base.clone(), &private).await {
                Ok(link) => link,
                Err(e) => {
                    tracing::error!(worker = name, "the local worker can't be attached again: {e:#}");
                    return;
                }
            };
        }
    });
    Ok(())
}

async fn attach_local_once(registry: &Arc<Registry>, name: &str, base: PathBuf, private: &[String]) -> Result<Arc<dyn Link>> {
    let local = LocalLink::without(base, private);
    local.set_builders(registry.builders(name)).await.map_err(|e| anyhow!("local worker {name}: {e}"))?;
    let info = local.info();
    let link: Arc<dyn Link> = local;
    registry.attach(name, "this process", info, link.clone()).map_err(|e| anyhow!(e))?;
    Ok(link)
}

enum WorkerListener {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

fn listen_for_workers(listen: &Listen, folder: &Folder, addresses: &mut Vec<String>) -> Result<WorkerListener> {
    let failed = || format!("cannot listen for workers on {}", show(listen));
    Ok(match listen {
        Listen::Tcp { interface, port } => {
            let listener = pb::bind_tcp(interface.as_deref(), *port).with_context(failed)?;
            addresses.push(format!("workers on {}", listener.local_addr().with_context(failed)?));
            WorkerListener::Tcp(listener)
        }
        Listen::Unix { path } => {
            let path = folder.path().join(path);
            addresses.push(format!("workers on {}", path.display()));
            WorkerListener::Unix(folder::bind_unix(&path).with_context(failed)?)
        }
    })
}

fn listen_for_the_web(listen: &Listen, folder: &Folder, addresses: &mut Vec<String>) -> Result<Bound> {
    let listen = match listen {
        Listen::Unix { path } => Listen::Unix { path: folder.path().join(path) },
        tcp => tcp.clone(),
    };
    let bound = web::bind(&listen).context("the web port (c.www)")?;
    addresses.push(match &bound {
        Bound::Tcp(listener) => format!("web on http://{}/", listener.local_addr().context("the web port (c.www)")?),
        Bound::Unix(_) => format!("web on {}", show(&listen)),
    });
    Ok(bound)
}

fn show(listen: &Listen) -> String {
    match listen {
        Listen::Tcp { interface, port } => format!("{}:{port}", interface.as_deref().unwrap_or("*")),
        Listen::Unix { path } => path.display().to_string(),
    }
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
