//! One Lua state, ready for a configuration: library cut down, prelude loaded, globals sealed, loops pre-emptible, memory limited.
//!
//! It guards against accidents, not against malice: the configuration is its administrator's.

use std::cell::OnceCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use mlua::chunk::ChunkMode;
use mlua::debug::HookTriggers;
use mlua::state::{GcIncParams, GcMode};
use mlua::{Function, IntoLuaMulti, Lua, LuaOptions, StdLib, Table, Value, VmState};
use tokio::sync::mpsc;

use super::convert::{Functions, to_lua};
use super::failure::{Caught, error_text};
use super::host::Host;
use super::steps::{self, StepJob};
use super::tasks::Scope;
use super::{api, data, modules, tasks};
use crate::base::duration::human;
use crate::base::suggest;
use crate::config::class::{ClassDecl, Holds, Kind, class_named, classes, known_names_hint};

/// The collector begins anew when memory has grown to so much of what was left the last time: a large configuration leaves nearly
/// all that it makes, and twice as much would be wasted on waiting.
const GARBAGE_PERCENT: i32 = 130;
/// While a file is evaluated; afterwards `c.lua` says.
pub(super) const LOADING_MEMORY: usize = 256 << 20;
/// How often a running call gives way to others. Rare enough to cost nothing measurable, often enough for a millisecond's delay.
const HOOK_EVERY: u32 = 100_000;

/// In this order: each part finds what the ones before it left in the table they share.
const PRELUDE: [(&str, &str); 15] = [
    ("sandbox", include_str!("../../lua/sandbox.lua")),
    ("values", include_str!("../../lua/values.lua")),
    ("declared", include_str!("../../lua/declared.lua")),
    ("class", include_str!("../../lua/class.lua")),
    ("finish", include_str!("../../lua/finish.lua")),
    ("methods", include_str!("../../lua/methods.lua")),
    ("names", include_str!("../../lua/names.lua")),
    ("util", include_str!("../../lua/util.lua")),
    ("properties", include_str!("../../lua/properties.lua")),
    ("require", include_str!("../../lua/require.lua")),
    ("tasks", include_str!("../../lua/tasks.lua")),
    ("callbacks", include_str!("../../lua/callbacks.lua")),
    ("backends", include_str!("../../lua/backends.lua")),
    ("steps", include_str!("../../lua/steps.lua")),
    ("formatters", include_str!("../../lua/formatters.lua")),
];

/// The registry's name of the function that calls another one protected.
pub(super) const CALL: &str = "buildmoon call";

pub(super) struct Vm {
    pub lua: Lua,
    pub host: Rc<Host>,
    /// What the parts of the prelude share.
    pub prelude: Table,
    pub functions: Functions,
    protected: Function,
    step_jobs: OnceCell<mpsc::WeakUnboundedSender<StepJob>>,
}

