//! Steps that are written in Lua: an instance for each build, and the calls of its methods.
//!
//! What a step asks of its build is in `asked`, what it holds meanwhile in `live`; `lua/steps.lua` gives the members their shape.
//! Never decides what a result means.

mod asked;
mod live;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use mlua::{Function, Table as LuaTable, Value as LuaValue};
use tokio::sync::{mpsc, oneshot};

use super::convert::{Reader, to_lua};
use super::failure::{Caught, LuaFailure};
use super::generation::Generation;
use super::vm::Vm;
use crate::base::duration::human;
use crate::config::{Object, Place, StepScript, StepSpec, Value, understood_step};
use crate::model::Results;
use live::Live;

pub use asked::{Piece, Running, StepHost, StepsPlace, Waiting, Work, WorkEnd, WorkEvent};
pub(super) use live::register;

/// For the methods that only answer: summaries, `interrupt`.
const BUDGET: Duration = Duration::from_secs(5);

/// How `run` ended.
#[derive(Clone, PartialEq, Debug)]
pub struct StepAnswer {
    pub results: Results,
    /// None: the step says nothing of its own.
    pub step_summary: Option<String>,
    pub build_summary: Option<String>,
}

/// Steps that were made in a build and wait for their turn; they are forgotten with it.
#[derive(Debug)]
pub struct Kept {
    objects: Vec<u64>,
    jobs: mpsc::UnboundedSender<StepJob>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.jobs.send(StepJob::Forget(std::mem::take(&mut self.objects)));
    }
}

/// A step in Lua, for one build. Dropping it ends it.
pub struct StepInstance {
    generation: Arc<Generation>,
    class: String,
    id: u64,
    /// The step as its `init` made it for this build, if it has one.
    pub spec: Option<Arc<StepSpec>>,
}

impl Drop for StepInstance {
    fn drop(&mut self) {
        let _ = self.generation.steps().send(StepJob::Release(self.id));
    }
}

/// On its way to the thread.
#[derive(Debug)]
pub(super) enum StepJob {
    Begin {
        id: u64,
        script: StepScript,
        limit: Duration,
        stretch: Duration,
        reply: oneshot::Sender<Result<Option<Arc<Object>>, LuaFailure>>,
    },
    Call {
        id: u64,
        class: String,
        what: Call,
        budget: Option<Duration>,
        stretch: Duration,
        reply: oneshot::Sender<Result<Value, LuaFailure>>,
    },
    Release(u64),
    Forget(Vec<u64>),
}

pub(super) enum Call {
    Run(Arc<dyn StepHost>),
    Interrupt(String),
    CurrentSummary,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.entry())
    }
}

impl Call {
    fn entry(&self) -> &'static str {
        match self {
            Call::Run(_) => "run",
            Call::Interrupt(_) => "interrupt",
            Call::CurrentSummary => "current_summary",
        }
    }

    /// The method that it calls, for messages.
    fn method(&self) -> &'static str {
        match self {
            Call::CurrentSummary => "getCurrentSummary",
            other => other.entry(),
        }
    }
}

fn failure(class: &str, method: &str, message: impl Into<String>, at: Option<Place>) -> LuaFailure {
    LuaFailure { message: message.into(), at, callback: format!("{class}:{method}"), traceback: Vec::new() }
}

impl Generation {
    /// An instance of a step for one build; its `init`, if it has one, runs anew.
    pub async fn begin_step(self: &Arc<Self>, spec: &StepSpec, script: &StepScript) -> Result<StepInstance, LuaFailure> {
        let mut instance = StepInstance { generation: self.clone(), class: spec.class.clone(), id: self.next_instance(), spec: None };
        let (reply, answer) = oneshot::channel();
        let stretch = self.step_stretch();
        // It may compute as long as `run` may, and has no reason to wait.
        let limit = stretch.saturating_add(self.budget(BUDGET));
        let object = instance
            .ask(StepJob::Begin { id: instance.id, script: script.clone(), limit, stretch, reply }, answer, "init")
            .await
            .map_err(|failed| LuaFailure {
                at: failed.at.or_else(|| Some(spec.place.clone())),
                callback: format!("{}:init", spec.class),
                ..failed
            })?;
        if let Some(object) = object {
            let wrong = |text: String| failure(&spec.class, "init", text, Some(spec.place.clone()));
            instance.spec = Some(understood_step(&object).map_err(wrong)?);
        }
        Ok(instance)
    }
}

