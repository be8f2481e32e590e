//! `process.run`: a program of this machine, in a process group of its own that ends with the call. It never leaves a zombie, and
//! runs under `checkconfig` too: what it gives is often what the file is made of.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::time::Duration;

use mlua::{BString, Lua, LuaString, Table, Value};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;

use super::super::host::Host;
use super::fake;
use super::wait::on_main;
use crate::base::duration::human;

const MOST_OUTPUT: u64 = 16 << 20;
/// After SIGTERM, before SIGKILL.
const GRACE: Duration = Duration::from_secs(5);
/// Of a command's own words in a message.
const LONGEST_LINE: usize = 300;
const OPTIONS: [&str; 7] = ["cwd", "env", "clear_env", "stdin", "timeout", "check", "max_output"];

/// What was asked for, as plain data.
struct Request {
    argv: Vec<OsString>,
    cwd: PathBuf,
    env: Vec<(OsString, Option<OsString>)>,
    clear_env: bool,
    stdin: Option<Vec<u8>>,
    timeout: Option<Duration>,
    check: bool,
    max_output: u64,
}

struct Answer {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

pub(super) fn register(lua: &Lua, host: &Rc<Host>, into: &Table) -> mlua::Result<()> {
    let process = lua.create_table()?;
    let h = host.clone();
    let run = lua.create_async_function(move |lua, (command, options): (Value, Option<Table>)| {
        let h = h.clone();
        async move {
            let request = request(&h, &command, options.as_ref()).map_err(|e| mlua::Error::runtime(format!("process.run: {e}")))?;
            let main = h.main.clone();
            let answer = match fake::ask(&lua, &h, "process", |lua| asked(lua, &request)).await? {
                Some(answer) => answered(&request, &answer)?,
                None => on_main(lua.clone(), h, "process.run", run(request, main)).await?,
            };
            let table = lua.create_table()?;
            table.raw_set("status", answer.status.code())?;
            table.raw_set("signal", answer.status.signal())?;
            table.raw_set("stdout", BString::from(answer.stdout))?;
            table.raw_set("stderr", BString::from(answer.stderr))?;
            Ok(table)
        }
    })?;
    process.raw_set("run", run)?;
    into.raw_set("process", process)
}

/// What is run, as a test looks at it.
fn asked(lua: &Lua, request: &Request) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let words: Vec<BString> = request.argv.iter().map(|word| BString::from(word.as_encoded_bytes())).collect();
    table.raw_set("argv", lua.create_sequence_from(words)?)?;
    table.raw_set("cwd", request.cwd.to_string_lossy())?;
    table.raw_set("clear_env", request.clear_env)?;
    table.raw_set("timeout", request.timeout.map(|t| t.as_secs_f64()))?;
    if let Some(stdin) = &request.stdin {
        table.raw_set("stdin", lua.create_string(stdin)?)?;
    }
    let env = lua.create_table()?;
    for (name, value) in &request.env {
        // Taken away: false, since nil would say nothing.
        let value = value.as_ref().map_or(Ok(Value::Boolean(false)), |v| lua.create_string(v.as_encoded_bytes()).map(Value::String))?;
        env.raw_set(BString::from(name.as_encoded_bytes()), value)?;
    }
    table.raw_set("env", env)?;
    Ok(table)
}

/// An answer as a test gives it.
fn answered(request: &Request, answer: &Table) -> mlua::Result<Answer> {
    fake::check_keys("fake.process", answer, &["status", "signal", "stdout", "stderr", "error"])?;
    let number = |name: &str| answer.raw_get::<Option<i32>>(name).map(|n| n.unwrap_or(0));
    let text = |name: &str| answer.raw_get::<Option<LuaString>>(name).map(|t| t.map_or(Vec::new(), |t| t.as_bytes().to_vec()));
    let status = ExitStatus::from_raw(((number("status")? & 0xff) << 8) | (number("signal")? & 0x7f));
    let answer = Answer { status, stdout: text("stdout")?, stderr: text("stderr")? };
    checked(request.check, &request.argv[0].to_string_lossy(), answer).map_err(|e| mlua::Error::runtime(format!("process.run: {e}")))
}

