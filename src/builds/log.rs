//! A log of a running step: line ends made even, lines kept in the store and shown to whoever watches.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::broadcast;

use super::lines::Normaliser;
use crate::base::{LogId, StepId};
use crate::model::build::Stream;
use crate::model::{Event, Log};
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
}

impl StepLog {
    pub fn new(writer: LogWriter, log: &Log, events: broadcast::Sender<Event>) -> StepLog {
        StepLog {
            writer,
            id: log.id,
            step: log.step,
            name: log.name.as_str().into(),
            stdout: Normaliser::default(),
            stderr: Normaliser::default(),
            events,
        }
    }

    pub fn id(&self) -> LogId {
        self.id
    }

    /// The next piece of a stream; returns it with even line ends.
    pub fn append(&mut self, stream: Stream, piece: Bytes) -> Result<Bytes, StoreError> {
        let piece = match stream {
            Stream::Stdout => self.stdout.piece(piece),
            Stream::Stderr => self.stderr.piece(piece),
            Stream::Header => piece,
        };
        self.write(stream, &piece)?;
        Ok(piece)
    }

    fn write(&mut self, stream: Stream, piece: &Bytes) -> Result<(), StoreError> {
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
        self.write(Stream::Header, &Bytes::from(format!("{line}\n")))
    }

    /// Called every second or so.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        self.writer.flush_if_older_than(VISIBLE_AFTER)
    }

    pub fn finish(mut self) -> Result<Log, StoreError> {
        let (out, err) = (self.stdout.finish(), self.stderr.finish());
        let written = self.write(Stream::Stdout, &out).and_then(|()| self.write(Stream::Stderr, &err));
        let finished = self.writer.finish();
        written.and(finished)
    }
}
