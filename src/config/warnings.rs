//! What `WarningCountingShellCommand` is told of warnings: which lines are some, which of them don't count.
//!
//! Counting is done in `builds`.

use regex::Regex;

use super::Arg;
use super::arguments::Reader;
use super::assemble::Assembly;
use super::convert::{FromValue, Pattern, Wrong, item};
use super::lua_type::LuaType;
use super::value::{FnRef, Value};

/// How warnings are counted.
#[derive(Clone, Debug)]
pub struct WarningSpec {
    /// Lines that match from their start are warnings.
    pub pattern: Regex,
    /// `function(step, line, match)` to file, line and text; none: the text is the whole line.
    pub extractor: Option<FnRef>,
    /// Its first group is the folder that is entered.
    pub enter: Option<Regex>,
    pub leave: Option<Regex>,
    pub suppressions: Vec<Suppression>,
    /// A file on the worker, below the step's folder, with more of them; see [`suppressions`].
    pub suppression_file: Arg<Option<String>>,
    /// More warnings than that: failure.
    pub max: Option<u64>,
}

/// Warnings that don't count: those for which everything holds that is said.
#[derive(Clone, Debug, Default)]
pub struct Suppression {
    /// Matches the file from its start.
    pub file: Option<Regex>,
    /// Matches anywhere in the text.
    pub text: Option<Regex>,
    /// The first and the last line.
    pub lines: Option<(i64, i64)>,
}

fn same(a: &Option<Regex>, b: &Option<Regex>) -> bool {
    a.as_ref().map(Regex::as_str) == b.as_ref().map(Regex::as_str)
}

impl PartialEq for WarningSpec {
    fn eq(&self, other: &WarningSpec) -> bool {
        self.pattern.as_str() == other.pattern.as_str()
            && same(&self.enter, &other.enter)
            && same(&self.leave, &other.leave)
            && (&self.extractor, self.max, &self.suppressions) == (&other.extractor, other.max, &other.suppressions)
            && self.suppression_file == other.suppression_file
    }
}

impl PartialEq for Suppression {
    fn eq(&self, other: &Suppression) -> bool {
        same(&self.file, &other.file) && same(&self.text, &other.text) && self.lines == other.lines
    }
}

/// `{ file, text, first, last }`, each of which may be None; patterns are not looked at yet.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Suppressed {
    file: Option<Pattern>,
    text: Option<Pattern>,
    first: Option<i64>,
    last: Option<i64>,
}

impl FromValue for Suppressed {
    fn expected() -> String {
        "a list { file pattern, text pattern, first line, last line }, each of which may be None".into()
    }

    fn lua_type() -> LuaType {
        LuaType::list(LuaType::Name("string").or(LuaType::Name("integer")).or(LuaType::Name("None")))
    }

    fn plural() -> String {
        "lists { file pattern, text pattern, first line, last line }".into()
    }

    fn from_value(value: &Value) -> Result<Suppressed, Wrong> {
        let Value::Table(t) = value else { return Err(Wrong::must(Self::expected(), value)) };
        if t.items.is_empty() || t.items.len() > 4 || !t.named.is_empty() || t.strange_key.is_some() {
            return Err(Wrong::must(Self::expected(), value));
        }
        fn at<T: FromValue>(items: &[Value], i: usize) -> Result<Option<T>, Wrong> {
            items.get(i).map_or(Ok(None), |v| Option::from_value(v).map_err(|w| w.inside(item(i))))
        }
        let items = &t.items;
        Ok(Suppressed { file: at(items, 0)?, text: at(items, 1)?, first: at(items, 2)?, last: at(items, 3)? })
    }
}

/// What the file said of warnings, patterns not looked at yet.
pub(super) struct Told {
    pub pattern: Option<Pattern>,
    pub extractor: Option<FnRef>,
    pub enter: Option<Pattern>,
    pub leave: Option<Pattern>,
    pub suppressions: Vec<Suppressed>,
    pub suppression_file: Arg<Option<String>>,
    pub max: Option<u64>,
}

/// None if no line is a warning; mistakes go to the reader.
pub(super) fn understood(reader: &mut Reader, assembly: &mut Assembly, told: Told) -> Option<WarningSpec> {
    let mut compile = |argument: &str, pattern: Option<Pattern>, from_start: bool| {
        let pattern = pattern?.0;
        let compiled = if from_start { assembly.regex(argument, &pattern) } else { assembly.regex_anywhere(argument, &pattern) };
        compiled.map_err(|text| reader.wrong(text)).ok()
    };
    let pattern = compile("warningPattern", told.pattern, true);
    let enter = compile("directoryEnterPattern", told.enter, false);
    let leave = compile("directoryLeavePattern", told.leave, false);
    let suppressions = told.suppressions.into_iter().map(|s| Suppression {
        file: compile("suppressionList", s.file, true),
        text: compile("suppressionList", s.text, false),
        lines: (s.first.is_some() || s.last.is_some()).then(|| (s.first.unwrap_or(i64::MIN), s.last.unwrap_or(i64::MAX))),
    });
    let suppressions = suppressions.collect();
    if enter.as_ref().is_some_and(|r| r.captures_len() < 2) {
        reader.wrong("'directoryEnterPattern' must have a group, which is the folder");
    }
    let (extractor, suppression_file, max) = (told.extractor, told.suppression_file, told.max);
    Some(WarningSpec { pattern: pattern?, extractor, enter, leave, suppressions, suppression_file, max })
}

/// What a file of suppressions says: a line `FILE PATTERN : TEXT PATTERN`, with ` : 12` or ` : 12-15` for lines; `#` begins a comment.
pub fn suppressions(text: &str) -> Result<Vec<Suppression>, String> {
    let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(n, line)| suppression(line).map_err(|e| format!("line {n}: {e}")))
        .collect()
}

fn suppression(line: &str) -> Result<Suppression, String> {
    let (file, rest) = line.split_once(':').ok_or("expected FILE PATTERN : TEXT PATTERN")?;
    let numbers = |text: &str| -> Option<(i64, i64)> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
    };
    let (text, lines) = match rest.rsplit_once(':').and_then(|(text, at)| Some((text, numbers(at.trim())?))) {
        Some((text, lines)) => (text, Some(lines)),
        None => (rest, None),
    };
    let compile = |pattern: &str, what: &str| Regex::new(pattern).map_err(|e| format!("the {what} pattern is no regular expression: {e}"));
    Ok(Suppression { file: Some(compile(&format!("^(?:{})", file.trim()), "file")?), text: Some(compile(text.trim(), "text")?), lines })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_suppressions() {
        let told = suppressions("# known\n\nlib/.*\\.c : unused (x|y)\na.c : odd : 7\nb.c: a:b : 1-20\n").unwrap();
        let shown: Vec<_> = told.iter().map(|s| (s.file.as_ref().unwrap().as_str(), s.text.as_ref().unwrap().as_str(), s.lines)).collect();
        assert_eq!(
            shown,
            [("^(?:lib/.*\\.c)", "unused (x|y)", None), ("^(?:a.c)", "odd", Some((7, 7))), ("^(?:b.c)", "a:b", Some((1, 20)))]
        );
        assert_eq!(suppressions("ok : x\nnothing").unwrap_err(), "line 2: expected FILE PATTERN : TEXT PATTERN");
        assert!(suppressions("a : (").unwrap_err().starts_with("line 1: the text pattern is no regular expression"));
    }
}
