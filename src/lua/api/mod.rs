//! What the host offers to a file: one module per table of Lua, each with a `register`.

mod args;
mod codec;
pub(super) mod fake;
mod formats;
mod fs;
mod glob;
mod http;
mod ini;
pub(super) mod json;
pub(super) mod library;
pub mod log;
pub(super) mod objects;
mod offer;
mod os;
mod pattern;
mod process;
mod random;
pub(super) mod regex;
mod settings;
mod store;
pub(super) mod stream;
mod template;
mod time;
mod url;
pub(super) mod wait;

pub use os::full_host_name;

use std::rc::Rc;
use std::time::Duration;

use mlua::{Lua, Table, Value};

use super::host::Host;
use crate::base::duration;

/// The registry's name of the table that the parts of the prelude share.
pub(super) const PRELUDE: &str = "buildmoon prelude";

pub(super) fn register(lua: &Lua, host: &Rc<Host>, into: &Table) -> mlua::Result<()> {
    fs::register(lua, host, into)?;
    http::register(lua, host, into)?;
    json::register(lua, host, into)?;
    log::register(lua, host, into)?;
    template::register(lua, into)?;
    formats::register(lua, host, into)?;
    process::register(lua, host, into)?;
    settings::register(lua, host, into)?;
    store::register(lua, host, into)?;
    time::register(lua, host, into)?;
    codec::register(lua, into)?;
    random::register(lua, into)?;
    url::register(lua, into)?;
    let describe = lua.create_function(|_, value: Value| Ok(args::describe(&value)))?;
    let check: Table = lua.load(include_str!("../../../lua/check.lua")).set_name("=[builtin check]").call(describe)?;
    regex::register(lua, &check, into)?;
    library(lua, &check, into)
}

/// What of `util` needs the machine.
pub(super) fn util(lua: &Lua) -> mlua::Result<Table> {
    let util = os::util(lua)?;
    url::util(lua, &util)?;
    Ok(util)
}

/// The shipped helpers that are global, too.
fn library(lua: &Lua, check: &Table, into: &Table) -> mlua::Result<()> {
    for (name, source) in super::modules::BUNDLED {
        let short = name.strip_prefix("buildmoon.").unwrap_or(name);
        let module: Value = lua.load(source).set_name(format!("=[builtin {name}]")).call(check)?;
        into.raw_set(short, module)?;
    }
    Ok(())
}

/// What a class of the file asks of the class of the host that it extends.
pub(super) async fn super_ask(
    lua: Lua,
    host: Rc<Host>,
    worker: String,
    launch: Option<String>,
    what: String,
    args: Value,
) -> mlua::Result<Value> {
    let named = if what == "aws" { "self:aws".to_owned() } else { format!("Class.super.{what}") };
    let nobody = || mlua::Error::runtime(format!("{named}: it works in a running master only, and none runs"));
    let args = json::encode(&args).or_else(|e| args::fail(&named, e))?;
    let supers = host.supers.get().ok_or_else(nobody)?;
    let answer = wait::on_main(lua.clone(), host, &named, async move { supers.ask(worker, launch, what, args).await }).await?;
    super::convert::to_lua(&lua, &answer, &Value::Nil)
}

/// Refuse to wait where the instance under construction would be seen half made.
pub(super) fn may_wait(lua: &Lua, host: &Host) -> mlua::Result<()> {
    host.waits(lua);
    if host.loading() && host.scope().is_some_and(|scope| scope.in_init()) {
        return Err(mlua::Error::runtime("init may not wait: make what it needs before the instance"));
    }
    Ok(())
}

/// A duration as files give it: a number of seconds or text such as `"2h30m"`.
pub(super) fn seconds(value: &Value) -> Result<Duration, String> {
    let given = match value {
        Value::Integer(i) => duration::from_seconds(*i as f64),
        Value::Number(x) => duration::from_seconds(*x),
        Value::String(text) => duration::parse(&text.to_string_lossy()),
        _ => None,
    };
    // Longer ones overflow the timer.
    let longest = Duration::from_secs(100 * 365 * 86_400);
    given.map(|d| d.min(longest)).ok_or_else(|| "needs a number of seconds, at least 0, or a text such as \"2h30m\"".to_owned())
}
