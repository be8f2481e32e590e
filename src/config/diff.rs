//! What is different between two configurations, object by object and argument by argument, and what comes of each difference. Pure.
//!
//! What a file said is compared, not what became of it: an argument that is left out is its default, lines and the order of
//! `pairs` do not count. A function is the same if its text is; what its text refers to is not looked at. (A reload puts the new
//! functions to work in any case.)

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::arguments::as_first_list;
use super::assemble::{name_of, subject};
use super::class::{ArgDecl, Kind as ClassKind, Reload, class_named};
use super::root;
use super::spec::MasterConfig;
use super::value::{FnRef, Object, OwnClass, Table, Value};

/// More are counted: a file that was turned around is not read line by line.
const MOST_CHANGES: usize = 1000;
const MOST_FIELDS: usize = 20;
const LONGEST_VALUE: usize = 120;

/// What a configuration was made of.
#[derive(Clone, Default)]
pub struct Said {
    pub root: Arc<Table>,
    /// Workers, builders, schedulers, reporters.
    pub objects: Arc<Vec<Arc<Object>>>,
    /// A digest of each function's text, by its number.
    pub functions: Arc<HashMap<u32, u64>>,
    /// Of reporters, which may go without a name; by the number of the object.
    pub derived_names: Arc<HashMap<u64, String>>,
}

/// It holds passwords.
impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Said({} objects)", self.objects.len())
    }
}

/// All differences: workers, builders, schedulers and reporters in their order, then the keys of `BuildmasterConfig`.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Changes {
    pub list: Vec<Change>,
    /// Beyond those that are kept.
    pub more: usize,
}

impl Changes {
    fn push(&mut self, change: Change) {
        if self.list.len() < MOST_CHANGES {
            self.list.push(change);
        } else {
            self.more += 1;
        }
    }

    pub fn summary(&self) -> String {
        match self.list.len() + self.more {
            0 => "no object is different".into(),
            1 => "1 object is different".into(),
            n => format!("{n} objects are different"),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Added,
    Removed,
    Changed,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Added => "added",
            Kind::Removed => "removed",
            Kind::Changed => "changed",
        }
    }
}

/// The difference of one object.
#[derive(Clone, PartialEq, Debug)]
pub struct Change {
    pub kind: Kind,
    /// `Worker "bot-linux"`.
    pub object: String,
    /// Of a changed one.
    pub fields: Vec<Field>,
    /// Further fields, beyond those that are kept.
    pub more: usize,
    /// What comes of an object that is new or gone.
    pub behaviour: &'static str,
}

/// An argument that is different; one within another is named by its path: `factory.steps[2].command`.
#[derive(Clone, PartialEq, Debug)]
pub struct Field {
    pub name: String,
    pub old: String,
    pub new: String,
    pub reload: Reload,
}

impl Change {
    pub fn to_json(&self) -> Json {
        let field = |f: &Field| json!({ "name": f.name, "old": f.old, "new": f.new, "behaviour": f.reload.text() });
        json!({
            "kind": self.kind.name(), "object": self.object, "fields": self.fields.iter().map(field).collect::<Vec<_>>(),
            "more_fields": self.more, "behaviour": self.behaviour, "text": self.to_string(),
        })
    }
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.object, self.kind.name(), self.behaviour)?;
        for (i, field) in self.fields.iter().enumerate() {
            let comma = if i > 0 { "; " } else { "" };
            write!(f, "{comma}{} {} → {} ({})", field.name, field.old, field.new, field.reload.text())?;
        }
        if self.more > 0 {
            write!(f, "; and {} more", self.more)?;
        }
        Ok(())
    }
}

/// What is different in `new`.
pub fn diff(old: &MasterConfig, new: &MasterConfig) -> Changes {
    let mut comparison = Comparison { old: &old.said, new: &new.said, same: HashMap::new() };
    let mut changes = Changes::default();
    let before = by_name(&old.said);
    let after = by_name(&new.said);
    for object in new.said.objects.iter() {
        let Some(known) = key(&new.said, object).and_then(|key| before.get(&key)) else {
            changes.push(whole(Kind::Added, object));
            continue;
        };
        let mut fields = Fields::default();
        comparison.object("", known, object, Reload::Drain, &mut fields);
        fields.tell(subject(object), &mut changes);
    }
    for object in old.said.objects.iter() {
        if key(&old.said, object).is_none_or(|key| !after.contains_key(&key)) {
            changes.push(whole(Kind::Removed, object));
        }
    }
    let mut fields = Fields::default();
    comparison.settings("", &root::keys(), &old.said.root, &new.said.root, &mut fields);
    fields.tell("BuildmasterConfig".into(), &mut changes);
    changes
}

