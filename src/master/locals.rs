//! The local workers of a master: each has a keeper that attaches it again when its line was cut, and tries that until it succeeds,
//! or the worker is not configured as a local one any more or was asked to stop.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use anyhow::{Result, anyhow};

use crate::base::duration::human;
use crate::config::{WorkerKind, WorkerSpec};
use crate::workers::local::{LocalLink, Private, SHUT_DOWN};
use crate::workers::registry::Registry;
use crate::workers::{Gate, Link};

/// One that can't be attached is tried again after that, then later and later.
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(30);

/// Which local workers have a keeper.
pub struct Locals {
    folder: PathBuf,
    /// The mark of their programs.
    owner: Option<OsString>,
    kept: Mutex<HashSet<String>>,
    /// Variables of the master's environment that local workers do not have.
    private: Private,
}

/// A local worker's folder.
pub fn base(folder: &Path, spec: &WorkerSpec) -> Option<PathBuf> {
    match &spec.kind {
        WorkerKind::Local { workdir } => Some(folder.join(workdir.clone().unwrap_or_else(|| PathBuf::from("workers").join(&spec.name)))),
        WorkerKind::Remote | WorkerKind::Latent(_) => None,
    }
}

impl Locals {
    /// Their folders are below `folder`; what they run is marked as that of `owner`.
    pub fn new(folder: PathBuf, owner: Option<OsString>) -> Arc<Locals> {
        Arc::new(Locals { folder, owner, kept: Mutex::default(), private: Private::default() })
    }

    /// From now on no command has these variables.
    pub fn hide(&self, variables: Vec<String>) {
        *self.private.lock().unwrap_or_else(PoisonError::into_inner) = variables;
    }

    fn kept(&self) -> MutexGuard<'_, HashSet<String>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Attach a local worker that the registry knows, unless somebody does so already. If it fails it is tried again.
    pub async fn attach(self: &Arc<Self>, registry: &Arc<Registry>, spec: &WorkerSpec) -> Result<()> {
        let name = &spec.name;
        if base(&self.folder, spec).is_none() || !self.kept().insert(name.clone()) {
            return Ok(());
        }
        let (link, attached) = match self.attach_once(registry, name).await {
            Ok(link) => (Some(link), Ok(())),
            Err(why) => (None, Err(anyhow!("local worker {name}: {why}"))),
        };
        tokio::spawn(self.clone().keep(Arc::downgrade(registry), name.clone(), link));
        attached
    }

    async fn attach_once(&self, registry: &Arc<Registry>, name: &str) -> Result<Arc<dyn Link>, String> {
        if let Some(link) = registry.attached(name) {
            // Of a worker that connected by itself under that name: the keeper waits for its end.
            return Ok(link);
        }
        let attached = self.attach_new(registry, name).await;
        if let Err(why) = &attached {
            registry.attach_failed(name, why);
        }
        attached
    }

    async fn attach_new(&self, registry: &Arc<Registry>, name: &str) -> Result<Arc<dyn Link>, String> {
        let base = registry.spec(name).and_then(|spec| base(&self.folder, &spec)).ok_or("it is no local worker any more")?;
        let local = LocalLink::without(base, self.private.clone(), self.owner.clone());
        local.set_builders(registry.builders(name)).await?;
        let info = local.info();
        let link: Arc<dyn Link> = local;
        registry.attach(name, "this process", info, link.clone())?;
        Ok(link)
    }

    /// `link`: its line, if it is attached.
    async fn keep(self: Arc<Self>, registry: Weak<Registry>, name: String, mut link: Option<Arc<dyn Link>>) {
        let mut rest = FIRST_REST;
        loop {
            let why = match &link {
                Some(link) => Some(link.closed().await),
                None => {
                    tokio::time::sleep(rest).await;
                    rest = (rest * 2).min(LONGEST_REST);
                    None
                }
            };
            let Some(registry) = registry.upgrade() else { return };
            if let (Some(link), Some(why)) = (&link, &why) {
                registry.detach(&name, link, why);
                rest = FIRST_REST;
            }
            {
                // Under the lock: a reload that brings it back either sees that it has a keeper, or that it has none.
                let mut kept = self.kept();
                let local = registry.spec(&name).is_some_and(|spec| base(&self.folder, &spec).is_some());
                if why.as_deref() == Some(SHUT_DOWN) || registry.closing() || !local {
                    kept.remove(&name);
                    return;
                }
            }
            link = match self.attach_once(&registry, &name).await {
                Ok(link) => Some(link),
                Err(why) => {
                    tracing::error!(worker = name, "the local worker can't be attached and is tried again in {}: {why}", human(rest));
                    None
                }
            };
        }
    }
}
