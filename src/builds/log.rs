//! A log of a running step: line ends made even, secrets hidden, lines kept in the store and shown to whoever watches.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::broadcast;

use super::lines::Normaliser;
use crate::base::{LogId, StepId};
use crate::model::build::Stream;
use crate::model::{Event, Log};
use crate::secrets::{BuildSecrets, Mask, Masker};
use crate::store::{LogWriter, StoreError};

/// How long a line may be hidden from readers of a running log.
const VISIBLE_AFTER: Duration = Duration::from_secs(1);

pub struct StepLog {
    writer: LogWriter,
    id: LogId,
    step: StepId,
    name: Arc<str>,
    stdout: Normaliser,
    stderr: Normaliser,
    events: broadcast::Sender<Event>,
    secrets: Arc<BuildSecrets>,
    mask: Arc<Mask>,
    /// Of the mask.
    version: u64,
    /// By stream.
    maskers: [Masker; 3],
}

impl StepLog {
    pub fn new(writer: LogWriter, log: &Log, events: broadcast::Sender<Event>, secrets: Arc<BuildSecrets>) -> StepLog {
        StepLog {
            writer,
            id: log.id,
            step: log.step,
            name: log.name.as_str().into(),
            stdout: Normaliser::default(),
            stderr: Normaliser::default(),
            events,
            secrets,
            mask: Arc::default(),
            version: 0,
            maskers: Default::default(),
        }
    }

    pub fn id(&self) -> LogId {
        self.id
    }

    /// The next piece of a stream; returns it with even line ends, and as it came otherwise: only what is kept and shown is masked.
    pub fn append(&mut self, stream: Stream, piece: Bytes) -> Result<Bytes, StoreError> {
        let piece = match stream {
            Stream::Stdout => self.stdout.piece(piece),
            Stream::Stderr => self.stderr.piece(piece),
            Stream::Header => piece,
        };
        self.write(stream, piece.clone())?;
        Ok(piece)
    }

    fn write(&mut self, stream: Stream, piece: Bytes) -> Result<(), StoreError> {
        let version = self.secrets.version();
        if version != self.version {
            (self.version, self.mask) = (version, self.secrets.mask());
        }
        if self.mask.is_empty() {
            return self.keep(stream, &piece);
        }
        let piece = self.maskers[slot(stream)].piece(&self.mask, piece);
        self.keep(stream, &piece)
    }

    fn keep(&mut self, stream: Stream, piece: &Bytes) -> Result<(), StoreError> {
        if piece.is_empty() {
            return Ok(());
        }
        if self.events.receiver_count() > 0 {
            let _ = self.events.send(Event::LogLines { step: self.step, log: self.name.clone(), stream, lines: piece.clone() });
        }
        self.writer.append(stream, piece)
    }

    /// A line of the master's own.
    pub fn header(&mut self, line: &str) -> Result<(), StoreError> {
        self.write(Stream::Header, Bytes::from(format!("{line}\n")))
    }

    /// Called every second or so.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        self.writer.flush_if_older_than(VISIBLE_AFTER)
    }

    pub fn finish(mut self) -> Result<Log, StoreError> {
        let (out, err) = (self.stdout.finish(), self.stderr.finish());
        let mut written = self.write(Stream::Stdout, out).and_then(|()| self.write(Stream::Stderr, err));
        for stream in [Stream::Header, Stream::Stdout, Stream::Stderr] {
            let held = self.maskers[slot(stream)].finish(&self.mask);
            written = written.and_then(|()| self.keep(stream, &held));
        }
        let finished = self.writer.finish();
        written.and(finished)
    }
}

fn slot(stream: Stream) -> usize {
    match stream {
        Stream::Header => 0,
        Stream::Stdout => 1,
        Stream::Stderr => 2,
    }
}
