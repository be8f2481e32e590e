//! What do the arguments and results of PB calls mean? Jelly: Banana lists with a tag, to and from [`Value`], and from
//! there to commands and updates.
//!
//! Shared values are copied where they are referred to, and the sum of all copies has a bound; a value within itself is
//! refused. It never makes objects of the classes that a peer names.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use super::banana::{Banana, MAX_STRING, put_bytes, put_float, put_int, put_list};
use super::commands::{Arg, Command, Update};

/// Copies of shared values may weigh this much in one message, at [`NODE`] and its bytes for each.
const MAX_COPIES: usize = 4 * 1024 * 1024;
const NODE: usize = 32;
/// Shared values can nest what the Banana below does not.
const MAX_DEPTH: usize = 200;

#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Bytes(Bytes),
    /// UTF-8, if the peer keeps its word.
    Text(Bytes),
    Tuple(Vec<Value>),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    /// An object of the sender.
    Remote(i64),
    /// An object of the receiver.
    Local(i64),
    /// An object by value: its class and state. Only failures come like this.
    Copied(String, Box<Value>),
    Unpersistable(String),
}

#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum JellyError {
    #[error("a list without a tag")]
    Untagged,
    #[error("form '{0}' is not understood")]
    Form(String),
    #[error("malformed '{0}'")]
    Malformed(&'static str),
    #[error("a reference to number {0}, which is not known before it")]
    Dangling(i64),
    #[error("shared values would take too much room")]
    TooMuch,
}

/// A failure as a peer tells it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Failure {
    /// The qualified class name.
    pub kind: String,
    pub value: String,
    pub traceback: String,
}

impl Failure {
    pub fn new(kind: &str, value: impl Into<String>) -> Failure {
        Failure { kind: kind.to_owned(), value: value.into(), traceback: String::new() }
    }

    /// From the argument of `complete` or an error reply; anything that is no failure is shown as it is.
    pub fn from_value(value: &Value) -> Failure {
        match value {
            Value::Copied(_, state) => {
                let part = |name| state.get(name).map(Value::to_text).unwrap_or_default();
                Failure { kind: part("type"), value: part("value"), traceback: part("traceback") }
            }
            Value::Unpersistable(why) => Failure::new("unpersistable", why.clone()),
            other => Failure::new("failure", other.to_text()),
        }
    }

    /// Type and text on the first line, then the traceback if there is a real one.
    pub fn story(&self) -> String {
        let traceback = self.traceback.trim_end();
        if traceback.is_empty() || traceback == "Traceback unavailable" { self.to_string() } else { format!("{self}\n{traceback}") }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.kind.as_str(), self.value.as_str()) {
            ("", value) => f.write_str(value),
            (kind, "") => f.write_str(kind),
            (kind, value) => write!(f, "{kind}: {value}"),
        }
    }
}

/// What was shared, and its weight and height, for where it is referred to.
struct Shared {
    value: Value,
    weight: usize,
    height: usize,
}

#[derive(Default)]
struct Reader {
    shared: HashMap<i64, Shared>,
    copies: usize,
}

impl Value {
    pub fn text(text: &str) -> Value {
        Value::Text(Bytes::copy_from_slice(text.as_bytes()))
    }

    /// One jellied value.
    pub fn from_banana(banana: Banana) -> Result<Value, JellyError> {
        Reader::default().read(banana, 0)
    }

