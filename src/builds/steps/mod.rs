//! What the kinds of steps do. One file per kind; commands on the worker go through [`command`].

mod command;
mod scripted;
mod sequence;
mod set_property;
mod shell;
mod stage;
mod warnings;
mod watcher;

use std::sync::Arc;

use super::log::StepLog;
use super::render::RenderError;
use super::run::{Run, StepEnd, lock};
use crate::config::{StepKind, StepSpec};
use crate::lua::{LuaFailure, StepInstance};
use crate::model::build::Stream;
use crate::model::{Log, LogKind, Results, Step};
use crate::store::{LogLimits, StoreError};

/// Why a step could not do its work: an exception, told in a log of its own.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    #[error(transparent)]
    Render(#[from] RenderError),
    #[error("the log could not be written: {0}")]
    Store(#[from] StoreError),
    #[error("{}", with_traceback(.0))]
    Lua(#[from] LuaFailure),
    #[error("{0}")]
    Other(String),
}

/// Logs of one step.
const MOST_LOGS: usize = 1000;

/// A step as it is begun in Lua, if it is written there.
pub(crate) type Begun = Option<Result<StepInstance, LuaFailure>>;

pub(crate) async fn run(run: &Arc<Run>, spec: &Arc<StepSpec>, instance: Begun, step: &mut Step) -> StepEnd {
    let ended = match instance {
        Some(Ok(instance)) => scripted::run(run, spec, &instance, step).await,
        Some(Err(failure)) => Err(StepError::Lua(failure)),
        None => built_in(run, spec, step, &mut command::Unseen).await,
    };
    ended.unwrap_or_else(|e| {
        explain(run, step, &e.to_string());
        let state = match e {
            StepError::Store(e) => format!("{} (the log could not be written: {e})", step.name),
            _ => format!("{} (exception)", step.name),
        };
        StepEnd { results: Results::Exception, state, lost: None, build: None }
    })
}

/// What a step of the host's own does.
async fn built_in(run: &Run, spec: &StepSpec, step: &mut Step, observe: &mut dyn command::Observe) -> Result<StepEnd, StepError> {
    match &spec.kind {
        StepKind::Shell(shell) => shell::run(run, spec, shell, step, observe).await,
        StepKind::Sequence(sequence) => sequence::run(run, spec, sequence, step, observe).await,
        StepKind::SetPropertyFromCommand(from) => set_property::from_command(run, spec, from, step, observe).await,
        StepKind::SetProperty { property, value } => set_property::one(run, spec, property, value, step).await,
        StepKind::SetProperties(template) => set_property::many(run, template, step).await,
        StepKind::Scripted => Err(StepError::Other("BuildStep does nothing itself: there is no run() to call in it".into())),
    }
}

/// The failure, and the lines of the configuration that led to it.
fn with_traceback(failure: &LuaFailure) -> String {
    let mut text = failure.to_string();
    for frame in &failure.traceback {
        text.push_str("\n    ");
        text.push_str(frame);
    }
    text
}

/// A new log of a step.
pub(crate) fn new_log(run: &Run, step: &Step, name: &str, kind: LogKind) -> StepLog {
    let name = run.masked(name.to_owned());
    let mut logs = lock(&run.logs);
    let log = Log {
        id: run.job.store.next_log_id(),
        step: step.id,
        slug: unused(slug(&name), logs.iter().filter(|(of, _)| *of == step.id).map(|(_, log)| log)),
        name,
        kind,
        complete: false,
        num_lines: 0,
    };
    logs.push((step.id, log.clone()));
    drop(logs);
    drop(run.job.store.put_log(&log));
    let limits = LogLimits { max_bytes: run.job.config.log_max_size, max_tail_bytes: run.job.config.log_max_tail_size };
    StepLog::new(run.job.store.log_writer(log.clone(), limits), &log, run.job.events.clone(), run.secrets.clone())
}

/// A log that is written at once.
pub(crate) fn complete_log(run: &Run, step: &Step, name: &str, text: &str) -> Result<(), StoreError> {
    let mut log = new_log(run, step, name, LogKind::Text);
    log.append(Stream::Stdout, bytes::Bytes::copy_from_slice(text.as_bytes()))?;
    log.finish().map(drop)
}

/// Say in a log `err.text` what went wrong in the master or the configuration.
pub(crate) fn explain(run: &Run, step: &Step, text: &str) {
    let text = &*run.masked(text.to_owned());
    tracing::warn!(builder = run.job.builder.name, number = run.job.build.number, step = step.name, "{text}");
    if let Err(e) = complete_log(run, step, "err.text", &format!("{text}\n")) {
        tracing::error!("the log of that could not be written: {e}");
    }
}

/// A log's name as it may stand in a URL.
fn slug(name: &str) -> String {
    let mut slug: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') { c } else { '_' }).collect();
    if !slug.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        slug.insert(0, '_');
    }
    slug.truncate(50);
    slug
}

/// The slug, with `_2`, `_3` … if a log of the step has it.
fn unused<'a>(slug: String, logs: impl Iterator<Item = &'a Log>) -> String {
    let taken: Vec<&str> = logs.map(|log| log.slug.as_str()).collect();
    if !taken.contains(&slug.as_str()) {
        return slug;
    }
    (2..).map(|n| format!("{}_{n}", &slug[..slug.len().min(40)])).find(|s| !taken.contains(&s.as_str())).unwrap_or(slug)
}

/// ` (failure)` and the like; nothing for success.
pub(crate) fn suffix(results: Results) -> String {
    match results {
        Results::Success => String::new(),
        other => format!(" ({other})"),
    }
}
