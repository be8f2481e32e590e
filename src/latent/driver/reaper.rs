//! Looks for instances that nobody knows, and tells each worker whether its own is there. The rules decide what follows.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::timeout;

use super::{LIST_DEADLINE, Latent, lock};
use crate::base::duration::human;
use crate::latent::backend::{Backend, Instance};
use crate::latent::lifecycle::Event;
use crate::model::{LaunchId, LaunchRecord};

/// Who lists for whom.
type Group = (Arc<dyn Backend>, Vec<Arc<str>>);

impl Latent {
    /// One pass of the reaper: every backend is asked what there is, and what nobody knows is stopped. How many were.
    pub async fn reap(&self) -> usize {
        let mut groups: HashMap<String, Group> = HashMap::new();
        for (name, entry) in lock(&self.entries).iter().filter(|(_, e)| e.configured.backend.can_list()) {
            let backend = &entry.configured.backend;
            groups.entry(backend.group()).or_insert_with(|| (backend.clone(), Vec::new())).1.push(name.clone());
        }
        let mut stopped = 0;
        for (backend, workers) in groups.into_values() {
            // Before the listing: what is started meanwhile is not missed for want of being seen.
            let here = |r: &LaunchRecord| r.handle.as_ref().is_none_or(|handle| backend.lists(handle));
            let launches: Vec<(Arc<str>, LaunchId)> =
                workers.into_iter().filter_map(|w| Some((w.clone(), self.view(&w)?.record.filter(here)?.id))).collect();
            let there = match timeout(LIST_DEADLINE, backend.list()).await {
                Ok(Ok(there)) => there,
                Ok(Err(why)) => {
                    tracing::warn!(backend = backend.class(), "its instances can't be listed: {why}");
                    continue;
                }
                Err(_) => {
                    tracing::warn!(backend = backend.class(), "its instances can't be listed: no answer within {}", human(LIST_DEADLINE));
                    continue;
                }
            };
            for (worker, launch) in launches {
                let handle = there.iter().find(|i| i.launch == launch).map(|i| i.handle.clone());
                self.tell(&worker, Event::Listed(launch, handle));
            }
            stopped += self.stop_unknown(&*backend, there).await;
        }
        stopped
    }

    /// Instances with our mark that the ledger does not know, or knows as gone.
    async fn stop_unknown(&self, backend: &dyn Backend, there: Vec<Instance>) -> usize {
        // After the listing: every row is committed before its instance is asked for.
        let open = match self.store.open_launches().await {
            Ok(open) => open,
            Err(e) => {
                tracing::error!("the ledger can't be read, nothing is reaped: {e}");
                return 0;
            }
        };
        let mut stopped = 0;
        for instance in there.into_iter().filter(|i| open.iter().all(|r| r.id != i.launch)) {
            tracing::warn!(backend = backend.class(), launch = %instance.launch, handle = %instance.handle,
                "an instance that the ledger does not have is stopped");
            match backend.stop(instance.launch.clone(), instance.handle, false).await {
                Ok(()) => stopped += 1,
                Err(why) => tracing::warn!(launch = %instance.launch, "it could not be stopped and is tried again: {why}"),
            }
        }
        stopped
    }
}
