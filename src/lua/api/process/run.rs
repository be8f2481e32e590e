//! `process.run`: a program to its end, in a process group of its own that ends with the call. It never leaves a zombie, and runs under
//! `checkconfig` too: what it gives is often what the file is made of.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::time::Duration;

use mlua::{BString, Lua, LuaString, Table, Value};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Handle;

use super::super::super::host::Host;
use super::super::fake;
use super::super::wait::on_main;
use super::{Group, Program, options};
use crate::base::duration::human;

const MOST_OUTPUT: u64 = 16 << 20;
/// Of a command's own words in a message.
const LONGEST_LINE: usize = 300;
const OPTIONS: &[&str] = &["stdin", "timeout", "check", "max_output"];

/// What was asked for, as plain data.
struct Request {
    program: Program,
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

pub(super) fn register(lua: &Lua, host: &Rc<Host>, process: &Table) -> mlua::Result<()> {
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
            let table = status(&lua, answer.status)?;
            table.raw_set("stdout", BString::from(answer.stdout))?;
            table.raw_set("stderr", BString::from(answer.stderr))?;
            Ok(table)
        }
    })?;
    process.raw_set("run", run)
}

/// What is run, as a test looks at it.
fn asked(lua: &Lua, request: &Request) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let program = &request.program;
    let words: Vec<BString> = program.argv.iter().map(|word| BString::from(word.as_encoded_bytes())).collect();
    table.raw_set("argv", lua.create_sequence_from(words)?)?;
    table.raw_set("cwd", program.cwd.to_string_lossy())?;
    table.raw_set("clear_env", program.clear_env)?;
    table.raw_set("timeout", request.timeout.map(|t| t.as_secs_f64()))?;
    if let Some(stdin) = &request.stdin {
        table.raw_set("stdin", lua.create_string(stdin)?)?;
    }
    let env = lua.create_table()?;
    for (name, value) in &program.env {
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
    checked(request.check, &request.program.shown(), answer).map_err(|e| mlua::Error::runtime(format!("process.run: {e}")))
}

/// How a program ended.
pub(super) fn status(lua: &Lua, status: ExitStatus) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("status", status.code())?;
    table.raw_set("signal", status.signal())?;
    Ok(table)
}

fn request(host: &Host, command: &Value, given: Option<&Table>) -> Result<Request, String> {
    let program = Program::new(host, command)?;
    let mut request = Request { program, stdin: None, timeout: None, check: false, max_output: MOST_OUTPUT };
    let Request { program, stdin, timeout, check, max_output } = &mut request;
    options(host, program, given, OPTIONS, |name, value, wrong| {
        match (name, value) {
            ("check", Value::Boolean(b)) => *check = *b,
            ("check", _) => return Err(wrong("true or false")),
            ("stdin", Value::String(text)) => *stdin = Some(text.as_bytes().to_vec()),
            ("stdin", _) => return Err(wrong("text")),
            ("timeout", value) => *timeout = Some(super::super::seconds(value).map_err(|e| format!("'timeout' {e}"))?),
            ("max_output", Value::Integer(i)) if *i >= 0 => *max_output = *i as u64,
            _ => return Err(wrong("a number of bytes")),
        }
        Ok(())
    })?;
    Ok(request)
}

async fn run(request: Request, main: Handle) -> Result<Answer, String> {
    let shown = request.program.shown();
    let mut command = request.program.command()?;
    command.stdin(if request.stdin.is_some() { Stdio::piped() } else { Stdio::null() }).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| request.program.not_started(&e))?;
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
