//! What an editor is told of `master.lua`: the declarations of classes, callbacks and library as files for language servers of Lua.
//! Makes texts; who writes them is elsewhere.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::api::library::{LIBRARY, STEP};
use super::api::objects::{FIELDS, OBJECTS};
use super::callbacks;
use super::members::{self, MEMBERS};
use super::testing::words;
use crate::config::annotations as classes;
use crate::config::class::class_named;
use crate::model::Results;

/// Settings of a language server, for a folder with a `master.lua`: the annotations are in [`FOLDER`].
pub const SETTINGS: &str = r#"{
  "runtime.version": "Lua 5.4",
  "runtime.builtin": { "io": "disable", "debug": "disable", "coroutine": "disable", "package": "disable" },
  "workspace.library": ["./.lua-types"],
  "workspace.checkThirdParty": false,
  "diagnostics.disable": ["need-check-nil"]
}
"#;

/// Below the folder of `master.lua`.
pub const FOLDER: &str = ".lua-types";

/// Every file of [`FOLDER`]: its name and content.
pub fn files() -> Vec<(&'static str, String)> {
    let head = "---@meta\n-- Made by `buildmoon lua-types`; what is changed here is lost.\n";
    vec![
        ("classes.lua", format!("{head}{}", classes::classes_and_keys(&callbacks::signature_of))),
        ("library.lua", format!("{head}{}", library())),
        ("objects.lua", format!("{head}{}", objects())),
        ("testing.lua", format!("{head}{}", testing())),
    ]
}

/// A call or a member as the tables of the reference write it: `fs.read(name: string): string`, `rc: integer?`.
#[derive(Debug, PartialEq)]
struct Entry<'a> {
    /// `fs` of `fs.read`, `task` of `task:wait`, or nothing.
    of: &'a str,
    method: bool,
    name: &'a str,
    /// Name and type of each; none if it is no function.
    parameters: Option<Vec<(&'a str, &'a str)>>,
    /// Of what it returns, or is.
    lua_type: &'a str,
}

fn entry(text: &str) -> Entry<'_> {
    let end = text.find(['(', '{']).or_else(|| text.find(": ")).unwrap_or(text.len());
    let (full, rest) = text.split_at(end);
    // A member's type follows its name at once.
    let end = full.find(": ").unwrap_or(full.len());
    let (full, rest) = if end < full.len() { text.split_at(end) } else { (full, rest) };
    let (of, method, name) = match full.rfind(['.', ':']) {
        Some(at) => (&full[..at], full.as_bytes()[at] == b':', &full[at + 1..]),
        None => ("", false, full),
    };
    let (parameters, after) = match rest.strip_prefix('(') {
        Some(inner) => {
            let end = closing(inner);
            (Some(split(&inner[..end]).into_iter().map(parameter).collect()), inner.get(end + 1..).unwrap_or_default())
        }
        None if rest.starts_with('{') => (Some(vec![("args", "table")]), ""),
        None => (None, rest),
    };
    let lua_type = after.strip_prefix(": ").unwrap_or(if parameters.is_none() { "any" } else { "" });
    Entry { of, method, name, parameters, lua_type }
}

/// Where the parenthesis that is open before `text` closes.
fn closing(text: &str) -> usize {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '{' | '<' | '[' => depth += 1,
            ')' if depth == 0 => return at,
            ')' | '}' | '>' | ']' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// The parts between commas that stand in no bracket.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' | '{' | '<' | '[' => depth += 1,
            ')' | '}' | '>' | ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts.retain(|p| !p.is_empty());
    parts
}

fn parameter(text: &str) -> (&str, &str) {
    match text.split_once(": ") {
        Some(named) => named,
        None if text == "…" => ("...", "any"),
        None => (text, "any"),
    }
}

/// What functions are called with, and what calls return.
fn objects() -> String {
    let mut types: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for (object, list) in MEMBERS {
        types.entry(members::type_name(object)).or_default().extend(*list);
    }
    for (object, list) in OBJECTS {
        types.entry(object).or_default().extend(*list);
    }
    let mut page = String::new();
    for (name, list) in types {
        type_of(name, &list, &mut page);
    }
    page.push_str("\n---A running step, for `run` and the other methods of one's own.\n");
    type_of("Step", STEP, &mut page);
    page.push_str("---@field results Results?\n---@field build Build\n---@field worker { name: string }\n---@field workername string\n");
    page
}

/// A type with its members as fields.
fn type_of(name: &str, members: &[(&str, &str)], page: &mut String) {
    let _ = write!(page, "\n---@class {name}\n");
    for (text, meaning) in members {
        let entry = entry(text);
        let (field, written) = match &entry.parameters {
            // Any property, by its name.
            _ if entry.name == "NAME" => ("[string]", "any".to_owned()),
            Some(parameters) => {
                let given = parameters.iter().map(|(n, t)| format!(", {n}: {t}")).collect::<String>();
                let returns = if entry.lua_type.is_empty() { String::new() } else { format!(": {}", entry.lua_type) };
                (entry.name, format!("(fun(self: {name}{given}){returns})"))
            }
            None if entry.lua_type.starts_with("fun(") => (entry.name, format!("({})", entry.lua_type)),
            None => (entry.name, entry.lua_type.to_owned()),
        };
        let _ = writeln!(page, "---@field {field} {written} {meaning}");
    }
}

