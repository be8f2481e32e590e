//! Which lines of a command's output are warnings that count. Finds them as the output comes; a function of the
//! configuration is asked once for many of them, after the command. Knows neither Lua nor logs.

use crate::config::WarningSpec;
use crate::lua::{WarningFound, WarningTold};
use crate::model::build::Stream;

/// Warnings that are kept for their log; all are counted.
const KEPT: usize = 10_000;
const KEPT_BYTES: usize = 16 << 20;
/// Only the beginning of a longer line is looked at.
const LONGEST_LINE: usize = 64 << 10;
/// Folders within folders; more is no make.
const DEEPEST: usize = 1000;

/// Finds and counts warnings.
pub(super) struct Warnings<'a> {
    spec: &'a WarningSpec,
    begun: [Vec<u8>; 2],
    folders: Vec<String>,
    counted: Kept,
    /// With the folder that each was said in. Only if a function has to say what they are about.
    waiting: Vec<(WarningFound, String)>,
    waiting_bytes: usize,
}

/// Counted warnings.
#[derive(Default)]
pub(super) struct Kept {
    pub count: u64,
    lines: usize,
    pub text: String,
}

impl Kept {
    fn add(&mut self, line: &str) {
        self.count += 1;
        if self.lines < KEPT && self.text.len() + line.len() < KEPT_BYTES {
            self.lines += 1;
            self.text.push_str(line);
            self.text.push('\n');
        }
    }
}

impl<'a> Warnings<'a> {
    pub fn new(spec: &'a WarningSpec) -> Warnings<'a> {
        Warnings { spec, begun: Default::default(), folders: Vec::new(), counted: Kept::default(), waiting: Vec::new(), waiting_bytes: 0 }
    }

    /// The next piece of output.
    pub fn look(&mut self, stream: Stream, text: &[u8]) {
        let which = usize::from(stream == Stream::Stderr);
        let mut begun = std::mem::take(&mut self.begun[which]);
        for piece in text.split_inclusive(|b| *b == b'\n') {
            let room = LONGEST_LINE.saturating_sub(begun.len());
            begun.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                self.line(&begun);
                begun.clear();
            }
        }
        self.begun[which] = begun;
    }

    fn line(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end_matches('\n');
        if line.is_empty() {
            return;
        }
        if let Some(entered) = self.spec.enter.as_ref().and_then(|r| r.captures(line)) {
            if self.folders.len() < DEEPEST {
                self.folders.push(entered.get(1).map_or_else(String::new, |m| m.as_str().to_owned()));
            }
            return;
        }
        if !self.folders.is_empty() && self.spec.leave.as_ref().is_some_and(|r| r.is_match(line)) {
            self.folders.pop();
            return;
        }
        // The cheap question first: most lines are no warnings.
        if !self.spec.pattern.is_match(line) {
            return;
        }
        if self.spec.suppressions.is_empty() {
            self.counted.add(line);
        } else if self.spec.extractor.is_none() {
            if !self.suppressed(&WarningTold { text: Some(line.to_owned()), ..WarningTold::default() }, line, "") {
                self.counted.add(line);
            }
        } else if self.waiting.len() < KEPT && self.waiting_bytes + line.len() < KEPT_BYTES {
            self.waiting_bytes += line.len();
            self.waiting.push((self.found(line), self.folders.join("/")));
        } else {
            // Nobody reads the ten thousand and first; counted, but the function is not asked.
            self.counted.add(line);
        }
    }

    fn found(&self, line: &str) -> WarningFound {
        let pattern = &self.spec.pattern;
        let mut found = WarningFound { line: line.to_owned(), ..WarningFound::default() };
        if let Some(groups) = pattern.captures(line) {
            found.groups = groups.iter().map(|group| group.map(|m| m.as_str().to_owned())).collect();
            let named = pattern.capture_names().flatten();
            found.names = named.filter_map(|name| Some((name.to_owned(), groups.name(name)?.as_str().to_owned()))).collect();
        }
        found
    }

    /// The end of the output.
    pub fn ended(&mut self) {
        for begun in std::mem::take(&mut self.begun) {
            self.line(&begun);
        }
    }

    /// What the function has to be asked about, and the folder of each.
    pub fn take_waiting(&mut self) -> Vec<(WarningFound, String)> {
        self.waiting_bytes = 0;
        std::mem::take(&mut self.waiting)
    }

    /// All that count: those that waited, with the answers that there are, and the others.
    pub fn finish(mut self, waited: &[(WarningFound, String)], told: &[WarningTold]) -> Kept {
        let mut all = Kept::default();
        for (i, (found, folder)) in waited.iter().enumerate() {
            if !told.get(i).is_some_and(|told| self.suppressed(told, &found.line, folder)) {
                all.add(&found.line);
            }
        }
        let others = std::mem::take(&mut self.counted);
        all.count += others.count;
        if all.lines + others.lines <= KEPT {
            all.text.push_str(&others.text);
        }
        all
    }

