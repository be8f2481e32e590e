//! What the text of an `Interpolate` means: its parts, or every mistake in it. Renders nothing.

use std::collections::BTreeMap;

use super::template::{Form, Part, Source, Template};
use crate::base::suggest;

const SELECTORS: [&str; 5] = ["prop", "src", "kw", "worker", "secret"];
const SOURCESTAMP: [&str; 5] = ["branch", "revision", "repository", "project", "codebase"];

/// Substitutions within the texts of substitutions.
const DEEPEST: usize = 16;

/// The arguments of an `Interpolate` after its text.
pub(super) struct Arguments<'a> {
    pub positional: &'a [Template],
    pub named: &'a BTreeMap<String, Template>,
}

/// Reads the text; the mistakes are whole sentences.
pub(super) fn parse(text: &str, arguments: &Arguments<'_>) -> Result<Vec<Part>, Vec<String>> {
    let mut parser = Parser { arguments, used: 0, mistakes: Vec::new() };
    let parts = parser.parts(text, 0);
    let (wanted, got) = (parser.used, arguments.positional.len());
    if wanted != got {
        parser.mistakes.push(format!("the text has {wanted} positional %s, got {got} {}", super::arguments::plural(got, "value")));
    }
    if parser.mistakes.is_empty() { Ok(parts) } else { Err(parser.mistakes) }
}

struct Parser<'a> {
    arguments: &'a Arguments<'a>,
    /// Positional `%s` so far.
    used: usize,
    mistakes: Vec<String>,
}

impl Parser<'_> {
    fn wrong(&mut self, text: String) {
        self.mistakes.push(text);
    }

    fn parts(&mut self, text: &str, depth: usize) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            plain.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            if let Some(after) = after.strip_prefix('%') {
                plain.push('%');
                rest = after;
            } else if let Some(after) = after.strip_prefix('(') {
                let Some(end) = closing(after) else {
                    self.wrong(format!("'%({}' is not closed: its ')' is missing", start_of(after)));
                    return parts;
                };
                let key = &after[..end];
                rest = &after[end + 1..];
                match rest.chars().next() {
                    // Both write a value as text; other conversions of Python would need its rules.
                    Some(conversion @ ('s' | 'd')) => rest = &rest[conversion.len_utf8()..],
                    Some(_) | None => {
                        self.wrong(format!("'%({key})' must be followed by 's'"));
                        continue;
                    }
                }
                if let Some(part) = self.substitution(key, depth) {
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                    }
                    parts.push(part);
                }
            } else if let Some(after) = after.strip_prefix(['s', 'd']) {
                rest = after;
                if depth > 0 {
                    self.wrong("a positional %s can't stand inside a %(…)s".into());
                    continue;
                }
                // Counted even where there is none, so that the mistake tells both numbers.
                if let Some(argument) = self.arguments.positional.get(self.used) {
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                    }
                    parts.push(Part::Substitute { source: Source::Argument(Box::new(argument.clone())), form: Form::Plain });
                }
                self.used += 1;
            } else {
                self.wrong(format!("'%{}' is no substitution: a percent sign itself is written %%", start_of(after)));
                rest = after;
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        parts
    }

    /// `selector:name:form`, between the parentheses.
    fn substitution(&mut self, key: &str, depth: usize) -> Option<Part> {
        if depth >= DEEPEST {
            self.wrong(format!("more than {DEEPEST} substitutions within each other"));
            return None;
        }
        let Some((selector, rest)) = key.split_once(':') else {
            self.wrong(format!("'%({key})s' has no selector: write '%(prop:{key})s' for a property, '%(kw:{key})s' for an argument"));
            return None;
        };
        let (source, form) = match selector {
            "prop" => {
                let (name, form) = cut(rest);
                if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-')) {
                    self.wrong(format!("'{name}' in '%({key})s' is no name of a property (letters, digits, '_', '.', '-')"));
                    return None;
                }
                (Source::Property(name.into()), form)
            }
            "worker" => {
                let (name, form) = cut(rest);
                if name.is_empty() {
                    self.wrong(format!("'%({key})s' names no attribute of the worker"));
                    return None;
                }
                (Source::Worker(name.into()), form)
            }
            "kw" => {
                let (name, form) = cut(rest);
                let Some(value) = self.arguments.named.get(name) else {
                    let hint = suggest::hint(name, self.arguments.named.keys().map(String::as_str));
                    self.wrong(format!("'%({key})s' has no argument '{name}'{hint}"));
                    return None;
                };
                (Source::Argument(Box::new(value.clone())), form)
            }
            "src" => {
                let Some((codebase, rest)) = rest.split_once(':') else {
                    self.wrong(format!("'%({key})s' must be '%(src:CODEBASE:ATTRIBUTE)s'; the codebase may be empty"));
                    return None;
                };
                let (attribute, form) = cut(rest);
                if !SOURCESTAMP.contains(&attribute) {
                    let hint = suggest::hint(attribute, SOURCESTAMP);
                    self.wrong(format!("a source stamp has no '{attribute}', in '%({key})s'{hint}"));
                    return None;
                }
                (Source::SourceStamp { codebase: codebase.into(), attribute: attribute.into() }, form)
            }
            "secret" => {
                let (name, form) = cut(rest);
                if let Err(why) = super::secrets::check_secret_name(name) {
                    self.wrong(format!("'%({key})s': {why}"));
                    return None;
                }
                (Source::Secret(name.into()), form)
            }
            unknown => {
                let hint = suggest::hint(unknown, SELECTORS);
                self.wrong(format!("unknown selector '{unknown}' in '%({key})s'{hint}"));
                return None;
            }
        };
        let form = self.form(form, key, depth)?;
        Some(Part::Substitute { source, form })
    }

    /// What follows the name.
    fn form(&mut self, form: Option<&str>, key: &str, depth: usize) -> Option<Form> {
        let Some(form) = form.filter(|f| !f.is_empty()) else { return Some(Form::Plain) };
        if let Some(text) = form.strip_prefix('-') {
            return Some(Form::IfMissing(self.parts(text, depth + 1)));
        }
        if let Some(text) = form.strip_prefix('~') {
            return Some(Form::IfFalse(self.parts(text, depth + 1)));
        }
        if let Some(text) = form.strip_prefix('+') {
            return Some(Form::IfPresent(self.parts(text, depth + 1)));
        }
        let (by_truth, choice) = match (form.strip_prefix("#?"), form.strip_prefix('?')) {
            (Some(choice), _) => (true, choice),
            (_, Some(choice)) => (false, choice),
            _ => {
                self.wrong(format!(
                    "after the name in '%({key})s' there may be ':-', ':~', ':+', ':?' or ':#?', got ':{}'",
                    start_of(form)
                ));
                return None;
            }
        };
        let Some((then, otherwise)) = alternatives(choice) else {
            self.wrong(format!("'%({key})s' must have two texts, each after the same character, as in '%(prop:x:?:yes:no)s'"));
            return None;
        };
        let (then, otherwise) = (self.parts(then, depth + 1), self.parts(otherwise, depth + 1));
        Some(Form::Choose { by_truth, then, otherwise })
    }
}

