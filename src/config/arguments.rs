//! Which arguments an object was given: by position and by name, each once, none unknown, none missing.
//!
//! [`arguments!`] declares the arguments of a class once; the declaration gives the struct, its reader, the texts of the
//! mistakes and the rows of the reference. Knows no particular class.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::class::{ArgDecl, ClassDecl, Holds};
use super::convert::FromValue;
use super::value::{Object, Table, Value};
use crate::base::suggest;

/// A declared list of arguments.
pub trait Arguments: Sized {
    fn declare(list: &mut Vec<ArgDecl>);

    /// None if any is wrong; all are read nevertheless, so that every mistake is told.
    fn read(reader: &mut Reader) -> Option<Self>;

    fn declared() -> Vec<ArgDecl> {
        let mut list = Vec::new();
        Self::declare(&mut list);
        list
    }
}

/// `[position] "name" | "old name" field: Type = default => "default as shown", "what it is for";`, without a default
/// if it must be given. After the text may stand what a reload does with it, where the class has no rule of its own for all.
/// `include group: Type;` takes over another list.
macro_rules! arguments {
    ($(#[$meta:meta])* $name:ident {
        $(include $group:ident: $group_type:ty;)*
        $( $([$position:literal])? $key:literal $(| $alias:literal)* $field:ident: $type:ty $(= $default:expr => $shown:literal)?, $doc:literal $(, $reload:ident)?; )*
    }) => {
        $(#[$meta])*
        // An argument that is accepted without effect has a field that nobody reads.
        #[allow(dead_code)]
        pub(super) struct $name {
            $(pub $group: $group_type,)*
            $(pub $field: $type,)*
        }

        impl $crate::config::arguments::Arguments for $name {
            fn declare(list: &mut Vec<$crate::config::class::ArgDecl>) {
                $(list.push($crate::config::class::ArgDecl {
                    name: $key,
                    position: arguments!(@optional $($position)?),
                    kind: <$type as $crate::config::convert::FromValue>::expected(),
                    lua_type: <$type as $crate::config::convert::FromValue>::lua_type(),
                    required: arguments!(@required $($shown)?),
                    default: String::new() $(+ $shown)?,
                    doc: $doc,
                    aliases: &[$($alias),*],
                    reload: arguments!(@reload $type $(, $reload)?),
                    secret: <$type as $crate::config::convert::FromValue>::SECRET,
                });)*
                $(<$group_type as $crate::config::arguments::Arguments>::declare(list);)*
            }

            fn read(reader: &mut $crate::config::arguments::Reader) -> Option<$name> {
                $(let $group = <$group_type as $crate::config::arguments::Arguments>::read(reader);)*
                $(let $field: Option<$type> = reader.take($key, arguments!(@default $($default)?));)*
                Some($name { $($group: $group?,)* $($field: $field?,)* })
            }
        }
    };
    (@reload $type:ty) => { <$type as $crate::config::convert::FromValue>::RELOAD };
    (@reload $type:ty, $reload:ident) => { Some($crate::config::class::Reload::$reload) };
    (@optional) => { None };
    (@optional $value:expr) => { Some($value) };
    (@required) => { true };
    (@required $shown:literal) => { false };
    (@default) => { None };
    (@default $default:expr) => { Some($default) };
}
pub(super) use arguments;

/// A default that a class has for an argument of a shared list.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Preset {
    Bool(bool),
    Int(i64),
    Text(&'static str),
    Words(&'static [&'static str]),
}

impl Preset {
    pub fn value(self) -> Value {
        match self {
            Preset::Bool(b) => Value::Bool(b),
            Preset::Int(i) => Value::Int(i),
            Preset::Text(t) => Value::Text(t.into()),
            Preset::Words(words) => {
                Value::Table(Arc::new(Table { items: words.iter().map(|w| Value::Text((*w).into())).collect(), ..Table::default() }))
            }
        }
    }

    pub fn shown(self) -> String {
        match self {
            Preset::Bool(b) => b.to_string(),
            Preset::Int(i) => i.to_string(),
            Preset::Text(t) => format!("{t:?}"),
            Preset::Words(words) => format!("{{ {} }}", words.iter().map(|w| format!("{w:?}")).collect::<Vec<_>>().join(", ")),
        }
    }
}