fn request(host: &Host, command: &Value, options: Option<&Table>) -> Result<Request, String> {
    let mut request = Request {
        argv: argv(command)?,
        cwd: host.folder.clone(),
        env: Vec::new(),
        clear_env: false,
        stdin: None,
        timeout: None,
        check: false,
        max_output: MOST_OUTPUT,
    };
    let Some(options) = options else { return Ok(request) };
    for pair in options.pairs::<Value, Value>() {
        let (key, value) = pair.map_err(|e| e.to_string())?;
        let name = key.as_string().map(LuaString::to_string_lossy).unwrap_or_else(|| format!("[{}]", key.type_name()));
        let wrong = |kind: &str| format!("'{name}' must be {kind}, got a {}", value.type_name());
        match (name.as_str(), &value) {
            (_, v) if v.is_null() => {}
            ("cwd", Value::String(text)) => request.cwd = host.folder.join(os(text)),
            ("cwd", _) => return Err(wrong("text")),
            ("env", Value::Table(table)) => request.env = environment(table)?,
            ("env", _) => return Err(wrong("a table of names and texts")),
            ("clear_env", Value::Boolean(b)) => request.clear_env = *b,
            ("check", Value::Boolean(b)) => request.check = *b,
            ("clear_env" | "check", _) => return Err(wrong("true or false")),
            ("stdin", Value::String(text)) => request.stdin = Some(text.as_bytes().to_vec()),
            ("stdin", _) => return Err(wrong("text")),
            ("timeout", value) => request.timeout = Some(super::seconds(value).map_err(|e| format!("'timeout' {e}"))?),
            ("max_output", Value::Integer(i)) if *i >= 0 => request.max_output = *i as u64,
            ("max_output", _) => return Err(wrong("a number of bytes")),
            _ => {
                let near = crate::base::suggest::nearest(&name, OPTIONS.iter().copied());
                let near = near.map(|n| format!(" (did you mean '{n}'?)")).unwrap_or_default();
                return Err(format!("unknown option '{name}'{near}"));
            }
        }
    }
    Ok(request)
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
                argv.push(word(&item).ok_or_else(|| format!("argument {i} must be text or a whole number, got a {}", item.type_name()))?);
            }
            argv
        }
        other => return Err(format!("needs a list of arguments or a text for the shell, got a {}", other.type_name())),
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
        let Value::String(name) = name else { return Err(format!("env: a name that is a {}", name.type_name())) };
        let shown = name.to_string_lossy();
        if name.as_bytes().is_empty() || name.as_bytes().contains(&b'=') {
            return Err(format!("env: {shown:?} is no name of a variable"));
        }
        let text = match &value {
            v if v.is_null() => None,
            v => Some(word(v).ok_or_else(|| format!("env: {shown} must be text or a whole number, got a {}", v.type_name()))?),
        };
        all.push((os(&name), text));
    }
    Ok(all)
}

async fn run(request: Request, main: Handle) -> Result<Answer, String> {
    if !request.cwd.is_dir() {
        return Err(format!("cwd: there is no folder {}", request.cwd.display()));
    }
    let shown = request.argv[0].to_string_lossy().into_owned();
    let mut command = Command::new(&request.argv[0]);
    command.args(&request.argv[1..]).current_dir(&request.cwd).process_group(0);
    command.stdin(if request.stdin.is_some() { Stdio::piped() } else { Stdio::null() }).stdout(Stdio::piped()).stderr(Stdio::piped());
    if request.clear_env {
        command.env_clear();
    }
    for (name, value) in &request.env {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let mut child = command.spawn().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => format!("there is no program '{shown}'"),
        _ => format!("'{shown}' could not be started: {e}"),
    })?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let mut group = Group::new(child, main);
    let limit = request.max_output;
    let work = async {
        let feed = async {
            if let (Some(mut pipe), Some(text)) = (stdin, request.stdin) {
                // A program may end without reading all of it.
                let _ = pipe.write_all(&text).await;
            }
            Ok(())
        };
        let (_, stdout, stderr) = tokio::try_join!(feed, collect(stdout, "stdout", limit), collect(stderr, "stderr", limit))?;
        let status = group.child.wait().await.map_err(|e| format!("could not be waited for: {e}"))?;
        Ok(Answer { status, stdout, stderr })
    };
    let answer = match request.timeout {
        None => work.await,
        Some(limit) => tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(format!("did not end within {}", human(limit)))),
    };
    let answer = answer.map_err(|e: String| format!("'{shown}' {e}"))?;
    group.over = true;
    checked(request.check, &shown, answer)
}

/// With `check` a failure is an error.
fn checked(check: bool, shown: &str, answer: Answer) -> Result<Answer, String> {
    if check && !answer.status.success() {
        let how = match (answer.status.code(), answer.status.signal()) {
            (Some(code), _) => format!("ended with status {code}"),
            (None, Some(signal)) => format!("was killed by signal {signal}"),
            (None, None) => "ended in an unknown way".into(),
        };
        return Err(format!("'{shown}' {how}{}", last_line(&answer.stderr)));
    }
    Ok(answer)
}

async fn collect(pipe: Option<impl AsyncRead + Unpin>, name: &str, limit: u64) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    let Some(pipe) = pipe else { return Ok(all) };
    pipe.take(limit.saturating_add(1)).read_to_end(&mut all).await.map_err(|e| format!("could not be read ({name}): {e}"))?;
    if all.len() as u64 > limit {
        return Err(format!("wrote more than {limit} bytes to {name} (max_output)"));
    }
    Ok(all)
}

fn last_line(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    match text.lines().map(str::trim).rfind(|line| !line.is_empty()) {
        Some(line) => format!(": {}", line.chars().take(LONGEST_LINE).collect::<String>()),
        None => String::new(),
    }
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
