//! Asks the configuration's callbacks which request starts where: `nextBuild`, `nextWorker`, `canStartBuild`,
//! `prioritizeBuilders`. One task per builder, so that a slow answer delays nobody else.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::distribute::{self, Start, Waiting};
use super::engine::{Active, Engine};
use super::inputs::{builder_input, request_input};
use super::queue::chosen_worker;
use crate::base::{BuilderId, RequestId};
use crate::config::BuilderSpec;
use crate::lua::{BuilderInput, CanStart, LuaFailure, RequestInput};
use crate::model::BuildRequest;

/// When `canStartBuild` says no without a time, it is asked again after this at the latest.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// All builders wait for `prioritizeBuilders`: no longer than that.
const LONGEST_ORDERING: Duration = Duration::from_secs(5);

/// `nextBuild` is asked about so many requests at once, the most urgent ones.
const MOST_REQUESTS: usize = 1000;

/// Requests that `nextBuild` chooses and that then can't start, before it is left alone for a while: each one costs another look at
/// all that wait.
const MOST_CHOSEN: usize = 20;

/// Where `prioritizeBuilders` gives an order, a builder's callbacks wait that long for those of the builder before it.
pub(super) const LONGEST_TURN: Duration = Duration::from_secs(2);

/// A builder's turn: it comes when the one before it is done, or is slow.
pub(super) struct Turn {
    pub before: Option<oneshot::Receiver<()>>,
    /// Dropped when the builder is done.
    pub done: oneshot::Sender<()>,
    /// Where there is an order: the workers that it is about.
    pub free: Option<Free>,
}

/// Workers that were free when an order was asked for, and have not been found busy since. One that becomes free later has a round of
/// its own, in which all of its builders have their say.
#[derive(Clone)]
pub(super) struct Free(Arc<Mutex<HashSet<String>>>);

/// A round in which builders have their turns.
pub(super) struct Turns {
    last: Weak<Mutex<HashSet<String>>>,
    until: Instant,
}

impl Turns {
    /// What comes meanwhile waits, so that the next round has an order of all that wait then; for a slow one it does not.
    pub(super) fn go_on(&self) -> bool {
        self.last.strong_count() > 0 && self.until > Instant::now()
    }
}

impl Free {
    pub(super) fn turns(&self) -> Option<Turns> {
        Some(Turns { last: Arc::downgrade(&self.0), until: Instant::now().checked_add(LONGEST_TURN)? })
    }

    pub(super) fn new(names: impl Iterator<Item = String>) -> Free {
        Free(Arc::new(Mutex::new(names.collect())))
    }

    fn is(&self, name: &str, free_now: bool) -> bool {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !free_now {
            names.remove(name);
        }
        free_now && names.contains(name)
    }
}

/// What the callbacks are asked about.
struct Question {
    spec: Arc<BuilderSpec>,
    builder: BuilderInput,
    requests: Vec<Arc<BuildRequest>>,
    candidates: Vec<String>,
}

impl Engine {
    pub(super) async fn decide(self: Arc<Self>, id: BuilderId, turn: Turn) {
        let Turn { before, done: _done, free } = turn;
        if let Some(before) = before {
            // Whether it is done or slow: it had its turn.
            let _ = timeout(LONGEST_TURN, before).await;
        }
        while let Some((question, active)) = self.question(id, free.as_ref()) {
            let chosen = tokio::select! {
                chosen = self.choose(id, &question, &active) => chosen,
                // The new one's callbacks are asked instead.
                () = self.replaced(&active) => continue,
            };
            match chosen {
                Ok(Some(start)) => {
                    if !self.start(start, &active) {
                        // The request or the worker went away meanwhile; there may be others.
                        self.ask_again(id);
                        break;
                    }
                }
                Ok(None) => break,
                Err(failure) => {
                    tracing::error!(builder = question.spec.name, "{failure}");
                    for request in &question.requests {
                        self.verdict(id, request.id, failure.to_string());
                    }
                    self.poke_later(id, ASK_AGAIN);
                    break;
                }
            }
        }
        drop(free);
        let mut state = self.state();
        let Some(builder) = state.builders.get_mut(&id) else { return };
        builder.deciding = false;
        if std::mem::take(&mut builder.ask_again) {
            state.dirty.insert(id);
        }
        if !state.dirty.is_empty() {
            drop(state);
            self.poke();
        }
    }

