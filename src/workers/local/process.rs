//! The run of one process: started, listened to, limited, killed if need be.
//!
//! One loop waits for everything at once. It reads from the process only while the outbox is empty, and looks at its limits
//! whatever the reader of the updates does. It never lives longer than the process by more than the moment that others may
//! hold the output open. Abandoned (its future dropped), it kills what it started.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::future::pending;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::header::{environment, header, python_command};
use super::kill::{Group, Groups, Ladder, Measure, signal};
use super::lines::Lines;
use super::logfiles::{INTERVAL, LogFiles};
use super::outbox::Outbox;
use super::streams::{STDERR, STDOUT, Streams};
use super::{pty, reason};
use crate::lua::processes::OWNER;
use crate::wire::{CommandArg, ShellArgs, Update};

/// How long the output may stay open after the process has ended.
const GRACE: Duration = Duration::from_secs(1);
/// How long silence lasts before what is left in a pipe counts as read.
const SILENCE: Duration = Duration::from_millis(100);
/// After a small read, how long the program may write before the next: many small lines cost one read, not one each.
const REST: Duration = Duration::from_millis(2);
const SMALL_READ: usize = 4 << 10;
/// What a pipe may hold at most, with the system's usual limit.
const MOST_IN_PIPE: usize = 1 << 20;
/// The longest limit, in seconds: ten years are as good as more.
const LONGEST: f64 = 10.0 * 365.0 * 86400.0;
/// How often the watched files are read again at the end, against one that grows for ever.
const MOST_LOOKS: usize = 4096;

type Reader = Box<dyn AsyncRead + Send + Unpin>;
type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// Where and under which conditions processes run.
#[derive(Clone)]
pub struct Surroundings {
    pub environ: BTreeMap<String, String>,
    /// What this process has in its environment besides, and hands to none.
    pub private: Arc<[OsString]>,
    /// The mark of who answers for them.
    pub owner: Option<OsString>,
    pub groups: Groups,
    /// The master wants the command stopped.
    pub interrupted: CancellationToken,
}

pub enum Ended {
    /// The exit status, and lines without an end that go out last.
    Rc(i64, Vec<Update>),
    /// Nothing could be started, or it cannot be stopped; the reason for people.
    Failed(String, Vec<Update>),
}

/// Run a command in a folder, which is made if it is missing. `report_rc`: the exit status is an update of its own.
pub async fn run(args: &ShellArgs, workdir: &Path, around: &Surroundings, out: &mut Outbox, report_rc: bool) -> Ended {
    let interrupt_signal = match signal(&args.interrupt_signal) {
        Ok(signal) => signal,
        Err(e) => return Ended::Failed(e, Vec::new()),
    };
    if let Err(e) = tokio::fs::create_dir_all(workdir).await {
        let text = format!("cannot create the folder '{}': {}", workdir.display(), reason(&e));
        out.push(Update::Stderr(format!("{text}\n").into()));
        return Ended::Failed(text, Vec::new());
    }
    let env = environment(&around.environ, &args.env, workdir);
    out.header(header(args, workdir, &env));
    let logs = LogFiles::new(&args.logfiles, workdir);
    let started = Instant::now();
    let limit = |seconds: Option<f64>| seconds.filter(|s| *s > 0.0).map(|s| Duration::from_secs_f64(s.min(LONGEST)));
    let (mut child, pipes) = match spawn(args, workdir, &env, around) {
        Ok(spawned) => spawned,
        Err(e) => return not_started(args, &e, started, out, report_rc),
    };
    let group = child.id().and_then(|id| around.groups.add(id));
    let _feeder = feed(pipes.stdin, args);
    let run = Run {
        args,
        around,
        out,
        streams: Streams::new(args),
        logs: Some(logs).filter(|_| !args.logfiles.is_empty()),
        readers: [pipes.stdout, pipes.stderr],
        rest: [None; 2],
        group,
        ladder: Ladder::new(limit(args.sigterm_time), interrupt_signal),
        interrupt_seen: false,
        exited: None,
        idle_limit: limit(args.timeout),
        heard: started,
        total_at: limit(args.max_time).and_then(|l| started.checked_add(l)),
        look_at: (!args.logfiles.is_empty()).then(|| started + INTERVAL),
        close_at: None,
        draining: None,
        unkillable: false,
    };
    run.follow(&mut child, started, report_rc).await
}

