//! Latent workers within the master: their backends are made of the configuration, their passwords of a key, and what their machines
//! do is told to the queue and to the registry. Decides nothing.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value as Json};
use sha2::Sha256;
use tokio::sync::SetOnce;

use super::providers::Providers;
use super::{AtWork, Master};
use crate::base::{Clock, RequestId, Secret, Timestamp};
use crate::builds::Engine;
use crate::config::{BackendSpec, LatentSpec, WorkerKind, WorkerSpec};
use crate::latent::among::who_ends;
use crate::latent::backend::{Backend, Finding, Unusable, WantedBuild};
use crate::latent::driver::{Configured, Latent, Leak, Surroundings, View};
use crate::latent::extended::{Bases, ExtendedBackend};
use crate::latent::{Policy, Timing, preflight};
use crate::model::query::Row;
use crate::model::{LaunchId, LaunchRecord};
use crate::secrets::SecretSource;
use crate::store::Store;
use crate::workers::BoxFuture;
use crate::workers::gate::Warden;
use crate::workers::registry::Registry;

/// In the base folder: whoever has it can make the passwords of machines.
const KEY_FILE: &str = "latent.key";
const KEY_BYTES: usize = 32;
const STOP_DEADLINE: Duration = Duration::from_secs(600);
/// Where the configuration says nothing else; each class of latent workers has its own default.
pub(super) const MISSING: Duration = Duration::from_secs(1200);

pub struct Machines {
    pub latent: Arc<Latent>,
    registry: Arc<Registry>,
    engine: Arc<Engine>,
    master_id: String,
    around: Arc<Around>,
    /// What was found right.
    preflighted: Arc<Mutex<HashSet<String>>>,
    scripted: super::scripted::Scripted,
    providers: Providers,
}

impl Machines {
    pub fn new(folder: &Path, store: Store, clock: &dyn Clock, engine: &Arc<Engine>, registry: &Arc<Registry>) -> Result<Machines> {
        let key = Key::of(folder)?;
        let master_id = key.master_id();
        let scripted = super::scripted::Scripted::new(master_id.clone(), registry);
        let providers = Providers::new(master_id.clone(), folder, Arc::downgrade(registry));
        let around = Arc::new(Around {
            engine: Arc::downgrade(engine),
            registry: Arc::downgrade(registry),
            latent: OnceLock::new(),
            key,
            master: Arc::default(),
        });
        let latent = Latent::new(store, clock, around.clone());
        if around.latent.set(Arc::downgrade(&latent)).is_err() {
            bail!("the latent workers were given twice");
        }
        engine.set_latent(latent.clone());
        registry.set_warden(around.clone());
        let (registry, engine) = (registry.clone(), engine.clone());
        Ok(Machines { latent, registry, engine, master_id, around, preflighted: Arc::default(), scripted, providers })
    }

    /// Of this master, among all.
    pub fn master_id(&self) -> &str {
        &self.master_id
    }

    /// Who tells people of what becomes of machines; once.
    pub fn set_master(&self, master: Weak<Master>) {
        if self.around.master.set(master).is_err() {
            tracing::error!("the master of the latent workers was given twice");
        }
    }

    /// Takes over a configuration; the first time, what an earlier master left behind is settled.
    pub async fn configure(&self, at_work: &AtWork) -> Result<(), crate::store::StoreError> {
        let config = &at_work.loaded.config;
        let source = SecretSource::new(config.clone(), at_work.loaded.generation.clone());
        let bases = Bases::default();
        at_work.loaded.generation.set_supers(Arc::new(bases.clone()));
        let mut configured = Vec::new();
        for worker in &config.workers {
            let WorkerKind::Latent(latent) = &worker.kind else { continue };
            let backend = self.backend(worker, latent, at_work, &source, &bases).await;
            let generation = i64::try_from(at_work.generation).unwrap_or(i64::MAX);
            let policy = policy(worker, latent, &*backend);
            configured.push(Configured { name: worker.name.as_str().into(), policy, backend, generation });
        }
        let backends: Vec<Arc<dyn Backend>> = configured.iter().map(|c| c.backend.clone()).collect();
        self.preflight(configured.iter().map(|c| (c.name.clone(), c.backend.clone())).collect());
        let names: Vec<Arc<str>> = configured.iter().map(|c| c.name.clone()).collect();
        self.latent.configure(configured).await?;
        for record in self.latent.strays().await? {
            self.end_stray(record, &backends);
        }
        for name in names {
            // Of a worker that attached while its machine was nobody's yet.
            if self.registry.link(&name).is_some() {
                self.latent.tell(&name, crate::latent::Event::Attached);
            }
            self.engine.machine_changed(&name);
        }
        Ok(())
    }

