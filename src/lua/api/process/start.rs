//! `process.start`: a program that goes on while its caller does other things. It ends with the configuration that started it, unless it
//! is detached: then it outlives the master, and is found again by `process.find`. Nobody waits for what it writes unless asked to.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mlua::{AnyUserData, Lua, LuaString, Table, UserData, UserDataFields, UserDataMethods, UserDataRef, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::{Mutex, Semaphore, watch};

use super::super::super::host::Host;
use super::super::stream::{NextPiece, Source, Stream};
use super::super::wait::on_main;
use super::super::{args, fake};
use super::table::signal;
use super::{Group, Program, options};
use crate::lua::processes::{self, Known, OWNER};

/// Started by one configuration and not ended.
const MOST_RUNNING: usize = 1000;
const PIECE: usize = 64 << 10;
const OPTIONS: &[&str] = &["stdin", "stdout", "stderr", "detached"];

/// What is done with one of its three streams.
#[derive(Clone, PartialEq)]
enum End {
    Null,
    Pipe,
    File(PathBuf),
    /// Where its output goes.
    Stdout,
}

struct Request {
    program: Program,
    stdin: End,
    stdout: End,
    stderr: End,
    detached: bool,
    /// Of the configuration.
    folder: PathBuf,
}

/// A program that was started, for as long as it runs.
struct Started {
    known: Known,
    ended: watch::Receiver<Option<ExitStatus>>,
    stdin: Option<pipe::Sender>,
    stdout: Option<pipe::Receiver>,
    stderr: Option<pipe::Receiver>,
}

/// What a configuration's programs hang on.
struct Owner {
    /// Closed when the configuration is gone.
    lives: watch::Sender<()>,
    room: Arc<Semaphore>,
}

pub(super) fn register(lua: &Lua, host: &Rc<Host>, process: &Table) -> mlua::Result<()> {
    prepare(lua, host)?;
    let owner = Rc::new(Owner { lives: watch::Sender::new(()), room: Arc::new(Semaphore::new(MOST_RUNNING)) });
    let h = host.clone();
    let start = lua.create_async_function(move |lua, (command, given): (Value, Option<Table>)| {
        let (h, owner) = (h.clone(), owner.clone());
        async move {
            let request = request(&h, &command, given.as_ref()).map_err(|e| mlua::Error::runtime(format!("process.start: {e}")))?;
            let shown = request.program.shown();
            fake::gate(&h).await?;
            if fake::stands_in(&lua, "process") {
                return Err(mlua::Error::runtime(format!("process.start: fake.process answers process.run only, not '{shown}'")));
            }
            let (lives, room, main) = (owner.lives.subscribe(), owner.room.clone(), h.main.clone());
            let started = on_main(lua.clone(), h.clone(), "process.start", async move {
                let room = room.try_acquire_owned().map_err(|_| format!("{MOST_RUNNING} programs run already"))?;
                let (group, started, ended) = launch(&request, main)?;
                let detached = request.detached;
                tokio::spawn(async move {
                    supervise(group, detached, lives, ended).await;
                    drop(room);
                });
                Ok(started)
            })
            .await?;
            Process::new(&lua, &h, &shown, started)
        }
    })?;
    process.raw_set("start", start)
}

/// Functions that wait can only be made before the file is evaluated; those of an object are made with the first of its kind.
fn prepare(lua: &Lua, host: &Rc<Host>) -> mlua::Result<()> {
    lua.create_userdata(Input { pipe: Arc::default(), host: host.clone(), what: "".into() })?;
    let known = Known { pid: i32::MAX, started: String::new() };
    let none = Process { known, ended: watch::channel(None).1, host: host.clone(), stdin: None, stdout: None, stderr: None };
    lua.create_userdata(none).map(drop)
}

