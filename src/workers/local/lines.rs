//! How raw output becomes whole lines: bytes of one stream in, texts of complete lines with normalised line ends out.
//!
//! Pure: no clock, no I/O. It never waits for more than it must: a line that grows beyond [`LONG`] is handed out in pieces,
//! of which only the last ends in a line end, so nothing is lost. Bytes that are not UTF-8 pass unchanged.

use bytes::{Buf, Bytes, BytesMut};
use memchr::{memchr3, memrchr};

/// How much is read at a time, and how long a line may be before it is cut.
pub const LONG: usize = 64 << 10;
/// Texts up to this size are copied out, so that the buffer can be used again and a small text pins no large block.
const SMALL: usize = 16 << 10;
/// The longest terminal sequence that is recognised.
const SEQUENCE: usize = 24;

#[derive(Default)]
pub struct Lines {
    buf: BytesMut,
    /// Up to here line ends are normalised.
    clean: usize,
    /// Up to here there is no line end.
    searched: usize,
    /// The last piece handed out did not end its line.
    open: bool,
}

impl Lines {
    /// Where to read to; call [`Lines::normalise`] afterwards.
    pub fn space(&mut self) -> &mut BytesMut {
        self.buf.reserve(LONG);
        &mut self.buf
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
        self.normalise();
    }

    pub fn discard(&mut self) {
        self.buf.clear();
        (self.clean, self.searched) = (0, 0);
    }

    /// Bytes that wait, complete or not.
    pub fn len(&self) -> usize {
        self.buf.len()
    }

    /// The last `count` bytes that came.
    pub fn latest(&self, count: usize) -> &[u8] {
        &self.buf[self.buf.len().saturating_sub(count)..]
    }

    /// Whether [`Lines::take`] has something to give.
    pub fn ready(&mut self) -> bool {
        self.end_of_lines().is_some()
    }

    /// The complete lines, or a piece of one that is too long.
    pub fn take(&mut self) -> Option<Bytes> {
        let end = self.end_of_lines()?;
        let text = if end <= SMALL {
            let text = Bytes::copy_from_slice(&self.buf[..end]);
            self.buf.advance(end);
            text
        } else {
            self.buf.split_to(end).freeze()
        };
        self.clean -= end;
        self.searched = 0;
        self.open = text.last() != Some(&b'\n');
        Some(text)
    }

    /// What is left when the stream has ended, with a line end.
    pub fn finish(&mut self) -> Option<Bytes> {
        if self.clean < self.buf.len() && matches!(self.buf[self.clean], b'\r' | 8) {
            self.buf.truncate(self.clean);
            self.buf.extend_from_slice(b"\n");
        }
        if self.buf.last().map_or(self.open, |last| *last != b'\n') {
            self.buf.extend_from_slice(b"\n");
        }
        (self.clean, self.searched, self.open) = (0, 0, false);
        let rest = self.buf.split().freeze();
        (!rest.is_empty()).then_some(rest)
    }

    fn end_of_lines(&mut self) -> Option<usize> {
        if let Some(last) = memrchr(b'\n', &self.buf[self.searched..self.clean]) {
            return Some(self.searched + last + 1);
        }
        self.searched = self.clean;
        (self.clean >= LONG).then(|| whole_characters(&self.buf[..self.clean]))
    }

    /// Turn the line ends and cursor movements of terminals into line ends, in what came since the last call.
    pub fn normalise(&mut self) {
        let end = self.buf.len();
        let Some(first) = special(&self.buf[self.clean..]) else {
            self.clean = end;
            return;
        };
        let buf = &mut self.buf[..];
        let mut read = self.clean + first;
        let mut write = read;
        while read < end {
            match sequence(&buf[read..]) {
                Sequence::Break(length) => {
                    buf[write] = b'\n';
                    read += length;
                }
                Sequence::Plain => {
                    buf[write] = buf[read];
                    read += 1;
                }
                Sequence::Unfinished => break,
            }
            write += 1;
            let plain = special(&buf[read..]).unwrap_or(end - read);
            buf.copy_within(read..read + plain, write);
            read += plain;
            write += plain;
        }
        self.clean = write;
        // A run of backspaces counts as one of them, however long it gets.
        let tail = if buf[read..].first() == Some(&8) { end - 1..end } else { read..end };
        let length = tail.len();
        buf.copy_within(tail, write);
        self.buf.truncate(write + length);
    }
}

enum Sequence {
    /// So many bytes stand for a line end.
    Break(usize),
    /// The first byte stands for itself.
    Plain,
    /// What follows decides.
    Unfinished,
}

fn special(bytes: &[u8]) -> Option<usize> {
    memchr3(b'\r', 0x1b, 8, bytes)
}

