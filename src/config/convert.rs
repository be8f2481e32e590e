//! How a value of the file becomes a typed one, strictly, and what a mistake about it says.
//!
//! A text is never taken for a number nor a number for a text; `2.0` is the whole number 2. The same conversions check
//! what a renderer gave for a build. Knows no class: that is `arguments`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json};

use super::class::Reload;
use super::lua_type::LuaType;
use super::template::{Arg, Template};
use super::value::{FnRef, Table, Value};
use crate::base::{Secret, duration};
use crate::model::Results;

/// What is wrong with a value.
#[derive(Clone, PartialEq, Debug)]
pub struct Wrong {
    /// Where inside the value: `[2].name`, or nothing.
    pub path: String,
    /// What follows the argument's name: `must be text, got 5`.
    pub says: String,
    /// `says` is a sentence of its own, without the argument's name.
    pub alone: bool,
    /// The mistake belongs to this object, which is part of the value; whoever checks all objects has it already.
    pub of: Option<u64>,
}

impl Wrong {
    pub fn says(text: impl Into<String>) -> Wrong {
        Wrong { path: String::new(), says: text.into(), alone: false, of: None }
    }

    pub fn must(expected: impl AsRef<str>, got: &Value) -> Wrong {
        Wrong::says(format!("must be {}, got {}", expected.as_ref(), got.describe()))
    }

    /// The same, one level further out.
    pub fn inside(mut self, step: impl AsRef<str>) -> Wrong {
        self.path.insert_str(0, step.as_ref());
        self
    }

    /// The whole sentence, about the argument `what`.
    pub fn told(&self, what: &str) -> String {
        match (self.alone, self.path.is_empty()) {
            (true, _) => self.says.clone(),
            (false, true) => format!("'{what}' {}", self.says),
            (false, false) => format!("{what}{} {}", self.path, self.says),
        }
    }
}

/// Without the argument's name, for whoever puts it before: `[2] must be text, got 5`.
impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.says),
            path => write!(f, "{path} {}", self.says),
        }
    }
}

/// The step of a path to a list's item, counted from 1.
pub fn item(index: usize) -> String {
    format!("[{}]", index + 1)
}

/// The step of a path to a named value.
pub fn field(name: &str) -> String {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    if plain { format!(".{name}") } else { format!("[{name:?}]") }
}

/// A type that a value of the file can become.
pub trait FromValue: Sized {
    /// In people's words, after "must be".
    fn expected() -> String;

    /// For editors.
    fn lua_type() -> LuaType;

    /// Several of it, after "a list of".
    fn plural() -> String {
        format!("values, each {}", Self::expected())
    }

    fn from_value(value: &Value) -> Result<Self, Wrong>;

    /// What can be said at load of a value that is rendered later.
    fn check_template(_: &Template) -> Result<(), Wrong> {
        Ok(())
    }

    /// The reader warns that such an argument has no effect yet.
    const UNUSED: bool = false;

    /// What a reload does with any argument of this type.
    const RELOAD: Option<Reload> = None;

    /// Its values are not shown.
    const SECRET: bool = false;
}

impl FromValue for String {
    fn expected() -> String {
        "text".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("string")
    }

    fn plural() -> String {
        "texts".into()
    }

    fn from_value(value: &Value) -> Result<String, Wrong> {
        match value {
            Value::Text(t) => Ok(t.clone()),
            other => Err(Wrong::must("text", other)),
        }
    }
}

impl FromValue for bool {
    fn expected() -> String {
        "true or false".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("boolean")
    }

    fn from_value(value: &Value) -> Result<bool, Wrong> {
        match value {
            Value::Bool(b) => Ok(*b),
            other => Err(Wrong::must(Self::expected(), other)),
        }
    }
}

impl FromValue for i64 {
    fn expected() -> String {
        "a whole number".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("integer")
    }

    fn plural() -> String {
        "whole numbers".into()
    }

    fn from_value(value: &Value) -> Result<i64, Wrong> {
        whole(value).ok_or_else(|| Wrong::must("a whole number", value))
    }
}

/// Lua's `2.0` is 2; beyond 2⁵³ a float is not trusted to be whole.
fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Int(i) => Some(*i),
        Value::Float(x) if x.fract() == 0.0 && x.abs() <= 9_007_199_254_740_992.0 => Some(*x as i64),
        _ => None,
    }
}

/// A whole number that is not less than `MIN`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Whole<const MIN: i64>(pub i64);

impl<const MIN: i64> FromValue for Whole<MIN> {
    fn expected() -> String {
        format!("a whole number ≥ {MIN}")
    }

    fn lua_type() -> LuaType {
        LuaType::Name("integer")
    }

    fn from_value(value: &Value) -> Result<Self, Wrong> {
        whole(value).filter(|i| *i >= MIN).map(Whole).ok_or_else(|| Wrong::must(Self::expected(), value))
    }
}

impl FromValue for Duration {
    fn expected() -> String {
        "a number of seconds or a duration such as \"2h30m\"".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("number").or(LuaType::Name("string"))
    }

