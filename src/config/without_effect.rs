//! Arguments that Buildbot has and that do nothing here: without effect on purpose, not used yet, or refused because leaving them without
//! effect would change what the file means.

use super::class::Reload;
use super::convert::{FromValue, Wrong};
use super::lua_type::LuaType;
use super::value::Value;

/// Known to Buildbot; it has no effect on purpose.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Ignored;

impl FromValue for Ignored {
    fn expected() -> String {
        "anything (it has no effect)".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("any")
    }

    fn from_value(_: &Value) -> Result<Ignored, Wrong> {
        Ok(Ignored)
    }

    const RELOAD: Option<Reload> = Some(Reload::NoEffect);
}

/// Known to Buildbot; it has no effect yet, and the reader says so.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct NotUsed;

impl FromValue for NotUsed {
    fn expected() -> String {
        "anything (not used yet)".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("any")
    }

    fn from_value(_: &Value) -> Result<NotUsed, Wrong> {
        Ok(NotUsed)
    }

    const UNUSED: bool = true;

    const RELOAD: Option<Reload> = Some(Reload::NoEffect);
}

/// Known to Buildbot; leaving it without effect would change what the file means, so only "nothing" is accepted.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct NotYet;

impl FromValue for NotYet {
    fn expected() -> String {
        "left out (not supported yet)".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("None").or(LuaType::Name("false"))
    }

    fn from_value(value: &Value) -> Result<NotYet, Wrong> {
        if is_nothing(value) { Ok(NotYet) } else { Err(Wrong::says("is not supported yet")) }
    }

    const RELOAD: Option<Reload> = Some(Reload::NoEffect);
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::None | Value::Bool(false) => true,
        Value::Table(t) => t.items.is_empty() && t.named.is_empty() && t.strange_key.is_none(),
        _ => false,
    }
}

/// `locks`: none yet.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Locks;

impl FromValue for Locks {
    fn expected() -> String {
        "left out (locks are not supported yet)".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("None").or(LuaType::Name("false")).or(LuaType::list(LuaType::Name("any")))
    }

    fn from_value(value: &Value) -> Result<Locks, Wrong> {
        if is_nothing(value) { Ok(Locks) } else { Err(Wrong { alone: true, ..Wrong::says("locks are not supported yet") }) }
    }

    const RELOAD: Option<Reload> = Some(Reload::NoEffect);
}
