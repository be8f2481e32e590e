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
    /// Each with its type, as in `step: RunningStep`.
    pub arguments: &'static str,
    /// The type of what it gives.
    pub returns: &'static str,
    pub result: &'static str,
    /// When it is called.
    pub when: &'static str,
    pub budget: Duration,
    /// The function of `lua/callbacks.lua` that calls it and checks its answer.
    pub(super) entry: &'static str,
}

/// For a call that a test makes.
const PLAIN_BUDGET: Duration = Duration::from_secs(30);

macro_rules! callbacks {
    ($($constant:ident: $name:literal, $entry:literal ($arguments:literal): $returns:literal -> $result:literal, $when:literal, $seconds:literal s;)*) => {
        $(pub(super) const $constant: CallbackDecl = CallbackDecl {
            name: $name,
            arguments: $arguments,
            returns: $returns,
            result: $result,
            when: $when,
            budget: Duration::from_secs($seconds),
            entry: $entry,
        };)*

        /// The table of all of them.
        pub const CALLBACKS: &[CallbackDecl] = &[$($constant),*];
    };
}

callbacks! {
    RENDERER: "renderer", "render" ("props: Properties, ...: any"): "any" -> "any value, which may hold what is to be rendered itself",
        "for each build, when what it stands for is needed; what follows `props` is what `:withArgs` was given, rendered", 5 s;
    TRANSFORM: "Transform", "transform" ("...: any"): "any" -> "any value, which may hold what is to be rendered itself",
        "as a renderer", 5 s;
    DO_STEP_IF: "doStepIf", "step_condition" ("step: RunningStep"): "any" -> "true or false by Python's rule (`truthy`); nil is false",
        "before the step runs", 5 s;
    HIDE_STEP_IF: "hideStepIf", "step_condition" ("results: Results, step: RunningStep"): "any" -> "true or false by Python's rule; nil is false",
        "when the step has ended", 5 s;
    EXTRACT_FN: "extract_fn", "extract" ("rc: integer, stdout: string, stderr: string"): "table<string, any>" -> "a table of properties", "when the step's command has ended", 5 s;
    WARNING_EXTRACTOR: "warningExtractor", "extract_warnings" ("step: RunningStep, line: string, match: WarningMatch"): "string?, integer?, string?" -> "file, line number and text of the warning; each may be nil",
        "for each line that `warningPattern` matches, many lines in one go", 5 s;
    NEXT_WORKER: "nextWorker", "next_worker" ("builder: Builder, workers: WorkerForBuilder[], request: BuildRequest"): "WorkerForBuilder|string|None|nil" -> "one of the workers (or its name); nil: nobody now",
        "when a request could start; also `c.select_next_worker`, for the builders without a function of their own", 2 s;
    NEXT_BUILD: "nextBuild", "next_build" ("builder: Builder, requests: BuildRequest[]"): "BuildRequest|None|nil" -> "one of the requests; nil: none now",
        "when requests could start; with the 1000 most urgent ones, in their order", 2 s;
    CAN_START_BUILD: "canStartBuild", "can_start_build" ("builder: Builder, wfb: WorkerForBuilder, request: BuildRequest"): "boolean, number?" -> "true, false, or false and the seconds until to ask again",
        "when a worker was chosen for a request", 2 s;
    PRIORITIZE_BUILDERS: "prioritizeBuilders", "prioritize_builders" ("master: Master, builders: Builder[]"): "Builder[]|string[]" -> "the builders (or their names) in their order; those left out come last",
        "when builders have requests that could start", 2 s;
    COLLAPSE_REQUESTS: "collapseRequests", "collapse_requests" ("master: Master, builder: Builder, req1: BuildRequest, req2: BuildRequest"): "boolean?" -> "true: the older one is skipped; false and nil: both stay",
        "when a request comes, with each of the 1000 newest that wait", 2 s;
    CHOICES: "choices", "choices" ("parameter: Parameter"): "string[]" -> "a list of texts",
        "when the form is shown or a build is forced; the answer is kept for 30 s", 5 s;
    PARSE_FROM_ARG: "parse_from_arg", "parse_parameter" ("self: Parameter, text: string"): "any" -> "any plain value; what it raises refuses the text",
        "when a build is forced, with what was entered, or the default", 2 s;
    PARSE_FROM_ARGS: "parse_from_args", "parse_parameter" ("self: Parameter, texts: string[]"): "any" -> "any plain value; what it raises refuses the texts",
        "the same, with all that was entered for the parameter", 2 s;
    SECRET: "SecretProvider.get", "secret" ("self: SecretProvider, name: string"): "string?" -> "the secret as text; nil: it has none of that name",
        "when a build or a worker needs the secret", 30 s;
    LOOKUP: "lookup", "lookup" ("name: string"): "string?" -> "the address of mail of that person; nil: there is none",
        "for each author or owner that a mail is for; it may wait", 30 s;
    SEND_MESSAGE: "sendMessage", "send_message" ("self: ReporterBase, reports: table<string, any>[]"): "any" -> "nothing; what it raises is tried again later",
        "for each message of a reporter of one's own", 60 s;
    NEEDED_BY_PROPS: "is_message_needed_by_props", "message_needed" ("self: BuildStatusGenerator, build: table<string, any>"): "boolean" -> "true or false by Python's rule; nil is false",
        "when a build starts or ends, in place of the generator's filters", 5 s;
    NEEDED_BY_RESULTS: "is_message_needed_by_results", "message_needed" ("self: BuildStatusGenerator, build: table<string, any>"): "boolean" -> "true or false by Python's rule; nil is false",
        "when a build ends, in place of the generator's `mode`", 5 s;
    FORMAT: "format", "format_message" ("self: Formatter, ctx: MessageContext"): "string|table" -> "the body as text, or a table of `body`, `type`, `subject`, `extra_info`, and `html` beside a plain body; a message is made without it when it fails",
        "when a message is made; also a method, as are `render_message_body`, `render_message_subject`, `render_message_extra_info` (self, ctx) and `buildAdditionalContext` (self, master, ctx)", 30 s;
    MESSAGE_FUNCTION: "MessageFormatterFunction", "format_message" ("ctx: MessageContext"): "any" -> "the body: text, or data where `template_type` is \"json\"",
        "when a message is made", 30 s;
    MESSAGE_FUNCTION_RAW: "MessageFormatterFunctionRaw", "format_message" ("master: Master, ctx: MessageContext"): "table" -> "as of `format`",
        "when a message is made", 30 s;
    EXTRA_INFO_CB: "extra_info_cb", "format_message" ("ctx: MessageContext"): "table?" -> "a table of tables; nil: nothing",
        "when a message is made", 30 s;
    START_INSTANCE: "start_instance", "start_instance" ("self: LatentWorker, build: Build"): "any" -> "`{ handle = …, status = { … } }`, each of which may be left out; a list of short texts; nothing; or false: not now",
        "when a build wants the worker, or its machine is kept warm (then `build` has no properties); again with the same `self.launch_id` if it is not known whether the first call started anything. `latent.capacity`, `latent.retry`, `latent.config_error` end it where nothing was started. Its budget is `missing_timeout`", 1200 s;
    STOP_INSTANCE: "stop_instance", "stop_instance" ("self: LatentWorker, handle: any, fast: boolean"): "any" -> "nothing, when the machine is known to be gone, also if there was none; false or an error: it is called again",
        "when the machine is to end; `fast`: the master stops", 600 s;
    CHECK_INSTANCE: "check_instance", "check_instance" ("self: LatentWorker, handle: any"): "boolean, string?" -> "true, or false and why the machine is not well",
        "every `check_instance_interval` until the worker has attached", 30 s;
    LIST_INSTANCES: "list_instances", "list_instances" ("self: LatentWorker"): "{ handle: any, launch_id: string }[]" -> "all instances that carry this master's mark (`self.master_id`), whoever started them",
        "when the master starts, every `c.reap_interval`, and when it is not known whether a machine was started", 60 s;
}

