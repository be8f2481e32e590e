//! Looks at a command for a step in Lua: gathers whole lines of observed logs into batches, keeps what is asked for. Whoever observes sets
//! the pace. It knows no Lua and starts nothing.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use serde_json::{Map, Value as Json, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::StepError;
use super::command::Observe;
use super::stage::LARGEST_TEXT;
use crate::lua::{Piece, WorkEnd, WorkEvent};
use crate::model::build::Stream;
use crate::wire::Update;
use crate::workers::BoxFuture;

/// Lines in a batch for observers, and bytes.
const BATCH_LINES: usize = 500;
const BATCH_BYTES: usize = 256 << 10;
/// What a worker tells of one command besides its output, as it is kept.
const LARGEST_UPDATES: usize = 32 << 20;

/// What is seen of one command.
pub(super) struct Watcher {
    observed: BTreeSet<String>,
    to: mpsc::Sender<WorkEvent>,
    halted: CancellationToken,
    abandoned: CancellationToken,
    batch: Vec<Piece>,
    lines: usize,
    bytes: usize,
    /// Begun lines, by log and stream.
    begun: HashMap<(String, Stream), Vec<u8>>,
    stdout: Option<Vec<u8>>,
    stderr: Option<Vec<u8>>,
    updates: Map<String, Json>,
    /// The room that `updates` take.
    told: usize,
    rc: Option<i64>,
}

impl Watcher {
    /// Hands over to `to` until `halted`; whoever waits for the command gives it up with `abandoned`.
    pub fn new(
        observed: BTreeSet<String>,
        to: mpsc::Sender<WorkEvent>,
        halted: CancellationToken,
        abandoned: CancellationToken,
    ) -> Watcher {
        Watcher {
            observed,
            to,
            halted,
            abandoned,
            batch: Vec::new(),
            lines: 0,
            bytes: 0,
            begun: HashMap::new(),
            stdout: None,
            stderr: None,
            updates: Map::new(),
            told: 0,
            rc: None,
        }
    }

    /// What was seen of the command, for its end.
    pub fn tell(&mut self, end: &mut WorkEnd) {
        end.rc = self.rc;
        (end.stdout, end.stderr, end.updates) = (self.stdout.take(), self.stderr.take(), std::mem::take(&mut self.updates));
    }

    pub fn collect(&mut self, stdout: bool, stderr: bool) {
        self.stdout = stdout.then(Vec::new);
        self.stderr = stderr.then(Vec::new);
    }

    fn look(&mut self, log: &str, stream: Stream, text: &[u8]) {
        if !self.observed.contains(log) || self.halted.is_cancelled() {
            return;
        }
        let begun = self.begun.entry((log.to_owned(), stream)).or_default();
        let Some(last) = memchr::memrchr(b'\n', text) else {
            begun.extend_from_slice(text);
            // A line without an end is cut, as it is in its log.
            if begun.len() > BATCH_BYTES {
                let mut line = std::mem::take(begun);
                line.push(b'\n');
                self.add(log, stream, line);
            }
            return;
        };
        let mut whole = std::mem::take(begun);
        whole.extend_from_slice(&text[..=last]);
        begun.extend_from_slice(&text[last + 1..]);
        self.add(log, stream, whole);
    }

    fn add(&mut self, log: &str, stream: Stream, text: Vec<u8>) {
        self.lines += memchr::memchr_iter(b'\n', &text).count();
        self.bytes += text.len();
        match self.batch.last_mut() {
            Some(piece) if *piece.log == *log && piece.stream == stream => piece.text.extend_from_slice(&text),
            _ => self.batch.push(Piece { log: log.into(), stream, text }),
        }
    }

    fn take(&mut self) -> Vec<Piece> {
        (self.lines, self.bytes) = (0, 0);
        std::mem::take(&mut self.batch)
    }

    /// Hands everything on, at the end also lines that have none.
    pub async fn finish(&mut self) {
        for ((log, stream), mut text) in std::mem::take(&mut self.begun) {
            if !text.is_empty() {
                text.push(b'\n');
                self.add(&log, stream, text);
            }
        }
        if !self.batch.is_empty() {
            let batch = self.take();
            tokio::select! {
                () = self.halted.cancelled() => {}
                _ = self.to.send(WorkEvent::Output(batch)) => {}
            }
        }
    }

