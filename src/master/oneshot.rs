//! One build without a running master: the configuration, a local worker in place of the builder's own, no ports, no state
//! left behind. It may run beside a master on the same folder.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use super::locals::Locals;
use super::{Ids, StartError, configured, load_to_start};
use crate::base::suggest::hint;
use crate::base::{BuildId, BuilderId, Clock, RequestId, SystemClock, Timestamp};
use crate::builds::{Active, Engine};
use crate::config::{BuilderSpec, MasterConfig, WorkerKind};
use crate::lua::processes::owned_in;
use crate::lua::{self, Loaded};
use crate::model::request::NewBuildset;
use crate::model::{Event, Properties, Results, SourceStamp};
use crate::secrets::private_variables;
use crate::store::{Store, StoreOptions};
use crate::workers::registry::Registry;

pub struct Options {
    pub path: PathBuf,
    pub builder: String,
    /// Whose name and properties the build sees.
    pub worker: Option<String>,
    pub properties: Vec<(String, String)>,
    pub config_timeout: Duration,
}

/// A build under way.
pub struct OneShot {
    engine: Arc<Engine>,
    registry: Arc<Registry>,
    store: Store,
    request: RequestId,
    events: broadcast::Receiver<Event>,
    distributor: JoinHandle<()>,
    /// Goes with everything that was written.
    scratch: Scratch,
}

/// A folder that is removed when it is dropped.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn make() -> anyhow::Result<Scratch> {
        let mut name = [0u8; 8];
        getrandom::fill(&mut name).map_err(|e| anyhow!("no random numbers: {e}"))?;
        let path = std::env::temp_dir().join(format!("buildmoon-run-{:016x}", u64::from_le_bytes(name)));
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(e) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!("{} could not be removed: {e}", self.0.display());
        }
    }
}

/// The configuration that the build is of.
pub async fn load(options: &Options) -> Result<Loaded, StartError> {
    let load = lua::LoadOptions { path: options.path.clone(), timeout: options.config_timeout, checking: false };
    load_to_start(load).await.map(|(loaded, _)| loaded)
}

pub async fn start(loaded: Loaded, options: Options) -> anyhow::Result<OneShot> {
    let config = Arc::new(reduced(&loaded.config, &options)?);
    let scratch = Scratch::make()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = Store::open(StoreOptions { database: scratch.0.join("state.sqlite"), logs: scratch.0.join("logs") })
        .await
        .context("cannot open a database")?;
    let (registry, worker_events) = Registry::new(store.clone(), clock.clone());
    let engine = Engine::new(store.clone(), registry.clone(), clock.clone());
    let ids = Ids::sync(&store, &config).await.map_err(|e| anyhow!(e))?;
    let builder = *ids.builders.get(&options.builder).ok_or_else(|| anyhow!("the store gave no id for builder {}", options.builder))?;
    loaded.generation.set_data(Arc::new(NoData));
    loaded.generation.set_kept(Arc::new(store.clone()));
    let workers = configured(&config, ids.workers);
    let owner = owned_in(loaded.generation.folder());
    engine.configure(Active { config: config.clone(), generation: loaded.generation, builder_ids: ids.builders }, workers);
    engine.wait_for_watchers();
    let events = engine.subscribe();
    let distributor = tokio::spawn(engine.clone().distribute(worker_events));
    let locals = Locals::new(scratch.0.clone(), owner);
    locals.hide(private_variables(&config));
    for spec in &config.workers {
        locals.attach(&registry, spec).await?;
    }
    let mut properties = Properties::default();
    for (name, value) in options.properties {
        properties.set(name, value, "Command Line");
    }
    properties.set("reason", "buildmoon run", "Command Line");
    let submitted = engine.submit(wanted(builder, properties, clock.now())).await.map_err(|e| anyhow!(e))?;
    let request = submitted.requests.into_values().next().ok_or_else(|| anyhow!("no request was made"))?;
    Ok(OneShot { engine, registry, store, request, events, distributor, scratch })
}

fn wanted(builder: BuilderId, properties: Properties, now: Timestamp) -> NewBuildset {
    NewBuildset {
        reason: "buildmoon run".into(),
        submitted_at: now,
        external_idstring: None,
        sourcestamps: vec![SourceStamp::default()],
        properties,
        builders: vec![builder],
        priority: 0,
        rebuilt_buildid: None,
    }
}

/// What `master.data:get` finds here: the database of the master is not open, and that of the build knows nothing else.
struct NoData;

impl lua::DataSource for NoData {
    fn get<'a>(&'a self, _: &'a str) -> lua::Answer<'a> {
        Box::pin(async { Err("'buildmoon run' has no data of a master; it is there under 'buildmoon start'".into()) })
    }
}

