//! `http`: one request, one answer, waiting without holding the Lua thread. What may be asked is in `options`, how it is sent and
//! which limits hold in `send`; this file is what Lua sees of both. Content that is asked for as a stream is read by `stream`. It never
//! retries.

mod fake;
mod options;
mod send;

use std::rc::Rc;
use std::sync::Arc;

use mlua::{Lua, MultiValue, Table, Value};

use super::super::convert::to_lua;
use super::super::host::Host;
use super::stream::Stream;
use super::wait::on_main;
use send::{Answer, Clients};

/// How much of a refusing answer's text its error shows.
const SHOWN_TEXT: usize = 200;

pub(super) fn register(lua: &Lua, host: &Rc<Host>, into: &Table) -> mlua::Result<()> {
    let http = lua.create_table()?;
    Stream::prepare(lua, host)?;
    let clients = Arc::new(Clients::default());
    let shapes = Rc::new(Shapes::new(lua)?);
    for name in ["request", "get", "post", "put", "delete", "patch", "head"] {
        let (h, clients, shapes) = (host.clone(), clients.clone(), shapes.clone());
        let call = lua.create_async_function(move |lua, args: MultiValue| {
            let (h, clients, shapes) = (h.clone(), clients.clone(), shapes.clone());
            async move {
                let what = format!("http.{name}");
                let fail = |text: String| mlua::Error::runtime(format!("{what}: {text}"));
                let request = options::read(&h.folder, name, &args).map_err(fail)?;
                let (shown, check) = (request.shown(), request.check);
                let scripted = super::fake::ask(&lua, &h, "http", |lua| fake::asked(lua, &request)).await?;
                let answer = match scripted {
                    Some(answer) => fake::answered(&request, &answer)?,
                    None => on_main(lua.clone(), h.clone(), &what, send::send(clients, request)).await?,
                };
                if check && !(200..300).contains(&answer.status) {
                    return Err(fail(refusal(&shown, answer.status, &answer.reason, &answer.text)));
                }
                shapes.answer(&lua, &h, &what, &shown, answer)
            }
        })?;
        http.raw_set(name, call)?;
    }
    into.raw_set("http", http)
}

/// The metatables that all answers share.
struct Shapes {
    answer: Table,
    /// Of an answer whose content is a stream.
    streamed: Table,
    headers: Table,
}

impl Shapes {
    fn new(lua: &Lua) -> mlua::Result<Shapes> {
        let (answer, streamed, headers) = (lua.create_table()?, lua.create_table()?, lua.create_table()?);
        streamed.raw_set(
            "__index",
            lua.create_function(|_, (_, key): (Table, Value)| match key.as_string() {
                Some(key) if ["text", "json", "content"].iter().any(|name| key == name) => Err(mlua::Error::runtime(format!(
                    "the answer is a stream and has no '{0}': read it with answer.body:lines() or answer.body:read(\"a\")",
                    key.to_string_lossy()
                ))),
                _ => Ok(Value::Nil),
            })?,
        )?;
        answer.raw_set("__index", lua.create_function(|lua, (answer, key): (Table, Value)| member(lua, &answer, &key))?)?;
        headers.raw_set(
            "__index",
            lua.create_function(|_, (headers, key): (Table, Value)| match key {
                Value::String(name) => headers.raw_get::<Value>(name.to_string_lossy().to_ascii_lowercase()),
                _ => Ok(Value::Nil),
            })?,
        )?;
        Ok(Shapes { answer, streamed, headers })
    }

    fn answer(&self, lua: &Lua, host: &Rc<Host>, what: &str, shown: &str, answer: Answer) -> mlua::Result<Table> {
        let headers = lua.create_table()?;
        for (name, value) in &answer.headers {
            headers.raw_set(name.as_str(), lua.create_string(value)?)?;
        }
        headers.set_metatable(Some(self.headers.clone()))?;
        let table = lua.create_table()?;
        table.raw_set("status", answer.status)?;
        table.raw_set("code", answer.status)?;
        table.raw_set("reason", answer.reason)?;
        table.raw_set("ok", answer.status < 400)?;
        table.raw_set("url", answer.url)?;
        table.raw_set("headers", headers)?;
        let shown = shown.to_owned();
        if let Some(rest) = answer.rest {
            table.raw_set("body", Stream::new(host, what, rest).of_this_call())?;
            table.raw_set("raise_for_status", lua.create_function(move |_, answer: Table| raise_for_status(&shown, answer))?)?;
            table.set_metatable(Some(self.streamed.clone()))?;
            return Ok(table);
        }
        table.raw_set("text", lua.create_string(&answer.text)?)?;
        let text: mlua::LuaString = table.raw_get("text")?;
        table.raw_set("content", lua.create_function(move |_, ()| Ok(text.clone()))?)?;
        table.raw_set("raise_for_status", lua.create_function(move |_, answer: Table| raise_for_status(&shown, answer))?)?;
        table.set_metatable(Some(self.answer.clone()))?;
        Ok(table)
    }
}

fn raise_for_status(shown: &str, answer: Table) -> mlua::Result<Table> {
    let status: u16 = answer.raw_get("status")?;
    if status < 400 {
        return Ok(answer);
    }
    let text: Option<mlua::LuaString> = answer.raw_get("text")?;
    let text = text.map(|text| text.as_bytes().to_vec()).unwrap_or_default();
    Err(mlua::Error::runtime(refusal(shown, status, &answer.raw_get::<String>("reason")?, &text)))
}

/// What an answer has only when it is asked for.
fn member(lua: &Lua, answer: &Table, key: &Value) -> mlua::Result<Value> {
    if !matches!(key, Value::String(name) if name.as_bytes() == b"json".as_slice()) {
        return Ok(Value::Nil);
    }
    let text: mlua::LuaString = answer.raw_get("text")?;
    let bytes = text.as_bytes();
    let json: serde_json::Value = serde_json::from_slice(&bytes).map_err(|e| {
        let status: u16 = answer.raw_get("status").unwrap_or_default();
        mlua::Error::runtime(format!("the answer (status {status}) is no JSON: {e}: {:?}", beginning(&bytes)))
    })?;
    let value = to_lua(lua, &json, &Value::Nil)?;
    answer.raw_set("json", &value)?;
    Ok(value)
}

fn refusal(shown: &str, status: u16, reason: &str, text: &[u8]) -> String {
    let text = beginning(text);
    let text = if text.is_empty() { text } else { format!(": {text}") };
    format!("{shown}: answered {status} {reason}{text}")
}

/// The first line's worth of a text, without line ends.
fn beginning(text: &[u8]) -> String {
    let shown = String::from_utf8_lossy(&text[..text.len().min(4 * SHOWN_TEXT)]);
    let line = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(SHOWN_TEXT).collect()
}