struct Pipes {
    stdin: Option<Writer>,
    stdout: Option<Reader>,
    stderr: Option<Reader>,
}

fn spawn(args: &ShellArgs, workdir: &Path, env: &BTreeMap<String, String>, around: &Surroundings) -> io::Result<(Child, Pipes)> {
    let own = &around.environ;
    let words: Vec<&str> = match &args.command {
        CommandArg::Shell(line) => vec!["/bin/sh", "-c", line],
        CommandArg::Words(words) => words.iter().map(String::as_str).collect(),
        CommandArg::Obfuscated(words) => words.iter().map(|(real, _)| real.as_str()).collect(),
    };
    let (program, rest) = words.split_first().ok_or_else(|| io::Error::other("the command is empty"))?;
    let mut command = Command::new(program);
    command.args(rest).current_dir(workdir);
    // Only differences: an unchanged PATH lets the program be started without copying this process.
    command.envs(env.iter().filter(|(name, value)| own.get(*name) != Some(*value)));
    for name in own.keys().filter(|name| !env.contains_key(*name)) {
        command.env_remove(name);
    }
    for name in around.private.iter().filter(|name| name.to_str().is_none_or(|name| !env.contains_key(name))) {
        command.env_remove(name);
    }
    if let Some(owner) = around.owner.as_ref().filter(|_| !env.contains_key(OWNER)) {
        command.env(OWNER, owner);
    }
    if args.use_pty {
        let (reader, writer) = pty::attach(&mut command)?;
        let child = command.spawn()?;
        return Ok((child, Pipes { stdin: Some(Box::new(writer)), stdout: Some(Box::new(reader)), stderr: None }));
    }
    command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.stdin(if args.initial_stdin.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command.spawn()?;
    let pipes = Pipes {
        stdin: child.stdin.take().map(|pipe| Box::new(pipe) as Writer),
        stdout: child.stdout.take().map(|pipe| Box::new(pipe) as Reader),
        stderr: child.stderr.take().map(|pipe| Box::new(pipe) as Reader),
    };
    Ok((child, pipes))
}

/// A missing program is a failure of the command; a system that can start nothing is one of the worker.
fn not_started(args: &ShellArgs, e: &io::Error, started: Instant, out: &mut Outbox, report_rc: bool) -> Ended {
    use nix::libc::{EAGAIN, EMFILE, ENFILE, ENOMEM};
    let program = match &args.command {
        CommandArg::Shell(_) => "/bin/sh",
        CommandArg::Words(words) => words.first().map_or("", String::as_str),
        CommandArg::Obfuscated(words) => words.first().map_or("", |(_, shown)| shown.as_str()),
    };
    let text = format!("cannot run '{program}': {}", reason(e));
    out.push(Update::Stderr(format!("{text}\n").into()));
    if matches!(e.raw_os_error(), Some(EAGAIN | EMFILE | ENFILE | ENOMEM)) {
        return Ended::Failed(text, Vec::new());
    }
    tell_end(out, 1, report_rc, started);
    Ended::Rc(1, Vec::new())
}

fn tell_end(out: &mut Outbox, rc: i64, report_rc: bool, started: Instant) {
    if report_rc {
        out.push(Update::Rc(rc));
    }
    out.header(format!("elapsedTime={:.6}\n", started.elapsed().as_secs_f64()));
}

/// Write what the command is to read, beside everything else.
fn feed(stdin: Option<Writer>, args: &ShellArgs) -> Option<AbortOnDropHandle<()>> {
    let (mut stdin, text, use_pty) = (stdin?, args.initial_stdin.clone(), args.use_pty);
    Some(AbortOnDropHandle::new(tokio::spawn(async move {
        if let Some(text) = text {
            // A program that does not read to the end is in its right.
            let _ = stdin.write_all(text.as_bytes()).await;
            if use_pty {
                let _ = stdin.write_all(b"\x04").await;
            }
        }
        if use_pty {
            // A terminal that is closed would hang up on the program.
            pending::<()>().await;
        }
    })))
}

struct Run<'a> {
    args: &'a ShellArgs,
    around: &'a Surroundings,
    out: &'a mut Outbox,
    streams: Streams,
    logs: Option<LogFiles>,
    readers: [Option<Reader>; 2],
    /// Until when a stream is left alone.
    rest: [Option<Instant>; 2],
    group: Option<Group>,
    ladder: Ladder,
    interrupt_seen: bool,
    exited: Option<ExitStatus>,
    idle_limit: Option<Duration>,
    heard: Instant,
    total_at: Option<Instant>,
    look_at: Option<Instant>,
    /// The process has ended: when its output is closed, whoever holds it.
    close_at: Option<Instant>,
    /// How much more is read of what others left in the pipes.
    draining: Option<usize>,
    /// Even KILL did not end it.
    unkillable: bool,
}

