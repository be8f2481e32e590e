//! Requests come in and are taken back: force, rebuild, cancel, priority, collapse.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::collapse::same_work;
use super::engine::Engine;
use super::force;
use super::inputs::{builder_input, request_input};
use crate::base::{BuilderId, BuildsetId, RequestId};
use crate::config::{Collapse, SchedulerKind};
use crate::model::request::NewBuildset;
use crate::model::{BuildRequest, Event, Results};

/// `collapseRequests` is asked about so many older requests, the newest ones: each costs a call while the new one waits.
const MOST_ASKED: usize = 1000;

/// A build set that was accepted, with its request on each builder.
#[derive(Clone, PartialEq, Debug)]
pub struct Submitted {
    pub buildset: BuildsetId,
    pub requests: BTreeMap<BuilderId, RequestId>,
}

/// Why something asked for is not done.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum Refusal {
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Invalid(String),
    /// What is wrong, by the full name of the parameter.
    #[error("{}", .0.values().cloned().collect::<Vec<_>>().join("; "))]
    Fields(BTreeMap<String, String>),
    #[error("{0}")]
    Failed(String),
}

impl Engine {
    /// Force builds through a force scheduler, with the parameters of its form.
    pub async fn force(self: &Arc<Self>, scheduler: &str, mut params: Map<String, Json>) -> Result<Submitted, Refusal> {
        let active = self.active().ok_or_else(|| Refusal::Failed("the master is starting".into()))?;
        let spec = active.config.schedulers.iter().find(|s| s.name == scheduler);
        let Some(spec) = spec else {
            let hint = crate::base::suggest::hint(scheduler, active.config.schedulers.iter().map(|s| s.name.as_str()));
            return Err(Refusal::NotFound(format!("there is no force scheduler '{scheduler}'{hint}")));
        };
        let SchedulerKind::Force(form) = &spec.kind;
        let builders = asked_builders(&mut params, &active.builder_ids)?;
        let owner = match params.remove("owner") {
            Some(Json::String(owner)) => Some(owner),
            _ => None,
        };
        let told = self.told(form, &params, &active).await;
        let forced = force::force(spec, form, builders, owner.as_deref(), &params, &told).map_err(Refusal::Fields)?;
        let mut builders: Vec<BuilderId> = forced.builders.iter().filter_map(|name| active.builder_ids.get(name).copied()).collect();
        builders.sort();
        builders.dedup();
        self.submit(NewBuildset {
            reason: forced.reason,
            submitted_at: self.now(),
            external_idstring: None,
            sourcestamps: forced.sourcestamps,
            properties: forced.properties,
            builders,
            priority: forced.priority,
            rebuilt_buildid: None,
        })
        .await
    }

    /// Record a build set; its requests wait from now on. Goes on to its end even if who asked goes away meanwhile: what is
    /// recorded has to be in the queue as well.
    pub async fn submit(self: &Arc<Self>, new: NewBuildset) -> Result<Submitted, Refusal> {
        if new.builders.is_empty() {
            return Err(Refusal::Invalid("no builder was asked for; name at least one".into()));
        }
        let engine = self.clone();
        to_its_end(async move { engine.record(new).await }).await
    }

    async fn record(self: &Arc<Self>, new: NewBuildset) -> Result<Submitted, Refusal> {
        let requests =
            self.store.add_buildset(new).await.map_err(|e| Refusal::Failed(format!("the request could not be recorded: {e}")))?;
        let Some(first) = requests.first() else { return Err(Refusal::Invalid("no builder was asked for".into())) };
        let submitted = Submitted { buildset: first.buildset.id, requests: requests.iter().map(|r| (r.builder, r.id)).collect() };
        let requests: Vec<Arc<BuildRequest>> = requests.into_iter().map(Arc::new).collect();
        for request in &requests {
            tracing::info!(request = request.id.0, builder = request.builder.0, reason = request.buildset.reason, "request added");
            self.tell(Event::RequestAdded(request.id));
        }
        {
            // All at once, so that builders go in their order; and before they are compared: whoever cancels one meanwhile finds it.
            let mut state = self.state();
            requests.iter().for_each(|request| state.enqueue(request.clone(), None));
        }
        for request in &requests {
            self.collapse(request).await;
        }
        self.poke();
        Ok(submitted)
    }

    /// Older requests that the new one answers as well end as skipped.
    async fn collapse(&self, newer: &Arc<BuildRequest>) {
        let (active, spec, input, older): (_, _, _, Vec<Arc<BuildRequest>>) = {
            let state = self.state();
            let Some(active) = state.active.clone() else { return };
            let Some(builder) = state.builders.get(&newer.builder) else { return };
            let Some(spec) = builder.spec.clone() else { return };
            let input = builder_input(newer.builder, builder, &spec);
            (active, spec, input, builder.waiting.values().filter(|q| q.request.id < newer.id).map(|q| q.request.clone()).collect())
        };
        if older.is_empty() {
            return;
        }
        let rule = Engine::collapse_rule(&active, &spec);
        let mut older = older;
        if matches!(rule, Collapse::Call(_)) && older.len() > MOST_ASKED {
            older.sort_by_key(|r| Reverse(r.id));
            older.truncate(MOST_ASKED);
        }
        for old in older {
            if !self.is_alive(newer.id) {
                // It was cancelled, or has collapsed itself: it answers nothing any more.
                return;
            }
            let collapses = match &rule {
                Collapse::Always(false) | Collapse::Inherit => return,
                Collapse::Always(true) => same_work(&old, newer),
                Collapse::Call(f) => {
                    let (workers, old, newer) = (self.worker_inputs(&spec.workers), request_input(&old), request_input(newer));
                    match active.generation.collapse_requests(f, &input, &workers, &old, &newer).await {
                        Ok(decided) => {
                            self.order(&decided.quarantine);
                            decided.answer
                        }
                        Err(failure) => {
                            tracing::error!(builder = spec.name, "{failure}; the requests stay apart");
                            return;
                        }
                    }
                }
            };
            if collapses && self.is_alive(newer.id) && self.withdraw(old.id, Results::Skipped).await.is_ok_and(|done| done) {
                tracing::info!(request = old.id.0, by = newer.id.0, "request collapsed into a newer one");
            }
        }
    }

