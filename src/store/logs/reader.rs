//! Reads logs, finished or being written, a frame at a time. Never holds a whole log in memory.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::{self, BoxStream, StreamExt};

use super::frame::{MAX_UNPACKED, runs, unpack};
use super::{FRAME_COLUMNS, Frame, lock};
use crate::base::LogId;
use crate::model::{Log, LogKind};
use crate::store::builds::read_log;
use crate::store::sql::{Result, Sql, first, params, rows};
use crate::store::{Store, StoreError};

/// The most bytes that one call of [`Store::log_lines`] gathers, give or take a line.
const MAX_LINES_BYTES: usize = 8 * 1024 * 1024;
/// Rows of the index that are read at a time.
const INDEX_PAGE: i64 = 64;

/// Some lines of a log.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct LogLines {
    /// The number of the first of them.
    pub first: i64,
    /// How many they are: fewer than asked for at the end of the log, or when they are large; then ask for the rest.
    pub count: i64,
    /// Of a stdio log each line begins with the letter of its stream.
    pub content: Vec<u8>,
}

/// The whole content of a log as bytes, as far as it was written when it was asked for.
pub struct LogRaw {
    pub total: u64,
    pub log: Log,
    chunks: BoxStream<'static, Result<Bytes>>,
}

impl Stream for LogRaw {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.chunks.poll_next_unpin(context)
    }
}

impl Store {
    /// Up to `limit` lines from `first_line` on.
    pub async fn log_lines(&self, id: LogId, first_line: i64, limit: i64) -> Result<LogLines> {
        let mut parts = self.log_parts(id, first_line.max(0)).await?;
        let stdio = parts.log.kind == LogKind::Stdio;
        let mut answer = LogLines { first: first_line.max(0), ..LogLines::default() };
        while answer.count < limit && answer.content.len() < MAX_LINES_BYTES {
            let Some((start, bytes, place)) = parts.next().await? else {
                break;
            };
            pick(&mut answer, start, &bytes, limit, stdio).map_err(|why| place.damaged(why))?;
        }
        Ok(answer)
    }

    /// The content of a log without letters.
    pub async fn log_raw(&self, id: LogId) -> Result<LogRaw> {
        let parts = self.log_parts(id, 0).await?;
        let (log, total) = (parts.log.clone(), parts.total);
        let chunks = stream::try_unfold(parts, |mut parts| async move {
            let Some((_, bytes, place)) = parts.next().await? else {
                return Ok(None);
            };
            Ok(Some((strip(bytes).map_err(|why| place.damaged(why))?, parts)))
        });
        Ok(LogRaw { total, log, chunks: chunks.boxed() })
    }

    /// The log's frames from the one with line `from` on, as of now.
    async fn log_parts(&self, id: LogId, from: i64) -> Result<Parts> {
        let live = self.logs.find(id).map(|shared| {
            let open = lock(&shared);
            let end = open.unsettled.front().map_or(open.next_line, |frame| frame.first_line);
            let log = Log { num_lines: open.next_line + open.tail.lines, ..open.log.clone() };
            let unsettled: Vec<Frame> = open.unsettled.iter().copied().collect();
            let content = open.tail.content + unsettled.iter().map(|frame| frame.content).sum::<u64>();
            (log, end, unsettled, content, (open.next_line, open.tail.bytes().to_vec()))
        });
        let (known, end, unsettled, content, tail) = match live {
            Some((log, end, unsettled, content, tail)) => (Some(log), end, unsettled, content, Some(tail)),
            None => (None, i64::MAX, Vec::new(), 0, None),
        };
        let work = move |sql: &mut dyn Sql| {
            let log = match &known {
                Some(log) => log.clone(),
                None => read_log(sql, id)?.ok_or_else(|| StoreError::Missing(format!("log {id}")))?,
            };
            let text = "SELECT SUM(content) FROM log_frames WHERE log_id = $1 AND first_line < $2";
            let settled = first(sql, text, params![id, end], |row| row.opt_int(0))?.flatten().unwrap_or(0);
            let text = "SELECT MAX(first_line) FROM log_frames WHERE log_id = $1 AND first_line <= $2 AND first_line < $3";
            let next = first(sql, text, params![id, from, end], |row| row.opt_int(0))?.flatten().unwrap_or(0);
            Ok((log, u64::try_from(settled).unwrap_or(0), next))
        };
        let (log, settled, next) = self.engine.read(format!("log {id}"), work).await?;
        let page = unsettled.into_iter().filter(|frame| frame.first_line + frame.num_lines > from).collect();
        let place = Place { path: Arc::new(self.logs.path(id)), offset: 0 };
        Ok(Parts {
            store: self.clone(),
            log,
            total: settled + content,
            next,
            end,
            page: Vec::new(),
            unsettled: page,
            tail,
            place,
            file: None,
        })
    }
}

