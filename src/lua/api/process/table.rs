//! The processes of this machine as its kernel tells them: which have a mark in their environment, does this one still run. A process is
//! told from a later one of the same number by the moment of its start, so that nobody signals a stranger.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;
use std::time::Duration;

use mlua::{IntoLuaMulti, Lua, LuaString, Table, Value};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getpgid};

use super::super::super::host::Host;
use super::super::args;
use super::super::offer::{Job, offer};
use super::super::wait::on_main;
use super::start::Process;

/// Of one process's environment; what comes after it is not looked at.
const LARGEST_ENVIRONMENT: u64 = 1 << 20;
/// Between SIGTERM and SIGKILL, where nothing else is said.
const USUAL_GRACE: Duration = Duration::from_secs(10);
/// After SIGKILL.
const LAST_WAIT: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What tells a process from every other one, earlier and later.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Known {
    pub pid: i32,
    /// The machine's start and the moment after it.
    pub started: String,
}

impl Known {
    /// What the number stands for now, also one that has ended and that nobody has asked for yet.
    pub fn of(pid: i32) -> Option<Known> {
        Some(Known { pid, started: Stat::of(pid)?.started(&boot()) })
    }

    pub fn lives(&self) -> bool {
        Stat::of(self.pid).is_some_and(|stat| !stat.ended && stat.started(&boot()) == self.started)
    }

    /// It, and its whole group where it leads one. Was there somebody to signal?
    pub fn signal(&self, signal: Signal) -> Result<bool, String> {
        if !self.lives() {
            return Ok(false);
        }
        let pid = Pid::from_raw(self.pid);
        let sent = if getpgid(Some(pid)) == Ok(pid) { killpg(pid, signal) } else { kill(pid, signal) };
        match sent {
            Ok(()) => Ok(true),
            Err(nix::errno::Errno::ESRCH) => Ok(false),
            Err(e) => Err(format!("process {} can't be signalled: {e}", self.pid)),
        }
    }

    /// SIGTERM, later SIGKILL; answers when it is gone.
    async fn stop(self, grace: Duration) -> Result<bool, String> {
        if !self.signal(Signal::SIGTERM)? {
            return Ok(false);
        }
        if tokio::time::timeout(grace, self.gone()).await.is_ok() {
            return Ok(true);
        }
        self.signal(Signal::SIGKILL)?;
        match tokio::time::timeout(LAST_WAIT, self.gone()).await {
            Ok(()) => Ok(true),
            Err(_) => Err(format!("process {} does not end, not even by SIGKILL", self.pid)),
        }
    }

    async fn gone(&self) {
        while self.lives() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Differs after every start of the machine, so that a number and a moment of before mean nothing.
fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().chars().filter(|c| *c != '-').take(12).collect()
}

/// A line of `/proc/PID/stat`.
struct Stat {
    parent: i32,
    /// Nobody asked for its status yet.
    ended: bool,
    ticks: u64,
}

impl Stat {
    fn of(pid: i32) -> Option<Stat> {
        Stat::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(line: &str) -> Option<Stat> {
        // The name before it may hold anything, parentheses and spaces too.
        let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
        Some(Stat {
            ended: matches!(*fields.first()?, "Z" | "X" | "x"),
            parent: fields.get(1)?.parse().ok()?,
            ticks: fields.get(19)?.parse().ok()?,
        })
    }

    fn started(&self, boot: &str) -> String {
        format!("{boot}-{}", self.ticks)
    }
}

struct Found {
    known: Known,
    parent: i32,
    env: BTreeMap<OsString, Vec<u8>>,
}

/// A variable and its value, or any.
type Mark = (OsString, Option<Vec<u8>>);

/// Those that have all the marks, by number. Processes of others can't be looked into, unless one is root; they are left out.
fn find(marks: &[Mark]) -> Result<Vec<Found>, String> {
    let boot = boot();
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc").map_err(|e| format!("/proc can't be read: {e}"))? {
        let Some(pid) = entry.ok().and_then(|e| e.file_name().to_str()?.parse::<i32>().ok()) else { continue };
        let Some(env) = environment(pid, marks) else { continue };
        // It may have ended meanwhile.
        let Some(stat) = Stat::of(pid).filter(|stat| !stat.ended) else { continue };
        all.push(Found { known: Known { pid, started: stat.started(&boot) }, parent: stat.parent, env });
    }
    all.sort_by_key(|found| found.known.pid);
    Ok(all)
}

/// The marked variables of a process that has them all.
fn environment(pid: i32, marks: &[Mark]) -> Option<BTreeMap<OsString, Vec<u8>>> {
    let mut text = Vec::new();
    fs::File::open(format!("/proc/{pid}/environ")).ok()?.take(LARGEST_ENVIRONMENT).read_to_end(&mut text).ok()?;
    marked(&text, marks)
}

fn marked(text: &[u8], marks: &[Mark]) -> Option<BTreeMap<OsString, Vec<u8>>> {
    let find = |(name, wanted): &Mark| {
        let mut variables = text.split(|b| *b == 0);
        let value = variables.find_map(|v| v.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
        let fits = wanted.as_ref().is_none_or(|wanted| wanted == value);
        fits.then(|| (name.clone(), value.to_vec()))
    };
    marks.iter().map(find).collect()
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
    let stop = lua.create_async_function(move |lua, (which, grace): (Value, Value)| {
        let h = h.clone();
        async move {
            let known = known("process.stop", &which)?;
            let grace = match &grace {
                value if args::absent(value) => USUAL_GRACE,
                value => super::super::seconds(value).map_err(|e| mlua::Error::runtime(format!("process.stop: the time {e}")))?,
            };
            on_main(lua, h, "process.stop", known.stop(grace)).await
        }
    })?;
    process.raw_set("stop", stop)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_a_later_one_of_its_number() {
        let own = Known::of(std::process::id() as i32).unwrap();
        assert!(own.lives());
        assert!(!Known { started: "before-1".into(), ..own.clone() }.lives());
        assert!(!Known { started: "before-1".into(), ..own }.signal(Signal::SIGKILL).unwrap(), "this test would have ended");
    }

    #[test]
    fn a_name_may_hold_anything() {
        let line = "77 (a) Z 9 (b)) S 5 77 77 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 123456 10 5 184467";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.parent, stat.ended, stat.ticks), (5, false, 123_456));
        assert!(Stat::parse(&line.replace(") S", ") Z")).unwrap().ended);
        assert!(Stat::parse("77 (x) S 5").is_none());
    }

    #[test]
    fn marks_are_whole_names_and_whole_values() {
        let mark = |name: &str, value: Option<&str>| (OsString::from(name), value.map(|v| v.as_bytes().to_vec()));
        let text = b"XMARK=no\0MARK=a=b\0OTHER=\0";
        assert_eq!(marked(text, &[mark("MARK", Some("a=b"))]).unwrap()[&OsString::from("MARK")], b"a=b");
        assert!(marked(text, &[mark("MARK", None), mark("OTHER", Some(""))]).is_some());
        for (name, value) in [("MARK", Some("a")), ("MAR", None), ("NONE", None)] {
            assert!(marked(text, &[mark("OTHER", None), mark(name, value)]).is_none(), "{name}");
        }
    }
}