/// Objects that are told one by one have a name among those of their kind.
fn key<'a>(said: &'a Said, object: &'a Object) -> Option<(u8, &'a str)> {
    let derived = || said.derived_names.get(&object.id).map(String::as_str);
    Some((class_named(&object.class)?.kind as u8, name_of(object).or_else(derived)?))
}

fn by_name(said: &Said) -> HashMap<(u8, &str), &Arc<Object>> {
    said.objects.iter().filter_map(|o| Some((key(said, o)?, o))).collect()
}

fn whole(kind: Kind, object: &Object) -> Change {
    let class = class_named(&object.class).map(|c| c.kind);
    let behaviour = match (kind, class) {
        (Kind::Added, Some(ClassKind::Worker)) => "it may attach from now on",
        (Kind::Removed, Some(ClassKind::Worker)) => "it finishes its builds, then it is disconnected",
        (Kind::Added, Some(ClassKind::Builder)) => "its workers are told of it",
        (Kind::Removed, Some(ClassKind::Builder)) => "its running builds end; its requests wait until it comes back",
        (Kind::Added, Some(ClassKind::Reporter)) => "it tells of what happens from now on",
        (Kind::Removed, Some(ClassKind::Reporter)) => "it tells of nothing more; what waits to be sent by it is given up",
        _ => "at once",
    };
    Change { kind, object: subject(object), fields: Vec::new(), more: 0, behaviour }
}

#[derive(Default)]
struct Fields {
    list: Vec<Field>,
    more: usize,
}

impl Fields {
    fn push(&mut self, name: &str, old: String, new: String, reload: Reload) {
        if self.list.len() < MOST_FIELDS {
            self.list.push(Field { name: name.to_owned(), old, new, reload });
        } else {
            self.more += 1;
        }
    }

    fn tell(self, object: String, changes: &mut Changes) {
        if !self.list.is_empty() {
            changes.push(Change { kind: Kind::Changed, object, fields: self.list, more: self.more, behaviour: "" });
        }
    }
}

/// How a value at some place is told.
#[derive(Clone, Copy)]
struct Manner {
    reload: Reload,
    secret: bool,
}

struct Comparison<'a> {
    old: &'a Said,
    new: &'a Said,
    /// Pairs of objects that were compared: a factory may serve a thousand builders.
    same: HashMap<(u64, u64), bool>,
}

