//! Calls of backends that are written in Lua: starting, stopping, checking, listing instances, each with the deadline that it is given.
//!
//! `lua/backends.lua` gives the methods their `self` and checks what they answer. Never decides what a failure means for the worker.

use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::callbacks::{CHECK_INSTANCE, CallbackDecl, LIST_INSTANCES, START_INSTANCE, STOP_INSTANCE};
use super::failure::LuaFailure;
use super::generation::Generation;
use crate::base::Secret;
use crate::config::{FnRef, Table, Value};
use crate::model::LaunchId;

/// Longer handles do not belong into a ledger.
const LONGEST_HANDLE: usize = 16 << 10;
/// Of the texts for people.
const LONGEST_STATUS: usize = 200;
const MOST_STATUS: usize = 20;

/// What `self` has besides the class's own: whom the call is about.
#[derive(Clone, Debug, Default)]
pub struct BackendSelf {
    pub worker: String,
    pub password: Option<Secret>,
    pub launch: Option<LaunchId>,
    pub master_id: String,
    pub master_host: Option<String>,
    pub master_port: Option<u16>,
    /// Arguments that were rendered.
    pub rendered: Map<String, Json>,
    /// Those that could not be, and why.
    pub unrendered: Map<String, Json>,
}

impl BackendSelf {
    fn to_json(&self) -> Json {
        json!({
            "name": self.worker, "password": self.password.as_ref().map(Secret::reveal), "launch_id": self.launch,
            "master_id": self.master_id, "master_host": self.master_host, "master_port": self.master_port,
            "rendered": self.rendered, "unrendered": self.unrendered,
        })
    }
}

/// How `start_instance` ended, if it did not fail.
#[derive(Clone, PartialEq, Debug)]
pub enum StartAnswer {
    Started {
        handle: Json,
        status: Vec<String>,
        price_per_hour: Option<f64>,
    },
    /// Nothing was started, because there is no room.
    Capacity(String),
    /// Nothing was started; it may work after that.
    Retry(String, Duration),
    /// Nothing was started, and no retry helps.
    ConfigError(String),
}

/// A method of a class of the file.
#[derive(Clone, Copy, Debug)]
pub struct Method<'a> {
    pub class: &'a str,
    pub function: &'a FnRef,
    /// How long it may take.
    pub limit: Duration,
}

impl Method<'_> {
    fn failure(&self, kind: &CallbackDecl, message: String) -> LuaFailure {
        let callback = format!("{}:{}", self.class, kind.name);
        LuaFailure { message, at: Some(self.function.place.clone()), callback, traceback: Vec::new() }
    }
}

impl Generation {
    async fn backend(&self, kind: CallbackDecl, method: Method<'_>, args: Vec<Json>) -> Result<Value, LuaFailure> {
        let answer = self.call_for((kind.entry, kind.name), method.limit, method.function, args).await;
        answer.map_err(|failure| LuaFailure { callback: format!("{}:{}", method.class, kind.name), ..failure })
    }

    /// The build has `builder`, `workername`, `reason`, `sources`.
    pub async fn start_instance(
        &self,
        method: Method<'_>,
        me: &BackendSelf,
        build: Json,
        properties: Map<String, Json>,
    ) -> Result<StartAnswer, LuaFailure> {
        let input = json!({ "build": build, "properties": properties });
        let answer = self.backend(START_INSTANCE, method, vec![me.to_json(), input]).await?;
        started(&answer).map_err(|why| method.failure(&START_INSTANCE, why))
    }

    pub async fn stop_instance(&self, method: Method<'_>, me: &BackendSelf, handle: Json, fast: bool) -> Result<(), LuaFailure> {
        self.backend(STOP_INSTANCE, method, vec![me.to_json(), handle, fast.into()]).await.map(drop)
    }

    /// The inner error: it is not well, and why.
    pub async fn check_instance(&self, method: Method<'_>, me: &BackendSelf, handle: Json) -> Result<Result<(), String>, LuaFailure> {
        let answer = self.backend(CHECK_INSTANCE, method, vec![me.to_json(), handle]).await?;
        let Value::Table(answer) = answer else { return Err(method.failure(&CHECK_INSTANCE, "gave no answer".into())) };
        Ok(match text(&answer, "why") {
            Some(why) => Err(why),
            None => Ok(()),
        })
    }

    pub async fn list_instances(&self, method: Method<'_>, me: &BackendSelf) -> Result<Vec<(LaunchId, Json)>, LuaFailure> {
        let wrong = |why: String| method.failure(&LIST_INSTANCES, why);
        let answer = self.backend(LIST_INSTANCES, method, vec![me.to_json()]).await?;
        let Value::Table(answer) = answer else { return Err(wrong("gave no answer".into())) };
        let Some(Value::Table(list)) = answer.named.get("instances") else { return Err(wrong("gave no list".into())) };
        let one = |(number, item): (usize, &Value)| {
            let Value::Table(item) = item else { return Err(wrong(format!("item {number} is no table"))) };
            let launch = text(item, "launch_id").ok_or_else(|| wrong(format!("the launch_id of item {number} is no text")))?;
            Ok((LaunchId(launch.into()), handle(item).map_err(|why| wrong(format!("item {number}: {why}")))?))
        };
        (1..).zip(&list.items).map(one).collect()
    }
}

fn text(table: &Table, name: &str) -> Option<String> {
    match table.named.get(name) {
        Some(Value::Text(text)) => Some(text.clone()),
        _ => None,
    }
}

fn number(table: &Table, name: &str) -> Option<f64> {
    match table.named.get(name) {
        Some(Value::Int(i)) => Some(*i as f64),
        Some(Value::Float(x)) => Some(*x),
        _ => None,
    }
}

fn handle(table: &Table) -> Result<Json, String> {
    let value = table.named.get("handle").unwrap_or(&Value::None);
    let handle = value.to_json().map_err(|what| format!("the handle must be plain data, got {what}"))?;
    let length = handle.to_string().len();
    if length > LONGEST_HANDLE {
        return Err(format!("the handle must not be longer than {} KiB as JSON, got {} KiB", LONGEST_HANDLE >> 10, length >> 10));
    }
    Ok(handle)
}

fn started(answer: &Value) -> Result<StartAnswer, String> {
    let Value::Table(answer) = answer else { return Err("gave no answer".into()) };
    if let Some(kind) = text(answer, "failure") {
        let message = text(answer, "message").unwrap_or_else(|| "no reason is given as text".into());
        let message = match text(answer, "place") {
            Some(place) => format!("{place}: {message}"),
            None => message,
        };
        let seconds = number(answer, "seconds").unwrap_or_default();
        return Ok(match kind.as_str() {
            "capacity" => StartAnswer::Capacity(message),
            "retry" => StartAnswer::Retry(message, Duration::try_from_secs_f64(seconds).unwrap_or_default()),
            _ => StartAnswer::ConfigError(message),
        });
    }
    let status = match answer.named.get("status") {
        Some(Value::Table(list)) => list.items.iter().filter_map(|v| if let Value::Text(t) = v { Some(shortened(t)) } else { None }),
        _ => return Ok(StartAnswer::Started { handle: handle(answer)?, status: Vec::new(), price_per_hour: None }),
    };
    let status = status.take(MOST_STATUS).collect();
    Ok(StartAnswer::Started { handle: handle(answer)?, status, price_per_hour: number(answer, "price") })
}

fn shortened(text: &str) -> String {
    text.chars().take(LONGEST_STATUS).collect()
}
