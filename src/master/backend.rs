//! Answers the web's questions from the store, the engine and the registry.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt;
use serde_json::{Map, Value as Json, json};

use super::{MASTER_ID, Master};
use crate::base::{BuildId, BuilderId, BuildsetId, LogId, RequestId, SchedulerId, WorkerId};
use crate::builds::force::full_name;
use crate::builds::{Refusal, Submitted};
use crate::config::{Choices, ForceSpec, MasterConfig, Parameter, ParameterKind, SchedulerKind};
use crate::lua::Loaded;
use crate::model::query::{Filter, Page, Query, Row};
use crate::model::request::NewBuildset;
use crate::model::{Results, SourceStamp};
use crate::report::driver;
use crate::store::{self, StoreError};
use crate::web::backend::{ApiError, Backend, BoxFuture, Caller, ControlError, Forced, LogLines, RawLog, Resource, WorkerAction};

/// Launches that are shown at most, the newest.
const LAUNCHES: i64 = 2000;

pub(super) fn row(value: Json) -> Row {
    match value {
        Json::Object(map) => map,
        _ => Row::new(),
    }
}

pub(super) fn builder_rows(config: &MasterConfig, ids: &HashMap<String, BuilderId>) -> Vec<Row> {
    let mut rows: Vec<(BuilderId, Row)> = config
        .builders
        .iter()
        .filter_map(|b| {
            let id = *ids.get(&b.name)?;
            let builder = json!({
                "builderid": id, "name": b.name, "description": b.description, "description_format": b.description_format,
                "description_html": null, "masterids": [MASTER_ID], "projectid": null, "tags": b.tags,
            });
            Some((id, row(builder)))
        })
        .collect();
    rows.sort_by_key(|(id, _)| *id);
    rows.into_iter().map(|(_, row)| row).collect()
}

pub(super) fn scheduler_rows(config: &MasterConfig, ids: &HashMap<String, SchedulerId>) -> Vec<Row> {
    let schedulers = config.schedulers.iter().filter_map(|s| {
        let id = ids.get(&s.name)?;
        Some(row(json!({
            "schedulerid": id, "name": s.name, "enabled": true,
            "master": { "masterid": MASTER_ID, "active": true },
        })))
    });
    schedulers.collect()
}

/// What can be chosen, or why that is not known.
type Known<'a> = &'a dyn Fn(&Choices) -> Result<Vec<String>, String>;

fn force_row(name: &str, builders: &[String], form: &ForceSpec, known: Known) -> Row {
    let fields = |list: &[Parameter]| list.iter().map(|p| parameter(p, "", known)).collect::<Vec<_>>();
    let basics = [&form.username, &form.reason, &form.priority].map(|p| parameter(p, "", known));
    let all: Vec<Json> = basics.into_iter().chain(fields(&form.codebases)).chain(fields(&form.properties)).collect();
    row(
        json!({ "name": name, "label": form.label, "button_name": form.button_name, "enabled": true, "builder_names": builders, "all_fields": all }),
    )
}

fn parameter(p: &Parameter, parent: &str, known: Known) -> Json {
    let full = match &p.kind {
        ParameterKind::Codebase { codebase, .. } => codebase.clone(),
        _ => full_name(parent, &p.name),
    };
    let mut field = row(json!({
        "name": p.name, "fullName": full, "label": p.label, "tablabel": p.tablabel, "tooltip": p.tooltip, "regex": p.regex,
        "default": p.default, "required": p.required, "multiple": p.multiple, "hide": p.hide, "type": kind(&p.kind),
    }));
    for (name, number) in [("size", p.size), ("cols", p.cols), ("rows", p.rows)] {
        if let Some(number) = number {
            field.insert(name.into(), number.into());
        }
    }
    match &p.kind {
        ParameterKind::Choice { choices, strict } => {
            let (choices, trouble) = match known(choices) {
                Ok(choices) => (choices, None),
                Err(why) => (Vec::new(), Some(why)),
            };
            field.insert("choices".into(), choices.into());
            if let Some(why) = trouble {
                field.insert("choices_error".into(), why.into());
            }
            field.insert("strict".into(), (*strict).into());
        }
        ParameterKind::UserName { need_email } => {
            field.insert("need_email".into(), (*need_email).into());
        }
        ParameterKind::File { max_bytes } => {
            field.insert("maxsize".into(), (*max_bytes).into());
        }
        ParameterKind::Codebase { codebase, fields } => {
            field.insert("codebase".into(), codebase.clone().into());
            field.insert("fields".into(), fields.iter().map(|f| parameter(f, codebase, known)).collect());
        }
        ParameterKind::Nested { fields, columns, layout } => {
            field.insert("columns".into(), (*columns).into());
            field.insert("layout".into(), layout.clone().into());
            field.insert("fields".into(), fields.iter().map(|f| parameter(f, &full, known)).collect());
        }
        ParameterKind::AnyProperty => {
            let part =
                |name: &str| json!({ "name": name, "fullName": full_name(&full, name), "type": "text", "label": name, "default": "" });
            field.insert("fields".into(), json!([part("name"), part("value")]));
        }
        _ => {}
    }
    field.into()
}

