//! What a worker says about a command before it runs, and the environment that the command gets.
//!
//! Pure: functions of the arguments and of the worker's own environment.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use crate::wire::{CommandArg, EnvArg, ShellArgs};

/// The variables of a command: the worker's own, changed as the master asks.
pub fn environment(own: &BTreeMap<String, String>, asked: &[(String, EnvArg)], workdir: &Path) -> BTreeMap<String, String> {
    let mut env = own.clone();
    for (name, value) in asked {
        let value = match value {
            EnvArg::Set(text) => expand(text, own),
            EnvArg::Path(parts) => expand(&parts.join(":"), own),
            EnvArg::Remove => {
                env.remove(name);
                continue;
            }
        };
        let value = match own.get(name) {
            Some(mine) if name == "PYTHONPATH" => format!("{value}:{mine}"),
            _ => value,
        };
        env.insert(name.clone(), value);
    }
    env.insert("PWD".into(), workdir.display().to_string());
    env
}

/// Each `${NAME}` replaced by the worker's variable, by nothing if it is not set.
fn expand(text: &str, own: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let name = &rest[start + 2..];
        let length = name.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(name.len());
        if name[length..].starts_with('}') {
            out.push_str(&rest[..start]);
            out.push_str(own.get(&name[..length]).map_or("", String::as_str));
            rest = &name[length + 1..];
        } else {
            out.push_str(&rest[..start + 2]);
            rest = name;
        }
    }
    out + rest
}

/// The lines before the command's output.
pub fn header(args: &ShellArgs, workdir: &Path, env: &BTreeMap<String, String>) -> String {
    let mut text = match shown(&args.command) {
        Shown::Line(line) => line.to_owned(),
        Shown::Words(words) => words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "),
    };
    let _ = write!(text, "\n in dir {}", workdir.display());
    for (name, limit) in [("timeout", args.timeout), ("maxTime", args.max_time)] {
        if let Some(limit) = limit.filter(|limit| *limit > 0.0) {
            let _ = write!(text, " ({name} {limit} {})", if limit == 1.0 { "sec" } else { "secs" });
        }
    }
    let files: Vec<String> = args
        .logfiles
        .iter()
        .map(|(name, filename, follow)| match follow {
            false => format!("{}: {}", python_text(name), python_text(filename)),
            true => format!("{}: {{'filename': {}, 'follow': True}}", python_text(name), python_text(filename)),
        })
        .collect();
    let _ = write!(text, "\n watching logfiles {{{}}}\n argv: {}\n", files.join(", "), python_command(&args.command));
    if args.log_environ {
        text.push_str(" environment:\n");
        for (name, value) in env {
            let _ = writeln!(text, "  {name}={value}");
        }
    }
    if let Some(stdin) = &args.initial_stdin {
        let _ = writeln!(text, " writing {} bytes to stdin", stdin.len());
    }
    text + if args.use_pty { " using PTY: True\n" } else { " using PTY: False\n" }
}

enum Shown<'a> {
    Line(&'a str),
    Words(Vec<&'a str>),
}

fn shown(command: &CommandArg) -> Shown<'_> {
    match command {
        CommandArg::Shell(line) => Shown::Line(line),
        CommandArg::Words(words) => Shown::Words(words.iter().map(String::as_str).collect()),
        CommandArg::Obfuscated(words) => Shown::Words(words.iter().map(|(_, shown)| shown.as_str()).collect()),
    }
}

/// The command as stock workers name it: `b'make'`, `[b'make', b'all']`.
pub fn python_command(command: &CommandArg) -> String {
    match shown(command) {
        Shown::Line(line) => python_bytes(line.as_bytes()),
        Shown::Words(words) => format!("[{}]", words.iter().map(|word| python_bytes(word.as_bytes())).collect::<Vec<_>>().join(", ")),
    }
}

/// A word as a POSIX shell would take it.
fn quote(word: &str) -> String {
    if word.is_empty() {
        return "\"\"".into();
    }
    if word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&b)) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', "'\"'\"'"))
}

fn python_bytes(bytes: &[u8]) -> String {
    let mark = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    let mut out = format!("b{mark}");
    for byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b if char::from(*b) == mark => out.extend(['\\', mark]),
            0x20..0x7f => out.push(char::from(*byte)),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push(mark);
    out
}

fn python_text(text: &str) -> String {
    let mark = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(mark);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == mark => out.extend(['\\', mark]),
            c if u32::from(c) < 0x20 || u32::from(c) == 0x7f => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push(mark);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> BTreeMap<String, String> {
        [("PATH", "/usr/bin:/bin"), ("HOME", "/srv/bb"), ("PYTHONPATH", "/py")].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    }

    #[test]
    fn the_environment_follows_the_rules() {
        let asked = [
            ("PATH".to_owned(), EnvArg::Path(vec!["/opt/bin".into(), "${PATH}".into()])),
            ("PYTHONPATH".to_owned(), EnvArg::Set("/lib".into())),
            ("HOME".to_owned(), EnvArg::Remove),
            ("X".to_owned(), EnvArg::Set("${NOPE}a${HOME}${b ${".into())),
        ];
        let env = environment(&own(), &asked, Path::new("/w"));
        let expected = [("PATH", "/opt/bin:/usr/bin:/bin"), ("PYTHONPATH", "/lib:/py"), ("X", "a/srv/bb${b ${"), ("PWD", "/w")];
        assert_eq!(env, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    }

    #[test]
    fn the_header_is_that_of_a_stock_worker() {
        let args = ShellArgs {
            command: CommandArg::Words(["sh", "-c", "printf \"h\\303\\n\"; echo \"ö\" >&2"].map(str::to_owned).into()),
            timeout: Some(60.0),
            max_time: Some(1.0),
            initial_stdin: Some("stdin data".into()),
            logfiles: vec![("mylog".into(), "my.log".into(), false), ("fol".into(), "fol.log".into(), true)],
            ..ShellArgs::default()
        };
        let env = [("A".to_owned(), "grüß".to_owned())].into();
        let expected = "sh -c 'printf \"h\\303\\n\"; echo \"ö\" >&2'\n in dir /srv/build (timeout 60 secs) (maxTime 1 sec)\n \
            watching logfiles {'mylog': 'my.log', 'fol': {'filename': 'fol.log', 'follow': True}}\n \
            argv: [b'sh', b'-c', b'printf \"h\\\\303\\\\n\"; echo \"\\xc3\\xb6\" >&2']\n environment:\n  A=grüß\n \
            writing 10 bytes to stdin\n using PTY: False\n";
        assert_eq!(header(&args, Path::new("/srv/build"), &env), expected);
    }

    #[test]
    fn words_are_quoted_and_secrets_hidden() {
        let hidden = CommandArg::Obfuscated(vec![("echo".into(), "echo".into()), ("real".into(), "***".into())]);
        assert_eq!(python_command(&hidden), "[b'echo', b'***']");
        assert_eq!(quote("it's"), "'it'\"'\"'s'");
        assert_eq!(quote(""), "\"\"");
        assert_eq!(python_bytes(b"it's"), "b\"it's\"");
        assert_eq!(python_bytes(b"'\"\x01"), "b'\\'\"\\x01'");
    }
}
