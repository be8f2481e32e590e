//! Builds with their steps and the rows of their logs, as they run. Never changes what a build does.

use super::fields::properties_from_api;
use super::sql::{Result, Sql, first, json, params};
use super::{Store, StoreError, Ticket};
use super::{occurrences, requests};
use crate::base::{BuildId, LogId, StepId, Timestamp};
use crate::model::report::What;
use crate::model::request::RequestEnd;
use crate::model::{Build, Log, LogKind, Properties, Property, Step};

pub(super) const PUT_LOG: &str = "INSERT INTO logs (id, step_id, name, slug, kind, complete, num_lines) VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, slug = excluded.slug, kind = excluded.kind,
    complete = excluded.complete, num_lines = excluded.num_lines";

impl Store {
    /// Claims the build's request and keeps the build, or neither: a request that runs or is complete is refused.
    pub async fn start_build(&self, build: &Build, properties: &Properties) -> Result<()> {
        let (ids, build, properties) = (self.ids.clone(), build.clone(), json(&properties.to_api())?);
        let work = move |sql: &mut dyn Sql| {
            requests::claim(sql, build.request, build.started_at)?;
            sql.execute(
                "INSERT INTO builds (id, number, builder_id, request_id, worker_id, started_at, complete, state, properties)
                    VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8)",
                params![build.id, build.number, build.builder, build.request, build.worker, build.started_at, &build.state, &properties],
            )?;
            occurrences::add(sql, &ids, What::BuildStarted(build.id), Some(build.builder), build.started_at)
        };
        self.engine.write("starting a build", work).await
    }

    pub fn set_build_state(&self, id: BuildId, state: &str) -> Ticket {
        let state = state.to_owned();
        let work = move |sql: &mut dyn Sql| sql.execute("UPDATE builds SET state = $1 WHERE id = $2", params![&state, id]).map(drop);
        self.engine.queue("setting a build's state", work, None)
    }

    /// Sets these properties and leaves the others.
    pub fn set_build_properties(&self, id: BuildId, properties: Vec<(String, Property)>) -> Ticket {
        let work = move |sql: &mut dyn Sql| {
            let mut all = read_properties(sql, id)?;
            all.0.extend(properties.iter().cloned());
            sql.execute("UPDATE builds SET properties = $1 WHERE id = $2", params![json(&all.to_api())?, id]).map(drop)
        };
        self.engine.queue("setting a build's properties", work, None)
    }

    /// Keeps a step as it is now, new or known.
    pub fn put_step(&self, step: &Step) -> Ticket {
        let step = step.clone();
        let work = move |sql: &mut dyn Sql| {
            sql.execute(
                "INSERT INTO steps (id, build_id, number, name, started_at, complete, complete_at, state, results, hidden)
                    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                    ON CONFLICT (id) DO UPDATE SET name = excluded.name, started_at = excluded.started_at,
                    complete = excluded.complete, complete_at = excluded.complete_at, state = excluded.state,
                    results = excluded.results, hidden = excluded.hidden",
                params![
                    step.id,
                    step.build,
                    step.number,
                    &step.name,
                    step.started_at,
                    step.complete_at.is_some(),
                    step.complete_at,
                    &step.state,
                    step.results,
                    step.hidden
                ],
            )
            .map(drop)
        };
        self.engine.queue("keeping a step", work, None)
    }

    /// The links of a step, by name.
    pub fn set_step_urls(&self, id: StepId, urls: &[(String, String)]) -> Ticket {
        let shown: Vec<_> = urls.iter().map(|(name, url)| serde_json::json!({ "name": name, "url": url })).collect();
        let work = move |sql: &mut dyn Sql| sql.execute("UPDATE steps SET urls = $1 WHERE id = $2", params![json(&shown)?, id]).map(drop);
        self.engine.queue("keeping the links of a step", work, None)
    }

    /// Keeps a log's row as it is now; its content comes from a [`LogWriter`](super::LogWriter).
    pub fn put_log(&self, log: &Log) -> Ticket {
        let log = log.clone();
        self.engine.queue("keeping a log", move |sql| put_log(sql, &log), None)
    }

    /// The row of a log.
    pub async fn log(&self, id: LogId) -> Result<Option<Log>> {
        self.engine.read(format!("log {id}"), move |sql| read_log(sql, id)).await
    }

    /// Closes a build and its request, which is complete or waits again, and the build set with its last request.
    pub async fn finish_build(&self, build: &Build, end: &RequestEnd) -> Result<()> {
        let (ids, build, end) = (self.ids.clone(), build.clone(), end.clone());
        let work = move |sql: &mut dyn Sql| {
            let now = build.complete_at.unwrap_or(build.started_at);
            close(sql, &build, now)?;
            occurrences::add(sql, &ids, What::BuildFinished(build.id), Some(build.builder), now)?;
            requests::end(sql, &ids, build.request, &end, now)
        };
        self.engine.write("finishing a build", work).await
    }

    pub async fn build_properties(&self, id: BuildId) -> Result<Properties> {
        self.engine.read(format!("properties of build {id}"), move |sql| read_properties(sql, id)).await
    }
}

fn close(sql: &mut dyn Sql, build: &Build, now: Timestamp) -> Result<()> {
    let text = "UPDATE builds SET complete = 1, complete_at = $1, state = $2, results = $3 WHERE id = $4";
    match sql.execute(text, params![now, &build.state, build.results, build.id])? {
        0 => Err(StoreError::Missing(format!("build {}", build.id))),
        _ => Ok(()),
    }
}

pub(super) fn read_properties(sql: &mut dyn Sql, id: BuildId) -> Result<Properties> {
    let found = first(sql, "SELECT properties FROM builds WHERE id = $1", params![id], |row| properties_from_api(row.text(0)?))?;
    found.ok_or_else(|| StoreError::Missing(format!("build {id}")))
}

pub(super) fn put_log(sql: &mut dyn Sql, log: &Log) -> Result<()> {
    let values = params![log.id, log.step, &log.name, &log.slug, log.kind.letter(), log.complete, log.num_lines];
    sql.execute(PUT_LOG, values).map(drop)
}

pub(super) fn log_kind(letter: &str) -> LogKind {
    match letter {
        "s" => LogKind::Stdio,
        "h" => LogKind::Html,
        _ => LogKind::Text,
    }
}

pub(super) fn read_log(sql: &mut dyn Sql, id: LogId) -> Result<Option<Log>> {
    first(sql, "SELECT step_id, name, slug, kind, complete, num_lines FROM logs WHERE id = $1", params![id], |row| {
        Ok(Log {
            id,
            step: StepId(row.int(0)?),
            name: row.string(1)?,
            slug: row.string(2)?,
            kind: log_kind(row.text(3)?),
            complete: row.int(4)? != 0,
            num_lines: row.int(5)?,
        })
    })
}
