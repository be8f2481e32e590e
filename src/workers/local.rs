//! The local worker: a link that carries the commands out itself, in folders on this machine.
//!
//! What it says and in which order is what a stock remote worker says, so nothing above can tell the two apart. Two things
//! are better: output arrives within a tenth of a second, and a command that ignores its signal is killed in the end.
//! Its tests are in `local/tests.rs`.

mod files;
mod glob;
mod header;
mod kill;
mod lines;
mod logfiles;
mod outbox;
mod process;
mod pty;
mod streams;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::future::ready;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::kill::Groups;
use self::outbox::Outbox;
use self::process::{Ended, Surroundings};
use super::link::{BoxFuture, CommandEvent, Link, RunningCommand};
use crate::lua::processes::OWNER;
use crate::model::WorkerInfo;
use crate::wire::commands::missing_args;
use crate::wire::{Arg, Command, CommandArg, CommandEnd, ShellArgs, Update};

/// Why a line is gone after the local worker was asked to end.
pub const SHUT_DOWN: &str = "the local worker was shut down";

/// What it can do, with the arguments without which a command is refused.
const COMMANDS: [(&str, &[&str]); 8] = [
    ("shell", &["workdir", "command"]),
    ("mkdir", &["dir"]),
    ("rmdir", &["dir"]),
    ("cpdir", &["fromdir", "todir"]),
    ("stat", &["file"]),
    ("glob", &["path"]),
    ("listdir", &["dir"]),
    ("rmfile", &["path"]),
];
/// The version of the commands as stock workers count it.
const COMMANDS_VERSION: &str = "3.3";
/// Updates that may wait for the reader.
const CHANNEL: usize = 16;

/// How names of variables of this process begin that the programs of local workers do not have; it may change while they run.
pub type Private = Arc<Mutex<Vec<String>>>;

pub struct LocalLink {
    basedir: PathBuf,
    private: Private,
    /// The mark of its programs; see [`OWNER`].
    owner: Option<OsString>,
    builders: Mutex<HashMap<String, Builder>>,
    groups: Groups,
    /// Cancelled when the line is cut; each builder has a child of it.
    line: CancellationToken,
    why: Arc<Mutex<String>>,
}

struct Builder {
    folder: PathBuf,
    gone: CancellationToken,
}

impl LocalLink {
    /// A worker whose builders' folders are in `basedir`.
    pub fn new(basedir: PathBuf) -> Arc<LocalLink> {
        LocalLink::without(basedir, Private::default(), None)
    }

    /// The same, without the private variables; its programs are marked as those of `owner`.
    pub fn without(basedir: PathBuf, private: Private, owner: Option<OsString>) -> Arc<LocalLink> {
        Arc::new(LocalLink {
            basedir: std::path::absolute(&basedir).unwrap_or(basedir),
            private,
            owner,
            builders: Mutex::default(),
            groups: Groups::default(),
            line: CancellationToken::new(),
            why: Arc::default(),
        })
    }

    /// What a worker says of itself when it attaches.
    pub fn info(&self) -> WorkerInfo {
        let release = std::fs::read_to_string("/etc/os-release").or_else(|_| std::fs::read_to_string("/usr/lib/os-release"));
        WorkerInfo {
            files: os_facts(&release.unwrap_or_default()),
            version: env!("CARGO_PKG_VERSION").into(),
            system: "posix".into(),
            basedir: self.basedir.display().to_string(),
            numcpus: std::thread::available_parallelism().ok().and_then(|n| i64::try_from(n.get()).ok()),
            environ: self.environment().0,
            commands: COMMANDS.iter().map(|(name, _)| ((*name).to_owned(), COMMANDS_VERSION.to_owned())).collect(),
            delete_leftover_dirs: false,
        }
    }

    /// What its programs have of this process's environment, and the names of what they do not.
    fn environment(&self) -> (BTreeMap<String, String>, Arc<[OsString]>) {
        let private = self.private.lock().unwrap_or_else(PoisonError::into_inner);
        let hidden = |name: &OsString| name == OWNER || private.iter().any(|p| name.as_encoded_bytes().starts_with(p.as_bytes()));
        let (hidden, shown): (Vec<_>, Vec<_>) = std::env::vars_os().partition(|(name, _)| hidden(name));
        let shown = shown.into_iter().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        (shown.collect(), hidden.into_iter().map(|(name, _)| name).collect())
    }

    fn builders(&self) -> MutexGuard<'_, HashMap<String, Builder>> {
        self.builders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut(&self, why: &str) {
        {
            let mut reason = self.why.lock().unwrap_or_else(PoisonError::into_inner);
            if reason.is_empty() {
                why.clone_into(&mut reason);
            }
        }
        self.line.cancel();
        self.groups.kill();
    }

