//! Command lines, environments and what else steps that run commands are told, as types that check themselves.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::convert::{FromValue, Wrong, item, no_strange_key};
use super::lua_type::LuaType;
use super::spec::{Collapse, CommandLine, Condition, EnvValue, LogEncoding, LogFile, Words};
use super::template::Template;
use super::value::{FnRef, Value};
use crate::model::Results;

impl FromValue for CommandLine {
    fn expected() -> String {
        "text or a list of texts".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("string")
            .or(LuaType::list(LuaType::Name("string").or(LuaType::Name("integer")).or(LuaType::list(LuaType::Name("any")))))
    }

    fn plural() -> String {
        "command lines".into()
    }

    fn from_value(value: &Value) -> Result<CommandLine, Wrong> {
        match value {
            Value::Text(text) if !text.trim().is_empty() => Ok(CommandLine::Shell(text.clone())),
            Value::Table(t) if t.named.is_empty() && t.strange_key.is_none() => {
                let mut words = Vec::new();
                flatten(value, &mut words)?;
                if words.is_empty() {
                    Err(Wrong::says("must hold at least one word, got an empty list"))
                } else {
                    Ok(CommandLine::Words(words))
                }
            }
            other => Err(not_words(Self::expected(), other)),
        }
    }

    fn check_template(template: &Template) -> Result<(), Wrong> {
        match template {
            Template::Map(_) => Err(Wrong::says(format!("must be {}, got a table", Self::expected()))),
            Template::List(items) => items.iter().enumerate().try_for_each(|(i, t)| {
                match t {
                    Template::Const(json) => flatten(&Value::from_json(json), &mut Vec::new()),
                    dynamic => CommandLine::check_template(dynamic),
                }
                .map_err(|w| w.inside(item(i)))
            }),
            _ => Ok(()),
        }
    }
}

/// Lists in lists are one list. A whole number is a word; `1800.0` would be a surprise in a command line.
fn flatten(value: &Value, words: &mut Vec<String>) -> Result<(), Wrong> {
    match value {
        Value::Text(text) => words.push(text.clone()),
        Value::Int(number) => words.push(number.to_string()),
        Value::Float(x) => {
            let mend = if x.fract() == 0.0 { "math.tointeger(x)" } else { "tostring(x)" };
            return Err(Wrong::says(format!("must be text or a whole number, got {} (a float: write {mend})", value.describe())));
        }
        Value::Table(t) if t.named.is_empty() && t.strange_key.is_none() => {
            for (i, v) in t.items.iter().enumerate() {
                flatten(v, words).map_err(|w| w.inside(item(i)))?;
            }
        }
        other => return Err(not_words("text", other)),
    }
    Ok(())
}

/// A list with a hole is told as such.
fn not_words(expected: impl AsRef<str>, value: &Value) -> Wrong {
    let hole = if let Value::Table(t) = value { no_strange_key(t).err() } else { None };
    hole.unwrap_or_else(|| Wrong::must(expected, value))
}

impl FromValue for EnvValue {
    /// Environments are where people put keys.
    const SECRET: bool = true;

    fn expected() -> String {
        "text, a list of texts or None".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("string").or(LuaType::list(LuaType::Name("string"))).or(LuaType::Name("None"))
    }

    fn plural() -> String {
        "texts (or lists of texts, or None)".into()
    }

    fn from_value(value: &Value) -> Result<EnvValue, Wrong> {
        match value {
            Value::None => Ok(EnvValue::Remove),
            Value::Text(text) => Ok(EnvValue::Set(text.clone())),
            Value::Table(_) => Vec::from_value(value).map(EnvValue::Path),
            other => Err(Wrong::must(Self::expected(), other)),
        }
    }
}

impl FromValue for LogFile {
    fn expected() -> String {
        "a file's name or { filename = …, follow = true }".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("string").or(LuaType::Name("{ filename: string, follow?: boolean }"))
    }

    fn plural() -> String {
        "files' names".into()
    }

    fn from_value(value: &Value) -> Result<LogFile, Wrong> {
        match value {
            Value::Text(filename) => Ok(LogFile { filename: filename.clone(), follow: false }),
            Value::Table(t) if t.items.is_empty() && t.named.keys().all(|k| k == "filename" || k == "follow") => {
                let Some(filename) = t.named.get("filename") else { return Err(Wrong::must(Self::expected(), value)) };
                let follow = t.named.get("follow").map_or(Ok(false), bool::from_value).map_err(|w| w.inside(".follow"))?;
                Ok(LogFile { filename: String::from_value(filename).map_err(|w| w.inside(".filename"))?, follow })
            }
            other => Err(Wrong::must(Self::expected(), other)),
        }
    }
}

