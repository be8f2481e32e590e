//! `log.info/warn/error/debug`, and where `print` goes: the master's own log, with the line that said it.

use std::io::Write;
use std::rc::Rc;

use mlua::{Lua, LuaString, Table, Variadic};

use super::super::host::Host;

/// A line in a log, not a dump of data.
const LONGEST: usize = 16 << 10;
/// What is kept of prints that are shown later.
const MOST_KEPT: usize = 64 << 10;

pub(super) fn register(lua: &Lua, host: &Rc<Host>, into: &Table) -> mlua::Result<()> {
    let log = lua.create_table()?;
    for level in ["debug", "info", "warn", "error"] {
        let h = host.clone();
        let f = lua.create_function(move |lua, parts: Variadic<mlua::Value>| {
            let mut text = String::new();
            for (i, part) in parts.iter().enumerate() {
                if i > 0 {
                    text.push(' ');
                }
                match part {
                    mlua::Value::String(s) => text.push_str(&LuaString::to_string_lossy(s)),
                    other => text.push_str(&other.to_string()?),
                }
                if text.len() > LONGEST {
                    break;
                }
            }
            write(&h, lua, level, &text);
            Ok(())
        })?;
        log.raw_set(level, f)?;
    }
    into.raw_set("log", log)
}

pub(in super::super) fn write(host: &Host, lua: &Lua, level: &str, text: &str) {
    let end = (0..=LONGEST.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    let text = &text[..end];
    let place = host.place(lua);
    match level {
        "debug" => tracing::debug!(target: "lua", %place, "{text}"),
        "warn" => tracing::warn!(target: "lua", %place, "{text}"),
        "error" => tracing::error!(target: "lua", %place, "{text}"),
        _ => tracing::info!(target: "lua", %place, "{text}"),
    }
}

/// What `print` says: a line of the log, or of the standard output where the file is run for what it does, unless it is kept.
pub(in super::super) fn print(host: &Host, lua: &Lua, text: &[u8]) -> std::io::Result<()> {
    if !host.script.get() {
        write(host, lua, "info", &String::from_utf8_lossy(text));
        return Ok(());
    }
    if let Some(kept) = &mut *host.printed.borrow_mut() {
        if kept.len() < MOST_KEPT {
            kept.extend_from_slice(&text[..text.len().min(MOST_KEPT)]);
            kept.push(b'\n');
        }
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    out.write_all(text)?;
    out.write_all(b"\n")?;
    out.flush()
}
