//! Writes one log: pieces in, frames of whole lines out. Never changes a byte, but ends a last line that has no end,
//! cuts lines beyond a megabyte, and leaves out what exceeds the limits.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use memchr::{memchr, memrchr};

use super::frame::MAX_LINE;
use super::tail::Tail;
use super::{Frame, OpenLog, Runs, lock};
use crate::model::Log;
use crate::model::build::Stream;
use crate::store::builds::put_log;
use crate::store::engine::After;
use crate::store::sql::{Result, Sql};
use crate::store::{Store, StoreError};

/// How large a log may become; none: as large as it likes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LogLimits {
    /// After so many bytes the rest is left out …
    pub max_bytes: Option<u64>,
    /// … except so many at the end. Held in memory until the log ends.
    pub max_tail_bytes: Option<u64>,
}

/// The one who writes a log. Dropped without [`finish`](LogWriter::finish) it finishes the log as it is.
pub struct LogWriter {
    store: Store,
    log: Log,
    limits: LogLimits,
    shared: Arc<Mutex<OpenLog>>,
    file: Option<File>,
    /// Where the next frame goes.
    offset: u64,
    /// The begun line of each stream.
    begun: [Vec<u8>; 3],
    /// Bytes written before the limit.
    written: u64,
    /// What comes after the limit.
    tail: Option<Tail>,
    /// When the oldest line came that is in no frame yet.
    waiting_since: Option<Instant>,
    finished: bool,
}

impl Store {
    /// Starts to write the content of a log.
    pub fn log_writer(&self, log: Log, limits: LogLimits) -> LogWriter {
        let open = OpenLog { log: log.clone(), unsettled: Default::default(), tail: Runs::default(), next_line: 0, failed: None };
        let shared = Arc::new(Mutex::new(open));
        lock(&self.logs.open).insert(log.id, shared.clone());
        LogWriter {
            store: self.clone(),
            log,
            limits,
            shared,
            file: None,
            offset: 0,
            begun: Default::default(),
            written: 0,
            tail: None,
            waiting_since: None,
            finished: false,
        }
    }
}

fn slot(stream: Stream) -> usize {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
        Stream::Header => 2,
    }
}

impl LogWriter {
    /// Adds a piece of a stream, lines or parts of lines. After an error, as of a full disk, nothing more is written and
    /// every call gives that error.
    pub fn append(&mut self, stream: Stream, piece: &[u8]) -> Result<()> {
        self.check()?;
        let Some(last) = memrchr(b'\n', piece) else {
            return self.begin(stream, piece);
        };
        let (mut whole, rest) = piece.split_at(last + 1);
        if !self.begun[slot(stream)].is_empty() {
            let end = memchr(b'\n', whole).unwrap_or(last);
            self.begin(stream, &whole[..end])?;
            self.end_line(stream)?;
            whole = &whole[end + 1..];
        }
        self.lines(stream, whole)?;
        self.begin(stream, rest)
    }

    /// Makes what came at least `age` ago safe from a crash.
    pub fn flush_if_older_than(&mut self, age: Duration) -> Result<()> {
        self.check()?;
        if self.waiting_since.is_some_and(|since| since.elapsed() >= age) {
            let shared = self.shared.clone();
            self.flush(&mut lock(&shared))?;
        }
        Ok(())
    }

    /// Ends the log: the row with its number of lines is kept after everything before it.
    pub fn finish(mut self) -> Result<Log> {
        self.close()
    }