impl Comparison<'_> {
    fn equal(&mut self, a: &Value, b: &Value) -> bool {
        match (a, b) {
            (Value::Table(a), Value::Table(b)) => self.equal_tables(a, b),
            (Value::Function(a), Value::Function(b)) => self.equal_functions(a, b),
            (Value::Object(a), Value::Object(b)) => self.equal_objects(a, b),
            (Value::Int(i), Value::Float(x)) | (Value::Float(x), Value::Int(i)) => *i as f64 == *x,
            // Also what is no number is the same as before.
            (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
            (a, b) => a == b,
        }
    }

    fn equal_tables(&mut self, a: &Table, b: &Table) -> bool {
        a.items.len() == b.items.len()
            && a.named.len() == b.named.len()
            && a.strange_key == b.strange_key
            && a.items.iter().zip(&b.items).all(|(a, b)| self.equal(a, b))
            && a.named.iter().zip(b.named.iter()).all(|((an, av), (bn, bv))| an == bn && self.equal(av, bv))
    }

    fn equal_functions(&self, a: &FnRef, b: &FnRef) -> bool {
        // Those of the library have no text, and no place.
        a.place.file == b.place.file && self.old.functions.get(&a.id) == self.new.functions.get(&b.id)
    }

    fn equal_objects(&mut self, a: &Arc<Object>, b: &Arc<Object>) -> bool {
        if let Some(known) = self.same.get(&(a.id, b.id)) {
            return *known;
        }
        let same = a.class == b.class
            && a.custom_class == b.custom_class
            && self.equal_code(a, b)
            && ((a.own.is_none() && b.own.is_none() && self.equal_tables(&a.args, &b.args)) || {
                let mut fields = Fields::default();
                self.arguments("", a, b, &mut fields);
                fields.list.is_empty()
            });
        self.same.insert((a.id, b.id), same);
        same
    }

    fn equal_code(&mut self, a: &Object, b: &Object) -> bool {
        match (&a.code, &b.code) {
            (Some(a), Some(b)) => self.equal_tables(a, b),
            (a, b) => a.is_none() && b.is_none(),
        }
    }

    fn object(&mut self, path: &str, a: &Arc<Object>, b: &Arc<Object>, class_changes: Reload, fields: &mut Fields) {
        let class = |o: &Object| o.custom_class.clone().unwrap_or_else(|| o.class.clone());
        if self.equal_objects(a, b) {
            return;
        }
        if a.class != b.class || a.custom_class != b.custom_class {
            let reload = if a.class == b.class { Reload::NextBuild } else { class_changes };
            fields.push(&join(path, "class"), class(a), class(b), reload);
        } else if !self.equal_code(a, b) {
            self.code(path, a, b, fields);
        }
        self.arguments(path, a, b, fields);
    }

    /// The methods of a class that has another body than before.
    fn code(&mut self, path: &str, a: &Object, b: &Object, fields: &mut Fields) {
        let reload = match class_named(&b.class).map(|c| c.kind) {
            Some(ClassKind::Step) => Reload::NextBuild,
            _ => Reload::AtOnce,
        };
        let none = Table::default();
        let of = |object: &Object| object.code.as_deref().unwrap_or(&none).named.clone();
        let (old, new) = (of(a), of(b));
        let names: BTreeSet<&String> = old.iter().chain(new.iter()).map(|(name, _)| name).collect();
        for name in names {
            self.value(&join(path, name), old.get(name), new.get(name), Manner { reload, secret: false }, fields);
        }
    }

    /// The arguments that both classes declare, then whatever else was given.
    fn arguments(&mut self, path: &str, a: &Object, b: &Object, fields: &mut Fields) {
        let (old, new) = (Given::of(a), Given::of(b));
        let declared = class_named(&b.class).filter(|c| !c.open).map(|c| c.args.as_slice()).unwrap_or_default();
        for arg in declared {
            let there = class_named(&a.class).is_some_and(|c| c.args.iter().any(|x| x.name == arg.name));
            if there || a.class == b.class {
                self.argument(path, arg, old.0.get(arg.name), new.0.get(arg.name), fields);
            }
        }
        let manner = Manner { reload: Reload::NextBuild, secret: false };
        let names: BTreeSet<&String> = old.0.keys().chain(new.0.keys()).collect();
        for name in names.into_iter().filter(|n| !declared.iter().any(|a| a.name == **n)) {
            if a.class == b.class {
                self.value(&join(path, name), old.0.get(name), new.0.get(name), manner, fields);
            }
        }
        if let (Some(old), Some(new)) = (&a.own, &b.own) {
            self.own(path, old, new, declared, fields);
        }
    }

    /// The arguments that a class of the file adds.
    fn own(&mut self, path: &str, old: &OwnClass, new: &OwnClass, declared: &[ArgDecl], fields: &mut Fields) {
        let (a, b) = (&old.args.named, &new.args.named);
        let names: BTreeSet<&String> = a.keys().chain(b.keys()).filter(|n| !declared.iter().any(|arg| arg.name == **n)).collect();
        for name in names {
            let manner = Manner { reload: Reload::NextLaunch, secret: sounds_secret(name) };
            self.value(&join(path, name), a.get(name), b.get(name), manner, fields);
        }
    }

    fn argument(&mut self, path: &str, arg: &ArgDecl, old: Option<&Value>, new: Option<&Value>, fields: &mut Fields) {
        let manner = Manner { reload: arg.reload.unwrap_or(Reload::NextBuild), secret: arg.secret };
        // An argument that is left out has its default.
        let is_default = |value: Option<&Value>| value.is_none_or(|v| !arg.required && show(v) == arg.default);
        if is_default(old) && is_default(new) {
            return;
        }
        let path = join(path, arg.name);
        match (old, new) {
            (Some(old), Some(new)) => self.value(&path, Some(old), Some(new), manner, fields),
            _ if manner.secret => fields.push(&path, hidden(old), hidden(new), manner.reload),
            _ => {
                let shown =
                    |value: Option<&Value>| value.map_or_else(|| if arg.required { "nothing".into() } else { arg.default.clone() }, show);
                fields.push(&path, shown(old), shown(new), manner.reload);
            }
        }
    }

    /// Keys of a table of settings; some hold settings again.
    fn settings(&mut self, path: &str, declared: &[ArgDecl], a: &Table, b: &Table, fields: &mut Fields) {
        let given = |table: &Table, arg: &ArgDecl| {
            let names = std::iter::once(&arg.name).chain(arg.aliases);
            names.filter_map(|n| table.named.get(n)).next().cloned()
        };
        for arg in declared {
            let (old, new) = (given(a, arg), given(b, arg));
            let path = join(path, arg.name);
            match root::settings_of(&path) {
                Some(inner) => {
                    let table = |value: Option<Value>| match value {
                        Some(Value::Table(table)) => table,
                        _ => Arc::default(),
                    };
                    self.settings(&path, &inner, &table(old), &table(new), fields);
                }
                None => {
                    let above = path.strip_suffix(arg.name).unwrap_or_default().trim_end_matches('.');
                    self.argument(above, arg, old.as_ref(), new.as_ref(), fields);
                }
            }
        }
    }

    fn value(&mut self, path: &str, old: Option<&Value>, new: Option<&Value>, manner: Manner, fields: &mut Fields) {
        match (old, new) {
            (Some(a), Some(b)) if self.equal(a, b) => {}
            (Some(Value::Object(a)), Some(Value::Object(b))) if a.class == b.class => self.object(path, a, b, manner.reload, fields),
            (Some(Value::Table(a)), Some(Value::Table(b))) if parts(a) && parts(b) && a.items.len() == b.items.len() => {
                for (i, (a, b)) in a.items.iter().zip(&b.items).enumerate() {
                    self.value(&format!("{path}[{}]", i + 1), Some(a), Some(b), manner, fields);
                }
                let names: BTreeSet<&String> = a.named.keys().chain(b.named.keys()).collect();
                for name in names {
                    self.value(&join(path, name), a.named.get(name), b.named.get(name), manner, fields);
                }
            }
            (old, new) => {
                let shown = |value: Option<&Value>| match value {
                    value if manner.secret => hidden(value),
                    None => "nothing".to_owned(),
                    Some(value) => show(value),
                };
                let after = match (old, new) {
                    (Some(Value::Function(_)), Some(Value::Function(f))) => format!("another function ({})", f.place),
                    _ => shown(new),
                };
                fields.push(path, shown(old), after, manner.reload);
            }
        }
    }
}

