//! Makes tables and objects for the tests of this room, as the host of Lua would.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::value::{FnRef, Object, OwnClass, Place, Table, Value};

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Int(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value::Float(number)
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Value {
        Value::Bool(b)
    }
}

impl From<&Arc<Object>> for Value {
    fn from(object: &Arc<Object>) -> Value {
        Value::Object(object.clone())
    }
}

impl From<Table> for Value {
    fn from(table: Table) -> Value {
        Value::Table(Arc::new(table))
    }
}

/// `table!["positional", 2; name = value]`
macro_rules! table {
    ($($item:expr),* $(; $($name:ident = $value:expr),* $(,)?)?) => {
        $crate::config::value::Table {
            items: vec![$($crate::config::value::Value::from($item)),*],
            named: $crate::config::named::Named::from_iter([$($((stringify!($name).to_string(), $crate::config::value::Value::from($value)),)*)?]),
            strange_key: None,
        }
    };
}
pub(super) use table;

pub(super) fn place(line: u32) -> Place {
    Place { file: "master.lua".into(), line, from: Vec::new() }
}

pub(super) fn function() -> Value {
    Value::Function(FnRef { id: 1, place: place(99) })
}

/// An instance; its number counts over all tests, so it also orders.
pub(super) fn object(class: &str, line: u32, args: Table) -> Arc<Object> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    // One without `run` is a mistake of its own.
    let methods = (class == "BuildStep").then(|| ["run".to_owned()].into());
    // A class of the host that only its descendants can be used of.
    let custom_class = (class == "LatentWorker").then(|| class.to_owned());
    let call = |name: &str| (name.to_owned(), FnRef { id: 1, place: place(99) });
    let methods_of_own = ["start_instance", "stop_instance", "list_instances"].map(call).into();
    let own = custom_class.is_some().then(|| Arc::new(OwnClass { methods: methods_of_own, ..OwnClass::default() }));
    Arc::new(Object { id, class: class.into(), custom_class, args, methods, code: None, own, place: place(line) })
}

/// The mistakes of one object, as they are shown.
pub(super) fn mistakes_of(object: &Arc<Object>) -> Vec<String> {
    let mistakes = super::assemble::mistakes_of(object);
    mistakes.iter().map(ToString::to_string).collect()
}
