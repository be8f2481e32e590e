//! Are there passwords in files that anybody may read? Looks at the files and their folders; tells each such file once.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use super::host::Host;
use crate::config::class::class_named;
use crate::config::{Mistake, Object, Place, Value};

/// One warning for each file that is readable by others and has a secret written in it.
pub(super) fn exposed(host: &Host, objects: &[Arc<Object>]) -> Vec<Mistake> {
    let secrets: Vec<&str> = objects.iter().flat_map(|o| secrets_of(o)).collect();
    if secrets.is_empty() {
        return Vec::new();
    }
    let in_plain_text = |(file, source): (Arc<str>, Vec<u8>)| {
        let path = host.folder.join(&*file);
        let line = line_of_first(&String::from_utf8_lossy(&source), &secrets).filter(|_| others_may_read(&path))?;
        let text = "a password stands here, and others may read this file: chmod o-r, or read it from a file of its own".to_owned();
        Some(Mistake { place: Place { file, line, from: Vec::new() }, subject: String::new(), text })
    };
    host.sources().into_iter().filter_map(in_plain_text).collect()
}

/// The texts that an object was given as secrets.
fn secrets_of(object: &Object) -> Vec<&str> {
    let args = class_named(&object.class).into_iter().flat_map(|c| &c.args).filter(|a| a.secret);
    let given = args.filter_map(|a| {
        let by_position = a.position.and_then(|p| object.args.items.get(p - 1));
        object.args.named.get(a.name).or(by_position)
    });
    given.filter_map(|v| if let Value::Text(text) = v { Some(text.as_str()) } else { None }).filter(|t| !t.is_empty()).collect()
}

fn line_of_first(source: &str, secrets: &[&str]) -> Option<u32> {
    let quoted = |line: &str, secret: &str| {
        line.match_indices(secret).any(|(at, _)| {
            let (before, after) = (&line[..at], &line[at + secret.len()..]);
            [('"', '"'), ('\'', '\''), ('[', ']')].iter().any(|(open, close)| before.ends_with(*open) && after.starts_with(*close))
        })
    };
    source.lines().zip(1..).find(|(line, _)| secrets.iter().any(|secret| quoted(line, secret))).map(|(_, number)| number)
}

/// The file may be read, and each folder on the way entered.
fn others_may_read(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    let allows = |path: &Path, bit: u32| std::fs::metadata(path).is_ok_and(|about| about.permissions().mode() & bit != 0);
    allows(&path, 0o004) && path.ancestors().skip(1).all(|folder| allows(folder, 0o001))
}

#[cfg(test)]
mod tests {
    use super::line_of_first;

    #[test]
    fn a_secret_is_found_where_it_is_quoted() {
        let source = "local a = pw\nlocal b = \"pwx\"\nlocal c = 'pw'\nlocal d = \"pw\"";
        assert_eq!(line_of_first(source, &["pw"]), Some(3));
        assert_eq!(line_of_first(source, &["other", "pwx"]), Some(2));
        assert_eq!(line_of_first(source, &["w"]), None);
    }
}
