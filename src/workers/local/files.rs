//! The commands about files that need no program: `mkdir`, `stat`, `glob`, `listdir`, `rmfile`.
//!
//! They block, so they are called where blocking is allowed.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::glob;
use crate::wire::{Arg, Update};

/// How one of them went.
#[derive(Debug, PartialEq)]
pub struct Done {
    pub update: Option<Update>,
    pub rc: i64,
    /// What failed, for people.
    pub header: Option<String>,
}

/// Carry one out in a builder's folder; an error means that its arguments are wrong.
pub fn carry_out(name: &str, args: &[(String, Arg)], folder: &Path) -> Result<Done, String> {
    let mut about = PathBuf::new();
    let result = match name {
        "mkdir" => paths(args, "dir", folder)?.into_iter().try_for_each(|dir| {
            about.clone_from(&dir);
            std::fs::create_dir_all(dir)
        }),
        "rmfile" => {
            about = home(path(args, "path", folder)?, folder);
            std::fs::remove_file(&about)
        }
        name => {
            let found = match name {
                "stat" => {
                    let workdir =
                        if args.iter().any(|(given, _)| given == "workdir") { path(args, "workdir", folder)? } else { folder.into() };
                    about = path(args, "file", &workdir)?;
                    stat(&about)
                }
                "listdir" => {
                    about = path(args, "dir", folder)?;
                    list(&about)
                }
                "glob" => {
                    about = path(args, "path", folder)?;
                    glob::glob(&about).map(Update::Files)
                }
                other => return Err(format!("unknown command '{other}'")),
            };
            match found {
                Ok(update) => return Ok(Done { update: Some(update), rc: 0, header: None }),
                Err(e) => Err(e),
            }
        }
    };
    Ok(match result {
        Ok(()) => Done { update: None, rc: 0, header: None },
        Err(e) => Done {
            update: None,
            rc: e.raw_os_error().map_or(1, i64::from),
            header: Some(format!("{name}: {}: {}\n", super::reason(&e), about.display())),
        },
    })
}

/// An argument that is a path, below `folder` unless it is absolute.
pub fn path(args: &[(String, Arg)], name: &str, folder: &Path) -> Result<PathBuf, String> {
    match value(args, name) {
        Some(Arg::Text(path)) => Ok(join(folder, path)),
        _ => Err(format!("'{name}' must be a path")),
    }
}

/// The same for one path or several.
pub fn paths(args: &[(String, Arg)], name: &str, folder: &Path) -> Result<Vec<PathBuf>, String> {
    let (Some(Arg::List(items)) | Some(Arg::Tuple(items))) = value(args, name) else { return Ok(vec![path(args, name, folder)?]) };
    items
        .iter()
        .map(|item| match item {
            Arg::Text(path) => Ok(join(folder, path)),
            _ => Err(format!("'{name}' must be a path or a list of paths")),
        })
        .collect()
}

fn value<'a>(args: &'a [(String, Arg)], name: &str) -> Option<&'a Arg> {
    args.iter().find(|(given, _)| given == name).map(|(_, value)| value)
}

/// Without the slash at the end that joining with nothing would leave.
pub fn join(folder: &Path, path: &str) -> PathBuf {
    if path.is_empty() { folder.into() } else { folder.join(path) }
}

/// `~` at the start stands for the home folder.
fn home(path: PathBuf, folder: &Path) -> PathBuf {
    match path.strip_prefix(folder).ok().and_then(|rest| rest.strip_prefix("~").ok()) {
        Some(rest) => dirs::home_dir().map_or(path.clone(), |home| home.join(rest)),
        None => path,
    }
}

fn stat(path: &Path) -> io::Result<Update> {
    let m = std::fs::metadata(path)?;
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    Ok(Update::Stat(vec![
        i64::from(m.mode()),
        number(m.ino()),
        number(m.dev()),
        number(m.nlink()),
        i64::from(m.uid()),
        i64::from(m.gid()),
        number(m.size()),
        m.atime(),
        m.mtime(),
        m.ctime(),
    ]))
}

fn list(path: &Path) -> io::Result<Update> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path)? {
        names.push(glob::text(PathBuf::from(entry?.file_name()))?);
        if names.len() > glob::MOST {
            return Err(nix::errno::Errno::E2BIG.into());
        }
    }
    Ok(Update::Files(names))
}
