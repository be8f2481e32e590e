//! A build, a request, a build set, with all that belongs to it: what a message about it is made of. Only reads.

use std::sync::Arc;

use super::Store;
use super::builds::{log_kind, read_properties};
use super::names::BuilderRow;
use super::requests::read_buildset;
use super::sql::{Result, Sql, first, from_json, params, rows};
use crate::base::{BuildId, BuilderId, BuildsetId, LogId, RequestId, StepId, Timestamp, WorkerId};
use crate::model::{Build, BuildRequest, Buildset, Log, Properties, Results, Step};

#[derive(Clone, PartialEq, Debug)]
pub struct BuildRecord {
    pub build: Build,
    pub request: BuildRequest,
    pub builder: BuilderRow,
    pub worker: Option<String>,
    pub properties: Properties,
    pub steps: Vec<StepRecord>,
    /// Of the nearest build of that builder with a lower number that is complete and did not end as retry.
    pub previous: Option<Results>,
}

#[derive(Clone, PartialEq, Debug)]
pub struct StepRecord {
    pub step: Step,
    pub logs: Vec<Log>,
    pub urls: Vec<(String, String)>,
}

#[derive(Clone, PartialEq, Debug)]
pub struct RequestRecord {
    pub request: BuildRequest,
    pub builder: BuilderRow,
    pub results: Option<Results>,
    pub complete_at: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Debug)]
pub struct BuildsetRecord {
    pub buildset: Arc<Buildset>,
    pub external_idstring: Option<String>,
    pub results: Option<Results>,
    pub complete_at: Option<Timestamp>,
    /// The last one of each request that had any, in the order of the requests.
    pub builds: Vec<BuildId>,
}

impl Store {
    pub async fn build_record(&self, id: BuildId) -> Result<Option<BuildRecord>> {
        self.engine.read(format!("build {id} with all of it"), move |sql| build_record(sql, id)).await
    }

    pub async fn request_record(&self, id: RequestId) -> Result<Option<RequestRecord>> {
        self.engine.read(format!("request {id} with all of it"), move |sql| request_record(sql, id)).await
    }

    pub async fn buildset_record(&self, id: BuildsetId) -> Result<Option<BuildsetRecord>> {
        self.engine.read(format!("build set {id} with all of it"), move |sql| buildset_record(sql, id)).await
    }
}

fn build_record(sql: &mut dyn Sql, id: BuildId) -> Result<Option<BuildRecord>> {
    let text = "SELECT number, builder_id, request_id, worker_id, started_at, complete_at, state, results FROM builds WHERE id = $1";
    let build = first(sql, text, params![id], |row| {
        Ok(Build {
            id,
            number: row.int(0)?,
            builder: BuilderId(row.int(1)?),
            request: RequestId(row.int(2)?),
            worker: WorkerId(row.int(3)?),
            started_at: Timestamp(row.int(4)?),
            complete_at: row.time(5)?,
            state: row.string(6)?,
            results: results(row.opt_int(7)?),
        })
    })?;
    let Some(build) = build else { return Ok(None) };
    let Some(RequestRecord { request, builder, .. }) = request_record(sql, build.request)? else { return Ok(None) };
    let worker = first(sql, "SELECT name FROM workers WHERE id = $1", params![build.worker], |row| row.string(0))?;
    let previous = "SELECT results FROM builds WHERE builder_id = $1 AND number < $2 AND complete = 1 AND results <> $3
        ORDER BY number DESC LIMIT 1";
    let previous = first(sql, previous, params![build.builder, build.number, Results::Retry], |row| row.opt_int(0))?;
    Ok(Some(BuildRecord {
        request,
        builder,
        worker,
        properties: read_properties(sql, id)?,
        steps: steps(sql, id)?,
        previous: results(previous.flatten()),
        build,
    }))
}

fn results(code: Option<i64>) -> Option<Results> {
    code.and_then(|code| Results::try_from(code).ok())
}

