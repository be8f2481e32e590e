//! Steps that are written in Lua: an instance for each build, the calls of its methods, and what they ask of their build.
//!
//! [`StepHost`] is the build's side; `builds` implements it. What needs no waiting happens at once on the Lua thread; what does is a
//! future that ends with the call that waits for it. `lua/steps.lua` gives the members their shape. Never decides what a result means.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use mlua::{AnyUserData, Function, Lua, MetaMethod, Table as LuaTable, UserData, UserDataMethods, Value as LuaValue};
use serde_json::{Map, Value as Json};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::DropGuard;

use super::convert::{Reader, to_lua};
use super::failure::{Caught, LuaFailure};
use super::generation::Generation;
use super::vm::Vm;
use crate::base::duration::human;
use crate::config::{
    Object, Place, RemoteCommand, RemoteShell, ShellArgSpec, StepScript, StepSpec, Value, sequence_commands, understood_step,
};
use crate::model::build::Stream;
use crate::model::{LogKind, Results};

/// For the methods that only answer: summaries, `interrupt`.
const BUDGET: Duration = Duration::from_secs(5);

pub type Waiting<T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send>>;

/// What a running step asks of its build. Errors are texts for the person who wrote the step.
pub trait StepHost: Send + Sync + 'static {
    /// Names and numbers that do not change while it runs.
    fn facts(&self) -> Json;
    fn property(&self, name: &str) -> Option<Json>;
    fn properties(&self) -> Map<String, Json>;
    /// Without a source it is the step's name.
    fn set_property(&self, name: &str, value: Json, source: Option<&str>) -> Result<(), String>;
    fn render(&self, values: BTreeMap<String, Value>) -> Waiting<Map<String, Json>>;
    /// The number of a new log.
    fn add_log(&self, name: &str, kind: LogKind) -> Result<i64, String>;
    /// The newest log of that name.
    fn log_named(&self, name: &str) -> Option<i64>;
    fn write_log(&self, log: i64, stream: Stream, text: &[u8]) -> Result<(), String>;
    fn finish_log(&self, log: i64) -> Result<(), String>;
    /// The lines of these streams.
    fn read_log(&self, log: i64, streams: Vec<Stream>) -> Waiting<Vec<u8>>;
    fn add_url(&self, name: &str, url: &str) -> Result<(), String>;
    /// The summary while it runs and in the end, if the step says none itself.
    fn current_state(&self) -> String;
    fn result_state(&self, results: Results) -> String;
    /// Is a new summary to be shown now? If not, the host asks for it a little later.
    fn summary_due(&self) -> bool;
    fn show_summary(&self, text: Option<String>);
    fn set_statistic(&self, name: &str, value: Json) -> Result<(), String>;
    fn statistic(&self, name: &str) -> Option<Json>;
    /// What each step of the build said under this name.
    fn statistics(&self, name: &str) -> Vec<Json>;
    fn add_steps(&self, steps: Vec<Arc<StepSpec>>, place: StepsPlace, kept: Kept) -> Result<(), String>;
    /// The worker's version of a command that it knows.
    fn command_version(&self, command: &str) -> Option<String>;
    /// Begin to run something on the worker.
    fn start(&self, work: Work, observed: BTreeSet<String>) -> Result<Running, String>;
}

/// Where further steps of a build go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StepsPlace {
    Next,
    Last,
}

/// What a step runs on the worker.
#[derive(Clone, PartialEq, Debug)]
pub enum Work {
    /// What the step of the host does.
    BuiltIn,
    Shell(Box<RemoteShell>),
    Sequence(Vec<ShellArgSpec>, Box<RemoteShell>),
    Remote(RemoteCommand),
}

/// Something under way on the worker; dropping it interrupts it.
pub struct Running {
    pub events: mpsc::Receiver<WorkEvent>,
    pub interrupt: DropGuard,
}

#[derive(Debug)]
pub enum WorkEvent {
    /// Output of observed logs, in whole lines.
    Output(Vec<Piece>),
    Ended(WorkEnd),
}

