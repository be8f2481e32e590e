//! `ForceScheduler`: what it is told, and what it is by default.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::arguments::{Arguments, Reader, arguments};
use super::assemble::{Assembly, Parsed};
use super::class::{ClassDecl, Kind};
use super::convert::{FromValue, Wrong};
use super::instance::ParameterRef;
use super::lua_type::LuaType;
use super::names::is_identifier;
use super::parameters;
use super::spec::{ForceSpec, Parameter, ParameterKind, SchedulerKind, SchedulerSpec};
use super::value::with_article;
use super::value::{Object, Value};

arguments! {
    ForceArgs {
        [1] "name" name: SchedulerName, "The scheduler's name.", Identity;
        [2] "builderNames" builder_names: Vec<String>, "The builders that it can start.";
        [3] "username" username: Option<ParameterRef> = None => "UserNameParameter", "Who asks.";
        [4] "reason" reason: Option<ParameterRef> = None => "StringParameter", "Why.";
        [5] "reasonString" reason_string: String = REASON.into() => "\"A build was forced by '%(owner)s': %(reason)s\"", "The reason of the build, with `%(owner)s` and `%(reason)s`.";
        [6] "buttonName" button_name: Option<String> = None => "name", "What the button says.";
        [7] "codebases" codebases: Option<Vec<Codebase>> = None => "one with an empty name", "`CodebaseParameter`s, or names of codebases.";
        [8] "label" label: Option<String> = None => "name", "What the form is called.";
        [9] "properties" properties: Vec<ParameterRef> = Vec::new() => "{}", "Further parameters; each becomes a property.";
        [10] "priority" priority: Priority = Priority::Number(0) => "IntParameter", "The requests' priority: a parameter, or a number.";
    }
}

const REASON: &str = "A build was forced by '%(owner)s': %(reason)s";

pub(super) fn declare(list: &mut Vec<ClassDecl>) {
    list.push(ClassDecl::new::<ForceArgs>("ForceScheduler", Kind::Scheduler, force, "Starts builds when a person asks for them."));
}

fn force(reader: &mut Reader, object: &Object, assembly: &mut Assembly) -> Option<Parsed> {
    let args = ForceArgs::read(reader)?;
    let before = reader.mistakes.len();
    check_reason(&args.reason_string, reader);
    let mut whole = true;
    let mut parameter = |r: &ParameterRef| match assembly.parsed(&r.0) {
        Some(Parsed::Parameter(p)) => Some((*p).clone()),
        _ => {
            whole = false;
            None
        }
    };
    let username = args.username.as_ref().map(&mut parameter);
    let reason = args.reason.as_ref().map(&mut parameter);
    let properties: Vec<Parameter> = args.properties.iter().filter_map(&mut parameter).collect();
    let codebases = args.codebases.map(|list| {
        let codebase = |c| match c {
            Codebase::Named(name) => Some(Parameter { hide: true, ..parameters::codebase(&name) }),
            Codebase::Parameter(r) => parameter(&r),
        };
        list.into_iter().filter_map(codebase).collect::<Vec<_>>()
    });
    let priority = match &args.priority {
        Priority::Number(n) => {
            Some(Parameter { default: Json::from(*n), ..parameters::plain("IntParameter", "priority", ParameterKind::Int) })
        }
        Priority::Parameter(r) => parameter(r),
    };
    if codebases.as_ref().is_some_and(|list| list.is_empty() && whole) {
        reader.wrong("'codebases' must not be empty: leave it out for the one without a name");
    }
    let codebases = codebases.unwrap_or_else(|| vec![parameters::codebase("")]);
    let mut seen = BTreeSet::new();
    for c in &codebases {
        match &c.kind {
            ParameterKind::Codebase { codebase, .. } if !seen.insert(codebase) => {
                reader.wrong(format!("'codebases' has {codebase:?} twice"));
            }
            ParameterKind::Codebase { .. } => {}
            _ => reader.wrong(format!("'codebases' must be a list of util.CodebaseParameter, got {}", with_article(&c.class))),
        }
    }
    for name in set_twice(&properties) {
        reader.warn_of("properties", format!("'properties' has several parameters that set '{name}': the last one counts"));
    }
    if !whole || reader.mistakes.len() > before {
        return None;
    }
    Some(Parsed::Scheduler(Arc::new(SchedulerSpec {
        builders: args.builder_names,
        properties: Map::new(),
        priority: 0,
        kind: SchedulerKind::Force(Box::new(ForceSpec {
            label: args.label.unwrap_or_else(|| args.name.0.clone()),
            button_name: args.button_name.unwrap_or_else(|| args.name.0.clone()),
            reason_string: args.reason_string,
            username: username.flatten().unwrap_or_else(parameters::username),
            reason: reason.flatten().unwrap_or_else(|| Parameter {
                default: "force build".into(),
                size: Some(20),
                ..parameters::plain("StringParameter", "reason", ParameterKind::Text)
            }),
            priority: priority?,
            codebases,
            properties,
        })),
        name: args.name.0,
        place: object.place.clone(),
    })))
}

