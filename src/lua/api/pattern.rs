//! Regular expressions as a file writes them: one compiled pattern over bytes, whichever of the two engines it needs. Knows
//! nothing of Lua.
//!
//! The engine without backtracking is used wherever it can be; look-around and back-references go to the other one, whose steps are
//! limited.

use std::cell::OnceCell;
use std::time::{Duration, Instant};

use fancy_regex as fancy;

/// Of a compiled pattern; a pattern with large counted repetitions of Unicode classes reaches it.
const LARGEST: usize = 4 << 20;
const LONGEST: usize = 64 << 10;
/// Steps of one search with backtracking.
const STEPS: usize = 1_000_000;
/// All searches of one call with backtracking; between two of them it is looked at.
const LONGEST_CALL: Duration = Duration::from_secs(2);

pub(super) type Spans = Vec<Option<(usize, usize)>>;

enum Engine {
    Linear(regex::bytes::Regex),
    Backtracking(fancy::Regex),
}

pub(super) struct Pattern {
    source: String,
    flags: String,
    engine: Engine,
    /// The same for a match of the whole subject: the first alternative that matches may not be the one that reaches the end.
    whole: OnceCell<Result<Engine, String>>,
    /// Of the groups, from number 0.
    pub names: Vec<Option<String>>,
}

impl Pattern {
    pub fn new(source: &str, flags: &str) -> Result<Pattern, String> {
        if source.len() > LONGEST {
            return Err(format!("the pattern is longer than {} KiB", LONGEST >> 10));
        }
        if let Some(flag) = flags.chars().find(|c| !"imsx".contains(*c)) {
            return Err(format!("there is no flag '{flag}'; the flags are i, m, s and x"));
        }
        let source = end_of_text(source);
        let engine = compile(&format!("{}{source}", inline(flags)))?;
        let names = match &engine {
            Engine::Linear(r) => r.capture_names().map(|n| n.map(str::to_owned)).collect(),
            Engine::Backtracking(r) => r.capture_names().map(|n| n.map(str::to_owned)).collect(),
        };
        Ok(Pattern { source, flags: flags.to_owned(), engine, whole: OnceCell::new(), names })
    }

    pub fn search(&self, subject: &[u8]) -> Result<Option<Spans>, String> {
        self.engine.at(&self.engine.subject(subject)?, 0)
    }

    /// At the start. The leftmost match begins there if any does.
    pub fn starting(&self, subject: &[u8]) -> Result<Option<Spans>, String> {
        Ok(self.search(subject)?.filter(|spans| matches!(spans[0], Some((0, _)))))
    }

    pub fn whole(&self, subject: &[u8]) -> Result<Option<Spans>, String> {
        let engine = self.whole.get_or_init(|| {
            let inline = inline(&self.flags);
            // A comment at the end of a pattern with the flag `x` would hide the parenthesis.
            let plain = format!(r"\A(?:{inline}{})\z", self.source);
            let spaced = format!("\\A(?:{inline}{}\n)\\z", self.source);
            if self.flags.contains('x') { compile(&spaced) } else { compile(&plain).or_else(|_| compile(&spaced)) }
        });
        let engine = engine.as_ref().map_err(Clone::clone)?;
        engine.at(&engine.subject(subject)?, 0)
    }

    /// Each match that does not touch the one before it, up to so many; `found` may fail.
    pub fn each<E: From<String>>(
        &self,
        subject: &[u8],
        most: Option<usize>,
        mut found: impl FnMut(Spans) -> Result<(), E>,
    ) -> Result<(), E> {
        let began = Instant::now();
        let given = self.engine.subject(subject)?;
        let (mut from, mut last_end, mut count) = (0, None, 0);
        while from <= subject.len() && most.is_none_or(|most| count < most) {
            let Some(spans) = self.engine.at(&given, from)? else { break };
            let Some((start, end)) = spans[0] else { break };
            if start == end && last_end == Some(end) {
                from = end + width(subject, end);
                continue;
            }
            (from, last_end, count) = (end, Some(end), count + 1);
            found(spans)?;
            if matches!(self.engine, Engine::Backtracking(_)) && began.elapsed() > LONGEST_CALL {
                return Err(format!("gave up after {} s of backtracking", LONGEST_CALL.as_secs()).into());
            }
        }
        Ok(())
    }
}

struct Subject<'a> {
    bytes: &'a [u8],
    /// Only looked at where the engine needs it.
    text: &'a str,
}

