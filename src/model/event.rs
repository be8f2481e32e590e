//! What happened, for whoever watches: the terminal of `buildmoon run`, later event streams and reporters.

use std::sync::Arc;

use bytes::Bytes;

use super::build::Stream;
use super::{Build, Results, Step};
use crate::base::{BuildId, RequestId, StepId};

#[derive(Clone, Debug)]
pub enum Event {
    RequestAdded(RequestId),
    RequestComplete(RequestId, Results),
    BuildStarted(Arc<Build>),
    StepStarted(Arc<Step>),
    /// The step's one-line summary changed.
    StepState(Arc<Step>),
    /// Whole lines of a log.
    LogLines {
        step: StepId,
        log: Arc<str>,
        stream: Stream,
        lines: Bytes,
    },
    StepFinished(Arc<Step>),
    BuildFinished {
        build: Arc<Build>,
        id: BuildId,
    },
    WorkerAttached(Arc<str>),
    WorkerDetached(Arc<str>),
}
