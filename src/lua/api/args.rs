//! Arguments of the library's functions: their kinds, and the error that names the function and the argument. Says nothing of
//! places: whoever catches the error names the line.

use mlua::{LuaString, Table, Value};

/// How much of a text an error shows.
const SHOWN: usize = 40;

/// A value in an error's words.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Nil => "nil".into(),
        v if v.is_null() => "None".into(),
        Value::Boolean(b) => b.to_string(),
        Value::Integer(i) => i.to_string(),
        Value::Number(x) => x.to_string(),
        Value::String(text) => quoted(&text.to_string_lossy()),
        other => format!("a {}", other.type_name()),
    }
}

/// The beginning of a text, in quotes.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}", format!("{}…", &text[..end])),
        None => format!("{text:?}"),
    }
}

pub(super) fn fail<T>(function: &str, text: impl std::fmt::Display) -> mlua::Result<T> {
    Err(mlua::Error::runtime(format!("{function}: {text}")))
}

fn wrong<T>(function: &str, argument: &str, kind: &str, value: &Value) -> mlua::Result<T> {
    fail(function, format!("'{argument}' must be {kind}, got {}", describe(value)))
}

pub(super) fn bytes(function: &str, argument: &str, value: &Value) -> mlua::Result<LuaString> {
    match value {
        Value::String(text) => Ok(text.clone()),
        other => wrong(function, argument, "text", other),
    }
}

/// Text that is UTF-8.
pub(super) fn text(function: &str, argument: &str, value: &Value) -> mlua::Result<String> {
    match bytes(function, argument, value)?.to_str() {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => fail(function, format!("'{argument}' is not UTF-8")),
    }
}

pub(super) fn optional_text(function: &str, argument: &str, value: &Value) -> mlua::Result<Option<String>> {
    if absent(value) { Ok(None) } else { text(function, argument, value).map(Some) }
}

pub(super) fn number(function: &str, argument: &str, value: &Value) -> mlua::Result<f64> {
    match value {
        Value::Integer(i) => Ok(*i as f64),
        Value::Number(x) if x.is_finite() => Ok(*x),
        other => wrong(function, argument, "a number", other),
    }
}

pub(super) fn integer(function: &str, argument: &str, value: &Value) -> mlua::Result<i64> {
    match value {
        Value::Integer(i) => Ok(*i),
        Value::Number(x) if x.fract() == 0.0 && x.abs() < 9e15 => Ok(*x as i64),
        other => wrong(function, argument, "a whole number", other),
    }
}

pub(super) fn table(function: &str, argument: &str, value: &Value) -> mlua::Result<Table> {
    match value {
        Value::Table(table) => Ok(table.clone()),
        other => wrong(function, argument, "a table", other),
    }
}

/// A trailing table of names, in which nothing else may be.
pub(super) struct Options<'a> {
    function: &'a str,
    table: Option<Table>,
}

impl<'a> Options<'a> {
    pub fn new(function: &'a str, value: &Value, known: &[&str]) -> mlua::Result<Options<'a>> {
        if absent(value) {
            return Ok(Options { function, table: None });
        }
        let table = table(function, "options", value)?;
        for pair in table.pairs::<Value, Value>() {
            let (key, _) = pair?;
            if !matches!(&key, Value::String(name) if known.iter().any(|k| name.as_bytes() == k.as_bytes())) {
                return fail(function, format!("there is no option {}; there is {}", describe(&key), known.join(", ")));
            }
        }
        Ok(Options { function, table: Some(table) })
    }

    pub fn value(&self, name: &str) -> mlua::Result<Value> {
        self.table.as_ref().map_or(Ok(Value::Nil), |t| t.raw_get(name))
    }

    pub fn text(&self, name: &str) -> mlua::Result<Option<String>> {
        optional_text(self.function, name, &self.value(name)?)
    }

    pub fn flag(&self, name: &str) -> mlua::Result<bool> {
        match self.value(name)? {
            Value::Nil => Ok(false),
            Value::Boolean(b) => Ok(b),
            other => wrong(self.function, name, "true or false", &other),
        }
    }
}

/// nil, or `None`.
pub(super) fn absent(value: &Value) -> bool {
    matches!(value, Value::Nil) || value.is_null()
}
