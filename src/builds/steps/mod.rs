//! What the kinds of steps do. One file per kind; commands on the worker go through [`command`].

mod command;
mod sequence;
mod set_property;
mod shell;
mod warnings;

use super::log::StepLog;
use super::render::RenderError;
use super::run::{Run, StepEnd};
use crate::config::{StepKind, StepSpec};
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
    #[error("{0}")]
    Lua(#[from] crate::lua::LuaFailure),
    #[error("{0}")]
    Other(String),
}

pub(crate) async fn run(run: &mut Run, spec: &StepSpec, step: &mut Step) -> StepEnd {
    let ended = match &spec.kind {
        StepKind::Shell(shell) => shell::run(run, spec, shell, step).await,
        StepKind::Sequence(sequence) => sequence::run(run, spec, sequence, step).await,
        StepKind::SetPropertyFromCommand(from) => set_property::from_command(run, spec, from, step).await,
        StepKind::SetProperty { property, value } => set_property::one(run, spec, property, value, step).await,
        StepKind::SetProperties(template) => set_property::many(run, template, step).await,
    };
    ended.unwrap_or_else(|e| {
        explain(run, step, &e.to_string());
        let state = match e {
            StepError::Store(e) => format!("{} (the log could not be written: {e})", step.name),
            _ => format!("{} (exception)", step.name),
        };
        StepEnd { results: Results::Exception, state, lost: None }
    })
}

/// A new log of a step.
pub(crate) fn new_log(run: &Run, step: &Step, name: &str, kind: LogKind) -> StepLog {
    let name = run.masked(name.to_owned());
    let log = Log { id: run.job.store.next_log_id(), step: step.id, slug: slug(&name), name, kind, complete: false, num_lines: 0 };
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

/// ` (failure)` and the like; nothing for success.
pub(crate) fn suffix(results: Results) -> String {
    match results {
        Results::Success => String::new(),
        other => format!(" ({other})"),
    }
}