    fn keep(kept: &mut Option<Vec<u8>>, text: &[u8]) -> Result<(), StepError> {
        let Some(kept) = kept else { return Ok(()) };
        if kept.len() + text.len() > LARGEST_TEXT {
            return Err(StepError::Other(format!("more than {} MiB of output can't be collected", LARGEST_TEXT >> 20)));
        }
        kept.extend_from_slice(text);
        Ok(())
    }
}

impl Observe for Watcher {
    fn piece(&mut self, log: &str, stream: Stream, text: &Bytes) -> Result<(), StepError> {
        match stream {
            Stream::Stdout => Watcher::keep(&mut self.stdout, text)?,
            Stream::Stderr => Watcher::keep(&mut self.stderr, text)?,
            Stream::Header => {}
        }
        self.look(log, stream, text);
        Ok(())
    }

    fn file(&mut self, log: &str, text: &Bytes) -> Result<(), StepError> {
        self.look(log, Stream::Stdout, text);
        Ok(())
    }

    fn abandoned(&self) -> Option<CancellationToken> {
        Some(self.abandoned.clone())
    }

    fn told(&mut self, update: &Update) -> Result<(), StepError> {
        let (name, value) = match update {
            Update::Rc(rc) => {
                self.rc = Some(*rc);
                ("rc", json!(rc))
            }
            Update::Elapsed(seconds) => ("elapsed", json!(seconds)),
            Update::Files(files) => ("files", json!(files)),
            Update::Stat(numbers) => ("stat", json!(numbers)),
            Update::FailureReason(reason) => ("failure_reason", json!(reason)),
            _ => return Ok(()),
        };
        self.told += room(&value);
        if self.told > LARGEST_UPDATES {
            return Err(StepError::Other(format!("the worker tells more of one command than can be kept ({} MiB)", LARGEST_UPDATES >> 20)));
        }
        if let Json::Array(list) = self.updates.entry(name).or_insert_with(|| json!([])) {
            list.push(value);
        }
        Ok(())
    }

    fn settle(&mut self) -> BoxFuture<'_, Result<(), StepError>> {
        Box::pin(async move {
            if self.batch.is_empty() {
                return Ok(());
            }
            let full = self.lines >= BATCH_LINES || self.bytes >= BATCH_BYTES;
            let permit = if full {
                // Whoever observes sets the pace; a step that is to end is not waited for.
                tokio::select! {
                    () = self.halted.cancelled() => {
                        self.take();
                        return Ok(());
                    }
                    permit = self.to.clone().reserve_owned() => permit.ok(),
                }
            } else {
                self.to.clone().try_reserve_owned().ok()
            };
            if let Some(permit) = permit {
                permit.send(WorkEvent::Output(self.take()));
            } else if self.to.is_closed() {
                self.take();
            }
            Ok(())
        })
    }
}

/// In memory, about.
fn room(value: &Json) -> usize {
    size_of::<Json>()
        + match value {
            Json::String(text) => text.len(),
            Json::Array(items) => items.iter().map(room).sum(),
            _ => 0,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_worker_tells_has_an_end() {
        let (to, _events) = mpsc::channel(1);
        let mut watcher = Watcher::new(BTreeSet::new(), to, CancellationToken::new(), CancellationToken::new());
        let files = Update::Files(vec!["x".repeat(1 << 20); 8]);
        let refused = (0..100).find_map(|_| watcher.told(&files).err()).expect("it takes everything");
        assert_eq!(refused.to_string(), "the worker tells more of one command than can be kept (32 MiB)");
        assert!((0..2_000_000).any(|_| watcher.told(&Update::Rc(0)).is_err()));
        let mut end = WorkEnd::default();
        watcher.tell(&mut end);
        let kept: usize = end.updates.values().map(room).sum();
        assert!(kept > 20 << 20 && kept <= LARGEST_UPDATES + (1 << 10), "{kept} bytes are kept");
    }

    #[test]
    fn a_long_list_of_files_is_taken() {
        let (to, _events) = mpsc::channel(1);
        let mut watcher = Watcher::new(BTreeSet::new(), to, CancellationToken::new(), CancellationToken::new());
        // What one message of a worker may hold.
        let files: Vec<String> = (0..200_000).map(|n| format!("/home/worker/build/a/folder/{n:010}")).collect();
        watcher.told(&Update::Files(files.clone())).unwrap();
        let mut end = WorkEnd::default();
        watcher.tell(&mut end);
        assert_eq!(end.updates["files"], json!([files]));
    }
}
