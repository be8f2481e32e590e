//! Every callback: its name, arguments, result and budget, and the plain data it is called with. `lua/callbacks.lua` gives that data
//! the members that functions use and checks what comes back.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::failure::LuaFailure;
use super::generation::Generation;
use crate::base::{RequestId, Secret, duration};
use crate::config::{FnRef, Value};
use crate::model::{Properties, Results, SourceStamp};

/// A kind of callback, for the reference.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct CallbackDecl {
    pub name: &'static str,
    pub arguments: &'static str,
    pub result: &'static str,
    pub budget: Duration,
    entry: &'static str,
}

const fn decl(name: &'static str, entry: &'static str, arguments: &'static str, result: &'static str, seconds: u64) -> CallbackDecl {
    CallbackDecl { name, arguments, result, budget: Duration::from_secs(seconds), entry }
}

const RENDERER: CallbackDecl = decl("renderer", "render", "props", "any value, which may hold what is to be rendered itself", 5);
const TRANSFORM: CallbackDecl =
    decl("Transform", "transform", "the rendered values", "any value, which may hold what is to be rendered itself", 5);
const DO_STEP_IF: CallbackDecl = decl("doStepIf", "step_condition", "step", "true or false; nil is false", 5);
const HIDE_STEP_IF: CallbackDecl = decl("hideStepIf", "step_condition", "results, step", "true or false; nil is false", 5);
const EXTRACT_FN: CallbackDecl = decl("extract_fn", "extract", "rc, stdout, stderr", "a table of properties", 5);
const WARNING_EXTRACTOR: CallbackDecl =
    decl("warningExtractor", "extract_warnings", "step, line, match", "file, line number and text of the warning; each may be nil", 5);
const NEXT_WORKER: CallbackDecl = decl("nextWorker", "next_worker", "builder, workers, request", "one of the workers; nil: nobody now", 2);
const NEXT_BUILD: CallbackDecl = decl("nextBuild", "next_build", "builder, requests", "one of the requests; nil: none now", 2);
const CAN_START_BUILD: CallbackDecl =
    decl("canStartBuild", "can_start_build", "builder, wfb, request", "true, false, or false and the seconds until to ask again", 2);
const PRIORITIZE_BUILDERS: CallbackDecl =
    decl("prioritizeBuilders", "prioritize_builders", "master, builders", "the builders in their order; those left out come last", 2);
const COLLAPSE_REQUESTS: CallbackDecl =
    decl("collapseRequests", "collapse_requests", "master, builder, req1, req2", "true or false; nil is false", 2);

const SECRET: CallbackDecl = decl("SecretProvider.get", "secret", "self, name", "the secret as text; nil: it has none of that name", 30);

/// The table of all of them.
pub const CALLBACKS: &[CallbackDecl] = &[
    RENDERER,
    TRANSFORM,
    DO_STEP_IF,
    HIDE_STEP_IF,
    EXTRACT_FN,
    WARNING_EXTRACTOR,
    NEXT_WORKER,
    NEXT_BUILD,
    CAN_START_BUILD,
    PRIORITIZE_BUILDERS,
    COLLAPSE_REQUESTS,
    SECRET,
];

/// All callbacks and what else the host offers, as a page of the reference.
pub fn markdown() -> String {
    let mut page = String::from("# Callbacks\n\n| Callback | Arguments | Result | Budget |\n|---|---|---|---|\n");
    for kind in CALLBACKS {
        let budget = duration::human(kind.budget);
        page.push_str(&format!("| `{}` | `{}` | {} | {budget} |\n", kind.name, kind.arguments, kind.result.replace('|', "\\|")));
    }
    page.push('\n');
    page.push_str(&super::api::library::markdown());
    page
}

/// A builder as callbacks see it.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct BuilderInput {
    pub name: String,
    pub builderid: i64,
    pub tags: Vec<String>,
    /// How many builds it runs now; the function sees a list of that length.
    pub building: usize,
    pub workers: Vec<String>,
    /// Of the requests that wait.
    pub highest_priority: Option<i64>,
    /// Seconds since the epoch.
    pub newest_complete_time: Option<f64>,
    pub oldest_request_time: Option<f64>,
}

