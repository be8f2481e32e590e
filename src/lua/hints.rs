//! What to write instead, where Lua's own message about a slip leaves a person who comes from Python guessing. It looks at the
//! message and at the lines of the file; it never changes what went wrong, and says nothing where it isn't sure.

use crate::base::suggest;

/// The line that Lua names, and the last few before it that say anything, the nearest first.
#[derive(Clone, Default, Debug)]
pub(super) struct Lines {
    pub line: String,
    pub before: Vec<String>,
}

impl Lines {
    pub fn of(source: &[u8], number: u32) -> Lines {
        let Some(index) = (number as usize).checked_sub(1) else { return Lines::default() };
        let mut before = Vec::new();
        for (i, line) in source.split(|b| *b == b'\n').enumerate().take(index + 1) {
            let line = String::from_utf8_lossy(line).trim().to_owned();
            if i == index {
                return Lines { line, before };
            }
            if !line.is_empty() {
                before.insert(0, line);
                before.truncate(LINES_BEFORE);
            }
        }
        Lines::default()
    }
}

/// A statement that Lua understood otherwise may end a line or two later.
const LINES_BEFORE: usize = 3;

/// Names of methods that people look for in vain, and what does the same.
const METHODS: [(&str, &str); 22] = [
    ("append", "Lua writes table.insert(list, x)"),
    ("insert", "Lua writes table.insert(list, x)"),
    ("items", "Lua writes for name, value in pairs(t) do"),
    ("iteritems", "Lua writes for name, value in pairs(t) do"),
    ("keys", "write dict.keys(t)"),
    ("values", "write dict.values(t)"),
    ("update", "write dict.merge(a, b)"),
    ("copy", "write dict.copy(t)"),
    ("get", "Lua writes t.name or a default"),
    ("join", "Lua writes table.concat(list, separator)"),
    ("startswith", "write text.startswith(s, start)"),
    ("endswith", "write text.endswith(s, ending)"),
    ("strip", "write text.strip(s)"),
    ("split", "write text.split(s, separator)"),
    ("splitlines", "write text.lines(s)"),
    ("replace", "Lua writes s:gsub(pattern, replacement)"),
    ("sort", "Lua writes table.sort(list)"),
    ("setDefaultWorkdir", "give workdir to the factory"),
    ("addFactoryArguments", "give the arguments to the constructor"),
    ("extend", "classes are extended by Class:extend(\"Name\"), lists joined by list.concat(a, b)"),
    ("setProperty", "properties are given as properties = { … }"),
    ("get_properties", "write x.properties"),
];

/// Lists that are filled item by item.
const LISTS_OF_THE_ROOT: [&str; 3] = ["workers", "builders", "schedulers"];

/// Before one of these it is the closing bracket that is missing, as Lua says itself.
const KEYWORDS: [&str; 12] = ["and", "do", "else", "elseif", "end", "for", "if", "local", "or", "return", "then", "while"];

/// Methods of the host's objects, in the file and in callbacks.
pub(super) const OWN_METHODS: [&str; 39] = [
    "addStep",
    "addSteps",
    "extend",
    "mixin",
    "isinstance",
    "withArgs",
    "getProperty",
    "hasProperty",
    "setProperty",
    "getProperties",
    "getBuild",
    "getBuilderId",
    "getWorkerName",
    "getNewestCompleteTime",
    "getOldestRequestTime",
    "get_highest_priority",
    "active_builds",
    "isAvailable",
    "isBusy",
    "isPaused",
    "putInQuarantine",
    "resetQuarantine",
    "addLog",
    "addCompleteLog",
    "addHTMLLog",
    "addLogObserver",
    "addURL",
    "addStdout",
    "addStderr",
    "addHeader",
    "addStepsAfterCurrentStep",
    "makeRemoteShellCommand",
    "runCommand",
    "runShellSequence",
    "checkWorkerHasCommand",
    "updateSummary",
    "setStatistic",
    "getStatistic",
    "didFail",
];

/// The mend, if the message is that of a known slip.
pub(super) fn mend(message: &str, lines: &Lines) -> Option<String> {
    if let Some(what) = message.strip_prefix("attempt to ") {
        return at_run_time(what, lines);
    }
    let said = in_syntax(message, lines)?;
    Some(said.to_owned())
}

fn at_run_time(what: &str, lines: &Lines) -> Option<String> {
    let line = lines.line.as_str();
    let name = what.rsplit_once(" '").and_then(|(_, rest)| rest.strip_suffix("')")).unwrap_or_default();
    if what.contains("a userdata value") || what.contains(" with userdata") || what.contains("userdata with ") {
        return Some("is it None? None tells the host that there is nothing; Lua's own nothing is nil".into());
    }
    if what.starts_with("index a nil value") && LISTS_OF_THE_ROOT.contains(&name) {
        return Some(format!("it needs {name} = {{}} first"));
    }
    if what.starts_with("call a nil value") {
        if let Some((_, instead)) = METHODS.iter().find(|(method, _)| *method == name) {
            return Some((*instead).into());
        }
        return suggest::nearest(name, OWN_METHODS).map(|near| format!("did you mean '{near}'?"));
    }
    if what.starts_with("call a table value") || what.starts_with("call a list value") {
        return Some(match name {
            "for iterator" => "Lua writes for _, item in ipairs(list) do".into(),
            "dict" | "list" => "Lua writes { … }".into(),
            _ => "is a comma missing before the brace or parenthesis?".into(),
        });
    }
    if what.starts_with("call a ") && name != "for iterator" && !what.contains("a nil value") {
        return Some("is a comma missing before the brace or parenthesis?".into());
    }
    let text_operand =
        what.starts_with("perform arithmetic on a string value") || what.contains("a 'string' with a") || what.ends_with("with a 'string'");
    if text_operand && what.starts_with("mod ") {
        return Some("Lua writes (\"…%s…\"):format(x)".into());
    }
    if (text_operand && (what.starts_with("add ") || line.contains('+'))) || (what.starts_with("perform arithmetic") && joins_text(line)) {
        return Some("Lua joins text with ..".into());
    }
    if what.starts_with("concatenate a table value") {
        return Some("table.concat(list, \", \") makes a text of a list, list.concat(a, b) joins two lists".into());
    }
    if what.starts_with("perform arithmetic on a table value") {
        return Some("lists are joined by list.concat(a, b), tables of names by dict.merge(a, b)".into());
    }
    None
}

