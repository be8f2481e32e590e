//! Names that are not there, found without running the file: undefined globals, new globals, and constant fields of the host's
//! tables, also in functions that nobody called yet. It tells only what is sure; a file that it can't read it leaves alone.

mod lexer;
mod names;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mlua::{Function, Table, Value};

use super::hints::OWN_METHODS;
use super::vm::Vm;
use crate::base::suggest;
use crate::config::{Mistake, Place};
use names::{Name, Names, names};

/// Larger files are not written by people.
const LARGEST: usize = 4 << 20;

/// More would only be noise.
const MOST: usize = 1000;

/// What other versions of Lua have: behind an `or` it is there for them.
const OF_OTHER_LUAS: [&str; 7] = ["unpack", "loadstring", "setfenv", "getfenv", "module", "bit32", "jit"];

/// Something that is wrong with a name, or out of date.
pub(super) struct Finding {
    pub mistake: Mistake,
    pub warning: bool,
    /// The last word of the name, as an error of Lua would have it.
    pub word: String,
}

/// What is to be said of a name, if anything, whether it is only a warning, and whether a file may ask if it is there.
type Said = (Option<String>, Option<bool>, Option<bool>);

/// What the files of the configuration say of names that are not there, in the order of the files and lines.
pub(super) fn findings(vm: &Vm) -> mlua::Result<Vec<Finding>> {
    let sources = vm.host.sources();
    let files: Vec<(Arc<str>, Names)> = sources.iter().filter_map(|(file, source)| Some((file.clone(), names_of(file, source)?))).collect();
    // Who sets a name knows it; that it should be a local is told where it is set.
    let set: HashSet<Name> = files.iter().flat_map(|(_, names)| names.sets.iter().map(|(_, name)| *name)).collect();
    let look_up: Function = vm.prelude.raw_get("look_up")?;
    let told_sets: Function = vm.prelude.raw_get("new_global")?;
    let globals: Table = vm.lua.globals();
    let mut said: HashMap<Name, Said> = HashMap::new();
    let mut all = Vec::new();
    for (file, names) in &files {
        let mut tell = |line: u32, name: &Name, text: String, warning: bool| {
            let place = Place { file: file.clone(), line, from: Vec::new() };
            let word = name.field.unwrap_or(name.global).to_owned();
            all.push(Finding { mistake: Mistake { place, subject: String::new(), text }, warning, word });
        };
        for read in &names.reads {
            let other_lua = read.doubted && OF_OTHER_LUAS.contains(&read.name.global);
            let replaced = || read.name.field.is_some() && set.contains(&Name { global: read.name.global, field: None });
            if other_lua || set.contains(&read.name) || replaced() {
                continue;
            }
            let (text, warning, may_be_asked) = match said.get(&read.name) {
                Some(said) => said,
                None => {
                    let answer: Said = look_up.call((read.name.global, read.name.field))?;
                    said.entry(read.name).or_insert(answer)
                }
            };
            if let Some(text) = text
                && !(read.doubted && may_be_asked.unwrap_or(false))
            {
                tell(read.line, &read.name, text.clone(), warning.unwrap_or(false));
            }
        }
        for (line, name) in names.sets.iter().filter(|(_, name)| name.field.is_none()) {
            if globals.raw_get::<Value>(name.global)?.is_nil() {
                tell(*line, name, told_sets.call(name.global)?, false);
            }
        }
    }
    all.extend(slips_in_methods(vm, &files)?);
    all.truncate(MOST);
    all.sort_by(|a, b| (&a.mistake.place.file, a.mistake.place.line).cmp(&(&b.mistake.place.file, b.mistake.place.line)));
    Ok(all)
}

/// Calls of methods that nothing has, and that are nearly called like one of the host's.
fn slips_in_methods(vm: &Vm, files: &[(Arc<str>, Names)]) -> mlua::Result<Vec<Finding>> {
    let own: HashSet<&str> = files.iter().flat_map(|(_, names)| names.fields.iter().copied()).collect();
    let strings: Table = vm.lua.globals().raw_get("string")?;
    let mut all = Vec::new();
    for (file, names) in files {
        for (line, method) in names.calls.iter().filter(|(_, method)| !own.contains(method)) {
            let Some(near) = suggest::one_edit(method, OWN_METHODS) else { continue };
            if strings.contains_key(*method)? {
                continue;
            }
            let place = Place { file: file.clone(), line: *line, from: Vec::new() };
            let text = format!("nothing has a method '{method}' (did you mean '{near}'?)");
            all.push(Finding { mistake: Mistake { place, subject: String::new(), text }, warning: true, word: (*method).to_owned() });
        }
    }
    Ok(all)
}

fn names_of<'a>(file: &str, source: &'a [u8]) -> Option<Names<'a>> {
    let text = std::str::from_utf8(source).ok().filter(|text| text.len() <= LARGEST)?;
    match names(text) {
        Ok(found) if found.environment => None,
        Ok(found) => Some(found),
        Err(e) => {
            tracing::debug!("{file}:{}: names are not looked at from here on", e.line);
            None
        }
    }
}

