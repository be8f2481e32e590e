//! The reference of all classes and their arguments as Markdown, from the declarations that also parse them.

use std::fmt::Write;

use super::class::{ArgDecl, ClassDecl, Reload, classes};
use super::examples::note_of;
use super::root;

/// Every class and every key, in one page.
pub fn markdown() -> String {
    let mut page = String::from("# BuildmasterConfig\n\nWhat the file fills, usually as `c`.\n");
    for table in root::tables() {
        if !table.path.is_empty() {
            let _ = write!(page, "\n## c.{}\n\n{}\n", table.path, table.doc);
        }
        arguments("Key", &table.args, &mut page);
    }
    page.push_str("\n# Classes\n");
    for class in classes() {
        describe(class, &mut page);
    }
    page
}

fn describe(class: &ClassDecl, page: &mut String) {
    let mut names: Vec<String> = class.namespaces.iter().map(|n| format!("`{n}.{}`", class.name)).collect();
    if class.top_level {
        names.push(format!("`{}`", class.name));
    }
    // Writing to a text can't fail.
    let _ = write!(page, "\n## {}\n\n{}\n\n{}", class.name, class.doc, names.join(", "));
    if !class.old_names.is_empty() {
        let old: Vec<String> = class.old_names.iter().map(|n| format!("`{n}`")).collect();
        let _ = write!(page, "; formerly {}", old.join(", "));
    }
    page.push('\n');
    if let Some(note) = note_of(class.name) {
        if !note.buildbot.is_empty() {
            let _ = write!(page, "\nIn Buildbot: {}.\n", note.buildbot);
        }
        if !note.example.is_empty() {
            let _ = write!(page, "\n```lua\n{}\n```\n", note.example);
        }
    }
    arguments("Argument", &class.args, page);
}

fn arguments(noun: &str, args: &[ArgDecl], page: &mut String) {
    if args.is_empty() {
        return;
    }
    let _ = write!(page, "\n| {noun} | What it takes | Default | Meaning | When a reload changes it |\n|---|---|---|---|---|\n");
    for arg in args {
        let position = arg.position.map(|p| format!(" ({p})")).unwrap_or_default();
        let reload = arg.reload.map(Reload::text).unwrap_or_default();
        let default = if arg.required { "required".to_string() } else { format!("`{}`", arg.default) };
        let old: String = arg.aliases.iter().map(|a| format!(" Formerly `{a}`.")).collect();
        let _ =
            writeln!(page, "| `{}`{position} | {} | {} | {}{old} | {reload} |", arg.name, cell(&arg.kind), cell(&default), cell(arg.doc));
    }
}

/// A bar would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
