//! The streams of one command side by side: stdout, stderr and its watched files, in the order in which they spoke.
//!
//! No I/O: bytes come in, updates of whole lines go to the outbox, at the latest [`DELAY`] after they were complete.

use std::time::Duration;

use bytes::Bytes;
use memchr::memchr_iter;
use tokio::time::Instant;

use super::lines::{LONG, Lines};
use super::outbox::Outbox;
use crate::wire::{ShellArgs, Update};

pub const STDOUT: usize = 0;
pub const STDERR: usize = 1;

/// How long complete lines are collected before they are sent.
const DELAY: Duration = Duration::from_millis(100);

pub struct Streams {
    standard: [Lines; 2],
    wanted: [bool; 2],
    logs: Vec<(String, Lines)>,
    /// The stream whose complete lines wait, and since when.
    waiting: Option<(usize, Instant)>,
    max_lines: Option<u64>,
    lines: u64,
}

impl Streams {
    pub fn new(args: &ShellArgs) -> Streams {
        Streams {
            standard: [Lines::default(), Lines::default()],
            wanted: [args.want_stdout, args.want_stderr],
            logs: args.logfiles.iter().map(|(name, ..)| (name.clone(), Lines::default())).collect(),
            waiting: None,
            max_lines: args.max_lines.map(|max| u64::try_from(max).unwrap_or(0)),
            lines: 0,
        }
    }

    /// Where stdout and stderr are read to.
    pub fn pair(&mut self) -> (&mut Lines, &mut Lines) {
        let [stdout, stderr] = &mut self.standard;
        (stdout, stderr)
    }

    /// The number of lines so far if the `count` bytes just read exceed what is allowed.
    pub fn too_many_lines(&mut self, stream: usize, count: usize) -> Option<u64> {
        let max = self.max_lines.filter(|_| self.wanted[stream])?;
        self.lines += memchr_iter(b'\n', self.standard[stream].latest(count)).count() as u64;
        (self.lines > max).then_some(self.lines)
    }

    /// Bytes of stdout or stderr have been read.
    pub fn came(&mut self, stream: usize, now: Instant, out: &mut Outbox) {
        if !self.wanted[stream] {
            self.standard[stream].discard();
            return;
        }
        self.give_way(stream, out);
        self.standard[stream].normalise();
        self.collect(stream, now, out);
    }

    /// Text of a watched file.
    pub fn log(&mut self, number: usize, text: &[u8], now: Instant, out: &mut Outbox) {
        let stream = self.standard.len() + number;
        self.give_way(stream, out);
        for piece in text.chunks(LONG) {
            self.of(stream).push(piece);
            self.collect(stream, now, out);
        }
    }

    pub fn flush_at(&self) -> Option<Instant> {
        self.waiting.map(|(_, since)| since + DELAY)
    }

    pub fn flush_due(&mut self, now: Instant, out: &mut Outbox) {
        if self.flush_at().is_some_and(|at| at <= now) {
            self.flush(out);
        }
    }

    /// Send what is complete.
    pub fn flush(&mut self, out: &mut Outbox) {
        let Some((stream, _)) = self.waiting.take() else { return };
        while let Some(text) = self.of(stream).take() {
            out.push(self.update(stream, text));
        }
    }

    /// The unfinished last lines, once everything has been read.
    pub fn finish(&mut self) -> Vec<Update> {
        let order = (self.standard.len()..self.standard.len() + self.logs.len()).chain([STDOUT, STDERR]);
        order.filter_map(|stream| self.of(stream).finish().map(|text| self.update(stream, text))).collect()
    }

    /// Another stream speaks: what was said before goes out before it.
    fn give_way(&mut self, stream: usize, out: &mut Outbox) {
        if self.waiting.is_some_and(|(waiting, _)| waiting != stream) {
            self.flush(out);
        }
    }

    fn collect(&mut self, stream: usize, now: Instant, out: &mut Outbox) {
        let lines = self.of(stream);
        if !lines.ready() {
            return;
        }
        let full = lines.len() >= LONG;
        self.waiting.get_or_insert((stream, now));
        if full {
            self.flush(out);
        }
    }

    fn of(&mut self, stream: usize) -> &mut Lines {
        match stream {
            STDOUT | STDERR => &mut self.standard[stream],
            log => &mut self.logs[log - 2].1,
        }
    }

    fn update(&self, stream: usize, text: Bytes) -> Update {
        match stream {
            STDOUT => Update::Stdout(text),
            STDERR => Update::Stderr(text),
            log => Update::Log(self.logs[log - 2].0.clone(), text),
        }
    }
}
