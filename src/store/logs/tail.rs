//! The end of a log that is larger than allowed: the last lines, within a limit. Never holds more than that limit and a
//! little for headers.

use std::collections::VecDeque;

use crate::model::build::Stream;

/// What the worker and the master say of a command, its exit status above all, comes last and matters: this much of it
/// is kept whatever the limit for output is.
const HEADERS: usize = 16 * 1024;

pub(super) struct Tail {
    output: Ring,
    headers: Ring,
    /// Counts lines, to tell their order.
    count: u64,
}

impl Tail {
    pub fn new(max_bytes: usize) -> Tail {
        Tail { output: Ring::new(max_bytes), headers: Ring::new(HEADERS), count: 0 }
    }

    /// Adds one whole line.
    pub fn push(&mut self, stream: Stream, line: &[u8]) {
        self.count += 1;
        let ring = if stream == Stream::Header { &mut self.headers } else { &mut self.output };
        ring.push(self.count, stream, line);
    }

    /// Bytes that were left out.
    pub fn dropped(&self) -> u64 {
        self.output.dropped + self.headers.dropped
    }

    /// The lines that are left, in order.
    pub fn lines(&mut self) -> impl Iterator<Item = (Stream, &[u8])> {
        let (mut output, mut headers) = (self.output.iter().peekable(), self.headers.iter().peekable());
        std::iter::from_fn(move || {
            let output_first = match (output.peek(), headers.peek()) {
                (Some((a, ..)), Some((b, ..))) => a < b,
                (a, _) => a.is_some(),
            };
            let next = if output_first { output.next() } else { headers.next() };
            next.map(|(_, stream, line)| (stream, line))
        })
    }
}

/// The last lines that fit.
struct Ring {
    max: usize,
    bytes: VecDeque<u8>,
    /// Number, stream and length of each line in `bytes`.
    lines: VecDeque<(u64, Stream, u32)>,
    dropped: u64,
}

impl Ring {
    fn new(max: usize) -> Ring {
        Ring { max, bytes: VecDeque::new(), lines: VecDeque::new(), dropped: 0 }
    }

    fn push(&mut self, number: u64, stream: Stream, line: &[u8]) {
        // Of a line that alone is too long the end is kept.
        let kept = &line[line.len().saturating_sub(self.max)..];
        self.dropped += (line.len() - kept.len()) as u64;
        while self.bytes.len() + kept.len() > self.max
            && let Some((_, _, length)) = self.lines.pop_front()
        {
            self.bytes.drain(..length as usize);
            self.dropped += u64::from(length);
        }
        if !kept.is_empty() {
            self.bytes.extend(kept);
            self.lines.push_back((number, stream, kept.len() as u32));
        }
    }

    fn iter(&mut self) -> impl Iterator<Item = (u64, Stream, &[u8])> {
        let bytes: &[u8] = self.bytes.make_contiguous();
        self.lines.iter().scan(0, move |start, &(number, stream, length)| {
            let line = &bytes[*start..*start + length as usize];
            *start += length as usize;
            Some((number, stream, line))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_lines_in_order_and_counts_the_rest() {
        let mut tail = Tail::new(8);
        tail.push(Stream::Stdout, b"one\n");
        tail.push(Stream::Header, b"head\n");
        tail.push(Stream::Stderr, b"two\n");
        assert_eq!(tail.dropped(), 0);
        tail.push(Stream::Stdout, b"six\n");
        let lines: Vec<_> = tail.lines().map(|(stream, line)| (stream, line.to_vec())).collect();
        assert_eq!(lines, [(Stream::Header, b"head\n".to_vec()), (Stream::Stderr, b"two\n".to_vec()), (Stream::Stdout, b"six\n".to_vec())]);
        assert_eq!(tail.dropped(), 4);
    }

    #[test]
    fn of_a_long_line_the_end_is_kept() {
        let mut tail = Tail::new(4);
        tail.push(Stream::Stdout, b"a\n");
        tail.push(Stream::Stdout, b"0123456789\n");
        assert_eq!(tail.lines().map(|(_, line)| line.to_vec()).collect::<Vec<_>>(), [b"789\n".to_vec()]);
        assert_eq!(tail.dropped(), 9);
        let mut nothing = Tail::new(0);
        nothing.push(Stream::Stdout, b"a\n");
        assert_eq!(nothing.lines().count(), 0);
        assert_eq!(nothing.dropped(), 2);
    }
}