fn kind(kind: &ParameterKind) -> &'static str {
    match kind {
        ParameterKind::Fixed => "fixed",
        ParameterKind::Text => "text",
        ParameterKind::Int => "int",
        ParameterKind::Bool => "bool",
        ParameterKind::UserName { .. } => "username",
        ParameterKind::Choice { .. } => "list",
        ParameterKind::Worker => "worker",
        ParameterKind::File { .. } => "file",
        ParameterKind::AnyProperty | ParameterKind::Codebase { .. } | ParameterKind::Nested { .. } => "nested",
    }
}

fn api_error(e: StoreError) -> ApiError {
    if e.is_query() { ApiError::BadQuery(e.to_string()) } else { ApiError::Failed(e.to_string()) }
}

fn refusal(r: Refusal) -> ControlError {
    match r {
        Refusal::NotFound(text) => ControlError::NotFound(text),
        Refusal::Invalid(text) => ControlError::Invalid(text),
        Refusal::Fields(fields) => ControlError::Fields(fields),
        Refusal::Failed(text) => ControlError::Failed(text),
    }
}

fn forced(submitted: Submitted) -> Forced {
    (submitted.buildset.0, submitted.requests.into_iter().map(|(builder, request)| (builder.0, request.0)).collect())
}

fn resource(what: Resource) -> store::Resource {
    match what {
        Resource::Builds => store::Resource::Builds,
        Resource::Buildrequests => store::Resource::Buildrequests,
        Resource::Buildsets => store::Resource::Buildsets,
        Resource::Steps => store::Resource::Steps,
        Resource::Logs => store::Resource::Logs,
        Resource::Sourcestamps => store::Resource::Sourcestamps,
        Resource::Changes => store::Resource::Changes,
    }
}

impl Master {
    /// One row by a number, or that there is none.
    async fn find(&self, what: store::Resource, field: &str, id: i64) -> Result<Row, ControlError> {
        let page = self.store.list(what, vec![Filter::eq(field, id)], Query::default()).await;
        let page = page.map_err(|e| ControlError::Failed(e.to_string()))?;
        page.rows.into_iter().next().ok_or_else(|| ControlError::NotFound(format!("there is no {field} {id}")))
    }

    async fn rebuild_of(&self, id: i64) -> Result<Submitted, ControlError> {
        let build = self.find(store::Resource::Builds, "buildid", id).await?;
        let number = |row: &Row, field: &str| row.get(field).and_then(Json::as_i64).unwrap_or_default();
        let request = self.find(store::Resource::Buildrequests, "buildrequestid", number(&build, "buildrequestid")).await?;
        let bsid = number(&request, "buildsetid");
        let buildset = self.find(store::Resource::Buildsets, "bsid", bsid).await?;
        let failed = |e: StoreError| ControlError::Failed(e.to_string());
        let properties = self.store.buildset_properties(BuildsetId(bsid)).await.map_err(failed)?;
        let stamps = buildset.get("sourcestamps").and_then(Json::as_array).cloned().unwrap_or_default();
        let text = |row: &Json, field: &str| row[field].as_str().map(str::to_owned);
        let new = NewBuildset {
            reason: "rebuild".into(),
            submitted_at: self.clock.now(),
            external_idstring: buildset.get("external_idstring").and_then(Json::as_str).map(str::to_owned),
            sourcestamps: stamps
                .iter()
                .map(|s| SourceStamp {
                    codebase: text(s, "codebase").unwrap_or_default(),
                    repository: text(s, "repository").unwrap_or_default(),
                    project: text(s, "project").unwrap_or_default(),
                    branch: text(s, "branch"),
                    revision: text(s, "revision"),
                })
                .collect(),
            properties,
            builders: vec![BuilderId(number(&build, "builderid"))],
            priority: number(&request, "priority"),
            rebuilt_buildid: Some(id),
        };
        self.engine.submit(new).await.map_err(refusal)
    }
}