    /// The value under a text key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let Value::Dict(pairs) = self else { return None };
        pairs.iter().find(|(k, _)| k.as_bytes().is_some_and(|k| k == key.as_bytes())).map(|(_, value)| value)
    }

    /// Text or raw bytes: workers on Python 2 send either where text is meant.
    pub fn as_bytes(&self) -> Option<&Bytes> {
        match self {
            Value::Text(bytes) | Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    fn into_bytes(self) -> Option<Bytes> {
        match self {
            Value::Text(bytes) | Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(value) => Some(*value),
            Value::Bool(value) => Some((*value).into()),
            Value::Float(value) => Some(*value as i64),
            _ => None,
        }
    }

    /// For people; what is no text is shown as one.
    pub fn to_text(&self) -> String {
        match self {
            Value::Text(bytes) | Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Value::Int(value) => value.to_string(),
            Value::Float(value) => value.to_string(),
            Value::Bool(value) => value.to_string(),
            Value::None => String::new(),
            Value::Unpersistable(why) => why.clone(),
            Value::Tuple(_) | Value::List(_) | Value::Dict(_) => "(a collection)".to_owned(),
            Value::Remote(_) | Value::Local(_) | Value::Copied(..) => "(an object)".to_owned(),
        }
    }

    /// The items of a list or tuple.
    pub fn into_items(self) -> Option<Vec<Value>> {
        match self {
            Value::List(items) | Value::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// Calls `found` for each object of the sender in here: for each one a `decref` is owed.
    pub fn each_remote(&self, found: &mut dyn FnMut(i64)) {
        match self {
            Value::Remote(id) => found(*id),
            Value::Tuple(items) | Value::List(items) => items.iter().for_each(|item| item.each_remote(found)),
            Value::Dict(pairs) => pairs.iter().for_each(|(key, value)| {
                key.each_remote(found);
                value.each_remote(found);
            }),
            Value::Copied(_, state) => state.each_remote(found),
            _ => {}
        }
    }

    /// What a copy of it takes.
    fn weigh(&self) -> (usize, usize) {
        let sum = |values: &mut dyn Iterator<Item = &Value>| {
            values.map(Value::weigh).fold((NODE, 0), |(weight, height), (w, h)| (weight + w, height.max(h + 1)))
        };
        match self {
            Value::Text(bytes) | Value::Bytes(bytes) => (NODE + bytes.len(), 0),
            Value::Unpersistable(why) => (NODE + why.len(), 0),
            Value::Tuple(items) | Value::List(items) => sum(&mut items.iter()),
            Value::Dict(pairs) => sum(&mut pairs.iter().flat_map(|(key, value)| [key, value])),
            Value::Copied(class, state) => {
                let (weight, height) = state.weigh();
                (NODE + class.len() + weight, height + 1)
            }
            _ => (NODE, 0),
        }
    }

    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Value::None => tag(out, "None", 0),
            Value::Bool(value) => {
                tag(out, "boolean", 1);
                put_bytes(out, if *value { b"true" } else { b"false" });
            }
            Value::Int(value) => put_int(out, *value),
            Value::Float(value) => put_float(out, *value),
            Value::Bytes(bytes) => put_bytes(out, bytes),
            Value::Text(text) => {
                tag(out, "unicode", 1);
                put_bytes(out, text);
            }
            Value::Tuple(items) => {
                tag(out, "tuple", items.len());
                items.iter().for_each(|item| item.encode(out));
            }
            Value::List(items) => {
                tag(out, "list", items.len());
                items.iter().for_each(|item| item.encode(out));
            }
            Value::Dict(pairs) => {
                tag(out, "dictionary", pairs.len());
                for (key, value) in pairs {
                    put_list(out, 2);
                    key.encode(out);
                    value.encode(out);
                }
            }
            Value::Remote(id) | Value::Local(id) => {
                tag(out, if matches!(self, Value::Remote(_)) { "remote" } else { "local" }, 1);
                put_int(out, *id);
            }
            Value::Copied(class, state) => {
                tag(out, class, 1);
                state.encode(out);
            }
            Value::Unpersistable(why) => {
                tag(out, "unpersistable", 1);
                put_bytes(out, why.as_bytes());
            }
        }
    }
}

/// A tagged list of so many items, which must follow.
fn tag(out: &mut BytesMut, name: &str, items: usize) {
    put_list(out, items + 1);
    put_bytes(out, name.as_bytes());
}

impl Reader {
    fn read(&mut self, banana: Banana, depth: usize) -> Result<Value, JellyError> {
        if depth > MAX_DEPTH {
            return Err(JellyError::TooMuch);
        }
        let items = match banana {
            Banana::Int(value) => return Ok(Value::Int(value)),
            Banana::Float(value) => return Ok(Value::Float(value)),
            Banana::Bytes(bytes) => return Ok(Value::Bytes(bytes)),
            Banana::List(items) => items,
        };
        let mut items = items.into_iter();
        let Some(Banana::Bytes(form)) = items.next() else { return Err(JellyError::Untagged) };
        Ok(match &form[..] {
            b"None" => Value::None,
            b"boolean" => match items.next() {
                Some(Banana::Bytes(word)) => Value::Bool(&word[..] == b"true"),
                _ => return Err(JellyError::Malformed("boolean")),
            },
            b"unicode" => match items.next() {
                Some(Banana::Bytes(text)) => Value::Text(text),
                _ => return Err(JellyError::Malformed("unicode")),
            },
            b"tuple" => Value::Tuple(self.read_all(items, depth)?),
            b"list" | b"set" | b"frozenset" => Value::List(self.read_all(items, depth)?),
            b"dictionary" => {
                let mut pairs = Vec::with_capacity(items.len());
                for pair in items {
                    let Banana::List(pair) = pair else { return Err(JellyError::Malformed("dictionary")) };
                    let Ok([key, value]) = <[Banana; 2]>::try_from(pair) else { return Err(JellyError::Malformed("dictionary")) };
                    pairs.push((self.read(key, depth + 1)?, self.read(value, depth + 1)?));
                }
                Value::Dict(pairs)
            }
            b"remote" => Value::Remote(number(items.next()).ok_or(JellyError::Malformed("remote"))?),
            b"local" => Value::Local(number(items.next()).ok_or(JellyError::Malformed("local"))?),
            b"unpersistable" => match items.next() {
                Some(Banana::Bytes(why)) => Value::Unpersistable(String::from_utf8_lossy(&why).into_owned()),
                _ => Value::Unpersistable(String::new()),
            },
            b"reference" => {
                let (Some(number), Some(inner)) = (number(items.next()), items.next()) else {
                    return Err(JellyError::Malformed("reference"));
                };
                let value = self.read(inner, depth + 1)?;
                let (weight, height) = value.weigh();
                // The table holds a copy too.
                self.afford(weight)?;
                self.shared.insert(number, Shared { value: value.clone(), weight, height });
                value
            }
            b"dereference" => {
                let number = number(items.next()).ok_or(JellyError::Malformed("dereference"))?;
                let shared = self.shared.get(&number).ok_or(JellyError::Dangling(number))?;
                let (weight, height) = (shared.weight, shared.height);
                if depth + height > MAX_DEPTH {
                    return Err(JellyError::TooMuch);
                }
                self.afford(weight)?;
                self.shared[&number].value.clone()
            }
            class if class.contains(&b'.') => {
                let state = items.next().ok_or(JellyError::Malformed("copied object"))?;
                Value::Copied(String::from_utf8_lossy(class).into_owned(), Box::new(self.read(state, depth + 1)?))
            }
            other => return Err(JellyError::Form(String::from_utf8_lossy(&other[..other.len().min(60)]).into_owned())),
        })
    }

    fn read_all(&mut self, items: impl Iterator<Item = Banana>, depth: usize) -> Result<Vec<Value>, JellyError> {
        items.map(|item| self.read(item, depth + 1)).collect()
    }

    fn afford(&mut self, weight: usize) -> Result<(), JellyError> {
        self.copies = self.copies.saturating_add(weight);
        if self.copies > MAX_COPIES { Err(JellyError::TooMuch) } else { Ok(()) }
    }
}

fn number(item: Option<Banana>) -> Option<i64> {
    match item {
        Some(Banana::Int(value)) => Some(value),
        _ => None,
    }
}

impl From<&Arg> for Value {
    fn from(arg: &Arg) -> Value {
        match arg {
            Arg::None => Value::None,
            Arg::Bool(value) => Value::Bool(*value),
            Arg::Int(value) => Value::Int(*value),
            Arg::Float(value) => Value::Float(*value),
            Arg::Text(text) => Value::text(text),
            Arg::Bytes(bytes) => Value::Bytes(bytes.clone()),
            Arg::List(items) => Value::List(items.iter().map(Value::from).collect()),
            Arg::Tuple(items) => Value::Tuple(items.iter().map(Value::from).collect()),
            Arg::Map(pairs) => dict(pairs),
        }
    }
}

fn dict(pairs: &[(String, Arg)]) -> Value {
    Value::Dict(pairs.iter().map(|(key, value)| (Value::text(key), Value::from(value))).collect())
}

impl Command {
    /// The arguments, as the last one of `startCommand`. An error says which one is longer than a worker takes.
    pub fn to_jelly(&self) -> Result<Value, String> {
        for (key, arg) in &self.args {
            let longest = longest(arg).max(key.len());
            if longest > MAX_STRING {
                return Err(format!(
                    "argument '{key}' of the command '{}' has a text of {longest} bytes; a worker takes at most {MAX_STRING}",
                    self.name
                ));
            }
        }
        Ok(dict(&self.args))
    }
}

fn longest(arg: &Arg) -> usize {
    match arg {
        Arg::Text(text) => text.len(),
        Arg::Bytes(bytes) => bytes.len(),
        Arg::List(items) | Arg::Tuple(items) => items.iter().map(longest).max().unwrap_or(0),
        Arg::Map(pairs) => pairs.iter().map(|(key, value)| key.len().max(longest(value))).max().unwrap_or(0),
        _ => 0,
    }
}

/// The updates in the argument of `update`: a list of pairs of a dictionary and a number. Keys that are not known and
/// values that are not what the key promises are left out.
pub fn updates(argument: Value) -> Vec<Update> {
    let mut found = Vec::new();
    for entry in argument.into_items().unwrap_or_default() {
        let Some(Value::Dict(pairs)) = entry.into_items().and_then(|pair| pair.into_iter().next()) else { continue };
        found.extend(pairs.into_iter().filter_map(|(key, value)| update(key.as_bytes()?, value)));
    }
    found
}

fn update(key: &[u8], value: Value) -> Option<Update> {
    Some(match key {
        b"stdout" => Update::Stdout(value.into_bytes()?),
        b"stderr" => Update::Stderr(value.into_bytes()?),
        b"header" => Update::Header(value.into_bytes()?),
        b"log" => {
            let [name, text] = <[Value; 2]>::try_from(value.into_items()?).ok()?;
            Update::Log(name.to_text(), text.into_bytes()?)
        }
        b"rc" => Update::Rc(value.as_int()?),
        b"elapsed" => Update::Elapsed(match value {
            Value::Float(seconds) => seconds,
            other => other.as_int()? as f64,
        }),
        b"failure_reason" => Update::FailureReason(value.to_text()),
        b"files" => Update::Files(value.into_items()?.iter().map(Value::to_text).collect()),
        b"stat" => Update::Stat(value.into_items()?.iter().map(Value::as_int).collect::<Option<_>>()?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::banana::{Decoder, Limits};
    use super::*;

    fn banana(value: &Value) -> Banana {
        let mut decoder = Decoder::new(Limits::WORKER);
        value.encode(decoder.buffer());
        decoder.decode().unwrap().unwrap()
    }

    fn word(text: &str) -> Banana {
        Banana::Bytes(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn form<const N: usize>(tag: &str, items: [Banana; N]) -> Banana {
        Banana::List(std::iter::once(word(tag)).chain(items).collect())
    }

    #[test]
    fn shared_values_are_copied() {
        let shared = form("reference", [Banana::Int(1), form("tuple", [])]);
        let both = form("list", [shared, form("dereference", [Banana::Int(1)])]);
        assert_eq!(Value::from_banana(both), Ok(Value::List(vec![Value::Tuple(vec![]), Value::Tuple(vec![])])));
    }

    #[test]
    fn cycles_and_floods_of_copies_are_refused() {
        let cycle = form("reference", [Banana::Int(1), form("list", [form("dereference", [Banana::Int(1)])])]);
        assert_eq!(Value::from_banana(cycle), Err(JellyError::Dangling(1)));

        let again = |n| form("dereference", [Banana::Int(n)]);
        let mut laughs = vec![word("list"), form("reference", [Banana::Int(0), form("list", [word("ha")])])];
        for n in 1..60 {
            laughs.push(form("reference", [Banana::Int(n), form("list", [again(n - 1), again(n - 1), again(n - 1)])]));
        }
        assert_eq!(Value::from_banana(Banana::List(laughs)), Err(JellyError::TooMuch));

        let mut deep = vec![word("list"), form("reference", [Banana::Int(0), form("list", [])])];
        for n in 1..1000 {
            deep.push(form("reference", [Banana::Int(n), form("list", [again(n - 1)])]));
        }
        assert_eq!(Value::from_banana(Banana::List(deep)), Err(JellyError::TooMuch));
    }

    #[test]
    fn malformed_forms_are_errors() {
        for bad in [
            Banana::List(vec![]),
            form("dictionary", [word("x")]),
            form("unicode", []),
            form("instance", [word("x")]),
            form("remote", [word("1")]),
            form("reference", [Banana::Int(1)]),
        ] {
            assert!(Value::from_banana(bad.clone()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn updates_of_old_and_new_workers() {
        let text = |t: &str| Value::text(t);
        let raw = |t: &'static str| Value::Bytes(Bytes::from_static(t.as_bytes()));
        let dict = Value::Dict(vec![
            (raw("rc"), Value::Int(1)),
            (text("stderr"), raw("caf\u{e9}")),
            (text("log"), Value::Tuple(vec![text("test.log"), text("line\n")])),
            (text("stat"), Value::Tuple((0..10).map(Value::Int).collect())),
            (text("unheard of"), Value::None),
            (text("stdout"), Value::Int(3)),
        ]);
        let found = updates(Value::List(vec![Value::List(vec![dict, Value::Int(0)])]));
        assert_eq!(
            found,
            vec![
                Update::Rc(1),
                Update::Stderr(Bytes::from_static("caf\u{e9}".as_bytes())),
                Update::Log("test.log".into(), Bytes::from_static(b"line\n")),
                Update::Stat((0..10).collect()),
            ]
        );
        assert_eq!(updates(Value::Int(1)), vec![]);
    }

    #[test]
    fn texts_are_not_copied() {
        let mut decoder = Decoder::new(Limits::WORKER);
        let text = Value::Text(Bytes::from(vec![b'x'; 5000]));
        Value::List(vec![Value::List(vec![Value::Dict(vec![(Value::text("stdout"), text)]), Value::Int(0)])]).encode(decoder.buffer());
        let buffer = decoder.buffer().as_ptr_range();
        let found = updates(Value::from_banana(decoder.decode().unwrap().unwrap()).unwrap());
        let [Update::Stdout(text)] = &found[..] else { panic!("{found:?}") };
        assert!(buffer.contains(&text.as_ptr()));
    }

    #[test]
    fn a_text_that_no_worker_takes_is_named() {
        let long = Arg::List(vec![Arg::Text("x".repeat(MAX_STRING + 1))]);
        let command = Command { name: "shell".into(), args: vec![("command".into(), long)] };
        assert_eq!(
            command.to_jelly(),
            Err("argument 'command' of the command 'shell' has a text of 655361 bytes; a worker takes at most 655360".into())
        );
    }

    fn value() -> impl Strategy<Value = Value> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from);
        let leaf = prop_oneof![
            Just(Value::None),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            (-1e9..1e9f64).prop_map(Value::Float),
            bytes().prop_map(Value::Bytes),
            "\\PC{0,10}".prop_map(|t| Value::text(&t)),
            any::<i64>().prop_map(Value::Remote),
            any::<i64>().prop_map(Value::Local),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Tuple),
                proptest::collection::vec((inner.clone(), inner.clone()), 0..4).prop_map(Value::Dict),
                inner.prop_map(|state| Value::Copied("some.Class".into(), Box::new(state))),
            ]
        })
    }

    fn forms() -> impl Strategy<Value = Banana> {
        let tags = &["None", "boolean", "unicode", "tuple", "list", "dictionary", "reference", "dereference", "remote", "a.b"][..];
        let leaf = prop_oneof![(-2i64..5).prop_map(Banana::Int), proptest::sample::select(tags).prop_map(word)];
        leaf.prop_recursive(6, 60, 5, move |inner| {
            (proptest::sample::select(tags), proptest::collection::vec(inner, 0..5))
                .prop_map(|(tag, items)| Banana::List(std::iter::once(word(tag)).chain(items).collect()))
        })
    }

    proptest! {
        #[test]
        fn comes_back(value in value()) {
            prop_assert_eq!(Value::from_banana(banana(&value)), Ok(value));
        }

        #[test]
        fn noise_never_panics(noise in forms()) {
            if let Ok(value) = Value::from_banana(noise) {
                prop_assert!(value.weigh().0 <= MAX_COPIES * 2);
                updates(value);
            }
        }
    }
}