    async fn backend(
        &self,
        worker: &WorkerSpec,
        latent: &LatentSpec,
        at_work: &AtWork,
        source: &SecretSource,
        bases: &Bases,
    ) -> Arc<dyn Backend> {
        let spec = match &latent.backend {
            BackendSpec::Ec2(spec) => spec,
            BackendSpec::Lua(spec) => {
                return Arc::new(self.scripted.backend(worker, spec, worker.missing_timeout.unwrap_or(MISSING), &at_work.loaded, source));
            }
        };
        let backend = self.providers.ec2(worker, spec, &at_work.loaded, source).await;
        let Some(own) = &spec.own else { return backend };
        let class = self.scripted.backend(worker, own, worker.missing_timeout.unwrap_or(MISSING), &at_work.loaded, source);
        Arc::new(ExtendedBackend::new(&worker.name, class, backend, bases))
    }

    /// Tells of workers whose machines could not be started as they are configured. What was found right is not asked again.
    fn preflight(&self, workers: Vec<(Arc<str>, Arc<dyn Backend>)>) {
        let known = self.preflighted.clone();
        let all: Vec<_> = {
            let known = known.lock().unwrap_or_else(PoisonError::into_inner);
            preflight::alike(workers).into_iter().filter(|one| !known.contains(&one.key())).collect()
        };
        tokio::spawn(preflight::ask(all, move |one, found| {
            let workers = one.names();
            for finding in &found {
                match finding {
                    Finding::Wrong(why) => tracing::error!(workers, "no machine can be started as configured: {why}"),
                    Finding::Note(what) => tracing::info!(workers, "{what}"),
                }
            }
            if found.iter().all(|finding| matches!(finding, Finding::Note(_))) {
                known.lock().unwrap_or_else(PoisonError::into_inner).insert(one.key());
            }
        }));
    }

    /// Its worker is not configured any more: a backend of its class ends it.
    fn end_stray(&self, record: LaunchRecord, backends: &[Arc<dyn Backend>]) {
        tracing::warn!(worker = record.worker, launch = %record.id, handle = record.handle.as_ref().map(Json::to_string),
            "a machine is left of a worker that is not configured any more: it is stopped");
        let backend = who_ends(&record, backends).unwrap_or_else(|| {
            let why = format!(
                "no configured worker of class {} can end it: configure one of its kind and region, or end it by hand and restart",
                record.backend
            );
            Arc::new(Unusable { class: "unknown", why })
        });
        let policy = Policy {
            configured: false,
            build_wait: Some(Duration::ZERO),
            missing_timeout: MISSING,
            check_interval: Duration::from_secs(10),
            max_lifetime: None,
            warm: false,
            quarantine_initial: Duration::from_secs(10),
            quarantine_max: Duration::from_secs(3600),
            can_check: backend.can_check(),
            can_list: backend.can_list(),
            stop_timeout: STOP_DEADLINE,
            timing: Timing::default(),
        };
        self.latent.end_stray(record, policy, backend);
    }
}

fn policy(worker: &WorkerSpec, latent: &LatentSpec, backend: &dyn Backend) -> Policy {
    Policy {
        configured: true,
        build_wait: latent.build_wait_timeout,
        missing_timeout: worker.missing_timeout.unwrap_or(MISSING),
        check_interval: latent.check_instance_interval,
        max_lifetime: latent.max_lifetime,
        warm: latent.warm,
        quarantine_initial: worker.quarantine_initial_timeout,
        quarantine_max: worker.quarantine_max_timeout,
        can_check: backend.can_check(),
        can_list: backend.can_list(),
        stop_timeout: STOP_DEADLINE,
        timing: Timing::default(),
    }
}

/// The rest of the master, as the latent workers see it.
struct Around {
    engine: Weak<Engine>,
    registry: Weak<Registry>,
    latent: OnceLock<Weak<Latent>>,
    key: Key,
    /// Whose people are told of machines. What an earlier one left may have something to tell before this one is complete.
    master: Arc<SetOnce<Weak<Master>>>,
}

impl Around {
    fn latent(&self) -> Option<Arc<Latent>> {
        self.latent.get()?.upgrade()
    }
}