#[derive(Debug)]
pub struct Piece {
    pub log: Arc<str>,
    pub stream: Stream,
    pub text: Vec<u8>,
}

#[derive(Debug, Default)]
pub struct WorkEnd {
    pub results: Option<Results>,
    pub rc: Option<i64>,
    pub stdout: Option<Vec<u8>>,
    pub stderr: Option<Vec<u8>>,
    /// What the worker told beside output: `rc`, `files`, `stat`, `elapsed`, each a list.
    pub updates: Map<String, Json>,
    pub lost: Option<String>,
    pub stopped: Option<String>,
    pub failed: Option<String>,
}

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
                    .raw_get::<LuaTable>("scripted")
                    .and_then(|scripted| objects.into_iter().try_for_each(|object| scripted.raw_set(object, LuaValue::Nil)));
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

/// A command that is not started yet.
struct Request(RefCell<Option<Work>>);

impl UserData for Request {}

/// What `lua/steps.lua` needs of the host.
pub(super) fn register(lua: &Lua, prelude: &LuaTable) -> mlua::Result<()> {
    // Methods that wait can only be made while there still is a library of coroutines: with the first value of a type.
    lua.create_userdata(Live(Slot::default()))?;
    lua.create_userdata(Handle(Rc::default()))?;
    prelude.raw_set("shell_options", RemoteShell::options())?;
    prelude.raw_set(
        "shell_request",
        lua.create_function(|lua, table: LuaTable| request(lua, Work::Shell(Box::new(shell(lua, &table, "makeRemoteShellCommand")?))))?,
    )?;
    prelude.raw_set(
        "sequence_request",
        lua.create_function(|lua, (commands, table): (LuaTable, LuaTable)| {
            let options = shell(lua, &table, "runShellSequence")?;
            let list = with_reader(lua, |reader| reader.value(&LuaValue::Table(commands)))?;
            let list = sequence_commands(&list).map_err(|wrong| mlua::Error::runtime(format!("runShellSequence: commands {wrong}")))?;
            request(lua, Work::Sequence(list, Box::new(options)))
        })?,
    )?;
    prelude.raw_set(
        "remote_request",
        lua.create_function(|lua, (name, args, options): (String, LuaTable, LuaTable)| {
            let (args, options) = with_reader(lua, |reader| Ok((reader.table(&args)?, reader.table(&options)?)))?;
            let command =
                RemoteCommand::read(&name, &args, &options).map_err(|e| mlua::Error::runtime(format!("RemoteCommand {name}: {e}")))?;
            request(lua, Work::Remote(command))
        })?,
    )
}

fn request(lua: &Lua, work: Work) -> mlua::Result<AnyUserData> {
    lua.create_userdata(Request(RefCell::new(Some(work))))
}

fn shell(lua: &Lua, table: &LuaTable, method: &str) -> mlua::Result<RemoteShell> {
    let table = with_reader(lua, |reader| reader.table(table))?;
    RemoteShell::read(&table).map_err(|e| mlua::Error::runtime(format!("{method}: {e}")))
}

fn with_reader<T>(lua: &Lua, read: impl FnOnce(&mut Reader) -> mlua::Result<T>) -> mlua::Result<T> {
    let vm = lua.app_data_ref::<Weak<Vm>>().and_then(|vm| vm.upgrade());
    let vm = vm.ok_or_else(|| mlua::Error::runtime("works only while a step runs"))?;
    let mut reader = Reader::new(&vm)?;
    read(&mut reader)
}

/// The userdata behind `self`.
struct Live(Slot);

impl Live {
    fn host(&self) -> mlua::Result<Arc<dyn StepHost>> {
        self.0.borrow().clone().ok_or_else(|| mlua::Error::runtime("the step has ended: nothing can be done through it any more"))
    }
}

fn told<T>(result: Result<T, String>) -> mlua::Result<T> {
    result.map_err(mlua::Error::runtime)
}

fn stream(letter: &str) -> mlua::Result<Stream> {
    letter.bytes().next().and_then(Stream::from_letter).ok_or_else(|| mlua::Error::runtime("no such stream"))
}