    fn check(&self) -> Result<()> {
        match &lock(&self.shared).failed {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// Adds to the begun line.
    fn begin(&mut self, stream: Stream, mut part: &[u8]) -> Result<()> {
        while self.begun[slot(stream)].len() + part.len() > MAX_LINE {
            let begun = &mut self.begun[slot(stream)];
            let (now, later) = part.split_at(MAX_LINE - begun.len());
            begun.extend_from_slice(now);
            part = later;
            self.end_line(stream)?;
        }
        self.begun[slot(stream)].extend_from_slice(part);
        Ok(())
    }

    /// Ends the begun line.
    fn end_line(&mut self, stream: Stream) -> Result<()> {
        let mut line = std::mem::take(&mut self.begun[slot(stream)]);
        line.push(b'\n');
        let outcome = self.lines(stream, &line);
        line.clear();
        line.shrink_to(64 * 1024);
        self.begun[slot(stream)] = line;
        outcome
    }

    /// Whole lines: before the limit to the frames, after it to the tail.
    fn lines(&mut self, stream: Stream, mut lines: &[u8]) -> Result<()> {
        if let Some(max) = self.limits.max_bytes {
            let room = usize::try_from(max.saturating_sub(self.written)).unwrap_or(usize::MAX);
            if self.tail.is_some() || lines.len() > room {
                let fits = if self.tail.is_some() { 0 } else { memrchr(b'\n', &lines[..room]).map_or(0, |end| end + 1) };
                let (head, rest) = lines.split_at(fits);
                let max_tail = self.limits.max_tail_bytes.unwrap_or(0).min(u64::from(u32::MAX)) as usize;
                let tail = self.tail.get_or_insert_with(|| Tail::new(max_tail));
                rest.split_inclusive(|&byte| byte == b'\n').for_each(|line| tail.push(stream, line));
                lines = head;
            }
        }
        self.write(stream, lines)
    }

    fn write(&mut self, stream: Stream, mut lines: &[u8]) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        self.written += lines.len() as u64;
        let shared = self.shared.clone();
        let mut open = lock(&shared);
        while !lines.is_empty() {
            let room = open.tail.room();
            if lines.len() > room {
                // As many whole lines as fit; one that fits into no frame gets a frame of its own.
                let end = match memrchr(b'\n', &lines[..room]) {
                    Some(end) => end + 1,
                    None if !open.tail.is_empty() => 0,
                    None => memchr(b'\n', lines).map_or(lines.len(), |end| end + 1),
                };
                let (now, later) = lines.split_at(end);
                if now.len() > MAX_LINE + 1 {
                    let (cut, _) = now.split_at(MAX_LINE);
                    lines = &lines[MAX_LINE..];
                    open.tail.push(stream, &[cut, b"\n"].concat());
                } else {
                    open.tail.push(stream, now);
                    lines = later;
                }
                self.flush(&mut open)?;
            } else {
                open.tail.push(stream, lines);
                lines = &[];
                self.waiting_since.get_or_insert_with(Instant::now);
            }
        }
        Ok(())
    }

    /// What is in no frame yet becomes one.
    fn flush(&mut self, open: &mut OpenLog) -> Result<()> {
        let Some(frame) = self.write_frame(open)? else {
            return Ok(());
        };
        let id = self.log.id;
        let work = move |sql: &mut dyn Sql| frame.keep(sql, id);
        drop(self.store.engine.queue(format!("index of log {id}"), work, Some(self.settle())));
        Ok(())
    }

    /// When it is known what became of the index row of the oldest unsettled frame.
    fn settle(&self) -> After {
        let shared = self.shared.clone();
        Box::new(move |outcome| {
            let mut open = lock(&shared);
            open.unsettled.pop_front();
            if let Err(error) = outcome {
                open.failed.get_or_insert_with(|| error.clone());
            }
        })
    }

    fn write_frame(&mut self, open: &mut OpenLog) -> Result<Option<Frame>> {
        self.waiting_since = None;
        if open.tail.is_empty() {
            return Ok(None);
        }
        let written = match self.write_file(open.tail.bytes()) {
            Ok(written) => written,
            Err(error) => {
                // What cannot be written is gone; what was written before can be read.
                open.tail.clear();
                open.failed = Some(error.clone());
                return Err(error);
            }
        };
        let frame = Frame {
            first_line: open.next_line,
            num_lines: open.tail.lines,
            offset: self.offset,
            packed: written,
            unpacked: open.tail.bytes().len() as u64,
            content: open.tail.content,
        };
        self.offset += written;
        open.next_line += frame.num_lines;
        open.unsettled.push_back(frame);
        open.tail.clear();
        Ok(Some(frame))
    }

    /// Packs and writes; how many bytes that were.
    fn write_file(&mut self, bytes: &[u8]) -> Result<u64> {
        let files = self.store.logs.clone();
        let path = files.path(self.log.id);
        let file = match &self.file {
            Some(file) => file,
            None => {
                if let Some(folder) = path.parent() {
                    std::fs::create_dir_all(folder).map_err(|e| StoreError::file("making the folder of logs", folder, &e))?;
                }
                let made = File::options().create(true).write(true).truncate(true).open(&path);
                self.file.insert(made.map_err(|e| StoreError::file("making log file", &path, &e))?)
            }
        };
        let mut packer = files.packer()?;
        let packed = packer.pack(bytes).map_err(|e| StoreError::file("packing log file", &path, &e))?;
        file.write_all_at(packed, self.offset).map_err(|e| StoreError::file("writing log file", &path, &e))?;
        let written = packed.len() as u64;
        files.give_back(packer);
        Ok(written)
    }

    fn close(&mut self) -> Result<Log> {
        self.finished = true;
        let ended = self.check().and_then(|()| self.end_content());
        let shared = self.shared.clone();
        let mut open = lock(&shared);
        let ended = ended.and_then(|()| self.write_frame(&mut open));
        self.log.complete = true;
        self.log.num_lines = open.next_line;
        open.log = self.log.clone();
        drop(open);
        let frame = ended.as_ref().ok().copied().flatten();
        let log = self.log.clone();
        let work = move |sql: &mut dyn Sql| {
            if let Some(frame) = frame {
                frame.keep(sql, log.id)?;
            }
            put_log(sql, &log)
        };
        let (files, id) = (self.store.logs.clone(), self.log.id);
        let after: After = Box::new(move |_| drop(lock(&files.open).remove(&id)));
        drop(self.store.engine.queue(format!("finishing log {id}"), work, Some(after)));
        ended.map(|_| self.log.clone())
    }

    /// As if the disk were full from now on.
    #[cfg(test)]
    pub(super) fn fill_disk(&mut self) {
        self.file = File::options().write(true).open("/dev/full").ok();
    }

    /// Ends begun lines; then the tail, with a word on what is missing before it.
    fn end_content(&mut self) -> Result<()> {
        for stream in [Stream::Stdout, Stream::Stderr, Stream::Header] {
            if !self.begun[slot(stream)].is_empty() {
                self.end_line(stream)?;
            }
        }
        let Some(mut tail) = self.tail.take() else {
            return Ok(());
        };
        if tail.dropped() > 0 {
            let max = self.limits.max_bytes.unwrap_or(0);
            let note = format!("{} bytes are left out here: the log is larger than the {max} bytes allowed\n", tail.dropped());
            self.write(Stream::Header, note.as_bytes())?;
        }
        tail.lines().try_for_each(|(stream, line)| self.write(stream, line))
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        if !self.finished
            && let Err(error) = self.close()
        {
            tracing::error!(%error, log = self.log.id.0, "a log could not be finished");
        }
    }
}