impl Vm {
    pub fn new(host: Rc<Host>) -> mlua::Result<Vm> {
        let libs = StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::UTF8 | StdLib::OS;
        // The stock `pcall` can be suspended and resumed; the one that mlua would put in its place without this option can't.
        let lua = Lua::new_with(libs, LuaOptions::new().catch_rust_panics(true))?;
        lua.set_memory_limit(LOADING_MEMORY)?;
        lua.gc_set_mode(GcMode::Incremental(GcIncParams::default().pause(GARBAGE_PERCENT)));
        let watcher = host.clone();
        lua.set_global_hook(HookTriggers::new().every_nth_instruction(HOOK_EVERY), move |_, debug| {
            let source = debug.source();
            if let Some(file) = source.source.as_deref().and_then(|s| s.strip_prefix('@')) {
                watcher.seen_at(file, debug.current_line().unwrap_or(0) as u32);
            }
            if watcher.hook() {
                return Err(mlua::Error::runtime("held the Lua thread for too long where it can't be suspended"));
            }
            Ok(VmState::Yield)
        })?;
        // mlua needs it to make functions that wait; the sandbox takes it away again.
        lua.load_std_libs(StdLib::COROUTINE)?;

        let prelude = lua.create_table()?;
        prelude.raw_set("globals", lua.globals())?;
        prelude.raw_set("host", host_functions(&lua, &host)?)?;
        prelude.raw_set("null", Value::NULL)?;
        prelude.raw_set("loading", true)?;
        prelude.raw_set("checking", host.checking)?;
        prelude.raw_set("script", host.script.get())?;
        prelude.raw_set("util", api::util(&lua)?)?;
        let offered = lua.create_table()?;
        api::register(&lua, &host, &offered)?;
        prelude.raw_set("api", offered)?;
        prelude.raw_set("decls", declarations(&lua)?)?;
        steps::register(&lua, &prelude)?;
        lua.set_named_registry_value(api::PRELUDE, &prelude)?;
        for (name, source) in PRELUDE {
            let part = lua.load(source).set_name(format!("=[builtin {name}]")).set_mode(ChunkMode::Text).into_function()?;
            part.call::<()>(&prelude)?;
        }
        prelude.raw_get::<Function>("seal")?.call::<()>(())?;

        for (class, files) in modules::BACKENDS {
            let mut value = Value::Nil;
            for (name, source) in files {
                let file = lua.load(*source).set_name(format!("=[builtin {name}]")).set_mode(ChunkMode::Text).into_function()?;
                value = file.call(value)?;
            }
            let class: Value = lua.globals().raw_get(class)?;
            prelude.raw_get::<Function>("add_members")?.call::<()>((class, value))?;
        }

        let catcher = host.clone();
        let handler = lua.create_function(move |lua, error: Value| lua.create_userdata(Caught::new(lua, &catcher, &error)))?;
        let protect: Function = lua
            .load("local xpcall, handler = ... return function(f, ...) return xpcall(f, handler, ...) end")
            .set_name("=[builtin call]")
            .into_function()?;
        let lib: Table = prelude.raw_get("lib")?;
        let protected = protect.call((lib.raw_get::<Function>("xpcall")?, handler))?;
        lua.set_named_registry_value(CALL, &protected)?;
        let functions = Functions::new(&lua)?;
        Ok(Vm { lua, host, prelude, functions, protected, step_jobs: OnceCell::new() })
    }

    /// A chunk of the configuration, named as places name it.
    pub fn compile(&self, name: &str, source: &[u8]) -> Result<Function, Caught> {
        compile(&self.lua, &self.host, name, source).map_err(|e| Caught::outside(&self.host, &e))
    }

    /// Call a function so that its error is caught with its stack. Gives way to other calls; dropping the future ends the call.
    pub async fn call(&self, f: &Function, args: impl IntoLuaMulti) -> Result<Value, Caught> {
        self.call_within(f, args, Duration::MAX).await
    }

    /// The same for one that may wait for ever, but compute only so long without waiting.
    pub async fn call_within(&self, f: &Function, args: impl IntoLuaMulti, stretch: Duration) -> Result<Value, Caught> {
        let answer = call((&self.lua, &self.protected), &self.host, Rc::default(), stretch, f, args).await;
        // What filled the memory is garbage now; the next call must not stumble over it.
        if answer.as_ref().is_err_and(Caught::is_out_of_memory) {
            let _ = self.lua.gc_collect();
        }
        answer
    }

    pub fn set_step_jobs(&self, jobs: mpsc::WeakUnboundedSender<StepJob>) {
        // Once, before anything is served.
        let _ = self.step_jobs.set(jobs);
    }

    pub fn step_jobs(&self) -> Option<mpsc::UnboundedSender<StepJob>> {
        self.step_jobs.get()?.upgrade()
    }

    /// A function of the prelude.
    pub fn internal(&self, name: &str) -> Result<Function, Caught> {
        self.prelude.raw_get(name).map_err(|e| Caught::outside(&self.host, &e))
    }
}

