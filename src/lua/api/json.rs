//! `json`: decode, encode, load_file. JSON's null is nil, or `None` where that is asked for.

use std::rc::Rc;

use mlua::{IntoLuaMulti, Lua, Table, Value};
use serde_json::Value as Json;

use super::super::convert::to_lua;
use super::super::host::Host;
use super::args::describe;
use super::offer::{offer, reading};

const DEEPEST: usize = 100;
/// In one text.
pub(super) const MOST_VALUES: usize = 1_000_000;

pub(super) fn register(lua: &Lua, host: &Rc<Host>, into: &Table) -> mlua::Result<()> {
    let json = lua.create_table()?;
    json.raw_set(
        "decode",
        lua.create_function(|lua, (text, options): (mlua::LuaString, Option<Table>)| {
            let json: Json = serde_json::from_slice(&text.as_bytes()).map_err(|e| mlua::Error::runtime(format!("json.decode: {e}")))?;
            to_lua(lua, &json, &null(options.as_ref())?)
        })?,
    )?;
    offer(lua, host, &json, "json.load_file", |_, h, (name, options): (String, Option<Table>)| {
        let null = null(options.as_ref())?;
        let parse = |content: &[u8]| serde_json::from_slice::<Json>(content).map_err(|e| e.to_string());
        Ok(reading(h, name, parse, move |lua, json, _| to_lua(lua, &json, &null)?.into_lua_multi(lua)))
    })?;
    json.raw_set(
        "encode",
        lua.create_function(|_, (value, options): (Value, Option<Table>)| {
            let json = encode(&value).map_err(|e| mlua::Error::runtime(format!("json.encode: {e}")))?;
            let indent = options.map(|o| o.raw_get::<bool>("indent")).transpose()?.unwrap_or(false);
            let text = if indent { serde_json::to_string_pretty(&json) } else { serde_json::to_string(&json) };
            text.map_err(|e| mlua::Error::runtime(format!("json.encode: {e}")))
        })?,
    )?;
    into.raw_set("json", json)
}

fn null(options: Option<&Table>) -> mlua::Result<Value> {
    Ok(options.map(|o| o.raw_get("null")).transpose()?.unwrap_or(Value::Nil))
}

/// A table with items is a list, one with names an object, an empty one a list.
pub(in super::super) fn encode(value: &Value) -> Result<Json, String> {
    encode_within(value, 0, &mut 0)
}

fn encode_within(value: &Value, depth: usize, values: &mut usize) -> Result<Json, String> {
    if depth > DEEPEST {
        return Err(format!("nested deeper than {DEEPEST}, or a table that holds itself"));
    }
    // What is shared counts each time: written down it stands there as often.
    *values += 1;
    if *values > MOST_VALUES {
        return Err(format!("more than {MOST_VALUES} values"));
    }
    Ok(match value {
        Value::Nil => Json::Null,
        v if v.is_null() => Json::Null,
        Value::Boolean(b) => Json::Bool(*b),
        Value::Integer(i) => Json::from(*i),
        Value::Number(x) => serde_json::Number::from_f64(*x).map(Json::Number).ok_or_else(|| format!("{x} is no JSON number"))?,
        Value::String(text) => Json::String(text.to_str().map_err(|_| "text that is not UTF-8")?.to_string()),
        Value::Table(table) if table.has_metatable() => return Err("an object is no JSON value".into()),
        Value::Table(table) => {
            let items = table.raw_len();
            let mut list = Vec::with_capacity(items.min(1024));
            for i in 1..=items {
                list.push(encode_within(&table.raw_get::<Value>(i).map_err(|e| e.to_string())?, depth + 1, values)?);
            }
            let mut map = serde_json::Map::new();
            for pair in table.pairs::<Value, Value>() {
                let (key, value) = pair.map_err(|e| e.to_string())?;
                match &key {
                    Value::Integer(i) if *i >= 1 && *i as usize <= items => {}
                    Value::String(name) => {
                        map.insert(name.to_string_lossy(), encode_within(&value, depth + 1, values)?);
                    }
                    other => return Err(format!("a key that is {}", describe(other))),
                }
            }
            match (list.is_empty(), map.is_empty()) {
                (_, true) => Json::Array(list),
                (true, false) => Json::Object(map),
                _ => return Err("a table with both items and names".into()),
            }
        }
        other => return Err(format!("a {} is no JSON value", other.type_name())),
    })
}