    fn suppressed(&self, told: &WarningTold, line: &str, folder: &str) -> bool {
        let file = told.file.as_deref().map(|file| match (file, folder) {
            ("", _) | (_, "") => file.to_owned(),
            _ => format!("{folder}/{file}"),
        });
        let text = told.text.as_deref().unwrap_or(line);
        // Of what is not known, anything may be so.
        self.spec.suppressions.iter().any(|s| {
            s.file.as_ref().zip(file.as_ref()).is_none_or(|(pattern, file)| pattern.is_match(file))
                && s.text.as_ref().is_none_or(|pattern| pattern.is_match(text))
                && s.lines.zip(told.line).is_none_or(|((first, last), line)| (first..=last).contains(&line))
        })
    }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;
    use crate::config::{FnRef, Place, Suppression};

    fn spec() -> WarningSpec {
        WarningSpec {
            pattern: Regex::new("^(?:(?P<file>[^:]+):([0-9]+): warning: (.*))").unwrap(),
            extractor: None,
            enter: Some(Regex::new("Entering '(.*)'").unwrap()),
            leave: Some(Regex::new("Leaving").unwrap()),
            suppressions: Vec::new(),
            suppression_file: crate::config::Arg::Const(None),
            max: None,
        }
    }

    const OUTPUT: &str =
        "make: Entering 'lib'\na.c:7: warning: unused x\nmake: Leaving\na.c:7: warning: unused y\nfine\nb.c:9: warning: odd";

    fn asked() -> FnRef {
        FnRef { id: 1, place: Place::default() }
    }

    fn told(found: &[(WarningFound, String)]) -> Vec<WarningTold> {
        let one = |f: &WarningFound| WarningTold {
            file: f.names.get("file").cloned(),
            line: f.groups[2].as_ref().and_then(|n| n.parse().ok()),
            text: f.groups[3].clone(),
        };
        found.iter().map(|(f, _)| one(f)).collect()
    }

    fn counted(spec: &WarningSpec) -> (u64, String) {
        let mut w = Warnings::new(spec);
        // In pieces, and both streams at once.
        for piece in OUTPUT.as_bytes().chunks(5) {
            w.look(Stream::Stdout, piece);
            w.look(Stream::Stderr, b"x");
        }
        w.ended();
        let waiting = w.take_waiting();
        let kept = w.finish(&waiting, &told(&waiting));
        (kept.count, kept.text)
    }

    #[test]
    fn lines_that_match_count() {
        assert_eq!(counted(&spec()), (3, "a.c:7: warning: unused x\na.c:7: warning: unused y\nb.c:9: warning: odd\n".to_owned()));
    }

    #[test]
    fn suppressions_hold_in_all_that_they_say() {
        let file = |p: &str| Some(Regex::new(&format!("^(?:{p})")).unwrap());
        let text = |p: &str| Some(Regex::new(p).unwrap());
        let y_and_odd = "a.c:7: warning: unused y\nb.c:9: warning: odd\n";
        for (suppression, left) in [
            (Suppression { file: file("lib/a"), ..Suppression::default() }, y_and_odd),
            (Suppression { text: text("x$"), ..Suppression::default() }, y_and_odd),
            (Suppression { lines: Some((1, 8)), ..Suppression::default() }, "b.c:9: warning: odd\n"),
            (Suppression { file: file("b"), text: text("unused"), lines: None }, "all"),
            (Suppression { file: file(".*a.c"), text: text("unused"), lines: Some((7, 7)) }, "b.c:9: warning: odd\n"),
            (Suppression::default(), ""),
        ] {
            let spec = WarningSpec { extractor: Some(asked()), suppressions: vec![suppression.clone()], ..spec() };
            let (count, text) = counted(&spec);
            let expected = if left == "all" { counted(&super::tests::spec()).1 } else { left.to_owned() };
            assert_eq!((count, text), (expected.lines().count() as u64, expected), "{suppression:?}");
        }
        // Without a function the text is the line, and there is neither file nor line.
        let suppression = Suppression { file: file("nowhere"), text: text("^a.c:7"), lines: Some((1, 2)) };
        assert_eq!(counted(&WarningSpec { suppressions: vec![suppression], ..spec() }).1, "b.c:9: warning: odd\n");
    }

    #[test]
    fn all_are_counted_and_some_kept() {
        let spec = WarningSpec { extractor: Some(asked()), suppressions: vec![Suppression::default()], ..spec() };
        let mut w = Warnings::new(&spec);
        for _ in 0..KEPT + 5 {
            w.look(Stream::Stdout, b"a:1: warning: x\n");
        }
        w.look(Stream::Stdout, &vec![b'x'; 3 * LONGEST_LINE]);
        assert_eq!(w.begun[0].len(), LONGEST_LINE);
        w.ended();
        let waiting = w.take_waiting();
        assert_eq!(waiting.len(), KEPT);
        assert_eq!(w.finish(&waiting, &told(&waiting)).count, 5);
    }
}