/// Names of properties that several of the parameters set.
fn set_twice(parameters: &[Parameter]) -> BTreeSet<&str> {
    fn walk<'a>(parameters: &'a [Parameter], seen: &mut BTreeSet<&'a str>, twice: &mut BTreeSet<&'a str>) {
        for parameter in parameters {
            match &parameter.kind {
                ParameterKind::Nested { fields, .. } => walk(fields, seen, twice),
                // Which one it sets is entered.
                ParameterKind::AnyProperty => {}
                _ if seen.insert(&parameter.name) => {}
                _ => drop(twice.insert(&parameter.name)),
            }
        }
    }
    let (mut seen, mut twice) = (BTreeSet::new(), BTreeSet::new());
    walk(parameters, &mut seen, &mut twice);
    twice
}

/// Only `%(owner)s`, `%(reason)s` and `%%` are known when a build is asked for.
fn check_reason(text: &str, reader: &mut Reader) {
    let left = text.replace("%%", "").replace("%(owner)s", "").replace("%(reason)s", "");
    if let Some(at) = left.find('%') {
        let start: String = left[at..].chars().take(12).collect();
        reader.wrong(format!("'reasonString' may hold %(owner)s and %(reason)s, got '{start}'"));
    }
}

/// A name that a scheduler may have that stands in URLs.
#[derive(Clone, Debug)]
pub(super) struct SchedulerName(String);

impl FromValue for SchedulerName {
    fn expected() -> String {
        "text".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("string")
    }

    fn from_value(value: &Value) -> Result<SchedulerName, Wrong> {
        let name = String::from_value(value)?;
        is_identifier(&name, usize::MAX)?;
        Ok(SchedulerName(name))
    }
}

#[derive(Clone, Debug)]
pub(super) enum Codebase {
    Named(String),
    Parameter(ParameterRef),
}

impl FromValue for Codebase {
    fn expected() -> String {
        "a util.CodebaseParameter or a codebase's name".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("string").or(LuaType::Name("CodebaseParameter"))
    }

    fn plural() -> String {
        "util.CodebaseParameter".into()
    }

    fn from_value(value: &Value) -> Result<Codebase, Wrong> {
        match value {
            Value::Text(name) => Ok(Codebase::Named(name.clone())),
            other => ParameterRef::from_value(other).map(Codebase::Parameter).map_err(|_| Wrong::must(Self::expected(), other)),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Priority {
    Number(i64),
    Parameter(ParameterRef),
}

impl FromValue for Priority {
    fn expected() -> String {
        "a whole number or a parameter such as util.IntParameter".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("integer").or(LuaType::Name("Parameter"))
    }

    fn from_value(value: &Value) -> Result<Priority, Wrong> {
        match value {
            Value::None => Ok(Priority::Number(0)),
            Value::Object(_) => ParameterRef::from_value(value).map(Priority::Parameter),
            other => i64::from_value(other).map(Priority::Number),
        }
        .map_err(|_| Wrong::must(Self::expected(), value))
    }
}
