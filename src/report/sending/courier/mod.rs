//! Who brings messages to their targets: a process of its own, one for each reporter that has something to send.
//!
//! Neither SMTP nor HTTP can say afterwards whether a message was taken: whoever dies between its last byte and the answer never
//! learns it, and can only lose the message or send it twice. So the conversation is not the master's. Its courier outlives it:
//! it ends the message that it is at, writes down what became of it, and ends. The master's next start asks the next courier,
//! which waits for the one before it, and sends nothing that has arrived.
//!
//! Only a courier that is killed itself leaves the question open; then the message goes out again with the same id, by which
//! receivers know it. It never decides what is sent, nor when something is tried again. Tests with real servers and kill -9 are
//! in `tests/outbox.rs`.

mod process;
mod record;
mod wire;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use zeroize::Zeroize;

pub use process::serve;
pub use wire::Target;

use super::outbox::Outcome;
use wire::{Brought, Says, Told};

/// So long the courier of an earlier start may still be at its message before that is told as a reason.
const BEFORE_IT: Duration = Duration::from_secs(30);
/// To say goodbye, when there is nothing more to send.
const GOODBYE: Duration = Duration::from_secs(2);
/// Of what a courier that broke said last.
const LAST_WORDS: u64 = 2000;

/// A message on its way.
pub struct Parcel<'a> {
    /// The same for the same message, however often it is sent.
    pub id: &'a str,
    /// Counts the tries whose outcome the master has stored.
    pub attempt: u32,
    pub target: &'a Target,
    pub content: &'a [u8],
    /// What an earlier try left.
    pub progress: Option<String>,
}

/// The master's end of one reporter's courier; there is a process only while there is something to send.
pub struct Courier {
    program: PathBuf,
    folder: PathBuf,
    reporter: String,
    process: Option<Process>,
    /// What earlier couriers brought without an earlier master's knowledge.
    known: HashMap<String, Brought>,
    /// What the master has stored by the time it sends the next message.
    stored: Vec<String>,
}

struct Process {
    child: Child,
    stdin: ChildStdin,
    says: BufReader<ChildStdout>,
    stderr: ChildStderr,
}

impl Parcel<'_> {
    /// Of this try: what the master knows of an earlier one says nothing about it.
    fn key(&self) -> String {
        format!("{} {}", self.id, self.attempt)
    }
}

impl Courier {
    /// `folder` keeps what couriers brought, and is made if missing.
    pub fn new(folder: &Path, reporter: &str) -> Courier {
        Courier::of_program(this_program(), folder, reporter)
    }

    /// Of a `buildmoon` that is not the running program.
    pub fn of_program(program: PathBuf, folder: &Path, reporter: &str) -> Courier {
        Courier {
            program,
            folder: folder.to_owned(),
            reporter: reporter.to_owned(),
            process: None,
            known: HashMap::new(),
            stored: Vec::new(),
        }
    }

    /// Brings it, and says what became of it. The courier remembers the answer until the next message is brought: by then the
    /// master has stored it.
    pub async fn bring(&mut self, parcel: Parcel<'_>) -> Outcome {
        let process = match self.process.take() {
            Some(process) => process,
            None => match self.start().await {
                Ok(process) => process,
                Err(why) => return Outcome::Down(why),
            },
        };
        if let Some(brought) = self.known.remove(&parcel.key()) {
            tracing::info!(reporter = self.reporter, "a message was brought while no master was there to see it");
            self.process = Some(process);
            return self.told(brought);
        }
        match self.converse(process, parcel).await {
            Ok(brought) => self.told(brought),
            Err(why) => Outcome::Down(why),
        }
    }

    /// For now there is nothing more to bring: the process ends, what it holds open is closed.
    pub async fn rest(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        // Of no use to a process that has ended: the next one is told.
        if let Err(e) = self.tell_stored(&mut process.stdin).await {
            tracing::debug!(reporter = self.reporter, "the courier hears nothing more: {e}");
        }
        let Process { mut child, stdin, .. } = process;
        drop(stdin);
        // One that takes longer ends by itself, and the next one waits for it.
        let _ = tokio::time::timeout(GOODBYE, child.wait()).await;
    }