/// `"a" + x` or `x + "a"` is in the line.
fn joins_text(line: &str) -> bool {
    ["\" +", "' +", "+ \"", "+ '"].iter().any(|part| line.contains(part))
}

fn in_syntax(message: &str, lines: &Lines) -> Option<&'static str> {
    if message.starts_with("unfinished string") || message.starts_with("unfinished long string") {
        return Some("the closing quote is missing; text over several lines is written [[ … ]]");
    }
    let (expected, near) = message.rsplit_once(" near ")?;
    let near = near.trim_matches('\'');
    if near == "<eof>" && expected.contains("to close 'if'") {
        return Some("else if needs an end of its own, elseif needs none");
    }
    let unfinished = expected.starts_with("'do' expected") || expected.starts_with("'then' expected");
    if let Some(said) = first_word(lines, if unfinished { LINES_BEFORE } else { 1 }) {
        return Some(said);
    }
    let closes = expected.starts_with("'}' expected") || expected.starts_with("')' expected");
    match near {
        "!" => return Some("Lua writes ~= for != and not x for !x"),
        "#" | "//" => return Some("Lua's comments begin with --"),
        "&" => return Some("Lua writes and"),
        "|" => return Some("Lua writes or"),
        "?" => return Some("Lua writes condition and a or b"),
        "@" => return Some("Lua has no decorators: hand the function over"),
        "[" | "]" => return Some("Lua writes lists as { a, b }"),
        "is" => return Some("Lua writes == for is"),
        "in" => return Some("write list.contains(list, x)"),
        "lambda" => return Some("Lua writes function(x) return … end"),
        "." if closes || expected == "unexpected symbol" => return Some("a method of a text is called as in (\"…\"):format(x)"),
        "+" | "-" | "*" | "/" if expected == "syntax error" && lines.line.contains(&format!("{near}=")) => {
            return Some("Lua writes x = x + 1");
        }
        "*" => return Some("Lua writes x ^ y for powers and table.unpack(list) for items"),
        ":" if expected.starts_with("'then'") || expected.starts_with("'do'") => {
            return Some("Lua writes if … then, while … do, for … do");
        }
        ":" if closes => return Some("Lua writes { name = value }, or { [\"any text\"] = value }"),
        "=" if expected.starts_with("')' expected") => {
            return Some("named arguments are given in braces: Worker{ \"name\", max_builds = 2 }");
        }
        "=" if expected.starts_with("'}' expected") => return Some("a name that is no plain word is written [\"the-name\"] = value"),
        "=" if expected.starts_with("'then'") => return Some("Lua compares with =="),
        "=" if lines.line.matches(" = ").count() > 1 => return Some("Lua assigns once per statement"),
        "}" if expected.starts_with("'=' expected") => return Some("Lua writes lists as { a, b }"),
        _ => {}
    }
    let starts_a_value = near.chars().next().is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '"' | '\'' | '{'));
    if closes && starts_a_value && !KEYWORDS.contains(&near) {
        return Some("is a comma missing before it?");
    }
    None
}

/// Statements of Python are known by their first word; Lua names the word after it, or one of the next line.
fn first_word(lines: &Lines, before: usize) -> Option<&'static str> {
    for line in std::iter::once(&lines.line).chain(lines.before.iter().take(before)) {
        let code = line.split(" --").next().unwrap_or_default().trim_end();
        let word = code.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default();
        let block = code.ends_with(':');
        match word {
            "elif" => return Some("Lua writes elseif … then"),
            "else" if block => return Some("Lua writes else without a colon, and end after all"),
            "def" => return Some("Lua writes local function name(…) … end"),
            "class" if block => return Some("Lua writes local Name = Parent:extend(\"Name\", { … })"),
            "import" | "from" => {
                return Some("nothing is imported: worker, steps, util, schedulers … are there; your own files are required");
            }
            "try" | "except" | "finally" | "raise" | "with" if block || word == "raise" => {
                return Some("Lua writes pcall(f) to go on after an error, and error(\"…\") to raise one");
            }
            "if" | "for" | "while" if block => return Some("Lua writes if … then, while … do, for … do"),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_a_file() {
        let source = b"a\n\n  b  \r\n\nc";
        let at = |n| {
            let l = Lines::of(source, n);
            (l.line, l.before.join("|"))
        };
        assert_eq!(at(5), ("c".into(), "b|a".into()));
        assert_eq!(at(1), ("a".into(), String::new()));
        assert_eq!(at(0), (String::new(), String::new()));
        assert_eq!(at(9), (String::new(), String::new()));
    }

    #[test]
    fn what_is_clear_by_itself_gets_no_hint() {
        for message in ["attempt to index a nil value (local 't')", "attempt to perform arithmetic on a nil value", "boom near 'x'", "boom"]
        {
            assert_eq!(mend(message, &Lines { line: "local y = x + 1".into(), ..Lines::default() }), None, "{message}");
        }
    }
}
