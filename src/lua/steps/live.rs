//! What `lua/steps.lua` holds of the host while a step runs: the step's side of its build, and the command under way. A future that waits
//! here ends with the call that waits for it, and the command with it.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use mlua::{AnyUserData, Function, Lua, MetaMethod, Table as LuaTable, UserData, UserDataMethods, Value as LuaValue};
use serde_json::Value as Json;

use super::super::convert::{Reader, to_lua};
use super::super::vm::Vm;
use super::{Kept, Running, Slot, StepHost, StepsPlace, Work, WorkEnd, WorkEvent};
use crate::config::{RemoteCommand, RemoteShell, sequence_commands, understood_step};
use crate::model::build::Stream;
use crate::model::{LogKind, Results};

/// A command that is not started yet.
struct Request(RefCell<Option<Work>>);

impl UserData for Request {}

/// What `lua/steps.lua` needs of the host.
pub(in super::super) fn register(lua: &Lua, prelude: &LuaTable) -> mlua::Result<()> {
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
pub(super) struct Live(pub Slot);

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
    let ended = || mlua::Error::runtime("works only while a step runs");
    let vm = lua.app_data_ref::<Weak<Vm>>().and_then(|vm| vm.upgrade()).ok_or_else(ended)?;
    let keep: Function = vm.prelude.raw_get("keep_step")?;
    // Whatever goes wrong below, it forgets what was kept until then.
    let mut kept = Kept { objects: Vec::new(), jobs: vm.step_jobs().ok_or_else(ended)? };
    let mut specs = Vec::new();
    for step in list.sequence_values::<LuaTable>() {
        let record: LuaTable = keep.call(step?)?;
        if !record.raw_get::<LuaValue>("methods")?.is_nil() {
            kept.objects.push(record.raw_get("id")?);
        }
        let object = with_reader(lua, |reader| reader.object(&record))?;
        let object = object.ok_or_else(|| mlua::Error::runtime("a step that is added is not complete"))?;
        specs.push(told(understood_step(&object))?);
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
