//! How mistakes look on a terminal, in plain text and as JSON. The first line of each is the same everywhere: `file:line: subject: text`.

use std::fmt::Write;
use std::io::IsTerminal;
use std::path::Path;

use serde_json::{Value as Json, json};

use crate::config::Mistake;
use crate::lua::{Call, Surroundings};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Severity {
    Mistake,
    Warning,
}

/// What all mistakes of one configuration share.
pub(super) struct Shown<'a> {
    pub surroundings: &'a Surroundings,
    /// The configuration's folder as the person named it.
    pub folder: &'a Path,
    pub colour: bool,
}

impl Shown<'_> {
    /// The message, the lines of the file, and the calls that led there.
    pub fn text(&self, mistake: &Mistake, severity: Severity) -> String {
        let message = mistake.to_string();
        let (first, frames) = message.split_once('\n').unwrap_or((&message, ""));
        let mut out = match severity {
            Severity::Mistake => self.paint("1", first),
            Severity::Warning => format!("{} {first}", self.paint("33", "warning:")),
        };
        let lines = self.surroundings.lines(mistake);
        if !lines.is_empty() {
            let path = self.folder.join(&*mistake.place.file);
            // Writing to a text can't fail.
            let _ = write!(out, "\n  {} {}:{}", self.paint("34", "-->"), path.display(), mistake.place.line);
        }
        let width = lines.last().map_or(0, |(number, _)| number.to_string().len());
        let mut before = None;
        for (number, line) in &lines {
            if before.is_some_and(|before| before + 1 < *number) {
                let _ = write!(out, "\n   {}", self.paint("34", "…"));
            }
            let _ = write!(out, "\n   {} {line}", self.paint("34", &format!("| {number:>width$} |")));
            before = Some(*number);
        }
        if !frames.is_empty() {
            let _ = write!(out, "\n{frames}");
        } else {
            for call in self.surroundings.calls(&mistake.place) {
                let _ = write!(out, "\n   {} {}", self.paint("34", "="), called(&call));
            }
        }
        out
    }

    pub fn json(&self, mistake: &Mistake, severity: Severity) -> Json {
        let trace: Vec<Json> = self
            .surroundings
            .calls(&mistake.place)
            .iter()
            .map(|call| json!({ "file": call.file, "line": call.line, "function": call.function }))
            .collect();
        let source = self.surroundings.lines(mistake).into_iter().next().map(|(_, line)| line);
        json!({
            "severity": match severity { Severity::Mistake => "error", Severity::Warning => "warning" },
            "file": mistake.place.file,
            "line": mistake.place.line,
            "subject": mistake.subject,
            "text": mistake.text,
            "message": mistake.to_string(),
            "source": source,
            "trace": trace,
        })
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// On standard error, for a program that can't begin.
pub(super) fn tell(mistakes: &[Mistake], surroundings: &Surroundings, path: &Path) {
    let shown = Shown { surroundings, folder: folder_of(path), colour: colour(std::io::stderr().is_terminal()) };
    for mistake in mistakes {
        eprintln!("{}", shown.text(mistake, Severity::Mistake));
    }
}

/// The folder of a configuration that a person named by its folder or its file.
pub(super) fn folder_of(path: &Path) -> &Path {
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
    folder.strip_prefix(".").unwrap_or(folder)
}

fn called(call: &Call) -> String {
    match call.function.as_str() {
        "" => format!("called from {}:{}", call.file, call.line),
        "a function" => format!("called from a function at {}:{}", call.file, call.line),
        name => format!("called from {name}() at {}:{}", call.file, call.line),
    }
}

/// On a terminal, unless the person wants none.
pub(super) fn colour(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Place;

    fn mistake(line: u32, text: &str) -> Mistake {
        Mistake {
            place: Place { file: "lib/a.lua".into(), line, from: vec![("master.lua".into(), 7)] },
            subject: "Worker".into(),
            text: text.into(),
        }
    }

    fn shown(mistake: &Mistake, severity: Severity, colour: bool) -> String {
        let surroundings = Surroundings::default();
        Shown { surroundings: &surroundings, folder: Path::new("base"), colour }.text(mistake, severity)
    }

    #[test]
    fn the_first_line_is_the_message_and_the_calls_follow() {
        assert_eq!(
            shown(&mistake(3, "is wrong"), Severity::Mistake, false),
            "lib/a.lua:3 (from master.lua:7): Worker: is wrong\n   = called from master.lua:7"
        );
        // The frames of an error tell who called.
        let failed = "boom\n    lib/a.lua:3: in 'f'\n    master.lua:7: in the file";
        let text = shown(&mistake(3, failed), Severity::Mistake, false);
        assert_eq!(text, format!("lib/a.lua:3 (from master.lua:7): Worker: {failed}"));
        assert!(shown(&mistake(3, "is odd"), Severity::Warning, false).starts_with("warning: lib/a.lua:3"));
    }

    #[test]
    fn colour_is_only_around_the_words() {
        let text = shown(&mistake(3, "is odd"), Severity::Warning, true);
        assert!(text.starts_with("\x1b[33mwarning:\x1b[0m lib/a.lua:3"), "{text:?}");
        assert!(!colour(false));
    }
}
