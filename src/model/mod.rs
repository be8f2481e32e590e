//! The things themselves, as plain data: no room above knows them, every room below speaks of them.

pub mod absence;
pub mod build;
pub mod event;
pub mod launch;
pub mod outbox;
pub mod properties;
pub mod query;
pub mod report;
pub mod request;
pub mod results;
pub mod worker;

pub use absence::Absence;
pub use build::{Build, Log, LogKind, Step};
pub use event::Event;
pub use launch::{LaunchId, LaunchRecord, Quarantine};
pub use outbox::{NewOutboxItem, OutboxCount, OutboxDelay, OutboxItem, OutboxState};
pub use properties::{Properties, Property};
pub use query::Query;
pub use request::{BuildRequest, Buildset, SourceStamp};
pub use results::Results;
pub use worker::WorkerInfo;