impl Backend for Master {
    fn masters(&self) -> Vec<Row> {
        vec![row(
            json!({ "masterid": MASTER_ID, "name": self.name, "active": true, "last_active": self.clock.now().seconds().floor() as i64, "started_at": self.started_at.seconds() }),
        )]
    }

    fn builders(&self) -> Arc<Vec<Row>> {
        self.at_work().builder_rows.clone()
    }

    fn workers(&self) -> Arc<Vec<Row>> {
        let ids: HashMap<String, i64> = self.at_work().builder_ids.iter().map(|(name, id)| (name.clone(), id.0)).collect();
        let mut rows = self.registry.rows(MASTER_ID, &ids);
        let machines = super::machines::shown(&self.machines.latent);
        for row in &mut rows {
            let machine = row.get("name").and_then(Json::as_str).and_then(|name| machines.get(name)).cloned();
            row.insert("machine".into(), machine.into());
        }
        Arc::new(rows)
    }

    fn schedulers(&self) -> Vec<Row> {
        self.at_work().scheduler_rows.clone()
    }

    fn forceschedulers(&self) -> Vec<Row> {
        let at_work = self.at_work();
        let force = at_work.loaded.config.schedulers.iter().map(|s| {
            let SchedulerKind::Force(form) = &s.kind;
            force_row(&s.name, &s.builders, form, &|choices| self.engine.known_choices(choices))
        });
        force.collect()
    }

