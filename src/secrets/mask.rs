//! Puts names in place of values, in whole texts and in streams that come in pieces.
//!
//! What is looked for never holds a line end, so nothing is held back of a line that is complete. Without secrets there is
//! nothing to look for, and text passes untouched.

use std::borrow::Cow;
use std::collections::BTreeMap;

use aho_corasick::{AhoCorasick, MatchKind};
use bytes::{Bytes, BytesMut};
use serde_json::{Map, Value as Json};

use crate::base::Secret;

/// Shorter lines of a value of several lines are not looked for: `{` or `EOF` would be everywhere.
const SHORTEST_LINE: usize = 4;

/// Longer values are looked for in parts.
const LONGEST_NEEDLE: usize = 1024;

/// In place of a text that can't be searched.
const NOT_SHOWN: &str = "(not shown)";

/// Values and what is shown for them.
#[derive(Clone, Default)]
pub struct Mask {
    secrets: Vec<(String, Secret)>,
    look: Option<Look>,
}

#[derive(Clone)]
struct Look {
    /// None: it could not be made, and nothing is shown rather than all.
    automaton: Option<AhoCorasick>,
    /// What is looked for, in order, and what stands in its place.
    needles: Vec<(Vec<u8>, String)>,
    /// Does one of them begin with this byte?
    begins: Box<[bool; 256]>,
    longest: usize,
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mask of {} secrets", self.secrets.len())
    }
}

impl Mask {
    pub fn new(secrets: Vec<(String, Secret)>) -> Mask {
        let mut needles: BTreeMap<Vec<u8>, String> = BTreeMap::new();
        for (name, secret) in &secrets {
            for text in forms(secret.reveal()) {
                needles.entry(text.into_bytes()).or_insert_with(|| format!("<{name}>"));
            }
        }
        Mask { secrets, look: Look::new(needles.into_iter().collect()) }
    }

    /// These and one more.
    pub fn with(&self, name: &str, secret: &Secret) -> Mask {
        let mut secrets = self.secrets.clone();
        secrets.push((name.to_owned(), secret.clone()));
        Mask::new(secrets)
    }

    pub fn is_empty(&self) -> bool {
        self.look.is_none()
    }

    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let Some(look) = &self.look else { return Cow::Borrowed(text) };
        let Some(automaton) = &look.automaton else { return Cow::Borrowed(NOT_SHOWN) };
        let mut found = automaton.find_iter(text).peekable();
        if found.peek().is_none() {
            return Cow::Borrowed(text);
        }
        let (mut out, mut at) = (String::with_capacity(text.len()), 0);
        for one in found {
            // Values are whole texts, so they begin and end between characters.
            out.push_str(&text[at..one.start()]);
            out.push_str(&look.needles[one.pattern().as_usize()].1);
            at = one.end();
        }
        out.push_str(&text[at..]);
        Cow::Owned(out)
    }

    /// The same, where a text is at hand that is not needed otherwise.
    pub fn owned(&self, text: String) -> String {
        if self.is_empty() {
            return text;
        }
        self.text(&text).into_owned()
    }

    /// Every text in it, names too.
    pub fn json(&self, value: Json) -> Json {
        if self.is_empty() {
            return value;
        }
        match value {
            Json::String(text) => Json::String(self.owned(text)),
            Json::Array(items) => items.into_iter().map(|item| self.json(item)).collect(),
            Json::Object(map) => {
                Json::Object(map.into_iter().map(|(name, item)| (self.owned(name), self.json(item))).collect::<Map<_, _>>())
            }
            // A number may be a secret, too: a personal code.
            Json::Number(number) => {
                let text = number.to_string();
                match self.secrets.iter().find(|(_, secret)| secret.reveal().trim() == text) {
                    Some((name, _)) => Json::String(format!("<{name}>")),
                    None => Json::Number(number),
                }
            }
            plain => plain,
        }
    }
}

impl Look {
    fn new(needles: Vec<(Vec<u8>, String)>) -> Option<Look> {
        let longest = needles.iter().map(|(text, _)| text.len()).max()?;
        let mut begins = Box::new([false; 256]);
        needles.iter().for_each(|(text, _)| begins[usize::from(text[0])] = true);
        let automaton = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(needles.iter().map(|(text, _)| text));
        let automaton = automaton.inspect_err(|e| tracing::error!("texts can't be searched for secrets and are not shown: {e}")).ok();
        Some(Look { automaton, needles, begins, longest })
    }