/// Puts findings beside what running the file has shown: each is told once. The rest are warnings.
pub(super) fn merge(findings: Vec<Finding>, mistakes: &mut Vec<Mistake>) -> Vec<Mistake> {
    let mut warnings = Vec::new();
    for finding in findings {
        let at = &finding.mistake.place;
        let same = mistakes.iter_mut().filter(|m| m.place.file == at.file && m.place.line == at.line);
        let mut told = false;
        for mistake in same {
            let (first, rest) = mistake.text.split_once('\n').unwrap_or((&mistake.text, ""));
            if first == finding.mistake.text || first.ends_with(&format!("; {}", finding.mistake.text)) {
                told = true;
            } else if first.starts_with("attempt to ") && first.contains(&format!(" '{}')", finding.word)) {
                told = true;
                // Its hint is there already.
                if finding.warning {
                    break;
                }
                // Lua only says that something is nil; what it should have been is known here.
                let frames = if rest.is_empty() { String::new() } else { format!("\n{rest}") };
                mistake.text = format!("{first}; {}{frames}", finding.mistake.text);
            }
        }
        match (told, finding.warning) {
            (true, _) => {}
            (false, true) => warnings.push(finding.mistake),
            (false, false) => mistakes.push(finding.mistake),
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(source: &str) -> Vec<String> {
        let shown = |n: &Name| n.field.map_or(n.global.to_owned(), |f| format!("{}.{f}", n.global));
        names(source).unwrap().reads.iter().map(|r| format!("{}:{}", r.line, shown(&r.name))).collect()
    }

    fn sets(source: &str) -> Vec<String> {
        let shown = |n: &Name| n.field.map_or(n.global.to_owned(), |f| format!("{}.{f}", n.global));
        names(source).unwrap().sets.iter().map(|(line, name)| format!("{line}:{}", shown(name))).collect()
    }

    const NOTHING: [&str; 0] = [];

    #[test]
    fn locals_are_known_where_they_are_in_sight() {
        assert_eq!(reads("local a = a\nprint(a)"), ["1:a", "2:print"]);
        assert_eq!(reads("do local a end\nlocal b = a"), ["2:a"]);
        assert_eq!(reads("local function f(x, ...) return f(x, ...) end"), NOTHING);
        assert_eq!(reads("local f = function() return f end"), ["1:f"]);
        assert_eq!(reads("for i, x in a do i = x end\nlocal y = i"), ["1:a", "2:i"]);
        assert_eq!(reads("for i = 1, 2 do local z = i end"), NOTHING);
        assert_eq!(reads("repeat local done = 1 until done"), NOTHING);
        assert_eq!(reads("local t = {}\nfunction t.a.b:c(x) return self, x, y end"), ["2:y"]);
        assert_eq!(reads("local x <const>, y <close> = 1, 2\nlocal z = x + y"), NOTHING);
        assert_eq!(reads("local t = { a = b, [c] = 1, d; e }"), ["1:b", "1:c", "1:d", "1:e"]);
        assert_eq!(reads("goto x\n::x::\nif a then elseif b then else local c = d end"), ["3:a", "3:b", "3:d"]);
    }

    #[test]
    fn fields_of_globals_are_found_through_another_word_for_them() {
        assert_eq!(reads("local u = util\nu.A{}\nlocal v = u\nv.B()"), ["1:util", "2:util.A", "4:util.B"]);
        assert_eq!(reads("local u = util\nu = {}\nu.A{}"), ["1:util"]);
        assert_eq!(reads("list.map 'x'\nfs:read()"), ["1:list", "1:list.map", "2:fs", "2:fs.read"]);
        assert_eq!(reads("local x = -a.b ^ #c"), ["1:a", "1:a.b", "1:c"]);
        assert_eq!(reads("local x = a.b.c[d](e)"), ["1:a", "1:a.b", "1:d", "1:e"]);
        assert_eq!(reads("local x = ('y'):rep(n)"), ["1:n"]);
    }

    #[test]
    fn assignments_are_no_reads() {
        assert_eq!(sets("x, y.z, w = 1, 2"), ["1:w", "1:x", "1:y.z"]);
        assert_eq!(reads("x, y.z = 1, 2"), ["1:y"]);
        assert_eq!(sets("function f() g = 1 end function t.h() end"), ["1:f", "1:g", "1:t.h"]);
        assert_eq!(sets("local x x = 1 local function y() x = 2 end"), NOTHING);
    }

    #[test]
    fn what_is_nested_too_deep_or_broken_is_left_alone() {
        for source in ["(".repeat(100_000), "{".repeat(100_000), "a=".to_owned() + &"-{".repeat(100_000), "x = = 1".into(), "end".into()] {
            assert!(names(&source).is_err());
        }
        let long = format!("local x = 1{}", " + y".repeat(300_000));
        assert_eq!(names(&long).unwrap().reads.len(), 1);
        assert!(names("local _ENV = {} x = 1").unwrap().environment && names("x = _ENV.y").unwrap().environment);
    }

    #[test]
    fn the_shipped_lua_is_read_whole() {
        for folder in ["lua", "examples/hello"] {
            for entry in std::fs::read_dir(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|e| e == "lua") {
                    let source = std::fs::read_to_string(&path).unwrap();
                    names(&source).unwrap_or_else(|e| panic!("{}:{}", path.display(), e.line));
                }
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(words in proptest::collection::vec("local|function|end|if|then|else|do|for|in|=|,|[(){}]|\\[|\\]|a|b|\\.|:|[\"'\\\\é]|--|\\[\\[|1|or|not|\n| ", 0..40)) {
            let _ = names(&words.concat());
            let _ = names(&words.join(" "));
        }
    }

    #[test]
    fn ten_thousand_lines_take_no_time() {
        let source = "f:addStep(steps.ShellCommand{ name = name, command = { \"make\", util.X.y } })\n".repeat(10_000);
        let start = std::time::Instant::now();
        names(&source).unwrap();
        let took = start.elapsed();
        assert!(took < std::time::Duration::from_millis(2000), "{took:?}");
    }
}
