//! A command on the worker, from its start to its end: logs, stop, loss of the worker.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{MOST_LOGS, StepError, StepLog, new_log};
use crate::builds::run::{Run, Stop, lock};
use crate::config::LogEncoding;
use crate::model::build::Stream;
use crate::model::{LogKind, Step};
use crate::wire::{Command, CommandEnd, Update};
use crate::workers::{BoxFuture, CommandEvent};

/// A worker that does not end a command so long after it was asked to is cut off.
const INTERRUPT_DEADLINE: Duration = Duration::from_secs(60);

/// Of a log that the worker names.
const LONGEST_NAME: usize = 1000;

/// The most that [`output`] takes.
const LARGEST_OUTPUT: usize = 4 << 20;

/// How a command ended.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    pub rc: Option<i64>,
    /// Why the worker killed it, if it did.
    pub failure_reason: Option<String>,
    /// It was stopped by order.
    pub stopped: Option<Stop>,
    /// The worker was lost: why.
    pub lost: Option<String>,
    /// The worker refused or failed to carry it out: why.
    pub failed: Option<String>,
}

/// Who looks at what comes of a command.
pub(crate) trait Observe: Send {
    /// Output with even line ends, and the log that it went to.
    fn piece(&mut self, log: &str, stream: Stream, text: &Bytes) -> Result<(), StepError>;

    /// The same of a file that is followed.
    fn file(&mut self, _log: &str, _text: &Bytes) -> Result<(), StepError> {
        Ok(())
    }

    fn told(&mut self, _: &Update) -> Result<(), StepError> {
        Ok(())
    }

    /// Cancelled when nobody wants the command any more.
    fn abandoned(&self) -> Option<CancellationToken> {
        None
    }

    /// Called now and then, before the worker is heard again: the time to hand on what was seen.
    fn settle(&mut self) -> BoxFuture<'_, Result<(), StepError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Nobody.
pub(crate) struct Unseen;

impl Observe for Unseen {
    fn piece(&mut self, _: &str, _: Stream, _: &Bytes) -> Result<(), StepError> {
        Ok(())
    }
}

/// One that looks at the output of the command itself, beside another.
pub(crate) struct Beside<'a, F> {
    other: &'a mut dyn Observe,
    look: F,
}

pub(crate) fn beside<F>(other: &mut dyn Observe, look: F) -> Beside<'_, F>
where
    F: FnMut(Stream, &Bytes) -> Result<(), StepError> + Send,
{
    Beside { other, look }
}

impl<F> Observe for Beside<'_, F>
where
    F: FnMut(Stream, &Bytes) -> Result<(), StepError> + Send,
{
    fn piece(&mut self, log: &str, stream: Stream, text: &Bytes) -> Result<(), StepError> {
        if stream != Stream::Header {
            (self.look)(stream, text)?;
        }
        self.other.piece(log, stream, text)
    }

    fn file(&mut self, log: &str, text: &Bytes) -> Result<(), StepError> {
        self.other.file(log, text)
    }

    fn told(&mut self, update: &Update) -> Result<(), StepError> {
        self.other.told(update)
    }

    fn abandoned(&self) -> Option<CancellationToken> {
        self.other.abandoned()
    }

    fn settle(&mut self) -> BoxFuture<'_, Result<(), StepError>> {
        self.other.settle()
    }
}

/// The logs of a command: `stdio` and those of files.
pub(crate) struct Logs {
    /// None: its output is not kept.
    stdio: Option<StepLog>,
    name: String,
    files: BTreeMap<String, StepLog>,
    encoding: LogEncoding,
}

impl Logs {
    /// `stdio` and, unless they are to appear with their first line only, the logs of files.
    pub fn new(run: &Run, step: &Step, stdio: Option<&str>, files: impl Iterator<Item = String>, encoding: LogEncoding) -> Logs {
        let name = stdio.unwrap_or_default().to_owned();
        let stdio = stdio.map(|name| new_log(run, step, name, LogKind::Stdio));
        let files = files.map(|name| (name.clone(), new_log(run, step, &name, LogKind::Text))).collect();
        Logs { stdio, name, files, encoding }
    }

    fn flush(&mut self) -> Result<(), StepError> {
        if let Some(stdio) = &mut self.stdio {
            stdio.flush()?;
        }
        for log in self.files.values_mut() {
            log.flush()?;
        }
        Ok(())
    }

