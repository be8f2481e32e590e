//! REST and control over HTTP: what a script written against a Buildbot master speaks.
//!
//! `ask` reads query strings, `route` paths, `access` says who may change anything: pure functions of text and tables
//! (`kinds`). `answers` and `control` put the questions to the [`Backend`]; `serve` keeps clients from holding the
//! master. This room knows no database, no Lua and no worker. Tests over real connections are in `tests`.

mod access;
mod answers;
mod ask;
pub mod backend;
mod control;
mod data;
mod kinds;
mod listen;
mod logs;
mod lookup;
mod reply;
mod route;
mod serve;
#[cfg(test)]
mod tests;

pub use answers::router;
pub use backend::{ApiError, Backend, BoxFuture, BoxStream, Caller, ControlError, Forced, LogLines, RawLog, Resource, WorkerAction};
pub use data::Data;
pub use listen::{Bound, bind, bind_unix, with_short_path};
pub use serve::{serve_tcp, serve_unix};