/// A worker, and what it is to the builder in question.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct WorkerInput {
    pub name: String,
    /// Name to value.
    pub properties: Map<String, Json>,
    pub max_builds: Option<u32>,
    pub state: String,
    pub active_builds: usize,
    pub attached: bool,
    /// It runs a build of this builder.
    pub busy: bool,
    pub info: Map<String, Json>,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct RequestInput {
    pub id: RequestId,
    pub bsid: i64,
    pub priority: i64,
    pub reason: String,
    /// Seconds since the epoch.
    #[serde(rename = "submittedAt")]
    pub submitted_at: f64,
    #[serde(serialize_with = "only_values")]
    pub properties: Properties,
    pub sources: Vec<SourceStamp>,
}

/// The build that a step or a renderer belongs to.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct BuildInput {
    pub buildid: i64,
    pub number: i64,
    /// The builder's name.
    pub builder: String,
    pub workername: String,
    pub results: Option<Results>,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct RenderInput {
    #[serde(serialize_with = "only_values")]
    pub properties: Properties,
    pub build: Option<BuildInput>,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct StepInput {
    pub name: String,
    #[serde(serialize_with = "only_values")]
    pub properties: Properties,
    pub build: Option<BuildInput>,
}

/// A line that is a warning, for `warningExtractor`.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct WarningFound {
    pub line: String,
    /// The whole match, then its groups.
    pub groups: Vec<Option<String>>,
    pub names: BTreeMap<String, String>,
}

/// What a warning is about.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct WarningTold {
    pub file: Option<String>,
    pub line: Option<i64>,
    pub text: Option<String>,
}

fn only_values<S: serde::Serializer>(properties: &Properties, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(properties.0.iter().map(|(name, property)| (name, &property.value)))
}

/// The answer of `canStartBuild`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum CanStart {
    Yes,
    No { again_in: Option<Duration> },
}

impl Generation {
    async fn ask<T>(
        &self,
        kind: CallbackDecl,
        f: &FnRef,
        args: Vec<Result<Json, serde_json::Error>>,
        read: impl FnOnce(Value) -> Result<T, String>,
    ) -> Result<T, LuaFailure> {
        let failure =
            |message: String| LuaFailure { message, at: Some(f.place.clone()), callback: kind.name.to_owned(), traceback: Vec::new() };
        let args = args.into_iter().collect::<Result<Vec<Json>, _>>().map_err(|e| failure(format!("its arguments: {e}")))?;
        let answer = self.call((kind.entry, kind.name, kind.budget), f, args).await?;
        read(answer).map_err(failure)
    }

    /// A renderer's value. It may hold objects and functions, which are to be rendered in turn.
    pub async fn render(&self, f: &FnRef, cx: &RenderInput) -> Result<Value, LuaFailure> {
        self.ask(RENDERER, f, vec![serde_json::to_value(cx)], Ok).await
    }

    /// What the function of a `Transform` gives for these.
    pub async fn transform(&self, f: &FnRef, values: Vec<Json>) -> Result<Value, LuaFailure> {
        let args = vec![Ok(Json::from(values.len())), Ok(Json::Array(values))];
        self.ask(TRANSFORM, f, args, Ok).await
    }

    /// `doStepIf`, or with results `hideStepIf`.
    pub async fn step_condition(&self, f: &FnRef, results: Option<Results>, step: &StepInput) -> Result<bool, LuaFailure> {
        let kind = if results.is_some() { HIDE_STEP_IF } else { DO_STEP_IF };
        self.ask(kind, f, vec![serde_json::to_value(results), serde_json::to_value(step)], truth).await
    }

    /// The name of the worker that is to run the request.
    pub async fn next_worker(
        &self,
        f: &FnRef,
        builder: &BuilderInput,
        workers: &[WorkerInput],
        request: &RequestInput,
    ) -> Result<Option<String>, LuaFailure> {
        let args = vec![serde_json::to_value(builder), serde_json::to_value(workers), serde_json::to_value(request)];
        self.ask(NEXT_WORKER, f, args, |answer| match answer {
            Value::None => Ok(None),
            Value::Text(name) => Ok(Some(name)),
            other => Err(unexpected(&other)),
        })
        .await
    }

    pub async fn next_build(&self, f: &FnRef, builder: &BuilderInput, requests: &[RequestInput]) -> Result<Option<RequestId>, LuaFailure> {
        let args = vec![serde_json::to_value(builder), serde_json::to_value(requests)];
        self.ask(NEXT_BUILD, f, args, |answer| match answer {
            Value::None => Ok(None),
            Value::Int(id) => Ok(Some(RequestId(id))),
            other => Err(unexpected(&other)),
        })
        .await
    }