/// The functions, by the table that has them.
fn library() -> String {
    let mut page = String::new();
    for result in Results::ALL {
        let _ = write!(page, "\n---@type Results\n{} = {}\n", result.name().to_uppercase(), result as i64);
    }
    page.push_str("\n---@type { checking: boolean } `checking` is true under `checkconfig`.\nbuildmoon = nil\n");
    tables(LIBRARY, &NAMESPACES, &mut page);
    page
}

/// What test files have besides.
fn testing() -> String {
    let mut page = String::new();
    for (name, members) in words::OBJECTS {
        type_of(name, members, &mut page);
    }
    page.push_str("\n---@class Tests\n---@overload fun(name: string, body?: fun())\nit = {}\n");
    page.push_str("\n---A test that is not run.\n---@param name string\n---@param body? fun()\nfunction it.skip(name, body) end\n");
    // Written above: it is called, and has a field.
    let calls: Vec<(&str, &str)> = words::CALLS.iter().copied().filter(|(call, _)| !call.starts_with("it(")).collect();
    tables(&calls, &[], &mut page);
    page
}

/// Functions, by the table that has them; besides these tables.
fn tables(calls: &[(&'static str, &'static str)], more: &[&'static str], page: &mut String) {
    let mut tables: BTreeMap<&str, Vec<(Entry, &str)>> = BTreeMap::new();
    for (text, meaning) in calls {
        let entry = entry(text);
        // What every class has is said with the classes.
        if entry.of != "Class" {
            tables.entry(entry.of).or_default().push((entry, meaning));
        }
    }
    for name in more {
        tables.entry(name).or_default();
    }
    for (table, entries) in tables {
        let object = entries.iter().any(|(e, _)| e.method);
        let local = match table {
            "" => String::new(),
            _ if object && class_named(table).is_none() => capitalised(table),
            _ if object => table.to_owned(),
            _ => format!("{table}lib"),
        };
        if !table.is_empty() {
            let _ = write!(page, "\n---@class {local}\n");
            page.push_str(&classes::fields(table));
            for (_, name, lua_type) in FIELDS.iter().filter(|(of, ..)| *of == table) {
                let _ = writeln!(page, "---@field {name} {lua_type}");
            }
            if table == "util" {
                for result in Results::ALL {
                    let _ = writeln!(page, "---@field {} Results", result.name().to_uppercase());
                }
            }
            let _ = writeln!(page, "local {local} = {{}}");
        }
        for (entry, meaning) in &entries {
            function(entry, &local, meaning, page);
        }
        if !table.is_empty() && !object {
            let _ = write!(page, "\n---@type {local}\n{table} = nil\n");
        }
    }
}

/// The tables that classes live in.
const NAMESPACES: [&str; 7] = ["worker", "steps", "util", "schedulers", "changes", "reporters", "secrets"];

fn function(entry: &Entry, of: &str, meaning: &str, page: &mut String) {
    let parameters = entry.parameters.as_deref().unwrap_or_default();
    let _ = write!(page, "\n---{meaning}\n");
    for (name, lua_type) in parameters {
        let _ = writeln!(page, "---@param {name} {lua_type}");
    }
    if !entry.lua_type.is_empty() {
        let _ = writeln!(page, "---@return {}", entry.lua_type);
    }
    let names = parameters.iter().map(|(name, _)| name.trim_end_matches('?')).collect::<Vec<_>>().join(", ");
    let dot = match (of, entry.method) {
        ("", _) => "",
        (_, true) => ":",
        (_, false) => ".",
    };
    let _ = writeln!(page, "function {of}{dot}{}({names}) end", entry.name);
}

fn capitalised(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_understood() {
        let of = |text| {
            let e = entry(text);
            let given = e.parameters.map(|p| p.iter().map(|(n, t)| format!("{n}={t}")).collect::<Vec<_>>().join(";"));
            format!("{}|{}|{}|{}|{}", e.of, e.method, e.name, given.unwrap_or("-".into()), e.lua_type)
        };
        assert_eq!(of("sleep(seconds: number|string)"), "|false|sleep|seconds=number|string|");
        assert_eq!(of("task:wait(): any"), "task|true|wait||any");
        assert_eq!(of("rc: integer?"), "|false|rc|-|integer?");
        assert_eq!(of("building: { number: integer }[]"), "|false|building|-|{ number: integer }[]");
        assert_eq!(of("[integer]: string?"), "|false|[integer]|-|string?");
        assert_eq!(of("content: fun(): string"), "|false|content|-|fun(): string");
        assert_eq!(
            of("a.f(x: { b?: integer, c: table<string, any> }, g?: fun(a: any, b: any): any, ...: any): string, integer"),
            "a|false|f|x={ b?: integer, c: table<string, any> };g?=fun(a: any, b: any): any;...=any|string, integer"
        );
        assert_eq!(of("old{ a=, b= }"), "|false|old|args=table|");
        assert_eq!(of("NAME"), "|false|NAME|-|any");
    }

    #[test]
    fn every_parameter_of_the_library_has_a_type() {
        let calls = LIBRARY.iter().chain(STEP).chain(MEMBERS.iter().chain(OBJECTS).flat_map(|(_, members)| *members));
        for (text, _) in calls {
            let inner = text.split_once('(').map_or("", |(_, rest)| &rest[..closing(rest)]);
            let untyped: Vec<_> = split(inner).into_iter().filter(|p| !p.contains(": ")).collect();
            assert!(untyped.is_empty() && !text.contains('…'), "{text} needs a type for {untyped:?}, as in 'name?: string'");
            assert!(text.contains(['(', ':']) || ["NAME", "Class.classname"].contains(text), "{text} needs a type");
        }
    }
}