/// Call a function by way of the protecting one. The tasks that it starts are in the scope and end with it.
pub(super) async fn call(
    (lua, protected): (&Lua, &Function),
    host: &Rc<Host>,
    scope: Rc<Scope>,
    stretch: Duration,
    f: &Function,
    args: impl IntoLuaMulti,
) -> Result<Value, Caught> {
    let fail = |e: mlua::Error| Caught::outside(host, &e);
    let mut all = args.into_lua_multi(lua).map_err(fail)?;
    all.push_front(Value::Function(f.clone()));
    let call = protected.call_async::<(bool, Value)>(all);
    let sliced = Sliced { host: host.clone(), scope, inner: Box::pin(call), pause: None, stretch, computed: Duration::ZERO };
    let Some(ended) = sliced.await else {
        let message = format!("computed for {} without waiting for anything (c.lua: step_stretch)", human(stretch));
        return Err(Caught { message, place: host.last_seen().unwrap_or_default(), traceback: Vec::new() });
    };
    let (ok, value) = ended.map_err(fail)?;
    if ok {
        return Ok(value);
    }
    if let Value::UserData(data) = &value
        && let Ok(caught) = data.borrow::<Caught>()
    {
        return Err(caught.clone());
    }
    // Only an error within the handler itself comes here, such as a stack that is used up.
    Err(match &value {
        Value::Error(error) => Caught::outside(host, error),
        other => Caught::new(lua, host, other),
    })
}

/// Text only: a compiled chunk could break the state.
pub(super) fn compile(lua: &Lua, host: &Host, name: &str, source: &[u8]) -> mlua::Result<Function> {
    host.keep_source(host.file_name(name), source);
    let source = source.strip_prefix(b"\xef\xbb\xbf").unwrap_or(source);
    let mut text = Vec::with_capacity(source.len() + 2);
    if source.starts_with(b"#!") {
        text.extend_from_slice(b"--");
    }
    text.extend_from_slice(source);
    lua.load(text).set_name(format!("@{name}")).set_mode(ChunkMode::Text).into_function()
}

/// Stamps each stretch in which a call holds the thread. A call that was pre-empted lets the thread look at timers and new calls
/// before it goes on: woken at once, it would be polled many times in a row.
struct Sliced<F> {
    host: Rc<Host>,
    scope: Rc<Scope>,
    inner: Pin<Box<F>>,
    pause: Option<Pin<Box<dyn Future<Output = ()>>>>,
    /// The longest that it may compute without waiting.
    stretch: Duration,
    computed: Duration,
}

impl<F: Future> Future for Sliced<F> {
    /// None: it computed for too long.
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        if let Some(pause) = &mut self.pause {
            std::task::ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        self.host.begin_slice();
        let before = self.host.enter(Some(self.scope.clone()));
        let began = Instant::now();
        let poll = self.inner.as_mut().poll(cx);
        self.host.enter(before);
        let preempted = self.host.end_slice();
        if preempted && poll.is_pending() {
            self.computed += began.elapsed();
            if self.computed > self.stretch {
                return Poll::Ready(None);
            }
            self.pause = Some(Box::pin(tokio::task::yield_now()));
        } else {
            self.computed = Duration::ZERO;
        }
        poll.map(Some)
    }
}

impl<F> Drop for Sliced<F> {
    fn drop(&mut self) {
        self.scope.end();
    }
}

