//! Which workers there are, who is attached, who may take a build, and if not, why not.
//!
//! The registry holds state and answers questions; it starts no builds and speaks no protocol. Tests: `tests/reload_random.rs`, `tests/engine_simulation.rs`.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

pub use super::entry::Builders;
use super::entry::Entry;
use super::gate::Warden;
use super::link::Link;
use super::passwords::Passwords;
use crate::base::duration::human;
use crate::base::{Clock, Secret, Timestamp, WorkerId};
use crate::config::{Password, WorkerKind, WorkerSpec};
use crate::model::query::Row;
use crate::model::{Results, WorkerInfo};
use crate::secrets::{Mask, SecretSource};
use crate::store::{Store, StoredWorker};

/// Something about a worker changed that may let a request start.
#[derive(Clone, PartialEq, Debug)]
pub enum WorkerEvent {
    Attached(Arc<str>),
    Detached(Arc<str>),
    Changed(Arc<str>),
}

/// May a worker take a build now, and if not, why not?
#[derive(Clone, PartialEq, Debug)]
pub enum Availability {
    /// It may take as many more (none: any number); it runs so many now.
    Free {
        more: Option<u32>,
        running: u32,
    },
    /// All its places are taken.
    Full {
        running: u32,
    },
    NotConfigured,
    NotAttached {
        last_seen: Option<Timestamp>,
        /// Why the master could not attach its local worker.
        error: Option<String>,
    },
    Paused {
        reason: Option<String>,
    },
    /// It was asked to stop and finishes what it runs.
    Stopping,
    /// Its connection ends when its builds have ended, since the configuration changed.
    Leaving {
        why: &'static str,
    },
    /// It does not know the builder yet; or it refused to, and why.
    Untold {
        refused: Option<String>,
    },
    /// After failures it gets nothing until then.
    Quarantined {
        until: Timestamp,
    },
}

pub struct Registry {
    /// For tasks that wait for a worker's answer.
    pub(super) me: Weak<Registry>,
    entries: Mutex<BTreeMap<Arc<str>, Entry>>,
    events: mpsc::UnboundedSender<WorkerEvent>,
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    passwords: Arc<Passwords>,
    /// The master ends: nobody is to attach again.
    closing: AtomicBool,
    /// The configuration was replaced: a worker that attaches may have been told of an older one.
    pub(super) replaced: AtomicBool,
    pub(super) warden: OnceLock<Arc<dyn Warden>>,
    /// Somebody came, went, or is configured anew.
    pub(super) presence: Notify,
}

/// A place on a worker: who it is, the line to it, what it said of itself.
pub type Reserved = (WorkerId, Arc<dyn Link>, Arc<WorkerInfo>);

/// A worker as it is now, for who decides by more than its availability.
pub struct Snapshot {
    pub spec: Arc<WorkerSpec>,
    pub attached: bool,
    pub availability: Availability,
    pub running: u32,
    pub info: Arc<WorkerInfo>,
    /// How long it rests after the next failure.
    pub quarantine_delay: Duration,
}

/// Whether a configured worker is there.
pub struct Presence {
    pub spec: Arc<WorkerSpec>,
    pub id: WorkerId,
    pub attached: bool,
    pub last_seen: Option<Timestamp>,
    /// Where it comes or came from, since this master began.
    pub peer: Option<String>,
    pub info: Arc<WorkerInfo>,
    /// Since this master began at the earliest.
    pub configured_at: Timestamp,
}

/// A configured worker, for [`Registry::configure`].
pub struct Configured {
    pub spec: Arc<WorkerSpec>,
    pub stored: StoredWorker,
    pub builders: Builders,
}

impl Registry {
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> (Arc<Registry>, mpsc::UnboundedReceiver<WorkerEvent>) {
        let (events, receiver) = mpsc::unbounded_channel();
        let registry = Arc::new_cyclic(|me| Registry {
            me: me.clone(),
            entries: Mutex::default(),
            events,
            store,
            clock,
            passwords: Arc::default(),
            closing: AtomicBool::new(false),
            replaced: AtomicBool::new(false),
            warden: OnceLock::new(),
            presence: Notify::new(),
        });
        (registry, receiver)
    }