    fn ask_again(&self, id: BuilderId) {
        if let Some(builder) = self.state().builders.get_mut(&id) {
            builder.ask_again = true;
        }
    }

    /// What there is to ask, and the configuration whose callbacks are asked.
    fn question(&self, id: BuilderId, turn: Option<&Free>) -> Option<(Question, Active)> {
        let unsettled = self.registry.unsettled();
        let state = self.state();
        let active = state.active.clone()?;
        let builder = state.builders.get(&id).filter(|b| !b.waiting.is_empty() && !state.stopping)?;
        let spec = builder.spec.clone()?;
        let rooms = self.rooms(builder.candidates().map(String::as_str));
        // What its requests ask for is theirs already.
        let wished =
            |w: &str| state.wishes.iter().any(|(r, wish)| wish.worker == w && state.by_request.get(r).is_some_and(|(b, _)| *b == id));
        let askable = self.askable(&state, builder.candidates().map(String::as_str).filter(|w| !wished(w)));
        let free = |w: &&String| {
            let room = rooms.get(*w).is_some_and(|r| r.more != Some(0)) || askable.contains_key(*w);
            turn.map_or(room, |turn| turn.is(w, room)) && builder.known_to(w, &unsettled)
        };
        let candidates: Vec<String> = builder.candidates().filter(free).cloned().collect();
        if candidates.is_empty() {
            return None;
        }
        let input = builder_input(id, builder, &spec);
        let most = if spec.next_build.is_some() { MOST_REQUESTS } else { usize::MAX };
        let asking = |r: &BuildRequest| !state.wishes.contains_key(&r.id);
        let requests = builder.waiting.values().map(|q| q.request.clone()).filter(|r| asking(r)).take(most).collect();
        Some((Question { spec, builder: input, requests, candidates }, active))
    }

    async fn choose(self: &Arc<Self>, id: BuilderId, q: &Question, active: &Active) -> Result<Option<Start>, LuaFailure> {
        let lua = &active.generation;
        let Some(f) = &q.spec.next_build else {
            for request in &q.requests {
                if let Some(worker) = self.worker_for(id, q, request, active).await? {
                    return Ok(Some(Start { builder: id, request: request.id, worker }));
                }
            }
            return Ok(None);
        };
        let mut requests: Vec<&Arc<BuildRequest>> = q.requests.iter().collect();
        for _ in 0..MOST_CHOSEN {
            if requests.is_empty() {
                return Ok(None);
            }
            let inputs: Vec<RequestInput> = requests.iter().map(|r| request_input(r)).collect();
            let decided = lua.next_build(f, &q.builder, &self.worker_inputs(&q.spec.workers), &inputs).await?;
            self.order(&decided.quarantine);
            let Some(chosen) = decided.answer else {
                requests.iter().for_each(|r| self.verdict(id, r.id, format!("nextBuild of {} chose no request", q.spec.name)));
                self.poke_later(id, ASK_AGAIN);
                return Ok(None);
            };
            // It was checked: it is one of those that were offered.
            let Some(request) = requests.iter().copied().find(|r| r.id == chosen) else { return Ok(None) };
            if let Some(worker) = self.worker_for(id, q, request, active).await? {
                return Ok(Some(Start { builder: id, request: request.id, worker }));
            }
            requests.retain(|r| r.id != chosen);
        }
        let tired = format!("the {MOST_CHOSEN} requests that nextBuild of {} chose first can't start now", q.spec.name);
        requests.iter().for_each(|r| self.verdict(id, r.id, tired.clone()));
        self.poke_later(id, ASK_AGAIN);
        Ok(None)
    }

