//! The run of one build: its properties, its steps in order, its result. One task per build.
//!
//! It knows nothing of queues: the engine gives it a worker and takes its [`Outcome`].

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value as Json};
use tokio::sync::{broadcast, watch};

use super::engine::EVENTS;
use super::render::{RenderError, Renderer};
use super::rules::{Flags, Progress};
use super::steps;
use crate::base::{BuilderId, Clock, StepId};
use crate::config::{BuilderSpec, Condition, MasterConfig, StepSpec, Words, WorkerSpec};
use crate::lua::{BuildInput, Generation, Kept, StepInput, StepsPlace};
use crate::model::{Build, BuildRequest, Buildset, Event, Log, Properties, Property, Results, SourceStamp, Step, WorkerInfo};
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
    /// What the build says of it, if that is something else.
    pub build: Option<String>,
}

/// A build under way.
pub struct Run {
    pub job: Job,
    properties: Mutex<Arc<Properties>>,
    pub sourcestamps: Vec<SourceStamp>,
    pub secrets: Arc<BuildSecrets>,
    /// Has seen the orders from before the step that runs.
    orders: Mutex<watch::Receiver<Option<Stop>>>,
    /// Steps that have not begun; steps may add some.
    queue: Mutex<Queue>,
    /// The logs of the step that runs, by name, the newest last.
    pub logs: Mutex<Vec<(StepId, Log)>>,
    /// What steps said of themselves, by the number of the step.
    pub statistics: Mutex<BTreeMap<i64, Map<String, Json>>>,
}

#[derive(Default)]
struct Queue {
    steps: VecDeque<Arc<StepSpec>>,
    added: usize,
    /// What the added ones need of their generation.
    kept: Vec<Kept>,
}

/// Steps that steps may add to a build; more is taken for a loop.
const MOST_ADDED: usize = 10_000;

/// What is known of them before the worker has attached: each later source wins over the earlier ones. A build that has not begun has
/// no number.
pub fn properties_on(
    config: &MasterConfig,
    (builder, id, number): (&BuilderSpec, BuilderId, Option<i64>),
    buildset: &Buildset,
    worker: Option<&WorkerSpec>,
) -> Properties {
    let mut p = Properties::default();
    p.set_all(&config.properties, "Config");
    if let [(_, stamp)] = buildset.sourcestamps.as_slice() {
        p.set("branch", stamp.branch.clone(), "Build");
        p.set("revision", stamp.revision.clone(), "Build");
        p.set("repository", stamp.repository.clone(), "Build");
        p.set("project", stamp.project.clone(), "Build");
        p.set("codebase", stamp.codebase.clone(), "Build");
    }
    p.update(&buildset.properties);
    p.set("buildername", builder.name.as_str(), "Builder");
    p.set("builderid", id.0, "Builder");
    p.set_all(&builder.properties, "Builder");
    p.set_missing(&builder.default_properties, "Builder");
    if let Some(number) = number {
        p.set("buildnumber", number, "Build");
    }
    if let Some(worker) = worker {
        p.set("workername", worker.name.as_str(), "Worker");
        p.set_all(&worker.properties, "Worker");
        p.set_missing(&worker.default_properties, "Worker");
    }
    p
}