    fn reason(&self) -> String {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a command needs to run, or why it cannot.
    fn prepare(&self, builder: &str, command: Command) -> Result<Job, CommandEnd> {
        if self.line.is_cancelled() {
            return Err(CommandEnd::Lost(self.reason()));
        }
        let Some((_, required)) = COMMANDS.iter().find(|(name, _)| *name == command.name) else {
            return Err(CommandEnd::Refused(format!("unknown command '{}'", command.name)));
        };
        let missing = missing_args(&command.args, required);
        if !missing.is_empty() {
            return Err(CommandEnd::Refused(missing));
        }
        let builders = self.builders();
        let Some(builder) = builders.get(builder) else {
            return Err(CommandEnd::Refused(format!("unknown builder '{builder}'")));
        };
        let (environ, private) = self.environment();
        Ok(Job {
            command,
            folder: builder.folder.clone(),
            basedir: self.basedir.clone(),
            why: self.why.clone(),
            around: Surroundings {
                environ,
                private,
                owner: self.owner.clone(),
                groups: self.groups.clone(),
                interrupted: CancellationToken::new(),
            },
            lost: builder.gone.clone(),
        })
    }
}

impl Drop for LocalLink {
    fn drop(&mut self) {
        self.cut("the local worker is gone");
    }
}

impl Link for LocalLink {
    fn set_builders(&self, builders: Vec<(String, String)>) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            if self.line.is_cancelled() {
                return Err(self.reason());
            }
            for (name, folder) in &builders {
                let path = self.basedir.join(folder);
                let made = tokio::fs::create_dir_all(&path).await;
                made.map_err(|e| format!("cannot create the folder '{}' of builder '{name}': {}", path.display(), reason(&e)))?;
            }
            let mut known = self.builders();
            // As with remote workers, a builder that is taken away takes its command with it.
            known.retain(|name, builder| {
                let stays = builders.iter().any(|(wanted, _)| wanted == name);
                if !stays {
                    builder.gone.cancel();
                }
                stays
            });
            for (name, folder) in builders {
                let folder = self.basedir.join(folder);
                match known.get_mut(&name) {
                    Some(builder) => builder.folder = folder,
                    None => drop(known.insert(name, Builder { folder, gone: self.line.child_token() })),
                }
            }
            Ok(())
        })
    }

    fn start(&self, builder: &str, command: Command) -> RunningCommand {
        let (events, receiver) = mpsc::channel(CHANNEL);
        let interrupted = match self.prepare(builder, command) {
            Ok(job) => {
                let interrupted = job.around.interrupted.clone();
                tokio::spawn(job.run(Outbox::new(events)));
                interrupted
            }
            Err(end) => {
                // The channel is new, so there is room.
                let _ = events.try_send(CommandEvent::End(end));
                CancellationToken::new()
            }
        };
        let interrupt = move |why: &str| {
            tracing::debug!(why, "local command interrupted");
            interrupted.cancel();
        };
        RunningCommand::new(receiver, Arc::new(interrupt))
    }

    fn ping(&self, _: Duration) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(ready(if self.line.is_cancelled() { Err(self.reason()) } else { Ok(()) }))
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        self.cut(SHUT_DOWN);
        Box::pin(ready(()))
    }

    fn disconnect(&self, why: &str) {
        self.cut(why);
    }

    fn closed(&self) -> BoxFuture<'_, String> {
        Box::pin(async move {
            self.line.cancelled().await;
            self.reason()
        })
    }
}

/// One command and all it needs; it outlives the borrow of the link.
struct Job {
    command: Command,
    folder: PathBuf,
    basedir: PathBuf,
    around: Surroundings,
    /// The line to the master is gone, or the builder.
    lost: CancellationToken,
    why: Arc<Mutex<String>>,
}

impl Job {
    async fn run(self, mut out: Outbox) {
        let lost = self.lost.clone();
        // What is abandoned here kills its process when it is dropped.
        let end = tokio::select! {
            () = lost.cancelled() => None,
            end = self.carry_out(&mut out) => Some(end),
        };
        match end {
            Some(end) => tokio::select! {
                () = lost.cancelled() => {}
                () = out.end(end) => {}
            },
            None => {
                let why = self.why.lock().unwrap_or_else(PoisonError::into_inner).clone();
                out.lost(if why.is_empty() { "the builder was taken from the worker".into() } else { why });
            }
        }
    }

    async fn carry_out(&self, out: &mut Outbox) -> CommandEnd {
        let started = Instant::now();
        let ended = match self.command.name.as_str() {
            "shell" => self.shell(out).await,
            "rmdir" => self.rmdir(out).await,
            "cpdir" => self.cpdir(out).await,
            _ => self.files(out).await,
        };
        let (end, last) = match ended {
            Ok(Ended::Rc(_, last)) => (CommandEnd::Complete, last),
            Ok(Ended::Failed(text, last)) => (CommandEnd::Failed(text), last),
            Err(wrong) => (CommandEnd::Failed(wrong), Vec::new()),
        };
        if !self.around.interrupted.is_cancelled() {
            out.push(Update::Elapsed(started.elapsed().as_secs_f64()));
        }
        last.into_iter().for_each(|update| out.push(update));
        end
    }

