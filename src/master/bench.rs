//! Backends of a configuration without a running master, for the conformance kit: each is made anew as after a restart, with a mark that
//! no master has. Nothing of a master's folder is touched.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};

use super::oneshot::Scratch;
use super::scripted::Scripted;
use super::{StartError, machines};
use crate::base::suggest;
use crate::config::{BackendSpec, LatentSpec, LuaBackendSpec, MasterConfig, WorkerKind, WorkerSpec};
use crate::latent::backend::Backend;
use crate::latent::conformance::{Bench, World};
use crate::lua::{self, LoadOptions, Loaded, OutsideWorld};
use crate::secrets::SecretSource;
use crate::store::{Store, StoreOptions};
use crate::workers::link::BoxFuture;

/// Which worker's backend.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub path: PathBuf,
    pub class: Option<String>,
    pub worker: Option<String>,
    pub config_timeout: Duration,
}

pub struct ConfiguredBench {
    wanted: Wanted,
    world: Arc<OutsideWorld>,
    /// The marks of this run and of somebody else.
    own: String,
    other: String,
    store: Store,
    /// Goes with everything that was written.
    _scratch: Scratch,
}

/// What is tested.
pub struct Chosen {
    pub worker: String,
    pub class: String,
    pub warnings: Vec<String>,
}

impl ConfiguredBench {
    /// The configuration is loaded once to see that it can be, and which worker it is about.
    pub async fn open(wanted: Wanted) -> Result<(ConfiguredBench, Chosen), StartError> {
        let world = Arc::new(OutsideWorld::default());
        let loaded = load(&wanted, &world).await?;
        let (worker, spec) = choose(&loaded.config, &wanted)?;
        // A worker for tests needs no builder.
        let about = |text: &str| !text.ends_with("no builder uses it");
        let warnings = loaded.config.warnings.iter().filter(|w| about(&w.text)).map(ToString::to_string).collect();
        let chosen = Chosen { worker: worker.name.clone(), class: spec.class.clone(), warnings };
        let scratch = Scratch::make()?;
        let store = Store::open(StoreOptions { database: scratch.path().join("state.sqlite"), logs: scratch.path().join("logs") })
            .await
            .context("cannot open a database")?;
        let mark = || format!("backend-test-{:016x}", fastrand::u64(..));
        let wanted = Wanted { worker: Some(chosen.worker.clone()), ..wanted };
        Ok((ConfiguredBench { wanted, world, own: mark(), other: mark(), store, _scratch: scratch }, chosen))
    }

    /// What instances of this run carry as their master's mark.
    pub fn mark(&self) -> &str {
        &self.own
    }

    async fn backend(&self, mark: &str) -> Result<Arc<dyn Backend>, String> {
        let loaded = load(&self.wanted, &self.world).await.map_err(|e| format!("the file can't be loaded a second time: {}", shown(e)))?;
        loaded.generation.set_kept(Arc::new(self.store.clone()));
        let (worker, spec) = choose(&loaded.config, &self.wanted).map_err(|e| e.to_string())?;
        let source = SecretSource::new(loaded.config.clone(), loaded.generation.clone());
        let missing = worker.missing_timeout.unwrap_or(machines::MISSING);
        Ok(Arc::new(Scripted::alone(mark.to_owned()).backend(worker, spec, missing, &loaded, &source)))
    }
}

fn shown(error: StartError) -> String {
    match error {
        StartError::Configuration(mistakes, _) => mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        StartError::Other(e) => format!("{e:#}"),
    }
}

async fn load(wanted: &Wanted, world: &Arc<OutsideWorld>) -> Result<Loaded, StartError> {
    let options = LoadOptions { timeout: wanted.config_timeout, ..LoadOptions::new(wanted.path.clone()) };
    let checked = lua::load_within(options, world.clone()).await;
    checked.outcome.map_err(|mistakes| StartError::Configuration(mistakes, checked.surroundings))
}

/// The first worker that fits, with its backend.
fn choose<'a>(config: &'a MasterConfig, wanted: &Wanted) -> anyhow::Result<(&'a WorkerSpec, &'a Arc<LuaBackendSpec>)> {
    let latent = |worker: &'a WorkerSpec| -> Option<(&'a WorkerSpec, &'a LatentSpec)> {
        match &worker.kind {
            WorkerKind::Latent(latent) => Some((worker, latent)),
            _ => None,
        }
    };
    let all: Vec<(&WorkerSpec, &LatentSpec)> = config.workers.iter().filter_map(|worker| latent(worker)).collect();
    if all.is_empty() {
        bail!("{} has no latent worker in c.workers: its class is what is tested", wanted.path.display());
    }
    let class_of = |spec: &LatentSpec| match &spec.backend {
        BackendSpec::Lua(spec) => spec.class.clone(),
        BackendSpec::Ec2(_) => "EC2LatentWorker".to_owned(),
    };
    if let Some(name) = wanted.worker.as_deref().filter(|name| !all.iter().any(|(w, _)| w.name == *name)) {
        let hint = suggest::hint(name, all.iter().map(|(w, _)| w.name.as_str()));
        bail!("there is no latent worker '{name}'{hint}");
    }
    let classes: Vec<String> = all.iter().map(|(_, spec)| class_of(spec)).collect();
    let fits = |(worker, spec): &(&WorkerSpec, &LatentSpec)| {
        wanted.worker.as_ref().is_none_or(|name| worker.name == *name) && wanted.class.as_ref().is_none_or(|class| class_of(spec) == *class)
    };
    let Some((worker, spec)) = all.into_iter().find(fits) else {
        let class = wanted.class.as_deref().unwrap_or_default();
        bail!("there is no latent worker of the class '{class}'{}", suggest::hint(class, classes.iter().map(String::as_str)));
    };
    match &spec.backend {
        BackendSpec::Lua(spec) => Ok((worker, spec)),
        BackendSpec::Ec2(_) => {
            Err(anyhow!("{} is of EC2LatentWorker, which is not written in Lua: the kit is for those that are", worker.name))
        }
    }
}

impl Bench for ConfiguredBench {
    fn fresh(&self) -> BoxFuture<'_, Result<Arc<dyn Backend>, String>> {
        Box::pin(self.backend(&self.own))
    }

    fn stranger(&self) -> BoxFuture<'_, Result<Arc<dyn Backend>, String>> {
        Box::pin(self.backend(&self.other))
    }

    fn set_world(&self, world: World) {
        self.world.set(match world {
            World::Real => lua::Answers::Real,
            World::Away => lua::Answers::Refused,
            World::Hangs => lua::Answers::Never,
        });
    }

    fn asked(&self) -> u64 {
        self.world.asked()
    }
}
