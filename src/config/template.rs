//! Values that depend on the build: `Property`, `Interpolate`, functions, and tables that hold them.
//!
//! Pure: parsing is here; rendering walks a [`Template`] in `builds`, where properties and Lua are at hand.

use serde_json::Value as Json;

use super::convert::{self, FromValue, Wrong};
use super::user_data::UserData;
use super::value::{FnRef, Value};

/// A value that may have to be rendered for each build.
#[derive(Clone, PartialEq, Debug)]
pub enum Template {
    Const(Json),
    List(Vec<Template>),
    Map(Vec<(String, Template)>),
    /// `Property(key, default, defaultWhenFalse)`.
    Property {
        key: String,
        default: Option<Box<Template>>,
        default_when_false: bool,
    },
    /// `Interpolate(fmt, …)`, as a sequence of parts whose texts are joined.
    Interpolate(Vec<Part>),
    /// The value of a secret.
    Secret(String),
    /// A function of the properties.
    Call(FnRef),
    /// `util.renderer(f):withArgs(…)`: a function of the properties and of values that are rendered first, as for `Transform`.
    CallWith {
        function: FnRef,
        args: Vec<Template>,
        named: Vec<(String, Template)>,
    },
    /// A function of values that are rendered first; the named ones come last, in a table.
    Transform {
        function: FnRef,
        args: Vec<Template>,
        named: Vec<(String, Template)>,
    },
    /// A list without lists in it.
    Flatten(Box<Template>),
    /// The script that makes a worker of the machine that starts.
    UserData(Box<UserData>),
}

/// A part of an `Interpolate`.
#[derive(Clone, PartialEq, Debug)]
pub enum Part {
    Text(String),
    Substitute { source: Source, form: Form },
}

/// Where the value of a `%(…)s` comes from.
#[derive(Clone, PartialEq, Debug)]
pub enum Source {
    /// `prop:name`
    Property(String),
    /// `src:codebase:attribute`
    SourceStamp { codebase: String, attribute: String },
    /// `worker:attribute`
    Worker(String),
    /// `secret:name`
    Secret(String),
    /// `kw:name`, or a positional `%s`: the argument itself, found at load.
    Argument(Box<Template>),
}

/// What follows the name: `:-`, `:~`, `:+`, `?:` and their texts, which may hold substitutions themselves.
#[derive(Clone, PartialEq, Debug)]
pub enum Form {
    Plain,
    /// `:-text`: if there is no such value.
    IfMissing(Vec<Part>),
    /// `:~text`: if there is none or it is false (empty, zero).
    IfFalse(Vec<Part>),
    /// `:+text`: the text if there is a value, else nothing.
    IfPresent(Vec<Part>),
    /// `:?Xthen X else`: by presence; with `#?` by truth.
    Choose {
        by_truth: bool,
        then: Vec<Part>,
        otherwise: Vec<Part>,
    },
}

/// An argument of type `T`, known at load or rendered for each build and then checked as at load.
#[derive(Clone, PartialEq, Debug)]
pub enum Arg<T> {
    Const(T),
    Dynamic(Box<Template>),
}

impl<T: Default> Default for Arg<T> {
    fn default() -> Self {
        Arg::Const(T::default())
    }
}

impl Part {
    fn functions(&mut self, each: &mut dyn FnMut(&mut FnRef)) {
        let Part::Substitute { source, form } = self else { return };
        if let Source::Argument(template) = source {
            template.functions(each);
        }
        match form {
            Form::Plain => {}
            Form::IfMissing(parts) | Form::IfFalse(parts) | Form::IfPresent(parts) => {
                parts.iter_mut().for_each(|part| part.functions(each))
            }
            Form::Choose { then, otherwise, .. } => then.iter_mut().chain(otherwise).for_each(|part| part.functions(each)),
        }
    }

    fn differs(&self) -> bool {
        let Part::Substitute { source, form } = self else { return false };
        let source = match source {
            Source::Property(name) => !OF_THE_LAUNCH.contains(&name.as_str()),
            Source::SourceStamp { .. } => true,
            Source::Worker(_) | Source::Secret(_) => false,
            Source::Argument(template) => template.differs(),
        };
        source
            || match form {
                Form::Plain => false,
                Form::IfMissing(parts) | Form::IfFalse(parts) | Form::IfPresent(parts) => parts.iter().any(Part::differs),
                Form::Choose { then, otherwise, .. } => then.iter().chain(otherwise).any(Part::differs),
            }
    }
}

/// Properties that arguments of a machine find besides those of the build.
const OF_THE_LAUNCH: [&str; 5] = ["workername", "workerpassword", "master_host", "master_port", "launch_id"];

/// Tables within tables; more is a loop or a joke.
const DEEPEST: usize = 64;

impl Template {
    /// Anything that can be rendered. What holds nothing to render is a [`Template::Const`].
    pub fn read(value: &Value) -> Result<Template, Wrong> {
        Template::read_for(value, &<Template as FromValue>::expected())
    }