/// Lines of a frame that begins with line `start`, as far as they are wanted.
fn pick(answer: &mut LogLines, start: i64, bytes: &[u8], limit: i64, stdio: bool) -> Result<(), &'static str> {
    let mut number = start;
    for run in runs(bytes) {
        let (stream, lines) = run?;
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            if answer.count >= limit || answer.content.len() >= MAX_LINES_BYTES {
                return Ok(());
            }
            if number >= answer.first + answer.count {
                if stdio {
                    answer.content.push(stream as u8);
                }
                answer.content.extend_from_slice(line);
                answer.count += 1;
            }
            number += 1;
        }
    }
    Ok(())
}

/// The lines of a frame without what tells the streams apart.
fn strip(mut bytes: Vec<u8>) -> Result<Bytes, &'static str> {
    let places: Vec<(usize, usize)> = {
        let start = bytes.as_ptr() as usize;
        runs(&bytes).map(|run| run.map(|(_, lines)| (lines.as_ptr() as usize - start, lines.len()))).collect::<Result<_, _>>()?
    };
    let mut length = 0;
    for (from, count) in places {
        bytes.copy_within(from..from + count, length);
        length += count;
    }
    bytes.truncate(length);
    Ok(Bytes::from(bytes))
}

/// Where in which file something was read.
#[derive(Clone)]
struct Place {
    path: Arc<PathBuf>,
    offset: u64,
}

impl Place {
    fn damaged(&self, why: impl ToString) -> StoreError {
        StoreError::Damaged { file: self.path.to_path_buf(), offset: self.offset, cause: why.to_string() }
    }
}

/// The frames of a log one after another: first those of the index up to line `end`, then those that are newer than the
/// index, then what is in no frame yet.
struct Parts {
    store: Store,
    log: Log,
    total: u64,
    next: i64,
    end: i64,
    /// Frames of the index, the next one last.
    page: Vec<Frame>,
    unsettled: std::collections::VecDeque<Frame>,
    tail: Option<(i64, Vec<u8>)>,
    place: Place,
    file: Option<Arc<File>>,
}

impl Parts {
    /// The number of its first line, its bytes, and where they come from.
    async fn next(&mut self) -> Result<Option<(i64, Vec<u8>, Place)>> {
        if self.page.is_empty() && self.next < self.end {
            self.read_index().await?;
        }
        let frame = match self.page.pop() {
            Some(frame) => {
                self.next = frame.first_line + frame.num_lines;
                Some(frame)
            }
            None => self.unsettled.pop_front(),
        };
        if let Some(frame) = frame {
            let place = Place { offset: frame.offset, ..self.place.clone() };
            let bytes = self.read_frame(frame, place.clone()).await?;
            return Ok(Some((frame.first_line, bytes, place)));
        }
        Ok(self.tail.take().filter(|(_, bytes)| !bytes.is_empty()).map(|(start, bytes)| (start, bytes, self.place.clone())))
    }

    async fn read_index(&mut self) -> Result<()> {
        let (id, next, end) = (self.log.id, self.next, self.end);
        let text = format!(
            "SELECT {FRAME_COLUMNS} FROM log_frames WHERE log_id = $1 AND first_line >= $2 AND first_line < $3
                ORDER BY first_line LIMIT {INDEX_PAGE}"
        );
        let work = move |sql: &mut dyn Sql| rows(sql, &text, params![id, next, end], Frame::read);
        self.page = self.store.engine.read(format!("index of log {id}"), work).await?;
        self.page.reverse();
        if self.page.is_empty() {
            self.next = self.end;
        }
        Ok(())
    }

    async fn read_frame(&mut self, frame: Frame, place: Place) -> Result<Vec<u8>> {
        let file = self.file.clone();
        let read = tokio::task::spawn_blocking(move || {
            let file = match file {
                Some(file) => file,
                None => Arc::new(File::open(&*place.path).map_err(|e| StoreError::file("reading log file", &place.path, &e))?),
            };
            if frame.unpacked > MAX_UNPACKED || frame.packed > 2 * MAX_UNPACKED {
                return Err(place.damaged("its index gives an impossible size"));
            }
            let mut packed = vec![0; frame.packed as usize];
            file.read_exact_at(&mut packed, frame.offset).map_err(|error| match error.kind() {
                std::io::ErrorKind::UnexpectedEof => place.damaged("the file ends before the frame does"),
                _ => StoreError::file("reading log file", &place.path, &error),
            })?;
            let bytes = unpack(&packed, frame.unpacked).map_err(|error| place.damaged(error))?;
            Ok((file, bytes))
        });
        let (file, bytes) = read.await.map_err(StoreError::database)??;
        self.file = Some(file);
        Ok(bytes)
    }
}
