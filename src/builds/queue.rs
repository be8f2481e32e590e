//! What the engine keeps in memory: the queue of each builder, the builds that run, who waits for a machine. Plain state behind the
//! engine's lock; no I/O, and nothing is decided here.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use super::decide::Turns;
use super::engine::Active;
use super::run::Stop;
use super::wishes::Wish;
use crate::base::{BuildId, BuilderId, RequestId, Timestamp};
use crate::config::BuilderSpec;
use crate::model::BuildRequest;
use crate::workers::registry::Builders;

#[derive(Default)]
pub(super) struct State {
    pub active: Option<Active>,
    pub builders: BTreeMap<BuilderId, BuilderState>,
    /// The builder and the priority of each request that waits: its key in the queue.
    pub by_request: HashMap<RequestId, (BuilderId, i64)>,
    pub running: HashMap<BuildId, Running>,
    /// Builders that each worker may build.
    pub worker_builders: HashMap<String, Vec<BuilderId>>,
    /// Requests that ask for a latent worker.
    pub wishes: HashMap<RequestId, Wish>,
    /// Builders for which something may have become possible.
    pub dirty: BTreeSet<BuilderId>,
    pub stopping: bool,
    /// `prioritizeBuilders` failed: it is not asked before that.
    pub unordered_until: Option<Instant>,
    /// Of the last round in an order.
    pub turns: Option<Turns>,
    pub random: fastrand::Rng,
}

pub(super) struct BuilderState {
    pub name: String,
    /// None: not in the configuration any more.
    pub spec: Option<Arc<BuilderSpec>>,
    pub waiting: BTreeMap<(Reverse<i64>, RequestId), Queued>,
    /// Worker to the number of the build that it runs for this builder.
    pub building: HashMap<String, i64>,
    pub last_number: i64,
    /// When its newest build ended.
    pub newest_complete: Option<Timestamp>,
    /// Its callbacks are being asked.
    pub deciding: bool,
    /// Something changed meanwhile: they are asked again afterwards.
    pub ask_again: bool,
    /// Requests in `waiting` that ask for a worker.
    choosers: usize,
    /// When it is looked at again by itself. One timer at most is told by, however often it is set.
    pub wake: Option<Instant>,
    /// The store failed: nothing starts before that.
    pub rest_until: Option<Instant>,
}

pub(super) struct Queued {
    pub request: Arc<BuildRequest>,
    /// Why it was not started when it could have been.
    pub verdict: Option<String>,
}

pub(super) struct Running {
    pub request: RequestId,
    pub builder: BuilderId,
    pub worker: String,
    pub stop: watch::Sender<Option<Stop>>,
}

impl BuilderState {
    pub fn named(name: &str) -> BuilderState {
        BuilderState {
            name: name.into(),
            spec: None,
            waiting: BTreeMap::new(),
            building: HashMap::new(),
            last_number: 0,
            newest_complete: None,
            deciding: false,
            ask_again: false,
            choosers: 0,
            wake: None,
            rest_until: None,
        }
    }

    /// The workers that may build it and do not build it now.
    pub fn candidates(&self) -> impl Iterator<Item = &String> {
        self.spec.iter().flat_map(|s| &s.workers).filter(|w| !self.building.contains_key(*w))
    }

    /// Does a worker know it already?
    pub fn known_to(&self, worker: &str, unsettled: &HashMap<String, (Arc<Builders>, Option<String>)>) -> bool {
        let Some((known, _)) = unsettled.get(worker) else { return true };
        let Some(spec) = &self.spec else { return false };
        known.iter().any(|(builder, folder)| *builder == spec.name && *folder == spec.workerbuilddir)
    }

    /// Does starting its builds need more than the plain rules?
    pub fn needs_asking(&self, active: &Active) -> bool {
        let callbacks =
            self.spec.as_ref().is_some_and(|s| s.next_worker.is_some() || s.next_build.is_some() || s.can_start_build.is_some());
        callbacks || active.config.select_next_worker.is_some() || self.choosers > 0
    }
}

/// The worker that a person chose in the force form.
pub(super) fn chosen_worker(request: &BuildRequest) -> Option<&str> {
    request
        .buildset
        .properties
        .0
        .get("workername")
        .filter(|p| p.source == super::force::SOURCE)
        .and_then(|p| p.value.as_str())
        .filter(|w| !w.is_empty())
}

impl State {
    pub fn enqueue(&mut self, request: Arc<BuildRequest>, verdict: Option<String>) {
        let builder = request.builder;
        self.by_request.insert(request.id, (builder, request.priority));
        let state = self.builders.entry(builder).or_insert_with(|| BuilderState::named(&format!("#{builder}")));
        state.choosers += usize::from(chosen_worker(&request).is_some());
        state.waiting.insert((Reverse(request.priority), request.id), Queued { request, verdict });
        self.dirty.insert(builder);
    }

    pub fn dequeue(&mut self, id: RequestId) -> Option<Arc<BuildRequest>> {
        let (builder, priority) = self.by_request.remove(&id)?;
        let state = self.builders.get_mut(&builder)?;
        let request = state.waiting.remove(&(Reverse(priority), id))?.request;
        state.choosers -= usize::from(chosen_worker(&request).is_some());
        Some(request)
    }
}