impl Engine {
    fn subject<'a>(&self, bytes: &'a [u8]) -> Result<Subject<'a>, String> {
        let text = match self {
            Engine::Linear(_) => "",
            Engine::Backtracking(_) => {
                std::str::from_utf8(bytes).map_err(|_| "the subject is not UTF-8, which look-around and back-references need".to_owned())?
            }
        };
        Ok(Subject { bytes, text })
    }

    fn at(&self, subject: &Subject, from: usize) -> Result<Option<Spans>, String> {
        Ok(match self {
            Engine::Linear(r) => r.captures_at(subject.bytes, from).map(|c| c.iter().map(|m| m.map(|m| (m.start(), m.end()))).collect()),
            Engine::Backtracking(r) => r
                .captures_from_pos(subject.text, from)
                .map_err(|e| match e {
                    fancy::Error::RuntimeError(fancy::RuntimeError::BacktrackLimitExceeded) => {
                        format!("gave up after {STEPS} steps of backtracking")
                    }
                    other => other.to_string(),
                })?
                .map(|c| (0..c.len()).map(|i| c.get(i).map(|m| (m.start(), m.end()))).collect()),
        })
    }
}

fn inline(flags: &str) -> String {
    if flags.is_empty() { String::new() } else { format!("(?{flags})") }
}

fn compile(pattern: &str) -> Result<Engine, String> {
    let refused = match regex::bytes::RegexBuilder::new(pattern).size_limit(LARGEST).build() {
        Ok(linear) => return Ok(Engine::Linear(linear)),
        Err(regex::Error::Syntax(text)) => text,
        Err(regex::Error::CompiledTooBig(_)) => return Err(format!("compiled it is larger than {} MiB", LARGEST >> 20)),
        Err(other) => return Err(other.to_string()),
    };
    let mut builder = fancy::RegexBuilder::new(pattern);
    match builder.backtrack_limit(STEPS).delegate_size_limit(LARGEST).build() {
        Ok(backtracking) => Ok(Engine::Backtracking(backtracking)),
        // The reason is in the last line, below a drawing of the pattern.
        Err(other) => {
            let reason = refused.lines().last().unwrap_or_default();
            let reason = reason.strip_prefix("error: ").unwrap_or(reason);
            if reason.contains("look-around") || reason.contains("backreferences") {
                return Err(other.to_string());
            }
            Err(reason.to_owned())
        }
    }
}

/// Python's `\Z` is the very end.
fn end_of_text(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut escaped = false;
    for c in source.chars() {
        out.push(if escaped && c == 'Z' { 'z' } else { c });
        escaped = !escaped && c == '\\';
    }
    out
}

/// Of the character at a position; 1 where there is none.
fn width(subject: &[u8], at: usize) -> usize {
    let length = match subject.get(at) {
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf4) => 4,
        _ => return 1,
    };
    if subject.get(at..at + length).is_some_and(|c| std::str::from_utf8(c).is_ok()) { length } else { 1 }
}

/// A part of what stands for a match.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Part {
    Text(Vec<u8>),
    Group(usize),
}

/// `\1` and `\g<name>` are groups, `\\` is a backslash, `\n`, `\r` and `\t` are what they are in Lua.
pub(super) fn replacement(template: &[u8], names: &[Option<String>]) -> Result<Vec<Part>, String> {
    let group = |name: &str| {
        let found = match name.parse::<usize>() {
            Ok(number) => Some(number).filter(|n| *n < names.len()),
            Err(_) => names.iter().position(|n| n.as_deref() == Some(name)),
        };
        found.ok_or_else(|| format!("the replacement names the group '{name}', which the pattern does not have"))
    };
    let (mut parts, mut text, mut at) = (Vec::new(), Vec::new(), 0);
    while let Some(byte) = template.get(at) {
        at += 1;
        if *byte != b'\\' {
            text.push(*byte);
            continue;
        }
        let rest = &template[at..];
        let (number, taken) = match rest {
            [] => return Err("the replacement ends with a backslash: write \\\\".into()),
            [b'g', b'<', name @ ..] => {
                let end = name.iter().position(|b| *b == b'>').ok_or("the replacement has \\g< without >")?;
                (group(&String::from_utf8_lossy(&name[..end]))?, end + 3)
            }
            [b'0'..=b'9', ..] => {
                let digits = rest.iter().take(2).take_while(|b| b.is_ascii_digit()).count();
                (group(&String::from_utf8_lossy(&rest[..digits]))?, digits)
            }
            [c, ..] => {
                match c {
                    b'\\' => text.push(b'\\'),
                    b'n' => text.push(b'\n'),
                    b'r' => text.push(b'\r'),
                    b't' => text.push(b'\t'),
                    c if c.is_ascii_alphabetic() => return Err(format!("the replacement has \\{}, which means nothing", *c as char)),
                    c => text.extend([b'\\', *c]),
                }
                at += 1;
                continue;
            }
        };
        at += taken;
        if !text.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut text)));
        }
        parts.push(Part::Group(number));
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