/// The whole reference: classes, keys, callbacks, library.
pub fn reference() -> String {
    format!("{}\n{}", crate::config::reference::markdown(), markdown())
}

/// All callbacks, what they are called with and what else the host offers, as a page of the reference.
fn markdown() -> String {
    let mut page = String::from("# Callbacks\n\n| Callback | Arguments | Result | Called | Budget |\n|---|---|---|---|---|\n");
    for kind in CALLBACKS {
        let (budget, result) = (duration::human(kind.budget), kind.result.replace('|', "\\|"));
        let arguments = kind.arguments.replace('|', "\\|");
        page.push_str(&format!("| `{}` | `{arguments}` | {result} | {} | {budget} |\n", kind.name, kind.when));
    }
    page.push_str("\nWhat JSON calls null is nil; lists count from 1. `c.lua = { callback_timeout = … }` replaces every budget.\n\n");
    page.push_str(&super::members::markdown());
    page.push('\n');
    page.push_str(&super::api::library::markdown());
    page.push('\n');
    page.push_str(&super::testing::words::markdown());
    page
}

/// A builder as callbacks see it.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct BuilderInput {
    pub name: String,
    pub builderid: i64,
    pub tags: Vec<String>,
    /// The builds that it runs now.
    pub building: Vec<BuildingInput>,
    /// The names of those that may build it; the workers themselves are an argument of their own, since builders share them.
    pub workers: Vec<String>,
    /// Of the requests that wait.
    pub highest_priority: Option<i64>,
    /// Seconds since the epoch.
    pub newest_complete_time: Option<f64>,
    pub oldest_request_time: Option<f64>,
}

