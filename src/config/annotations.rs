//! The declared classes and keys as a language server of Lua reads them. Text only: which functions callbacks are is handed in, files
//! are written elsewhere.
//!
//! A class `X` is four types: `X` is an instance, `X.Class` what is called, `X.Arguments` the table that it is called with, and
//! `X.Extended` a class of the file's own below it, whose further fields nobody knows.

use std::fmt::Write;

use super::class::{ArgDecl, ClassDecl, Holds, Kind, classes};
use super::lua_type::LuaType;
use super::root;

/// The type of the function that an argument of that name takes.
pub type Signature<'a> = &'a dyn Fn(&str) -> String;

/// Every class and every table of `BuildmasterConfig`.
pub fn classes_and_keys(signature: Signature) -> String {
    let mut page = String::from(BASES);
    for kind in Kind::ALL {
        if !classes().iter().any(|c| c.name == kind.type_name()) {
            let _ = write!(page, "\n---@class {}: HostObject\n", kind.type_name());
        }
    }
    for class in classes() {
        describe(class, signature, &mut page);
    }
    for table in root::tables() {
        let name = type_of_table(&table.path);
        let _ = write!(page, "\n---{}\n---@class (exact) {name}", table.doc);
        // The root is assigned key by key, where an unknown one is told anyway.
        page.push_str(&if table.path.is_empty() { String::new() } else { no_others(&table.args, false) });
        page.push('\n');
        for arg in &table.args {
            let path = if table.path.is_empty() { arg.name.to_owned() } else { format!("{}.{}", table.path, arg.name) };
            let known = root::tables().iter().any(|t| t.path == path);
            let settings = if known { type_of_table(&path) } else { "table".to_owned() };
            let written = arg.lua_type.written(&signature(arg.name), &settings);
            spellings(arg, &written, "?", &mut page);
        }
    }
    page.push_str("\n---@type BuildmasterConfig\nBuildmasterConfig = {}\n");
    for class in classes().iter().filter(|c| c.top_level) {
        let _ = write!(page, "\n---@type {}.Class\n{} = nil\n", class.name, class.name);
        for old in class.old_names.iter().filter(|o| !o.contains('.')) {
            let _ = write!(page, "\n---@deprecated use {}\n---@type {}.Class\n{old} = nil\n", class.name, class.name);
        }
    }
    page
}

/// The classes of a namespace, as fields of its type.
pub fn fields(namespace: &str) -> String {
    let within = classes().iter().filter(|c| c.namespaces.contains(&namespace));
    within.map(|c| format!("---@field {} {}.Class {}\n", c.name, c.name, one_line(c.doc))).collect()
}

const BASES: &str = "
---What `None` is: it says that there is nothing, where a missing name says \"as by default\".
---@class None

---@type None
None = nil

---A number of the constants `SUCCESS` … `CANCELLED`.
---@alias Results integer

---What is asked anew for every build.
---@alias Renderable RenderableObject|fun(props: Properties, ...: any): any

---@class HostObject
---@field isinstance fun(self: any, class: any): boolean

---A class that the file made.
---@class OwnClass
---@overload fun(...: any): OwnClass
---@field [string] any
";

fn type_of_table(path: &str) -> String {
    if path.is_empty() { "BuildmasterConfig".to_owned() } else { format!("BuildmasterConfig.{path}") }
}

/// What follows the name of a type so that a table with other keys is no such table.
fn no_others(args: &[ArgDecl], items: bool) -> String {
    let mut keys: Vec<String> = args.iter().flat_map(|a| a.aliases.iter().copied().chain([a.name])).map(|n| format!("{n}?: any")).collect();
    keys.extend(args.iter().filter_map(|a| a.position).map(|p| format!("[{p}]?: any")));
    keys.push("[string]: nil".to_owned());
    if !items {
        keys.push("[integer]: nil".to_owned());
    }
    format!(": {{ {} }}", keys.join(", "))
}

/// An argument's field, and one for each older spelling.
fn spellings(arg: &ArgDecl, written: &str, mark: &str, page: &mut String) {
    let default = if arg.required || arg.default.is_empty() { String::new() } else { format!(" Default: {}", arg.default) };
    let _ = writeln!(page, "---@field {}{mark} {} {}", arg.name, closed(written), one_line(&format!("{}{default}", arg.doc)));
    for old in arg.aliases {
        let _ = writeln!(page, "---@field {old}? {} Old spelling of `{}`.", closed(written), arg.name);
    }
}

/// What a function returns would swallow the text behind it.
fn closed(written: &str) -> String {
    if written.starts_with("fun(") { format!("({written})") } else { written.to_owned() }
}

