//! Values that depend on the build: `Property`, `Interpolate`, functions, and tables that hold them.
//!
//! Pure: parsing is here; rendering walks a [`Template`] in `builds`, where properties and Lua are at hand.

use serde_json::Value as Json;

use super::value::FnRef;

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
    /// A function of the properties.
    Call(FnRef),
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
    Dynamic(Template),
}

impl<T: Default> Default for Arg<T> {
    fn default() -> Self {
        Arg::Const(T::default())
    }
}
