//! What a configuration file said, before it is understood: values of Lua as plain data, each with its place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::named::Named;

/// Where something was said: the line of the constructor, and the nearest line of each file that led there.
#[derive(Clone, PartialEq, Eq, Debug, Default, PartialOrd, Ord, Hash)]
pub struct Place {
    pub file: Arc<str>,
    pub line: u32,
    pub from: Vec<(Arc<str>, u32)>,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)?;
        if !self.from.is_empty() {
            let from: Vec<String> = self.from.iter().map(|(file, line)| format!("{file}:{line}")).collect();
            write!(f, " (from {})", from.join(", "))?;
        }
        Ok(())
    }
}

/// A mistake in a configuration: `master.lua:12: Worker "bot-linux": unknown argument 'max_build' (…)`.
#[derive(Clone, PartialEq, Debug)]
pub struct Mistake {
    pub place: Place,
    /// What it is about: `Worker "bot-linux"`, or nothing.
    pub subject: String,
    pub text: String,
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.place.line > 0 {
            write!(f, "{}: ", self.place)?;
        } else if !self.place.file.is_empty() {
            write!(f, "{}: ", self.place.file)?;
        }
        if !self.subject.is_empty() {
            write!(f, "{}: ", self.subject)?;
        }
        f.write_str(&self.text)
    }
}

/// A Lua function, by its number in the generation that evaluated the file.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct FnRef {
    pub id: u32,
    pub place: Place,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// The global `None`: explicitly nothing.
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// A string that is not UTF-8.
    Bytes(Vec<u8>),
    Table(Arc<Table>),
    Function(FnRef),
    Object(Arc<Object>),
    /// Something a configuration has no use for: the name of its Lua type.
    Other(&'static str),
}

/// A Lua table: items 1 to n, and named values (by name; the order of `pairs` never shows).
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Table {
    pub items: Vec<Value>,
    pub named: Named,
    /// A key that is neither, if there was one (`[2.5]`, `[true]`, an index beyond a hole).
    pub strange_key: Option<String>,
}

impl Table {
    /// What is to be said of a key that is neither a name nor the next position, with the mend where it follows a hole.
    pub(super) fn strange(&self) -> Option<String> {
        let key = self.strange_key.as_ref()?;
        let text = format!("the key {key}, which is neither a name nor the next position");
        let hole = self.items.len() + 1;
        let number = key.trim_matches(['[', ']']).parse::<usize>();
        Some(if number.is_ok_and(|n| n > hole) { format!("{text}: [{hole}] is nil; where nothing is meant, write None") } else { text })
    }
}

/// An instance of a declared class, with the arguments it was made with. Two references to one instance share the `Arc`.
#[derive(Clone, PartialEq, Debug)]
pub struct Object {
    /// Counts constructions, so it tells instances apart and orders them.
    pub id: u64,
    /// The declared class: `Worker`.
    pub class: String,
    /// The name of the class that the file made by `extend`, if it did.
    pub custom_class: Option<String>,
    /// Positional items and named arguments, as given.
    pub args: Table,
    /// Names of the methods that its classes define, if the file made them by `extend` and an instance may need them later.
    pub methods: Option<BTreeSet<String>>,
    /// All functions that its classes define, by name, where instances of the class work later.
    pub code: Option<Arc<Table>>,
    /// Of a class of the file's own whose instances the host calls by themselves.
    pub own: Option<Arc<OwnClass>>,
    pub place: Place,
}

/// What a class of the file adds to an instance.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct OwnClass {
    /// The methods that the host calls, each bound to the instance.
    pub methods: BTreeMap<String, FnRef>,
    /// What the arguments that it declares were given.
    pub args: Arc<Table>,
    /// The names of those that are something to render.
    pub rendered: Vec<String>,
    /// A handle says where its machine is, whatever the arguments are.
    pub stops_by_handle: bool,
}

/// `a Worker`, `an Interpolate`
pub fn with_article(class: &str) -> String {
    format!("{} {class}", if class.starts_with(['A', 'E', 'I', 'O']) { "an" } else { "a" })
}

impl Value {
    /// What it is, in the words of a mistake: `the text "x"`, `a list`, `a Worker`.
    pub fn describe(&self) -> String {
        match self {
            Value::None => "None".into(),
            Value::Bool(b) => b.to_string(),
            Value::Int(i) => i.to_string(),
            Value::Float(x) => format!("{x:?}"),
            Value::Text(t) if t.chars().count() > 40 => format!("\"{}…\"", t.chars().take(40).collect::<String>()),
            Value::Text(t) => format!("{t:?}"),
            Value::Bytes(_) => "text that is not UTF-8".into(),
            Value::Table(t) if t.items.is_empty() && t.named.is_empty() => "an empty table".into(),
            Value::Table(t) if t.named.is_empty() => "a list".into(),
            Value::Table(_) => "a table".into(),
            Value::Function(f) if f.place.file.is_empty() => "a function of the library".into(),
            Value::Function(f) => format!("a function ({})", f.place),
            Value::Object(o) => with_article(o.custom_class.as_ref().unwrap_or(&o.class)),
            Value::Other(kind) => format!("a {kind}"),
        }
    }

    /// As JSON, if it is plain data. The error is the path and description of what is not.
    pub fn to_json(&self) -> Result<serde_json::Value, String> {
        use serde_json::Value as Json;
        Ok(match self {
            Value::None => Json::Null,
            Value::Bool(b) => Json::Bool(*b),
            Value::Int(i) => Json::from(*i),
            Value::Float(x) => {
                serde_json::Number::from_f64(*x).map(Json::Number).ok_or_else(|| format!("{x} is no number that can be kept"))?
            }
            Value::Text(t) => Json::String(t.clone()),
            Value::Table(t) => {
                if let Some(key) = &t.strange_key {
                    return Err(format!("the key {key}"));
                }
                match (t.items.is_empty(), t.named.is_empty()) {
                    (_, true) => Json::Array(
                        t.items
                            .iter()
                            .enumerate()
                            .map(|(i, v)| v.to_json().map_err(|e| format!("[{}]: {e}", i + 1)))
                            .collect::<Result<_, _>>()?,
                    ),
                    (true, false) => Json::Object(
                        t.named
                            .iter()
                            .map(|(k, v)| Ok((k.clone(), v.to_json().map_err(|e| format!("{k}: {e}"))?)))
                            .collect::<Result<_, String>>()?,
                    ),
                    _ => return Err("a table with both items and names".into()),
                }
            }
            other => return Err(other.describe()),
        })
    }

    /// Plain data back from JSON.
    pub fn from_json(json: &serde_json::Value) -> Value {
        use serde_json::Value as Json;
        match json {
            Json::Null => Value::None,
            Json::Bool(b) => Value::Bool(*b),
            Json::Number(n) => n.as_i64().map_or_else(|| Value::Float(n.as_f64().unwrap_or(f64::NAN)), Value::Int),
            Json::String(t) => Value::Text(t.clone()),
            Json::Array(items) => Value::Table(Arc::new(Table { items: items.iter().map(Value::from_json).collect(), ..Table::default() })),
            Json::Object(map) => Value::Table(Arc::new(Table {
                named: map.iter().map(|(k, v)| (k.clone(), Value::from_json(v))).collect(),
                ..Table::default()
            })),
        }
    }
}