/// A line of a comment.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn describe(class: &ClassDecl, signature: Signature, page: &mut String) {
    let name = class.name;
    let written = |arg: &ArgDecl| {
        let function = signature(if arg.name == "function" { name } else { arg.name });
        arg.lua_type.written(&function, "table")
    };
    let open = class.open || class.holds == Some(Holds::Names);
    let item = match class.holds {
        Some(Holds::Steps) => Some("Step"),
        Some(Holds::ShellArgs) => Some("ShellArg"),
        Some(Holds::Names) | None => None,
    };

    // What it is called with.
    let _ = write!(page, "\n---@class {}{name}.Arguments", if open { "" } else { "(exact) " });
    page.push_str(&if open { String::new() } else { no_others(&class.args, item.is_some()) });
    page.push('\n');
    for arg in &class.args {
        // What has a position may be given there instead.
        let mark = if arg.required && arg.position.is_none() { "" } else { "?" };
        spellings(arg, &written(arg), mark, page);
        if let Some(position) = arg.position.filter(|_| item.is_none() && !open) {
            let _ = writeln!(page, "---@field [{position}]? {} `{}`", closed(&written(arg)), arg.name);
        }
    }
    if let Some(item) = item {
        let _ = writeln!(page, "---@field [integer] {item}|{item}[]");
    }
    if open {
        page.push_str("---@field [string] any\n---@field [integer] any\n");
    }

    // An instance.
    let base = if class.kind.type_name() == name { "HostObject" } else { class.kind.type_name() };
    let _ = write!(page, "\n---{}\n---@class {name}: {base}\n", one_line(class.doc));
    for arg in &class.args {
        let lua_type = if arg.lua_type.is_plain() { closed(&written(arg)) } else { "any".to_owned() };
        let _ = writeln!(page, "---@field {} {lua_type} {}", arg.name, one_line(arg.doc));
    }
    if class.kind == Kind::Worker {
        page.push_str("---@field workername string The same as `name`.\n");
    }

    // The class.
    let _ = write!(page, "\n---{}\n---@class {name}.Class\n", one_line(class.doc));
    let needs_table = class.args.iter().any(|a| a.required && a.position.is_none());
    let needs_any = class.args.iter().any(|a| a.required);
    let _ = writeln!(page, "---@overload fun(args{}: {name}.Arguments): {name}", if needs_any { "" } else { "?" });
    if let Some(first) = class.args.iter().find(|a| a.position == Some(1)).filter(|_| !needs_table) {
        let function = signature(if first.name == "function" { name } else { first.name });
        if let Some(plain) = first.lua_type.without_tables() {
            let plain = plain.written(&function, "table");
            let _ = writeln!(page, "---@overload fun({}: {}, ...: any): {name}", safe(first.name), closed(&plain));
        }
        if first.lua_type.without_tables().as_ref() != Some(&first.lua_type) {
            let _ = writeln!(page, "---@overload fun({}: {}, second: any, ...: any): {name}", safe(first.name), closed(&written(first)));
        }
    }
    page.push_str("---@field classname string\n");
    if !class.extensible {
        return;
    }
    page.push_str("---@field init fun(self: any, args: table) The parent's, for an `init` of one's own.\n");
    let extend = |of: &str| {
        format!("---@field extend fun(self: {of}, name: string, body?: table): {name}.Extended A class of one's own below this one.\n")
    };
    page.push_str(&extend(&format!("{name}.Class")));

    // A class below it.
    let _ = write!(page, "\n---@class {name}.Extended: {name}, {name}.Class\n---@overload fun(...: any): {name}.Extended\n");
    let _ = writeln!(page, "---@field super any The class that it extends.");
    page.push_str(&extend(&format!("{name}.Extended")));
    let _ = writeln!(page, "---@field mixin fun(self: {name}.Extended, from: table): {name}.Extended Copies what the class lacks.");
    page.push_str("---@field [string] any\n");
}

/// A name that a parameter may have.
fn safe(name: &str) -> &str {
    if name == "function" { "f" } else { name }
}

impl LuaType {
    /// What is read from an instance needs no look at which of several it is.
    fn is_plain(&self) -> bool {
        let of_several = |one: &LuaType| matches!(one, LuaType::List(_) | LuaType::Map(..) | LuaType::Name("Renderable"));
        !matches!(self, LuaType::Union(many) if many.iter().filter(|one| **one != LuaType::Name("None")).count() > 1 && many.iter().any(of_several))
    }

    /// What of it is told from a table of arguments.
    fn without_tables(&self) -> Option<LuaType> {
        match self {
            LuaType::List(_) | LuaType::Map(..) | LuaType::Settings | LuaType::Name("any") => None,
            LuaType::Union(many) => many.iter().filter_map(LuaType::without_tables).reduce(LuaType::or),
            one => Some(one.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_argument_has_a_type() {
        let of_classes = classes().iter().flat_map(|c| c.args.iter().map(move |a| (c.name.to_owned(), a.clone())));
        let of_keys = root::tables().into_iter().flat_map(|t| t.args.into_iter().map(move |a| (type_of_table(&t.path), a)));
        for (of, arg) in of_classes.chain(of_keys) {
            let takes_anything = ["anything", "plain data"].iter().any(|words| arg.kind.contains(words));
            assert!(takes_anything || arg.lua_type != LuaType::Name("any"), "{of} {} takes {}", arg.name, arg.kind);
        }
    }

    #[test]
    fn a_class_is_four_types() {
        let page = classes_and_keys(&|name| format!("fun({name}: any): any"));
        for wanted in [
            "\n---@class (exact) Worker.Arguments: { slavename?: any, name?: any, password?: any, max_builds?: any,",
            " [1]?: any, [2]?: any, [string]: nil, [integer]: nil }\n",
            "\n---@field name? string The name it logs in with.\n---@field slavename? string Old spelling of `name`.\n---@field [1]? string `name`\n",
            "\n---@class Worker: AnyWorker\n",
            "\n---@class Worker.Class\n---@overload fun(args: Worker.Arguments): Worker\n---@overload fun(name: string, ...: any): Worker\n",
            "\n---@class Worker.Extended: Worker, Worker.Class\n",
            "\n---@field nextWorker? (fun(nextWorker: any): any)|None ",
            "\n---@field command string|(string|integer|any[]|Renderable)[]|Renderable The command",
            "\n---@field www? BuildmasterConfig.www The web server",
            "\n---@deprecated use Worker\n---@type Worker.Class\nBuildSlave = nil\n",
        ] {
            assert!(page.contains(wanted), "{wanted}");
        }
        assert!(!page.contains("ShellArg.Extended"), "it can't be extended");
    }
}