/// What begins here: `\r\n`, a `\r`, backspaces, `ESC [ u`, `ESC [ 2 J`, `ESC [ n ; n H` (or `f`).
fn sequence(bytes: &[u8]) -> Sequence {
    match bytes {
        [b'\r'] => Sequence::Unfinished,
        [b'\r', b'\n', ..] => Sequence::Break(2),
        [b'\r', ..] => Sequence::Break(1),
        [8, ..] => match bytes.iter().position(|b| *b != 8) {
            Some(length) => Sequence::Break(length),
            None => Sequence::Unfinished,
        },
        [0x1b] | [0x1b, b'['] | [0x1b, b'[', b'2'] => Sequence::Unfinished,
        [0x1b, b'[', b'u', ..] => Sequence::Break(3),
        [0x1b, b'[', b'2', b'J', ..] => Sequence::Break(4),
        [0x1b, b'[', rest @ ..] => position_sequence(rest),
        _ => Sequence::Plain,
    }
}

fn position_sequence(rest: &[u8]) -> Sequence {
    let digits = |from: usize| rest[from..].iter().take(SEQUENCE).take_while(|b| b.is_ascii_digit()).count();
    let line = digits(0);
    let Some(middle) = rest.get(line) else { return Sequence::Unfinished };
    if line == 0 || *middle != b';' {
        return Sequence::Plain;
    }
    let column = digits(line + 1);
    match rest.get(line + 1 + column) {
        None => Sequence::Unfinished,
        Some(b'H' | b'f') if column > 0 => Sequence::Break(2 + line + 1 + column + 1),
        Some(_) => Sequence::Plain,
    }
}

/// The length without a UTF-8 character that is cut at the end.
fn whole_characters(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(3);
    let Some(start) = bytes[tail..].iter().rposition(|b| b & 0xc0 != 0x80).map(|i| tail + i) else { return bytes.len() };
    match std::str::from_utf8(&bytes[start..]) {
        Err(e) if e.error_len().is_none() && start > 0 => start,
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that comes out, for input in pieces of `size` bytes.
    fn through(input: &[u8], size: usize) -> Vec<u8> {
        let mut lines = Lines::default();
        let mut out = Vec::new();
        for piece in input.chunks(size) {
            lines.push(piece);
            while let Some(text) = lines.take() {
                out.extend_from_slice(&text);
            }
        }
        out.extend(lines.finish().into_iter().flatten());
        out
    }

    #[test]
    fn line_ends_are_normalised_at_any_split() {
        let cases: [(&[u8], &[u8]); 9] = [
            (b"a\r\nb\n", b"a\nb\n"),
            (b"50%\r100%\r\n", b"50%\n100%\n"),
            (b"a\r", b"a\n"),
            (b"12\x08\x08\x0834", b"12\n34\n"),
            (b"x\x1b[uy\x1b[2Jz\x1b[10;20Hq\x1b[1;1fr", b"x\ny\nz\nq\nr\n"),
            (b"\x1b[31mred\x1b[0m\n", b"\x1b[31mred\x1b[0m\n"),
            (b"cut \x1b[1;", b"cut \x1b[1;\n"),
            (b"\xff\xfe\nx", b"\xff\xfe\nx\n"),
            (b"", b""),
        ];
        for (input, expected) in cases {
            for size in 1..=input.len().max(1) {
                assert_eq!(through(input, size), expected, "{input:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn only_complete_lines_come_before_the_end() {
        let mut lines = Lines::default();
        lines.push(b"one\ntwo");
        assert_eq!(lines.take().as_deref(), Some(&b"one\n"[..]));
        assert!(!lines.ready());
        lines.push(b" and a half\n");
        assert_eq!(lines.take().as_deref(), Some(&b"two and a half\n"[..]));
        assert_eq!(lines.finish(), None);
    }

    #[test]
    fn a_long_line_is_cut_between_characters_and_nothing_is_lost() {
        let input = "ü✓".repeat(60_000);
        let mut lines = Lines::default();
        let mut out = Vec::new();
        for piece in input.as_bytes().chunks(LONG - 1) {
            lines.push(piece);
            assert!(lines.len() <= 2 * LONG);
            while let Some(text) = lines.take() {
                assert!(std::str::from_utf8(&text).is_ok());
                out.extend_from_slice(&text);
            }
        }
        out.extend(lines.finish().into_iter().flatten());
        assert_eq!(out, format!("{input}\n").into_bytes());
        let exact = vec![b'x'; LONG];
        assert_eq!(through(&exact, LONG).len(), LONG + 1);
        let binary = vec![0x80; 3 * LONG];
        assert_eq!(through(&binary, LONG).len(), 3 * LONG + 1);
        assert_eq!(through(&vec![8; 3 * LONG], 1000), b"\n");
    }
}
