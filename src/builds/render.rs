//! Rendering: what a [`Template`] is for one build. Walks templates; asks Lua only for functions.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use crate::config::template::{Form, Part, Source};
use crate::config::user_data::UserData;
use crate::config::{Arg, FnRef, FromValue, Template, Value, Wrong};
use crate::lua::{BuildInput, Generation, RenderInput};
use crate::model::{Properties, SourceStamp, WorkerInfo};
use crate::secrets::BuildSecrets;

/// Functions that return functions that return …: more is taken for a loop.
const DEEPEST: usize = 32;

/// What a build offers to templates.
pub struct Renderer<'a> {
    pub properties: Arc<Properties>,
    pub sourcestamps: &'a [SourceStamp],
    pub worker: &'a WorkerInfo,
    pub generation: &'a Generation,
    pub build: BuildInput,
    pub secrets: &'a BuildSecrets,
}

/// Why something could not be rendered, for the log of the step.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct RenderError(pub String);

type Rendering<'a, T> = Pin<Box<dyn Future<Output = Result<T, RenderError>> + Send + 'a>>;

impl Renderer<'_> {
    /// The value of an argument, checked as at load.
    pub async fn arg<T: FromValue + Clone + Sync>(&self, what: &str, arg: &Arg<T>) -> Result<T, RenderError> {
        match arg {
            Arg::Const(value) => Ok(value.clone()),
            Arg::Dynamic(template) => {
                let json = self.value(template).await.map_err(|e| RenderError(format!("{what}: {e}")))?;
                T::from_value(&Value::from_json(&json)).map_err(|wrong| {
                    // What is told of a wrong value may be cut, and half a secret is not found: it is hidden before.
                    let mask = self.secrets.mask();
                    let told = match mask.is_empty() {
                        true => wrong,
                        false => T::from_value(&Value::from_json(&mask.json(json)))
                            .err()
                            .unwrap_or_else(|| Wrong::says(format!("must be {}", T::expected()))),
                    };
                    RenderError(format!("{what} {told}{}", of_function(template)))
                })
            }
        }
    }

    pub async fn value(&self, template: &Template) -> Result<Json, RenderError> {
        match template {
            Template::Const(json) => Ok(json.clone()),
            template => self.walk(template, 0).await,
        }
    }

    fn walk<'a>(&'a self, template: &'a Template, depth: usize) -> Rendering<'a, Json> {
        Box::pin(async move {
            if depth > DEEPEST {
                return Err(RenderError(format!("more than {DEEPEST} renderables within each other")));
            }
            Ok(match template {
                Template::Const(json) => json.clone(),
                Template::List(items) => {
                    let mut out = Vec::with_capacity(items.len());
                    for item in items {
                        out.push(self.walk(item, depth + 1).await?);
                    }
                    out.into()
                }
                Template::Map(entries) => {
                    let mut out = Map::new();
                    for (name, item) in entries {
                        out.insert(name.clone(), self.walk(item, depth + 1).await?);
                    }
                    out.into()
                }
                Template::Property { key, default, default_when_false } => match (self.properties.get(key), default) {
                    (Some(value), Some(default)) if *default_when_false && !truthy(value) => self.walk(default, depth + 1).await?,
                    (Some(value), _) => value.clone(),
                    (None, Some(default)) => self.walk(default, depth + 1).await?,
                    (None, None) => Json::Null,
                },
                Template::Interpolate(parts) => self.text(parts, depth + 1).await?.into(),
                Template::Transform { function, args, named } => {
                    let values = self.values(args, named, depth).await?;
                    let value = self.generation.transform(function, values).await.map_err(|e| RenderError(e.to_string()))?;
                    self.walk(&given("Transform", function, &value)?, depth + 1).await?
                }
                Template::Secret(name) => match self.secret(name).await? {
                    Ok(value) => value,
                    Err(why) => return Err(RenderError(why)),
                },
                Template::Flatten(list) => {
                    let mut flat = Vec::new();
                    flatten(self.walk(list, depth + 1).await?, &mut flat);
                    flat.into()
                }
                Template::UserData(data) => self.user_data(data, depth).await?.into(),
                Template::Call(function) => {
                    let value = self.generation.render(function, &self.input()).await.map_err(|e| RenderError(e.to_string()))?;
                    self.walk(&given("renderer", function, &value)?, depth + 1).await?
                }
                Template::CallWith { function, args, named } => {
                    let values = self.values(args, named, depth).await?;
                    let value = self.generation.render_with(function, &self.input(), values).await;
                    self.walk(&given("renderer", function, &value.map_err(|e| RenderError(e.to_string()))?)?, depth + 1).await?
                }
            })
        })
    }

    /// What a function gives, as it is: it may hold objects that are no values. None if the template is no function.
    pub async fn called(&self, template: &Template) -> Result<Option<Value>, RenderError> {
        let answer = match template {
            Template::Call(function) => self.generation.render(function, &self.input()).await,
            Template::CallWith { function, args, named } => {
                let values = self.values(args, named, 0).await?;
                self.generation.render_with(function, &self.input(), values).await
            }
            Template::Transform { function, args, named } => self.generation.transform(function, self.values(args, named, 0).await?).await,
            _ => return Ok(None),
        };
        answer.map(Some).map_err(|e| RenderError(e.to_string()))
    }

    async fn user_data(&self, data: &UserData, depth: usize) -> Result<String, RenderError> {
        let of_launch = |what: &str| self.worker.files.get(what).map(String::as_str);
        let (Some(name), Some(password)) = (of_launch("name"), of_launch("password")) else {
            return Err(RenderError("util.UserData tells of a machine that starts: its place is 'user_data' of a latent worker".into()));
        };
        let prepare = match &data.prepare {
            Some(template) => show(&self.walk(template, depth + 1).await?),
            None => String::new(),
        };
        data.script(name, password, &prepare).map_err(|why| RenderError(format!("util.UserData: {why}")))
    }

    fn input(&self) -> RenderInput {
        RenderInput { properties: (*self.properties).clone(), build: Some(self.build.clone()) }
    }

    /// Values for a function; the named ones come last, in a table.
    async fn values(&self, args: &[Template], named: &[(String, Template)], depth: usize) -> Result<Vec<Json>, RenderError> {
        let mut values = Vec::with_capacity(args.len() + 1);
        for arg in args {
            values.push(self.walk(arg, depth + 1).await?);
        }
        if !named.is_empty() {
            let mut table = Map::new();
            for (name, arg) in named {
                table.insert(name.clone(), self.walk(arg, depth + 1).await?);
            }
            values.push(table.into());
        }
        Ok(values)
    }

    fn text<'a>(&'a self, parts: &'a [Part], depth: usize) -> Rendering<'a, String> {
        Box::pin(async move {
            let mut out = String::new();
            for part in parts {
                match part {
                    Part::Text(text) => out.push_str(text),
                    // Without a text for that case, a secret that nobody has is no empty text.
                    Part::Substitute { source: Source::Secret(name), form: Form::Plain } => {
                        let value = self.secret(name).await?.map_err(RenderError)?;
                        out.push_str(&show(&value));
                    }
                    Part::Substitute { source, form } => {
                        let value = self.source(source, depth + 1).await?;
                        out.push_str(&self.form(value, form, depth + 1).await?);
                    }
                }
            }
            Ok(out)
        })
    }

    /// The secret, or why there is none of that name.
    async fn secret(&self, name: &str) -> Result<Result<Json, String>, RenderError> {
        let found = self.secrets.find(name).await.map_err(|e| RenderError(e.to_string()))?;
        Ok(found.map(|secret| Json::from(secret.reveal())))
    }

    /// The value itself; none if there is no such thing.
    async fn source(&self, source: &Source, depth: usize) -> Result<Option<Json>, RenderError> {
        Ok(match source {
            Source::Property(name) => self.properties.get(name).cloned(),
            Source::Argument(template) => Some(self.walk(template, depth).await?).filter(|v| !v.is_null()),
            Source::Secret(name) => self.secret(name).await?.ok(),
            Source::Worker(attribute) => worker_attribute(self.worker, attribute),
            Source::SourceStamp { codebase, attribute } => self
                .sourcestamps
                .iter()
                .find(|s| s.codebase == *codebase)
                .and_then(|s| match attribute.as_str() {
                    "branch" => s.branch.clone(),
                    "revision" => s.revision.clone(),
                    "repository" => Some(s.repository.clone()),
                    "project" => Some(s.project.clone()),
                    "codebase" => Some(s.codebase.clone()),
                    _ => None,
                })
                .map(Json::from),
        })
    }

    async fn form(&self, value: Option<Json>, form: &Form, depth: usize) -> Result<String, RenderError> {
        let shown = |value: Option<Json>| value.as_ref().map(show).unwrap_or_default();
        match form {
            Form::Plain => Ok(shown(value)),
            Form::IfMissing(text) => match value {
                Some(value) => Ok(show(&value)),
                None => self.text(text, depth).await,
            },
            Form::IfFalse(text) => match value.filter(truthy) {
                Some(value) => Ok(show(&value)),
                None => self.text(text, depth).await,
            },
            Form::IfPresent(text) => match value {
                Some(_) => self.text(text, depth).await,
                None => Ok(String::new()),
            },
            Form::Choose { by_truth, then, otherwise } => {
                let holds = value.is_some_and(|v| !by_truth || truthy(&v));
                self.text(if holds { then } else { otherwise }, depth).await
            }
        }
    }
}

