//! What a filled-in force form asks for: a build set, or what is wrong with which field. Pure.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value as Json};

use crate::config::{Choices, ForceSpec, Parameter, ParameterKind, SchedulerSpec};
use crate::model::{Properties, SourceStamp};

/// Who sets the properties of a forced build.
pub const SOURCE: &str = "Force Build Form";

#[derive(Clone, PartialEq, Debug)]
pub struct Forced {
    pub builders: Vec<String>,
    pub reason: String,
    pub sourcestamps: Vec<SourceStamp>,
    pub properties: Properties,
    pub priority: i64,
}

/// What functions of the form say, by the full name of the parameter: the choices there are, and what was made of what was entered.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Told {
    pub choices: BTreeMap<String, Result<Vec<String>, String>>,
    pub values: BTreeMap<String, Result<Json, String>>,
}

/// What is wrong, by the full name of the parameter.
pub type Problems = BTreeMap<String, String>;

/// The full name of a parameter: its own, behind that of the parameter it stands in.
pub fn full_name(parent: &str, name: &str) -> String {
    match (parent.is_empty(), name.is_empty()) {
        (true, _) => name.to_owned(),
        (_, true) => parent.to_owned(),
        _ => format!("{parent}_{name}"),
    }
}

/// All parameters of a form that hold no others, with their full names.
pub fn fields(form: &ForceSpec) -> Vec<(String, &Parameter)> {
    fn walk<'a>(parameter: &'a Parameter, parent: &str, out: &mut Vec<(String, &'a Parameter)>) {
        match &parameter.kind {
            ParameterKind::Codebase { codebase, fields } => fields.iter().for_each(|f| walk(f, codebase, out)),
            ParameterKind::Nested { fields, .. } => {
                let here = full_name(parent, &parameter.name);
                fields.iter().for_each(|f| walk(f, &here, out));
            }
            _ => out.push((full_name(parent, &parameter.name), parameter)),
        }
    }
    let mut out = Vec::new();
    for parameter in [&form.username, &form.reason, &form.priority].into_iter().chain(&form.codebases).chain(&form.properties) {
        walk(parameter, "", &mut out);
    }
    out
}

/// `params` as they came with the request; `builders` those that were asked for (none: all of the scheduler's).
pub fn force(
    scheduler: &SchedulerSpec,
    form: &ForceSpec,
    builders: Option<Vec<String>>,
    owner: Option<&str>,
    params: &Map<String, Json>,
    told: &Told,
) -> Result<Forced, Problems> {
    let mut problems = Problems::new();
    let builders = builders.unwrap_or_else(|| scheduler.builders.clone());
    for builder in builders.iter().filter(|b| !scheduler.builders.contains(b)) {
        let hint = crate::base::suggest::hint(builder, scheduler.builders.iter().map(String::as_str));
        problems.insert("builderNames".into(), format!("scheduler '{}' does not force builder '{builder}'{hint}", scheduler.name));
    }

    let mut reader = Reader { params, told, problems };
    let owner = match owner {
        Some(owner) => owner.to_owned(),
        None => text_of(&reader.value(&form.username, "")),
    };
    let reason = text_of(&reader.value(&form.reason, ""));
    let priority = match reader.value(&form.priority, "") {
        Json::Number(n) => n.as_i64().unwrap_or(0),
        Json::String(text) => text.trim().parse().unwrap_or(0),
        _ => 0,
    };

    let mut properties = Properties::default();
    properties.set_all(&scheduler.properties, "Scheduler");
    properties.set("scheduler", scheduler.name.as_str(), "Scheduler");

    let mut sourcestamps = Vec::new();
    for parameter in &form.codebases {
        if let ParameterKind::Codebase { codebase, fields } = &parameter.kind {
            sourcestamps.push(reader.sourcestamp(codebase, fields));
        }
    }
    let mut values = Map::new();
    for parameter in &form.properties {
        reader.property(parameter, "", &mut values);
    }
    properties.set_all(&values, SOURCE);
    let said = form.reason_string.replace("%(owner)s", &owner).replace("%(reason)s", &reason);
    properties.set("owner", owner, SOURCE);
    properties.set("reason", reason, SOURCE);

    if !reader.problems.is_empty() {
        return Err(reader.problems);
    }
    Ok(Forced { builders, reason: said, sourcestamps, properties, priority: scheduler.priority.saturating_add(priority) })
}