    /// Whom to ask about latent workers; once, before anybody attaches.
    pub fn set_warden(&self, warden: Arc<dyn Warden>) {
        if self.warden.set(warden).is_err() {
            tracing::error!("the warden of latent workers was given twice");
        }
    }

    pub(super) fn is_latent(&self, name: &str) -> bool {
        self.entries().get(name).is_some_and(|e| matches!(e.spec.kind, WorkerKind::Latent(_)))
    }

    /// The password that the configuration gives a worker; the error is why it can't be had now.
    pub fn configured_password(&self, name: &str) -> Result<Option<Secret>, String> {
        let password = self.entries().get(name).filter(|e| !e.removed).and_then(|e| e.spec.password.clone());
        match password {
            Some(Password::Plain(secret)) => Ok(Some(secret)),
            Some(Password::Named(secret)) => self.passwords.get(&secret).map(Some),
            None => Ok(None),
        }
    }

    pub(super) fn entries(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Entry>> {
        self.entries.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(super) fn tell(&self, event: WorkerEvent) {
        // The receiver is gone only while the master ends.
        let _ = self.events.send(event);
    }

    /// Take over a configuration's workers. What is the same is not touched; who has to go finishes its builds first.
    pub fn configure(&self, workers: Vec<Configured>) {
        let now = self.clock.now();
        let mut entries = self.entries();
        let mut old = std::mem::take(&mut *entries);
        self.replaced.store(!old.is_empty(), Ordering::Relaxed);
        for Configured { spec, stored, mut builders } in workers {
            builders.sort();
            let builders = Arc::new(builders);
            let name: Arc<str> = spec.name.as_str().into();
            let entry = match old.remove(&name) {
                Some(mut entry) => {
                    if entry.quarantine_delay == entry.spec.quarantine_initial_timeout {
                        entry.quarantine_delay = spec.quarantine_initial_timeout;
                    }
                    if entry.removed {
                        entry.configured_at = now;
                    }
                    entry.spec = spec;
                    entry.builders = builders;
                    entry.removed = false;
                    entry
                }
                None => Entry {
                    quarantine_delay: spec.quarantine_initial_timeout,
                    spec,
                    id: stored.id,
                    builders,
                    removed: false,
                    attached: None,
                    info: Arc::new(stored.info),
                    last_seen: stored.last_seen,
                    last_peer: None,
                    configured_at: now,
                    attach_error: None,
                    busy: Vec::new(),
                    paused: stored.paused,
                    pause_reason: stored.pause_reason,
                    stopping: false,
                    quarantined_until: None,
                },
            };
            entries.insert(name, entry);
        }
        for (name, mut entry) in old {
            entry.removed = true;
            entry.builders = Arc::default();
            match (entry.done_with(), entry.running()) {
                (Some((link, why)), _) => {
                    tracing::info!(worker = %name, "worker is no longer configured; its connection is closed");
                    link.disconnect(why);
                }
                (None, 0) => {}
                (None, running) => {
                    tracing::info!(worker = %name, running, "worker is no longer configured; it finishes its builds");
                    entries.insert(name, entry);
                }
            }
        }
        self.presence.notify_one();
        for (name, entry) in entries.iter_mut() {
            if let Some((link, why)) = entry.done_with() {
                tracing::info!(worker = %name, "the worker's connection is closed: {why}");
                link.disconnect(why);
            } else {
                self.tell_builders(name, entry);
            }
        }
    }

    /// Fetch the passwords of the configured workers that are secrets. To be waited for before anybody may log in.
    pub async fn fetch_passwords(&self, source: SecretSource) {
        let named = |entry: &Entry| match &entry.spec.password {
            Some(Password::Named(name)) => Some(name.clone()),
            _ => None,
        };
        let names = self.entries().values().filter_map(named).collect();
        self.passwords.fetch(source, names).await;
    }

    /// The passwords that were fetched, as what builds hide.
    pub fn password_mask(&self) -> Arc<Mask> {
        self.passwords.mask()
    }

    pub fn availability(&self, name: &str) -> Availability {
        let now = self.clock.now();
        self.entries().get(name).map_or(Availability::NotConfigured, |e| e.availability(now))
    }

    /// Availability of many under one lock.
    pub fn availabilities<'a>(&self, names: impl Iterator<Item = &'a str>) -> HashMap<String, Availability> {
        let now = self.clock.now();
        let entries = self.entries();
        names.map(|name| (name.to_owned(), entries.get(name).map_or(Availability::NotConfigured, |e| e.availability(now)))).collect()
    }

    /// Take a place on a worker for a build of a builder in its folder there, and the line to it.
    pub fn reserve(&self, name: &str, builder: &str, folder: &str) -> Result<Reserved, Availability> {
        let now = self.clock.now();
        let mut entries = self.entries();
        let entry = entries.get_mut(name).ok_or(Availability::NotConfigured)?;
        match (entry.availability(now), &entry.attached) {
            (Availability::Free { .. }, Some(attached)) => {
                if !attached.knows(builder, folder) {
                    return Err(Availability::Untold { refused: attached.refused.clone() });
                }
                entry.busy.push((builder.to_owned(), folder.to_owned()));
                Ok((entry.id, attached.link.clone(), entry.info.clone()))
            }
            (other, _) => Err(other),
        }
    }

    /// Give the place back. A result of exception keeps new builds away for a while, longer each time.
    pub fn release(&self, name: &str, builder: &str, results: Option<Results>) {
        let now = self.clock.now();
        let mut shut_down = None;
        {
            let mut entries = self.entries();
            let Some((key, _)) = entries.get_key_value(name) else { return };
            let key = key.clone();
            let Some(entry) = entries.get_mut(name) else { return };
            if let Some(at) = entry.busy.iter().position(|(busy, _)| busy == builder) {
                entry.busy.swap_remove(at);
            }
            match results {
                Some(Results::Exception) => {
                    let delay = entry.rest(now);
                    tracing::warn!(worker = name, "gets no build for {}: the last one ended with an exception", human(delay));
                    self.poke_after(name, delay);
                }
                Some(Results::Retry) | None => {}
                Some(_) => entry.quarantine_delay = entry.spec.quarantine_initial_timeout,
            }
            if let Some((link, why)) = entry.done_with() {
                tracing::info!(worker = name, "its builds have ended and its connection is closed: {why}");
                link.disconnect(why);
            } else if entry.stopping && entry.busy.is_empty() {
                shut_down = entry.attached.as_ref().map(|a| a.link.clone());
            } else {
                self.tell_builders(&key, entry);
            }
            if entry.removed && entry.busy.is_empty() {
                entries.remove(name);
            }
        }
        if let Some(link) = shut_down {
            tokio::spawn(async move { link.shutdown().await });
        }
        self.tell(WorkerEvent::Changed(name.into()));
    }

    /// No new builds for a while, for as long as is its turn or is said. Does not end a pause, nor what runs.
    pub fn quarantine(&self, name: &str, timeout: Option<Duration>) {
        let now = self.clock.now();
        let delay = {
            let mut entries = self.entries();
            let Some(entry) = entries.get_mut(name) else { return };
            entry.quarantine_delay = timeout.unwrap_or(entry.quarantine_delay);
            entry.rest(now)
        };
        tracing::info!(worker = name, "gets no build for {}: the configuration put it in quarantine", human(delay));
        self.poke_after(name, delay);
        self.tell(WorkerEvent::Changed(name.into()));
    }

    /// How long its next quarantine is; none: as long as the first.
    pub fn set_quarantine_timeout(&self, name: &str, timeout: Option<Duration>) {
        if let Some(entry) = self.entries().get_mut(name) {
            entry.quarantine_delay = timeout.unwrap_or(entry.spec.quarantine_initial_timeout);
        }
    }

    /// Those of these that are configured, each once, by name.
    pub fn snapshots(&self, names: impl IntoIterator<Item = impl AsRef<str>>) -> BTreeMap<String, Snapshot> {
        let now = self.clock.now();
        let entries = self.entries();
        let mut found = BTreeMap::new();
        for name in names {
            let name = name.as_ref();
            if !found.contains_key(name)
                && let Some(entry) = entries.get(name)
            {
                let snapshot = Snapshot {
                    spec: entry.spec.clone(),
                    attached: entry.attached.is_some(),
                    availability: entry.availability(now),
                    running: entry.running(),
                    info: entry.info.clone(),
                    quarantine_delay: entry.quarantine_delay,
                };
                found.insert(name.to_owned(), snapshot);
            }
        }
        found
    }

    pub fn presences(&self) -> Vec<Presence> {
        let entries = self.entries();
        let configured = entries.values().filter(|e| !e.removed);
        configured
            .map(|e| Presence {
                spec: e.spec.clone(),
                id: e.id,
                attached: e.attached.is_some(),
                last_seen: e.last_seen,
                peer: e.last_peer.clone(),
                info: e.info.clone(),
                configured_at: e.configured_at,
            })
            .collect()
    }

    /// Until somebody comes, goes or is configured anew; also if that was so since it was asked last. For one who waits.
    pub async fn presence_changed(&self) {
        self.presence.notified().await;
    }

    fn poke_after(&self, name: &str, delay: Duration) {
        let (events, name): (_, Arc<str>) = (self.events.clone(), name.into());
        tokio::spawn(async move {
            tokio::time::sleep(delay + Duration::from_millis(5)).await;
            let _ = events.send(WorkerEvent::Changed(name));
        });
    }

    pub fn name_of(&self, id: WorkerId) -> Option<Arc<str>> {
        self.entries().iter().find(|(_, e)| e.id == id).map(|(name, _)| name.clone())
    }

    pub fn link(&self, name: &str) -> Option<Arc<dyn Link>> {
        self.entries().get(name).and_then(|e| e.attached.as_ref().map(|a| a.link.clone()))
    }

    /// None if it is not configured any more.
    pub fn spec(&self, name: &str) -> Option<Arc<WorkerSpec>> {
        self.entries().get(name).filter(|e| !e.removed).map(|e| e.spec.clone())
    }

    pub fn info(&self, name: &str) -> Option<Arc<WorkerInfo>> {
        self.entries().get(name).map(|e| e.info.clone())
    }

    /// No new builds there until `unpause`; kept over a restart.
    pub fn set_paused(&self, name: &str, paused: bool, reason: Option<&str>) -> bool {
        let id = {
            let mut entries = self.entries();
            let Some(entry) = entries.get_mut(name) else { return false };
            entry.paused = paused;
            entry.pause_reason = reason.filter(|r| paused && !r.is_empty()).map(str::to_owned);
            if !paused {
                entry.quarantined_until = None;
            }
            entry.id
        };
        drop(self.store.set_worker_paused(id, paused, reason));
        tracing::info!(worker = name, paused, reason, "worker was {}", if paused { "paused" } else { "unpaused" });
        self.tell(WorkerEvent::Changed(name.into()));
        true
    }

    /// No new builds; when the running ones are done, the worker's process is asked to end.
    pub fn stop_gracefully(&self, name: &str, who: &str) -> bool {
        let shut_down = {
            let mut entries = self.entries();
            let Some(entry) = entries.get_mut(name) else { return false };
            let Some(attached) = &entry.attached else { return true };
            entry.stopping = true;
            entry.busy.is_empty().then(|| attached.link.clone())
        };
        tracing::info!(worker = name, "asked to stop by {who}");
        if let Some(link) = shut_down {
            tokio::spawn(async move { link.shutdown().await });
        }
        true
    }

    /// The worker's process is asked to end now; its builds are lost.
    pub fn kill(&self, name: &str) -> bool {
        let link = self.entries().get_mut(name).and_then(|entry| {
            let link = entry.attached.as_ref().map(|a| a.link.clone())?;
            entry.stopping = true;
            Some(link)
        });
        let Some(link) = link else { return false };
        tokio::spawn(async move {
            let _ = tokio::time::timeout(Duration::from_secs(5), link.shutdown()).await;
            link.disconnect("killed on request");
        });
        true
    }

    /// Cut every line, at the end of the master.
    pub fn disconnect_all(&self, why: &str) {
        self.closing.store(true, Ordering::Relaxed);
        for entry in self.entries().values() {
            if let Some(attached) = &entry.attached {
                attached.link.disconnect(why);
            }
        }
    }

    pub fn closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Workers as the API shows them. `builder_ids` by name.
    pub fn rows(&self, master: i64, builder_ids: &HashMap<String, i64>) -> Vec<Row> {
        let now = self.clock.now();
        self.entries().iter().map(|(name, entry)| entry.row(name, master, builder_ids, now)).collect()
    }
}