fn request(host: &Host, command: &Value, given: Option<&Table>) -> Result<Request, String> {
    let program = Program::new(host, command)?;
    let folder = host.folder.clone();
    let mut request = Request { program, stdin: End::Null, stdout: End::Null, stderr: End::Null, detached: false, folder };
    let Request { program, stdin, stdout, stderr, detached, .. } = &mut request;
    options(host, program, given, OPTIONS, |name, value, wrong| {
        let text = value.as_string().map(LuaString::to_string_lossy);
        match (name, text.as_deref()) {
            ("detached", _) => *detached = value.as_boolean().ok_or_else(|| wrong("true or false"))?,
            ("stdin", Some("pipe")) => *stdin = End::Pipe,
            ("stdin", Some("null")) => *stdin = End::Null,
            ("stdin", _) => return Err("'stdin' must be \"pipe\" or \"null\"".into()),
            (name, Some(to)) => {
                let end = match (to, name) {
                    ("pipe", _) => End::Pipe,
                    ("null", _) => End::Null,
                    ("stdout", "stderr") => End::Stdout,
                    ("", _) => return Err(wrong("\"pipe\", \"null\" or the name of a file")),
                    (file, _) => End::File(host.folder.join(file)),
                };
                if name == "stdout" { *stdout = end } else { *stderr = end }
            }
            _ => return Err(wrong("\"pipe\", \"null\" or the name of a file")),
        }
        Ok(())
    })?;
    if *detached && host.loading() && !host.script.get() {
        // Each load of the file would leave one more.
        return Err("a detached program can't be started while the file is evaluated, only in callbacks".into());
    }
    Ok(request)
}

fn launch(request: &Request, main: tokio::runtime::Handle) -> Result<(Group, Started, watch::Sender<Option<ExitStatus>>), String> {
    let mut command = request.program.command()?;
    // If this process is killed, nobody else ends it: whoever comes next finds it by that.
    if let Some(mark) = processes::owned_in(&request.folder).filter(|_| !request.detached && !request.program.sets(OWNER)) {
        command.env(OWNER, mark);
    }
    let (stdin, feeds) = match request.stdin {
        End::Pipe => pipe().map(|(reader, writer)| (Stdio::from(reader), Some(writer)))?,
        _ => (Stdio::null(), None),
    };
    let (stdout, output) = target("stdout", &request.stdout)?;
    let (stderr, errors) = match &request.stderr {
        End::Stdout => (stdout.as_ref().map(OwnedFd::try_clone).transpose().map_err(|e| e.to_string())?, None),
        other => target("stderr", other)?,
    };
    let or_null = |fd: Option<OwnedFd>| fd.map_or_else(Stdio::null, Stdio::from);
    command.stdin(stdin).stdout(or_null(stdout)).stderr(or_null(stderr));
    let child = command.spawn().map_err(|e| request.program.not_started(&e))?;
    // The ends that are the program's are closed here, or their other ends would never see the end.
    drop(command);
    let mut group = Group::new(child, main);
    let known = group.id.and_then(|pid| Known::of(pid.as_raw())).ok_or("the kernel tells nothing of the process (/proc)")?;
    let unusable = |e: io::Error| format!("a pipe is of no use: {e}");
    let receiver = |reader: PipeReader| pipe::Receiver::from_owned_fd(reader.into()).map_err(unusable);
    let (tell, ended) = watch::channel(None);
    let started = Started {
        known,
        ended,
        stdin: feeds.map(|writer: PipeWriter| pipe::Sender::from_owned_fd(writer.into()).map_err(unusable)).transpose()?,
        stdout: output.map(receiver).transpose()?,
        stderr: errors.map(receiver).transpose()?,
    };
    // From here on it belongs to itself.
    group.over = request.detached;
    Ok((group, started, tell))
}

fn pipe() -> Result<(PipeReader, PipeWriter), String> {
    io::pipe().map_err(|e| format!("there is no pipe to be had: {e}"))
}

/// Where the program writes to, and where that can be read.
fn target(name: &str, end: &End) -> Result<(Option<OwnedFd>, Option<PipeReader>), String> {
    match end {
        End::Null | End::Stdout => Ok((None, None)),
        End::Pipe => pipe().map(|(reader, writer)| (Some(writer.into()), Some(reader))),
        End::File(path) => {
            let file = File::options().create(true).append(true).open(path);
            file.map(|file| (Some(file.into()), None)).map_err(|e| format!("{name}: {}: {e}", path.display()))
        }
    }
}

/// Waits for its end, so that no zombie is left; ends it when its configuration is gone.
async fn supervise(mut group: Group, detached: bool, mut lives: watch::Receiver<()>, ended: watch::Sender<Option<ExitStatus>>) {
    let status = if detached {
        group.child.wait().await
    } else {
        tokio::select! {
            status = group.child.wait() => status,
            _ = lives.changed() => return,
        }
    };
    group.over = true;
    // An error would say that somebody else has waited for it: it is gone just as well.
    ended.send_replace(Some(status.unwrap_or_default()));
}