/// A name and what follows its colon.
fn cut(text: &str) -> (&str, Option<&str>) {
    text.split_once(':').map_or((text, None), |(name, form)| (name, Some(form)))
}

/// The two texts of `XthenXelse`; an X within a substitution is not looked at.
fn alternatives(choice: &str) -> Option<(&str, &str)> {
    let delimiter = choice.chars().next()?;
    let body = &choice[delimiter.len_utf8()..];
    let (mut at, mut found) = (0, None);
    while let Some(c) = body[at..].chars().next() {
        if body[at..].starts_with("%(")
            && let Some(end) = closing(&body[at + 2..])
        {
            at += 2 + end + 1;
            continue;
        }
        if c == delimiter && found.replace(at).is_some() {
            return None;
        }
        at += c.len_utf8();
    }
    found.map(|at| (&body[..at], &body[at + delimiter.len_utf8()..]))
}

/// Where the parenthesis closes that was opened before the text; those within come in pairs.
fn closing(text: &str) -> Option<usize> {
    let mut open = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' => open += 1,
            ')' if open == 0 => return Some(at),
            ')' => open -= 1,
            _ => {}
        }
    }
    None
}

fn start_of(text: &str) -> String {
    text.chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, positional: &[&str], named: &[&str]) -> Result<Vec<Part>, Vec<String>> {
        let constant = |t: &&str| Template::Const((*t).into());
        let positional: Vec<Template> = positional.iter().map(constant).collect();
        let named = named.iter().map(|n| (n.to_string(), constant(n))).collect();
        parse(text, &Arguments { positional: &positional, named: &named })
    }

    fn property(name: &str, form: Form) -> Part {
        Part::Substitute { source: Source::Property(name.into()), form }
    }

    fn text(text: &str) -> Part {
        Part::Text(text.into())
    }

    #[test]
    fn every_selector_and_form_is_read() {
        let argument = |name: &str| Source::Argument(Box::new(Template::Const(name.into())));
        let plain = |source| vec![Part::Substitute { source, form: Form::Plain }];
        let stamp = |codebase: &str| Source::SourceStamp { codebase: codebase.into(), attribute: "branch".into() };
        for (given, parts) in [
            ("50%% of it", vec![text("50% of it")]),
            ("a%(prop:x)sb", vec![text("a"), property("x", Form::Plain), text("b")]),
            ("%(prop:x:-none)s", vec![property("x", Form::IfMissing(vec![text("none")]))]),
            ("%(prop:x:-)s", vec![property("x", Form::IfMissing(vec![]))]),
            ("%(prop:x:~none)s", vec![property("x", Form::IfFalse(vec![text("none")]))]),
            ("%(prop:x:+--x)s", vec![property("x", Form::IfPresent(vec![text("--x")]))]),
            ("%(prop:x:-%(prop:y)s)s", vec![property("x", Form::IfMissing(vec![property("y", Form::Plain)]))]),
            (
                "%(prop:x:?:%(prop:y)s:no)s",
                vec![property("x", Form::Choose { by_truth: false, then: vec![property("y", Form::Plain)], otherwise: vec![text("no")] })],
            ),
            (
                "%(prop:x:#?|yes|no)s",
                vec![property("x", Form::Choose { by_truth: true, then: vec![text("yes")], otherwise: vec![text("no")] })],
            ),
            ("%(src::branch)s", plain(stamp(""))),
            ("%(src:lib:branch)s", plain(stamp("lib"))),
            ("%(worker:admin)s", plain(Source::Worker("admin".into()))),
            ("%(secret:team/x)s", plain(Source::Secret("team/x".into()))),
            ("%(kw:a)s", plain(argument("a"))),
        ] {
            assert_eq!(read(given, &[], &["a"]), Ok(parts), "{given}");
        }
        assert_eq!(read("%s", &["p"], &[]), Ok(plain(argument("p"))));
    }

    #[test]
    fn every_mistake_is_told() {
        for (given, told) in [
            ("%(x)s", "'%(x)s' has no selector: write '%(prop:x)s' for a property, '%(kw:x)s' for an argument"),
            ("%(porp:x)s", "unknown selector 'porp' in '%(porp:x)s' (did you mean 'prop'?)"),
            ("%(kw:aa)s", "'%(kw:aa)s' has no argument 'aa' (did you mean 'a'?)"),
            ("%(secret:)s", "'%(secret:)s': a secret's name must not be empty"),
            ("%(prop:x", "'%(prop:x' is not closed: its ')' is missing"),
            ("%(prop:)s", "'' in '%(prop:)s' is no name of a property (letters, digits, '_', '.', '-')"),
            ("%(prop:x)", "'%(prop:x)' must be followed by 's'"),
            ("%(src:branch)s", "'%(src:branch)s' must be '%(src:CODEBASE:ATTRIBUTE)s'; the codebase may be empty"),
            ("%(src::brunch)s", "a source stamp has no 'brunch', in '%(src::brunch)s' (did you mean 'branch'?)"),
            ("%(prop:x:=y)s", "after the name in '%(prop:x:=y)s' there may be ':-', ':~', ':+', ':?' or ':#?', got ':=y'"),
            ("%(prop:x:?:yes)s", "'%(prop:x:?:yes)s' must have two texts, each after the same character, as in '%(prop:x:?:yes:no)s'"),
            ("%s", "the text has 1 positional %s, got 0 values"),
            ("100% sure", "'% sure' is no substitution: a percent sign itself is written %%"),
            ("%(prop:x:-%(foo:y)s)s", "unknown selector 'foo' in '%(foo:y)s'"),
        ] {
            assert_eq!(read(given, &[], &["a"]), Err(vec![told.to_string()]), "{given}");
        }
        assert_eq!(read("x", &["p", "q"], &[]), Err(vec!["the text has 0 positional %s, got 2 values".to_string()]));
        assert_eq!(read("%(a)s %(b)s", &[], &[]).map_err(|m| m.len()), Err(2));
    }

    #[test]
    fn depth_is_limited() {
        let deep = "%(prop:a:-".repeat(5000) + &")s".repeat(5000);
        assert_eq!(read(&deep, &[], &[]), Err(vec!["more than 16 substitutions within each other".to_string()]));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[%()a-c:sx?#~+|é-]{0,40}") {
            let _ = read(&text, &["p"], &["a"]);
        }
    }
}
