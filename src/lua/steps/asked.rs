//! What a running step asks of its build: [`StepHost`], which `builds` implements, and the plain data that go there and back. Nothing here
//! knows Lua.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;

use serde_json::{Map, Value as Json};
use tokio::sync::mpsc;
use tokio_util::sync::DropGuard;

use super::Kept;
use crate::config::{RemoteCommand, RemoteShell, ShellArgSpec, StepSpec, Value};
use crate::model::build::Stream;
use crate::model::{LogKind, Results};

pub type Waiting<T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send>>;

/// What a running step asks of its build. Errors are texts for the person who wrote the step.
pub trait StepHost: Send + Sync + 'static {
    /// Names and numbers that do not change while it runs.
    fn facts(&self) -> Json;
    fn property(&self, name: &str) -> Option<Json>;
    fn properties(&self) -> Map<String, Json>;
    /// Without a source it is the step's name.
    fn set_property(&self, name: &str, value: Json, source: Option<&str>) -> Result<(), String>;
    fn render(&self, values: BTreeMap<String, Value>) -> Waiting<Map<String, Json>>;
    /// The number of a new log.
    fn add_log(&self, name: &str, kind: LogKind) -> Result<i64, String>;
    /// The newest log of that name.
    fn log_named(&self, name: &str) -> Option<i64>;
    fn write_log(&self, log: i64, stream: Stream, text: &[u8]) -> Result<(), String>;
    fn finish_log(&self, log: i64) -> Result<(), String>;
    /// The lines of these streams.
    fn read_log(&self, log: i64, streams: Vec<Stream>) -> Waiting<Vec<u8>>;
    fn add_url(&self, name: &str, url: &str) -> Result<(), String>;
    /// The summary while it runs and in the end, if the step says none itself.
    fn current_state(&self) -> String;
    fn result_state(&self, results: Results) -> String;
    /// Is a new summary to be shown now? If not, the host asks for it a little later.
    fn summary_due(&self) -> bool;
    fn show_summary(&self, text: Option<String>);
    fn set_statistic(&self, name: &str, value: Json) -> Result<(), String>;
    fn statistic(&self, name: &str) -> Option<Json>;
    /// What each step of the build said under this name.
    fn statistics(&self, name: &str) -> Vec<Json>;
    fn add_steps(&self, steps: Vec<Arc<StepSpec>>, place: StepsPlace, kept: Kept) -> Result<(), String>;
    /// The worker's version of a command that it knows.
    fn command_version(&self, command: &str) -> Option<String>;
    /// Begin to run something on the worker.
    fn start(&self, work: Work, observed: BTreeSet<String>) -> Result<Running, String>;
}

/// Where further steps of a build go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StepsPlace {
    Next,
    Last,
}

/// What a step runs on the worker.
#[derive(Clone, PartialEq, Debug)]
pub enum Work {
    /// What the step of the host does.
    BuiltIn,
    Shell(Box<RemoteShell>),
    Sequence(Vec<ShellArgSpec>, Box<RemoteShell>),
    Remote(RemoteCommand),
}

/// Something under way on the worker; dropping it interrupts it.
pub struct Running {
    pub events: mpsc::Receiver<WorkEvent>,
    pub interrupt: DropGuard,
}

#[derive(Debug)]
pub enum WorkEvent {
    /// Output of observed logs, in whole lines.
    Output(Vec<Piece>),
    Ended(WorkEnd),
}

#[derive(Debug)]
pub struct Piece {
    pub log: Arc<str>,
    pub stream: Stream,
    pub text: Vec<u8>,
}

#[derive(Debug, Default)]
pub struct WorkEnd {
    pub results: Option<Results>,
    pub rc: Option<i64>,
    pub stdout: Option<Vec<u8>>,
    pub stderr: Option<Vec<u8>>,
    /// What the worker told beside output: `rc`, `files`, `stat`, `elapsed`, each a list.
    pub updates: Map<String, Json>,
    pub lost: Option<String>,
    pub stopped: Option<String>,
    pub failed: Option<String>,
}
