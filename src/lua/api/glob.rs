//! Which files a pattern names, as a shell with `**` would say: folder by folder, sorted, names that begin with a dot only where the
//! pattern does. Links are followed where a name is given, never by `**`.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

/// Names looked at; a pattern that leads beyond is wrong.
const MOST_VISITED: usize = 500_000;
const MOST_FOUND: usize = 100_000;
const DEEPEST: usize = 64;

enum Part {
    Name(String),
    Pattern(GlobMatcher, bool),
    Anywhere,
}

struct Search {
    parts: Vec<Part>,
    visited: usize,
    found: BTreeSet<PathBuf>,
}

/// Relative to the folder, unless the pattern is absolute.
pub(super) fn find(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    if pattern.is_empty() {
        return Err("the pattern is empty".into());
    }
    let mut parts = Vec::new();
    for part in pattern.split('/').filter(|part| !part.is_empty() && *part != ".") {
        parts.push(match part {
            "**" => Part::Anywhere,
            name if !name.contains(['*', '?', '[', '{']) => Part::Name(name.to_owned()),
            glob => {
                let built = GlobBuilder::new(glob).literal_separator(true).build().map_err(|e| e.kind().to_string())?;
                Part::Pattern(built.compile_matcher(), glob.starts_with('.'))
            }
        });
    }
    let start = if pattern.starts_with('/') { Path::new("/") } else { folder };
    let mut search = Search { parts, visited: 0, found: BTreeSet::new() };
    search.walk(start.to_owned(), 0, 0)?;
    let shown = |path: PathBuf| match path.strip_prefix(folder) {
        Ok(within) if !pattern.starts_with('/') && within.components().next().is_some() => within.to_owned(),
        _ if path.components().any(|c| c == Component::ParentDir) => path.components().collect(),
        _ => path,
    };
    Ok(search.found.into_iter().map(shown).collect())
}

impl Search {
    fn walk(&mut self, here: PathBuf, index: usize, depth: usize) -> Result<(), String> {
        let Some(part) = self.parts.get(index) else {
            self.found.insert(here);
            return if self.found.len() > MOST_FOUND { Err(format!("finds more than {MOST_FOUND} files")) } else { Ok(()) };
        };
        let last = index + 1 == self.parts.len();
        let mut further: Vec<(PathBuf, usize)> = Vec::new();
        match part {
            Part::Name(name) => {
                let there = here.join(name);
                if there.symlink_metadata().is_ok() {
                    further.push((there, index + 1));
                }
            }
            Part::Pattern(glob, hidden) => {
                let (glob, hidden) = (glob.clone(), *hidden);
                for (path, name, folder) in self.entries(&here)? {
                    if (hidden || !name.starts_with('.')) && glob.is_match(&name) && (last || folder || path.is_dir()) {
                        further.push((path, index + 1));
                    }
                }
            }
            Part::Anywhere => {
                if depth > DEEPEST {
                    return Err(format!("goes more than {DEEPEST} folders deep"));
                }
                if !last {
                    further.push((here.clone(), index + 1));
                }
                for (path, name, folder) in self.entries(&here)? {
                    if name.starts_with('.') {
                        continue;
                    }
                    if last {
                        further.push((path.clone(), index + 1));
                    }
                    if folder {
                        further.push((path, index));
                    }
                }
            }
        }
        further.into_iter().try_for_each(|(path, next)| self.walk(path, next, depth + 1))
    }

    /// Path, name, and whether it is a folder itself (not a link to one). What can't be read is passed over, as a shell does.
    fn entries(&mut self, folder: &Path) -> Result<Vec<(PathBuf, String, bool)>, String> {
        let Ok(entries) = std::fs::read_dir(folder) else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        for entry in entries.flatten() {
            self.visited += 1;
            if self.visited > MOST_VISITED {
                return Err(format!("looks at more than {MOST_VISITED} files"));
            }
            let folder = entry.file_type().is_ok_and(|t| t.is_dir());
            all.push((entry.path(), entry.file_name().to_string_lossy().into_owned(), folder));
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_find_what_a_shell_would() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.lua", "b.yaml", ".hidden.lua", "x/c.lua", "x/y/d.lua", "x/.git/e.lua", "z/f.txt"] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        std::os::unix::fs::symlink(dir.path(), dir.path().join("x/loop")).unwrap();
        let found = |pattern: &str| {
            let all = find(dir.path(), pattern).unwrap();
            all.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(found("*.lua"), "a.lua");
        assert_eq!(found(".*.lua"), ".hidden.lua");
        assert_eq!(found("**/*.lua"), "a.lua x/c.lua x/y/d.lua");
        assert_eq!(found("x/**"), "x/c.lua x/loop x/y x/y/d.lua");
        assert_eq!(found("{a,b}.*"), "a.lua b.yaml");
        assert_eq!(found("[ab].???"), "a.lua");
        assert_eq!(found("*/[!c].*"), "z/f.txt");
        assert_eq!(found("x/loop/z/*"), "x/loop/z/f.txt");
        assert_eq!(found("none/*") + &found("nothing"), "");
        let absolute = format!("{}/z/*", dir.path().display());
        assert_eq!(found(&absolute), format!("{}/z/f.txt", dir.path().display()));
        assert!(find(dir.path(), "[").is_err() && find(dir.path(), "").is_err());
    }
}
