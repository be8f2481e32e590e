//! Is the house in order? Reads the sources as text: the order of the rooms is that of `src/lib.rs`, and whatever breaks a rule
//! of it is told with file and line. It compiles nothing and knows nothing of what the code does.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// More than that is two files.
const MOST_LINES: usize = 700;

/// A source file below `src/`.
struct Source {
    /// `room/file.rs`.
    path: String,
    text: String,
    /// The text with comments and the inside of strings blanked, line for line.
    code: String,
    /// Comments blanked, strings kept.
    with_strings: String,
    /// Lines (from 0) that are compiled for tests only.
    test_lines: BTreeSet<usize>,
}

impl Source {
    fn new(path: &str, text: &str) -> Source {
        let code = blank(text, true);
        let test_lines = test_lines(&code);
        Source { path: path.to_owned(), text: text.to_owned(), with_strings: blank(text, false), code, test_lines }
    }

    fn room(&self) -> &str {
        self.path.split(['/', '.']).next().unwrap_or("")
    }

    /// Lines with their number from 1; `tests`: also those that are compiled for tests only.
    fn lines<'a>(&'a self, text: &'a str, tests: bool) -> impl Iterator<Item = (usize, &'a str)> {
        text.lines().enumerate().filter(move |(n, _)| tests || !self.test_lines.contains(n)).map(|(n, line)| (n + 1, line))
    }
}

fn sources() -> Vec<Source> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&src, &mut files);
    files.sort();
    assert!(files.len() > 10, "hardly a source file below {}", src.display());
    let mut sources: Vec<Source> = files
        .iter()
        .map(|file| {
            let path = file.strip_prefix(&src).expect("below src").to_str().expect("a plain name").to_owned();
            Source::new(&path, &std::fs::read_to_string(file).expect("a source file"))
        })
        .collect();
    let tests: Vec<String> = sources.iter().flat_map(test_modules).collect();
    for source in &mut sources {
        let stem = source.path.trim_end_matches(".rs").trim_end_matches("/mod");
        if tests.iter().any(|t| stem == t || stem.starts_with(&format!("{t}/"))) {
            source.test_lines = (0..source.text.lines().count()).collect();
        }
    }
    sources
}

/// The modules in files of their own that are compiled for tests only: `room/tests`, without an ending.
fn test_modules(source: &Source) -> Vec<String> {
    let folder = match source.path.strip_suffix("/mod.rs") {
        Some(folder) => folder,
        None => source.path.trim_end_matches(".rs"),
    };
    let lines = source.code.lines().enumerate().filter(|(n, _)| source.test_lines.contains(n));
    let names = lines.filter_map(|(_, line)| {
        line.trim().trim_start_matches("pub(super) ").trim_start_matches("pub(crate) ").strip_prefix("mod ")?.strip_suffix(';')
    });
    names.map(|name| format!("{folder}/{name}")).collect()
}

/// The rooms in the order of `src/lib.rs`.
fn rooms() -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).expect("src/lib.rs");
    rooms_of(&text)
}

fn rooms_of(lib: &str) -> Vec<String> {
    lib.lines().filter_map(|l| l.strip_prefix("pub mod ")?.strip_suffix(';')).map(str::to_owned).collect()
}