/// A mistake's text; `of` is the object that it belongs to if that is another one.
#[derive(Clone, PartialEq, Debug)]
pub struct Fault {
    pub text: String,
    pub of: Option<u64>,
    /// The argument that it is about, if it was given: it may have a line of its own.
    pub about: Option<String>,
}

/// The arguments of one object by name, and what was wrong with them so far.
#[derive(Default)]
pub struct Reader {
    given: BTreeMap<&'static str, Value>,
    presets: &'static [(&'static str, Preset)],
    /// `argument`, or `key` of a table of settings.
    noun: &'static str,
    pub mistakes: Vec<Fault>,
    pub warnings: Vec<Warning>,
}

/// A warning; those of one `about` are told once for the whole configuration.
#[derive(Clone, PartialEq, Debug)]
pub struct Warning {
    pub text: String,
    pub about: Option<String>,
    /// The argument that it is about: it may have a line of its own.
    pub name: Option<String>,
}

impl Reader {
    pub fn of_object(class: &ClassDecl, object: &Object) -> Reader {
        let mut reader = Reader { presets: class.presets, noun: "argument", ..Reader::default() };
        if !class.open {
            reader.place(&class.args, &as_first_list(class, &object.args));
            reader.hint_at_lone_table(class, object);
        }
        reader
    }

    /// A table of settings: only names.
    pub fn of_settings(declared: &[ArgDecl], table: &Table) -> Reader {
        let mut reader = Reader { noun: "key", ..Reader::default() };
        reader.place(declared, table);
        reader
    }

    fn place(&mut self, declared: &[ArgDecl], args: &Table) {
        let most = declared.iter().filter_map(|a| a.position).max().unwrap_or(0);
        if args.items.len() > most {
            let got = args.items.len();
            self.wrong(match (self.noun, most) {
                ("key", _) => format!("takes names, not positions, got {got} {}", plural(got, "item")),
                (_, 0) => format!("takes no positional arguments, got {got}"),
                _ => format!("takes at most {most} positional {}, got {got}", plural(most, "argument")),
            });
        }
        for (i, value) in args.items.iter().enumerate() {
            if let Some(arg) = declared.iter().find(|a| a.position == Some(i + 1)) {
                self.given.insert(arg.name, value.clone());
            }
        }
        if let Some(what) = args.strange() {
            self.wrong(format!("has {what}"));
        }
        for (name, value) in args.named.iter() {
            // A key that is a number is told already.
            if args.strange_key.is_some() && name.parse::<i64>().is_ok() {
                continue;
            }
            let Some(arg) = declared.iter().find(|a| a.name == name || a.aliases.contains(&name.as_str())) else {
                self.wrong_of(name, format!("unknown {} '{name}'{}", self.noun, suggest::hint(name, declared.iter().map(|a| a.name))));
                continue;
            };
            if arg.name != name {
                let text = format!("'{name}' is the old spelling of '{}'", arg.name);
                self.warnings.push(Warning { about: Some(text.clone()), text, name: Some(name.clone()) });
            }
            if arg.position.is_some_and(|p| p <= args.items.len()) {
                self.wrong(format!("'{}' given twice, by position and by name", arg.name));
            } else if self.given.insert(arg.name, value.clone()).is_some() {
                self.wrong(format!("'{}' given twice, also by its old name", arg.name));
            }
        }
    }

