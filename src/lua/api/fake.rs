//! What answers in place of the network and of programs in a test: a function of Lua, which is given what was asked for as a table; or a
//! world that refuses or hangs. Without either nothing here does anything.

use mlua::{Function, Lua, Table, Value};

use super::super::host::Host;
use super::super::outside::Answers;
use super::may_wait;
use crate::base::suggest;

fn key(what: &str) -> String {
    format!("buildmoon fake {what}")
}

/// From now on this answers for `what`, or nobody.
pub(in super::super) fn set(lua: &Lua, what: &str, answers: Option<Function>) -> mlua::Result<()> {
    lua.set_named_registry_value(&key(what), answers)
}

/// A call goes out, if the world lets it.
pub(super) async fn gate(host: &Host) -> mlua::Result<()> {
    let answers = host.outside.borrow().as_ref().map_or(Answers::Real, |world| world.ask());
    match answers {
        Answers::Real => Ok(()),
        Answers::Refused => Err(mlua::Error::runtime("connection refused: nobody answers while this is tested")),
        Answers::Never => std::future::pending().await,
    }
}

/// Does a test answer for it?
pub(super) fn stands_in(lua: &Lua, what: &str) -> bool {
    lua.named_registry_value::<Function>(&key(what)).is_ok()
}

/// The answer that a test gives; none: the real thing is to be asked.
pub(super) async fn ask(
    lua: &Lua,
    host: &Host,
    what: &str,
    asked: impl FnOnce(&Lua) -> mlua::Result<Table>,
) -> mlua::Result<Option<Table>> {
    gate(host).await?;
    let Ok(answers) = lua.named_registry_value::<Function>(&key(what)) else { return Ok(None) };
    may_wait(lua, host)?;
    // As the real thing: never where Lua can't wait.
    tokio::task::yield_now().await;
    let answer: Table = answers.call_async(asked(lua)?).await?;
    match answer.raw_get::<Value>("error")? {
        Value::Nil => Ok(Some(answer)),
        error => Err(mlua::Error::runtime(error.to_string()?)),
    }
}

/// A scripted answer may hold these only.
pub(super) fn check_keys(what: &str, answer: &Table, known: &[&str]) -> mlua::Result<()> {
    for pair in answer.pairs::<Value, Value>() {
        let (key, _) = pair?;
        let name = key.to_string()?;
        if !known.contains(&name.as_str()) {
            let near = suggest::hint(&name, known.iter().copied());
            return Err(mlua::Error::runtime(format!("{what}: an answer has no '{name}'{near}; it has {}", known.join(", "))));
        }
    }
    Ok(())
}
