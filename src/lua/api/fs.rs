//! `fs`: files, by names relative to the configuration's folder. A file that is read while loading is a part of the configuration.

use std::path::PathBuf;
use std::rc::Rc;

use mlua::{Lua, Table};

use super::super::host::Host;
use super::super::modules::read;

/// Names in one folder; more are no configuration's business.
const MOST_NAMES: usize = 100_000;

pub(super) fn register(lua: &Lua, host: &Rc<Host>, into: &Table) -> mlua::Result<()> {
    let fs = lua.create_table()?;
    let h = host.clone();
    fs.raw_set(
        "read",
        lua.create_function(move |lua, name: String| {
            let (path, content) = load(&h, "fs.read", &name)?;
            h.file_read(&path, &content);
            lua.create_string(content)
        })?,
    )?;
    let h = host.clone();
    fs.raw_set("exists", lua.create_function(move |_, name: String| Ok(h.folder.join(name).exists()))?)?;
    let h = host.clone();
    fs.raw_set(
        "list",
        lua.create_function(move |_, name: Option<String>| {
            let name = name.unwrap_or_else(|| ".".into());
            let fail = |e: std::io::Error| mlua::Error::runtime(format!("fs.list({name:?}): {e}"));
            let mut names = Vec::new();
            for entry in std::fs::read_dir(h.folder.join(&name)).map_err(fail)?.take(MOST_NAMES) {
                names.push(entry.map_err(fail)?.file_name().to_string_lossy().into_owned());
            }
            names.sort();
            Ok(names)
        })?,
    )?;
    into.raw_set("fs", fs)
}

/// A file's path and content, or an error that names the function and the file.
pub(super) fn load(host: &Host, function: &str, name: &str) -> mlua::Result<(PathBuf, Vec<u8>)> {
    let path = host.folder.join(name);
    let content = read(&path).map_err(|e| mlua::Error::runtime(format!("{function}({name:?}): {e}")))?;
    Ok((path.canonicalize().unwrap_or(path), content))
}