    fn told(&mut self, brought: Brought) -> Outcome {
        for note in brought.notes {
            tracing::info!(reporter = self.reporter, "{note}");
        }
        self.stored.push(brought.key);
        brought.outcome
    }

    async fn start(&mut self) -> Result<Process, String> {
        let fail = |e: std::io::Error| format!("the process that sends can't be started: {e}");
        record::make_folder(&self.folder).map_err(|e| format!("{}: {e}", self.folder.display()))?;
        let mut child = Command::new(&self.program)
            .arg0("buildmoon")
            .args(["courier", "--"])
            .arg(&self.folder)
            .arg(&self.reporter)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // What a terminal sends to the master is not meant for it.
            .process_group(0)
            .spawn()
            .map_err(fail)?;
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take()) else {
            return Err("the process that sends has no pipes".into());
        };
        let mut process = Process { child, stdin, says: BufReader::new(stdout), stderr };
        match tokio::time::timeout(BEFORE_IT, hear(&mut process.says)).await {
            Ok(Ok(Says::Ready { known })) => {
                self.known = known.into_iter().map(|brought| (brought.key.clone(), brought)).collect();
                Ok(process)
            }
            Ok(Ok(Says::Brought(_))) => Err("the process that sends answers before it is asked".into()),
            Ok(Err(e)) => Err(self.broken(process, e).await),
            Err(_) => {
                // It waits, and holds nothing yet.
                let _ = process.child.start_kill();
                Err("the message that was on its way when the master last ended still is; nothing else is sent before it".into())
            }
        }
    }

    /// The process is kept if all went well.
    async fn converse(&mut self, mut process: Process, parcel: Parcel<'_>) -> Result<Brought, String> {
        let key = parcel.key();
        let told = async {
            self.tell_stored(&mut process.stdin).await?;
            let bring = Told::Bring {
                key: key.clone(),
                id: parcel.id.to_owned(),
                target: parcel.target.clone(),
                progress: parcel.progress,
                length: parcel.content.len(),
            };
            tell(&mut process.stdin, &bring).await?;
            process.stdin.write_all(parcel.content).await
        };
        let heard = match told.await {
            Ok(()) => hear(&mut process.says).await,
            Err(e) => Err(e),
        };
        match heard {
            Ok(Says::Brought(brought)) if brought.key == key => {
                self.process = Some(process);
                Ok(brought)
            }
            Ok(_) => Err("the process that sends answers something else than it was asked".into()),
            Err(e) => Err(self.broken(process, e).await),
        }
    }

    async fn tell_stored(&mut self, stdin: &mut ChildStdin) -> std::io::Result<()> {
        if self.stored.is_empty() {
            return Ok(());
        }
        tell(stdin, &Told::Stored(self.stored.clone())).await?;
        self.stored.clear();
        Ok(())
    }

    /// Why a process no longer answers.
    async fn broken(&self, process: Process, error: std::io::Error) -> String {
        let Process { mut child, stdin, stderr, .. } = process;
        drop(stdin);
        let mut said = Vec::new();
        let end = async {
            let _ = stderr.take(LAST_WORDS).read_to_end(&mut said).await;
            child.wait().await
        };
        let how = match tokio::time::timeout(GOODBYE, end).await {
            Ok(Ok(status)) => status.to_string(),
            Ok(Err(e)) => e.to_string(),
            Err(_) => error.to_string(),
        };
        let said: String = String::from_utf8_lossy(&said).split_whitespace().collect::<Vec<_>>().join(" ");
        format!("the process that sends broke ({how}){}{said}", if said.is_empty() { "" } else { ": " })
    }
}

async fn tell(stdin: &mut ChildStdin, told: &Told) -> std::io::Result<()> {
    let mut line = serde_json::to_string(told)?;
    line.push('\n');
    let written = stdin.write_all(line.as_bytes()).await;
    // It may hold passwords.
    line.zeroize();
    written
}

async fn hear(says: &mut BufReader<ChildStdout>) -> std::io::Result<Says> {
    let mut line = String::new();
    if says.read_line(&mut line).await? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_str(&line)?)
}

/// The running program, also when its file has been replaced since it was started.
fn this_program() -> PathBuf {
    let running = PathBuf::from("/proc/self/exe");
    match running.exists() {
        true => running,
        false => std::env::current_exe().unwrap_or_else(|_| "buildmoon".into()),
    }
}
