//! What the configuration's callbacks are told of builders, workers and requests as they are now.

use super::engine::Engine;
use super::queue::BuilderState;
use crate::base::BuilderId;
use crate::config::BuilderSpec;
use crate::lua::{BuilderInput, BuildingInput, Quarantine, QuarantineOrder, RequestInput, WorkerInput};
use crate::model::{BuildRequest, WorkerInfo};
use crate::workers::registry::{Availability, Snapshot};

pub(super) fn builder_input(id: BuilderId, builder: &BuilderState, spec: &BuilderSpec) -> BuilderInput {
    let mut building: Vec<BuildingInput> =
        builder.building.iter().map(|(worker, number)| BuildingInput { number: *number, workername: worker.clone() }).collect();
    building.sort_by_key(|b| b.number);
    BuilderInput {
        name: spec.name.clone(),
        builderid: id.0,
        tags: spec.tags.clone(),
        building,
        workers: spec.workers.clone(),
        highest_priority: builder.waiting.values().next().map(|q| q.request.priority),
        newest_complete_time: builder.newest_complete.map(|t| t.seconds()),
        oldest_request_time: builder.waiting.values().map(|q| q.request.submitted_at).min().map(|t| t.seconds()),
    }
}

pub(super) fn request_input(r: &BuildRequest) -> RequestInput {
    RequestInput {
        id: r.id,
        bsid: r.buildset.id.0,
        priority: r.priority,
        reason: r.buildset.reason.clone(),
        submitted_at: r.submitted_at.seconds(),
        properties: r.buildset.properties.clone(),
        sources: r.buildset.sourcestamps.iter().map(|(_, s)| s.clone()).collect(),
    }
}

impl Engine {
    /// Workers, each once however often it is named.
    pub(super) fn worker_inputs(&self, names: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<WorkerInput> {
        self.registry.snapshots(names).into_iter().map(|(name, worker)| worker_input(name, &worker)).collect()
    }

    /// Do to the workers what a callback ordered.
    pub(super) fn order(&self, orders: &[QuarantineOrder]) {
        for QuarantineOrder { worker, order } in orders {
            match order {
                Quarantine::Put(timeout) => self.registry.quarantine(worker, *timeout),
                Quarantine::Reset => self.registry.set_quarantine_timeout(worker, None),
                Quarantine::Next(timeout) => self.registry.set_quarantine_timeout(worker, Some(*timeout)),
            }
        }
    }
}

fn worker_input(name: String, worker: &Snapshot) -> WorkerInput {
    let state = match worker.availability {
        Availability::Free { .. } | Availability::Full { .. } => "ready",
        Availability::NotConfigured | Availability::NotAttached { .. } => "detached",
        Availability::Paused { .. } => "paused",
        Availability::Untold { .. } => "ready",
        Availability::Stopping | Availability::Leaving { .. } => "stopping",
        Availability::Quarantined { .. } => "quarantined",
    };
    WorkerInput {
        name,
        properties: worker.spec.properties.clone(),
        max_builds: worker.spec.max_builds,
        state: state.into(),
        active_builds: worker.running as usize,
        attached: worker.attached,
        info: info(&worker.info),
        quarantine_timeout: worker.quarantine_delay.as_secs_f64(),
    }
}

/// What a worker said of itself, but for its environment and its commands, which are long.
fn info(info: &WorkerInfo) -> serde_json::Map<String, serde_json::Value> {
    let short = WorkerInfo { environ: Default::default(), commands: Default::default(), ..info.clone() };
    match serde_json::to_value(short) {
        Ok(serde_json::Value::Object(map)) => map,
        _ => serde_json::Map::new(),
    }
}
