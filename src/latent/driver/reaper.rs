//! Looks for instances that nobody knows, and tells each worker whether its own is there. What follows for the worker is for the rules
//! to decide; what can't be stopped at once is looked after like every other machine, until it is gone.

use std::collections::HashMap;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::timeout;

use super::machine::Order;
use super::{LIST_DEADLINE, Latent, lock};
use crate::base::duration::human;
use crate::latent::backend::{Backend, Instance};
use crate::latent::lifecycle::Policy;
use crate::model::{LaunchId, LaunchRecord};
use crate::store::StoreError;

/// Groups that are asked, and instances of each that are stopped, at the same time.
const AT_A_TIME: usize = 16;
const STOP_DEADLINE: Duration = Duration::from_secs(600);
/// In place of a worker's name. No worker can have it.
const NOBODY: &str = "(unknown)";

/// Who lists for whom.
struct Group {
    backend: Arc<dyn Backend>,
    policy: Policy,
    workers: Vec<Arc<str>>,
}

impl Latent {
    /// One pass of the reaper: every backend is asked what there is, and what nobody knows is stopped. How many were.
    pub async fn reap(self: &Arc<Latent>) -> usize {
        let mut groups: HashMap<String, Group> = HashMap::new();
        for (name, entry) in lock(&self.entries).iter().filter(|(_, e)| e.configured.backend.can_list()) {
            let (backend, policy) = (&entry.configured.backend, &entry.configured.policy);
            let group = groups.entry(backend.group());
            let new = || Group { backend: backend.clone(), policy: policy.clone(), workers: Vec::new() };
            group.or_insert_with(new).workers.push(name.clone());
        }
        // One that does not answer keeps nobody else waiting.
        let passes = groups.into_iter().map(|(name, group)| self.reap_group(name, group));
        stream::iter(passes).buffer_unordered(AT_A_TIME).fold(0, |all, stopped| ready(all + stopped)).await
    }

    async fn reap_group(self: &Arc<Latent>, name: String, Group { backend, policy, workers }: Group) -> usize {
        // Before the listing: what is started meanwhile is not missed for want of being seen.
        let launches: Vec<(Arc<str>, LaunchId)> =
            workers.into_iter().filter_map(|w| Some((w.clone(), self.view(&w)?.record?.id))).collect();
        let there = match timeout(LIST_DEADLINE, backend.list()).await {
            Ok(Ok(there)) => there,
            Ok(Err(why)) => {
                tracing::warn!(backend = backend.class(), "its instances can't be listed: {why}");
                return 0;
            }
            Err(_) => {
                tracing::warn!(backend = backend.class(), "its instances can't be listed: no answer within {}", human(LIST_DEADLINE));
                return 0;
            }
        };
        for (worker, launch) in launches {
            let handle = there.iter().find(|i| i.launch == launch).map(|i| i.handle.clone());
            self.order(&worker, Order::Listed(name.clone(), launch, handle));
        }
        self.stop_unknown(&backend, &policy, there).await
    }

    /// Instances with our mark that the ledger does not know, or knows as gone.
    async fn stop_unknown(self: &Arc<Latent>, backend: &Arc<dyn Backend>, policy: &Policy, there: Vec<Instance>) -> usize {
        // After the listing: every row is committed before its instance is asked for.
        let open = match self.store.open_launches().await {
            Ok(open) => open,
            Err(e) => {
                tracing::error!("the ledger can't be read, nothing is reaped: {e}");
                return 0;
            }
        };
        let unknown = there.into_iter().filter(|i| open.iter().all(|r| r.id != i.launch));
        let stops = unknown.map(|instance| self.stop_one(instance, backend, policy));
        stream::iter(stops).buffer_unordered(AT_A_TIME).fold(0, |all, stopped| ready(all + usize::from(stopped))).await
    }

    async fn stop_one(self: &Arc<Latent>, instance: Instance, backend: &Arc<dyn Backend>, policy: &Policy) -> bool {
        tracing::warn!(backend = backend.class(), launch = %instance.launch, handle = %instance.handle,
            "an instance that the ledger does not have is stopped");
        let why = match timeout(STOP_DEADLINE, backend.stop(instance.launch.clone(), instance.handle.clone(), false)).await {
            Ok(Ok(())) => return true,
            Ok(Err(why)) => why,
            Err(_) => format!("no answer within {}", human(STOP_DEADLINE)),
        };
        tracing::warn!(launch = %instance.launch, "it could not be stopped and is in the ledger until it is gone: {why}");
        if let Err(e) = self.pursue(instance, backend, policy).await {
            tracing::error!("the ledger can't be written, the instance is looked for again: {e}");
        }
        false
    }

    /// From now on it is tried again, shown, and told of, like every machine that can't be stopped.
    async fn pursue(self: &Arc<Latent>, instance: Instance, backend: &Arc<dyn Backend>, policy: &Policy) -> Result<(), StoreError> {
        let now = self.clock.now();
        let known = self.store.launch(&instance.launch).await?;
        let known = known.unwrap_or_else(|| LaunchRecord::new(instance.launch, NOBODY, backend.class(), backend.settings(), now));
        let stop = Some(("nobody knows it, or it was thought to be gone".to_owned(), now));
        let record = LaunchRecord { handle: Some(instance.handle), stop, gone: None, leak_told_at: None, ..known };
        self.store.put_launch(&record).await?;
        self.end_stray(record, policy.clone(), backend.clone());
        Ok(())
    }
}
