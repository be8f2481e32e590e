//! The queue and its driver: takes requests in, starts builds, ends them, and knows why each request waits.
//!
//! Decisions are in [`distribute`](super::distribute), [`rules`](super::rules) and [`why`](super::why). The order of
//! every change is: into the store first, then act. `submit.rs` takes requests in, `decide.rs` asks the callbacks.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use serde_json::Value as Json;
use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::choices::Kept;
use super::decide::{Free, LONGEST_TURN, Turn, Turns};
use super::distribute::{self, Room, Situation, Start};
use super::queue::{BuilderState, Running, State};
use super::run::{Job, Stop};
use super::why::{self, Waits, why};
use crate::base::{BuildId, BuilderId, Clock, RequestId, Timestamp};
use crate::config::{BuilderSpec, Collapse, MasterConfig, WorkerSpec};
use crate::latent::driver::Latent;
use crate::latent::{self};
use crate::lua::Generation;
use crate::model::{Build, BuildRequest, Event, Results};
use crate::store::Store;
use crate::workers::registry::{Availability, Configured, Registry, WorkerEvent};

/// A request whose worker was lost that often is given up.
pub const MAX_ATTEMPTS: u32 = 3;
/// Events that are kept for one who watches; a slower one misses some, unless builds are patient.
pub(super) const EVENTS: usize = 512;

/// A build that has its place on a worker and is yet to begin.
pub(super) type Taken = (Job, Arc<WorkerSpec>);

/// The configuration at work.
#[derive(Clone)]
pub struct Active {
    pub config: Arc<MasterConfig>,
    pub generation: Arc<Generation>,
    pub builder_ids: Arc<HashMap<String, BuilderId>>,
}

impl Active {
    pub fn is(&self, other: &Active) -> bool {
        Arc::ptr_eq(&self.generation, &other.generation)
    }
}

pub struct Engine {
    pub(super) store: Store,
    pub(super) registry: Arc<Registry>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) events: broadcast::Sender<Event>,
    /// Builds wait for those who watch them.
    patient: AtomicBool,
    /// What functions of force forms said.
    pub(super) kept: Kept,
    state: Mutex<State>,
    poke: Notify,
    /// Another configuration is at work.
    replaced: Notify,
    /// A build has ended.
    pub(super) ended: Notify,
    pub(super) latent: OnceLock<Arc<Latent>>,
}