/// A build that a builder runs now.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct BuildingInput {
    pub number: i64,
    pub workername: String,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct WorkerInput {
    pub name: String,
    /// Name to value.
    pub properties: Map<String, Json>,
    pub max_builds: Option<u32>,
    /// `ready`, `detached`, `paused`, `stopping`, `quarantined`.
    pub state: String,
    pub active_builds: usize,
    pub attached: bool,
    pub info: Map<String, Json>,
    /// How long it rests when it is put in quarantine next, in seconds.
    pub quarantine_timeout: f64,
}

/// What a callback did to a worker besides its answer.
#[derive(Clone, PartialEq, Debug)]
pub struct QuarantineOrder {
    pub worker: String,
    pub order: Quarantine,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Quarantine {
    /// It gets no build for that long, or as long as it is its turn to rest.
    Put(Option<Duration>),
    /// The next rest is as short as the first.
    Reset,
    /// So long is the next rest.
    Next(Duration),
}

/// An answer, and what else was asked for meanwhile.
#[derive(Clone, PartialEq, Debug)]
pub struct Decided<T> {
    pub answer: T,
    pub quarantine: Vec<QuarantineOrder>,
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
    /// Of its build set.
    pub reason: String,
    pub sources: Vec<SourceStamp>,
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

impl CallbackDecl {
    /// As the type of a function.
    pub fn signature(&self) -> String {
        format!("fun({}): {}", self.arguments, self.returns)
    }
}

/// The type of the function that stands in an argument or key of that name, in any spelling.
pub(super) fn signature_of(name: &str) -> String {
    let today = match name {
        "select_next_worker" | "nextSlave" => "nextWorker",
        "mergeRequests" => "collapseRequests",
        "function" => "Transform",
        other => other,
    };
    CALLBACKS.iter().find(|c| c.name == today).map_or_else(|| "function".to_owned(), CallbackDecl::signature)
}

impl Generation {
    /// Any function of the configuration, with plain data.
    pub(super) async fn plain_call(&self, f: &FnRef, args: Vec<Json>) -> Result<Value, LuaFailure> {
        self.call(("plain", "the function", PLAIN_BUDGET), f, args).await
    }

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
        self.render_with(f, cx, Vec::new()).await
    }