    fn header(&mut self, line: &str) -> Result<(), StepError> {
        Ok(self.stdio.as_mut().map_or(Ok(()), |log| log.header(line))?)
    }

    /// Keeps a piece of output; gives it back with even line ends.
    fn append(&mut self, stream: Stream, text: Bytes) -> Result<Bytes, StepError> {
        Ok(self.stdio.as_mut().map_or(Ok(text.clone()), |log| log.append(stream, text))?)
    }

    pub fn finish(self) -> Result<(), StepError> {
        let mut result = self.stdio.map_or(Ok(()), |log| log.finish().map(drop));
        for log in self.files.into_values() {
            result = result.and(log.finish().map(drop));
        }
        Ok(result?)
    }
}

/// Run it. `observe` gets the output as it comes.
pub(crate) async fn run(run: &Run, step: &Step, command: Command, logs: &mut Logs, observe: &mut dyn Observe) -> Result<Ended, StepError> {
    let mut ended = Ended::default();
    let mut stop = run.orders();
    // The engine still holds the other end.
    let mut open = true;
    let mut abandoned = observe.abandoned();
    if abandoned.as_ref().is_some_and(CancellationToken::is_cancelled) {
        return Err(StepError::Other("the step has ended before the command began".into()));
    }
    let mut running = run.job.link.start(&run.job.builder.name, command);
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut give_up: Option<Instant> = None;
    // The first failure to keep or to look at the output: the command is interrupted, the rest is dropped.
    let mut trouble: Option<StepError> = None;

    loop {
        let event = tokio::select! {
            biased;
            order = stop.changed(), if open => {
                let latest = stop.borrow_and_update().clone();
                open = order.is_ok();
                if let Some(latest) = latest.filter(|_| open) {
                    running.interrupt(&latest.reason);
                    give_up.get_or_insert_with(|| Instant::now() + INTERRUPT_DEADLINE);
                    ended.stopped = Some(latest);
                }
                continue;
            }
            () = async { if let Some(token) = &abandoned { token.cancelled().await } }, if abandoned.is_some() => {
                abandoned = None;
                running.interrupt("the step gave it up");
                give_up.get_or_insert_with(|| Instant::now() + INTERRUPT_DEADLINE);
                continue;
            }
            event = running.events.recv() => event,
            _ = ticks.tick() => {
                if trouble.is_none() && let Err(e) = logs.flush() {
                    running.interrupt("the log could not be written");
                    give_up = Some(Instant::now() + INTERRUPT_DEADLINE);
                    trouble = Some(e);
                }
                continue;
            }
            () = async { sleep_until(give_up.unwrap_or_else(Instant::now)).await }, if give_up.is_some() => {
                let why = format!("the command did not end within {} s after it was interrupted", INTERRUPT_DEADLINE.as_secs());
                run.job.link.disconnect(&why);
                ended.lost = Some(why);
                break;
            }
        };
        run.job.let_watchers_follow().await;
        match event {
            Some(CommandEvent::Update(update)) if trouble.is_none() => {
                let kept = match take(run, step, update, &mut ended, logs, observe) {
                    Ok(()) => observe.settle().await,
                    Err(e) => Err(e),
                };
                if let Err(e) = kept {
                    running.interrupt("its output could not be kept");
                    give_up = Some(Instant::now() + INTERRUPT_DEADLINE);
                    trouble = Some(e);
                }
            }
            Some(CommandEvent::Update(_)) => {}
            Some(CommandEvent::End(CommandEnd::Complete)) => break,
            Some(CommandEvent::End(CommandEnd::Lost(why))) => {
                ended.lost = Some(why);
                break;
            }
            Some(CommandEvent::End(CommandEnd::Failed(why) | CommandEnd::Refused(why))) => {
                ended.failed = Some(why);
                break;
            }
            None => {
                ended.lost = Some("the connection closed".into());
                break;
            }
        }
    }
    if let Some(trouble) = trouble {
        return Err(trouble);
    }
    if let Some(why) = &ended.lost {
        logs.header(&format!("worker lost: {why}"))?;
    }
    if let Some(why) = &ended.failed {
        logs.header(&format!("the worker could not carry out the command: {why}"))?;
    }
    if let Some(order) = &ended.stopped {
        logs.header(&format!("stopped: {}", order.reason))?;
    }
    Ok(ended)
}

