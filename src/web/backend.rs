//! What the web asks of the master: one trait, answered by whoever owns the things.
//!
//! Never decides who may ask; that is settled before a call arrives here.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use serde_json::{Map, Value};

use crate::model::query::{Filter, Page, Query, Row};

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
pub type BoxStream<T> = Pin<Box<dyn Stream<Item = T> + Send>>;

/// What is kept in the database and may be long; the rest is in memory.
///
/// A scope names the fields of a row, except: `Changes` may be asked by `buildid` or `ssid`, `Builds` by `changeid`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resource {
    Builds,
    Buildrequests,
    Buildsets,
    Steps,
    Logs,
    Sourcestamps,
    Changes,
}

/// Some whole lines of a log; those of a stdio log begin with the letter of their stream.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct LogLines {
    pub first_line: u64,
    /// Empty at the end of the log.
    pub content: Vec<u8>,
}

/// The text of a log as it was written, without letters.
pub struct RawLog {
    /// None while it is not known, as with a log that still grows.
    pub bytes: Option<u64>,
    pub stream: BoxStream<io::Result<Bytes>>,
}

/// Who asks for a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caller {
    /// Somebody who may open the master's own socket.
    Socket,
    /// A proxy, or whoever else may connect to the web's own Unix socket.
    WebSocket,
    /// A program on this machine, over TCP.
    Tcp(SocketAddr),
}

impl std::fmt::Display for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Caller::Socket => f.write_str("the control socket"),
            Caller::WebSocket => f.write_str("the web's Unix socket"),
            Caller::Tcp(peer) => peer.fmt(f),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WorkerAction {
    Pause,
    Unpause,
    /// No new builds; it shuts down when idle.
    Stop,
    /// It shuts down at once.
    Kill,
}

/// Why a question has no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ApiError {
    /// The question makes no sense: an unknown field, a value of the wrong kind.
    #[error("{0}")]
    BadQuery(String),
    #[error("{0}")]
    NotFound(String),
    /// The master could not answer.
    #[error("{0}")]
    Failed(String),
}

/// Why a change was not made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ControlError {
    NotFound(String),
    Invalid(String),
    /// A force: what is wrong, by the full name of the parameter.
    Fields(BTreeMap<String, String>),
    Failed(String),
}

/// A new build set: its id, and the request on each builder by the builder's id.
pub type Forced = (i64, BTreeMap<i64, i64>);

pub trait Backend: Send + Sync + 'static {
    fn masters(&self) -> Vec<Row>;
    fn builders(&self) -> Arc<Vec<Row>>;
    fn workers(&self) -> Arc<Vec<Row>>;
    fn schedulers(&self) -> Vec<Row>;
    /// Forms may show what functions say, which takes a while: called before [`Backend::forceschedulers`].
    fn prepare_forms(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
    fn forceschedulers(&self) -> Vec<Row>;
    /// Rows that pass the scope and the query, by id where the query gives no order.
    fn list(&self, what: Resource, scope: Vec<Filter>, query: Query) -> BoxFuture<'_, Result<Page, ApiError>>;
    /// `{name: [value, source]}`; empty if there is no such build.
    fn build_properties(&self, buildid: i64) -> BoxFuture<'_, Result<Map<String, Value>, ApiError>>;
    fn buildset_properties(&self, bsid: i64) -> BoxFuture<'_, Result<Map<String, Value>, ApiError>>;
    /// At most `limit` lines from `first` on; it may be fewer before the end of the log, but not none.
    fn log_lines(&self, logid: i64, first: u64, limit: u64) -> BoxFuture<'_, Result<LogLines, ApiError>>;
    fn log_raw(&self, logid: i64) -> BoxFuture<'_, Result<RawLog, ApiError>>;
    /// Why the request waits; none once it is claimed.
    fn waiting_for(&self, requestid: i64) -> Option<Value>;
    /// What `/api/v2/config` shows under `config`.
    fn config(&self) -> Value;
    /// Read the configuration anew; what came of it, in the form of `reload` in `config`.
    fn reload(&self, by: Caller) -> BoxFuture<'_, Result<Value, ControlError>>;
    /// The machines of latent workers, the newest first.
    fn instances(&self) -> BoxFuture<'_, Result<Vec<Row>, ApiError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
    /// Messages to people and services: what waits, and what became of the others.
    fn outbox(&self) -> BoxFuture<'_, Result<Vec<Row>, ApiError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
    /// Who sends them, and how much waits for each.
    fn reporters(&self) -> BoxFuture<'_, Result<Vec<Row>, ApiError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
    /// Look for machines that nobody knows and stop them; how many were.
    fn reap(&self, by: Caller) -> BoxFuture<'_, Result<usize, ControlError>> {
        let _ = by;
        Box::pin(async { Ok(0) })
    }
    /// Everything that waits in the outbox is tried at once; how many messages those are.
    fn retry_outbox(&self, by: Caller) -> BoxFuture<'_, Result<u64, ControlError>> {
        let _ = by;
        Box::pin(async { Ok(0) })
    }
    /// What `reload` would change now, in the same form; nothing is put to work.
    fn compare(&self) -> BoxFuture<'_, Result<Value, ControlError>>;
    /// Is the master at work? If not, why.
    fn ready(&self) -> Result<(), String>;
    fn force(&self, scheduler: &str, params: Map<String, Value>, by: Caller) -> BoxFuture<'_, Result<Forced, ControlError>>;
    fn stop_build(&self, buildid: i64, reason: String, results: Option<i64>) -> BoxFuture<'_, Result<(), ControlError>>;
    fn rebuild(&self, buildid: i64) -> BoxFuture<'_, Result<Forced, ControlError>>;
    fn cancel_request(&self, requestid: i64, reason: String) -> BoxFuture<'_, Result<(), ControlError>>;
    fn set_priority(&self, requestid: i64, priority: i64) -> BoxFuture<'_, Result<(), ControlError>>;
    fn worker(&self, workerid: i64, action: WorkerAction, reason: String) -> BoxFuture<'_, Result<(), ControlError>>;
}