    fn from_value(value: &Value) -> Result<Duration, Wrong> {
        let read = match value {
            Value::Int(i) => duration::from_seconds(*i as f64),
            Value::Float(x) => duration::from_seconds(*x),
            // `"90"` is a text and no number, here as elsewhere.
            Value::Text(t) if t.trim().parse::<f64>().is_err() => duration::parse(t),
            _ => None,
        };
        read.ok_or_else(|| Wrong::must(Self::expected(), value))
    }
}

/// Seconds: the only floating numbers that a configuration holds.
impl FromValue for f64 {
    fn expected() -> String {
        Duration::expected()
    }

    fn lua_type() -> LuaType {
        Duration::lua_type()
    }

    fn from_value(value: &Value) -> Result<f64, Wrong> {
        Duration::from_value(value).map(|d| d.as_secs_f64())
    }
}

impl FromValue for FnRef {
    fn expected() -> String {
        "a function".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Function
    }

    fn from_value(value: &Value) -> Result<FnRef, Wrong> {
        match value {
            Value::Function(f) => Ok(f.clone()),
            other => Err(Wrong::must("a function", other)),
        }
    }
}

/// Never shown, not even when it is wrong.
impl FromValue for Secret {
    fn expected() -> String {
        "text".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("string")
    }

    fn from_value(value: &Value) -> Result<Secret, Wrong> {
        let got = match value {
            Value::Text(t) if t.is_empty() => "an empty text".into(),
            Value::Text(t) => return Ok(Secret::new(t.clone())),
            Value::Int(_) | Value::Float(_) => "a number".into(),
            other => other.describe(),
        };
        Err(Wrong::says(format!("must be text, got {got}")))
    }

    const SECRET: bool = true;
}

impl FromValue for Results {
    fn expected() -> String {
        "a result such as util.SUCCESS or util.WARNINGS".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("Results")
    }

    fn from_value(value: &Value) -> Result<Results, Wrong> {
        whole(value).and_then(|code| Results::try_from(code).ok()).ok_or_else(|| Wrong::must(Self::expected(), value))
    }
}

/// A regular expression, not looked at yet: [`Assembly::regex`](super::assemble::Assembly::regex) does that once for each.
#[derive(Clone, PartialEq, Debug)]
pub struct Pattern(pub String);

impl FromValue for Pattern {
    fn expected() -> String {
        "a regular expression".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("string").or(LuaType::Name("Regex"))
    }

    fn from_value(value: &Value) -> Result<Pattern, Wrong> {
        match value {
            Value::Text(text) => Ok(Pattern(text.clone())),
            other => Err(Wrong::must(Self::expected(), other)),
        }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn expected() -> String {
        format!("{} or None", T::expected())
    }

    fn lua_type() -> LuaType {
        T::lua_type().or(LuaType::Name("None"))
    }

    fn plural() -> String {
        T::plural()
    }

    fn from_value(value: &Value) -> Result<Option<T>, Wrong> {
        match value {
            Value::None => Ok(None),
            other => T::from_value(other).map(Some),
        }
    }

    fn check_template(template: &Template) -> Result<(), Wrong> {
        T::check_template(template)
    }

    const UNUSED: bool = T::UNUSED;

    const RELOAD: Option<Reload> = T::RELOAD;

    const SECRET: bool = T::SECRET;
}

/// The items of a table that is a list, and nothing else.
fn items<'a>(value: &'a Value, expected: &str) -> Result<&'a [Value], Wrong> {
    match value {
        Value::Table(t) => {
            no_strange_key(t)?;
            if let Some(name) = t.named.keys().next() {
                return Err(Wrong::says(format!("must be {expected}, got a table with the name '{name}'")));
            }
            Ok(&t.items)
        }
        other => Err(Wrong::must(expected, other)),
    }
}

pub(super) fn no_strange_key(t: &Table) -> Result<(), Wrong> {
    match t.strange() {
        Some(what) => Err(Wrong::says(format!("has {what}"))),
        None => Ok(()),
    }
}

impl<T: FromValue> FromValue for Vec<T> {
    const SECRET: bool = T::SECRET;

    fn expected() -> String {
        format!("a list of {}", T::plural())
    }

    fn lua_type() -> LuaType {
        LuaType::list(T::lua_type())
    }

    fn from_value(value: &Value) -> Result<Vec<T>, Wrong> {
        let items = items(value, &Self::expected())?;
        items.iter().enumerate().map(|(i, v)| T::from_value(v).map_err(|w| w.inside(item(i)))).collect()
    }
}

/// One value where there could be a list of them.
#[derive(Clone, PartialEq, Debug)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<T: FromValue> FromValue for OneOrMany<T> {
    const SECRET: bool = T::SECRET;

    fn expected() -> String {
        format!("{} or a list of {}", T::expected(), T::plural())
    }

    fn lua_type() -> LuaType {
        T::lua_type().or(LuaType::list(T::lua_type()))
    }

    fn from_value(value: &Value) -> Result<Self, Wrong> {
        match value {
            Value::Table(_) => Vec::from_value(value).map(OneOrMany),
            Value::None => Ok(OneOrMany(Vec::new())),
            one => {
                T::from_value(one).map(|v| OneOrMany(vec![v])).map_err(|wrong| match wrong.says == Wrong::must(T::expected(), one).says {
                    true => Wrong::must(Self::expected(), value),
                    // It says more than what was expected.
                    false => wrong,
                })
            }
        }
    }
}