    /// `X(branch)` with a plain table, where the table was meant as the first argument: it came as the arguments themselves.
    /// And `X(value)` where the class takes names only.
    fn hint_at_lone_table(&mut self, class: &ClassDecl, object: &Object) {
        let args = &object.args;
        let Some(first) = class.args.iter().find(|a| a.position == Some(1)) else {
            let missing = class.args.iter().find(|a| a.required && !args.named.contains_key(a.name));
            if let (Some(arg), Some(told), false) = (missing, self.mistakes.first_mut(), args.items.is_empty()) {
                told.text.push_str(&format!("; write {} = …", arg.name));
            }
            return;
        };
        let known = |name: &String| class.args.iter().any(|a| a.name == name || a.aliases.contains(&name.as_str()));
        let nearly = |name: &str| suggest::nearest(name, class.args.iter().map(|a| a.name)).is_some();
        if class.holds == Some(Holds::Names) && args.items.is_empty() && !args.named.contains_key(first.name) {
            if let Some(told) = self.mistakes.iter_mut().find(|m| m.about.is_some()) {
                told.text.push_str(&format!("; beside other arguments write {} = {{ … }}", first.name));
            }
            return;
        }
        let names = args.items.is_empty() && !args.named.is_empty() && !args.named.keys().any(|n| known(n) || nearly(n));
        let most = class.args.iter().filter_map(|a| a.position).max().unwrap_or(0);
        let items = args.items.len() > most && args.named.is_empty() && first.kind.contains("list");
        if !names && !items {
            return;
        }
        let shown = object.custom_class.as_deref().unwrap_or(class.name);
        let takes_table = ["list", "table", "values", "anything"].iter().any(|word| first.kind.contains(word));
        if let Some(told) = self.mistakes.last_mut() {
            told.text.push_str("; a lone table is the argument table");
            if takes_table {
                told.text.push_str(&format!(": to give it as '{}' write {shown}{{ {{ … }} }}", first.name));
            }
        }
    }

    /// The argument `name`, its class's own default, the default, or a mistake.
    pub fn take<T: FromValue>(&mut self, name: &'static str, default: Option<T>) -> Option<T> {
        let preset = || self.presets.iter().find(|(n, _)| *n == name).map(|(_, preset)| preset.value());
        let given = self.given.remove(name);
        if T::UNUSED && given.as_ref().is_some_and(|v| *v != Value::None) {
            self.warn_of(name, format!("'{name}' is not used yet"));
        }
        let Some(value) = given.or_else(preset) else {
            if default.is_none() {
                self.wrong(format!("missing {} '{name}'", self.noun));
            }
            return default;
        };
        match T::from_value(&value) {
            Ok(read) => Some(read),
            Err(wrong) => {
                self.mistakes.push(Fault { text: wrong.told(name), of: wrong.of, about: Some(name.into()) });
                None
            }
        }
    }

    pub fn wrong(&mut self, text: impl Into<String>) {
        self.mistakes.push(Fault { text: text.into(), of: None, about: None });
    }

    /// About one argument.
    pub fn wrong_of(&mut self, name: &str, text: impl Into<String>) {
        self.mistakes.push(Fault { text: text.into(), of: None, about: Some(name.to_owned()) });
    }

    pub fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(Warning { text: text.into(), about: None, name: None });
    }

    /// About one argument.
    pub fn warn_of(&mut self, name: &str, text: impl Into<String>) {
        self.warnings.push(Warning { text: text.into(), about: None, name: Some(name.to_owned()) });
    }

    pub fn warn_once(&mut self, text: impl Into<String>) {
        let text = text.into();
        self.warnings.push(Warning { about: Some(text.clone()), text, name: None });
    }
}

/// The declared arguments of an instance, each with what was given for it.
pub fn given_arguments<'a>(class: &'a ClassDecl, object: &Object) -> Vec<(&'a ArgDecl, Option<Value>)> {
    let args = as_first_list(class, &object.args);
    let given = |arg: &ArgDecl| {
        let named = std::iter::once(arg.name).chain(arg.aliases.iter().copied()).find_map(|name| args.named.get(name));
        named.or_else(|| args.items.get(arg.position?.checked_sub(1)?)).cloned()
    };
    class.args.iter().map(|arg| (arg, given(arg))).collect()
}

/// A class that takes a list first may be given the list's items directly: `BuildFactory{ step, step }`.
pub(super) fn as_first_list(class: &ClassDecl, args: &Table) -> Table {
    let Some(holds) = class.holds else { return args.clone() };
    let held = |v: &Value| matches!(v, Value::Object(o) if holds.fits(&o.class));
    if !args.items.iter().any(held) {
        return args.clone();
    }
    let items = args.items.iter().flat_map(|v| match v {
        Value::Table(t) if t.named.is_empty() && t.items.iter().all(held) => t.items.clone(),
        one => vec![one.clone()],
    });
    let list = Value::Table(Arc::new(Table { items: items.collect(), ..Table::default() }));
    Table { items: vec![list], named: args.named.clone(), strange_key: args.strange_key.clone() }
}

pub(super) fn plural(count: usize, word: &str) -> String {
    if count == 1 { word.into() } else { format!("{word}s") }
}