impl Engine {
    pub fn new(store: Store, registry: Arc<Registry>, clock: Arc<dyn Clock>) -> Arc<Engine> {
        let (events, _) = broadcast::channel(EVENTS);
        let state = Mutex::new(State { random: fastrand::Rng::new(), ..State::default() });
        Arc::new(Engine {
            store,
            registry,
            clock,
            events,
            patient: AtomicBool::new(false),
            kept: Kept::default(),
            state,
            poke: Notify::new(),
            replaced: Notify::new(),
            ended: Notify::new(),
            latent: OnceLock::new(),
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// From now on builds wait for who watches, so that no event is missed: for one build at a terminal, not for a master.
    pub fn wait_for_watchers(&self) {
        self.patient.store(true, Ordering::Relaxed);
    }

    pub(super) fn tell(&self, event: Event) {
        // Nobody may be watching.
        let _ = self.events.send(event);
    }

    pub fn active(&self) -> Option<Active> {
        self.state().active.clone()
    }

    /// Take over a configuration with its workers. Running builds end on the one that they began with; what is being decided is
    /// decided anew.
    pub fn configure(&self, active: Active, workers: Vec<Configured>) {
        // Nothing starts in between.
        let mut state = self.state();
        self.registry.configure(workers);
        for builder in state.builders.values_mut() {
            builder.spec = None;
        }
        state.worker_builders.clear();
        for spec in &active.config.builders {
            let Some(id) = active.builder_ids.get(&spec.name) else { continue };
            let builder = state.builders.entry(*id).or_insert_with(|| BuilderState::named(&spec.name));
            builder.name = spec.name.clone();
            builder.spec = Some(spec.clone());
            for worker in &spec.workers {
                state.worker_builders.entry(worker.clone()).or_default().push(*id);
            }
        }
        state.dirty = state.builders.keys().copied().collect();
        // What failed before may be mended.
        state.unordered_until = None;
        state.active = Some(active);
        drop(state);
        self.replaced.notify_waiters();
        self.poke.notify_one();
    }

    /// Resolves when this configuration is not the newest any more.
    pub(super) async fn replaced(&self, active: &Active) {
        loop {
            let replaced = self.replaced.notified();
            tokio::pin!(replaced);
            replaced.as_mut().enable();
            if !self.state().active.as_ref().is_some_and(|newest| newest.is(active)) {
                return;
            }
            replaced.await;
        }
    }

    /// Requests that waited when the master ended, and the numbers of the last builds.
    pub fn adopt(&self, waiting: Vec<BuildRequest>, last_numbers: &HashMap<BuilderId, i64>) {
        let mut state = self.state();
        for (builder, number) in last_numbers {
            // Also of those that are not configured now: they may come back.
            let builder = state.builders.entry(*builder).or_insert_with(|| BuilderState::named(&format!("#{builder}")));
            builder.last_number = builder.last_number.max(*number);
        }
        for request in waiting {
            state.enqueue(Arc::new(request), None);
        }
        drop(state);
        self.poke.notify_one();
    }

    /// When builders' newest builds ended, as the last run of the master left it.
    pub fn remember_completions(&self, newest: &HashMap<BuilderId, Timestamp>) {
        let mut state = self.state();
        for (id, when) in newest {
            if let Some(builder) = state.builders.get_mut(id) {
                builder.newest_complete = builder.newest_complete.max(Some(*when));
            }
        }
    }

    pub(super) fn poke(&self) {
        self.poke.notify_one();
    }

    /// Look at a builder again after a while. A timer that is due earlier stands in for it: whoever is asked then sets the next.
    pub(super) fn poke_later(self: &Arc<Self>, builder: BuilderId, delay: Duration) {
        let Some(due) = Instant::now().checked_add(delay) else { return };
        match self.state().builders.get_mut(&builder) {
            Some(state) if state.wake.is_none_or(|earlier| earlier > due) => state.wake = Some(due),
            _ => return,
        }
        let engine = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep_until(due).await;
            let Some(engine) = engine.upgrade() else { return };
            let mut state = engine.state();
            if let Some(builder) = state.builders.get_mut(&builder).filter(|b| b.wake == Some(due)) {
                builder.wake = None;
            } else {
                return;
            }
            state.dirty.insert(builder);
            drop(state);
            engine.poke();
        });
    }

    /// What was to start can't any more: think again.
    fn reconsider(&self, builder: BuilderId) {
        self.state().dirty.insert(builder);
        self.poke();
    }

    /// Start builds as they become possible, for ever.
    pub async fn distribute(self: Arc<Self>, mut workers: mpsc::UnboundedReceiver<WorkerEvent>) {
        loop {
            tokio::select! {
                () = self.poke.notified() => {}
                event = workers.recv() => match event {
                    Some(event) => self.worker_event(event),
                    None => return,
                },
            }
            while let Ok(event) = workers.try_recv() {
                self.worker_event(event);
            }
            self.round().await;
            self.settle_wishes();
        }
    }

    fn worker_event(&self, event: WorkerEvent) {
        let name = match &event {
            WorkerEvent::Attached(name) => {
                self.tell(Event::WorkerAttached(name.clone()));
                self.tell_latent(name, latent::Event::Attached);
                name
            }
            WorkerEvent::Detached(name) => {
                self.tell(Event::WorkerDetached(name.clone()));
                self.tell_latent(name, latent::Event::Detached);
                return;
            }
            WorkerEvent::Changed(name) => name,
        };
        let mut state = self.state();
        if let Some(builders) = state.worker_builders.get(&**name).cloned() {
            state.dirty.extend(builders);
        }
    }

    /// Everything that can start now.
    async fn round(self: &Arc<Self>) {
        let unsettled = self.registry.unsettled();
        let (mut builders, active) = {
            let mut state = self.state();
            if state.turns.as_ref().is_some_and(Turns::go_on) {
                return;
            }
            let dirty = std::mem::take(&mut state.dirty);
            if state.stopping {
                return;
            }
            let Some(active) = state.active.clone() else { return };
            let mut able = Vec::new();
            for id in dirty {
                let Some(builder) = state.builders.get_mut(&id) else { continue };
                let Some((_, first)) = builder.waiting.first_key_value() else { continue };
                if builder.spec.is_none() {
                    continue;
                }
                if builder.rest_until.is_some_and(|until| until > Instant::now()) {
                    continue;
                }
                if builder.deciding {
                    builder.ask_again = true;
                    continue;
                }
                let workers: Vec<String> = builder.candidates().filter(|w| builder.known_to(w, &unsettled)).cloned().collect();
                if workers.is_empty() {
                    continue;
                }
                builder.deciding = builder.needs_asking(&active);
                able.push(distribute::Waiting {
                    builder: id,
                    name: builder.name.clone(),
                    priority: first.request.priority,
                    since: first.request.submitted_at,
                    requests: builder.waiting.keys().map(|(_, id)| *id).take(workers.len()).collect(),
                    workers,
                    wishes: Vec::new(),
                });
            }
            for (request, wish) in &state.wishes {
                let builder = state.by_request.get(request).map(|(builder, _)| *builder);
                if let Some(waiting) = able.iter_mut().find(|w| Some(w.builder) == builder) {
                    waiting.wishes.push((*request, wish.worker.clone()));
                }
            }
            (able, active)
        };
        if builders.is_empty() {
            return;
        }
        // Before the order: see `Free`.
        let rooms = self.rooms(builders.iter().flat_map(|b| b.workers.iter().map(String::as_str)));
        let askable = self.askable(&self.state(), builders.iter().flat_map(|b| b.workers.iter().map(String::as_str)));
        let names = self.prioritized(&builders, &active).await;
        distribute::order(&mut builders, names.as_deref());
        let free = || Free::new(rooms.iter().filter(|(_, room)| room.more != Some(0)).map(|(w, _)| w).chain(askable.keys()).cloned());
        let builders = self.ask_in_turn(builders, names.is_some().then(free));
        let mut situation = Situation { builders, rooms, askable };
        let mut random = self.state().random.fork();
        let plan = distribute::plan(&mut situation, &mut random);
        for start in plan.starts.into_iter().chain(plan.asks) {
            let builder = start.builder;
            if !self.start(start, &active) {
                self.reconsider(builder);
            }
        }
    }

    /// Ask the callbacks of builders that have some, if in order, then each in its turn; the others are given back.
    fn ask_in_turn(self: &Arc<Self>, builders: Vec<distribute::Waiting>, in_order: Option<Free>) -> Vec<distribute::Waiting> {
        let (asked, plain): (Vec<_>, Vec<_>) = {
            let state = self.state();
            builders.into_iter().partition(|w| state.builders.get(&w.builder).is_some_and(|b| b.deciding))
        };
        if let Some(free) = in_order.as_ref().filter(|_| !asked.is_empty()) {
            self.state().turns = free.turns();
            let engine = Arc::downgrade(self);
            tokio::spawn(async move {
                tokio::time::sleep(LONGEST_TURN).await;
                engine.upgrade().inspect(|engine| engine.poke());
            });
        }
        let mut before = None;
        for waiting in asked {
            let (done, next) = oneshot::channel();
            let before = std::mem::replace(&mut before, in_order.is_some().then_some(next));
            let turn = Turn { before, done, free: in_order.clone() };
            tokio::spawn(self.clone().decide(waiting.builder, turn));
        }
        plain
    }

    /// The workers of these that may take a build; latent ones have to be asked for.
    pub(super) fn rooms<'a>(&self, names: impl Iterator<Item = &'a str>) -> HashMap<String, Room> {
        let unique: BTreeSet<&str> = names.collect();
        let all = self.registry.availabilities(unique.into_iter());
        all.into_iter()
            .filter_map(|(name, availability)| match availability {
                Availability::Free { more, running } if !self.is_latent(&name) => Some((name, Room { more, running })),
                _ => None,
            })
            .collect()
    }

