//! The content of logs: compressed files that only grow, one per log, with an index in the database.
//!
//! A file is a sequence of frames, each compressed by itself and made of whole lines ([`frame`]). The frame is written
//! first, its row in the index after it: bytes that no row knows are left from a crash and never read. The last lines of
//! a log that is being written are in memory, where readers find them too.

mod frame;
mod reader;
mod tail;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use reader::{LogLines, LogRaw};
pub use writer::{LogLimits, LogWriter};

use super::sql::{Result, RowRef, Sql, params};
use super::{Store, StoreError};
use crate::base::LogId;
use crate::model::Log;
use frame::{Packer, Runs};

const PER_FOLDER: i64 = 1000;
/// Compressors kept for reuse; each holds about a megabyte.
const IDLE_PACKERS: usize = 4;

/// Where the logs are, and those that are being written.
pub(super) struct LogFiles {
    folder: PathBuf,
    open: Mutex<HashMap<LogId, Arc<Mutex<OpenLog>>>>,
    packers: Mutex<Vec<Packer>>,
}

/// A log that is being written, as far as readers need it.
struct OpenLog {
    log: Log,
    /// Frames in the file whose index rows are not committed yet.
    unsettled: VecDeque<Frame>,
    /// Lines that are in no frame yet.
    tail: Runs,
    /// The number of the first of these.
    next_line: i64,
    /// Why nothing more is written.
    failed: Option<StoreError>,
}

/// A row of the index.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Frame {
    first_line: i64,
    num_lines: i64,
    offset: u64,
    /// Bytes in the file, bytes when unpacked, bytes of the log's content in it.
    packed: u64,
    unpacked: u64,
    content: u64,
}

impl LogFiles {
    pub fn new(folder: PathBuf) -> LogFiles {
        LogFiles { folder, open: Mutex::default(), packers: Mutex::default() }
    }

    fn path(&self, id: LogId) -> PathBuf {
        self.folder.join((id.0 / PER_FOLDER).to_string()).join(format!("{id}.zst"))
    }

    fn find(&self, id: LogId) -> Option<Arc<Mutex<OpenLog>>> {
        lock(&self.open).get(&id).cloned()
    }

    fn packer(&self) -> Result<Packer> {
        let idle = lock(&self.packers).pop();
        idle.map_or_else(Packer::new, Ok)
    }

    fn give_back(&self, packer: Packer) {
        let mut idle = lock(&self.packers);
        if idle.len() < IDLE_PACKERS {
            idle.push(packer);
        }
    }
}

/// A thread that panicked left whole values behind: each change under these locks is complete at every step that can fail.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const FRAME_COLUMNS: &str = "first_line, num_lines, file_offset, packed, unpacked, content";

impl Frame {
    fn read(row: &dyn RowRef) -> Result<Frame> {
        let size = |column| -> Result<u64> {
            u64::try_from(row.int(column)?).map_err(|_| StoreError::database("a size in the index of logs is negative"))
        };
        Ok(Frame {
            first_line: row.int(0)?,
            num_lines: row.int(1)?,
            offset: size(2)?,
            packed: size(3)?,
            unpacked: size(4)?,
            content: size(5)?,
        })
    }

    fn keep(&self, sql: &mut dyn Sql, log: LogId) -> Result<()> {
        sql.execute(
            "INSERT INTO log_frames (log_id, first_line, num_lines, file_offset, packed, unpacked, content)
                VALUES ($1, $2, $3, $4, $5, $6, $7)",
            params![
                log,
                self.first_line,
                self.num_lines,
                self.offset as i64,
                self.packed as i64,
                self.unpacked as i64,
                self.content as i64
            ],
        )
        .map(drop)
    }
}

impl Store {
    /// Removes a log for good: its row, its index, its file. One that is being written is refused.
    pub async fn delete_log(&self, id: LogId) -> Result<()> {
        if self.logs.find(id).is_some() {
            return Err(StoreError::Refused(format!("log {id} is being written")));
        }
        let work = move |sql: &mut dyn Sql| {
            sql.execute("DELETE FROM log_frames WHERE log_id = $1", params![id])?;
            match sql.execute("DELETE FROM logs WHERE id = $1", params![id])? {
                0 => Err(StoreError::Missing(format!("log {id}"))),
                _ => Ok(()),
            }
        };
        self.engine.write(format!("removing log {id}"), work).await?;
        let path = self.logs.path(id);
        match tokio::fs::remove_file(&path).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::file("removing log file", &path, &error)),
            _ => Ok(()),
        }
    }
}