/// Blanks comments, and the inside of strings if asked; keeps the lines.
fn blank(text: &str, strings: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let wipe = |out: &mut Vec<u8>, from: usize, to: usize| {
        for at in from..to.min(out.len()) {
            if out[at] != b'\n' {
                out[at] = b' ';
            }
        }
    };
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let word_before = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        if rest.starts_with(b"//") {
            let end = at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
            wipe(&mut out, at, end);
            at = end;
        } else if rest.starts_with(b"/*") {
            let mut depth = 0;
            let mut end = at;
            loop {
                if bytes[end..].starts_with(b"/*") {
                    depth += 1;
                    end += 2;
                } else if bytes[end..].starts_with(b"*/") {
                    depth -= 1;
                    end += 2;
                } else {
                    end += 1;
                }
                if depth == 0 || end >= bytes.len() {
                    break;
                }
            }
            wipe(&mut out, at, end);
            at = end;
        } else if let Some(hashes) = raw_string(rest).filter(|_| !word_before || matches!(bytes[at - 1], b'b' | b'c')) {
            let close = [&b"\""[..], &b"#".repeat(hashes)].concat();
            let start = at + 2 + hashes;
            let length = bytes[start..].windows(close.len()).position(|w| w == close).unwrap_or(bytes.len() - start);
            if strings {
                wipe(&mut out, start, start + length);
            }
            at = start + length + close.len();
        } else if rest[0] == b'"' {
            let mut end = at + 1;
            while end < bytes.len() && bytes[end] != b'"' {
                end += if bytes[end] == b'\\' { 2 } else { 1 };
            }
            if strings {
                wipe(&mut out, at + 1, end);
            }
            at = end + 1;
        } else if rest[0] == b'\'' {
            at += character(rest).inspect(|length| wipe(&mut out, at + 1, at + length - 1)).unwrap_or(1);
        } else {
            at += 1;
        }
    }
    String::from_utf8(out).expect("blanks in place of whole texts")
}

/// Is this `r"` or `r#"`? How many hashes?
fn raw_string(rest: &[u8]) -> Option<usize> {
    let hashes = rest.strip_prefix(b"r")?.iter().take_while(|b| **b == b'#').count();
    (rest.get(1 + hashes) == Some(&b'"')).then_some(hashes)
}

/// The length of a character literal; a lifetime is none.
fn character(rest: &[u8]) -> Option<usize> {
    if rest.get(1) == Some(&b'\\') {
        return rest.iter().skip(3).position(|b| *b == b'\'').map(|p| p + 4);
    }
    let text = std::str::from_utf8(&rest[1..rest.len().min(6)]).or_else(|e| std::str::from_utf8(&rest[1..1 + e.valid_up_to()])).ok()?;
    let length = 1 + text.chars().next()?.len_utf8();
    (rest.get(length) == Some(&b'\'')).then_some(length + 1)
}

/// The lines of items under `#[cfg(test)]`: to the end of the block that begins there, or of the line where none does.
fn test_lines(code: &str) -> BTreeSet<usize> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = BTreeSet::new();
    let mut at = 0;
    while at < lines.len() {
        if !lines[at].trim_start().starts_with("#[cfg(test)]") {
            at += 1;
            continue;
        }
        let mut depth = 0_i64;
        let mut opened = false;
        while at < lines.len() {
            found.insert(at);
            for byte in lines[at].bytes() {
                depth += i64::from(byte == b'{') - i64::from(byte == b'}');
                opened |= byte == b'{';
            }
            at += 1;
            if (opened && depth <= 0) || (!opened && lines[at - 1].trim_end().ends_with(';')) {
                break;
            }
        }
    }
    found
}

/// Line (from 1) and name of everything that is reached from the root of the crate: `crate::a`, `crate::{b, c::d}`, and
/// `super::` as often as it takes.
fn names_from_root(source: &Source) -> Vec<(usize, String)> {
    let depth = source.path.trim_end_matches("/mod.rs").split('/').count();
    let code = &source.code;
    let supers = "super::".repeat(depth);
    let mut found = Vec::new();
    for prefix in ["crate::", supers.as_str()] {
        for (at, _) in code.match_indices(prefix) {
            let before = code[..at].bytes().next_back();
            if before.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_' || (b == b':' && prefix != "crate::")) {
                continue;
            }
            let line = code[..at].matches('\n').count() + 1;
            found.extend(heads(&code[at + prefix.len()..]).into_iter().map(|name| (line, name)));
        }
    }
    found
}

/// The first names of a path, or of each path in braces.
fn heads(rest: &str) -> Vec<String> {
    let ident = |text: &str| text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(inside) = rest.strip_prefix('{') else { return vec![ident(rest)] };
    let mut names = Vec::new();
    let mut depth = 0;
    let mut start = true;
    for (at, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => start = true,
            c if start && !c.is_whitespace() => {
                names.push(ident(&inside[at..]));
                start = false;
            }
            _ => {}
        }
    }
    names
}

