//! What survives a crash: the database and the log files. The only room that knows SQL.
//!
//! Whoever writes either awaits the answer, which comes after the commit, or holds a [`Ticket`]; writes are committed in
//! the order in which they were asked for. Ids are counted in memory, so a thing has its id before it is written.
//! Never decides what a build or a request should do next.

mod absences;
mod builds;
mod engine;
mod error;
mod fields;
mod kept;
mod launches;
mod list;
mod logs;
mod names;
mod occurrences;
mod outbox;
mod record;
mod recover;
mod requests;
mod schema;
mod sql;
mod sqlite;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

pub use engine::Ticket;
pub use error::StoreError;
pub use fields::Resource;
pub use logs::{LogLimits, LogLines, LogRaw, LogWriter};
pub use names::{BuilderRow, StoredWorker};
pub use record::{BuildRecord, BuildsetRecord, RequestRecord, StepRecord};
pub use recover::Recovery;

use crate::base::{BuildId, LogId, StepId};
use engine::Engine;
use logs::LogFiles;
use sql::{Result, Sql, first};
use sqlite::Sqlite;

const READERS: usize = 2;

pub struct StoreOptions {
    /// The database file; made if missing.
    pub database: PathBuf,
    /// The folder of the logs; made if missing.
    pub logs: PathBuf,
}

/// The store of one master. Clones are the same store.
#[derive(Clone)]
pub struct Store {
    engine: Arc<Engine>,
    ids: Arc<Ids>,
    logs: Arc<LogFiles>,
}

/// The next id of each kind.
struct Ids {
    buildset: AtomicI64,
    request: AtomicI64,
    sourcestamp: AtomicI64,
    build: AtomicI64,
    step: AtomicI64,
    log: AtomicI64,
    occurrence: AtomicI64,
}

fn next(counter: &AtomicI64) -> i64 {
    counter.fetch_add(1, Ordering::Relaxed)
}

impl Ids {
    fn read(sql: &mut dyn Sql) -> Result<Ids> {
        let mut after = |table: &str| -> Result<AtomicI64> {
            let last = first(sql, &format!("SELECT MAX(id) FROM {table}"), &[], |row| row.opt_int(0))?.flatten();
            Ok(AtomicI64::new(last.unwrap_or(0) + 1))
        };
        Ok(Ids {
            buildset: after("buildsets")?,
            request: after("requests")?,
            sourcestamp: after("sourcestamps")?,
            build: after("builds")?,
            step: after("steps")?,
            log: after("logs")?,
            occurrence: after("occurrences")?,
        })
    }
}

impl Store {
    pub async fn open(options: StoreOptions) -> Result<Store> {
        let opened = tokio::task::spawn_blocking(move || open(options)).await;
        opened.map_err(StoreError::database)?
    }

    /// Commits what is queued and ends the threads; every clone is closed.
    pub async fn close(&self) {
        self.engine.stop().await;
    }

    pub fn next_build_id(&self) -> BuildId {
        BuildId(next(&self.ids.build))
    }

    pub fn next_step_id(&self) -> StepId {
        StepId(next(&self.ids.step))
    }

    pub fn next_log_id(&self) -> LogId {
        LogId(next(&self.ids.log))
    }
}

fn open(options: StoreOptions) -> Result<Store> {
    std::fs::create_dir_all(&options.logs).map_err(|e| StoreError::file("making the folder of logs", &options.logs, &e))?;
    let mut writer = Sqlite::writer(&options.database)?;
    schema::migrate(&mut writer, schema::MIGRATIONS)?;
    let ids = Ids::read(&mut writer)?;
    let mut readers: Vec<Box<dyn Sql>> = Vec::new();
    for _ in 0..READERS {
        readers.push(Box::new(Sqlite::reader(&options.database)?));
    }
    let engine = Engine::start(Box::new(writer), readers)?;
    Ok(Store { engine: Arc::new(engine), ids: Arc::new(ids), logs: Arc::new(LogFiles::new(options.logs)) })
}