/// What the prelude asks the host.
fn host_functions(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let h = host.clone();
    table.raw_set("place", lua.create_function(move |lua, ()| Ok(h.keep_place(h.place(lua))))?)?;
    let h = host.clone();
    table.raw_set("place_text", lua.create_function(move |_, id: usize| Ok(h.kept_place(id).to_string()))?)?;
    let h = host.clone();
    table.raw_set("new_id", lua.create_function(move |_, ()| Ok(h.next_id()))?)?;
    let h = host.clone();
    table.raw_set("overrun", lua.create_function(move |_, ()| Ok(h.overrun()))?)?;
    let h = host.clone();
    table.raw_set(
        "mistake",
        lua.create_function(move |lua, (text, subject, place): (String, Option<String>, Option<usize>)| {
            let place = place.map_or_else(|| h.place(lua), |id| h.kept_place(id));
            h.mistake(place, subject.as_deref().unwrap_or_default(), text);
            Ok(())
        })?,
    )?;
    let h = host.clone();
    table.raw_set(
        "warn",
        lua.create_function(move |lua, text: String| {
            h.warn(h.place(lua), text);
            Ok(())
        })?,
    )?;
    let h = host.clone();
    table.raw_set(
        "log",
        lua.create_function(move |lua, (level, text): (String, mlua::LuaString)| {
            api::log::write(&h, lua, &level, &text.to_string_lossy());
            Ok(())
        })?,
    )?;
    let h = host.clone();
    table.raw_set(
        "print",
        lua.create_function(move |lua, text: mlua::LuaString| {
            api::log::print(&h, lua, &text.as_bytes()).map_err(|e| mlua::Error::runtime(format!("print: {e}")))
        })?,
    )?;
    table.raw_set("error_text", lua.create_function(|_, error: Value| Ok(error_text(&error)))?)?;
    table.raw_set("known", lua.create_function(|_, name: String| Ok(known_names_hint(&name)))?)?;
    table.raw_set(
        "nearest",
        lua.create_function(|_, (name, known): (String, Vec<String>)| {
            Ok(suggest::nearest(&name, known.iter().map(String::as_str)).map(str::to_owned))
        })?,
    )?;
    table.raw_set(
        "one_edit",
        lua.create_function(|_, (name, known): (String, Vec<String>)| {
            Ok(suggest::one_edit(&name, known.iter().map(String::as_str)).map(str::to_owned))
        })?,
    )?;
    let h = host.clone();
    let data_get = lua.create_async_function(move |lua, path: String| {
        let h = h.clone();
        async move { data::get(&lua, &h, &path).await }
    })?;
    table.raw_set("data_get", data_get)?;
    let h = host.clone();
    let super_ask = lua.create_async_function(move |lua, (worker, launch, what, args): (String, Option<String>, String, Value)| {
        let h = h.clone();
        async move { api::super_ask(lua, h, worker, launch, what, args).await }
    })?;
    table.raw_set("super_ask", super_ask)?;
    let h = host.clone();
    table.raw_set("module", lua.create_function(move |lua, name: String| modules::find(lua, &h, &name))?)?;
    tasks::host_functions(lua, host, &table)?;
    Ok(table)
}

/// The declared classes as the prelude wants them.
fn declarations(lua: &Lua) -> mlua::Result<Table> {
    let list = lua.create_table()?;
    for class in classes() {
        list.raw_push(declaration(lua, class)?)?;
    }
    Ok(list)
}