impl StepInstance {
    async fn ask<T>(&self, job: StepJob, answer: oneshot::Receiver<Result<T, LuaFailure>>, method: &str) -> Result<T, LuaFailure> {
        let ended = || failure(&self.class, method, "the Lua thread of this configuration has ended", None);
        self.generation.steps().send(job).map_err(|_| ended())?;
        tokio::select! {
            biased;
            answer = answer => answer.map_err(|_| ended())?,
            () = self.generation.stuck() => Err(failure(&self.class, method, "the Lua thread is held by a single library call", None)),
        }
    }

    async fn call(&self, what: Call, budget: Option<Duration>) -> Result<Value, LuaFailure> {
        let (reply, answer) = oneshot::channel();
        let (method, stretch) = (what.method(), self.generation.step_stretch());
        self.ask(StepJob::Call { id: self.id, class: self.class.clone(), what, budget, stretch, reply }, answer, method).await
    }

    /// Call its `run`. Dropping the future ends it.
    pub async fn run(&self, host: Arc<dyn StepHost>) -> Result<StepAnswer, LuaFailure> {
        let Value::Table(answer) = self.call(Call::Run(host), None).await? else {
            return Err(failure(&self.class, "run", "gave no answer", None));
        };
        let text = |name: &str| match answer.named.get(name) {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        };
        let results = match answer.named.get("results") {
            Some(Value::Int(code)) => Results::try_from(*code).ok(),
            _ => None,
        };
        let results = results.ok_or_else(|| failure(&self.class, "run", "gave no result", None))?;
        Ok(StepAnswer { results, step_summary: text("step"), build_summary: text("build") })
    }

    /// Tell it that the build is to be stopped.
    pub async fn interrupt(&self, reason: &str) -> Result<(), LuaFailure> {
        self.call(Call::Interrupt(reason.to_owned()), Some(self.generation.budget(BUDGET))).await.map(drop)
    }

    /// What it says of itself now.
    pub async fn current_summary(&self) -> Result<Option<String>, LuaFailure> {
        Ok(match self.call(Call::CurrentSummary, Some(self.generation.budget(BUDGET))).await? {
            Value::Text(text) => Some(text),
            _ => None,
        })
    }
}

/// The host's side as the instance holds it; taken away when the step has ended, however long Lua keeps the instance.
type Slot = Rc<RefCell<Option<Arc<dyn StepHost>>>>;

struct Instance {
    table: LuaTable,
    slot: Slot,
}

/// Serve the steps until nobody can ask any more.
pub(super) async fn serve(vm: Rc<Vm>, mut jobs: mpsc::UnboundedReceiver<StepJob>) {
    vm.lua.set_app_data::<Weak<Vm>>(Rc::downgrade(&vm));
    let instances: Rc<RefCell<HashMap<u64, Instance>>> = Rc::default();
    while let Some(job) = jobs.recv().await {
        match job {
            StepJob::Begin { id, script, limit, stretch, mut reply } => {
                let (vm, instances) = (vm.clone(), instances.clone());
                tokio::task::spawn_local(async move {
                    let began = tokio::select! {
                        biased;
                        () = reply.closed() => return,
                        began = tokio::time::timeout(limit, begin(&vm, &script, stretch)) => began,
                    };
                    let late = |_| {
                        caught_in_init(Caught {
                            message: format!("did not return within {}: init may not wait", human(limit)),
                            place: Place::default(),
                            traceback: Vec::new(),
                        })
                    };
                    let began = began.map_err(late).flatten().map(|(table, object)| {
                        // If nobody waits any more, the release has been served already.
                        if !reply.is_closed() {
                            instances.borrow_mut().insert(id, Instance { table, slot: Slot::default() });
                        }
                        object
                    });
                    if reply.send(began).is_err() {
                        instances.borrow_mut().remove(&id);
                    }
                });
            }
            StepJob::Call { id, class, what, budget, stretch, mut reply } => {
                let Some((table, slot)) = instances.borrow().get(&id).map(|i| (i.table.clone(), i.slot.clone())) else { continue };
                let vm = vm.clone();
                tokio::task::spawn_local(async move {
                    let limit = budget.unwrap_or(Duration::MAX);
                    let method = what.method();
                    let answer = tokio::select! {
                        biased;
                        () = reply.closed() => return,
                        answer = tokio::time::timeout(limit, call(&vm, &table, &class, slot, what, stretch)) => answer,
                    };
                    let late = || Err(failure(&class, method, format!("did not return within its budget of {}", human(limit)), None));
                    let _ = reply.send(answer.unwrap_or_else(|_| late()));
                });
            }
            StepJob::Release(id) => {
                let released = instances.borrow_mut().remove(&id);
                if let Some(instance) = released {
                    instance.slot.borrow_mut().take();
                }
            }
            StepJob::Forget(objects) => {
                let forgotten = vm
                    .prelude
                    .raw_get::<Function>("forget_step")
                    .and_then(|forget| objects.into_iter().try_for_each(|object| forget.call::<()>(object)));
                if let Err(e) = forgotten {
                    tracing::warn!("steps of a build could not be forgotten: {e}");
                }
            }
        }
    }
}