/// The configuration with one builder, and one local worker in place of its workers.
fn reduced(config: &MasterConfig, options: &Options) -> anyhow::Result<MasterConfig> {
    let names = || config.builders.iter().map(|b| b.name.as_str());
    let builder = config.builders.iter().find(|b| b.name == options.builder).ok_or_else(|| {
        let all: Vec<&str> = names().collect();
        anyhow!("there is no builder '{}'{}; there are: {}", options.builder, hint(&options.builder, names()), all.join(", "))
    })?;
    let worker = match &options.worker {
        None => builder.workers.first().map(String::as_str).unwrap_or_default(),
        Some(name) => name,
    };
    let spec = config
        .workers
        .iter()
        .find(|w| w.name == worker)
        .ok_or_else(|| anyhow!("there is no worker '{worker}'{}", hint(worker, config.workers.iter().map(|w| w.name.as_str()))))?;
    let mut local = (**spec).clone();
    local.kind = WorkerKind::Local { workdir: Some("worker".into()) };
    local.max_builds = None;
    let builder = BuilderSpec {
        workers: vec![local.name.clone()],
        next_worker: None,
        can_start_build: None,
        next_build: None,
        ..(**builder).clone()
    };
    Ok(MasterConfig {
        workers: vec![Arc::new(local)],
        builders: vec![Arc::new(builder)],
        schedulers: Vec::new(),
        pb: Vec::new(),
        www: None,
        select_next_worker: None,
        prioritize_builders: None,
        ..config.clone()
    })
}

impl OneShot {
    /// Stops the build, whether it has begun or not, as Ctrl-C does.
    pub fn stopper(&self) -> impl Fn() + use<> {
        let (engine, request) = (self.engine.clone(), self.request);
        move || {
            let engine = engine.clone();
            tokio::spawn(async move {
                if let Err(why) = engine.cancel(request, "interrupted at the terminal").await {
                    tracing::debug!("nothing is stopped: {why}");
                }
            });
        }
    }

    /// Tell every event until the request has its result.
    pub async fn watch(mut self, mut show: impl FnMut(&Event)) -> anyhow::Result<Results> {
        let mut last: BTreeMap<BuildId, Results> = BTreeMap::new();
        let mut open = HashSet::new();
        let mut complete = None;
        let results = loop {
            match self.events.recv().await {
                Ok(event) => {
                    show(&event);
                    match &event {
                        Event::RequestComplete(id, results) if *id == self.request => complete = Some(*results),
                        Event::BuildStarted(build) if build.request == self.request => drop(open.insert(build.id)),
                        Event::BuildFinished { build, id } => {
                            last.insert(*id, build.results.unwrap_or(Results::Exception));
                            open.remove(id);
                        }
                        _ => {}
                    }
                    // The end of a build is told after that of its request, which may end without one as well.
                    if let Some(results) = complete.filter(|_| open.is_empty()) {
                        break results;
                    }
                }
                // The terminal is slower than the build: output is left out here, never an end, since the store has all.
                Err(broadcast::error::RecvError::Lagged(n)) => {
                    eprintln!("… {n} pieces of output are not shown …");
                    if self.engine.running().is_empty() && self.engine.why(self.request).is_none() {
                        break last.into_values().next_back().unwrap_or(Results::Exception);
                    }
                }
                Err(broadcast::error::RecvError::Closed) => anyhow::bail!("the build went away"),
            }
        };
        self.engine.shutdown(Duration::from_secs(5)).await;
        self.registry.disconnect_all("the build is done");
        self.distributor.abort();
        self.store.close().await;
        drop(self.scratch);
        Ok(results)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_stopped_before_its_build_begins() {
        let folder = tempfile::tempdir().unwrap();
        let file = "BuildmasterConfig.workers = { LocalWorker{ 'w' } }
            BuildmasterConfig.builders = { util.BuilderConfig{ name = 'b', workernames = { 'w' }, factory = util.BuildFactory{
              steps.ShellCommand{ command = 'sleep 3' } } } }";
        std::fs::write(folder.path().join("master.lua"), file).unwrap();
        let options = Options {
            path: folder.path().into(),
            builder: "b".into(),
            worker: None,
            properties: Vec::new(),
            config_timeout: Duration::from_secs(60),
        };
        let loaded = load(&options).await.unwrap();
        let mut started = start(loaded, options).await.unwrap();
        // A second request waits until the first has ended.
        let again = wanted(BuilderId(1), Properties::default(), Timestamp(0));
        started.request = started.engine.submit(again).await.unwrap().requests[&BuilderId(1)];
        assert!(started.engine.why(started.request).is_some(), "it does not wait");
        started.stopper()();
        let ended = tokio::time::timeout(Duration::from_secs(30), started.watch(|_| ())).await;
        assert_eq!(ended.expect("it goes on").unwrap(), Results::Cancelled);
    }
}
