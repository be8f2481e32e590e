//! Requests that wait for the machine of a latent worker: who asks for which worker, what the answer brings, when the wish ends.
//!
//! A wish is no build: it has no number, blocks no other request, and ends when its request starts elsewhere or is cancelled. Whether a
//! machine starts is the latent workers' own affair. A build begins there after a yes only, so no machine is stopped under it.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, MutexGuard};

use serde_json::{Map, Value as Json};

use super::distribute::{Askable, Start};
use super::engine::Engine;
use super::queue::State;
use super::run::properties_on;
use super::why::Wished;
use crate::base::{BuilderId, RequestId, Timestamp};
use crate::latent::backend::WantedBuild;
use crate::latent::driver::{Latent, View};
use crate::latent::{Event, State as Machine};
use crate::workers::registry::Availability;

/// A request asks for one worker at a time.
pub(super) struct Wish {
    pub worker: String,
    builder: BuilderId,
    since: Timestamp,
}

impl Engine {
    /// Whom to ask for latent workers; once, before anything starts.
    pub fn set_latent(&self, latent: Arc<Latent>) {
        if self.latent.set(latent).is_err() {
            tracing::error!("the latent workers were given twice");
        }
    }

    fn machine(&self, worker: &str) -> Option<View> {
        self.latent.get()?.view(worker)
    }

    pub(super) fn is_latent(&self, worker: &str) -> bool {
        self.machine(worker).is_some()
    }

    pub(super) fn tell_latent(&self, worker: &str, event: Event) {
        if let Some(latent) = self.latent.get() {
            latent.tell(worker, event);
        }
    }