    /// Where in `input`, from `at`, a value may have begun whose end has not come yet.
    fn begun(&self, input: &[u8], at: usize) -> usize {
        let from = at.max((input.len() + 1).saturating_sub(self.longest));
        (from..input.len())
            .find(|i| {
                let rest = &input[*i..];
                self.begins[usize::from(rest[0])] && {
                    // In their order, what goes on from here comes next.
                    let next = self.needles.partition_point(|(text, _)| &text[..] <= rest);
                    self.needles.get(next).is_some_and(|(text, _)| text.starts_with(rest))
                }
            })
            .unwrap_or(input.len())
    }
}

/// What a value is looked for as: its lines, plain and as within quotes.
fn forms(value: &str) -> Vec<String> {
    // Also what output loses on its way into a log parts lines: see `builds::lines`.
    let lines: Vec<&str> = value.split(|c: char| c.is_control() && c != '\t').map(str::trim).filter(|l| !l.is_empty()).collect();
    let several = lines.len() > 1;
    let long: Vec<&str> = lines.iter().copied().filter(|l| l.chars().count() >= SHORTEST_LINE).collect();
    let plain: Vec<String> = match several && !long.is_empty() {
        true => long.into_iter().map(str::to_owned).collect(),
        // A single line counts with the blanks at its ends only if that is all there is to it.
        false => lines.into_iter().map(str::to_owned).collect(),
    };
    let mut forms = Vec::new();
    for line in plain {
        forms.push(line.replace('\'', "'\\''"));
        forms.push(line.replace('\'', "'\"'\"'"));
        let backslashed = line.replace('\\', "\\\\");
        forms.push(backslashed.replace('"', "\\\""));
        forms.push(backslashed.replace('\'', "\\'"));
        forms.push(backslashed);
        forms.push(line);
    }
    forms.iter().flat_map(|form| parts(form)).map(str::to_owned).collect()
}

/// A long text in parts, each of which is looked for by itself: the search stays cheap, and little is held back.
fn parts(mut text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    while text.len() > LONGEST_NEEDLE {
        let (part, rest) = text.split_at(text.floor_char_boundary(LONGEST_NEEDLE));
        parts.push(part);
        text = rest;
    }
    if parts.is_empty() || text.chars().count() >= SHORTEST_LINE {
        parts.push(text);
    }
    parts
}

/// Masks one stream.
#[derive(Default)]
pub struct Masker {
    /// The end of what came, which may be the beginning of a value.
    held: BytesMut,
}

impl Masker {
    /// The next piece, masked.
    pub fn piece(&mut self, mask: &Mask, piece: Bytes) -> Bytes {
        self.go_on(mask, piece, false)
    }

    /// What was held back, at the end of the stream.
    pub fn finish(&mut self, mask: &Mask) -> Bytes {
        self.go_on(mask, Bytes::new(), true)
    }