    /// A worker that the callbacks agree to.
    async fn worker_for(
        self: &Arc<Self>,
        id: BuilderId,
        q: &Question,
        request: &BuildRequest,
        active: &Active,
    ) -> Result<Option<String>, LuaFailure> {
        let lua = &active.generation;
        let input = request_input(request);
        let mut workers = q.candidates.clone();
        if let Some(chosen) = chosen_worker(request) {
            if q.spec.workers.iter().any(|w| w == chosen) {
                workers.retain(|w| w == chosen);
                if workers.is_empty() {
                    self.verdict(id, request.id, format!("the request asks for worker {chosen}, which is not free"));
                }
            } else {
                self.verdict(id, request.id, format!("the request asks for worker {chosen}, which is no worker of {}", q.spec.name));
                return Ok(None);
            }
        }
        while !workers.is_empty() {
            let choose = q.spec.next_worker.as_ref().or(active.config.select_next_worker.as_ref());
            let worker = match choose {
                Some(f) => {
                    let decided = lua.next_worker(f, &q.builder, &self.worker_inputs(&q.spec.workers), &workers, &input).await?;
                    self.order(&decided.quarantine);
                    let Some(worker) = decided.answer else {
                        self.verdict(id, request.id, format!("nextWorker of {} chose no worker", q.spec.name));
                        self.poke_later(id, ASK_AGAIN);
                        return Ok(None);
                    };
                    worker
                }
                None => {
                    let rooms = self.rooms(workers.iter().map(String::as_str));
                    let mut random = self.state().random.fork();
                    let room = distribute::choose(&workers, &rooms, &mut random);
                    let asked = || {
                        let askable = self.askable(&self.state(), workers.iter().map(String::as_str));
                        distribute::choose_askable(&workers, &askable, &mut random)
                    };
                    match room.or_else(asked) {
                        Some(index) => workers[index].clone(),
                        None => {
                            self.ask_again(id);
                            return Ok(None);
                        }
                    }
                }
            };
            let Some(f) = &q.spec.can_start_build else { return Ok(Some(worker)) };
            let decided = lua.can_start_build(f, &q.builder, &self.worker_inputs(&q.spec.workers), &worker, &input).await?;
            self.order(&decided.quarantine);
            match decided.answer {
                CanStart::Yes => return Ok(Some(worker)),
                CanStart::No { again_in } => {
                    let when = again_in.map(|d| format!("; asked again in {}", crate::base::duration::human(d))).unwrap_or_default();
                    self.verdict(id, request.id, format!("canStartBuild of {} said no for worker {worker}{when}", q.spec.name));
                    self.poke_later(id, again_in.unwrap_or(ASK_AGAIN).max(Duration::from_millis(100)));
                    workers.retain(|w| *w != worker);
                }
            }
        }
        Ok(None)
    }

    fn verdict(&self, id: BuilderId, request: RequestId, text: String) {
        let mut state = self.state();
        let Some((_, priority)) = state.by_request.get(&request).copied() else { return };
        if let Some(queued) = state.builders.get_mut(&id).and_then(|b| b.waiting.get_mut(&(Reverse(priority), request))) {
            queued.verdict = Some(text);
        }
    }

    /// The order that `prioritizeBuilders` gives; none: the plain one.
    pub(super) async fn prioritized(&self, builders: &[Waiting], active: &Active) -> Option<Vec<String>> {
        let f = active.config.prioritize_builders.as_ref()?;
        let inputs: Vec<BuilderInput> = {
            let state = self.state();
            if state.unordered_until.is_some_and(|until| until > Instant::now()) {
                return None;
            }
            let input = |w: &Waiting| {
                let builder = state.builders.get(&w.builder)?;
                Some(builder_input(w.builder, builder, builder.spec.as_ref()?))
            };
            builders.iter().filter_map(input).collect()
        };
        let workers = self.worker_inputs(inputs.iter().flat_map(|b| &b.workers));
        let trouble = match timeout(LONGEST_ORDERING, active.generation.prioritize_builders(f, &inputs, &workers)).await {
            Ok(Ok(decided)) => {
                self.order(&decided.quarantine);
                return Some(decided.answer);
            }
            Ok(Err(failure)) => failure.to_string(),
            Err(_) => format!("prioritizeBuilders does not answer within {} s", LONGEST_ORDERING.as_secs()),
        };
        tracing::error!("{trouble}; builders go in the plain order for {} s", ASK_AGAIN.as_secs());
        self.state().unordered_until = Instant::now().checked_add(ASK_AGAIN);
        None
    }
}