impl<T: FromValue> FromValue for BTreeMap<String, T> {
    const SECRET: bool = T::SECRET;

    fn expected() -> String {
        format!("a table of names and {}", T::plural())
    }

    fn lua_type() -> LuaType {
        LuaType::table(T::lua_type())
    }

    fn from_value(value: &Value) -> Result<Self, Wrong> {
        let Value::Table(t) = value else { return Err(Wrong::must(Self::expected(), value)) };
        no_strange_key(t)?;
        if !t.items.is_empty() {
            return Err(Wrong::must(Self::expected(), value));
        }
        t.named.iter().map(|(k, v)| Ok((k.clone(), T::from_value(v).map_err(|w| w.inside(field(k)))?))).collect()
    }

    fn check_template(template: &Template) -> Result<(), Wrong> {
        match template {
            Template::List(_) | Template::Interpolate(_) => Err(Wrong::says(format!("must be {}", Self::expected()))),
            Template::Map(entries) => entries.iter().try_for_each(|(k, v)| {
                match v {
                    Template::Const(json) => T::from_value(&Value::from_json(json)).map(drop),
                    dynamic => T::check_template(dynamic),
                }
                .map_err(|w| w.inside(field(k)))
            }),
            _ => Ok(()),
        }
    }
}

/// A table of names and plain values: properties.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Dict(pub Map<String, Json>);

impl FromValue for Dict {
    fn expected() -> String {
        "a table of names and plain values".into()
    }

    fn lua_type() -> LuaType {
        LuaType::table(LuaType::Name("any"))
    }

    fn from_value(value: &Value) -> Result<Dict, Wrong> {
        match value {
            Value::None => Ok(Dict::default()),
            Value::Table(t) if t.items.is_empty() => {
                no_strange_key(t)?;
                let entries = t.named.iter().map(|(k, v)| Ok((k.clone(), json(v).map_err(|w| w.inside(field(k)))?)));
                entries.collect::<Result<_, _>>().map(Dict)
            }
            other => Err(Wrong::must(Self::expected(), other)),
        }
    }
}

/// Plain data; the error has the path to what is not.
pub fn json(value: &Value) -> Result<Json, Wrong> {
    match value {
        Value::Table(t) => {
            no_strange_key(t)?;
            if t.named.is_empty() {
                let items = t.items.iter().enumerate().map(|(i, v)| json(v).map_err(|w| w.inside(item(i))));
                return items.collect::<Result<_, _>>().map(Json::Array);
            }
            if !t.items.is_empty() {
                return Err(Wrong::says("has both items and names: it must be a list or a table of names"));
            }
            let entries = t.named.iter().map(|(k, v)| Ok((k.clone(), json(v).map_err(|w| w.inside(field(k)))?)));
            entries.collect::<Result<_, _>>().map(Json::Object)
        }
        plain => plain.to_json().map_err(|got| Wrong::says(format!("must be plain data, got {got}"))),
    }
}

/// Any plain data.
impl FromValue for Json {
    fn expected() -> String {
        "plain data".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("any")
    }

    fn from_value(value: &Value) -> Result<Json, Wrong> {
        json(value)
    }
}

/// A table whose names are read one by one later.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Settings(pub Arc<Table>);

impl FromValue for Settings {
    fn expected() -> String {
        "a table".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Settings
    }

    fn from_value(value: &Value) -> Result<Settings, Wrong> {
        match value {
            Value::Table(t) => Ok(Settings(t.clone())),
            Value::None => Ok(Settings::default()),
            other => Err(Wrong::must("a table", other)),
        }
    }
}

impl FromValue for Template {
    fn expected() -> String {
        "plain data or something to render".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("any")
    }

    fn from_value(value: &Value) -> Result<Template, Wrong> {
        Template::read(value)
    }
}

impl<T: FromValue> FromValue for Arg<T> {
    fn expected() -> String {
        format!("{}, or something to render", T::expected())
    }

    fn lua_type() -> LuaType {
        T::lua_type().rendered()
    }

    fn plural() -> String {
        T::plural()
    }

    fn from_value(value: &Value) -> Result<Arg<T>, Wrong> {
        if !needs_rendering(value) {
            return T::from_value(value).map(Arg::Const);
        }
        match Template::read_for(value, &T::expected())? {
            Template::Const(json) => T::from_value(&Value::from_json(&json)).map(Arg::Const),
            dynamic => T::check_template(&dynamic).map(|()| Arg::Dynamic(Box::new(dynamic))),
        }
    }

    const SECRET: bool = T::SECRET;
}

fn needs_rendering(value: &Value) -> bool {
    match value {
        Value::Function(_) | Value::Object(_) => true,
        Value::Table(t) => t.items.iter().chain(t.named.values()).any(needs_rendering),
        _ => false,
    }
}