    /// Take a request out of the queue and start its build, or ask for the worker's machine if it is a latent one. False if the situation has
    /// changed.
    pub(super) fn start(self: &Arc<Self>, start: Start, active: &Active) -> bool {
        if self.is_latent(&start.worker) { self.wish(start) } else { self.start_at(start, active) }
    }

    fn start_at(self: &Arc<Self>, start: Start, active: &Active) -> bool {
        let taken = self.take(&mut self.state(), start, active, None);
        taken.map(|taken| self.begin(taken)).is_some()
    }

    pub(super) fn begin(self: &Arc<Self>, (job, worker): Taken) {
        tokio::spawn(self.clone().build(job, worker));
    }

    /// Takes a request out of the queue, and a place on the worker. `promised`: the request that the latent worker said yes to.
    pub(super) fn take(&self, state: &mut State, start: Start, active: &Active, promised: Option<RequestId>) -> Option<Taken> {
        let Start { builder: id, request, worker } = start;
        let builder = state.builders.get(&id)?;
        let spec = builder.spec.clone()?;
        // What an older configuration decided does not count any more.
        if !state.active.as_ref().is_some_and(|newest| newest.is(active)) {
            return None;
        }
        if state.stopping || builder.building.contains_key(&worker) || state.by_request.get(&request).map(|(b, _)| *b) != Some(id) {
            return None;
        }
        let worker_spec = self.registry.spec(&worker)?;
        let (worker_id, link, info) = self.registry.reserve(&worker, &spec.name, &spec.workerbuilddir).ok()?;
        let Some(request) = state.dequeue(request) else {
            self.registry.release(&worker, &spec.name, None);
            return None;
        };
        let builder = state.builders.get_mut(&id)?;
        builder.last_number += 1;
        let number = builder.last_number;
        builder.building.insert(worker.clone(), number);
        let build = Build {
            id: self.store.next_build_id(),
            number,
            builder: id,
            request: request.id,
            worker: worker_id,
            started_at: self.clock.now(),
            complete_at: None,
            state: "building".into(),
            results: None,
        };
        let (stop, stop_receiver) = watch::channel(None);
        if let Some(promised) = promised {
            self.tell_latent(&worker, latent::Event::BuildStarted(promised, build.id));
        }
        state.running.insert(build.id, Running { request: request.id, builder: id, worker: worker.clone(), stop });
        if state.builders.get(&id).is_some_and(|b| !b.waiting.is_empty()) {
            state.dirty.insert(id);
        }
        let job = Job {
            build,
            request,
            builder: spec,
            worker_name: worker,
            worker: info,
            link,
            config: active.config.clone(),
            generation: active.generation.clone(),
            store: self.store.clone(),
            clock: self.clock.clone(),
            events: self.events.clone(),
            patient: self.patient.load(Ordering::Relaxed),
            stop: stop_receiver,
            known_secrets: self.registry.password_mask(),
        };
        Some((job, worker_spec))
    }