fn worker_attribute(info: &WorkerInfo, attribute: &str) -> Option<Json> {
    Some(match attribute {
        "version" => info.version.clone().into(),
        "system" => info.system.clone().into(),
        "basedir" => info.basedir.clone().into(),
        "numcpus" => info.numcpus?.into(),
        file => info.files.get(file)?.trim_end_matches('\n').into(),
    })
}

/// ` (renderer at master.lua:5)`, for what a function gave and nobody can use; nothing without a function.
pub fn of_function(template: &Template) -> String {
    template.function().map(|(kind, function)| format!(" ({kind} at {})", function.place)).unwrap_or_default()
}

/// What a function gave, which may have to be rendered itself.
fn given(kind: &str, function: &FnRef, value: &Value) -> Result<Template, RenderError> {
    Template::from_value(value)
        .map_err(|wrong| RenderError(format!("{}: {kind}: returned what can't be rendered: {wrong}", function.place)))
}

fn flatten(value: Json, flat: &mut Vec<Json>) {
    match value {
        Json::Array(items) => items.into_iter().for_each(|item| flatten(item, flat)),
        other => flat.push(other),
    }
}

/// Empty, zero, false and nothing are not.
pub fn truthy(value: &Json) -> bool {
    match value {
        Json::Null => false,
        Json::Bool(b) => *b,
        Json::Number(n) => n.as_f64() != Some(0.0),
        Json::String(text) => !text.is_empty(),
        Json::Array(items) => !items.is_empty(),
        Json::Object(map) => !map.is_empty(),
    }
}

/// As text within a text.
pub fn show(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}
