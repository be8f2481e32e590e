//! What a running step in Lua finds of its build: properties, logs, summaries, further steps, and commands on the worker, which run
//! beside it and hand their output over in batches. Never decides what a step's result is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Map, Value as Json, json};
use tokio::runtime::Handle;
use tokio::sync::{Mutex as Turn, Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::command::{self, Ended};
use super::watcher::Watcher;
use super::{MOST_LOGS, StepError, new_log, sequence, shell, suffix};
use crate::base::LogId;
use crate::builds::log::StepLog;
use crate::builds::run::{Run, StepEnd, lock};
use crate::config::{FromValue, RemoteCommand, RemoteShell, SequenceCommands, SequenceSpec, StepKind, StepSpec, Template, Value};
use crate::lua::{Kept, Running, StepHost, StepsPlace, Waiting, Work, WorkEnd, WorkEvent};
use crate::model::build::Stream;
use crate::model::{LogKind, Results, Step};
use crate::wire::{Arg, Command};

/// Output that a step may keep, or read back from a log.
pub(super) const LARGEST_TEXT: usize = 16 << 20;
/// Links of one step.
const MOST_URLS: usize = 1000;
/// A summary is shown no more often.
const SUMMARY_EVERY: Duration = Duration::from_millis(500);

pub(super) struct Stage {
    run: Arc<Run>,
    spec: Arc<StepSpec>,
    step: Step,
    runtime: Handle,
    /// `description`, while it runs and when it is done.
    describing: Option<String>,
    described: Option<String>,
    workdir: String,
    shown: Mutex<Shown>,
    logs: Mutex<HashMap<i64, StepLog>>,
    urls: Mutex<Vec<(String, String)>>,
    outcome: Mutex<Outcome>,
    /// Why the build is to stop, once it is.
    stopped: Mutex<Option<String>>,
    /// Output is handed on to nobody any more.
    halted: CancellationToken,
    /// Cancelled at the step's end.
    over: CancellationToken,
    /// One command at a time.
    turn: Turn<()>,
    working: AtomicUsize,
    idle: Notify,
    wants_summary: AtomicBool,
}

#[derive(Default)]
struct Shown {
    at: Option<Instant>,
    /// The command that ran last, in short.
    command: Option<String>,
}

#[derive(Default)]
struct Outcome {
    lost: Option<String>,
    /// How the host's own step ended.
    built_in: Option<StepEnd>,
}

impl Stage {
    pub async fn new(run: &Arc<Run>, spec: &Arc<StepSpec>, step: &Step) -> Arc<Stage> {
        let workdir = run.renderer().arg("workdir", &spec.workdir).await.ok().flatten();
        Arc::new(Stage {
            describing: run.describe(spec, true).await,
            described: run.describe(spec, false).await,
            workdir: workdir.unwrap_or_else(|| run.job.builder.factory.workdir.clone()),
            run: run.clone(),
            spec: spec.clone(),
            step: step.clone(),
            runtime: Handle::current(),
            shown: Mutex::default(),
            logs: Mutex::default(),
            urls: Mutex::default(),
            outcome: Mutex::default(),
            stopped: Mutex::default(),
            halted: CancellationToken::new(),
            over: CancellationToken::new(),
            turn: Turn::default(),
            working: AtomicUsize::new(0),
            idle: Notify::new(),
            wants_summary: AtomicBool::new(false),
        })
    }

    /// The build is to stop. Commands hear of it themselves; nothing new begins. True the first time.
    pub fn stop(&self, reason: &str) -> bool {
        self.halted.cancel();
        lock(&self.stopped).replace(reason.to_owned()).is_none()
    }

    /// Nothing runs on the worker.
    pub fn is_idle(&self) -> bool {
        self.working.load(Ordering::SeqCst) == 0
    }

    /// Now and then: lines become visible.
    pub fn tick(&self) -> Result<(), StepError> {
        lock(&self.logs).values_mut().try_for_each(|log| Ok(log.flush()?))
    }

    pub fn wants_summary(&self) -> bool {
        self.wants_summary.swap(false, Ordering::Relaxed)
    }

    pub fn show(&self, text: Option<String>) {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return };
        lock(&self.shown).at = Some(Instant::now());
        self.run.show_state(&mut self.step.clone(), text);
    }

    /// The end of the step: what still runs is interrupted and waited for, logs are finished.
    pub async fn end(&self) -> Result<(), StepError> {
        self.halted.cancel();
        self.over.cancel();
        loop {
            let idle = self.idle.notified();
            if self.is_idle() {
                break;
            }
            idle.await;
        }
        let logs: Vec<StepLog> = lock(&self.logs).drain().map(|(_, log)| log).collect();
        logs.into_iter().try_for_each(|log| log.finish().map(drop)).map_err(StepError::from)
    }

    /// Was the worker lost? And how the host's own step ended, if it was called.
    pub fn outcome(&self) -> (Option<String>, Option<StepEnd>) {
        let mut outcome = lock(&self.outcome);
        (outcome.lost.take(), outcome.built_in.take())
    }

    /// The summary at the end, if the step has none of its own.
    pub fn final_state(&self, results: Results, built_in: &Option<StepEnd>) -> String {
        match built_in {
            Some(end) if end.results == results => end.state.clone(),
            Some(end) => {
                let before = suffix(end.results);
                let what = if before.is_empty() { end.state.clone() } else { end.state.replacen(&before, "", 1) };
                what + &suffix(results)
            }
            None => {
                let command = lock(&self.shown).command.clone();
                self.described.clone().or(command).unwrap_or_else(|| "finished".into()) + &suffix(results)
            }
        }
    }

    async fn work(self: &Arc<Self>, work: Work, watcher: &mut Watcher) -> Result<WorkEnd, StepError> {
        let run = &self.run;
        match work {
            Work::BuiltIn => {
                let mut step = self.step.clone();
                let end = super::built_in(run, &self.spec, &mut step, watcher).await?;
                let (results, lost) = (end.results, end.lost.clone());
                lock(&self.outcome).built_in = Some(end);
                Ok(WorkEnd { results: Some(results), lost, ..WorkEnd::default() })
            }
            Work::Sequence(commands, shell) => {
                let sequence = SequenceSpec { commands: SequenceCommands::List(commands), options: shell.options };
                let mut spec = (*self.spec).clone();
                spec.workdir = shell.workdir;
                let end = sequence::run(run, &spec, &sequence, &mut self.step.clone(), watcher).await?;
                Ok(WorkEnd { results: Some(end.results), lost: end.lost, ..WorkEnd::default() })
            }
            Work::Shell(shell) => self.shell(*shell, watcher).await,
            Work::Remote(command) => self.remote(command, watcher).await,
        }
    }

    async fn shell(&self, shell: RemoteShell, watcher: &mut Watcher) -> Result<WorkEnd, StepError> {
        let Some(command) = &shell.command else {
            return Err(StepError::Other("makeRemoteShellCommand needs a 'command'".into()));
        };
        let encoding = shell.log_encoding.unwrap_or(self.spec.log_encoding);
        let options = shell::Options::render(&self.run, &shell.workdir, encoding, &shell.options).await?;
        let line = self.run.renderer().arg("command", command).await?;
        let short = shell::shorten(&line, &self.run.secrets.mask());
        if self.describing.is_none() && !self.spec.script.as_ref().is_some_and(|s| s.methods.contains("getCurrentSummary")) {
            self.show(Some(format!("running {short}")));
        }
        lock(&self.shown).command = Some(short);
        watcher.collect(shell.collect_stdout, shell.collect_stderr);
        let mut logs = options.logs(&self.run, &self.step, shell.stdio_log_name.as_deref());
        let ended = command::run(&self.run, &self.step, options.command(&self.run, &line), &mut logs, watcher).await;
        logs.finish()?;
        let ended = ended?;
        let results = shell::judge(&ended, &options.decode_rc);
        Ok(work_end("shell", ended, results))
    }

    async fn remote(&self, command: RemoteCommand, watcher: &mut Watcher) -> Result<WorkEnd, StepError> {
        let Json::Object(args) = self.run.renderer().value(&command.args).await.map(|args| match args {
            // An empty table of Lua is an empty list.
            Json::Array(items) if items.is_empty() => Json::Object(Map::new()),
            other => other,
        })?
        else {
            return Err(StepError::Other(format!("RemoteCommand {}: its arguments must be a table of names and values", command.name)));
        };
        watcher.collect(command.collect_stdout, command.collect_stderr);
        let wire = Command { name: command.name.clone(), args: args.into_iter().map(|(name, value)| (name, arg(value))).collect() };
        let stdio = command.stdio_log_name.as_deref();
        let mut logs = command::Logs::new(&self.run, &self.step, stdio, std::iter::empty(), self.spec.log_encoding);
        let ended = command::run(&self.run, &self.step, wire, &mut logs, watcher).await;
        logs.finish()?;
        let ended = ended?;
        let results = shell::judge(&ended, &command.decode_rc);
        Ok(work_end(&command.name, ended, results))
    }
}

