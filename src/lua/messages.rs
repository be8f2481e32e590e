//! The call of a formatter that is written in Lua, wholly or in part: the context of a message in, what it says out. What the message
//! says when the call fails is decided elsewhere.

use serde_json::{Value as Json, json};

use super::callbacks::{FORMAT, MESSAGE_FUNCTION, MESSAGE_FUNCTION_RAW};
use super::failure::LuaFailure;
use super::generation::Generation;
use crate::config::{BodyType, FnRef, FormatterKind, FromValue, Table, Value};

/// Bytes of a body and of what else is told.
const LARGEST: usize = 1 << 20;
const LONGEST_SUBJECT: usize = 64 << 10;

/// What a message says without the functions of the file, for those that only change it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct SaidWithout {
    pub subject: Option<String>,
    pub text: Option<String>,
    pub html: Option<String>,
}

/// What a formatter gave.
#[derive(Clone, PartialEq, Debug)]
pub struct Formatted {
    pub subject: Option<String>,
    /// None: nothing but how things stand.
    pub body: Option<Body>,
    /// A table of tables, or null.
    pub extra_info: Json,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Body {
    Plain { text: String, html: Option<String> },
    Html(String),
    Json(Json),
}

impl Generation {
    /// What the formatter's function makes of the context.
    pub async fn format_message(
        &self,
        f: &FnRef,
        kind: &FormatterKind,
        context: &Json,
        said: &SaidWithout,
    ) -> Result<Formatted, LuaFailure> {
        let decl = match kind {
            FormatterKind::Function => MESSAGE_FUNCTION,
            FormatterKind::FunctionRaw => MESSAGE_FUNCTION_RAW,
            _ => FORMAT,
        };
        let input = json!({ "context": context, "said": { "subject": said.subject, "text": said.text, "html": said.html } });
        let answer = self.call((decl.entry, decl.name, decl.budget), f, vec![input]).await?;
        read(&answer).map_err(|message| LuaFailure {
            message,
            at: Some(f.place.clone()),
            callback: decl.name.to_owned(),
            traceback: Vec::new(),
        })
    }
}

/// `lua/formatters.lua` gives one table, of the right kinds but for what it can't know.
fn read(answer: &Value) -> Result<Formatted, String> {
    let Value::Table(answer) = answer else { return Err(format!("gave {} where it can't", answer.describe())) };
    let kind = answer.named.get("type").map(BodyType::from_value).transpose().map_err(|wrong| wrong.told("type"))?;
    let html = text(answer, "html", LARGEST)?;
    let body = match kind.unwrap_or(BodyType::Plain) {
        BodyType::Json => answer.named.get("body").map(|body| data("the body", body)).transpose()?.map(Body::Json),
        BodyType::Html => text(answer, "body", LARGEST)?.map(Body::Html),
        BodyType::Plain => match (text(answer, "body", LARGEST)?, html) {
            (Some(text), html) => Some(Body::Plain { text, html }),
            (None, Some(html)) => Some(Body::Html(html)),
            (None, None) => None,
        },
    };
    let extra_info = answer.named.get("extra_info").map_or(Ok(Json::Null), |info| data("extra_info", info))?;
    Ok(Formatted { subject: text(answer, "subject", LONGEST_SUBJECT)?, body, extra_info })
}

fn text(answer: &Table, name: &str, largest: usize) -> Result<Option<String>, String> {
    match answer.named.get(name) {
        None | Some(Value::None) => Ok(None),
        Some(Value::Text(text)) if text.len() > largest => {
            Err(format!("gave {name} of {} bytes, it may have {largest} at most", text.len()))
        }
        Some(Value::Text(text)) => Ok(Some(text.clone())),
        Some(other) => Err(format!("gave {} as {name}", other.describe())),
    }
}

fn data(what: &str, value: &Value) -> Result<Json, String> {
    let json = value.to_json().map_err(|why| format!("gave {what} with something that is no plain data: {why}"))?;
    let size = json.to_string().len();
    if size > LARGEST { Err(format!("gave {what} of {size} bytes, it may have {LARGEST} at most")) } else { Ok(json) }
}
