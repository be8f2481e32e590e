//! The run of one build: its properties, its steps in order, its result. One task per build.
//!
//! It knows nothing of queues: the engine gives it a worker and takes its [`Outcome`].

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, watch};

use super::engine::EVENTS;
use super::render::{RenderError, Renderer};
use super::rules::{Flags, Progress};
use super::steps;
use crate::base::Clock;
use crate::config::{BuilderSpec, Condition, MasterConfig, StepSpec, Words};
use crate::lua::{BuildInput, Generation, StepInput};
use crate::model::{Build, BuildRequest, Event, Properties, Property, Results, SourceStamp, Step, WorkerInfo};
use crate::secrets::{BuildSecrets, Mask, SecretSource};
use crate::store::Store;
use crate::workers::Link;

/// Everything a build needs, from the generation that it began with.
pub struct Job {
    pub build: Build,
    pub request: Arc<BuildRequest>,
    pub builder: Arc<BuilderSpec>,
    pub worker_name: String,
    pub worker: Arc<WorkerInfo>,
    pub link: Arc<dyn Link>,
    pub config: Arc<MasterConfig>,
    pub generation: Arc<Generation>,
    pub store: Store,
    pub clock: Arc<dyn Clock>,
    pub events: broadcast::Sender<Event>,
    /// Who watches is to miss nothing.
    pub patient: bool,
    pub stop: watch::Receiver<Option<Stop>>,
    /// What is hidden whatever the build asks for.
    pub known_secrets: Arc<Mask>,
}

/// An order to end a build early.
#[derive(Clone, PartialEq, Debug)]
pub struct Stop {
    pub results: Results,
    pub reason: String,
    /// The master ends: the request runs again after the restart.
    pub master_stops: bool,
}

impl Stop {
    /// A further order to the same build.
    pub fn add(stop: &mut Option<Stop>, more: Stop) {
        *stop = Some(match stop.take() {
            Some(before) => {
                Stop { results: before.results.worst(more.results), master_stops: before.master_stops || more.master_stops, ..more }
            }
            None => more,
        });
    }
}

/// How a build ended.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    pub results: Results,
    pub state: String,
    /// The worker was lost: why.
    pub lost: Option<String>,
}

/// A step's end.
#[derive(Clone, PartialEq, Debug)]
pub struct StepEnd {
    pub results: Results,
    pub state: String,
    pub lost: Option<String>,
}

/// A build under way.
pub struct Run {
    pub job: Job,
    pub properties: Properties,
    pub sourcestamps: Vec<SourceStamp>,
    pub secrets: Arc<BuildSecrets>,
}

/// The properties a build begins with: each later source wins over the earlier ones.
pub fn initial_properties(job: &Job, spec: &crate::config::WorkerSpec) -> Properties {
    let mut p = Properties::default();
    p.set_all(&job.config.properties, "Config");
    if let [(_, stamp)] = job.request.buildset.sourcestamps.as_slice() {
        p.set("branch", stamp.branch.clone(), "Build");
        p.set("revision", stamp.revision.clone(), "Build");
        p.set("repository", stamp.repository.clone(), "Build");
        p.set("project", stamp.project.clone(), "Build");
        p.set("codebase", stamp.codebase.clone(), "Build");
    }
    p.update(&job.request.buildset.properties);
    p.set("buildername", job.builder.name.as_str(), "Builder");
    p.set("builderid", job.build.builder.0, "Builder");
    p.set_all(&job.builder.properties, "Builder");
    p.set_missing(&job.builder.default_properties, "Builder");
    p.set("buildnumber", job.build.number, "Build");
    p.set("workername", job.worker_name.as_str(), "Worker");
    p.set_all(&spec.properties, "Worker");
    p.set_missing(&spec.default_properties, "Worker");
    if !job.worker.basedir.is_empty() {
        let separator = if job.worker.system == "nt" { '\\' } else { '/' };
        p.set("basedir", job.worker.basedir.as_str(), "Worker");
        p.set("builddir", format!("{}{separator}{}", job.worker.basedir, job.builder.workerbuilddir), "Worker");
    }
    p
}