fn work_end(what: &str, ended: Ended, results: Results) -> WorkEnd {
    WorkEnd {
        results: Some(results),
        lost: ended.lost,
        stopped: ended.stopped.map(|order| order.reason),
        failed: ended.failed.map(|why| format!("the worker could not carry out '{what}': {why}")),
        ..WorkEnd::default()
    }
}

/// Plain data as an argument of a command.
fn arg(value: Json) -> Arg {
    match value {
        Json::Null => Arg::None,
        Json::Bool(b) => Arg::Bool(b),
        Json::Number(n) => n.as_i64().map_or_else(|| Arg::Float(n.as_f64().unwrap_or_default()), Arg::Int),
        Json::String(text) => Arg::Text(text),
        Json::Array(items) => Arg::List(items.into_iter().map(arg).collect()),
        Json::Object(map) => Arg::Map(map.into_iter().map(|(name, value)| (name, arg(value))).collect()),
    }
}

impl StepHost for Arc<Stage> {
    fn facts(&self) -> Json {
        let (job, input) = (&self.run.job, self.run.input());
        json!({
            "name": self.step.name,
            "number": self.step.number,
            "stepid": self.step.id.0,
            "workdir": self.workdir,
            "worker": {
                "name": job.worker_name,
                "workername": job.worker_name,
                "worker_version": job.worker.version,
                "worker_system": job.worker.system,
                "worker_basedir": job.worker.basedir,
                "info": job.worker.files,
            },
            "build": {
                "buildid": input.buildid,
                "number": input.number,
                "builder": input.builder,
                "builderid": job.build.builder.0,
                "workername": input.workername,
                "reason": job.request.buildset.reason,
            },
            "sources": self.run.sourcestamps,
        })
    }

