//! `fs`: files, by names relative to the configuration's folder. A file that is read while loading is a part of the configuration;
//! `checkconfig` is told what would be changed, and nothing is. While the file is evaluated calls answer at once; later they wait
//! on the main runtime, so that a slow disk holds up nobody else.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
use std::time::UNIX_EPOCH;

use mlua::{BString, IntoLua, IntoLuaMulti, Lua, LuaString, Table, Value};

use super::super::host::Host;
use super::offer::{Job, offer, reading};
use super::{glob, log};

/// Names in one folder; more are no configuration's business.
const MOST_NAMES: usize = 100_000;
const LARGEST_WRITE: usize = 64 << 20;

pub(super) fn register(lua: &Lua, host: &Rc<Host>, into: &Table) -> mlua::Result<()> {
    let fs = lua.create_table()?;
    questions(lua, host, &fs)?;
    changes(lua, host, &fs)?;
    into.raw_set("fs", fs)
}

fn questions(lua: &Lua, host: &Rc<Host>, fs: &Table) -> mlua::Result<()> {
    offer(lua, host, fs, "fs.read", |_, h, name: LuaString| {
        Ok(reading(h, named(&name), |_| Ok(()), |lua, (), content| BString::from(content).into_lua_multi(lua)))
    })?;
    offer(lua, host, fs, "fs.exists", |_, h, name: LuaString| question(at(h, &name), &name, |path| Ok(path.exists())))?;
    offer(lua, host, fs, "fs.is_dir", |_, h, name: LuaString| question(at(h, &name), &name, |path| Ok(path.is_dir())))?;
    offer(lua, host, fs, "fs.is_file", |_, h, name: LuaString| question(at(h, &name), &name, |path| Ok(path.is_file())))?;
    offer(lua, host, fs, "fs.realpath", |_, h, name: LuaString| {
        question(at(h, &name), &name, |path| Ok(bytes(path.canonicalize().map_err(text)?.as_os_str())))
    })?;
    offer(lua, host, fs, "fs.stat", |_, h, name: LuaString| question(at(h, &name), &name, |path| stat(&path)))?;
    offer(lua, host, fs, "fs.list", |lua, h, name: Option<LuaString>| {
        let name = name.map_or_else(|| lua.create_string("."), Ok)?;
        question(at(h, &name), &name, |path| list(&path))
    })?;
    offer(lua, host, fs, "fs.glob", |_, h, pattern: LuaString| {
        let wanted = pattern.to_string_lossy();
        question(h.folder.clone(), &pattern, move |folder| {
            Ok(glob::find(&folder, &wanted)?.iter().map(|path| bytes(path.as_os_str())).collect::<Vec<_>>())
        })
    })
}

fn changes(lua: &Lua, host: &Rc<Host>, fs: &Table) -> mlua::Result<()> {
    offer(lua, host, fs, "fs.write", |lua, h, (name, content, options): (LuaString, LuaString, Option<Table>)| {
        let mode = mode(options.as_ref())?;
        let (path, content) = (at(h, &name), content.as_bytes().to_vec());
        let told = format!("{} bytes to {}", content.len(), path.display());
        change(lua, h, "write", &name, told, move || write(&path, &content, mode))
    })?;
    offer(lua, host, fs, "fs.append", |lua, h, (name, content): (LuaString, LuaString)| {
        let (path, content) = (at(h, &name), content.as_bytes().to_vec());
        let told = format!("{} bytes more to {}", content.len(), path.display());
        change(lua, h, "write", &name, told, move || {
            let mut file = File::options().append(true).create(true).open(&path).map_err(text)?;
            file.write_all(&content).map_err(text)
        })
    })?;
    offer(lua, host, fs, "fs.mkdir", |lua, h, (name, options): (LuaString, Option<Table>)| {
        let mode = mode(options.as_ref())?;
        let path = at(h, &name);
        change(lua, h, "make the folder", &name, path.display().to_string(), move || {
            let there = path.is_dir();
            fs::create_dir_all(&path).map_err(text)?;
            match mode.filter(|_| !there) {
                Some(mode) => fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(text),
                None => Ok(()),
            }
        })
    })?;
    offer(lua, host, fs, "fs.remove", |lua, h, (name, options): (LuaString, Option<Table>)| {
        let recursive = options.map(|o| o.raw_get::<bool>("recursive")).transpose()?.unwrap_or(false);
        let (path, folder) = (at(h, &name), h.folder.clone());
        change(lua, h, "remove", &name, path.display().to_string(), move || remove(&path, &folder, recursive))
    })?;
    for (call, verb) in [("fs.copy", "copy"), ("fs.rename", "rename")] {
        offer(lua, host, fs, call, move |lua, h, (name, to): (LuaString, LuaString)| {
            let (from, into) = (at(h, &name), at(h, &to));
            let told = format!("{} to {}", from.display(), into.display());
            change(lua, h, verb, &name, told, move || match verb {
                "copy" => copy(&from, &into),
                _ => fs::rename(&from, &into).map_err(text),
            })
        })?;
    }
    Ok(())
}

/// A call that changes nothing.
fn question<T: IntoLuaMulti + 'static>(
    path: PathBuf,
    name: &LuaString,
    ask: impl FnOnce(PathBuf) -> Result<T, String> + Send + 'static,
) -> mlua::Result<Job<T>> {
    Ok(Job::new(shown(name), move || ask(path)))
}

/// A call that changes something, unless the file is only checked.
fn change<T: Default + IntoLuaMulti + 'static>(
    lua: &Lua,
    host: &Host,
    verb: &str,
    name: &LuaString,
    told: String,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> mlua::Result<Job<T>> {
    if host.checking {
        log::write(host, lua, "info", &format!("would {verb} {told}"));
        return Ok(Job::new(shown(name), || Ok(T::default())));
    }
    Ok(Job::new(shown(name), work))
}

