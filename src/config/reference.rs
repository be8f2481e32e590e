//! The reference of all classes and their arguments as Markdown, from the declarations that also parse them.

use std::fmt::Write;

use super::class::{ClassDecl, Reload, classes};

/// Every class, in one page.
pub fn markdown() -> String {
    let mut page = String::from("# Classes\n");
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
    let _ = write!(page, "\n## {}\n\n{}\n\n{}\n\n", class.name, class.doc, names.join(", "));
    page.push_str("| Argument | What it takes | Default | Meaning | When a reload changes it |\n|---|---|---|---|---|\n");
    for arg in &class.args {
        let position = arg.position.map(|p| format!(" ({p})")).unwrap_or_default();
        let reload = arg.reload.map(Reload::text).unwrap_or_default();
        let default = if arg.required { "required".to_string() } else { format!("`{}`", arg.default) };
        let _ = writeln!(page, "| `{}`{position} | {} | {} | {} | {} |", arg.name, cell(&arg.kind), cell(&default), cell(arg.doc), reload);
    }
}

/// A bar would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
