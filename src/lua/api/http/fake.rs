//! Requests and answers of `http` as tables, for tests that answer in place of the network.

use mlua::{Lua, Table, Value};

use super::super::fake::check_keys;
use super::super::json::encode;
use super::super::stream::{NextPiece, Source};
use super::options::{Body, Content, Request};
use super::send::Answer;
use crate::lua::convert::to_lua;

const KNOWN: [&str; 5] = ["status", "headers", "text", "json", "error"];

/// What is sent, as a test looks at it. A body of several parts has the text of its fields and files in `parts`.
pub(super) fn asked(lua: &Lua, request: &Request) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("method", request.method.as_str())?;
    let mut bare = request.url.clone();
    bare.set_query(None);
    bare.set_fragment(None);
    table.raw_set("url", request.url.as_str())?;
    table.raw_set("address", bare.as_str())?;
    table.raw_set("host", request.url.host_str())?;
    table.raw_set("path", request.url.path())?;
    let params = lua.create_table()?;
    for (name, value) in request.url.query_pairs() {
        params.raw_set(&*name, &*value)?;
    }
    table.raw_set("params", params)?;
    let headers = lua.create_table()?;
    for (name, value) in &request.headers {
        headers.raw_set(name.as_str(), lua.create_string(value.as_bytes())?)?;
    }
    table.raw_set("headers", headers)?;
    if let Some((user, password)) = &request.auth {
        table.raw_set("auth", lua.create_sequence_from([user.as_str(), password.as_str()])?)?;
    }
    table.raw_set("timeout", request.timeout.as_secs_f64())?;
    if let Some(socket) = &request.via.unix_socket {
        table.raw_set("unix_socket", socket.to_string_lossy())?;
    }
    match &request.body {
        Body::None => {}
        Body::Bytes(bytes) => {
            table.raw_set("body", lua.create_string(bytes)?)?;
            if let Ok(json) = serde_json::from_slice::<serde_json::Value>(bytes)
                && (json.is_object() || json.is_array())
            {
                table.raw_set("json", to_lua(lua, &json, &Value::Nil)?)?;
            }
        }
        Body::Multipart(fields, parts) => {
            let all = lua.create_table()?;
            for (name, value) in fields {
                all.raw_set(name.as_str(), value.as_str())?;
            }
            for part in parts {
                match &part.content {
                    Content::Bytes(bytes) => all.raw_set(part.field.as_str(), lua.create_string(bytes)?)?,
                    Content::File(path) => all.raw_set(part.field.as_str(), path.to_string_lossy())?,
                }
            }
            table.raw_set("parts", all)?;
        }
    }
    Ok(table)
}

/// Content that comes in one piece.
struct Whole(Vec<u8>);

impl Source for Whole {
    fn next(&mut self) -> NextPiece<'_> {
        let piece = std::mem::take(&mut self.0);
        Box::pin(async move { Ok(Some(piece).filter(|piece| !piece.is_empty())) })
    }
}

/// An answer as a test gives it.
pub(super) fn answered(request: &Request, answer: &Table) -> mlua::Result<Answer> {
    check_keys("fake.http", answer, &KNOWN)?;
    let fail = |text: &str| Err(mlua::Error::runtime(format!("fake.http: {text}")));
    let status = match answer.raw_get::<Value>("status")? {
        Value::Nil => 200,
        Value::Integer(status) if (100..600).contains(&status) => status as u16,
        _ => return fail("'status' must be a number from 100 to 599"),
    };
    let mut headers = std::collections::BTreeMap::new();
    if let Some(given) = answer.raw_get::<Option<Table>>("headers")? {
        for pair in given.pairs::<String, mlua::LuaString>() {
            let (name, value) = pair?;
            headers.insert(name.to_ascii_lowercase(), value.as_bytes().to_vec());
        }
    }
    let text = match (answer.raw_get::<Value>("text")?, answer.raw_get::<Value>("json")?) {
        (Value::String(text), Value::Nil) => text.as_bytes().to_vec(),
        (Value::Nil, Value::Nil) => Vec::new(),
        (Value::Nil, json) => {
            headers.entry("content-type".into()).or_insert_with(|| b"application/json".to_vec());
            encode(&json).map_err(|e| mlua::Error::runtime(format!("fake.http: 'json': {e}")))?.to_string().into_bytes()
        }
        (_, Value::Nil) => return fail("'text' must be text"),
        _ => return fail("an answer has 'text' or 'json', not both"),
    };
    let reason = reqwest::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or_default().to_owned();
    let mut answer = Answer { status, reason, url: super::options::shown_url(&request.url), headers, text, rest: None };
    if request.stream && (!request.check || (200..300).contains(&status)) {
        answer.rest = Some(Box::new(Whole(std::mem::take(&mut answer.text))));
    }
    Ok(answer)
}
