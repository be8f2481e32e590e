//! `config.load`: a file of settings in any format, laid over its defaults. What the file says is in no message.

use std::rc::Rc;

use mlua::{IntoLuaMulti, Lua, Table, Value};

use super::super::host::Host;
use super::args::describe;
use super::formats::{Data, Format, decode};
use super::offer::{FileRead, offer, reading};

const DEEPEST: usize = 100;

/// `settings:path("a.b.c", default)` or `settings:path({ "a", "b" }, default)`; a step that is a number is a position or a name.
const METHODS: &str = r#"
local type, ipairs, rawget, tonumber, tointeger, error, null = type, ipairs, rawget, tonumber, math.tointeger, error, ...
local methods = {}
function methods.path(settings, path, default)
  local steps = path
  if type(path) == "string" then
    steps = {}
    for step in path:gmatch("[^.]+") do steps[#steps + 1] = step end
  elseif type(path) ~= "table" then
    error("settings:path needs a text such as \"workers.x.password\"", 0)
  end
  local here = settings
  for i, step in ipairs(steps) do
    if type(here) ~= "table" then return default end
    local value = rawget(here, step)
    local position = value == nil and tointeger(tonumber(step))
    if position then value = rawget(here, position) end
    here = value
  end
  if here == nil or here == null then return default end
  return here
end
return { __index = methods, __name = "settings" }
"#;

pub(super) fn register(lua: &Lua, host: &Rc<Host>, into: &Table) -> mlua::Result<()> {
    let config = lua.create_table()?;
    let meta: Table = lua.load(METHODS).set_name("=[builtin config.load]").into_function()?.call(Value::NULL)?;
    offer(lua, host, &config, "config.load", move |_, h, (name, options): (String, Option<Table>)| {
        let fail = |text: String| mlua::Error::runtime(format!("config.load({name:?}): {text}"));
        let option = |key: &str| options.as_ref().map_or(Ok(Value::Nil), |o| o.raw_get::<Value>(key));
        let defaults = option("defaults")?;
        if !matches!(defaults, Value::Nil | Value::Table(_)) {
            return Err(fail(format!("'defaults' must be a table, got {}", describe(&defaults))));
        }
        let optional = option("optional")?.as_boolean().unwrap_or(false);
        let format =
            Format::of_file(&name).ok_or_else(|| fail("the name must end in .yaml, .yml, .json, .toml, .ini, .cfg or .conf".into()))?;
        let meta = meta.clone();
        let finish = move |lua: &Lua, data: Data| {
            let fail = |text: String| mlua::Error::runtime(format!("config.load: {text}"));
            let settings = match merged(lua, &defaults, &data, 0)? {
                Value::Table(table) if !matches!(data, Data::List(_)) => table,
                Value::Nil => lua.create_table()?,
                _ => return Err(fail("the file must hold names and values".into())),
            };
            settings.set_metatable(Some(meta))?;
            settings.into_lua_multi(lua)
        };
        let mut job = reading(h, &name, move |content| decode(format, content), move |lua, data, _| finish(lua, data));
        if optional && !h.folder.join(&name).exists() {
            job.work = Box::new(|| Ok(FileRead::missing(Data::Null)));
        }
        Ok(job)
    })?;
    into.raw_set("config", config)
}

/// The file's values over the defaults: tables with names are merged, lists and plain values replaced, null leaves the default.
fn merged(lua: &Lua, default: &Value, data: &Data, depth: usize) -> mlua::Result<Value> {
    if depth > DEEPEST {
        return Err(mlua::Error::runtime(format!("'defaults' are nested deeper than {DEEPEST}, or hold themselves")));
    }
    let Value::Table(table) = default else { return data.to_lua(lua, &Value::Nil) };
    match data {
        Data::Null => copy(lua, default, depth),
        Data::Map(pairs) if table.raw_len() == 0 => {
            let Value::Table(whole) = copy(lua, default, depth)? else { return Ok(Value::Nil) };
            for (key, value) in pairs {
                let key = key.as_key(lua)?;
                let below = table.raw_get::<Value>(key.clone())?;
                if !matches!(value, Data::Null) {
                    whole.raw_set(key, merged(lua, &below, value, depth + 1)?)?;
                }
            }
            Ok(Value::Table(whole))
        }
        other => other.to_lua(lua, &Value::Nil),
    }
}

/// Without the tables of the file's own Lua, which may be changed later.
fn copy(lua: &Lua, value: &Value, depth: usize) -> mlua::Result<Value> {
    let Value::Table(table) = value else { return Ok(value.clone()) };
    if table.has_metatable() {
        return Ok(value.clone());
    }
    if depth > DEEPEST {
        return Err(mlua::Error::runtime(format!("'defaults' are nested deeper than {DEEPEST}, or hold themselves")));
    }
    let new = lua.create_table()?;
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair?;
        new.raw_set(key, copy(lua, &value, depth + 1)?)?;
    }
    Ok(Value::Table(new))
}
