//! `process`: programs of this machine. This file has what all its calls share: what a program is told, and that a group of processes
//! does not outlive who answers for it. One to its end is in `run`, one that goes on in `start`, those that others left in `table`.

mod run;
mod start;
mod table;

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use mlua::{Lua, LuaString, Table, Value};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;

use super::super::host::Host;
use super::args::describe;

/// After SIGTERM, before SIGKILL.
const GRACE: Duration = Duration::from_secs(5);

pub(super) fn register(lua: &Lua, host: &Rc<Host>, into: &Table) -> mlua::Result<()> {
    let process = lua.create_table()?;
    run::register(lua, host, &process)?;
    start::register(lua, host, &process)?;
    table::register(lua, host, &process)?;
    into.raw_set("process", process)
}

/// What every program is told.
struct Program {
    argv: Vec<OsString>,
    cwd: PathBuf,
    env: Vec<(OsString, Option<OsString>)>,
    clear_env: bool,
}

impl Program {
    fn new(host: &Host, command: &Value) -> Result<Program, String> {
        Ok(Program { argv: argv(command)?, cwd: host.folder.clone(), env: Vec::new(), clear_env: false })
    }

    fn shown(&self) -> String {
        self.argv[0].to_string_lossy().into_owned()
    }

    /// Does its caller say what that variable is?
    fn sets(&self, variable: &str) -> bool {
        self.env.iter().any(|(name, _)| name == variable)
    }

    /// In a process group of its own.
    fn command(&self) -> Result<Command, String> {
        if !self.cwd.is_dir() {
            return Err(format!("cwd: there is no folder {}", self.cwd.display()));
        }
        let mut command = Command::new(&self.argv[0]);
        command.args(&self.argv[1..]).current_dir(&self.cwd).process_group(0);
        if self.clear_env {
            command.env_clear();
        }
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Ok(command)
    }

    fn not_started(&self, e: &io::Error) -> String {
        match e.kind() {
            io::ErrorKind::NotFound => format!("there is no program '{}'", self.shown()),
            _ => format!("'{}' could not be started: {e}", self.shown()),
        }
    }
}

/// The options of a call: those of every program, and its own by name, each with what to say of a value of a wrong kind.
fn options(
    host: &Host,
    program: &mut Program,
    given: Option<&Table>,
    own: &[&str],
    mut take: impl FnMut(&str, &Value, &dyn Fn(&str) -> String) -> Result<(), String>,
) -> Result<(), String> {
    const ALL: [&str; 3] = ["cwd", "env", "clear_env"];
    for pair in given.iter().flat_map(|table| table.pairs::<Value, Value>()) {
        let (key, value) = pair.map_err(|e| e.to_string())?;
        let name = key.as_string().map(LuaString::to_string_lossy).unwrap_or_else(|| format!("[{}]", key.type_name()));
        let wrong = |kind: &str| format!("'{name}' must be {kind}, got {}", describe(&value));
        match (name.as_str(), &value) {
            (_, v) if v.is_null() => {}
            ("cwd", Value::String(text)) => program.cwd = host.folder.join(os(text)),
            ("cwd", _) => return Err(wrong("text")),
            ("env", Value::Table(table)) => program.env = environment(table)?,
            ("env", _) => return Err(wrong("a table of names and texts")),
            ("clear_env", Value::Boolean(b)) => program.clear_env = *b,
            ("clear_env", _) => return Err(wrong("true or false")),
            (known, value) if own.contains(&known) => take(known, value, &wrong)?,
            _ => {
                let near = crate::base::suggest::nearest(&name, own.iter().chain(&ALL).copied());
                let near = near.map(|n| format!(" (did you mean '{n}'?)")).unwrap_or_default();
                return Err(format!("unknown option '{name}'{near}"));
            }
        }
    }
    Ok(())
}

fn os(text: &LuaString) -> OsString {
    OsString::from_vec(text.as_bytes().to_vec())
}

/// Text, or a whole number as its digits.
fn word(value: &Value) -> Option<OsString> {
    match value {
        Value::String(text) => Some(os(text)),
        Value::Integer(i) => Some(i.to_string().into()),
        _ => None,
    }
}

fn argv(command: &Value) -> Result<Vec<OsString>, String> {
    let argv = match command {
        Value::String(text) => vec!["/bin/sh".into(), "-c".into(), os(text)],
        Value::Table(list) if !list.has_metatable() => {
            let mut argv = Vec::new();
            for (item, i) in list.sequence_values::<Value>().zip(1..) {
                let item = item.map_err(|e| e.to_string())?;
                argv.push(word(&item).ok_or_else(|| format!("argument {i} must be text or a whole number, got {}", describe(&item)))?);
            }
            argv
        }
        other => return Err(format!("needs a list of arguments or a text for the shell, got {}", describe(other))),
    };
    if argv.first().is_none_or(|program| program.is_empty()) {
        return Err("the command is empty".into());
    }
    Ok(argv)
}

/// `None` takes a variable away.
fn environment(table: &Table) -> Result<Vec<(OsString, Option<OsString>)>, String> {
    let mut all = Vec::new();
    for pair in table.pairs::<Value, Value>() {
        let (name, value) = pair.map_err(|e| e.to_string())?;
        let Value::String(name) = name else { return Err(format!("env: a name that is {}", describe(&name))) };
        let shown = name.to_string_lossy();
        if name.as_bytes().is_empty() || name.as_bytes().contains(&b'=') {
            return Err(format!("env: {shown:?} is no name of a variable"));
        }
        let text = match &value {
            v if v.is_null() => None,
            v => Some(word(v).ok_or_else(|| format!("env: {shown} must be text or a whole number, got {}", describe(v)))?),
        };
        all.push((os(&name), text));
    }
    Ok(all)
}

/// A running process group. Dropped before its end it is told to stop, and killed if it does not.
struct Group {
    child: Child,
    id: Option<Pid>,
    main: Handle,
    over: bool,
}

impl Group {
    fn new(child: Child, main: Handle) -> Group {
        let id = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        Group { child, id, main, over: false }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let Some(id) = self.id.filter(|_| !self.over) else { return };
        let _ = killpg(id, Signal::SIGTERM);
        // The killer does its work wherever it is dropped, even by a runtime that goes down.
        let mut killer = Killer(Some(id));
        self.main.spawn(async move {
            let gone = async {
                while killpg(id, None).is_ok() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            if tokio::time::timeout(GRACE, gone).await.is_ok() {
                // The number may be another's from now on.
                killer.disarm();
            }
        });
    }
}

struct Killer(Option<Pid>);

impl Killer {
    fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for Killer {
    fn drop(&mut self) {
        if let Some(id) = self.0 {
            let _ = killpg(id, Signal::SIGKILL);
        }
    }
}
