//! Asks the configuration's callbacks which request starts where: `nextBuild`, `nextWorker`, `canStartBuild`,
//! `prioritizeBuilders`. One task per builder, so that a slow answer delays nobody else.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::distribute::{self, Start, Waiting};
use super::engine::{Active, Engine, chosen_worker};
use crate::base::{BuilderId, RequestId};
use crate::config::BuilderSpec;
use crate::lua::{BuilderInput, CanStart, LuaFailure, RequestInput, WorkerInput};
use crate::model::{BuildRequest, WorkerInfo};

/// When `canStartBuild` says no without a time, it is asked again after this at the latest.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// All builders wait for `prioritizeBuilders`: no longer than that.
const LONGEST_ORDERING: Duration = Duration::from_secs(5);

/// What the callbacks are asked about.
struct Question {
    spec: Arc<BuilderSpec>,
    builder: BuilderInput,
    requests: Vec<Arc<BuildRequest>>,
    candidates: Vec<String>,
}

impl Engine {
    pub(super) async fn decide(self: Arc<Self>, id: BuilderId) {
        while let Some((question, active)) = self.question(id) {
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
        let mut state = self.state();
        let Some(builder) = state.builders.get_mut(&id) else { return };
        builder.deciding = false;
        if std::mem::take(&mut builder.ask_again) {
            state.dirty.insert(id);
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
    fn question(&self, id: BuilderId) -> Option<(Question, Active)> {
        let unsettled = self.registry.unsettled();
        let state = self.state();
        let active = state.active.clone()?;
        let builder = state.builders.get(&id).filter(|b| !b.waiting.is_empty() && !state.stopping)?;
        let spec = builder.spec.clone()?;
        let rooms = self.rooms(builder.candidates().map(String::as_str));
        let free = |w: &&String| rooms.get(*w).is_some_and(|r| r.more != Some(0)) && builder.known_to(w, &unsettled);
        let candidates: Vec<String> = builder.candidates().filter(free).cloned().collect();
        if candidates.is_empty() {
            return None;
        }
        let input = BuilderInput {
            name: spec.name.clone(),
            builderid: id.0,
            tags: spec.tags.clone(),
            building: builder.building.len(),
            workers: spec.workers.clone(),
            highest_priority: builder.waiting.values().next().map(|q| q.request.priority),
            ..BuilderInput::default()
        };
        let requests = builder.waiting.values().map(|q| q.request.clone()).collect();
        Some((Question { spec, builder: input, requests, candidates }, active))
    }

    async fn choose(self: &Arc<Self>, id: BuilderId, q: &Question, active: &Active) -> Result<Option<Start>, LuaFailure> {
        let lua = &active.generation;
        let mut requests: Vec<&Arc<BuildRequest>> = q.requests.iter().collect();
        while !requests.is_empty() {
            let request = match &q.spec.next_build {
                None => requests[0],
                Some(f) => {
                    let inputs: Vec<RequestInput> = requests.iter().map(|r| request_input(r)).collect();
                    match lua.next_build(f, &q.builder, &inputs).await? {
                        Some(chosen) => match requests.iter().find(|r| r.id == chosen) {
                            Some(request) => request,
                            None => {
                                self.ask_again(id);
                                return Ok(None);
                            }
                        },
                        None => {
                            requests.iter().for_each(|r| self.verdict(id, r.id, format!("nextBuild of {} chose no request", q.spec.name)));
                            self.poke_later(id, ASK_AGAIN);
                            return Ok(None);
                        }
                    }
                }
            };
            if let Some(worker) = self.worker_for(id, q, request, active).await? {
                return Ok(Some(Start { builder: id, request: request.id, worker }));
            }
            let done = request.id;
            requests.retain(|r| r.id != done);
        }
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
            let inputs: Vec<WorkerInput> = workers.iter().map(|w| self.worker_input(w)).collect();
            let choose = q.spec.next_worker.as_ref().or(active.config.select_next_worker.as_ref());
            let worker = match choose {
                Some(f) => match lua.next_worker(f, &q.builder, &inputs, &input).await? {
                    Some(worker) => worker,
                    None => {
                        self.verdict(id, request.id, format!("nextWorker of {} chose no worker", q.spec.name));
                        self.poke_later(id, ASK_AGAIN);
                        return Ok(None);
                    }
                },
                None => {
                    let rooms = self.rooms(workers.iter().map(String::as_str));
                    let mut random = self.state().random.fork();
                    match distribute::choose(&workers, &rooms, &mut random) {
                        Some(index) => workers[index].clone(),
                        None => {
                            self.ask_again(id);
                            return Ok(None);
                        }
                    }
                }
            };
            let Some(f) = &q.spec.can_start_build else { return Ok(Some(worker)) };
            let Some(wfb) = inputs.iter().find(|w| w.name == worker) else { return Ok(None) };
            match lua.can_start_build(f, &q.builder, wfb, &input).await? {
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

    fn worker_input(&self, name: &str) -> WorkerInput {
        let spec = self.registry.spec(name);
        let running = match self.registry.availability(name) {
            crate::workers::registry::Availability::Free { running, .. } => running,
            crate::workers::registry::Availability::Full { running } => running,
            _ => 0,
        };
        WorkerInput {
            name: name.to_owned(),
            properties: spec.as_ref().map(|s| s.properties.clone()).unwrap_or_default(),
            max_builds: spec.as_ref().and_then(|s| s.max_builds),
            active_builds: running as usize,
            attached: true,
            state: "ready".into(),
            info: self.registry.info(name).map(|i| info(&i)).unwrap_or_default(),
            ..WorkerInput::default()
        }
    }

    /// The order that `prioritizeBuilders` gives; none: the plain one.
    pub(super) async fn prioritized(&self, builders: &[Waiting], active: &Active) -> Option<Vec<String>> {
        let f = active.config.prioritize_builders.as_ref()?;
        let inputs: Vec<BuilderInput> = builders
            .iter()
            .map(|w| BuilderInput {
                name: w.name.clone(),
                builderid: w.builder.0,
                highest_priority: Some(w.priority),
                ..BuilderInput::default()
            })
            .collect();
        if self.state().unordered_until.is_some_and(|until| until > Instant::now()) {
            return None;
        }
        let trouble = match timeout(LONGEST_ORDERING, active.generation.prioritize_builders(f, &inputs)).await {
            Ok(Ok(names)) => return Some(names),
            Ok(Err(failure)) => failure.to_string(),
            Err(_) => format!("prioritizeBuilders does not answer within {} s", LONGEST_ORDERING.as_secs()),
        };
        tracing::error!("{trouble}; builders go in the plain order for {} s", ASK_AGAIN.as_secs());
        self.state().unordered_until = Instant::now().checked_add(ASK_AGAIN);
        None
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

/// What a worker said of itself, as callbacks see it.
fn info(info: &WorkerInfo) -> serde_json::Map<String, serde_json::Value> {
    match serde_json::to_value(info) {
        Ok(serde_json::Value::Object(map)) => map,
        _ => serde_json::Map::new(),
    }
}
