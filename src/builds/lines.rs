//! Line ends as every log has them: output of old workers comes as the program wrote it, in arbitrary pieces.
//!
//! `\r\n`, a `\r` that more output follows, cursor movements (`ESC [ u`, `ESC [ n ; n H` or `f`, `ESC [ 2 J`) and
//! runs of backspaces each become one `\n`. Pure; one [`Normaliser`] per stream.

use bytes::{Bytes, BytesMut};

/// Remembers what a piece ended with, if that may belong to a line end.
#[derive(Debug, Default)]
pub struct Normaliser {
    held: BytesMut,
}

/// The longest cursor movement that is waited for.
const LONGEST_ESCAPE: usize = 16;

impl Normaliser {
    /// The next piece, normalised. Without anything to do it is passed on untouched.
    pub fn piece(&mut self, piece: Bytes) -> Bytes {
        if self.held.is_empty() && memchr::memchr3(b'\r', 0x1b, 0x08, &piece).is_none() {
            return piece;
        }
        let mut input = std::mem::take(&mut self.held);
        input.extend_from_slice(&piece);
        let (output, rest) = normalise(&input, false);
        // A run of backspaces counts as one of them, however long it gets.
        let held = if input[rest..].first() == Some(&0x08) { &input[rest..=rest] } else { &input[rest..] };
        self.held = BytesMut::from(held);
        output.freeze()
    }

    /// What was held back, at the end of the stream.
    pub fn finish(&mut self) -> Bytes {
        let input = std::mem::take(&mut self.held);
        normalise(&input, true).0.freeze()
    }
}

/// The normalised text, and where in `input` it stops because more is needed to tell.
fn normalise(input: &[u8], last: bool) -> (BytesMut, usize) {
    let mut output = BytesMut::with_capacity(input.len());
    let mut at = 0;
    while let Some(found) = memchr::memchr3(b'\r', 0x1b, 0x08, &input[at..]) {
        output.extend_from_slice(&input[at..at + found]);
        at += found;
        let rest = &input[at..];
        let end = match rest[0] {
            b'\r' => match rest.get(1) {
                Some(b'\n') => Some(2),
                Some(_) => Some(1),
                None if last => Some(1),
                None => return (output, at),
            },
            0x08 => match rest.iter().position(|b| *b != 0x08) {
                Some(n) => Some(n),
                None if last => Some(rest.len()),
                None => return (output, at),
            },
            _ => match escape(rest) {
                Escape::Movement(n) => Some(n),
                Escape::Other => None,
                Escape::Unfinished if last => None,
                Escape::Unfinished => return (output, at),
            },
        };
        match end {
            Some(n) => {
                output.extend_from_slice(b"\n");
                at += n;
            }
            None => {
                output.extend_from_slice(&rest[..1]);
                at += 1;
            }
        }
    }
    output.extend_from_slice(&input[at..]);
    (output, input.len())
}

enum Escape {
    Movement(usize),
    Other,
    Unfinished,
}

fn escape(text: &[u8]) -> Escape {
    match text.get(1) {
        None => return Escape::Unfinished,
        Some(b'[') => {}
        Some(_) => return Escape::Other,
    }
    for (n, byte) in text.iter().enumerate().take(LONGEST_ESCAPE).skip(2) {
        return match byte {
            b'0'..=b'9' | b';' => continue,
            b'u' if n == 2 => Escape::Movement(3),
            b'H' | b'f' if text[2..n].contains(&b';') => Escape::Movement(n + 1),
            b'J' if &text[2..n] == b"2" => Escape::Movement(n + 1),
            _ => Escape::Other,
        };
    }
    if text.len() < LONGEST_ESCAPE { Escape::Unfinished } else { Escape::Other }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(text: &[u8]) -> Vec<u8> {
        let mut n = Normaliser::default();
        let mut out = n.piece(Bytes::copy_from_slice(text)).to_vec();
        out.extend_from_slice(&n.finish());
        out
    }

    #[test]
    fn line_ends() {
        for (from, to) in [
            ("a\r\nb", "a\nb"),
            ("10%\r20%\r", "10%\n20%\n"),
            ("a\x08\x08\x08b", "a\nb"),
            ("a\x1b[ub\x1b[12;3Hc\x1b[1;1fd\x1b[2Je", "a\nb\nc\nd\ne"),
            ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
            ("\x1b[2", "\x1b[2"),
            ("plain\n", "plain\n"),
        ] {
            assert_eq!(String::from_utf8_lossy(&whole(from.as_bytes())), to, "{from:?}");
        }
    }

    #[test]
    fn nothing_long_is_held_back() {
        let mut n = Normaliser::default();
        for _ in 0..1000 {
            assert!(n.piece(Bytes::from(vec![8; 1000])).is_empty());
            assert!(n.held.len() <= LONGEST_ESCAPE, "{} bytes are held", n.held.len());
        }
        assert_eq!(n.piece(Bytes::from_static(b"\x08x")), "\nx");
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(text in "[ab\r\n\x08\x1b\\[;2uHfJ]{0,40}", cut in 0usize..40) {
            let cut = cut.min(text.len());
            let mut n = Normaliser::default();
            let mut out = n.piece(Bytes::copy_from_slice(&text.as_bytes()[..cut])).to_vec();
            out.extend_from_slice(&n.piece(Bytes::copy_from_slice(&text.as_bytes()[cut..])));
            out.extend_from_slice(&n.finish());
            prop_assert_eq!(out, whole(text.as_bytes()));
        }
    }
}