    fn go_on(&mut self, mask: &Mask, piece: Bytes, last: bool) -> Bytes {
        let Some(look) = &mask.look else {
            // A mask only ever grows, so nothing is held without one.
            return piece;
        };
        let Some(automaton) = &look.automaton else {
            self.held.clear();
            return Bytes::new();
        };
        let input = match self.held.is_empty() {
            true => piece,
            false => {
                self.held.extend_from_slice(&piece);
                std::mem::take(&mut self.held).freeze()
            }
        };
        let (mut out, mut at) = (BytesMut::new(), 0);
        let mut begun = if last { input.len() } else { look.begun(&input, 0) };
        // Which of two values it is may be open at the end, and one that begins earlier wins.
        while let Some(found) = automaton.find(aho_corasick::Input::new(&input[..]).range(at..)).filter(|f| f.start() < begun) {
            out.extend_from_slice(&input[at..found.start()]);
            out.extend_from_slice(look.needles[found.pattern().as_usize()].1.as_bytes());
            at = found.end();
            if begun < at {
                begun = if last { input.len() } else { look.begun(&input, at) };
            }
        }
        if !last && begun < input.len() {
            self.held.extend_from_slice(&input[begun..]);
        }
        if at == 0 {
            return input.slice(..begun);
        }
        out.extend_from_slice(&input[at..begun]);
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mask(secrets: &[(&str, &str)]) -> Mask {
        Mask::new(secrets.iter().map(|(name, value)| (name.to_string(), Secret::new(*value))).collect())
    }

    fn pieces(mask: &Mask, pieces: &[&[u8]]) -> Vec<u8> {
        let mut masker = Masker::default();
        let mut out = Vec::new();
        for piece in pieces {
            out.extend_from_slice(&masker.piece(mask, Bytes::copy_from_slice(piece)));
            let longest = mask.look.as_ref().map_or(1, |l| l.longest);
            assert!(masker.held.len() < longest, "{} of {longest} bytes are held", masker.held.len());
        }
        out.extend_from_slice(&masker.finish(mask));
        out
    }

    #[test]
    fn values_are_replaced_by_their_names() {
        let mask = mask(&[("tok", "s3cret"), ("longer", "s3cret-too"), ("empty", "")]);
        assert_eq!(mask.text("a s3cret, s3cret-too, s3cre"), "a <tok>, <longer>, s3cre");
        assert!(matches!(mask.text("nothing"), Cow::Borrowed(_)));
        assert_eq!(format!("{mask:?}"), "Mask of 3 secrets");
        let json = serde_json::json!({ "s3cret": ["x s3cret", 5, null] });
        assert_eq!(mask.json(json), serde_json::json!({ "<tok>": ["x <tok>", 5, null] }));
    }

    #[test]
    fn a_number_may_be_a_secret() {
        assert_eq!(mask(&[("pin", "4711")]).json(serde_json::json!([4711, 14711])), serde_json::json!(["<pin>", 14711]));
    }

    #[test]
    fn of_several_lines_each_is_hidden_that_is_long_enough() {
        let key = mask(&[("key", "-----BEGIN-----\r\nabcdefgh\n  ijklmnop\nEOF\n")]);
        assert_eq!(key.text("-----BEGIN-----\nabcdefgh\n>ijklmnop<\nEOF"), "<key>\n<key>\n><key><\nEOF");
        // If all are short, all count.
        assert_eq!(mask(&[("k", "ab\ncd")]).text("x ab cd"), "x <k> <k>");
    }

    #[test]
    fn values_are_found_as_they_stand_in_quotes() {
        let mask = mask(&[("q", r#"it's "a" b\c"#)]);
        for written in [r#"it's "a" b\c"#, r#"it'\''s "a" b\c"#, r#"it'"'"'s "a" b\c"#, r#"it's \"a\" b\\c"#, r#"it\'s "a" b\\c"#] {
            assert_eq!(mask.text(&format!("[{written}]")), "[<q>]", "{written}");
        }
    }

    #[test]
    fn a_value_in_two_pieces_is_found_and_a_line_is_never_late() {
        let mask = mask(&[("tok", "s3cret"), ("s", "cre")]);
        assert_eq!(pieces(&mask, &[b"x s3c", b"ret y s3", b"x s3"]), b"x <tok> y s3x s3");
        let mut masker = Masker::default();
        assert_eq!(masker.piece(&mask, Bytes::from_static(b"line s3cr\n")), "line s3<s>r\n".replace("<s>r", "cr"));
        assert_eq!(masker.piece(&mask, Bytes::from_static(b"end s3c")), "end ");
        assert_eq!(masker.finish(&mask), "s3c");
    }

    #[test]
    fn a_long_value_is_hidden_part_by_part() {
        let long: String =
            (0..2 * LONGEST_NEEDLE + 10).map(|i| if i % 7 == 0 { 'ß' } else { char::from(b'a' + (i * i % 23) as u8) }).collect();
        let mask = mask(&[("long", &long)]);
        assert!(mask.look.as_ref().unwrap().longest <= LONGEST_NEEDLE);
        let out = mask.text(&long);
        assert!(out.replace("<long>", "").is_empty() && out.len() < 30, "{out}");
        let cut: Vec<&[u8]> = long.as_bytes().chunks(100).collect();
        assert_eq!(pieces(&mask, &cut), out.as_bytes());
    }

    #[test]
    fn without_secrets_nothing_is_copied() {
        let piece = Bytes::from_static(b"some text");
        let out = Masker::default().piece(&Mask::default(), piece.clone());
        assert_eq!(out.as_ptr(), piece.as_ptr());
        // Nor with one that is not there.
        let out = Masker::default().piece(&mask(&[("tok", "s3cret")]), piece.clone());
        assert_eq!(out.as_ptr(), piece.as_ptr());
    }

    proptest! {
        /// Small alphabets, so that values overlap and begin within each other.
        #[test]
        fn pieces_are_masked_as_the_whole(
            secrets in prop::collection::vec("[ab]{1,5}", 1..4),
            text in "[ab\n]{0,60}",
            cuts in prop::collection::vec(0usize..61, 0..6),
        ) {
            let named: Vec<(String, Secret)> = secrets.iter().enumerate().map(|(i, s)| (format!("N{i}"), Secret::new(s.clone()))).collect();
            let mask = Mask::new(named);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(text.len())).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let parts: Vec<&[u8]> = cuts.windows(2).map(|w| &text.as_bytes()[w[0]..w[1]]).collect();
            prop_assert_eq!(String::from_utf8(pieces(&mask, &parts)).unwrap(), mask.text(&text));
        }
    }
}