impl Job {
    /// If this build is to be watched without a gap, wait until who watches has caught up.
    pub async fn let_watchers_follow(&self) {
        while self.patient && self.events.len() > EVENTS / 4 && self.events.receiver_count() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Run {
    pub fn new(job: Job, properties: Properties) -> Run {
        let sourcestamps = job.request.buildset.sourcestamps.iter().map(|(_, s)| s.clone()).collect();
        let source = SecretSource::new(job.config.clone(), job.generation.clone());
        let secrets = Arc::new(BuildSecrets::new(source, job.known_secrets.clone()));
        Run { job, properties, sourcestamps, secrets }
    }

    pub async fn build(mut self) -> Outcome {
        let mut progress = Progress::default();
        let mut problems: Vec<String> = Vec::new();
        let mut lost = None;
        let mut names: Vec<String> = Vec::new();
        let factory = self.job.builder.factory.clone();
        for spec in &factory.steps {
            // A step that runs nevertheless is interrupted by the next order only.
            if let Some(stop) = self.job.stop.borrow_and_update().clone() {
                progress.results = progress.results.worst(stop.results);
                progress.halted = true;
            }
            if !progress.runs(spec.as_ref().into()) {
                continue;
            }
            let ended = self.step(spec, &mut names).await;
            self.job.let_watchers_follow().await;
            progress = progress.after(Flags::from(spec.as_ref()), ended.results);
            if !matches!(ended.results, Results::Success | Results::Skipped) {
                problems.push(ended.state);
            }
            lost = lost.or(ended.lost);
        }
        if let Some(stop) = self.job.stop.borrow().clone() {
            if progress.results != stop.results {
                progress.results = progress.results.worst(stop.results);
            }
            problems.push(stop.reason);
        }
        let state = match progress.results {
            Results::Success | Results::Skipped => "build successful".to_owned(),
            results => {
                let word = match results {
                    Results::Failure => "failed",
                    Results::Cancelled => "cancelled",
                    other => other.name(),
                };
                format!("{word} {}", problems.join(" ")).trim_end().to_owned()
            }
        };
        Outcome { results: progress.results, state, lost }
    }

    pub fn renderer(&self) -> Renderer<'_> {
        Renderer {
            properties: &self.properties,
            sourcestamps: &self.sourcestamps,
            worker: &self.job.worker,
            generation: &self.job.generation,
            build: self.input(),
            secrets: &self.secrets,
        }
    }

    /// The build as callbacks see it.
    fn input(&self) -> BuildInput {
        BuildInput {
            buildid: self.job.build.id.0,
            number: self.job.build.number,
            builder: self.job.builder.name.clone(),
            workername: self.job.worker_name.clone(),
            results: None,
            reason: self.job.request.buildset.reason.clone(),
            sources: self.sourcestamps.clone(),
        }
    }

    /// A text as it may be shown: with names in place of secrets.
    pub fn masked(&self, text: String) -> String {
        self.secrets.mask().owned(text)
    }

    /// A property that a step sets, kept at once. Nobody finds a secret in a property: who needs it asks for it by its name.
    pub fn set_property(&mut self, name: &str, value: serde_json::Value, source: &str) {
        let mask = self.secrets.mask();
        let (name, value) = (&*mask.text(name), mask.json(value));
        self.properties.set(name, value.clone(), source);
        drop(
            self.job.store.set_build_properties(self.job.build.id, vec![(name.to_owned(), Property { value, source: source.to_owned() })]),
        );
    }

    async fn step(&mut self, spec: &Arc<StepSpec>, names: &mut Vec<String>) -> StepEnd {
        let name = self.renderer().arg("name", &spec.name).await;
        let mut step = Step {
            id: self.job.store.next_step_id(),
            build: self.job.build.id,
            number: names.len() as i64,
            name: unique(&self.secrets.mask().text(name.as_deref().unwrap_or(&spec.class)), names),
            state: "pending".into(),
            started_at: Some(self.job.clock.now()),
            complete_at: None,
            results: None,
            hidden: false,
        };
        names.push(step.name.clone());
        let wanted = match name {
            Ok(_) => self.condition(&spec.do_step_if, None, &step.name).await.map_err(|e| RenderError(format!("doStepIf: {e}"))),
            Err(e) => Err(e),
        };
        let mut ended = match wanted {
            Ok(false) => StepEnd {
                results: Results::Skipped,
                state: format!("{} (skipped)", self.describe(spec, false).await.unwrap_or_else(|| step.name.clone())),
                lost: None,
            },
            Ok(true) => {
                step.state = self.masked(self.describe(spec, true).await.unwrap_or_else(|| "running".into()));
                self.tell(&step, true);
                steps::run(self, spec, &mut step).await
            }
            Err(e) => {
                self.tell(&step, true);
                steps::explain(self, &step, &e.0);
                StepEnd { results: Results::Exception, state: format!("{} (exception)", step.name), lost: None }
            }
        };
        step.hidden = match self.condition(&spec.hide_step_if, Some(ended.results), &step.name).await {
            Ok(hidden) => hidden,
            Err(e) => {
                steps::explain(self, &step, &format!("hideStepIf: {e}"));
                ended.results = Results::Exception;
                false
            }
        };
        step.results = Some(ended.results);
        ended.state = self.masked(ended.state);
        ended.lost = ended.lost.map(|why| self.masked(why));
        step.state = ended.state.clone();
        step.complete_at = Some(self.job.clock.now());
        self.tell(&step, false);
        ended
    }

    /// Keep a step's row and tell who watches.
    pub fn tell(&self, step: &Step, starts: bool) {
        drop(self.job.store.put_step(step));
        if self.job.events.receiver_count() > 0 {
            let step = Arc::new(step.clone());
            let _ = self.job.events.send(if starts { Event::StepStarted(step) } else { Event::StepFinished(step) });
        }
    }

    /// The step's summary changes while it runs.
    pub fn show_state(&self, step: &mut Step, state: String) {
        step.state = self.masked(state);
        drop(self.job.store.put_step(step));
        if self.job.events.receiver_count() > 0 {
            let _ = self.job.events.send(Event::StepState(Arc::new(step.clone())));
        }
    }

    async fn condition(&self, condition: &Condition, results: Option<Results>, name: &str) -> Result<bool, RenderError> {
        match condition {
            Condition::Always(answer) => Ok(*answer),
            Condition::Render(template) => Ok(super::render::truthy(&self.renderer().value(template).await?)),
            Condition::Call(function) => {
                let step = StepInput { name: name.to_owned(), properties: self.properties.clone(), build: Some(self.input()) };
                self.job.generation.step_condition(function, results, &step).await.map_err(|e| RenderError(e.to_string()))
            }
        }
    }

    /// `description` while it runs, `descriptionDone` (or it) afterwards, with the suffix; none if there is none.
    pub async fn describe(&self, spec: &StepSpec, running: bool) -> Option<String> {
        let renderer = self.renderer();
        let words = |w: Result<Option<Words>, RenderError>| w.ok().flatten().map(|w| w.0).filter(|w| !w.is_empty());
        let description = words(renderer.arg("description", &spec.description).await);
        let done = if running { None } else { words(renderer.arg("descriptionDone", &spec.description_done).await) };
        let text = done.or(description)?;
        Some(match words(renderer.arg("descriptionSuffix", &spec.description_suffix).await) {
            Some(suffix) => format!("{text} {suffix}"),
            None => text,
        })
    }
}

/// The name, with `_1`, `_2` … if there is such a step already.
fn unique(name: &str, names: &[String]) -> String {
    if !names.iter().any(|n| n == name) {
        return name.to_owned();
    }
    (1..).map(|i| format!("{name}_{i}")).find(|candidate| !names.contains(candidate)).unwrap_or_else(|| name.to_owned())
}