impl Surroundings for Around {
    fn answer(&self, worker: &str, request: RequestId, answer: std::result::Result<(), String>) {
        if let Some(engine) = self.engine.upgrade() {
            engine.answer_wish(worker, request, answer);
        }
    }

    fn disconnect(&self, worker: &str, why: &str) {
        if let Some(link) = self.registry.upgrade().and_then(|registry| registry.link(worker)) {
            link.disconnect(why);
        }
    }

    fn missing(&self, worker: &str, why: &str) {
        tracing::error!(worker, "the latent worker is missing: {why}");
        let (master, worker, why) = (self.master.clone(), worker.to_owned(), why.to_owned());
        tokio::spawn(async move {
            if let Some(master) = master.wait().await.upgrade() {
                master.machine_is_missing(&worker, &why).await;
            }
        });
    }

    fn changed(&self, worker: &str) {
        if let Some(engine) = self.engine.upgrade() {
            engine.machine_changed(worker);
        }
    }

    fn password(&self, worker: &str, launch: &LaunchId) -> std::result::Result<Secret, String> {
        let registry = self.registry.upgrade().ok_or_else(|| "the master stops".to_owned())?;
        Ok(registry.configured_password(worker)?.unwrap_or_else(|| self.key.password(launch)))
    }

    fn sealed(&self, launch: &LaunchId, password: &Secret) -> Option<String> {
        Some(self.key.sealed(launch, password))
    }

    fn leak(&self, leak: Leak) -> BoxFuture<'static, std::result::Result<(), String>> {
        let master = self.master.clone();
        Box::pin(async move { master.wait().await.upgrade().ok_or_else(|| "the master ends".to_owned())?.tell_leak(leak).await })
    }

    fn build(&self, worker: &str, request: RequestId) -> (Map<String, Json>, WantedBuild) {
        self.engine.upgrade().and_then(|engine| engine.wanted_build(worker, request)).unwrap_or_default()
    }
}

impl Warden for Around {
    fn admits(&self, name: &str) -> std::result::Result<(), String> {
        let view = self.latent().and_then(|latent| latent.view(name)).ok_or_else(|| format!("{name} is not ready yet"))?;
        match &view.record {
            None => Err("no build asked for its machine".into()),
            Some(record) if record.stop.is_some() => Err("its machine is being stopped".into()),
            Some(_) => Ok(()),
        }
    }

    fn password(&self, name: &str) -> Option<Secret> {
        let launch = self.latent()?.view(name)?.record?.id;
        Some(self.key.password(&launch))
    }
}

/// From which a master's identity at providers and the passwords of machines are made, so that neither is kept anywhere.
struct Key([u8; KEY_BYTES]);

impl Key {
    /// The key of the folder; a new one if it has none.
    fn of(folder: &Path) -> Result<Key> {
        let path = folder.join(KEY_FILE);
        let shown = path.display();
        match std::fs::read(&path) {
            Ok(bytes) => match <[u8; KEY_BYTES]>::try_from(bytes) {
                Ok(key) => Ok(Key(key)),
                Err(_) => bail!(
                    "{shown} is no key of latent workers: it must have {KEY_BYTES} bytes (without it machines that run are not recognised)"
                ),
            },
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let mut key = [0; KEY_BYTES];
                if let Err(e) = getrandom::fill(&mut key) {
                    bail!("no random bytes for {shown}: {e}");
                }
                let new = folder.join(format!("{KEY_FILE}.new"));
                let write = || -> std::io::Result<()> {
                    let _ = std::fs::remove_file(&new);
                    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
                    file.write_all(&key)?;
                    file.sync_all()?;
                    std::fs::rename(&new, &path)
                };
                write().with_context(|| format!("{shown} can't be written"))?;
                Ok(Key(key))
            }
            Err(e) => Err(e).with_context(|| format!("{shown} can't be read")),
        }
    }

    fn derive(&self, what: &str, of: &str, bytes: usize) -> String {
        // A key of any length will do.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(what.as_bytes());
        mac.update(&[0]);
        mac.update(of.as_bytes());
        mac.finalize().into_bytes().iter().take(bytes).map(|b| format!("{b:02x}")).collect()
    }

    fn password(&self, launch: &LaunchId) -> Secret {
        Secret::new(self.derive("password", &launch.0, 24))
    }

    /// Not to be tried out without the key, however simple the password is.
    fn sealed(&self, launch: &LaunchId, password: &Secret) -> String {
        self.derive("login", &format!("{launch} {}", password.reveal()), 16)
    }

    /// The mark of this master on its machines.
    fn master_id(&self) -> String {
        self.derive("master", "", 12)
    }
}