    async fn shell(&self, out: &mut Outbox) -> Result<Ended, String> {
        let args = ShellArgs::from_args(&self.command.args)?;
        let workdir = files::join(&self.folder, &args.workdir);
        Ok(process::run(&args, &workdir, &self.around, out, true).await)
    }

    async fn rmdir(&self, out: &mut Outbox) -> Result<Ended, String> {
        let mut rest = Vec::new();
        let mut rc = 0;
        for dir in files::paths(&self.command.args, "dir", &self.folder)? {
            let dir = text(&dir)?;
            rc = match self.program(&["rm", "-rf", &dir], out, &mut rest).await? {
                // What is read-only keeps `rm` out: give the rights and try once more.
                Ended::Rc(rc, _) if rc != 0 => {
                    if let ended @ Ended::Failed(..) = self.program(&["chmod", "-Rf", "u+rwx", &dir], out, &mut rest).await? {
                        return Ok(ended);
                    }
                    match self.program(&["rm", "-rf", &dir], out, &mut rest).await? {
                        Ended::Rc(rc, _) => rc,
                        ended => return Ok(ended),
                    }
                }
                Ended::Rc(rc, _) => rc,
                ended => return Ok(ended),
            };
            if rc != 0 {
                break;
            }
        }
        Ok(self.tell_rc(rc, rest, out))
    }

    async fn cpdir(&self, out: &mut Outbox) -> Result<Ended, String> {
        let from = text(&files::path(&self.command.args, "fromdir", &self.folder)?)?;
        let to = text(&files::path(&self.command.args, "todir", &self.folder)?)?;
        let mut rest = Vec::new();
        match self.program(&["cp", "-R", "-P", "-p", "-v", &from, &to], out, &mut rest).await? {
            Ended::Rc(rc, _) => Ok(self.tell_rc(rc, rest, out)),
            ended => Ok(ended),
        }
    }

    /// Run a program that cannot be interrupted, in the worker's own folder.
    async fn program(&self, words: &[&str], out: &mut Outbox, rest: &mut Vec<Update>) -> Result<Ended, String> {
        // Their limits have the names of those of `shell`.
        let limits = self.command.args.iter().filter(|(name, _)| matches!(name.as_str(), "timeout" | "maxTime" | "logEnviron"));
        let needed = [("workdir".to_owned(), Arg::Text(String::new())), ("command".to_owned(), Arg::Text(String::new()))];
        let default = ("timeout".to_owned(), Arg::Int(120));
        let args: Vec<(String, Arg)> = [default].into_iter().chain(needed).chain(limits.cloned()).collect();
        let mut args = ShellArgs::from_args(&args)?;
        args.command = CommandArg::Words(words.iter().map(|word| (*word).to_owned()).collect());
        let around = Surroundings { interrupted: CancellationToken::new(), ..self.around.clone() };
        let mut ended = process::run(&args, &self.basedir, &around, out, false).await;
        if let Ended::Rc(_, last) = &mut ended {
            rest.append(last);
        }
        Ok(ended)
    }

    fn tell_rc(&self, rc: i64, rest: Vec<Update>, out: &mut Outbox) -> Ended {
        if !self.around.interrupted.is_cancelled() {
            out.push(Update::Rc(rc));
        }
        Ended::Rc(rc, rest)
    }

    /// A command that needs no program.
    async fn files(&self, out: &mut Outbox) -> Result<Ended, String> {
        let (command, folder) = (self.command.clone(), self.folder.clone());
        let done = tokio::task::spawn_blocking(move || files::carry_out(&command.name, &command.args, &folder)).await;
        let done = done.map_err(|e| e.to_string())??;
        done.update.into_iter().for_each(|update| out.push(update));
        let header = done.header.into_iter().map(|text| Update::Header(text.into())).collect();
        Ok(self.tell_rc(done.rc, header, out))
    }
}

fn text(path: &Path) -> Result<String, String> {
    path.to_str().map(str::to_owned).ok_or_else(|| format!("the path '{}' is not UTF-8", path.display()))
}

/// What the system says of an error, without its number.
fn reason(e: &io::Error) -> String {
    e.raw_os_error().map_or_else(|| e.to_string(), |number| nix::errno::Errno::from_raw(number).desc().to_owned())
}

/// The lines of `os-release` under the names that workers use: `os_name`, `os_version_id` …
fn os_facts(release: &str) -> BTreeMap<String, String> {
    let fact = |line: &str| {
        let (name, value) = line.trim().split_once('=')?;
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        plain.then(|| (format!("os_{}", name.to_lowercase()), value.trim_matches(['"', '\'']).to_owned()))
    };
    release.lines().filter_map(fact).collect()
}