/// Is it told part by part? A list of plain values is told whole.
fn parts(table: &Table) -> bool {
    !table.named.is_empty() || table.items.iter().any(|v| matches!(v, Value::Table(_) | Value::Object(_)))
}

/// A class of the file does not say which of its arguments are secrets.
fn sounds_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    ["pass", "secret", "token", "key", "credential", "auth"].iter().any(|word| name.contains(word))
}

fn hidden(value: Option<&Value>) -> String {
    match value {
        None => "nothing".into(),
        Some(Value::None) => "None".into(),
        Some(_) => "***".into(),
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// The arguments of an object by their names of today.
struct Given(BTreeMap<String, Value>);

impl Given {
    fn of(object: &Object) -> Given {
        let Some(class) = class_named(&object.class) else { return Given(object.args.named.clone().into_iter().collect()) };
        let args = as_first_list(class, &object.args);
        let mut given = BTreeMap::new();
        for (i, value) in args.items.into_iter().enumerate() {
            let name = class.args.iter().find(|a| a.position == Some(i + 1)).map_or_else(|| format!("[{}]", i + 1), |a| a.name.to_owned());
            given.insert(name, value);
        }
        for (name, value) in args.named {
            let today = class.args.iter().find(|a| a.aliases.contains(&name.as_str())).map_or(name, |a| a.name.to_owned());
            given.insert(today, value);
        }
        Given(given)
    }
}

/// A value as it would be written, if it is not too long.
fn show(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    if text.chars().count() > LONGEST_VALUE {
        text = text.chars().take(LONGEST_VALUE - 1).chain(['…']).collect();
    }
    text
}

fn write(value: &Value, out: &mut String) {
    // What is cut off needs not be made.
    if out.len() > LONGEST_VALUE * 4 {
        return;
    }
    match value {
        Value::Text(text) => out.push_str(&format!("{:?}", text.chars().take(LONGEST_VALUE).collect::<String>())),
        Value::Table(table) if table.items.is_empty() && table.named.is_empty() => out.push_str("{}"),
        Value::Table(table) => {
            out.push_str("{ ");
            for (i, item) in table.items.iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                write(item, out);
            }
            for (i, (name, value)) in table.named.iter().enumerate() {
                out.push_str(if i > 0 || !table.items.is_empty() { ", " } else { "" });
                out.push_str(name);
                out.push_str(" = ");
                write(value, out);
            }
            out.push_str(" }");
        }
        other => out.push_str(&other.describe()),
    }
}

#[cfg(test)]
mod tests;