    /// Order a build to end; of several orders the worst result counts. False if it does not run.
    pub fn stop_build(&self, id: BuildId, reason: &str, results: Results) -> bool {
        let state = self.state();
        let Some(running) = state.running.get(&id) else { return false };
        running.stop.send_modify(|stop| Stop::add(stop, Stop { results, reason: reason.to_owned(), master_stops: false }));
        true
    }

    /// The build that a request runs as now.
    pub fn build_of(&self, request: RequestId) -> Option<BuildId> {
        self.state().running.iter().find(|(_, r)| r.request == request).map(|(id, _)| *id)
    }

    /// Builds that run now: id, builder, worker.
    pub fn running(&self) -> Vec<(BuildId, BuilderId, String)> {
        self.state().running.iter().map(|(id, r)| (*id, r.builder, r.worker.clone())).collect()
    }

    /// Why a request waits; none if it does not.
    pub fn why(&self, id: RequestId) -> Option<Json> {
        let now = self.clock.now();
        let state = self.state();
        let (builder, priority) = state.by_request.get(&id)?;
        let builder = state.builders.get(builder)?;
        let key = (Reverse(*priority), id);
        let queued = builder.waiting.get(&key)?;
        let ahead = builder.waiting.range(..key).take(why::COUNTED).count();
        let names: Vec<&str> = builder.spec.iter().flat_map(|s| s.workers.iter().map(String::as_str)).collect();
        let availabilities = self.registry.availabilities(names.iter().copied());
        let unsettled = self.registry.unsettled();
        let availability = |name: &str| match availabilities.get(name).cloned().unwrap_or(Availability::NotConfigured) {
            Availability::Free { .. } if !builder.known_to(name, &unsettled) => {
                Availability::Untold { refused: unsettled.get(name).and_then(|(_, why)| why.clone()) }
            }
            other => other,
        };
        let closed = names.iter().filter_map(|name| Some((*name, self.closed(name)?))).collect();
        let workers = names.into_iter().map(|name| (name, availability(name), builder.building.get(name).copied())).collect();
        let waits = Waits {
            builder: &builder.name,
            builder_removed: builder.spec.is_none(),
            shutting_down: state.stopping,
            ahead,
            wished: self.wished(&state, id),
            closed,
            verdict: queued
                .verdict
                .as_deref()
                .or(builder.deciding.then_some("the callbacks of its builder are being asked whether and where it starts")),
            workers,
        };
        Some(why(&waits, now))
    }

    /// No new builds; running ones get `grace`, then end as retry and run again after the restart.
    pub async fn shutdown(&self, grace: Duration) {
        self.state().stopping = true;
        if !self.wait_idle(grace).await {
            for running in self.state().running.values() {
                running.stop.send_modify(|stop| {
                    Stop::add(stop, Stop { results: Results::Retry, reason: "the master stops".into(), master_stops: true })
                });
            }
            // What does not end in time is closed as retry by the next start.
            self.wait_idle(Duration::from_secs(10)).await;
        }
    }

    async fn wait_idle(&self, limit: Duration) -> bool {
        let wait = async {
            loop {
                let ended = self.ended.notified();
                tokio::pin!(ended);
                ended.as_mut().enable();
                if self.state().running.is_empty() {
                    return;
                }
                ended.await;
            }
        };
        tokio::time::timeout(limit, wait).await.is_ok()
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Does a builder collapse requests, and by which rule?
    pub(super) fn collapse_rule(active: &Active, spec: &BuilderSpec) -> Collapse {
        match (&spec.collapse_requests, &active.config.collapse_requests) {
            (Collapse::Inherit, Collapse::Inherit) => Collapse::Always(true),
            (Collapse::Inherit, global) => global.clone(),
            (own, _) => own.clone(),
        }
    }
}
