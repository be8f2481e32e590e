//! All latent workers of a master: which there are, what a new configuration or an earlier master leaves to look after, how all end.
//!
//! Each has a task of its own ([`machine`]); what nobody looks after is found by the [`reaper`]. Decides nothing about a single machine.

mod machine;
mod reaper;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::backend::Backend;
use super::lifecycle::{Event, Policy, Shutdown};
pub use super::surroundings::{Leak, Surroundings};
use crate::base::{Clock, Timestamp};
use crate::model::{LaunchId, LaunchRecord, Quarantine};
use crate::store::{Store, StoreError};
use machine::Order;
pub use machine::View;

/// The longest that a listing may take.
const LIST_DEADLINE: Duration = Duration::from_secs(60);

/// A configured latent worker.
#[derive(Clone)]
pub struct Configured {
    pub name: Arc<str>,
    pub policy: Policy,
    pub backend: Arc<dyn Backend>,
    /// Counts configurations.
    pub generation: i64,
}

struct Entry {
    orders: mpsc::UnboundedSender<Order>,
    view: Arc<Mutex<View>>,
    configured: Configured,
    task: AbortHandle,
}

/// All latent workers of a master.
pub struct Latent {
    store: Store,
    clock: SteadyClock,
    surroundings: Arc<dyn Surroundings>,
    entries: Mutex<HashMap<Arc<str>, Entry>>,
}

/// Wall time at the start, and steady time since: the clock's jumps are not felt before a restart.
struct SteadyClock {
    began: Timestamp,
    at: Instant,
}

impl SteadyClock {
    fn now(&self) -> Timestamp {
        self.began.plus(self.at.elapsed())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Latent {
    pub fn new(store: Store, clock: &dyn Clock, surroundings: Arc<dyn Surroundings>) -> Arc<Latent> {
        let clock = SteadyClock { began: clock.now(), at: Instant::now() };
        Arc::new(Latent { store, clock, surroundings, entries: Mutex::default() })
    }

    /// Takes over a configuration. Live launches stay as they are and follow the new policy; what is not configured any more is stopped
    /// when its builds have ended. The first time, what an earlier master left behind is settled.
    pub async fn configure(self: &Arc<Latent>, workers: Vec<Configured>) -> Result<(), StoreError> {
        let open = self.strays().await?.into_iter();
        let mut open: HashMap<String, LaunchRecord> = open.map(|r| (r.worker.clone(), r)).collect();
        let mut quarantines = self.store.quarantines().await?;
        let mut entries = lock(&self.entries);
        let mut before: Vec<Arc<str>> = entries.keys().cloned().collect();
        for configured in workers {
            before.retain(|name| *name != configured.name);
            match entries.get_mut(&configured.name) {
                Some(entry) => {
                    entry.configured = configured.clone();
                    let _ = entry.orders.send(Order::Configure(Box::new(configured)));
                }
                None => {
                    // A machine of another kind is a stray: this backend could not end it.
                    let record = open.remove(&*configured.name).filter(|r| r.backend == configured.backend.class());
                    let quarantine = quarantines.remove(&*configured.name).unwrap_or_default();
                    let name = configured.name.clone();
                    entries.insert(name, self.begin(configured, record, quarantine));
                }
            }
        }
        for name in before {
            let Some(entry) = entries.get_mut(&name) else { continue };
            entry.configured.policy.configured = false;
            let _ = entry.orders.send(Order::Configure(Box::new(entry.configured.clone())));
        }
        Ok(())
    }

    fn looked_after(&self) -> HashSet<LaunchId> {
        lock(&self.entries).values().flat_map(|e| lock(&e.view).launches()).collect()
    }

    /// Launches of the ledger that nobody looks after.
    pub async fn strays(&self) -> Result<Vec<LaunchRecord>, StoreError> {
        let mut open = self.store.open_launches().await?;
        let looked_after = self.looked_after();
        open.retain(|r| !looked_after.contains(&r.id));
        if open.is_empty() {
            return Ok(open);
        }
        // What ended meanwhile was in the ledger as gone before its worker left it, so a second look does not have it any more.
        let still: HashSet<LaunchId> = self.store.open_launches().await?.into_iter().map(|r| r.id).collect();
        open.retain(|r| still.contains(&r.id));
        Ok(open)
    }

    /// Looks after such a launch until it is gone.
    pub fn end_stray(self: &Arc<Latent>, record: LaunchRecord, mut policy: Policy, backend: Arc<dyn Backend>) {
        // Two instances may have the mark of one launch: one after the other.
        if self.looked_after().contains(&record.id) {
            return;
        }
        policy.configured = false;
        // Not the worker's name: a worker of that name may be configured, and have another machine.
        let name: Arc<str> = format!("{} (launch {})", record.worker, record.id).into();
        let configured = Configured { name: name.clone(), policy, backend, generation: record.generation };
        let entry = self.begin(configured, Some(record), Quarantine::default());
        lock(&self.entries).insert(name, entry);
    }

    /// Nobody asks for it any more, if it is `done`: what it is told is told under the lock.
    fn leave(&self, worker: &str, view: &Arc<Mutex<View>>, done: impl FnOnce() -> bool) -> bool {
        let mut entries = lock(&self.entries);
        let leaves = done();
        // Another task may have taken its place.
        if leaves && entries.get(worker).is_some_and(|entry| Arc::ptr_eq(&entry.view, view)) {
            entries.remove(worker);
        }
        leaves
    }

    /// Every machine is to be stopped. Answers when all are known to be gone, or when `limit` is over: how many are left then.
    pub async fn shutdown(&self, how: Shutdown, limit: Duration) -> usize {
        let names: Vec<Arc<str>> = lock(&self.entries).keys().cloned().collect();
        for name in names {
            self.tell(&name, Event::Shutdown(how));
        }
        let until = Instant::now() + limit;
        loop {
            let left = self.looked_after().len();
            if left == 0 || Instant::now() >= until {
                return left;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// False: there is no such latent worker.
    pub fn tell(&self, worker: &str, event: Event) -> bool {
        self.order(worker, Order::Event(event))
    }

    fn order(&self, worker: &str, order: Order) -> bool {
        lock(&self.entries).get(worker).is_some_and(|entry| entry.orders.send(order).is_ok())
    }

    pub fn view(&self, worker: &str) -> Option<View> {
        let view = lock(&self.entries).get(worker)?.view.clone();
        let view = lock(&view).clone();
        Some(view)
    }

    pub fn views(&self) -> Vec<(Arc<str>, View)> {
        let all: Vec<_> = lock(&self.entries).iter().map(|(name, entry)| (name.clone(), entry.view.clone())).collect();
        let mut views: Vec<_> = all.into_iter().map(|(name, view)| (name, lock(&view).clone())).collect();
        views.sort_by(|a, b| a.0.cmp(&b.0));
        views
    }

    /// Ends the tasks where they are. What they began is in the ledger.
    pub fn close(&self) {
        for (_, entry) in lock(&self.entries).drain() {
            entry.task.abort();
        }
    }
}

#[cfg(test)]
mod tests;