/// Whose `init` it is knows who asked.
fn caught_in_init(caught: Caught) -> LuaFailure {
    let at = Some(caught.place).filter(|p| !p.file.is_empty());
    LuaFailure { message: caught.message, at, callback: String::new(), traceback: caught.traceback }
}

async fn begin(vm: &Vm, script: &StepScript, stretch: Duration) -> Result<(LuaTable, Option<Arc<Object>>), LuaFailure> {
    let outside = |e: mlua::Error| caught_in_init(Caught::outside(&vm.host, &e));
    let make = vm.internal("made_anew").map_err(caught_in_init)?;
    let made = vm.call_within(&make, script.object, stretch).await.map_err(caught_in_init)?;
    let LuaValue::Table(table) = made else { return Err(outside(mlua::Error::runtime("the step is not there any more"))) };
    if !script.init {
        return Ok((table, None));
    }
    let record: LuaTable = vm.prelude.raw_get::<LuaTable>("records").and_then(|r| r.raw_get(&table)).map_err(outside)?;
    let object = Reader::new(vm).and_then(|mut reader| reader.object(&record)).map_err(outside)?;
    let object = object.ok_or_else(|| outside(mlua::Error::runtime("the step is not complete after its init")))?;
    Ok((table, Some(object)))
}

async fn call(vm: &Vm, step: &LuaTable, class: &str, slot: Slot, what: Call, stretch: Duration) -> Result<Value, LuaFailure> {
    let mut method = what.method().to_owned();
    let called = async {
        let entry: Function = vm.prelude.raw_get::<LuaTable>("step")?.raw_get(what.entry())?;
        let args = match what {
            Call::Run(host) => {
                let facts = to_lua(&vm.lua, &host.facts(), &LuaValue::Nil)?;
                *slot.borrow_mut() = Some(host);
                (step.clone(), LuaValue::UserData(vm.lua.create_userdata(Live(slot))?), facts)
            }
            Call::Interrupt(reason) => (step.clone(), LuaValue::Nil, LuaValue::String(vm.lua.create_string(reason)?)),
            Call::CurrentSummary => (step.clone(), LuaValue::Nil, LuaValue::Nil),
        };
        Ok((entry, args))
    };
    let caught = match called.await {
        Ok((entry, args)) => match vm.call_within(&entry, args, stretch).await {
            Ok(answer) => match Reader::new(vm).and_then(|mut reader| reader.value(&answer)) {
                Ok(answer) => return Ok(answer),
                Err(e) => Caught::outside(&vm.host, &e),
            },
            Err(caught) => caught,
        },
        Err(e) => Caught::outside(&vm.host, &e),
    };
    let record = vm.prelude.raw_get::<LuaTable>("records").and_then(|r| r.raw_get::<LuaTable>(step));
    if let Ok(record) = &record {
        if record.raw_get::<Option<String>>("abandoned").is_ok_and(|why| why.as_ref() == Some(&caught.message)) {
            let mut answer = crate::config::Table::default();
            answer.named.insert("results".into(), Value::Int(Results::Failure.into()));
            return Ok(Value::Table(Arc::new(answer)));
        }
        if method == "run"
            && let Ok(Some(stage)) = record.raw_get::<Option<String>>("stage")
        {
            method = stage;
        }
    }
    let defined = || {
        let function: Function = step.get(method.as_str()).ok()?;
        let info = function.info();
        let file = info.source.as_deref()?.strip_prefix('@')?.to_owned();
        Some(Place { file: vm.host.file_name(&file), line: info.line_defined.unwrap_or(0) as u32, from: Vec::new() })
    };
    let at = Some(caught.place.clone()).filter(|p| !p.file.is_empty()).or_else(defined);
    Err(LuaFailure { traceback: caught.traceback, ..failure(class, &method, caught.message, at) })
}
