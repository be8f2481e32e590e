//! Which files match a pattern with `*`, `?`, `[…]` and `**`.
//!
//! Names that begin with a dot match only patterns that do. `**` goes into folders, never through symbolic links.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;

/// More names than this are an error rather than a full memory.
pub const MOST: usize = 100_000;

/// The paths that match, sorted. Folders that cannot be read have no matches.
pub fn glob(pattern: &Path) -> io::Result<Vec<String>> {
    let mut found = vec![PathBuf::new()];
    let mut parts = pattern.components().peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        let name = match part {
            Component::Normal(name) => name.to_str().ok_or(Errno::EILSEQ)?,
            other => {
                found.iter_mut().for_each(|path| path.push(other));
                continue;
            }
        };
        let mut next = Vec::new();
        for path in found {
            if name == "**" {
                below(path, last, &mut next, MOST)?;
            } else if name.contains(['*', '?', '[']) {
                matching(&path, name, &mut next)?;
            } else {
                let path = path.join(name);
                if !last || fs::symlink_metadata(&path).is_ok() {
                    next.push(path);
                }
            }
            if next.len() > MOST {
                return Err(Errno::E2BIG.into());
            }
        }
        found = next;
    }
    let mut names = found.into_iter().map(text).collect::<io::Result<Vec<String>>>()?;
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// A path as it can be sent.
pub fn text(path: PathBuf) -> io::Result<String> {
    path.into_os_string().into_string().map_err(|_| Errno::EILSEQ.into())
}

fn matching(folder: &Path, pattern: &str, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let pattern: Vec<char> = pattern.chars().collect();
    for entry in entries(folder) {
        let name = entry.file_name();
        let hidden = name.as_encoded_bytes().first() == Some(&b'.') && pattern.first() != Some(&'.');
        if !hidden && fits(&pattern, &name.to_string_lossy().chars().collect::<Vec<_>>()) {
            found.push(folder.join(name));
        }
        if found.len() > MOST {
            return Err(Errno::E2BIG.into());
        }
    }
    Ok(())
}

/// The folder and all folders below it; with `files`, everything else there too.
fn below(folder: PathBuf, files: bool, found: &mut Vec<PathBuf>, most: usize) -> io::Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    let mut open = vec![folder];
    while let Some(folder) = open.pop() {
        for entry in entries(&folder) {
            if entry.file_name().as_encoded_bytes().first() == Some(&b'.') {
                continue;
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(entry.path());
            } else if files {
                found.push(entry.path());
            }
            if found.len() + open.len() > most {
                return Err(Errno::E2BIG.into());
            }
        }
        found.push(folder);
    }
    Ok(())
}

fn entries(folder: &Path) -> impl Iterator<Item = fs::DirEntry> {
    fs::read_dir(folder).into_iter().flatten().flatten()
}

/// Whether a name fits; at most one way back is remembered, so no pattern takes long.
fn fits(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some('*') => {
                back = Some((p, n));
                p += 1;
                continue;
            }
            Some('?') => Some(1),
            Some('[') => match set(&pattern[p..]) {
                Some((length, set)) => one_of(set, name[n]).then_some(length),
                None => (name[n] == '[').then_some(1),
            },
            Some(c) => (*c == name[n]).then_some(1),
            None => None,
        };
        match (step, &mut back) {
            (Some(length), _) => {
                p += length;
                n += 1;
            }
            (None, Some((star, from))) => {
                *from += 1;
                (p, n) = (*star + 1, *from);
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// A set in brackets: its length with them, and what is between them.
fn set(pattern: &[char]) -> Option<(usize, &[char])> {
    let first = if pattern.get(1) == Some(&'!') { 3 } else { 2 };
    let end = pattern.iter().skip(first).position(|c| *c == ']')? + first;
    Some((end + 1, &pattern[1..end]))
}

fn one_of(set: &[char], c: char) -> bool {
    let (not, mut set) = match set {
        ['!', rest @ ..] => (true, rest),
        set => (false, set),
    };
    let mut found = false;
    while let [first, rest @ ..] = set {
        if let ['-', last, after @ ..] = rest {
            found |= (*first..=*last).contains(&c);
            set = after;
        } else {
            found |= *first == c;
            set = rest;
        }
    }
    found != not
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_names() {
        let fit = |pattern: &str, name: &str| fits(&pattern.chars().collect::<Vec<_>>(), &name.chars().collect::<Vec<_>>());
        for (pattern, name) in [
            ("*", "x"),
            ("*.txt", "a.txt.txt"),
            ("a?c", "abc"),
            ("[a-c]x", "bx"),
            ("[!a]x", "bx"),
            ("[]]", "]"),
            ("[", "["),
            ("a*b*c", "aXbYc"),
            ("x**", "x"),
        ] {
            assert!(fit(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("*.txt", "a.txt2"), ("a?c", "ac"), ("[!a]x", "ax"), ("", "x"), ("x", "")] {
            assert!(!fit(pattern, name), "{pattern} {name}");
        }
        assert!(!fit(&"a*".repeat(40), &"a".repeat(39)));
    }

    #[test]
    fn a_folder_of_too_many_files_is_refused_before_it_is_read_to_its_end() {
        let dir = tempfile::tempdir().expect("folder");
        for n in 0..20 {
            fs::write(dir.path().join(n.to_string()), "").expect("a file");
        }
        let mut found = Vec::new();
        assert!(below(dir.path().into(), true, &mut found, 10).is_err());
        assert_eq!(found.len(), 11);
    }

    #[test]
    fn files_are_found() {
        let dir = tempfile::tempdir().expect("folder");
        let root = dir.path();
        fs::create_dir_all(root.join("sub/deep")).expect("folders");
        fs::create_dir_all(root.join(".git")).expect("folder");
        for name in ["a.txt", "b.txt", ".hidden.txt", "sub/c.txt", "sub/deep/d.txt", ".git/e.txt"] {
            fs::write(root.join(name), "").expect(name);
        }
        let find = |pattern: &str| -> Vec<String> {
            let strip = |path: String| path.replace(&format!("{}/", root.display()), "");
            glob(&root.join(pattern)).expect(pattern).into_iter().map(strip).collect()
        };
        assert_eq!(find("*.txt"), ["a.txt", "b.txt"]);
        assert_eq!(find(".*.txt"), [".hidden.txt"]);
        assert_eq!(find("*/*.txt"), ["sub/c.txt"]);
        assert_eq!(find("**/*.txt"), ["a.txt", "b.txt", "sub/c.txt", "sub/deep/d.txt"]);
        assert_eq!(find("sub/**"), ["sub", "sub/c.txt", "sub/deep", "sub/deep/d.txt"]);
        assert_eq!(find("a.txt"), ["a.txt"]);
        assert!(find("nothing*").is_empty() && find("nothing").is_empty());
    }
}