    /// The same, where a mistake says that `expected` was expected.
    pub fn read_for(value: &Value, expected: &str) -> Result<Template, Wrong> {
        read(value, expected, 0)
    }
}

fn read(value: &Value, expected: &str, depth: usize) -> Result<Template, Wrong> {
    if depth > DEEPEST {
        return Err(Wrong::says(format!("has more than {DEEPEST} tables within each other")));
    }
    match value {
        Value::Function(f) => Ok(Template::Call(f.clone())),
        Value::Object(o) => match super::renderables::template(o) {
            Some(read) => read,
            None => Err(Wrong::must(expected, value)),
        },
        Value::Table(t) if t.strange_key.is_none() && t.named.is_empty() && !t.items.is_empty() => {
            let items = t.items.iter().enumerate().map(|(i, v)| inner(v, depth).map_err(|w| w.inside(convert::item(i))));
            items.collect::<Result<_, _>>().map(|items| Template::List(items).folded())
        }
        Value::Table(t) if t.strange_key.is_none() && t.items.is_empty() && !t.named.is_empty() => {
            let entries = t.named.iter().map(|(k, v)| Ok((k.clone(), inner(v, depth).map_err(|w| w.inside(convert::field(k)))?)));
            entries.collect::<Result<_, _>>().map(|entries| Template::Map(entries).folded())
        }
        plain => convert::json(plain).map(Template::Const),
    }
}

fn inner(value: &Value, depth: usize) -> Result<Template, Wrong> {
    read(value, &<Template as FromValue>::expected(), depth + 1)
}

impl Template {
    /// The first function in it, and what it is called: a wrong value is most likely its fault.
    pub fn function(&self) -> Option<(&'static str, &FnRef)> {
        match self {
            Template::Call(function) | Template::CallWith { function, .. } => Some(("renderer", function)),
            Template::Transform { function, .. } => Some(("Transform", function)),
            Template::List(items) => items.iter().find_map(Template::function),
            Template::Map(entries) => entries.iter().find_map(|(_, item)| item.function()),
            Template::Property { default: Some(inner), .. } | Template::Flatten(inner) => inner.function(),
            Template::UserData(data) => data.prepare.as_ref().and_then(Template::function),
            _ => None,
        }
    }

    /// All functions in it.
    pub fn functions(&mut self, each: &mut dyn FnMut(&mut FnRef)) {
        match self {
            Template::Const(_) | Template::Secret(_) => {}
            Template::List(items) => items.iter_mut().for_each(|item| item.functions(each)),
            Template::Map(entries) => entries.iter_mut().for_each(|(_, item)| item.functions(each)),
            Template::Property { default, .. } => default.iter_mut().for_each(|inner| inner.functions(each)),
            Template::Interpolate(parts) => parts.iter_mut().for_each(|part| part.functions(each)),
            Template::Call(function) => each(function),
            Template::CallWith { function, args, named } | Template::Transform { function, args, named } => {
                each(function);
                args.iter_mut().chain(named.iter_mut().map(|(_, arg)| arg)).for_each(|arg| arg.functions(each));
            }
            Template::Flatten(inner) => inner.functions(each),
            Template::UserData(data) => data.prepare.iter_mut().for_each(|inner| inner.functions(each)),
        }
    }

    /// May it be something else for another build of the same worker? What only the launch, the worker or a secret decides is not.
    pub fn differs(&self) -> bool {
        match self {
            Template::Const(_) | Template::Secret(_) => false,
            Template::UserData(data) => data.prepare.as_ref().is_some_and(Template::differs),
            Template::Property { key, .. } => !OF_THE_LAUNCH.contains(&key.as_str()),
            Template::Interpolate(parts) => parts.iter().any(Part::differs),
            Template::Call(_) | Template::CallWith { .. } | Template::Transform { .. } => true,
            Template::List(items) => items.iter().any(Template::differs),
            Template::Map(entries) => entries.iter().any(|(_, item)| item.differs()),
            Template::Flatten(inner) => inner.differs(),
        }
    }

    /// Constant all through? Then the constant.
    pub(super) fn folded(self) -> Template {
        match self {
            Template::List(items) if items.iter().all(|t| matches!(t, Template::Const(_))) => {
                Template::Const(Json::Array(items.into_iter().filter_map(Template::constant).collect()))
            }
            Template::Map(entries) if entries.iter().all(|(_, t)| matches!(t, Template::Const(_))) => {
                Template::Const(Json::Object(entries.into_iter().filter_map(|(k, t)| Some((k, t.constant()?))).collect()))
            }
            Template::Interpolate(parts) if parts.iter().all(|p| matches!(p, Part::Text(_))) => {
                let text = parts.iter().map(|p| if let Part::Text(t) = p { t.as_str() } else { "" });
                Template::Const(Json::String(text.collect()))
            }
            other => other,
        }
    }

    fn constant(self) -> Option<Json> {
        match self {
            Template::Const(json) => Some(json),
            _ => None,
        }
    }
}