/// Machines as they are shown with their workers.
pub fn shown(latent: &Latent) -> HashMap<Arc<str>, Json> {
    let show = |view: &View| {
        serde_json::json!({
            "state": view.state, "since": view.since.seconds(), "launch_id": view.record.as_ref().map(|r| r.id.clone()),
            "handle": view.record.as_ref().and_then(|r| r.handle.clone()), "reason": view.open.as_ref().err(),
            "console": view.console, "price_per_hour": view.record.as_ref().and_then(|r| r.price_per_hour),
        })
    };
    latent.views().into_iter().map(|(name, view)| (name, show(&view))).collect()
}

/// The ledger as the API shows it.
pub fn rows(latent: &Latent, records: Vec<LaunchRecord>, now: Timestamp) -> Vec<Row> {
    let views: HashMap<LaunchId, View> =
        latent.views().into_iter().filter_map(|(_, view)| Some((view.record.as_ref()?.id.clone(), view))).collect();
    let row = |r: LaunchRecord| {
        let view = views.get(&r.id);
        let state = match (&r.gone, view) {
            (Some(_), _) => Json::from("gone"),
            (None, Some(view)) => serde_json::json!(view.state),
            // Its end is not written yet, or it began a moment ago.
            (None, None) => Json::from("unknown"),
        };
        let end = r.gone.as_ref().map_or(now, |(_, at)| *at);
        let cost = r.price_per_hour.map(|price| price * end.since(r.created_at).as_secs_f64() / 3600.0);
        let seconds = |at: Option<Timestamp>| at.map(Timestamp::seconds);
        let (tries, error) = view.map_or((0, None), |v| (v.tries, v.stop_error.clone()));
        super::backend::row(serde_json::json!({
            "launch_id": r.id, "workername": r.worker, "backend": r.backend, "state": state, "handle": r.handle,
            "generation": r.generation, "created_at": r.created_at.seconds(), "attached_at": seconds(r.attached_at),
            "stop_wanted_at": seconds(r.stop.as_ref().map(|(_, at)| *at)), "gone_at": seconds(r.gone.as_ref().map(|(_, at)| *at)),
            "reason": r.gone.as_ref().or(r.stop.as_ref()).map(|(why, _)| why), "price_per_hour": r.price_per_hour, "cost": cost,
            "stop_tries": tries, "stop_error": error, "leak_told_at": seconds(r.leak_told_at),
        }))
    };
    records.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// It was found in the ledger, and tried once more, before there was anybody to tell.
    #[tokio::test(start_paused = true)]
    async fn a_leak_that_is_known_before_the_master_is_complete_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let around = Around {
            engine: Weak::new(),
            registry: Weak::new(),
            latent: OnceLock::new(),
            key: Key::of(folder.path()).unwrap(),
            master: Arc::default(),
        };
        let record = LaunchRecord::new(LaunchId("a".into()), "w", "Stuck", Default::default(), Timestamp(0));
        let told = around.leak(Leak { record, tries: 1, error: None, age: Duration::from_secs(7200) });
        tokio::pin!(told);
        assert!(tokio::time::timeout(Duration::from_secs(60), &mut told).await.is_err(), "nobody was told");
        around.master.set(Weak::new()).unwrap();
        assert_eq!(told.await, Err("the master ends".into()));
    }

    #[test]
    fn a_key_is_made_once_and_says_nothing_of_itself() {
        let folder = tempfile::tempdir().unwrap();
        let key = Key::of(folder.path()).unwrap();
        let again = Key::of(folder.path()).unwrap();
        assert_eq!(key.0, again.0);
        let path = folder.path().join(KEY_FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let launch = |id: &str| LaunchId(id.into());
        assert_eq!(key.password(&launch("a")), again.password(&launch("a")));
        assert_ne!(key.password(&launch("a")), key.password(&launch("b")));
        assert_ne!(key.password(&launch("")).reveal(), key.master_id());
        let sealed = key.sealed(&launch("a"), &Secret::new("x"));
        assert_eq!(sealed, again.sealed(&launch("a"), &Secret::new("x")));
        assert!(sealed != key.sealed(&launch("a"), &Secret::new("y")) && sealed != key.sealed(&launch("b"), &Secret::new("x")));
        std::fs::write(&path, "short").unwrap();
        assert!(Key::of(folder.path()).err().is_some_and(|e| e.to_string().contains("must have 32 bytes")));
    }
}