/// The properties a build begins with.
pub fn initial_properties(job: &Job, spec: &WorkerSpec) -> Properties {
    let builder = (&*job.builder, job.build.builder, Some(job.build.number));
    let mut p = properties_on(&job.config, builder, &job.request.buildset, Some(spec));
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
        let steps = job.builder.factory.steps.iter().cloned().collect();
        Run {
            orders: Mutex::new(job.stop.clone()),
            job,
            properties: Mutex::new(Arc::new(properties)),
            sourcestamps,
            secrets,
            queue: Mutex::new(Queue { steps, ..Queue::default() }),
            logs: Mutex::default(),
            statistics: Mutex::default(),
        }
    }

    /// The properties as they are now.
    pub fn properties(&self) -> Arc<Properties> {
        lock(&self.properties).clone()
    }

    /// Orders that come after the step has begun; one from before let it run, as `alwaysRun`.
    pub fn orders(&self) -> watch::Receiver<Option<Stop>> {
        lock(&self.orders).clone()
    }

    /// Further steps, before all that wait or after them.
    pub fn add_steps(&self, steps: Vec<Arc<StepSpec>>, place: StepsPlace, kept: Kept) -> Result<(), String> {
        let mut queue = lock(&self.queue);
        if queue.added + steps.len() > MOST_ADDED {
            return Err(format!("the steps of a build may add {MOST_ADDED} steps at most"));
        }
        queue.added += steps.len();
        queue.kept.push(kept);
        match place {
            StepsPlace::Next => steps.into_iter().rev().for_each(|step| queue.steps.push_front(step)),
            StepsPlace::Last => queue.steps.extend(steps),
        }
        Ok(())
    }

    pub async fn build(self) -> Outcome {
        let run = Arc::new(self);
        let outcome = run.clone().steps().await;
        // Whatever Lua still holds of the build: no step of it comes any more.
        *lock(&run.queue) = Queue::default();
        outcome
    }

    async fn steps(self: Arc<Self>) -> Outcome {
        let mut progress = Progress::default();
        let mut problems: Vec<String> = Vec::new();
        let mut lost = None;
        let mut names = Names::default();
        loop {
            let next = lock(&self.queue).steps.pop_front();
            let Some(spec) = next else { break };
            let stop = lock(&self.orders).borrow_and_update().clone();
            if let Some(stop) = stop {
                progress.results = progress.results.worst(stop.results);
                progress.halted = true;
            }
            if !progress.runs(spec.as_ref().into()) {
                continue;
            }
            let (ended, flags) = self.step(&spec, &mut names).await;
            self.job.let_watchers_follow().await;
            progress = progress.after(flags, ended.results);
            if !matches!(ended.results, Results::Success | Results::Skipped) {
                problems.push(ended.build.unwrap_or(ended.state));
            }
            lost = lost.or(ended.lost);
        }
        if let Some(stop) = self.job.stop.borrow().clone() {
            progress.results = progress.results.worst(stop.results);
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
            properties: self.properties(),
            sourcestamps: &self.sourcestamps,
            worker: &self.job.worker,
            generation: &self.job.generation,
            build: self.input(),
            secrets: &self.secrets,
        }
    }

    /// The build as callbacks see it.
    pub fn input(&self) -> BuildInput {
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
    pub fn set_property(&self, name: &str, value: Json, source: &str) {
        let mask = self.secrets.mask();
        let (name, value) = (&*mask.text(name), mask.json(value));
        Arc::make_mut(&mut lock(&self.properties)).set(name, value.clone(), source);
        drop(
            self.job.store.set_build_properties(self.job.build.id, vec![(name.to_owned(), Property { value, source: source.to_owned() })]),
        );
    }

    async fn step(self: &Arc<Self>, spec: &Arc<StepSpec>, names: &mut Names) -> (StepEnd, Flags) {
        let instance = match &spec.script {
            Some(script) => Some(self.job.generation.begin_step(spec, script).await),
            None => None,
        };
        // What an `init` of the step's own made of it for this build.
        let spec = match &instance {
            Some(Ok(instance)) => instance.spec.clone().unwrap_or_else(|| spec.clone()),
            _ => spec.clone(),
        };
        let spec = &spec;
        let name = self.renderer().arg("name", &spec.name).await;
        let mut step = Step {
            id: self.job.store.next_step_id(),
            build: self.job.build.id,
            number: names.count(),
            name: names.take(&self.secrets.mask().text(name.as_deref().unwrap_or(&spec.class))),
            state: "pending".into(),
            started_at: Some(self.job.clock.now()),
            complete_at: None,
            results: None,
            hidden: false,
        };
        let wanted = match name {
            Ok(_) if matches!(instance, Some(Err(_))) => Ok(true),
            Ok(_) => self.condition(&spec.do_step_if, None, &step.name).await.map_err(|e| RenderError(format!("doStepIf: {e}"))),
            Err(e) => Err(e),
        };
        let mut ended = match wanted {
            Ok(false) => StepEnd {
                results: Results::Skipped,
                state: format!("{} (skipped)", self.describe(spec, false).await.unwrap_or_else(|| step.name.clone())),
                lost: None,
                build: None,
            },
            Ok(true) => {
                step.state = self.masked(self.describe(spec, true).await.unwrap_or_else(|| "running".into()));
                self.tell(&step, true);
                steps::run(self, spec, instance, &mut step).await
            }
            Err(e) => {
                self.tell(&step, true);
                steps::explain(self, &step, &e.0);
                StepEnd { results: Results::Exception, state: format!("{} (exception)", step.name), lost: None, build: None }
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
        lock(&self.logs).clear();
        (ended, Flags::from(spec.as_ref()))
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
                let step = StepInput { name: name.to_owned(), properties: (*self.properties()).clone(), build: Some(self.input()) };
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

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The names of a build's steps: each is there once.
#[derive(Default)]
struct Names {
    taken: HashSet<String>,
    /// Where to go on with `_1`, `_2` …
    next: HashMap<String, usize>,
}

impl Names {
    /// The name, with a number if there is such a step already.
    fn take(&mut self, name: &str) -> String {
        let mut unique = name.to_owned();
        while !self.taken.insert(unique.clone()) {
            let n = self.next.entry(name.to_owned()).or_insert(0);
            *n += 1;
            unique = format!("{name}_{n}");
        }
        unique
    }

    fn count(&self) -> i64 {
        self.taken.len() as i64
    }
}