    fn property(&self, name: &str) -> Option<Json> {
        self.run.properties().get(name).cloned()
    }

    fn properties(&self) -> Map<String, Json> {
        self.run.properties().values()
    }

    fn set_property(&self, name: &str, value: Json, source: Option<&str>) -> Result<(), String> {
        self.run.set_property(name, value, source.unwrap_or(&self.step.name));
        Ok(())
    }

    fn render(&self, values: BTreeMap<String, Value>) -> Waiting<Map<String, Json>> {
        let run = self.run.clone();
        let task = AbortOnDropHandle::new(self.runtime.spawn(async move {
            let renderer = run.renderer();
            let mut rendered = Map::new();
            for (name, value) in values {
                let template = Template::from_value(&value).map_err(|wrong| format!("{name} {wrong}"))?;
                rendered.insert(name.clone(), renderer.value(&template).await.map_err(|e| format!("{name}: {e}"))?);
            }
            Ok(rendered)
        }));
        Box::pin(async move { task.await.unwrap_or_else(|e| Err(format!("rendering failed: {e}"))) })
    }

    fn add_log(&self, name: &str, kind: LogKind) -> Result<i64, String> {
        if lock(&self.run.logs).len() >= MOST_LOGS {
            return Err(format!("a step may have {MOST_LOGS} logs at most"));
        }
        let log = new_log(&self.run, &self.step, name, kind);
        let id = log.id().0;
        lock(&self.logs).insert(id, log);
        Ok(id)
    }

    fn log_named(&self, name: &str) -> Option<i64> {
        let logs = lock(&self.run.logs);
        logs.iter().rev().find(|(step, log)| *step == self.step.id && log.name == name).map(|(_, log)| log.id.0)
    }

    fn write_log(&self, log: i64, stream: Stream, text: &[u8]) -> Result<(), String> {
        let mut logs = lock(&self.logs);
        let log = logs.get_mut(&log).ok_or("the log is finished, or belongs to a command: nothing can be added to it")?;
        log.append(stream, Bytes::copy_from_slice(text)).map(drop).map_err(|e| format!("the log could not be written: {e}"))
    }

    fn finish_log(&self, log: i64) -> Result<(), String> {
        match lock(&self.logs).remove(&log) {
            Some(log) => log.finish().map(drop).map_err(|e| format!("the log could not be written: {e}")),
            None => Ok(()),
        }
    }