    /// The latent workers of these that a request may ask for.
    pub(super) fn askable<'a>(&self, state: &State, names: impl Iterator<Item = &'a str>) -> HashMap<String, Askable> {
        let Some(latent) = self.latent.get() else { return HashMap::new() };
        let unique: BTreeSet<&str> = names.collect();
        let views: Vec<(&str, View)> = unique.into_iter().filter_map(|name| Some((name, latent.view(name)?))).collect();
        if views.is_empty() {
            return HashMap::new();
        }
        let snapshots = self.registry.snapshots(views.iter().map(|(name, _)| *name));
        let mut wished: HashMap<String, u32> = HashMap::new();
        for wish in state.wishes.values() {
            *wished.entry(wish.worker.clone()).or_default() += 1;
        }
        let askable = views.into_iter().filter(|(_, view)| view.open.is_ok()).filter_map(|(name, view)| {
            let worker = snapshots.get(name)?;
            if !matches!(worker.availability, Availability::Free { .. } | Availability::NotAttached { .. }) {
                return None;
            }
            let load = worker.running + wished.get(name).copied().unwrap_or(0);
            let more = worker.spec.max_builds.map(|max| max.saturating_sub(load));
            let near = match view.state {
                Machine::Ready => 2,
                Machine::Starting | Machine::Waiting => 1,
                Machine::Idle | Machine::Stopping | Machine::Quarantined => 0,
            };
            (more != Some(0)).then(|| (name.to_owned(), Askable { more, load, near }))
        });
        askable.collect()
    }

    /// A request asks for a latent worker. False if the situation has changed.
    pub(super) fn wish(&self, start: Start) -> bool {
        let Start { builder, request, worker } = start;
        {
            let mut state = self.state();
            let wanted = state.by_request.get(&request).is_some_and(|(b, _)| *b == builder);
            if state.stopping || !wanted || state.wishes.contains_key(&request) {
                return false;
            }
            tracing::info!(request = request.0, worker, "the request asks for the machine of a latent worker");
            state.wishes.insert(request, Wish { worker: worker.clone(), builder, since: self.clock.now() });
        }
        self.tell_latent(&worker, Event::Wanted(request));
        true
    }

    /// Wishes whose request waits no more, or whose worker its builder has no more, end here.
    pub(super) fn settle_wishes(&self) {
        let mut state = self.state();
        if state.wishes.is_empty() {
            return;
        }
        let over = |state: &State, request: &RequestId, wish: &Wish| {
            let waits = state.by_request.get(request).is_some_and(|(builder, _)| *builder == wish.builder);
            let spec = state.builders.get(&wish.builder).and_then(|b| b.spec.as_ref());
            !waits || !spec.is_some_and(|spec| spec.workers.contains(&wish.worker))
        };
        let ended: Vec<RequestId> = state.wishes.iter().filter(|(r, w)| over(&state, r, w)).map(|(r, _)| *r).collect();
        let ended: Vec<(RequestId, Wish)> = ended.into_iter().filter_map(|r| Some((r, state.wishes.remove(&r)?))).collect();
        drop(state);
        for (request, wish) in ended {
            self.tell_latent(&wish.worker, Event::Unwanted(request));
        }
    }

    /// The answer to a wish.
    pub fn answer_wish(self: &Arc<Self>, worker: &str, request: RequestId, answer: Result<(), String>) {
        let mut state = self.state();
        if state.wishes.get(&request).is_none_or(|wish| wish.worker != worker) {
            // It was withdrawn meanwhile, and the worker is told so.
            return;
        }
        let Some(wish) = state.wishes.remove(&request) else { return };
        state.dirty.insert(wish.builder);
        let why = match answer {
            Ok(()) => return self.granted(state, worker, wish.builder, request),
            Err(why) => why,
        };
        tracing::info!(request = request.0, worker, "the request does not get the worker's machine: {why}");
        if let Some((builder, priority)) = state.by_request.get(&request).copied()
            && let Some(queued) = state.builders.get_mut(&builder).and_then(|b| b.waiting.get_mut(&(Reverse(priority), request)))
        {
            queued.verdict = Some(format!("worker {worker}: {why}"));
        }
        drop(state);
        self.poke();
    }

    /// The worker waits for a build of that builder: of the request that asked, or of one that goes before it by now. All under one lock:
    /// a request whose wish is over and whose build has not begun would ask anew.
    fn granted(self: &Arc<Self>, mut state: MutexGuard<'_, State>, worker: &str, builder: BuilderId, asked: RequestId) {
        let own = state.by_request.contains_key(&asked).then_some(asked);
        let starts = state.active.clone().and_then(|active| {
            let queue = state.builders.get(&builder)?;
            // Where the configuration decides, the request was chosen for this worker.
            let request = if queue.needs_asking(&active) { own? } else { queue.waiting.keys().next()?.1 };
            let start = Start { builder, request, worker: worker.to_owned() };
            Some((request, self.take(&mut state, start, &active, Some(asked))?))
        });
        // Who went before leaves its own wish to the one that asked, if that still waits.
        let left = starts.as_ref().and_then(|(request, _)| state.wishes.remove(request).map(|wish| (*request, wish)));
        if let Some((request, wish)) = left {
            let other = wish.worker.clone();
            // In this order: its machine is wanted all the time.
            if let Some(asked) = own.filter(|asked| *asked != request) {
                state.wishes.insert(asked, Wish { since: self.clock.now(), ..wish });
                self.tell_latent(&other, Event::Wanted(asked));
            }
            self.tell_latent(&other, Event::Unwanted(request));
        }
        drop(state);
        match starts {
            Some((_, taken)) => self.begin(taken),
            None => self.tell_latent(worker, Event::Unwanted(asked)),
        }
        self.poke();
    }

    /// Something about a latent worker's machine changed.
    pub fn machine_changed(&self, worker: &str) {
        let mut state = self.state();
        if let Some(builders) = state.worker_builders.get(worker).cloned() {
            state.dirty.extend(builders);
            drop(state);
            self.poke();
        }
    }

    /// The build of a request that waits, as it will begin on that worker.
    pub fn wanted_build(&self, worker: &str, request: RequestId) -> Option<(Map<String, Json>, WantedBuild)> {
        let state = self.state();
        let (id, priority) = state.by_request.get(&request)?;
        let builder = state.builders.get(id)?;
        let queued = builder.waiting.get(&(Reverse(*priority), request))?;
        let config = &state.active.as_ref()?.config;
        let buildset = &queued.request.buildset;
        let place = config.workers.iter().find(|w| w.name == worker);
        let properties = properties_on(config, (builder.spec.as_ref()?, *id, None), buildset, place.map(|w| &**w));
        let build = WantedBuild {
            builder: builder.name.clone(),
            reason: buildset.reason.clone(),
            sources: buildset.sourcestamps.iter().map(|(_, stamp)| stamp.clone()).collect(),
        };
        Some((properties.0.into_iter().map(|(name, p)| (name, p.value)).collect(), build))
    }

    /// What the request waits for, if it is a machine.
    pub(super) fn wished(&self, state: &State, request: RequestId) -> Option<Wished> {
        let wish = state.wishes.get(&request)?;
        let view = self.machine(&wish.worker)?;
        Some(Wished {
            worker: wish.worker.clone(),
            state: view.state,
            launch: view.record.as_ref().map(|r| r.id.to_string()),
            since: view.since.max(wish.since),
            console: view.console,
        })
    }

    /// Why a latent worker can't be asked for; none if it can, or is no latent worker.
    pub(super) fn closed(&self, worker: &str) -> Option<String> {
        self.machine(worker)?.open.err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SystemClock;
    use crate::builds::Active;
    use crate::lua::{LoadOptions, load};
    use crate::model::request::NewBuildset;
    use crate::model::{Properties, SourceStamp, WorkerInfo};
    use crate::store::{BuilderRow, Store, StoreOptions};
    use crate::workers::link::BoxFuture;
    use crate::workers::registry::{Configured, Registry};
    use crate::workers::{Gate, Link, RunningCommand};

    const CONFIG: &str = "local c = BuildmasterConfig
        c.collapseRequests = false
        c.workers = { Worker{ 'one', 'p' }, Worker{ 'two', 'p' } }
        local f = util.BuildFactory{ steps.ShellCommand{ command = 'never ends' } }
        c.builders = { util.BuilderConfig{ name = 'b', workernames = { 'one', 'two' }, factory = f } }
        c.schedulers = { schedulers.ForceScheduler{ name = 'force', builderNames = { 'b' } } }";

    /// A worker that takes commands and says nothing.
    struct Silent;

    impl Link for Silent {
        fn set_builders(&self, _: Vec<(String, String)>) -> BoxFuture<'_, Result<(), String>> {
            Box::pin(std::future::pending())
        }

        fn start(&self, _: &str, _: crate::wire::Command) -> RunningCommand {
            let (events, receiver) = tokio::sync::mpsc::channel(1);
            RunningCommand::new(receiver, Arc::new(move |_| drop(events.clone())))
        }

        fn ping(&self, _: std::time::Duration) -> BoxFuture<'_, Result<(), String>> {
            Box::pin(std::future::pending())
        }

        fn shutdown(&self) -> BoxFuture<'_, ()> {
            Box::pin(std::future::pending())
        }

        fn disconnect(&self, _: &str) {}

        fn closed(&self) -> BoxFuture<'_, String> {
            Box::pin(std::future::pending())
        }
    }

    /// An engine that distributes nothing by itself, two requests of its builder, and their worker `one`, attached.
    async fn engine(folder: &std::path::Path) -> (Arc<Engine>, BuilderId, [RequestId; 2]) {
        std::fs::write(folder.join("master.lua"), CONFIG).unwrap();
        let loaded = load(LoadOptions::new(folder)).await.unwrap();
        let store = Store::open(StoreOptions { database: folder.join("state.sqlite"), logs: folder.join("logs") }).await.unwrap();
        let (registry, _) = Registry::new(store.clone(), Arc::new(SystemClock));
        let engine = Engine::new(store.clone(), registry.clone(), Arc::new(SystemClock));
        let row = BuilderRow { name: "b".into(), description: None, description_format: None, tags: vec![] };
        let ids = store.sync_builders(&[row]).await.unwrap();
        let mut stored = store.sync_workers(&["one".into(), "two".into()]).await.unwrap();
        let workers = loaded.config.workers.iter().map(|spec| Configured {
            spec: spec.clone(),
            stored: stored.remove(&spec.name).unwrap(),
            builders: vec![("b".into(), "b".into())],
        });
        let (workers, builder) = (workers.collect(), ids["b"]);
        engine.configure(Active { config: loaded.config, generation: loaded.generation, builder_ids: Arc::new(ids) }, workers);
        registry.attach("one", "test", WorkerInfo::default(), Arc::new(Silent)).unwrap();
        let mut requests = [RequestId(0); 2];
        for request in &mut requests {
            let new = NewBuildset {
                reason: String::new(),
                submitted_at: engine.now(),
                external_idstring: None,
                sourcestamps: vec![SourceStamp::default()],
                properties: Properties::default(),
                builders: vec![builder],
                priority: 0,
                rebuilt_buildid: None,
            };
            *request = engine.submit(new).await.unwrap().requests[&builder];
        }
        (engine, builder, requests)
    }

    fn wished(engine: &Engine, request: RequestId) -> Option<String> {
        engine.state().wishes.get(&request).map(|wish| wish.worker.clone())
    }

    #[tokio::test]
    async fn who_goes_before_leaves_its_machine_to_the_one_that_asked() {
        let folder = tempfile::tempdir().unwrap();
        let (engine, builder, [first, second]) = engine(folder.path()).await;
        assert!(engine.wish(Start { builder, request: first, worker: "two".into() }));
        assert!(engine.wish(Start { builder, request: second, worker: "one".into() }));
        engine.answer_wish("one", second, Ok(()));
        assert!(engine.build_of(first).is_some() && engine.build_of(second).is_none());
        assert_eq!((wished(&engine, first), wished(&engine, second).as_deref()), (None, Some("two")));
    }

    /// The answer comes when its request has begun elsewhere, and the worker has a build of that builder.
    #[tokio::test]
    async fn an_answer_that_serves_nobody_takes_no_wish_away() {
        let folder = tempfile::tempdir().unwrap();
        let (engine, builder, [first, second]) = engine(folder.path()).await;
        assert!(engine.wish(Start { builder, request: first, worker: "one".into() }));
        assert!(engine.wish(Start { builder, request: second, worker: "two".into() }));
        let active = engine.state().active.clone().unwrap();
        let start = Start { builder, request: first, worker: "one".into() };
        assert!(engine.take(&mut engine.state(), start, &active, None).is_some());
        engine.answer_wish("one", first, Ok(()));
        assert_eq!(wished(&engine, second).as_deref(), Some("two"), "its machine would be stopped, and another one started");
    }
}