    /// The same of a renderer that takes further values.
    pub async fn render_with(&self, f: &FnRef, cx: &RenderInput, values: Vec<Json>) -> Result<Value, LuaFailure> {
        self.ask(RENDERER, f, vec![serde_json::to_value(cx), Ok(values.len().into()), Ok(values.into())], Ok).await
    }

    /// The address of a person; none: there is none.
    pub async fn lookup(&self, f: &FnRef, name: &str) -> Result<Option<String>, LuaFailure> {
        self.ask(LOOKUP, f, vec![Ok(name.into())], |answer| match answer {
            Value::None => Ok(None),
            Value::Text(address) => Ok(Some(address)),
            other => Err(unexpected(&other)),
        })
        .await
    }

    /// Reports go out through a reporter of the file's own.
    pub async fn send_message(&self, f: &FnRef, reports: Json) -> Result<(), LuaFailure> {
        self.ask(SEND_MESSAGE, f, vec![Ok(reports)], |_| Ok(())).await
    }

    /// `is_message_needed_by_props`, or for the end of a build `is_message_needed_by_results`.
    pub async fn message_needed(&self, f: &FnRef, by_results: bool, build: Json) -> Result<bool, LuaFailure> {
        let kind = if by_results { NEEDED_BY_RESULTS } else { NEEDED_BY_PROPS };
        self.ask(kind, f, vec![Ok(build)], truth).await
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

    /// A decision about workers, with what was ordered for them.
    async fn decide<T>(
        &self,
        kind: CallbackDecl,
        f: &FnRef,
        args: Vec<Result<Json, serde_json::Error>>,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Result<Decided<T>, LuaFailure> {
        self.ask(kind, f, args, |decided| {
            let Value::Table(decided) = decided else { return Err(unexpected(&decided)) };
            let orders = match decided.named.get("orders") {
                Some(Value::Table(orders)) => orders.items.iter().map(order).collect::<Result<_, _>>()?,
                _ => Vec::new(),
            };
            Ok(Decided { answer: read(decided.named.get("answer").unwrap_or(&Value::None))?, quarantine: orders })
        })
        .await
    }

    /// The name of the worker, one of the `offered`, that is to run the request. `workers` are all of the builder's.
    pub async fn next_worker(
        &self,
        f: &FnRef,
        builder: &BuilderInput,
        workers: &[WorkerInput],
        offered: &[String],
        request: &RequestInput,
    ) -> Result<Decided<Option<String>>, LuaFailure> {
        let args = vec![
            serde_json::to_value(builder),
            serde_json::to_value(workers),
            serde_json::to_value(offered),
            serde_json::to_value(request),
        ];
        self.decide(NEXT_WORKER, f, args, |answer| match answer {
            Value::None => Ok(None),
            Value::Text(name) => Ok(Some(name.clone())),
            other => Err(unexpected(other)),
        })
        .await
    }

    pub async fn next_build(
        &self,
        f: &FnRef,
        builder: &BuilderInput,
        workers: &[WorkerInput],
        requests: &[RequestInput],
    ) -> Result<Decided<Option<RequestId>>, LuaFailure> {
        let args = vec![serde_json::to_value(builder), serde_json::to_value(workers), serde_json::to_value(requests)];
        self.decide(NEXT_BUILD, f, args, |answer| match answer {
            Value::None => Ok(None),
            Value::Int(id) => Ok(Some(RequestId(*id))),
            other => Err(unexpected(other)),
        })
        .await
    }

    /// May the request start on the worker `worker` of these?
    pub async fn can_start_build(
        &self,
        f: &FnRef,
        builder: &BuilderInput,
        workers: &[WorkerInput],
        worker: &str,
        request: &RequestInput,
    ) -> Result<Decided<CanStart>, LuaFailure> {
        let args = vec![serde_json::to_value(builder), serde_json::to_value(workers), Ok(worker.into()), serde_json::to_value(request)];
        self.decide(CAN_START_BUILD, f, args, |answer| {
            let Value::Table(answer) = answer else { return Err(unexpected(answer)) };
            if answer.named.get("yes") == Some(&Value::Bool(true)) {
                return Ok(CanStart::Yes);
            }
            Ok(CanStart::No { again_in: answer.named.get("again_in").and_then(seconds) })
        })
        .await
    }

    /// All the builders' names, in the order in which they are to be looked at. `workers` are those of all builders, each once.
    pub async fn prioritize_builders(
        &self,
        f: &FnRef,
        builders: &[BuilderInput],
        workers: &[WorkerInput],
    ) -> Result<Decided<Vec<String>>, LuaFailure> {
        self.decide(PRIORITIZE_BUILDERS, f, vec![serde_json::to_value(builders), serde_json::to_value(workers)], |answer| {
            let Value::Table(answer) = answer else { return Err(unexpected(answer)) };
            texts(&answer.items)
        })
        .await
    }

    pub async fn collapse_requests(
        &self,
        f: &FnRef,
        builder: &BuilderInput,
        workers: &[WorkerInput],
        a: &RequestInput,
        b: &RequestInput,
    ) -> Result<Decided<bool>, LuaFailure> {
        let args = vec![serde_json::to_value(builder), serde_json::to_value(workers), serde_json::to_value(a), serde_json::to_value(b)];
        self.decide(COLLAPSE_REQUESTS, f, args, |answer| truth(answer.clone())).await
    }

    /// What can be chosen for a parameter.
    pub async fn choices(&self, f: &FnRef) -> Result<Vec<String>, LuaFailure> {
        self.ask(CHOICES, f, vec![], |answer| {
            let Value::Table(answer) = answer else { return Err(unexpected(&answer)) };
            texts(&answer.items)
        })
        .await
    }

    /// The value that a parameter of the file's own makes of what was entered: one text, or all of them.
    pub async fn parse_parameter(&self, f: &FnRef, entered: &Json) -> Result<Json, LuaFailure> {
        let kind = if entered.is_array() { PARSE_FROM_ARGS } else { PARSE_FROM_ARG };
        self.ask(kind, f, vec![Ok(entered.clone())], |answer| {
            answer.to_json().map_err(|what| format!("must return plain data, got {}: {what}", answer.describe()))
        })
        .await
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

/// What a decision orders for one worker.
fn order(order: &Value) -> Result<QuarantineOrder, String> {
    let Value::Table(order) = order else { return Err(unexpected(order)) };
    let after = order.named.get("seconds").and_then(seconds);
    let what = match (order.named.get("order"), after) {
        (Some(Value::Text(what)), _) if what == "put" => Quarantine::Put(after),
        (Some(Value::Text(what)), _) if what == "reset" => Quarantine::Reset,
        (_, Some(after)) => Quarantine::Next(after),
        _ => return Err("ordered what can't be done to a worker".into()),
    };
    let Some(Value::Text(worker)) = order.named.get("worker") else { return Err("ordered something for no worker".into()) };
    Ok(QuarantineOrder { worker: worker.clone(), order: what })
}

fn seconds(value: &Value) -> Option<Duration> {
    match value {
        Value::Int(seconds) => duration::from_seconds(*seconds as f64),
        Value::Float(seconds) => duration::from_seconds(*seconds),
        _ => None,
    }
}

fn texts(items: &[Value]) -> Result<Vec<String>, String> {
    let one = |item: &Value| match item {
        Value::Text(text) => Ok(text.clone()),
        other => Err(unexpected(other)),
    };
    items.iter().map(one).collect()
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