pub(super) fn escape(text: &str) -> String {
    regex::escape(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(pattern: &Pattern, subject: &str) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        pattern
            .each::<String>(subject.as_bytes(), None, |spans| {
                found.push(spans[0].unwrap());
                Ok(())
            })
            .unwrap();
        found
    }

    proptest! {
        #[test]
        fn matches_are_those_of_the_crate(subject in "[abcä\n ]{0,20}", which in 0usize..8) {
            let source = ["a*", "", "b|", "(a)(b)?", "ä+?", r"\b", "(?m)^", "[^a]*"][which];
            let pattern = Pattern::new(source, "").unwrap();
            let theirs: Vec<_> = regex::Regex::new(source).unwrap().find_iter(&subject).map(|m| (m.start(), m.end())).collect();
            prop_assert_eq!(all(&pattern, &subject), theirs);
        }

        #[test]
        fn no_pattern_and_no_replacement_panics(source in ".{0,20}", subject in ".{0,20}", template in any::<Vec<u8>>()) {
            if let Ok(pattern) = Pattern::new(&source, "") {
                let _ = pattern.each::<String>(subject.as_bytes(), None, |_| Ok(()));
                let _ = pattern.whole(subject.as_bytes());
                let _ = replacement(&template, &pattern.names);
            }
        }

        #[test]
        fn what_is_escaped_matches_itself(subject in ".{0,20}") {
            let pattern = Pattern::new(&escape(&subject), "").unwrap();
            prop_assert!(pattern.whole(subject.as_bytes()).unwrap().is_some());
        }
    }

    #[test]
    fn the_whole_is_matched_by_the_alternative_that_reaches_the_end() {
        for (source, flags, subject, expected) in [
            ("a|ab", "", "ab", true),
            ("a|b", "", "ab", false),
            ("a # comment", "x", "a", true),
            ("(?x)a # comment", "", "a", true),
            (r"(?<=a)b|ab", "", "ab", true),
            ("a", "", "a\n", false),
            (r"a\Z", "", "a", true),
            (r"a\\Z", "", "a\\Z", true),
        ] {
            let pattern = Pattern::new(source, flags).unwrap();
            assert_eq!(pattern.whole(subject.as_bytes()).unwrap().is_some(), expected, "{source}");
        }
    }

    #[test]
    fn only_patterns_that_need_it_backtrack_and_that_is_limited() {
        let linear = Pattern::new("(a+)+$", "").unwrap();
        assert!(matches!(linear.engine, Engine::Linear(_)));
        assert!(linear.search(&[b"a".repeat(20_000), b"b".to_vec()].concat()).unwrap().is_none());
        let backtracking = Pattern::new(r"^(?:(a)|(a)|\1)*!d", "").unwrap();
        assert!(matches!(backtracking.engine, Engine::Backtracking(_)));
        let gave_up = backtracking.search(&[b"a".repeat(100), b"!c!d".to_vec()].concat()).unwrap_err();
        assert_eq!(gave_up, "gave up after 1000000 steps of backtracking");
        assert!(backtracking.search(b"\xff").unwrap_err().contains("not UTF-8"));
        assert!(linear.search(b"\xffa").unwrap().is_some());
    }

    #[test]
    fn a_pattern_that_is_none_says_why() {
        for (source, flags, why) in [
            ("(", "", "unclosed group"),
            ("a", "ig", "there is no flag 'g'"),
            (r"\w{500}{500}", "", "larger than 4 MiB"),
            ("[z-a]", "", "invalid character class range, the start must be <= the end"),
        ] {
            assert!(Pattern::new(source, flags).err().unwrap().contains(why), "{source}: {:?}", Pattern::new(source, flags).err());
        }
        assert!(Pattern::new(&"a".repeat(LONGEST + 1), "").err().unwrap().contains("longer than"));
    }

    #[test]
    fn the_parts_of_a_replacement() {
        let names = [None, None, Some("x".to_owned())];
        let text = |t: &str| Part::Text(t.into());
        let parts = |t: &str| replacement(t.as_bytes(), &names);
        assert_eq!(
            parts(r"a\1b\g<x>\g<0>\\\n\."),
            Ok(vec![text("a"), Part::Group(1), text("b"), Part::Group(2), Part::Group(0), text("\\\n\\."),])
        );
        for (template, why) in
            [(r"\9", "the group '9'"), (r"\g<y>", "the group 'y'"), ("\\", "ends with"), (r"\g<x", "without >"), (r"\q", r"\q")]
        {
            assert!(parts(template).unwrap_err().contains(why), "{template}");
        }
    }
}