    fn read_log(&self, log: i64, streams: Vec<Stream>) -> Waiting<Vec<u8>> {
        let stdio = lock(&self.run.logs).iter().any(|(_, l)| l.id.0 == log && l.kind == LogKind::Stdio);
        let store = self.run.job.store.clone();
        let task = AbortOnDropHandle::new(self.runtime.spawn(async move {
            let mut text = Vec::new();
            let mut first = 0;
            loop {
                let page = store.log_lines(LogId(log), first, 10_000).await.map_err(|e| format!("the log could not be read: {e}"))?;
                if page.count == 0 {
                    return Ok(text);
                }
                first = page.first + page.count;
                for line in page.content.split_inclusive(|b| *b == b'\n') {
                    match line.split_first() {
                        Some((letter, rest)) if stdio => {
                            if Stream::from_letter(*letter).is_some_and(|s| streams.contains(&s)) {
                                text.extend_from_slice(rest);
                            }
                        }
                        _ => text.extend_from_slice(line),
                    }
                }
                if text.len() > LARGEST_TEXT {
                    return Err(format!("a log of more than {} MiB can't be read as one text: use an observer", LARGEST_TEXT >> 20));
                }
            }
        }));
        Box::pin(async move { task.await.unwrap_or_else(|e| Err(format!("the log could not be read: {e}"))) })
    }

    fn add_url(&self, name: &str, url: &str) -> Result<(), String> {
        let mask = self.run.secrets.mask();
        let (name, url) = (&*mask.text(name), &*mask.text(url));
        let mut urls = lock(&self.urls);
        if urls.len() >= MOST_URLS {
            return Err(format!("a step may have {MOST_URLS} links at most"));
        }
        match urls.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => url.clone_into(known),
            None => urls.push((name.to_owned(), url.to_owned())),
        }
        drop(self.run.job.store.set_step_urls(self.step.id, &urls));
        Ok(())
    }

    fn current_state(&self) -> String {
        let running = lock(&self.shown).command.as_ref().map(|command| format!("running {command}"));
        self.describing.clone().or(running).unwrap_or_else(|| "running".into())
    }

    fn result_state(&self, results: Results) -> String {
        self.final_state(results, &lock(&self.outcome).built_in)
    }

    fn summary_due(&self) -> bool {
        let due = lock(&self.shown).at.is_none_or(|at| at.elapsed() >= SUMMARY_EVERY);
        if !due {
            self.wants_summary.store(true, Ordering::Relaxed);
        }
        due
    }

    fn show_summary(&self, text: Option<String>) {
        self.show(text);
    }

    fn set_statistic(&self, name: &str, value: Json) -> Result<(), String> {
        let mut all = lock(&self.run.statistics);
        all.entry(self.step.number).or_default().insert(name.to_owned(), value);
        Ok(())
    }

    fn statistic(&self, name: &str) -> Option<Json> {
        lock(&self.run.statistics).get(&self.step.number)?.get(name).cloned()
    }

    fn statistics(&self, name: &str) -> Vec<Json> {
        lock(&self.run.statistics).values().filter_map(|of| of.get(name).cloned()).collect()
    }

    fn add_steps(&self, steps: Vec<Arc<StepSpec>>, place: StepsPlace, kept: Kept) -> Result<(), String> {
        self.run.add_steps(steps, place, kept)
    }

    fn command_version(&self, command: &str) -> Option<String> {
        self.run.job.worker.commands.get(command).cloned()
    }

    fn start(&self, work: Work, observed: BTreeSet<String>) -> Result<Running, String> {
        if let Some(reason) = &*lock(&self.stopped) {
            return Err(format!("the build is stopped: {reason}"));
        }
        if self.over.is_cancelled() {
            return Err("the step has ended: nothing can be started any more".into());
        }
        if work == Work::BuiltIn && self.spec.kind == StepKind::Scripted {
            return Err("BuildStep does nothing itself: there is no run() to call in it".into());
        }
        let (to, events) = mpsc::channel(2);
        let interrupted = self.over.child_token();
        let mut watcher = Watcher::new(observed, to.clone(), self.halted.clone(), interrupted.clone());
        self.working.fetch_add(1, Ordering::SeqCst);
        let stage = self.clone();
        self.runtime.spawn(async move {
            let done = Working(stage.clone());
            let turn = stage.turn.lock().await;
            let ended = stage.work(work, &mut watcher).await;
            watcher.finish().await;
            let mut end = ended.unwrap_or_else(|e| WorkEnd { failed: Some(e.to_string()), ..WorkEnd::default() });
            watcher.tell(&mut end);
            if end.stopped.is_none() && end.lost.is_none() {
                end.stopped = lock(&stage.stopped).clone();
            }
            if let Some(lost) = &end.lost {
                lock(&stage.outcome).lost.get_or_insert_with(|| lost.clone());
            }
            drop(turn);
            drop(done);
            let _ = to.send(WorkEvent::Ended(end)).await;
        });
        Ok(Running { events, interrupt: interrupted.drop_guard() })
    }
}

/// Something runs on the worker while this lives.
struct Working(Arc<Stage>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.working.fetch_sub(1, Ordering::SeqCst);
        self.0.idle.notify_waiters();
    }
}