/// Uses of a room that stands below the one of the source.
fn downward(source: &Source, rooms: &[String]) -> Vec<String> {
    let place = |name: &str| rooms.iter().position(|r| r == name);
    let Some(own) = place(source.room()) else { return Vec::new() };
    names_from_root(source)
        .into_iter()
        .filter(|(_, name)| place(name).is_some_and(|other| other > own))
        .map(|(line, name)| format!("src/{}:{line}: '{}' uses '{name}', a room below it", source.path, source.room()))
        .collect()
}

/// Lines with a word that belongs to other folders only.
fn out_of_place(source: &Source, word: &str, home: &str) -> Vec<String> {
    if source.path.starts_with(home) {
        return Vec::new();
    }
    let whole = |line: &str| {
        line.match_indices(word).any(|(at, _)| {
            let inside = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
            !inside(line[..at].bytes().next_back()) && (word.ends_with('_') || !inside(line[at + word.len()..].bytes().next()))
        })
    };
    let hits = source.lines(&source.code, true).filter(|(_, line)| whole(line));
    hits.map(|(n, _)| format!("src/{}:{n}: '{word}' is known below src/{home} alone", source.path)).collect()
}

fn none(problems: Vec<String>) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

fn each(check: impl Fn(&Source) -> Vec<String>) {
    none(sources().iter().flat_map(check).collect());
}

#[test]
fn the_rooms_are_those_of_the_house_in_its_order() {
    let house = [
        "base", "model", "config", "lua", "secrets", "store", "wire", "workers", "latent", "builds", "changes", "report", "web", "master",
        "cli",
    ];
    let rooms = rooms();
    let places: Vec<usize> = rooms
        .iter()
        .map(|room| house.iter().position(|h| h == room).unwrap_or_else(|| panic!("src/lib.rs: '{room}' is no room of the house")))
        .collect();
    assert!(places.is_sorted(), "src/lib.rs: the rooms stand in another order than in the house: {rooms:?}");
}

#[test]
fn every_source_is_in_a_room() {
    let rooms = rooms();
    each(|s| {
        let known = rooms.iter().any(|r| r == s.room()) || matches!(s.path.as_str(), "lib.rs" | "main.rs") || s.path.starts_with("bin/");
        if known { Vec::new() } else { vec![format!("src/{} belongs to no room of src/lib.rs", s.path)] }
    });
}

#[test]
fn a_room_uses_only_rooms_above_it() {
    let rooms = rooms();
    each(|s| downward(s, &rooms));
}

#[test]
fn lua_sql_and_clouds_stay_in_their_rooms() {
    each(|s| {
        let mut problems = out_of_place(s, "mlua", "lua/");
        problems.extend(out_of_place(s, "rusqlite", "store/"));
        problems.extend(out_of_place(s, "aws_sdk_", "latent/ec2/"));
        problems.extend(out_of_place(s, "aws_config", "latent/ec2/"));
        if s.room() != "store" {
            let sql = |line: &str| {
                (line.contains("SELECT ") && line.contains(" FROM ")) || line.contains("INSERT INTO ") || line.contains("DELETE FROM ")
            };
            let hits = s.lines(&s.with_strings, true).filter(|(_, line)| sql(line));
            problems.extend(hits.map(|(n, _)| format!("src/{}:{n}: SQL outside src/store", s.path)));
        }
        problems
    });
}

#[test]
fn plain_rooms_do_nothing_but_compute() {
    each(|s| {
        if !matches!(s.room(), "base" | "model" | "config") {
            return Vec::new();
        }
        let effects = ["tokio", "std::fs", "std::net", "std::process", "File::open"];
        let hits = s.lines(&s.code, false).filter(|(_, line)| effects.iter().any(|e| line.contains(e)));
        hits.map(|(n, line)| format!("src/{}:{n}: no effects here: {}", s.path, line.trim())).collect()
    });
}