    pub async fn can_start_build(
        &self,
        f: &FnRef,
        builder: &BuilderInput,
        worker: &WorkerInput,
        request: &RequestInput,
    ) -> Result<CanStart, LuaFailure> {
        let args = vec![serde_json::to_value(builder), serde_json::to_value(worker), serde_json::to_value(request)];
        self.ask(CAN_START_BUILD, f, args, |answer| {
            let Value::Table(answer) = answer else { return Err(unexpected(&answer)) };
            if answer.named.get("yes") == Some(&Value::Bool(true)) {
                return Ok(CanStart::Yes);
            }
            let again_in = match answer.named.get("again_in") {
                Some(Value::Int(seconds)) => duration::from_seconds(*seconds as f64),
                Some(Value::Float(seconds)) => duration::from_seconds(*seconds),
                _ => None,
            };
            Ok(CanStart::No { again_in })
        })
        .await
    }

    /// All the builders' names, in the order in which they are to be looked at.
    pub async fn prioritize_builders(&self, f: &FnRef, builders: &[BuilderInput]) -> Result<Vec<String>, LuaFailure> {
        self.ask(PRIORITIZE_BUILDERS, f, vec![serde_json::to_value(builders)], |answer| {
            let Value::Table(answer) = answer else { return Err(unexpected(&answer)) };
            answer
                .items
                .iter()
                .map(|item| match item {
                    Value::Text(name) => Ok(name.clone()),
                    other => Err(unexpected(other)),
                })
                .collect()
        })
        .await
    }

    pub async fn collapse_requests(
        &self,
        f: &FnRef,
        builder: &BuilderInput,
        a: &RequestInput,
        b: &RequestInput,
    ) -> Result<bool, LuaFailure> {
        let args = vec![serde_json::to_value(builder), serde_json::to_value(a), serde_json::to_value(b)];
        self.ask(COLLAPSE_REQUESTS, f, args, truth).await
    }

    /// A secret of a provider that is a class of the file. No text of a failure here holds the value.
    pub async fn secret(&self, f: &FnRef, name: &str) -> Result<Option<Secret>, LuaFailure> {
        self.ask(SECRET, f, vec![Ok(Json::from(name))], |answer| match answer {
            Value::None => Ok(None),
            Value::Text(text) => Ok(Some(Secret::new(text))),
            Value::Bytes(_) => Err("must give text, got text that is not UTF-8".into()),
            _ => Err("must give text or nil".into()),
        })
        .await
    }

    /// What each of these warnings is about.
    pub async fn extract_warnings(&self, f: &FnRef, step: &StepInput, found: &[&WarningFound]) -> Result<Vec<WarningTold>, LuaFailure> {
        let args = vec![serde_json::to_value(step), serde_json::to_value(found)];
        self.ask(WARNING_EXTRACTOR, f, args, |answer| match answer {
            Value::Table(answer) if answer.items.len() == found.len() => answer.items.iter().map(warning).collect(),
            other => Err(unexpected(&other)),
        })
        .await
    }

    /// The properties that `extract_fn` finds in a command's output.
    pub async fn extract(&self, f: &FnRef, rc: i64, stdout: &str, stderr: &str) -> Result<Map<String, Json>, LuaFailure> {
        let args = vec![Ok(Json::from(rc)), Ok(Json::from(stdout)), Ok(Json::from(stderr))];
        self.ask(EXTRACT_FN, f, args, |answer| match answer.to_json() {
            Ok(Json::Object(properties)) => Ok(properties),
            Ok(Json::Array(items)) if items.is_empty() => Ok(Map::new()),
            Ok(_) => Err(format!("must return a table of properties by name, got {}", answer.describe())),
            Err(what) => Err(format!("returned a table of properties with something that is no plain data: {what}")),
        })
        .await
    }
}

fn warning(answer: &Value) -> Result<WarningTold, String> {
    let Value::Table(answer) = answer else { return Err(unexpected(answer)) };
    let text = |name: &str| match answer.named.get(name) {
        None | Some(Value::None) => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text.clone())),
        Some(other) => Err(unexpected(other)),
    };
    let line = match answer.named.get("line") {
        Some(Value::Int(line)) => Some(*line),
        _ => None,
    };
    Ok(WarningTold { file: text("file")?, line, text: text("text")? })
}

fn truth(answer: Value) -> Result<bool, String> {
    match answer {
        Value::Bool(b) => Ok(b),
        other => Err(unexpected(&other)),
    }
}

fn unexpected(answer: &Value) -> String {
    format!("gave {} where it can't", answer.describe())
}
