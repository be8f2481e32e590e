//! From the start of one build to what becomes of its request: recorded first, then the worker is free and the queue goes on.
//!
//! What happens in between is [`run`](super::run)'s. Tests: `tests/engine_simulation.rs`.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;

use super::engine::{Engine, MAX_ATTEMPTS};
use super::run::{Job, Outcome, Run, Stop, initial_properties};
use crate::config::WorkerSpec;
use crate::latent;
use crate::model::request::RequestEnd;
use crate::model::{Build, BuildRequest, Event, Results};

/// Before the store is asked again after it failed.
const STORE_RETRY: Duration = Duration::from_secs(5);

impl Engine {
    pub(super) async fn build(self: Arc<Self>, job: Job, worker_spec: Arc<WorkerSpec>) {
        let (build, request, worker) = (job.build.clone(), job.request.clone(), job.worker_name.clone());
        let builder = job.builder.name.clone();
        let properties = initial_properties(&job, &worker_spec);
        if let Err(e) = self.store.start_build(&build, &properties).await {
            tracing::error!(builder, request = request.id.0, "the build could not be recorded and does not start: {e}");
            let verdict = format!("the database refused the build: {e}");
            if let Some(builder) = self.state().builders.get_mut(&build.builder) {
                builder.rest_until = Instant::now().checked_add(STORE_RETRY);
            }
            self.poke_later(build.builder, STORE_RETRY + Duration::from_millis(5));
            if let Some(cancelled) = self.leave(&build, &worker, None, Some((request, verdict))) {
                self.end_cancelled(cancelled).await;
            }
            return;
        }
        tracing::info!(builder, number = build.number, request = request.id.0, worker, "build started");
        self.tell(Event::BuildStarted(Arc::new(build.clone())));
        let stop = job.stop.clone();
        let outcome = AssertUnwindSafe(Run::new(job, properties).build()).catch_unwind().await.unwrap_or_else(|_| {
            // A bug of ours must end one build, not the queue.
            Outcome { results: Results::Exception, state: "exception: the master failed; see its log".into(), lost: None }
        });
        let stopped = stop.borrow().clone();
        self.end(build, request, &builder, worker, outcome, stopped).await;
    }

    async fn end(
        self: &Arc<Self>,
        mut build: Build,
        request: Arc<BuildRequest>,
        builder: &str,
        worker: String,
        outcome: Outcome,
        stopped: Option<Stop>,
    ) {
        let end = request_end(&request, build.number, &worker, &outcome, stopped.as_ref());
        build.complete_at = Some(self.clock.now());
        build.state = outcome.state;
        build.results = Some(outcome.results);
        if let (RequestEnd::Complete(Results::Exception), Results::Retry) = (&end, outcome.results) {
            build.results = Some(Results::Exception);
            build.state = format!("given up: {}", story(&request, build.number, &worker, outcome.lost.as_deref()).join("; "));
        }
        let mut failures = 0;
        while let Err(e) = self.store.finish_build(&build, &end).await {
            failures += 1;
            if failures == 1 {
                // The worker is not to wait for the disk.
                let _ = self.leave(&build, &worker, build.results, None);
            }
            tracing::error!(builder, number = build.number, failures, "the end of the build could not be recorded, trying again: {e}");
            tokio::time::sleep(STORE_RETRY).await;
        }
        tracing::info!(builder, number = build.number, results = %build.results.unwrap_or(Results::Exception), "build finished: {}", build.state);
        let again = match &end {
            RequestEnd::Again { why, counts } => {
                let mut request = (*request).clone();
                request.attempts += u32::from(*counts);
                request.story.push(why.clone());
                Some((Arc::new(request), String::new()))
            }
            RequestEnd::Complete(_) => None,
        };
        let cancelled = if failures == 0 || again.is_some() {
            self.leave(&build, &worker, if failures == 0 { build.results } else { None }, again)
        } else {
            None
        };
        if let RequestEnd::Complete(results) = end {
            self.tell(Event::RequestComplete(request.id, results));
        }
        self.tell(Event::BuildFinished { id: build.id, build: Arc::new(build) });
        if let Some(cancelled) = cancelled {
            self.end_cancelled(cancelled).await;
        }
    }

    /// A request that was cancelled while its build ended as one that is to run again.
    async fn end_cancelled(self: &Arc<Self>, request: Arc<BuildRequest>) {
        match self.store.finish_request(request.id, Results::Cancelled, self.clock.now()).await {
            Ok(true) => self.tell(Event::RequestComplete(request.id, Results::Cancelled)),
            Ok(false) => {}
            Err(e) => {
                tracing::error!(request = request.id.0, "the request could not be cancelled and waits again: {e}");
                self.state().enqueue(request, Some(format!("it could not be cancelled: {e}")));
                self.poke();
            }
        }
    }

    /// The build is over: its worker is free, and its request may wait again. Gives the request back if it was
    /// cancelled after its build had ended otherwise.
    #[must_use]
    fn leave(
        &self,
        build: &Build,
        worker: &str,
        results: Option<Results>,
        again: Option<(Arc<BuildRequest>, String)>,
    ) -> Option<Arc<BuildRequest>> {
        let mut state = self.state();
        let running = state.running.remove(&build.id);
        let was_running = running.is_some();
        let cancelled = running.is_some_and(|r| r.stop.borrow().as_ref().is_some_and(|s| s.results == Results::Cancelled));
        let (mut again, mut given_back) = (again, None);
        if cancelled {
            given_back = again.take().map(|(request, _)| request);
        }
        let mut name = String::new();
        if let Some(builder) = state.builders.get_mut(&build.builder) {
            name.clone_from(&builder.name);
            builder.newest_complete = builder.newest_complete.max(build.complete_at);
            if builder.building.get(worker) == Some(&build.number) {
                builder.building.remove(worker);
            }
        }
        if let Some((request, verdict)) = again {
            state.enqueue(request, Some(verdict).filter(|v| !v.is_empty()));
        }
        state.dirty.insert(build.builder);
        drop(state);
        if was_running {
            // Before anybody can ask for it again.
            self.tell_latent(worker, latent::Event::BuildEnded { build: build.id, lost: results.is_none_or(|r| r == Results::Retry) });
            self.registry.release(worker, &name, results);
        }
        self.poke();
        self.ended.notify_waiters();
        given_back
    }
}

/// What becomes of a request when a build of it ends.
fn request_end(request: &BuildRequest, number: i64, worker: &str, outcome: &Outcome, stopped: Option<&Stop>) -> RequestEnd {
    if stopped.is_some_and(|s| s.master_stops) && outcome.results == Results::Retry {
        return RequestEnd::Again { why: format!("build {number} on {worker}: the master stopped"), counts: false };
    }
    match outcome.results {
        // Also what ends as retry by itself, through decodeRC, must end some day; what a person runs again does not count.
        Results::Retry if stopped.is_none() && request.attempts + 1 >= MAX_ATTEMPTS => RequestEnd::Complete(Results::Exception),
        Results::Retry => {
            let why = outcome.lost.as_deref().unwrap_or("it ended as retry");
            RequestEnd::Again { why: format!("build {number} on {worker}: {why}"), counts: stopped.is_none() }
        }
        results => RequestEnd::Complete(results),
    }
}

fn story(request: &BuildRequest, number: i64, worker: &str, lost: Option<&str>) -> Vec<String> {
    let mut story = request.story.clone();
    story.push(format!("build {number} on {worker}: {}", lost.unwrap_or("it ended as retry")));
    story
}