fn declaration(lua: &Lua, class: &ClassDecl) -> mlua::Result<Table> {
    let lives_in = |name: &str| class.namespaces.contains(&name);
    let decl = lua.create_table()?;
    decl.raw_set("name", class.name)?;
    decl.raw_set("namespaces", class.namespaces.to_vec())?;
    decl.raw_set("top_level", class.top_level)?;
    decl.raw_set("old_names", class.old_names.to_vec())?;
    decl.raw_set("extensible", class.extensible)?;
    decl.raw_set("methods", class.kind.overridable().to_vec())?;
    let holds = class.holds.map(|holds| if holds == Holds::Names { "dict" } else { "list" });
    decl.raw_set("holds", holds)?;
    decl.raw_set("is_step", lives_in("steps"))?;
    decl.raw_set("renderable", class.kind == Kind::Renderable)?;
    decl.raw_set("is_worker", lives_in("worker"))?;
    // Every latent worker takes what this class takes; what else there is belongs to its backend.
    let latent = class_named("LatentWorker").map_or(&[][..], |c| &c.args);
    let is_latent = class.args.iter().any(|arg| arg.name == "build_wait_timeout");
    decl.raw_set("is_latent", is_latent)?;
    // Class attributes are defaults of arguments.
    decl.raw_set("attributes", class.extensible)?;
    decl.raw_set("is_parameter", class.kind == Kind::Parameter)?;
    // Methods of classes of the file that are arguments as well.
    let bound = class.kind.overridable().iter().copied().filter(|m| class.kind.binds_methods() && class.args.iter().any(|a| a.name == *m));
    decl.raw_set("bound", bound.collect::<Vec<_>>())?;
    decl.raw_set("is_formatter", class.kind == Kind::Formatter)?;
    // What declares something is for the file; plain values (`Interpolate`, `ShellArg`) may be made by callbacks, too.
    decl.raw_set("closed", class.extensible)?;
    // Factories carry whatever fields their users give them.
    decl.raw_set("open", class.name == "BuildFactory")?;
    let by_name = lua.create_table()?;
    let positions = lua.create_table()?;
    let (names, arguments) = (lua.create_table()?, lua.create_table()?);
    for arg in class.args.iter() {
        let entry = lua.create_table()?;
        entry.raw_set("name", arg.name)?;
        entry.raw_set("position", arg.position)?;
        entry.raw_set("renderable", arg.kind.ends_with(", or something to render"))?;
        entry.raw_set("secret", arg.secret)?;
        entry.raw_set("of_backend", is_latent && !latent.iter().any(|common| common.name == arg.name))?;
        entry.raw_set("default", default_value(lua, arg.default.as_ref())?)?;
        entry.raw_set("takes_functions", arg.kind.contains("a function"))?;
        // A function in a class's body is a method, unless the argument of its name takes functions.
        entry.raw_set("callable", arg.kind.contains("function") || arg.kind.contains("render"))?;
        let spellings: Vec<&str> = arg.aliases.iter().copied().chain([arg.name]).collect();
        entry.raw_set("spellings", spellings)?;
        arguments.raw_push(&entry)?;
        for alias in arg.aliases.iter() {
            by_name.raw_set(*alias, &entry)?;
        }
        by_name.raw_set(arg.name, entry)?;
        names.raw_push(arg.name)?;
        if let Some(position) = arg.position {
            positions.raw_set(position, arg.name)?;
        }
    }
    decl.raw_set("by_name", by_name)?;
    decl.raw_set("positions", positions)?;
    decl.raw_set("names", names)?;
    decl.raw_set("arguments", arguments)?;
    Ok(decl)
}

/// A default as the declaration shows it; what is no plain value or list (a table of names, a sentence) is nil.
pub(super) fn default_value(lua: &Lua, shown: &str) -> mlua::Result<Value> {
    Ok(match shown {
        "None" => Value::NULL,
        "true" => Value::Boolean(true),
        "false" => Value::Boolean(false),
        list if list.starts_with('{') && list.ends_with('}') => {
            // A list of plain values is written as JSON writes one but for its braces.
            match serde_json::from_str::<Vec<serde_json::Value>>(&format!("[{}]", &list[1..list.len() - 1])) {
                Ok(items) => to_lua(lua, &serde_json::Value::Array(items), &Value::NULL)?,
                Err(_) => Value::Nil,
            }
        }
        _ => match serde_json::from_str::<serde_json::Value>(shown) {
            Ok(serde_json::Value::String(text)) => Value::String(lua.create_string(text)?),
            Ok(serde_json::Value::Number(n)) => match n.as_i64() {
                Some(i) => Value::Integer(i),
                None => Value::Number(n.as_f64().unwrap_or_default()),
            },
            _ => Value::Nil,
        },
    })
}