struct Stat(fs::Metadata, bool);

impl IntoLua for Stat {
    fn into_lua(self, lua: &Lua) -> mlua::Result<Value> {
        let Stat(about, link) = self;
        let table = lua.create_table()?;
        let kind = match about.file_type() {
            t if t.is_file() => "file",
            t if t.is_dir() => "folder",
            _ => "other",
        };
        table.raw_set("type", kind)?;
        table.raw_set("link", link)?;
        table.raw_set("size", about.len())?;
        table.raw_set("mode", about.mode() & 0o7777)?;
        table.raw_set("uid", about.uid())?;
        table.raw_set("gid", about.gid())?;
        let changed = about.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        table.raw_set("mtime", changed.map(|t| t.as_secs_f64()))?;
        table.into_lua(lua)
    }
}

/// Nil where there is nothing.
fn stat(path: &Path) -> Result<Option<Stat>, String> {
    let link = fs::symlink_metadata(path).is_ok_and(|m| m.is_symlink());
    match fs::metadata(path) {
        Ok(about) => Ok(Some(Stat(about, link))),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(text(e)),
    }
}

fn list(path: &Path) -> Result<Vec<BString>, String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(text)? {
        if names.len() == MOST_NAMES {
            return Err(format!("holds more than {MOST_NAMES} names"));
        }
        names.push(BString::from(entry.map_err(text)?.file_name().into_vec()));
    }
    names.sort();
    Ok(names)
}

/// Whoever reads the file meanwhile sees the old content or the new one.
fn write(path: &Path, content: &[u8], mode: Option<u32>) -> Result<(), String> {
    if content.len() > LARGEST_WRITE {
        return Err(format!("more than {} MiB", LARGEST_WRITE >> 20));
    }
    replace(path, mode, |file| file.write_all(content))
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let mut source = File::open(from).map_err(text)?;
    let about = source.metadata().map_err(text)?;
    if !about.is_file() {
        return Err("is not a plain file".into());
    }
    let to = if to.is_dir() { to.join(from.file_name().ok_or("has no name")?) } else { to.to_owned() };
    replace(&to, Some(about.mode() & 0o7777), |file| std::io::copy(&mut source, file).map(|_| ()))
        .map_err(|e| format!("{}: {e}", to.display()))
}

/// Fill a new file beside the old one, and let it take its place.
fn replace(path: &Path, mode: Option<u32>, fill: impl FnOnce(&mut File) -> std::io::Result<()>) -> Result<(), String> {
    // What a link names is written, not the link.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = path.file_name().ok_or("has no name")?;
    let old = fs::metadata(&path).ok();
    if old.as_ref().is_some_and(|old| !old.is_file()) {
        return Err("is not a plain file".into());
    }
    let mode = mode.or(old.map(|old| old.mode() & 0o7777));
    let mut beside = OsStr::new(".").to_owned();
    beside.push(name);
    beside.push(format!(".{:016x}", fastrand::u64(..)));
    let new = path.with_file_name(beside);
    let done = (|| {
        let mut file = File::options().write(true).create_new(true).mode(mode.unwrap_or(0o666)).open(&new)?;
        fill(&mut file)?;
        if let Some(mode) = mode {
            file.set_permissions(fs::Permissions::from_mode(mode))?;
        }
        file.sync_all()?;
        fs::rename(&new, &path)
    })();
    done.map_err(|e| {
        let _ = fs::remove_file(&new);
        text(e)
    })
}

/// True if there was something.
fn remove(path: &Path, folder: &Path, recursive: bool) -> Result<bool, String> {
    let about = match fs::symlink_metadata(path) {
        Ok(about) => about,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(text(e)),
    };
    if !about.is_dir() {
        return fs::remove_file(path).map(|()| true).map_err(text);
    }
    let real = path.canonicalize().map_err(text)?;
    if folder.starts_with(&real) || path.components().next_back() == Some(Component::ParentDir) {
        return Err("is the configuration's own folder or one above it".into());
    }
    let done = if recursive { fs::remove_dir_all(path) } else { fs::remove_dir(path) };
    done.map(|()| true).map_err(|e| match e.kind() {
        ErrorKind::DirectoryNotEmpty => "the folder is not empty (write { recursive = true })".into(),
        _ => text(e),
    })
}

/// `{ mode = "0600" }`: a number or its octal digits.
fn mode(options: Option<&Table>) -> mlua::Result<Option<u32>> {
    let given = options.map(|o| o.raw_get::<Value>("mode")).transpose()?.unwrap_or(Value::Nil);
    let mode = match &given {
        Value::Nil => return Ok(None),
        Value::Integer(i) => u32::try_from(*i).ok(),
        Value::String(text) => u32::from_str_radix(text.to_string_lossy().trim_start_matches("0o"), 8).ok(),
        _ => None,
    };
    match mode.filter(|mode| *mode <= 0o7777) {
        Some(mode) => Ok(Some(mode)),
        None => Err(mlua::Error::runtime("'mode' must be a number or text such as \"0644\"")),
    }
}

fn at(host: &Host, name: &LuaString) -> PathBuf {
    host.folder.join(named(name))
}

fn named(name: &LuaString) -> PathBuf {
    PathBuf::from(OsString::from_vec(name.as_bytes().to_vec()))
}

fn shown(name: &LuaString) -> String {
    format!("{:?}", name.to_string_lossy())
}

fn bytes(name: &OsStr) -> BString {
    BString::from(name.as_bytes())
}

fn text(e: std::io::Error) -> String {
    e.to_string()
}