fn plain(lua: &Lua, what: &str, value: LuaValue) -> mlua::Result<Json> {
    let value = with_reader(lua, |reader| reader.value(&value))?;
    value.to_json().map_err(|e| mlua::Error::runtime(format!("{what} must be plain data, got {e}")))
}

impl UserData for Live {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("property", |lua, this, name: String| {
            this.host()?.property(&name).map_or(Ok(LuaValue::Nil), |value| match value {
                Json::Null => Ok(LuaValue::NULL),
                value => to_lua(lua, &value, &LuaValue::Nil),
            })
        });
        methods.add_method("properties", |lua, this, ()| to_lua(lua, &Json::Object(this.host()?.properties()), &LuaValue::Nil));
        methods.add_method("set_property", |lua, this, (name, value, source): (String, LuaValue, Option<String>)| {
            let value = plain(lua, &format!("setProperty: '{name}'"), value)?;
            told(this.host()?.set_property(&name, value, source.as_deref()))
        });
        methods.add_async_method("render", |lua, this, values: LuaTable| async move {
            let host = this.host()?;
            let values = with_reader(&lua, |reader| reader.table(&values))?;
            let values = values.named.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
            drop(this);
            let rendered = told(host.render(values).await)?;
            let table = lua.create_table()?;
            for (name, value) in &rendered {
                let value = if value.is_null() { LuaValue::NULL } else { to_lua(&lua, value, &LuaValue::Nil)? };
                table.raw_set(name.as_str(), value)?;
            }
            Ok(table)
        });
        logs(methods);
        methods.add_method("add_url", |_, this, (name, url): (String, String)| told(this.host()?.add_url(&name, &url)));
        methods.add_method("current_state", |_, this, ()| Ok(this.host()?.current_state()));
        methods.add_method("result_state", |_, this, results: i64| {
            let results = Results::try_from(results).map_err(mlua::Error::runtime)?;
            Ok(this.host()?.result_state(results))
        });
        methods.add_method("summary_due", |_, this, ()| Ok(this.host()?.summary_due()));
        methods.add_method("show_summary", |_, this, text: Option<String>| {
            this.host()?.show_summary(text);
            Ok(())
        });
        methods.add_method("set_statistic", |lua, this, (name, value): (String, LuaValue)| {
            let value = plain(lua, &format!("setStatistic: '{name}'"), value)?;
            told(this.host()?.set_statistic(&name, value))
        });
        methods.add_method("statistic", |lua, this, name: String| {
            this.host()?.statistic(&name).map_or(Ok(LuaValue::Nil), |value| to_lua(lua, &value, &LuaValue::Nil))
        });
        methods
            .add_method("statistics", |lua, this, name: String| to_lua(lua, &Json::Array(this.host()?.statistics(&name)), &LuaValue::Nil));
        methods.add_method("command_version", |_, this, name: String| Ok(this.host()?.command_version(&name)));
        methods.add_method("add_steps", |lua, this, (list, place): (LuaTable, String)| add_steps(lua, this, &list, &place));
        methods.add_method("start", |_, this, (request, observed): (Option<AnyUserData>, Vec<String>)| {
            let work = match request {
                None => Work::BuiltIn,
                Some(request) => {
                    let work = request.borrow::<Request>()?.0.borrow_mut().take();
                    work.ok_or_else(|| mlua::Error::runtime("a command runs once: make another"))?
                }
            };
            let running = told(this.host()?.start(work, observed.into_iter().collect()))?;
            Ok(Handle(Rc::new(RefCell::new(Some(running)))))
        });
    }
}

