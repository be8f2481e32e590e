//! The processes of this machine, for Lua: `process.find`, `process.alive`, `process.kill`, `process.stop`.

use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;
use std::time::Duration;

use mlua::{IntoLuaMulti, Lua, LuaString, Table, Value};
use nix::sys::signal::Signal;

use super::super::super::host::Host;
use super::super::args;
use super::super::offer::{Job, offer};
use super::super::wait::on_main;
use super::start::Process;
use crate::lua::processes::{Found, Known, Mark, find};

/// Between SIGTERM and SIGKILL, where nothing else is said.
const USUAL_GRACE: Duration = Duration::from_secs(10);
/// After SIGKILL.
const LAST_WAIT: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// SIGTERM, later SIGKILL; answers when it is gone.
async fn stop(known: Known, grace: Duration) -> Result<bool, String> {
    if !known.signal(Signal::SIGTERM)? {
        return Ok(false);
    }
    if tokio::time::timeout(grace, gone(&known)).await.is_ok() {
        return Ok(true);
    }
    known.signal(Signal::SIGKILL)?;
    match tokio::time::timeout(LAST_WAIT, gone(&known)).await {
        Ok(()) => Ok(true),
        Err(_) => Err(format!("process {} does not end, not even by SIGKILL", known.pid)),
    }
}

async fn gone(known: &Known) {
    while known.lives() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

pub(super) fn register(lua: &Lua, host: &Rc<Host>, process: &Table) -> mlua::Result<()> {
    offer(lua, host, process, "process.find", |_, _, marks: Value| {
        let marks = wanted(&marks)?;
        let finish = |lua: &Lua, _: &Host, all: Vec<Found>| {
            let list = lua.create_table()?;
            for found in all {
                let env = lua.create_table()?;
                for (name, value) in found.env {
                    env.raw_set(lua.create_string(name.as_bytes())?, lua.create_string(value)?)?;
                }
                let one = lua.create_table()?;
                one.raw_set("pid", found.known.pid)?;
                one.raw_set("started", found.known.started)?;
                one.raw_set("parent", found.parent)?;
                one.raw_set("env", env)?;
                list.raw_push(one)?;
            }
            list.into_lua_multi(lua)
        };
        Ok(Job { shown: "{ … }".into(), work: Box::new(move || find(&marks)), finish: Box::new(finish) })
    })?;
    offer(lua, host, process, "process.alive", |_, _, which: Value| {
        let known = known("process.alive", &which)?;
        Ok(Job::new(known.pid.to_string(), move || Ok(known.lives())))
    })?;
    offer(lua, host, process, "process.kill", |_, _, (which, signal): (Value, Value)| {
        let known = known("process.kill", &which)?;
        let signal = self::signal("process.kill", &signal)?;
        Ok(Job::new(known.pid.to_string(), move || known.signal(signal)))
    })?;
    let h = host.clone();
    let stopped = lua.create_async_function(move |lua, (which, grace): (Value, Value)| {
        let h = h.clone();
        async move {
            let known = known("process.stop", &which)?;
            let grace = match &grace {
                value if args::absent(value) => USUAL_GRACE,
                value => super::super::seconds(value).map_err(|e| mlua::Error::runtime(format!("process.stop: the time {e}")))?,
            };
            on_main(lua, h, "process.stop", stop(known, grace)).await
        }
    })?;
    process.raw_set("stop", stopped)
}

/// What a table of the file says of a process: one that was found or started, or a handle with the same fields.
fn known(function: &str, which: &Value) -> mlua::Result<Known> {
    let wrong =
        || mlua::Error::runtime(format!("{function}: needs a process, as in {{ pid = …, started = … }}, got {}", args::describe(which)));
    let table = match which {
        Value::UserData(data) => return data.borrow::<Process>().map(|process| process.known.clone()).map_err(|_| wrong()),
        Value::Table(table) => table,
        _ => return Err(wrong()),
    };
    let (pid, started) = (table.raw_get::<Value>("pid")?, table.raw_get::<Value>("started")?);
    match (&pid, &started) {
        // 0 and below are groups, 1 is the machine.
        (Value::Integer(pid @ 2..), Value::String(started)) => {
            let pid = i32::try_from(*pid).map_err(|_| wrong())?;
            Ok(Known { pid, started: started.to_string_lossy() })
        }
        _ => Err(wrong()),
    }
}

/// `"TERM"`, `"SIGTERM"` or 15.
pub(super) fn signal(function: &str, given: &Value) -> mlua::Result<Signal> {
    let found = match given {
        value if args::absent(value) => Some(Signal::SIGTERM),
        Value::Integer(number) => i32::try_from(*number).ok().and_then(|n| Signal::try_from(n).ok()),
        Value::String(name) => {
            let name = name.to_string_lossy().to_uppercase();
            let name = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
            name.parse().ok()
        }
        _ => None,
    };
    found.ok_or_else(|| {
        mlua::Error::runtime(format!("{function}: {} is no signal; \"TERM\", \"KILL\", \"INT\" are some", args::describe(given)))
    })
}

fn wanted(marks: &Value) -> mlua::Result<Vec<Mark>> {
    let needs = || mlua::Error::runtime("process.find: needs variables of the environment, as in { MARK = \"value\", OTHER = true }");
    let Value::Table(table) = marks else { return Err(needs()) };
    let mut all = Vec::new();
    for pair in table.pairs::<Value, Value>() {
        let (name, value) = pair?;
        let name = name.as_string().filter(|name| !name.as_bytes().contains(&b'=')).map(super::os).ok_or_else(needs)?;
        match value {
            Value::Boolean(true) => all.push((name, None)),
            Value::String(text) => all.push((name, Some(LuaString::as_bytes(&text).to_vec()))),
            Value::Integer(i) => all.push((name, Some(i.to_string().into_bytes()))),
            _ => return Err(needs()),
        }
    }
    // Without one it would be every process there is.
    if all.is_empty() { Err(needs()) } else { Ok(all) }
}