    fn prepare_forms(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.engine.ask_choices())
    }

    fn list(&self, what: Resource, scope: Vec<Filter>, query: Query) -> BoxFuture<'_, Result<Page, ApiError>> {
        Box::pin(async move { self.store.list(resource(what), scope, query).await.map_err(api_error) })
    }

    fn build_properties(&self, buildid: i64) -> BoxFuture<'_, Result<Map<String, Json>, ApiError>> {
        Box::pin(async move { self.store.build_properties(BuildId(buildid)).await.map(|p| p.to_api()).map_err(api_error) })
    }

    fn buildset_properties(&self, bsid: i64) -> BoxFuture<'_, Result<Map<String, Json>, ApiError>> {
        Box::pin(async move { self.store.buildset_properties(BuildsetId(bsid)).await.map(|p| p.to_api()).map_err(api_error) })
    }

    fn log_lines(&self, logid: i64, first: u64, limit: u64) -> BoxFuture<'_, Result<LogLines, ApiError>> {
        Box::pin(async move {
            let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
            let lines = self.store.log_lines(LogId(logid), signed(first), signed(limit)).await.map_err(api_error)?;
            Ok(LogLines { first_line: first, content: lines.content })
        })
    }

    fn log_raw(&self, logid: i64) -> BoxFuture<'_, Result<RawLog, ApiError>> {
        Box::pin(async move {
            let raw = self.store.log_raw(LogId(logid)).await.map_err(api_error)?;
            let bytes = raw.log.complete.then_some(raw.total);
            Ok(RawLog { bytes, stream: Box::pin(raw.map(|chunk| chunk.map_err(std::io::Error::other))) })
        })
    }

    fn waiting_for(&self, requestid: i64) -> Option<Json> {
        self.engine.why(RequestId(requestid))
    }

    fn config(&self) -> Json {
        let at_work = self.at_work();
        let Loaded { config, files, .. } = &at_work.loaded;
        let files: Vec<Json> = files.iter().map(|f| json!({ "path": self.shown(&f.path), "changed": !f.is_current() })).collect();
        json!({
            "generation": at_work.generation, "loaded_at": at_work.since.seconds().floor() as i64, "files": files,
            "title": config.title, "titleURL": config.title_url, "buildbotURL": config.buildbot_url,
            "generations_alive": self.reloads.generations_alive(), "reload": self.reloads.last().to_json(),
        })
    }

    fn reload(&self, by: Caller) -> BoxFuture<'_, Result<Json, ControlError>> {
        Box::pin(async move {
            tracing::info!(%by, "asked to reload the configuration");
            let record = self.reloads.ask().await.ok_or_else(|| ControlError::Failed("the master has stopped".into()))?;
            Ok(record.to_json())
        })
    }

    fn instances(&self) -> BoxFuture<'_, Result<Vec<Row>, ApiError>> {
        Box::pin(async move {
            let records = self.store.launches(LAUNCHES).await.map_err(api_error)?;
            Ok(super::machines::rows(&self.machines.latent, records, self.clock.now()))
        })
    }

    fn outbox(&self) -> BoxFuture<'_, Result<Vec<Row>, ApiError>> {
        Box::pin(async move { super::outbox::rows(&self.store).await.map_err(api_error) })
    }

    fn reporters(&self) -> BoxFuture<'_, Result<Vec<Row>, ApiError>> {
        Box::pin(async move {
            let configured = driver::reporters(&self.at_work().loaded.config, &driver::host());
            super::outbox::reporters(&self.store, &configured).await.map_err(api_error)
        })
    }

    fn retry_outbox(&self, by: Caller) -> BoxFuture<'_, Result<u64, ControlError>> {
        Box::pin(async move {
            tracing::info!(%by, "asked to send now what waits in the outbox");
            // A reload holds them while it puts its reporters to work.
            let _no_reload = self.listeners.lock().await;
            let at_work = self.at_work();
            let configured = driver::reporters(&at_work.loaded.config, &driver::host());
            let counts = self.store.outbox_counts().await.map_err(|e| ControlError::Failed(e.to_string()))?;
            // Reporters that are put to work try all they have.
            super::outbox::configure(&self.outbox, &at_work, &self.master_id, self.folder.path());
            Ok(counts.iter().filter(|count| configured.iter().any(|r| r.name == count.reporter)).map(|count| count.waiting).sum())
        })
    }

    fn reap(&self, by: Caller) -> BoxFuture<'_, Result<usize, ControlError>> {
        Box::pin(async move {
            tracing::info!(%by, "asked to look for machines that nobody knows");
            Ok(self.machines.latent.reap().await)
        })
    }

    fn compare(&self) -> BoxFuture<'_, Result<Json, ControlError>> {
        Box::pin(async move { Ok(self.compare().await.to_json()) })
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    fn force(&self, scheduler: &str, params: Map<String, Json>, by: Caller) -> BoxFuture<'_, Result<Forced, ControlError>> {
        let scheduler = scheduler.to_owned();
        Box::pin(async move {
            tracing::debug!(scheduler, %by, "force");
            self.engine.force(&scheduler, params).await.map(forced).map_err(refusal)
        })
    }

    fn stop_build(&self, buildid: i64, reason: String, results: Option<i64>) -> BoxFuture<'_, Result<(), ControlError>> {
        Box::pin(async move {
            let results = match results.map(Results::try_from) {
                None => Results::Cancelled,
                Some(Ok(results @ (Results::Cancelled | Results::Retry))) => results,
                Some(Ok(other)) => {
                    return Err(ControlError::Invalid(format!(
                        "a build can't be stopped with the result {other}; use 5 (retry) or 6 (cancelled)"
                    )));
                }
                Some(Err(text)) => return Err(ControlError::Invalid(text)),
            };
            if !self.engine.stop_build(BuildId(buildid), &reason, results) {
                // Known but over: nothing to do. Unknown: say so.
                self.find(store::Resource::Builds, "buildid", buildid).await?;
            }
            Ok(())
        })
    }

    fn rebuild(&self, buildid: i64) -> BoxFuture<'_, Result<Forced, ControlError>> {
        Box::pin(async move { self.rebuild_of(buildid).await.map(forced) })
    }

    fn cancel_request(&self, requestid: i64, reason: String) -> BoxFuture<'_, Result<(), ControlError>> {
        Box::pin(async move {
            match self.engine.cancel(RequestId(requestid), &reason).await {
                // Complete already: nothing to do. Unknown: say so.
                Err(Refusal::Invalid(_)) => self.find(store::Resource::Buildrequests, "buildrequestid", requestid).await.map(drop),
                other => other.map_err(refusal),
            }
        })
    }

    fn set_priority(&self, requestid: i64, priority: i64) -> BoxFuture<'_, Result<(), ControlError>> {
        Box::pin(async move {
            self.find(store::Resource::Buildrequests, "buildrequestid", requestid).await?;
            self.engine.set_priority(RequestId(requestid), priority).await.map_err(refusal)
        })
    }

    fn worker(&self, workerid: i64, action: WorkerAction, reason: String) -> BoxFuture<'_, Result<(), ControlError>> {
        Box::pin(async move {
            let unknown = || ControlError::NotFound(format!("there is no worker {workerid}"));
            let name = self.registry.name_of(WorkerId(workerid)).ok_or_else(unknown)?;
            let done = match action {
                WorkerAction::Pause => self.registry.set_paused(&name, true, Some(&reason)),
                WorkerAction::Unpause => self.registry.set_paused(&name, false, None),
                WorkerAction::Stop => self.registry.stop_gracefully(&name, "request"),
                WorkerAction::Kill => self.registry.kill(&name),
            };
            if done { Ok(()) } else { Err(ControlError::Invalid(format!("worker {name} is not attached"))) }
        })
    }
}
