//! `store`: values that callbacks keep over restarts. Where they are kept is told to a generation when the master is up.

use std::rc::Rc;

use mlua::{Lua, Table, Value};

use super::super::convert::to_lua;
use super::super::host::Host;
use super::wait::on_main;
use super::{args, json};

const LONGEST_KEY: usize = 200;

pub(super) fn register(lua: &Lua, host: &Rc<Host>, into: &Table) -> mlua::Result<()> {
    let store = lua.create_table()?;
    let h = host.clone();
    let get = lua.create_async_function(move |lua, key: Value| {
        let h = h.clone();
        async move {
            let key = checked("store.get", &key)?;
            let kept = h.kept.get().ok_or_else(|| nobody("store.get"))?;
            let found = on_main(lua.clone(), h, &format!("store.get({key:?})"), async move { kept.get(key).await }).await?;
            found.map_or(Ok(Value::Nil), |value| to_lua(&lua, &value, &Value::Nil))
        }
    })?;
    let h = host.clone();
    let put = lua.create_async_function(move |lua, (key, value): (Value, Value)| {
        let h = h.clone();
        async move {
            let key = checked("store.put", &key)?;
            let value = match args::absent(&value) {
                true => None,
                false => Some(json::encode(&value).or_else(|e| args::fail("store.put", e))?),
            };
            let kept = h.kept.get().ok_or_else(|| nobody("store.put"))?;
            on_main(lua.clone(), h, &format!("store.put({key:?})"), async move { kept.put(key, value).await }).await
        }
    })?;
    store.raw_set("get", get)?;
    store.raw_set("put", put)?;
    into.raw_set("store", store)
}

fn nobody(function: &str) -> mlua::Error {
    mlua::Error::runtime(format!("{function}: it is for callbacks of a running master, and none runs"))
}

fn checked(function: &str, key: &Value) -> mlua::Result<String> {
    let text = args::text(function, "key", key)?;
    if text.is_empty() || text.len() > LONGEST_KEY {
        return args::fail(function, format!("'key' must have from 1 to {LONGEST_KEY} bytes, got {}", text.len()));
    }
    Ok(text)
}
