//! What went wrong in Lua, in Lua's terms only: message, place, callback and the frames of the configuration's own files.

use std::fmt;

use mlua::{Lua, Table, UserData, Value};

use super::hints::mend;
use super::host::Host;
use crate::config::{Mistake, Place};

const LONGEST_MESSAGE: usize = 4000;
const OUT_OF_MEMORY: &str = "the memory limit is used up (c.lua: memory_limit)";

/// A callback that raised, returned what it may not, or ran out of its budget.
#[derive(Clone, PartialEq, Debug)]
pub struct LuaFailure {
    /// The cause, one line.
    pub message: String,
    pub at: Option<Place>,
    /// `nextWorker`
    pub callback: String,
    /// Innermost first.
    pub traceback: Vec<String>,
}

impl fmt::Display for LuaFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.at.as_ref().filter(|p| !p.file.is_empty()) {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}: {}", self.callback, self.message)
    }
}

impl std::error::Error for LuaFailure {}

/// An error as it was caught where it was raised, while the stack was still there.
#[derive(Clone, Debug)]
pub(super) struct Caught {
    pub message: String,
    pub place: Place,
    pub traceback: Vec<String>,
}

impl UserData for Caught {}

impl Caught {
    /// The handler of every protected call from the host.
    pub fn new(lua: &Lua, host: &Host, error: &Value) -> Caught {
        if let Value::UserData(data) = error
            && let Ok(caught) = data.borrow::<Caught>()
        {
            return caught.clone();
        }
        let here = host.place(lua);
        let (message, place) = locate(host, text_of(error), here);
        Caught { message, place, traceback: host.traceback(lua) }
    }

    /// An error that reached the host without passing the handler.
    pub fn outside(host: &Host, error: &mlua::Error) -> Caught {
        let (message, place) = locate(host, text_of_error(error), Place::default());
        Caught { message, place, traceback: Vec::new() }
    }

    pub fn is_out_of_memory(&self) -> bool {
        self.message.starts_with(OUT_OF_MEMORY)
    }

    /// As a mistake of the file, for errors that have no place of their own.
    pub fn into_mistake_at(mut self, place: &Place) -> Mistake {
        if self.place.file.is_empty() {
            self.place = place.clone();
        }
        self.into_mistake()
    }

    /// As a mistake of the file; the frames say more than the place only if there are several.
    pub fn into_mistake(self) -> Mistake {
        let mut text = self.message;
        if self.traceback.len() > 1 {
            for frame in &self.traceback {
                text.push_str("\n    ");
                text.push_str(frame);
            }
        }
        Mistake { place: self.place, subject: String::new(), text }
    }
}

fn text_of(error: &Value) -> String {
    match error {
        Value::String(text) => text.to_string_lossy(),
        Value::Error(error) => text_of_error(error),
        Value::Table(table) => match table.raw_get::<Value>("message") {
            Ok(Value::String(text)) => text.to_string_lossy(),
            _ => shown(table).unwrap_or_else(|| "raised a table without a message".to_owned()),
        },
        Value::Nil => "raised nil".to_owned(),
        Value::Integer(i) => i.to_string(),
        Value::Number(x) => x.to_string(),
        other => format!("raised a {}", other.type_name()),
    }
}

/// What a table says of itself.
fn shown(table: &Table) -> Option<String> {
    table.metatable()?.contains_key("__tostring").ok().filter(|says| *says)?;
    Value::Table(table.clone()).to_string().ok()
}

/// What a protected call of the file is given: text, as for errors of Lua's own. Anything else that was raised is as it was.
pub(super) fn error_text(error: &Value) -> Option<String> {
    match error {
        Value::Error(raised) => Some(text_of_error(raised)),
        _ => None,
    }
}

fn text_of_error(error: &mlua::Error) -> String {
    match error {
        mlua::Error::CallbackError { cause, .. } => text_of_error(cause),
        mlua::Error::WithContext { cause, .. } => text_of_error(cause),
        mlua::Error::BadArgument { pos, cause, .. } => format!("argument #{pos}: {}", text_of_error(cause)),
        mlua::Error::RuntimeError(message) | mlua::Error::SyntaxError { message, .. } => message.clone(),
        mlua::Error::MemoryError(_) => "not enough memory".to_owned(),
        mlua::Error::FromLuaConversionError { from, to, .. } => format!("must be a {}, got {from}", to.to_lowercase()),
        other => other.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}

/// Lua writes the place in front of the message; take it from there if it is one of our files.
fn locate(host: &Host, message: String, here: Place) -> (String, Place) {
    let mut message = message;
    let mut place = here;
    if let Some((file, line, rest)) = prefix(&message) {
        if file.starts_with("[builtin") || (*file == *place.file && line == place.line) {
            message = rest.to_owned();
        } else if let Some(name) = host.known_file(file) {
            let mut from = place.from;
            if !place.file.is_empty() && place.file != name {
                from.insert(0, (place.file, place.line));
            }
            let rest = rest.to_owned();
            place = Place { file: name, line, from };
            message = rest;
        }
    }
    if message.contains("attempt to yield across a C-call boundary") {
        message = "a host call that waits can't be used here (inside table.sort or string.gsub)".to_owned();
    } else if message == "not enough memory" {
        message = OUT_OF_MEMORY.to_owned();
    }
    let mut line = message.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("raised an empty text").to_owned();
    if line.len() > LONGEST_MESSAGE {
        let end = (0..=LONGEST_MESSAGE).rev().find(|i| line.is_char_boundary(*i)).unwrap_or(0);
        line.truncate(end);
        line.push('…');
    }
    if let Some(hint) = mend(&line, &host.lines_at(&place)) {
        line.push_str("; ");
        line.push_str(&hint);
    }
    (line, place)
}

fn prefix(message: &str) -> Option<(&str, u32, &str)> {
    let mut from = 0;
    while let Some(colon) = message[from..].find(':') {
        let colon = from + colon;
        let after = &message[colon + 1..];
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        if digits > 0
            && let Some(rest) = after[digits..].strip_prefix(':')
            && let Ok(line) = after[..digits].parse()
        {
            return Some((&message[..colon], line, rest.trim_start()));
        }
        from = colon + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_taken_off_a_message() {
        assert_eq!(prefix("a/b.lua:12: boom: 3: x"), Some(("a/b.lua", 12, "boom: 3: x")));
        assert_eq!(prefix("boom: no place"), None);
        assert_eq!(prefix("x:"), None);
    }
}