/// What was entered for a parameter, or its default; a list if it takes several.
pub(super) fn given(parameter: &Parameter, name: &str, params: &Map<String, Json>) -> Json {
    let given = match params.get(name) {
        Some(Json::Array(items)) if !parameter.multiple => items.first().cloned().unwrap_or(Json::Null),
        Some(value) => value.clone(),
        // A check box that is not ticked is not sent by a form.
        None => parameter.default.clone(),
    };
    match given {
        one if !parameter.multiple => one,
        Json::Array(items) => items.into(),
        Json::Null => Json::Array(Vec::new()),
        one => vec![one].into(),
    }
}

pub(super) fn text_of(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Null => String::new(),
        other => other.to_string(),
    }
}

struct Reader<'a> {
    params: &'a Map<String, Json>,
    told: &'a Told,
    problems: Problems,
}

impl Reader<'_> {
    fn problem(&mut self, name: &str, text: String) {
        self.problems.entry(name.to_owned()).or_insert(text);
    }

    fn sourcestamp(&mut self, codebase: &str, fields: &[Parameter]) -> SourceStamp {
        let mut stamp = SourceStamp { codebase: codebase.to_owned(), ..SourceStamp::default() };
        for field in fields {
            let text = text_of(&self.value(field, codebase));
            let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            match field.name.as_str() {
                "branch" => stamp.branch = some(&text),
                "revision" => stamp.revision = some(&text),
                "repository" => stamp.repository = text,
                "project" => stamp.project = text,
                _ => {}
            }
        }
        stamp
    }

    fn property(&mut self, parameter: &Parameter, parent: &str, out: &mut Map<String, Json>) {
        let here = full_name(parent, &parameter.name);
        match &parameter.kind {
            ParameterKind::Nested { fields, .. } => fields.iter().for_each(|f| self.property(f, &here, out)),
            ParameterKind::AnyProperty => {
                let name = self.params.get(&full_name(&here, "name")).map(text_of).unwrap_or_default();
                if !name.is_empty() {
                    out.insert(name, self.params.get(&full_name(&here, "value")).cloned().unwrap_or_else(|| "".into()));
                }
            }
            ParameterKind::Worker => {
                let value = self.value(parameter, parent);
                if !text_of(&value).is_empty() {
                    out.insert(parameter.name.clone(), value);
                }
            }
            _ => {
                let value = self.value(parameter, parent);
                out.insert(parameter.name.clone(), value);
            }
        }
    }

    /// The value of one field, checked.
    fn value(&mut self, parameter: &Parameter, parent: &str) -> Json {
        let name = full_name(parent, &parameter.name);
        if parameter.kind == ParameterKind::Fixed {
            return parameter.default.clone();
        }
        let given = given(parameter, &name, self.params);
        if let Some(parsed) = self.told.values.get(&name) {
            match &given {
                Json::Array(items) if parameter.multiple => items.iter().for_each(|item| drop(self.check(parameter, &name, item))),
                one => drop(self.check(parameter, &name, one)),
            }
            return parsed.clone().unwrap_or_else(|why| {
                self.problem(&name, format!("{}: {why}", label(parameter, &name)));
                Json::Null
            });
        }
        match given {
            Json::Array(items) if parameter.multiple => {
                items.into_iter().map(|item| self.one(parameter, &name, item)).collect::<Vec<_>>().into()
            }
            one => self.one(parameter, &name, one),
        }
    }

    /// What holds whatever the kind is; the text that was entered.
    fn check(&mut self, parameter: &Parameter, name: &str, given: &Json) -> String {
        let label = label(parameter, name);
        let text = text_of(given);
        if text.is_empty() && parameter.required {
            self.problem(name, format!("'{label}' needs to be specified"));
        }
        if let Some(pattern) = parameter.regex.as_deref().filter(|_| !text.is_empty()) {
            match Regex::new(&format!("^(?:{pattern})")) {
                Ok(regex) if !regex.is_match(&text) => {
                    self.problem(name, format!("{label}: {text:?} does not match the pattern '{pattern}'"))
                }
                Ok(_) => {}
                Err(_) => self.problem(name, format!("{label}: the configured pattern '{pattern}' is no regular expression")),
            }
        }
        text
    }

    fn one(&mut self, parameter: &Parameter, name: &str, given: Json) -> Json {
        let label = label(parameter, name);
        let text = self.check(parameter, name, &given);
        match &parameter.kind {
            ParameterKind::Int => match (&given, text.trim().parse::<i64>()) {
                (_, Ok(number)) => number.into(),
                (_, Err(_)) if text.is_empty() => Json::Null,
                _ => {
                    self.problem(name, format!("{label}: {text:?} is no whole number"));
                    Json::Null
                }
            },
            ParameterKind::Bool => match given {
                Json::Bool(b) => b.into(),
                Json::Number(n) => (n.as_f64() != Some(0.0)).into(),
                _ => matches!(text.to_lowercase().as_str(), "true" | "on" | "yes" | "1" | "checked").into(),
            },
            ParameterKind::UserName { need_email } => {
                if *need_email && !text.is_empty() && !looks_like_an_address(&text) {
                    self.problem(name, format!("{label}: please fill in an email address in the form 'User <email@email.com>'"));
                }
                text.into()
            }
            ParameterKind::Choice { choices, strict } => {
                let choices = match choices {
                    _ if !strict || text.is_empty() => return text.into(),
                    Choices::List(choices) => choices.clone(),
                    Choices::Call(_) => match self.told.choices.get(name) {
                        Some(Ok(choices)) => choices.clone(),
                        other => {
                            let why = other.and_then(|told| told.as_ref().err()).map_or("nobody was asked", |why| why);
                            self.problem(name, format!("{label}: what can be chosen is not known: {why}"));
                            return Json::Null;
                        }
                    },
                };
                if !choices.contains(&text) {
                    self.problem(name, format!("{label}: {text:?} does not belong to the choices: {}", choices.join(", ")));
                }
                text.into()
            }
            ParameterKind::File { max_bytes } => {
                if text.len() as u64 > *max_bytes {
                    self.problem(name, format!("{label}: the file is larger than {max_bytes} bytes"));
                }
                text.into()
            }
            _ if given.is_null() => "".into(),
            _ if given.is_string() || given.is_number() || given.is_boolean() => text.into(),
            _ => given,
        }
    }
}