/// What a short command prints, without a log.
pub(crate) async fn output(run: &Run, command: Command) -> Result<String, String> {
    let (mut stdout, mut stderr, mut rc) = (Vec::new(), Vec::new(), None);
    let mut stop = run.orders();
    let mut running = run.job.link.start(&run.job.builder.name, command);
    loop {
        let event = tokio::select! {
            order = stop.changed() => {
                running.interrupt("the build is stopped");
                let reason = order.ok().and_then(|()| stop.borrow().as_ref().map(|o| o.reason.clone()));
                return Err(reason.unwrap_or_else(|| "the build is over".into()));
            }
            event = running.events.recv() => event,
        };
        match event {
            Some(CommandEvent::Update(Update::Stdout(text))) => stdout.extend_from_slice(&text),
            Some(CommandEvent::Update(Update::Stderr(text))) => stderr.extend_from_slice(&text),
            Some(CommandEvent::Update(Update::Rc(code))) => rc = Some(code),
            Some(CommandEvent::Update(_)) => {}
            Some(CommandEvent::End(CommandEnd::Complete)) => break,
            Some(CommandEvent::End(CommandEnd::Lost(why) | CommandEnd::Failed(why) | CommandEnd::Refused(why))) => return Err(why),
            None => return Err("the connection closed".into()),
        }
        if stdout.len() + stderr.len() > LARGEST_OUTPUT {
            running.interrupt("it prints too much");
            return Err(format!("it is larger than {} MiB", LARGEST_OUTPUT >> 20));
        }
    }
    match rc {
        Some(0) => Ok(String::from_utf8_lossy(&stdout).into_owned()),
        _ => Err(String::from_utf8_lossy(&stderr).trim().to_owned()),
    }
}

fn take(run: &Run, step: &Step, update: Update, ended: &mut Ended, logs: &mut Logs, observe: &mut dyn Observe) -> Result<(), StepError> {
    let encoding = logs.encoding;
    observe.told(&update)?;
    match update {
        Update::Stdout(text) => {
            let text = logs.append(Stream::Stdout, decoded(encoding, text))?;
            observe.piece(&logs.name, Stream::Stdout, &text)?;
        }
        Update::Stderr(text) => {
            let text = logs.append(Stream::Stderr, decoded(encoding, text))?;
            observe.piece(&logs.name, Stream::Stderr, &text)?;
        }
        Update::Header(text) => {
            // Texts of some workers come without a line end of their own.
            let mut text = text;
            if !text.ends_with(b"\n") {
                text = [&text[..], b"\n"].concat().into();
            }
            logs.append(Stream::Header, text.clone())?;
            observe.piece(&logs.name, Stream::Header, &text)?;
        }
        Update::Log(name, text) => {
            if !logs.files.contains_key(&name) {
                may_begin(run, &name)?;
            }
            let log = logs.files.entry(name.clone()).or_insert_with_key(|name| new_log(run, step, name, LogKind::Text));
            let text = log.append(Stream::Stdout, decoded(encoding, text))?;
            observe.file(&name, &text)?;
        }
        Update::Rc(rc) => ended.rc = Some(rc),
        Update::FailureReason(reason) => ended.failure_reason = Some(reason),
        Update::Elapsed(_) | Update::Files(_) | Update::Stat(_) => {}
    }
    Ok(())
}

/// Each log is a row and a file: what a worker invents has an end.
fn may_begin(run: &Run, name: &str) -> Result<(), StepError> {
    if name.len() > LONGEST_NAME {
        return Err(StepError::Other(format!("the worker sends a log whose name is longer than {LONGEST_NAME} bytes")));
    }
    if lock(&run.logs).len() >= MOST_LOGS {
        return Err(StepError::Other(format!("the worker sends more than {MOST_LOGS} logs")));
    }
    Ok(())
}

/// As UTF-8. A worker that knows its encoding has decoded already, so what is UTF-8 stays; pieces are whole lines.
fn decoded(encoding: LogEncoding, text: Bytes) -> Bytes {
    match encoding.0 {
        Some(encoding) if std::str::from_utf8(&text).is_err() => {
            Bytes::from(encoding.decode_without_bom_handling(&text).0.into_owned().into_bytes())
        }
        _ => text,
    }
}