#[test]
fn files_are_read_in_one_sitting_and_say_what_they_are() {
    each(|s| {
        let mut problems = Vec::new();
        let lines = s.text.lines().count();
        if lines > MOST_LINES {
            problems.push(format!("src/{}: {lines} lines, at most {MOST_LINES}", s.path));
        }
        if !s.text.starts_with("//! ") {
            problems.push(format!("src/{}: does not begin with a comment '//! …' that says what it is", s.path));
        }
        problems
    });
}

#[test]
fn nothing_is_left_open_and_nothing_is_unwrapped() {
    each(|s| {
        let open = ["todo!(", "unimplemented!(", "dbg!("];
        let mut problems: Vec<String> = Vec::new();
        for (n, line) in s.lines(&s.code, true) {
            problems.extend(open.iter().filter(|o| line.contains(**o)).map(|o| format!("src/{}:{n}: {o}…)", s.path)));
        }
        let hits = s.lines(&s.code, false).filter(|(_, line)| line.contains(".unwrap()"));
        problems.extend(hits.map(|(n, _)| format!("src/{}:{n}: unwrap() outside tests", s.path)));
        problems
    });
}

/// The checks themselves: a small text in, what they find out.
mod the_checks {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let rooms = rooms_of("/// First.\npub mod top;\n\n/// Second.\npub mod mid;\n\npub mod low;\n");
        downward(&Source::new(path, text), &rooms)
    }

    #[test]
    fn paths_that_point_down_are_found() {
        assert_eq!(found("mid/x.rs", "use crate::top::A;\nuse crate::mid::B;\n"), [""; 0]);
        assert_eq!(found("mid/x.rs", "use std::io;\nuse crate::low::C;\n"), ["src/mid/x.rs:2: 'mid' uses 'low', a room below it"]);
        assert_eq!(found("top/mod.rs", "use crate::{top::{a, low}, mid::b, low};\n").len(), 2);
        assert_eq!(found("top/mod.rs", "fn f() -> crate::mid::T { super::low::g() }\n").len(), 2);
        assert_eq!(found("top/a/b.rs", "use super::super::low; use super::super::super::low as l;\n").len(), 1);
    }

    #[test]
    fn comments_and_texts_are_no_code() {
        let text = "// crate::low\n/* crate::low /* x */ crate::low */ let a = \"crate::low\"; let b = r#\"crate::low \" \"#;\nlet c = '\"'; crate::mid::x('\\'', b'\\\\');\n";
        assert_eq!(found("top/x.rs", text), ["src/top/x.rs:3: 'top' uses 'mid', a room below it"]);
        assert_eq!(blank("f::<'a>(\"x\\\"y\") // z", true), "f::<'a>(\"    \")     ");
        assert_eq!(blank("let ü = \"ß\"; //", false), "let ü = \"ß\";   ");
    }

    #[test]
    fn what_only_tests_compile_is_known() {
        let code = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n#[cfg(test)]\nmod more;\nfn d() {}\n";
        assert_eq!(test_lines(code), BTreeSet::from([1, 2, 3, 4, 6, 7]));
    }

    #[test]
    fn modules_of_tests_are_known() {
        let text = "#[cfg(test)]\nmod tests;\nmod real;\n#[cfg(test)]\npub(crate) mod fakes;\n";
        assert_eq!(test_modules(&Source::new("room/mod.rs", text)), ["room/tests", "room/fakes"]);
        assert_eq!(test_modules(&Source::new("room/part.rs", text)), ["room/part/tests", "room/part/fakes"]);
    }

    #[test]
    fn words_out_of_place_are_found() {
        let source = Source::new("web/x.rs", "use mlua::Lua;\nlet mluax = 1; // mlua\n");
        assert_eq!(out_of_place(&source, "mlua", "lua/"), ["src/web/x.rs:1: 'mlua' is known below src/lua/ alone"]);
        assert_eq!(out_of_place(&source, "mlua", "web/"), [""; 0]);
    }
}