impl Run<'_> {
    async fn follow(mut self, child: &mut Child, started: Instant, report_rc: bool) -> Ended {
        let timer = tokio::time::sleep_until(started);
        tokio::pin!(timer);
        loop {
            let now = Instant::now();
            self.limits(now);
            self.streams.flush_due(now, self.out);
            let all_read = self.exited.is_some() && self.readers.iter().all(Option::is_none);
            if self.unkillable || all_read {
                break;
            }
            if self.look_at.is_some_and(|at| at <= now) && self.out.is_empty() {
                self.look().await;
            }
            let next = self.next_event(now);
            if timer.deadline() != next {
                timer.as_mut().reset(next);
            }
            let may_read = self.out.is_empty();
            let may = [0, 1].map(|i| may_read && self.readers[i].is_some() && self.rest[i].is_none());
            let [stdout, stderr] = &mut self.readers;
            let (stdout_lines, stderr_lines) = self.streams.pair();
            tokio::select! {
                () = self.around.interrupted.cancelled(), if !self.interrupt_seen => {
                    self.interrupt_seen = true;
                    self.kill(None, "\ncommand interrupted, attempting to kill\n");
                }
                status = child.wait(), if self.exited.is_none() => self.ended(status),
                () = self.out.pump(), if !may_read => self.passed_on(),
                read = read(stdout, stdout_lines), if may[STDOUT] => self.heard_from(STDOUT, read),
                read = read(stderr, stderr_lines), if may[STDERR] => self.heard_from(STDERR, read),
                () = &mut timer => {}
            }
        }
        self.close(started, report_rc).await
    }

    /// Do what is due.
    fn limits(&mut self, now: Instant) {
        for rest in &mut self.rest {
            rest.take_if(|until| *until <= now);
        }
        let command = || python_command(&self.args.command);
        if let Some(limit) = self.idle_at().filter(|at| *at <= now).and(self.args.timeout) {
            let text = format!("\ncommand timed out: {limit} seconds without output running {}, attempting to kill\n", command());
            self.kill(Some("timeout_without_output"), &text);
        } else if let Some(limit) = self.total_at.filter(|at| *at <= now).and(self.args.max_time) {
            self.total_at = None;
            let text = format!("\ncommand timed out: {limit} seconds elapsed running {}, attempting to kill\n", command());
            self.kill(Some("timeout"), &text);
        }
        match self.ladder.due(now) {
            None => {}
            Some(Measure::Send(signal)) => {
                if let Some(group) = &self.group {
                    group.send(signal);
                }
                if signal == Signal::SIGKILL && self.exited.is_some() {
                    self.drain(now);
                }
            }
            Some(Measure::GiveUp) if self.exited.is_some() => self.drain(now),
            Some(Measure::GiveUp) => self.unkillable = true,
        }
        if self.close_at.is_some_and(|at| at <= now) {
            match self.draining {
                None => {
                    self.streams.flush(self.out);
                    self.out.header("\nprocesses left in the background held the output open, attempting to kill\n");
                    if let Some(group) = &self.group {
                        group.send(Signal::SIGKILL);
                    }
                    self.drain(now);
                }
                Some(_) if self.out.is_empty() => self.readers = [None, None],
                Some(_) => {}
            }
        }
    }

    /// When silence has lasted too long; while the reader of the updates is behind, silence is not the command's fault.
    fn idle_at(&self) -> Option<Instant> {
        let counts = !self.ladder.begun() && self.exited.is_none() && self.out.is_empty();
        self.idle_limit.filter(|_| counts).and_then(|limit| self.heard.checked_add(limit))
    }

    fn next_event(&self, now: Instant) -> Instant {
        let empty = self.out.is_empty();
        let close_at = self.close_at.filter(|_| empty || self.draining.is_none());
        let times = [
            self.idle_at(),
            self.total_at,
            self.ladder.at(),
            close_at,
            self.look_at.filter(|_| empty),
            self.streams.flush_at(),
            self.rest[0],
            self.rest[1],
        ];
        times.into_iter().flatten().min().unwrap_or(now + Duration::from_secs(3600))
    }

    /// Begin to kill, unless that is under way or the process has ended.
    fn kill(&mut self, failure_reason: Option<&str>, text: &str) {
        if self.ladder.begun() || self.exited.is_some() {
            return;
        }
        self.streams.flush(self.out);
        if let Some(reason) = failure_reason {
            self.out.push(Update::FailureReason(reason.into()));
        }
        self.out.header(text);
        self.ladder.begin(Instant::now());
    }

    fn ended(&mut self, status: io::Result<ExitStatus>) {
        let now = Instant::now();
        self.exited = Some(status.unwrap_or_else(|e| {
            tracing::warn!(error = %e, "the exit status of a command cannot be learnt");
            ExitStatus::from_raw(1 << 8)
        }));
        self.rest = [None; 2];
        if !self.ladder.begun() {
            self.close_at = now.checked_add(GRACE);
        } else if matches!(self.ladder.last(), Some(Measure::Send(Signal::SIGKILL))) {
            self.drain(now);
        }
    }

    /// From now on only what is in the pipes already is read.
    fn drain(&mut self, now: Instant) {
        self.draining.get_or_insert(MOST_IN_PIPE);
        self.close_at = Some(now + SILENCE);
    }

    fn passed_on(&mut self) {
        let now = Instant::now();
        self.heard = now;
        if self.draining.is_some() {
            self.close_at = Some(now + SILENCE);
        }
    }

    fn heard_from(&mut self, stream: usize, read: io::Result<usize>) {
        let now = Instant::now();
        let count = read.unwrap_or(0);
        if count == 0 {
            self.readers[stream] = None;
            return;
        }
        self.heard = now;
        if let Some(lines) = self.streams.too_many_lines(stream, count)
            && let Some(allowed) = self.args.max_lines
        {
            let command = python_command(&self.args.command);
            let text = format!("\ncommand exceeds max lines: {lines}/{allowed} written/allowed running {command}, attempting to kill\n");
            self.kill(Some("max_lines_failure"), &text);
        }
        self.streams.came(stream, now, self.out);
        if let Some(left) = &mut self.draining {
            *left = left.saturating_sub(count);
            self.close_at = Some(if *left == 0 { now } else { now + SILENCE });
        } else if count < SMALL_READ && self.exited.is_none() {
            self.rest[stream] = Some(now + REST);
        }
    }

    /// Look at the watched files; true if there is more to be read at once.
    async fn look(&mut self) -> bool {
        // Without an answer the files are not looked at again.
        self.look_at = None;
        let Some(mut logs) = self.logs.take() else { return false };
        let looked = tokio::task::spawn_blocking(move || {
            let news = logs.look();
            (logs, news)
        });
        let Ok((logs, news)) = looked.await else { return false };
        self.logs = Some(logs);
        let now = Instant::now();
        for (number, text) in news.texts {
            self.heard = now;
            self.streams.log(number, &text, now, self.out);
        }
        self.look_at = Some(if news.more { now } else { now + INTERVAL });
        news.more
    }

    async fn close(mut self, started: Instant, report_rc: bool) -> Ended {
        for _ in 0..MOST_LOOKS {
            let more = self.look().await;
            while more && !self.out.is_empty() {
                self.out.pump().await;
            }
            if !more {
                break;
            }
        }
        self.streams.flush(self.out);
        let killed = self.ladder.begun();
        if let Some(group) = self.group.take()
            && !killed
        {
            group.release();
        }
        if self.unkillable {
            self.out.header("SIGKILL failed to kill process\nusing fake rc=-1\n");
            if report_rc {
                self.out.push(Update::Rc(-1));
            }
            return Ended::Failed("SIGKILL failed to kill process".into(), self.streams.finish());
        }
        let status = self.exited.unwrap_or_default();
        if let Some(signal) = status.signal() {
            self.out.header(format!("process killed by signal {signal}\n"));
        }
        let rc = match status.code() {
            Some(0) if killed => -1,
            Some(code) => i64::from(code),
            None => -1,
        };
        tell_end(self.out, rc, report_rc, started);
        Ended::Rc(rc, self.streams.finish())
    }
}

async fn read(reader: &mut Option<Reader>, lines: &mut Lines) -> io::Result<usize> {
    match reader {
        Some(reader) => reader.read_buf(lines.space()).await,
        None => pending().await,
    }
}