fn logs<M: UserDataMethods<Live>>(methods: &mut M) {
    methods.add_method("add_log", |_, this, (name, kind): (String, String)| {
        let kind = match kind.as_str() {
            "s" => LogKind::Stdio,
            "t" => LogKind::Text,
            "h" => LogKind::Html,
            other => {
                return Err(mlua::Error::runtime(format!(
                    "addLog: the type must be \"s\" (output), \"t\" (text) or \"h\" (HTML), got {other:?}"
                )));
            }
        };
        told(this.host()?.add_log(&name, kind))
    });
    methods.add_method("log_named", |_, this, name: String| Ok(this.host()?.log_named(&name)));
    methods.add_method("log_write", |_, this, (log, letter, text): (i64, String, mlua::LuaString)| {
        told(this.host()?.write_log(log, stream(&letter)?, &text.as_bytes()))
    });
    methods.add_method("log_finish", |_, this, log: i64| told(this.host()?.finish_log(log)));
    methods.add_async_method("log_text", |lua, this, (log, letters): (i64, String)| async move {
        let streams = letters.bytes().filter_map(Stream::from_letter).collect();
        let text = this.host()?.read_log(log, streams);
        drop(this);
        lua.create_string(told(text.await)?)
    });
}

fn add_steps(lua: &Lua, this: &Live, list: &LuaTable, place: &str) -> mlua::Result<()> {
    let host = this.host()?;
    let records: LuaTable = with_reader(lua, |reader| reader.records())?;
    let vm = lua.app_data_ref::<Weak<Vm>>().and_then(|vm| vm.upgrade());
    let jobs = vm.and_then(|vm| vm.step_jobs()).ok_or_else(|| mlua::Error::runtime("works only while a step runs"))?;
    let mut kept = Kept { objects: Vec::new(), jobs };
    let mut specs = Vec::new();
    for step in list.sequence_values::<LuaTable>() {
        let record: LuaTable = records.raw_get(step?)?;
        let object = with_reader(lua, |reader| reader.object(&record))?;
        let object = object.ok_or_else(|| mlua::Error::runtime("a step that is added is not complete"))?;
        let spec = told(understood_step(&object))?;
        if object.methods.is_some() {
            kept.objects.push(object.id);
        }
        specs.push(spec);
    }
    let place = if place == "last" { StepsPlace::Last } else { StepsPlace::Next };
    told(host.add_steps(specs, place, kept))
}

/// A command under way, as `lua/steps.lua` waits for it.
struct Handle(Rc<RefCell<Option<Running>>>);

impl UserData for Handle {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_async_method("next", |lua, this, ()| async move {
            let slot = this.0.clone();
            drop(this);
            let Some(mut running) = slot.borrow_mut().take() else { return Err(mlua::Error::runtime("the command has ended")) };
            // While it waits the command belongs to this future: if the call is dropped, so is the command.
            let event = running.events.recv().await;
            let pieces = lua.create_table()?;
            match event {
                Some(WorkEvent::Output(output)) => {
                    for piece in output {
                        pieces.raw_push(&*piece.log)?;
                        pieces.raw_push(char::from(piece.stream as u8).to_string())?;
                        pieces.raw_push(lua.create_string(piece.text)?)?;
                    }
                    *slot.borrow_mut() = Some(running);
                    Ok((pieces, LuaValue::Nil))
                }
                Some(WorkEvent::Ended(end)) => Ok((pieces, LuaValue::Table(ended(&lua, end)?))),
                None => Err(mlua::Error::runtime("the command was abandoned")),
            }
        });
        methods.add_meta_method(MetaMethod::Close, |_, this, _: LuaValue| {
            this.0.borrow_mut().take();
            Ok(())
        });
    }
}

fn ended(lua: &Lua, end: WorkEnd) -> mlua::Result<LuaTable> {
    let table = lua.create_table()?;
    table.raw_set("result", end.results.map(i64::from))?;
    table.raw_set("rc", end.rc)?;
    table.raw_set("stdout", end.stdout.map(|text| lua.create_string(text)).transpose()?)?;
    table.raw_set("stderr", end.stderr.map(|text| lua.create_string(text)).transpose()?)?;
    table.raw_set("updates", to_lua(lua, &Json::Object(end.updates), &LuaValue::Nil)?)?;
    table.raw_set("lost", end.lost)?;
    table.raw_set("stopped", end.stopped)?;
    table.raw_set("failed", end.failed)?;
    Ok(table)
}