    /// Does it wait, or run?
    fn is_alive(&self, id: RequestId) -> bool {
        let state = self.state();
        state.by_request.contains_key(&id) || state.running.values().any(|running| running.request == id)
    }

    /// Take a waiting request out of the queue with a result. False if it does not wait.
    async fn withdraw(&self, id: RequestId, results: Results) -> Result<bool, Refusal> {
        let Some(request) = self.state().dequeue(id) else { return Ok(false) };
        self.settle_wishes();
        match self.store.finish_request(id, results, self.now()).await {
            Ok(done) => {
                if done {
                    self.tell(Event::RequestComplete(id, results));
                }
                Ok(done)
            }
            Err(e) => {
                self.state().enqueue(request, None);
                self.poke();
                Err(Refusal::Failed(format!("the request could not be ended: {e}")))
            }
        }
    }

    /// Cancel a request, whether it waits or runs.
    pub async fn cancel(self: &Arc<Self>, id: RequestId, reason: &str) -> Result<(), Refusal> {
        let (engine, reason) = (self.clone(), reason.to_owned());
        to_its_end(async move { engine.end_request(id, &reason).await }).await
    }

    async fn end_request(&self, id: RequestId, reason: &str) -> Result<(), Refusal> {
        if self.withdraw(id, Results::Cancelled).await? {
            tracing::info!(request = id.0, reason, "request cancelled");
            return Ok(());
        }
        match self.build_of(id) {
            Some(build) => {
                self.stop_build(build, reason, Results::Cancelled);
                Ok(())
            }
            None => Err(Refusal::Invalid(format!("request {id} is complete or does not exist"))),
        }
    }

    /// Change the priority of a request that waits.
    pub async fn set_priority(self: &Arc<Self>, id: RequestId, priority: i64) -> Result<(), Refusal> {
        let engine = self.clone();
        to_its_end(async move { engine.change_priority(id, priority).await }).await
    }

    async fn change_priority(&self, id: RequestId, priority: i64) -> Result<(), Refusal> {
        self.store.set_request_priority(id, priority).await.map_err(|e| Refusal::Failed(e.to_string()))?;
        let mut state = self.state();
        if let Some(request) = state.dequeue(id) {
            let mut request = (*request).clone();
            request.priority = priority;
            state.enqueue(Arc::new(request), None);
        }
        drop(state);
        self.poke();
        Ok(())
    }
}

/// Store and queue are changed one after the other; a client that hangs up in between must not part them.
async fn to_its_end<T: Send + 'static>(work: impl Future<Output = Result<T, Refusal>> + Send + 'static) -> Result<T, Refusal> {
    tokio::spawn(work).await.unwrap_or_else(|e| Err(Refusal::Failed(format!("the master failed; see its log: {e}"))))
}

/// `builderid` (a number or a name) or `builderNames`, as clients give them. As in a path of the API, a number is an id before it is a name.
fn asked_builders(params: &mut Map<String, Json>, ids: &HashMap<String, BuilderId>) -> Result<Option<Vec<String>>, Refusal> {
    if let Some(names) = params.remove("builderNames") {
        return match names {
            Json::String(name) => Ok(Some(vec![name])),
            Json::Array(items) => Ok(Some(items.iter().map(super::render::show).collect())),
            Json::Null => Ok(None),
            other => Err(Refusal::Invalid(format!("builderNames must be a list of names, got {other}"))),
        };
    }
    let asked = match params.remove("builderid") {
        None | Some(Json::Null) => return Ok(None),
        Some(value) => super::render::show(&value),
    };
    let by_id = ids.iter().find(|(_, id)| id.to_string() == asked).map(|(name, _)| name.clone());
    let name = by_id.or_else(|| ids.contains_key(&asked).then(|| asked.clone()));
    name.map(|n| Some(vec![n])).ok_or_else(|| Refusal::NotFound(format!("there is no builder {asked}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_is_an_id_before_it_is_a_name() {
        // Builder 1 is called "2", builder 2 "3", …
        let ids: HashMap<String, BuilderId> = (1..50).map(|id| ((id + 1).to_string(), BuilderId(id))).collect();
        let asked = |builder: Json| {
            let mut params = Map::from_iter([("builderid".to_owned(), builder)]);
            asked_builders(&mut params, &ids).map(|names| names.unwrap_or_default())
        };
        for id in 1..50 {
            assert_eq!(asked(json!(id)), Ok(vec![(id + 1).to_string()]));
            assert_eq!(asked(json!(id.to_string())), Ok(vec![(id + 1).to_string()]));
        }
        // No builder has that id.
        assert_eq!(asked(json!("50")), Ok(vec!["50".to_owned()]));
        assert_eq!(asked(json!("51")), Err(Refusal::NotFound("there is no builder 51".into())));
    }
}
