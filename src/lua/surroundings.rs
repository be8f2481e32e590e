//! What a person wants to see beside a mistake: the line of the file, and the calls that led there. It holds copies only, so that
//! it outlives the evaluation; how it is shown is not its business.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{Mistake, Place};

/// A function of the file that called on, and from where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// Empty: the file itself.
    pub function: String,
    pub file: Arc<str>,
    pub line: u32,
}

#[derive(Clone, Default, Debug)]
pub struct Surroundings {
    pub(super) sources: HashMap<Arc<str>, Vec<u8>>,
    pub(super) calls: HashMap<Place, Vec<Call>>,
}

/// How far below the constructor's line its arguments are looked for.
const LINES_BELOW: usize = 30;
/// A line of more bytes is cut.
const LONGEST_LINE: usize = 200;

impl Surroundings {
    /// The line that a mistake names, and the line below it that has the argument it is about, if that is another one.
    pub fn lines(&self, mistake: &Mistake) -> Vec<(u32, String)> {
        let Some(source) = self.sources.get(&mistake.place.file) else { return Vec::new() };
        let Some(index) = (mistake.place.line as usize).checked_sub(1) else { return Vec::new() };
        let mut below = source.split(|b| *b == b'\n').skip(index).zip(mistake.place.line..).take(LINES_BELOW);
        let Some((first, number)) = below.next() else { return Vec::new() };
        let first = cut(first);
        let word = named(&mistake.text);
        let mut lines = Vec::new();
        if let Some(word) = word.filter(|word| !has_word(&first, word)) {
            // What begins no deeper than the constructor is not part of it any more.
            let depth = indent(&first);
            let inside = below.take_while(|(line, _)| line.trim_ascii().is_empty() || indent(&cut(line)) > depth);
            lines.extend(inside.map(|(line, n)| (n, cut(line))).find(|(_, line)| has_word(line, word)));
        }
        lines.insert(0, (number, first));
        lines
    }

    /// The nearest first; nothing if the file itself stands at that line.
    pub fn calls(&self, place: &Place) -> Vec<Call> {
        if let Some(calls) = self.calls.get(place) {
            return calls.clone();
        }
        let from = place.from.iter().map(|(file, line)| Call { function: String::new(), file: file.clone(), line: *line });
        from.collect()
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn cut(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end();
    match text.char_indices().nth(LONGEST_LINE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The argument that a text is about: `unknown argument 'x'`, `'x' must be …`, `x[2] must be …`, `x names …`.
fn named(text: &str) -> Option<&str> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    if let Some(rest) =
        text.strip_prefix('\'').or_else(|| text.strip_prefix("unknown argument '")).or_else(|| text.strip_prefix("unknown key '"))
    {
        return rest.split('\'').next().filter(|name| name.chars().all(word));
    }
    let end = text.find(|c| !word(c))?;
    let name = &text[..end];
    (end > 0 && (text[end..].starts_with(['[', '.']) || text[end..].starts_with(" names '"))).then_some(name)
}

fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| !line[..at].ends_with(part) && !line[at + word.len()..].starts_with(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(source: &str, line: u32, text: &str) -> Vec<u32> {
        let file: Arc<str> = "m.lua".into();
        let surroundings = Surroundings { sources: HashMap::from([(file.clone(), source.into())]), calls: HashMap::new() };
        let mistake = Mistake { place: Place { file, line, from: Vec::new() }, subject: String::new(), text: text.into() };
        surroundings.lines(&mistake).into_iter().map(|(n, _)| n).collect()
    }

    #[test]
    fn the_line_of_the_argument_is_shown_too() {
        let source = "Worker{ 'a',\n  max_builds = 1,\n  maxi = 2 }\nWorker{ 'b',\n  maxi = 3 }";
        assert_eq!(lines(source, 1, "unknown argument 'maxi' (did you mean 'x'?)"), [1, 3]);
        assert_eq!(lines(source, 1, "'max_builds' must be text"), [1, 2]);
        assert_eq!(lines(source, 4, "maxi[2] must be text"), [4, 5]);
        assert_eq!(lines(source, 4, "max_builds[2] must be text"), [4]);
        assert_eq!(lines(source, 1, "missing argument 'b'"), [1]);
        assert_eq!(lines(source, 5, "'maxi' must be"), [5]);
        assert_eq!(lines(source, 9, "x"), [0; 0]);
        assert_eq!(lines(source, 0, "x"), [0; 0]);
    }
}