/// What Lua holds of a program.
pub(super) struct Process {
    pub known: Known,
    ended: watch::Receiver<Option<ExitStatus>>,
    host: Rc<Host>,
    stdin: Option<AnyUserData>,
    stdout: Option<AnyUserData>,
    stderr: Option<AnyUserData>,
}

impl Process {
    fn new(lua: &Lua, host: &Rc<Host>, shown: &str, started: Started) -> mlua::Result<Process> {
        let output = |pipe: Option<pipe::Receiver>, name: &str| {
            let stream = |pipe| Stream::new(host, &format!("'{shown}' ({name})"), Box::new(Output(pipe)));
            pipe.map(|pipe| lua.create_userdata(stream(pipe))).transpose()
        };
        let input = |pipe| Input { pipe: Arc::new(Mutex::new(Some(pipe))), host: host.clone(), what: format!("'{shown}' (stdin)").into() };
        Ok(Process {
            known: started.known,
            ended: started.ended,
            host: host.clone(),
            stdin: started.stdin.map(|pipe| lua.create_userdata(input(pipe))).transpose()?,
            stdout: output(started.stdout, "stdout")?,
            stderr: output(started.stderr, "stderr")?,
        })
    }
}

impl UserData for Process {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_field_method_get("pid", |_, this| Ok(this.known.pid));
        fields.add_field_method_get("started", |_, this| Ok(this.known.started.clone()));
        fields.add_field_method_get("stdin", |_, this| Ok(this.stdin.clone()));
        fields.add_field_method_get("stdout", |_, this| Ok(this.stdout.clone()));
        fields.add_field_method_get("stderr", |_, this| Ok(this.stderr.clone()));
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_async_method("wait", |lua, this: UserDataRef<Process>, limit: Value| async move {
            let limit = match &limit {
                value if args::absent(value) => Duration::MAX,
                value => super::super::seconds(value).map_err(|e| mlua::Error::runtime(format!("process:wait: the time {e}")))?,
            };
            let (mut ended, h) = (this.ended.clone(), this.host.clone());
            let status = on_main(lua.clone(), h, "process:wait", async move {
                match tokio::time::timeout(limit, ended.wait_for(Option::is_some)).await {
                    Ok(Ok(status)) => Ok(*status),
                    Ok(Err(_)) => Err("the master is stopping".into()),
                    Err(_) => Ok(None),
                }
            })
            .await?;
            status.map(|status| super::run::status(&lua, status)).transpose()
        });
        methods.add_method("kill", |_, this, name: Value| {
            let signal = signal("process:kill", &name)?;
            if this.ended.borrow().is_some() {
                return Ok(false);
            }
            this.known.signal(signal).map_err(|e| mlua::Error::runtime(format!("process:kill: {e}")))
        });
    }
}

struct Output(pipe::Receiver);

impl Source for Output {
    fn next(&mut self) -> NextPiece<'_> {
        Box::pin(async move {
            let mut piece = Vec::with_capacity(PIECE);
            let n = self.0.read_buf(&mut piece).await.map_err(|e| format!("could not be read: {e}"))?;
            Ok(Some(piece).filter(|_| n > 0))
        })
    }
}

/// What a program reads.
struct Input {
    pipe: Arc<Mutex<Option<pipe::Sender>>>,
    host: Rc<Host>,
    what: Rc<str>,
}

impl UserData for Input {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_async_method("write", |lua, this: UserDataRef<Input>, text: LuaString| async move {
            let (pipe, text) = (this.pipe.clone(), text.as_bytes().to_vec());
            on_main(lua, this.host.clone(), &this.what, async move {
                let mut pipe = pipe.lock().await;
                let pipe = pipe.as_mut().ok_or("is closed")?;
                pipe.write_all(&text).await.map_err(|e| match e.kind() {
                    io::ErrorKind::BrokenPipe => "the program reads no more".to_owned(),
                    _ => format!("could not be written: {e}"),
                })
            })
            .await
        });
        methods.add_async_method("close", |lua, this: UserDataRef<Input>, ()| async move {
            let pipe = this.pipe.clone();
            on_main(lua, this.host.clone(), &this.what, async move {
                pipe.lock().await.take();
                Ok(())
            })
            .await
        });
    }
}