/// What a person calls the parameter.
fn label<'a>(parameter: &'a Parameter, name: &'a str) -> &'a str {
    if parameter.label.is_empty() { name } else { parameter.label.trim_end_matches(':') }
}

fn looks_like_an_address(text: &str) -> bool {
    let address = text.rsplit_once('<').map_or(text, |(_, rest)| rest.trim_end_matches('>'));
    matches!(address.split_once('@'), Some((user, host)) if !user.is_empty() && host.contains('.') && !address.contains(char::is_whitespace))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::{Place, SchedulerKind};

    fn parameter(name: &str, kind: ParameterKind) -> Parameter {
        Parameter {
            class: "StringParameter".into(),
            name: name.into(),
            label: String::new(),
            tablabel: String::new(),
            tooltip: String::new(),
            regex: None,
            default: "".into(),
            required: false,
            multiple: false,
            hide: false,
            size: None,
            cols: None,
            rows: None,
            parse: None,
            kind,
        }
    }

    fn scheduler(properties: Vec<Parameter>) -> (SchedulerSpec, ForceSpec) {
        let fields = ["branch", "revision", "repository", "project"].map(|n| parameter(n, ParameterKind::Text)).to_vec();
        let form = ForceSpec {
            label: "force".into(),
            button_name: "force".into(),
            reason_string: "A build was forced by '%(owner)s': %(reason)s".into(),
            username: parameter("username", ParameterKind::UserName { need_email: false }),
            reason: Parameter { default: "force build".into(), ..parameter("reason", ParameterKind::Text) },
            priority: Parameter { default: 0.into(), ..parameter("priority", ParameterKind::Int) },
            codebases: vec![parameter("", ParameterKind::Codebase { codebase: String::new(), fields })],
            properties,
        };
        let spec = SchedulerSpec {
            name: "force".into(),
            builders: vec!["a".into(), "b".into()],
            properties: Map::new(),
            priority: 0,
            kind: SchedulerKind::Force(Box::new(form.clone())),
            place: Place::default(),
        };
        (spec, form)
    }

    fn run(properties: Vec<Parameter>, params: Json) -> Result<Forced, Problems> {
        let (spec, form) = scheduler(properties);
        force(&spec, &form, None, None, params.as_object().expect("an object"), &Told::default())
    }

    #[test]
    fn defaults_and_the_codebase() {
        let forced = run(vec![], json!({ "username": "ann", "branch": "main", "revision": "" })).expect("valid");
        assert_eq!(forced.builders, ["a", "b"]);
        assert_eq!(forced.reason, "A build was forced by 'ann': force build");
        assert_eq!(forced.sourcestamps, [SourceStamp { branch: Some("main".into()), ..SourceStamp::default() }]);
        assert_eq!(forced.properties.text("owner"), Some("ann"));
        assert_eq!(forced.properties.text("reason"), Some("force build"));
        assert_eq!(forced.properties.text("scheduler"), Some("force"));
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let needed = Parameter { required: true, ..parameter("needed", ParameterKind::Text) };
        let matched = Parameter { regex: Some("[0-9]+$".into()), ..parameter("matched", ParameterKind::Text) };
        let choice = parameter("colour", ParameterKind::Choice { choices: Choices::List(vec!["red".into()]), strict: true });
        let params = json!({ "matched": "x1", "colour": "blue", "count": "many" });
        let problems = run(vec![needed, matched, choice, parameter("count", ParameterKind::Int)], params).expect_err("invalid");
        assert_eq!(problems.keys().collect::<Vec<_>>(), ["colour", "count", "matched", "needed"]);
    }

    #[test]
    fn kinds_convert() {
        let nested = Parameter {
            kind: ParameterKind::Nested { fields: vec![parameter("deep", ParameterKind::Text)], columns: None, layout: "vertical".into() },
            ..parameter("opt", ParameterKind::Text)
        };
        let list = Parameter { multiple: true, ..parameter("list", ParameterKind::Text) };
        let params = json!({ "n": "7", "flag": "on", "opt_deep": "x", "list": ["a", "b"], "any_name": "k", "any_value": "v" });
        let kinds = vec![
            parameter("n", ParameterKind::Int),
            parameter("flag", ParameterKind::Bool),
            nested,
            list,
            parameter("any", ParameterKind::AnyProperty),
            Parameter { default: "f".into(), ..parameter("fixed", ParameterKind::Fixed) },
        ];
        let properties = run(kinds, params).expect("valid").properties;
        for (name, value) in [
            ("n", json!(7)),
            ("flag", json!(true)),
            ("deep", json!("x")),
            ("list", json!(["a", "b"])),
            ("k", json!("v")),
            ("fixed", json!("f")),
        ] {
            assert_eq!(properties.get(name), Some(&value), "{name}");
        }
    }

    #[test]
    fn only_the_schedulers_builders() {
        let (spec, form) = scheduler(vec![]);
        assert!(force(&spec, &form, Some(vec!["z".into()]), None, &Map::new(), &Told::default()).is_err());
        assert_eq!(force(&spec, &form, Some(vec!["b".into()]), Some("me"), &Map::new(), &Told::default()).expect("valid").builders, ["b"]);
    }
}