fn steps(sql: &mut dyn Sql, build: BuildId) -> Result<Vec<StepRecord>> {
    let text =
        "SELECT id, number, name, started_at, complete_at, state, results, hidden, urls FROM steps WHERE build_id = $1 ORDER BY number";
    #[derive(serde::Deserialize)]
    struct Link {
        name: String,
        url: String,
    }
    let mut steps = rows(sql, text, params![build], |row| {
        let step = Step {
            id: StepId(row.int(0)?),
            build,
            number: row.int(1)?,
            name: row.string(2)?,
            started_at: row.time(3)?,
            complete_at: row.time(4)?,
            state: row.string(5)?,
            results: results(row.opt_int(6)?),
            hidden: row.int(7)? != 0,
        };
        let urls: Vec<Link> = from_json(row.text(8)?)?;
        Ok(StepRecord { step, logs: Vec::new(), urls: urls.into_iter().map(|link| (link.name, link.url)).collect() })
    })?;
    for record in &mut steps {
        let step = record.step.id;
        let text = "SELECT id, name, slug, kind, complete, num_lines FROM logs WHERE step_id = $1 ORDER BY id";
        record.logs = rows(sql, text, params![step], |row| {
            Ok(Log {
                id: LogId(row.int(0)?),
                step,
                name: row.string(1)?,
                slug: row.string(2)?,
                kind: log_kind(row.text(3)?),
                complete: row.int(4)? != 0,
                num_lines: row.int(5)?,
            })
        })?;
    }
    Ok(steps)
}

fn request_record(sql: &mut dyn Sql, id: RequestId) -> Result<Option<RequestRecord>> {
    let text = "SELECT buildset_id, builder_id, priority, submitted_at, attempts, story, results, complete_at FROM requests WHERE id = $1";
    let found = first(sql, text, params![id], |row| {
        let numbers = (row.int(0)?, row.int(1)?, row.int(2)?, row.int(3)?, row.int(4)?);
        Ok((numbers, from_json::<Vec<String>>(row.text(5)?)?, results(row.opt_int(6)?), row.time(7)?))
    })?;
    let Some(((buildset, builder, priority, submitted_at, attempts), story, results, complete_at)) = found else { return Ok(None) };
    let text = "SELECT name, description, description_format, tags FROM builders WHERE id = $1";
    let row = first(sql, text, params![builder], |row| {
        Ok(BuilderRow {
            name: row.string(0)?,
            description: row.opt_text(1)?.map(str::to_owned),
            description_format: row.opt_text(2)?.map(str::to_owned),
            tags: from_json(row.text(3)?)?,
        })
    })?;
    let request = BuildRequest {
        id,
        buildset: Arc::new(read_buildset(sql, BuildsetId(buildset))?),
        builder: BuilderId(builder),
        priority,
        submitted_at: Timestamp(submitted_at),
        attempts: u32::try_from(attempts).unwrap_or(0),
        story,
    };
    Ok(Some(RequestRecord { request, builder: row.unwrap_or_default(), results, complete_at }))
}

fn buildset_record(sql: &mut dyn Sql, id: BuildsetId) -> Result<Option<BuildsetRecord>> {
    let text = "SELECT external_idstring, results, complete_at FROM buildsets WHERE id = $1";
    let found = first(sql, text, params![id], |row| Ok((row.opt_text(0)?.map(str::to_owned), results(row.opt_int(1)?), row.time(2)?)))?;
    let Some((external_idstring, results, complete_at)) = found else { return Ok(None) };
    let text = "SELECT (SELECT MAX(builds.id) FROM builds WHERE builds.request_id = requests.id) FROM requests
        WHERE buildset_id = $1 ORDER BY requests.id";
    let builds = rows(sql, text, params![id], |row| row.opt_int(0))?.into_iter().flatten().map(BuildId).collect();
    Ok(Some(BuildsetRecord { buildset: Arc::new(read_buildset(sql, id)?), external_idstring, results, complete_at, builds }))
}