/// `decodeRC`: exit codes are whole numbers, wherever in the table they landed.
impl FromValue for BTreeMap<i64, Results> {
    fn expected() -> String {
        "a table of exit codes and results such as { [0] = util.SUCCESS }".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Map(Box::new(LuaType::Name("integer")), Box::new(Results::lua_type()))
    }

    fn from_value(value: &Value) -> Result<Self, Wrong> {
        let Value::Table(t) = value else { return Err(Wrong::must(Self::expected(), value)) };
        let mut codes = BTreeMap::new();
        for (i, v) in t.items.iter().enumerate() {
            codes.insert(i as i64 + 1, Results::from_value(v).map_err(|w| w.inside(item(i)))?);
        }
        for (name, v) in t.named.iter() {
            let Ok(code) = name.parse::<i64>() else {
                return Err(Wrong::says(format!("must be {}, got the key '{name}'", <Self as FromValue>::expected())));
            };
            codes.insert(code, Results::from_value(v).map_err(|w| w.inside(format!("[{code}]")))?);
        }
        let strange = t.strange_key.as_deref().map(|key| key.trim_matches(['[', ']']).trim());
        match strange {
            Some(key) if !key.parse::<i64>().is_ok_and(|code| codes.contains_key(&code)) => {
                Err(Wrong::says(format!("must be {}, got the key {key}", <Self as FromValue>::expected())))
            }
            _ => Ok(codes),
        }
    }
}

/// Names as Python has them. Only encodings in which a line end is the byte 10: output is cut into lines before.
impl FromValue for LogEncoding {
    fn expected() -> String {
        "the name of an encoding such as \"utf-8\" or \"latin-1\", or None".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("string").or(LuaType::Name("None"))
    }

    fn from_value(value: &Value) -> Result<LogEncoding, Wrong> {
        let name = match value {
            Value::None => return Ok(LogEncoding(None)),
            Value::Text(name) => name,
            other => return Err(Wrong::must(Self::expected(), other)),
        };
        let label = name.trim().to_ascii_lowercase().replace(['_', ' '], "-");
        let label = match label.as_str() {
            "latin-1" | "iso8859-1" => "latin1",
            "utf8" => "utf-8",
            "cp932" => "shift_jis",
            "cp936" => "gbk",
            "cp949" => "euc-kr",
            "cp950" => "big5",
            other => other,
        };
        let found =
            encoding_rs::Encoding::for_label(label.as_bytes()).filter(|e| e.is_ascii_compatible() || *e == encoding_rs::ISO_2022_JP);
        match found {
            Some(encoding) if encoding == encoding_rs::UTF_8 => Ok(LogEncoding(None)),
            Some(encoding) => Ok(LogEncoding(Some(encoding))),
            None => Err(Wrong::says(format!("must be {}, got {}, which is not supported", Self::expected(), value.describe()))),
        }
    }
}

impl FromValue for Words {
    fn expected() -> String {
        "text or a list of texts".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("string").or(LuaType::list(LuaType::Name("string")))
    }

    fn from_value(value: &Value) -> Result<Words, Wrong> {
        match value {
            Value::Text(text) => Ok(Words(text.clone())),
            Value::Table(_) => Vec::<String>::from_value(value).map(|words| Words(words.join(" "))),
            other => Err(Wrong::must(Self::expected(), other)),
        }
    }
}

impl FromValue for Condition {
    fn expected() -> String {
        "true, false, a function or something to render".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("boolean").or(LuaType::Name("RenderableObject")).or(LuaType::Function)
    }

    fn from_value(value: &Value) -> Result<Condition, Wrong> {
        match value {
            Value::Bool(b) => Ok(Condition::Always(*b)),
            Value::Function(f) => Ok(Condition::Call(f.clone())),
            Value::Object(_) => match Template::read_for(value, &Self::expected())? {
                Template::Const(json) => Ok(Condition::Always(!matches!(json, Json::String(ref text) if text.is_empty()))),
                dynamic => Ok(Condition::Render(dynamic)),
            },
            other => Err(Wrong::must(Self::expected(), other)),
        }
    }
}

impl FromValue for Collapse {
    fn expected() -> String {
        "true, false, a function or None".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("boolean").or(LuaType::Name("None")).or(LuaType::Function)
    }

    fn from_value(value: &Value) -> Result<Collapse, Wrong> {
        match value {
            Value::None => Ok(Collapse::Inherit),
            Value::Bool(b) => Ok(Collapse::Always(*b)),
            Value::Function(_) => FnRef::from_value(value).map(Collapse::Call),
            other => Err(Wrong::must(Self::expected(), other)),
        }
    }
}
