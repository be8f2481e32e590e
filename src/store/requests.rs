//! Build sets and their requests: adding, claiming, completing. Never picks which request runs next.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use md5::{Digest, Md5};
use serde_json::{Map, Value};

use super::fields::{api_time, properties_from_api};
use super::sql::{Result, RowRef, Sql, first, from_json, json, params, rows};
use super::{Ids, Store, StoreError, next, occurrences};
use crate::base::{BuilderId, BuildsetId, RequestId, SourceStampId, Timestamp};
use crate::model::report::What;
use crate::model::request::{NewBuildset, RequestEnd};
use crate::model::{BuildRequest, Buildset, Properties, Results, SourceStamp};

impl Store {
    /// Keeps a build set with a request on each of its builders; it is durable when this answers.
    pub async fn add_buildset(&self, new: NewBuildset) -> Result<Vec<BuildRequest>> {
        let ids = self.ids.clone();
        self.engine.write("adding a build set", move |sql| add_buildset(sql, &ids, &new)).await
    }

    /// Completes a request that waits; false if it runs or is complete.
    pub async fn finish_request(&self, id: RequestId, results: Results, now: Timestamp) -> Result<bool> {
        let ids = self.ids.clone();
        let work = move |sql: &mut dyn Sql| {
            let changed = sql.execute(
                "UPDATE requests SET complete = 1, complete_at = $1, results = $2
                    WHERE id = $3 AND complete = 0 AND claimed_at IS NULL",
                params![now, results, id],
            )?;
            if changed > 0 {
                let builder = first(sql, "SELECT builder_id FROM requests WHERE id = $1", params![id], |row| row.int(0))?.map(BuilderId);
                occurrences::add(sql, &ids, What::RequestCancelled(id), builder, now)?;
                complete_buildset(sql, &ids, id, now)?;
            }
            Ok(changed > 0)
        };
        self.engine.write(format!("completing request {id}"), work).await
    }

    /// Gives a request that waits another priority; false if it runs or is complete.
    pub async fn set_request_priority(&self, id: RequestId, priority: i64) -> Result<bool> {
        let work = move |sql: &mut dyn Sql| {
            let text = "UPDATE requests SET priority = $1 WHERE id = $2 AND complete = 0 AND claimed_at IS NULL";
            Ok(sql.execute(text, params![priority, id])? > 0)
        };
        self.engine.write(format!("setting the priority of request {id}"), work).await
    }

    pub async fn buildset_properties(&self, id: BuildsetId) -> Result<Properties> {
        let work = move |sql: &mut dyn Sql| {
            let found = first(sql, "SELECT properties FROM buildsets WHERE id = $1", params![id], |row| row.string(0))?;
            properties_from_api(&found.ok_or_else(|| StoreError::Missing(format!("build set {id}")))?)
        };
        self.engine.read(format!("properties of build set {id}"), work).await
    }
}

fn add_buildset(sql: &mut dyn Sql, ids: &Ids, new: &NewBuildset) -> Result<Vec<BuildRequest>> {
    let mut stamps = Vec::new();
    for stamp in &new.sourcestamps {
        stamps.push((keep_sourcestamp(sql, &ids.sourcestamp, stamp, new.submitted_at)?, stamp.clone()));
    }
    let id = BuildsetId(next(&ids.buildset));
    let done = new.builders.is_empty();
    let shown: Vec<Value> = stamps.iter().map(|((id, created), stamp)| show_sourcestamp(*id, stamp, *created)).collect();
    sql.execute(
        "INSERT INTO buildsets (id, external_idstring, reason, submitted_at, complete, complete_at, results,
            rebuilt_buildid, sourcestamps, properties) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        params![
            id,
            new.external_idstring.as_deref(),
            &new.reason,
            new.submitted_at,
            done,
            done.then_some(new.submitted_at),
            done.then_some(Results::Success),
            new.rebuilt_buildid,
            json(&shown)?,
            json(&new.properties.to_api())?,
        ],
    )?;
    let buildset = Arc::new(Buildset {
        id,
        reason: new.reason.clone(),
        submitted_at: new.submitted_at,
        sourcestamps: stamps.into_iter().map(|((id, _), stamp)| (id, stamp)).collect(),
        properties: new.properties.clone(),
    });
    let mut requests = Vec::with_capacity(new.builders.len());
    for &builder in &new.builders {
        let request = BuildRequest {
            id: RequestId(next(&ids.request)),
            buildset: buildset.clone(),
            builder,
            priority: new.priority,
            submitted_at: new.submitted_at,
            attempts: 0,
            story: Vec::new(),
        };
        sql.execute(
            "INSERT INTO requests (id, buildset_id, builder_id, priority, submitted_at, complete, attempts, story)
                VALUES ($1, $2, $3, $4, $5, 0, 0, '[]')",
            params![request.id, id, builder, new.priority, new.submitted_at],
        )?;
        occurrences::add(sql, ids, What::RequestAdded(request.id), Some(builder), new.submitted_at)?;
        requests.push(request);
    }
    Ok(requests)
}

/// The id of a source stamp and since when it is known; equal ones share a row.
fn keep_sourcestamp(sql: &mut dyn Sql, ids: &AtomicI64, stamp: &SourceStamp, now: Timestamp) -> Result<(SourceStampId, Timestamp)> {
    let digest: String = Md5::digest(json(stamp)?).iter().map(|byte| format!("{byte:02x}")).collect();
    let known = first(sql, "SELECT id, created_at FROM sourcestamps WHERE digest = $1", params![&digest], |row| {
        Ok((SourceStampId(row.int(0)?), Timestamp(row.int(1)?)))
    })?;
    if let Some(known) = known {
        return Ok(known);
    }
    let id = SourceStampId(next(ids));
    sql.execute(
        "INSERT INTO sourcestamps (id, digest, codebase, repository, project, branch, revision, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        params![id, &digest, &stamp.codebase, &stamp.repository, &stamp.project, stamp.branch.as_deref(), stamp.revision.as_deref(), now],
    )?;
    Ok((id, now))
}

fn show_sourcestamp(id: SourceStampId, stamp: &SourceStamp, created: Timestamp) -> Value {
    let fields: [(&str, Value); 8] = [
        ("ssid", id.0.into()),
        ("branch", stamp.branch.clone().into()),
        ("revision", stamp.revision.clone().into()),
        ("project", stamp.project.clone().into()),
        ("repository", stamp.repository.clone().into()),
        ("codebase", stamp.codebase.clone().into()),
        ("patch", Value::Null),
        ("created_at", api_time(created.0)),
    ];
    Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn read_sourcestamp(shown: &Map<String, Value>) -> (SourceStampId, SourceStamp) {
    let text = |name: &str| shown.get(name).and_then(Value::as_str).map(str::to_owned);
    let stamp = SourceStamp {
        codebase: text("codebase").unwrap_or_default(),
        repository: text("repository").unwrap_or_default(),
        project: text("project").unwrap_or_default(),
        branch: text("branch"),
        revision: text("revision"),
    };
    (SourceStampId(shown.get("ssid").and_then(Value::as_i64).unwrap_or_default()), stamp)
}

/// Claims a request for a build.
pub(super) fn claim(sql: &mut dyn Sql, id: RequestId, now: Timestamp) -> Result<()> {
    let text = "UPDATE requests SET claimed_at = $1 WHERE id = $2 AND complete = 0 AND claimed_at IS NULL";
    match sql.execute(text, params![now, id])? {
        0 => Err(StoreError::Refused(format!("request {id} cannot be claimed: it runs or is complete"))),
        _ => Ok(()),
    }
}

/// What becomes of a request when its build has ended.
pub(super) fn end(sql: &mut dyn Sql, ids: &Ids, id: RequestId, end: &RequestEnd, now: Timestamp) -> Result<()> {
    match end {
        RequestEnd::Complete(results) => {
            let text = "UPDATE requests SET complete = 1, complete_at = $1, results = $2 WHERE id = $3 AND complete = 0";
            sql.execute(text, params![now, *results, id])?;
            complete_buildset(sql, ids, id, now)
        }
        RequestEnd::Again { why, counts } => {
            let story = first(sql, "SELECT story FROM requests WHERE id = $1", params![id], |row| row.string(0))?;
            let mut story: Vec<String> = from_json(story.as_deref().unwrap_or("[]"))?;
            story.push(why.clone());
            let text = "UPDATE requests SET claimed_at = NULL, attempts = attempts + $1, story = $2 WHERE id = $3 AND complete = 0";
            sql.execute(text, params![*counts, json(&story)?, id]).map(drop)
        }
    }
}

/// Completes the build set of a request if that was its last one.
fn complete_buildset(sql: &mut dyn Sql, ids: &Ids, request: RequestId, now: Timestamp) -> Result<()> {
    let found = first(sql, "SELECT buildset_id FROM requests WHERE id = $1", params![request], |row| row.int(0))?;
    let Some(buildset) = found else {
        return Ok(());
    };
    let mut worst = Some(Results::Success);
    sql.query("SELECT complete, results FROM requests WHERE buildset_id = $1", params![buildset], &mut |row| {
        let results = row.opt_int(1)?.and_then(|code| Results::try_from(code).ok());
        worst = match results.filter(|_| row.int(0).is_ok_and(|complete| complete != 0)) {
            Some(results) => worst.map(|so_far| so_far.worst(results)),
            None => None,
        };
        Ok(())
    })?;
    if let Some(results) = worst {
        let text = "UPDATE buildsets SET complete = 1, complete_at = $1, results = $2 WHERE id = $3 AND complete = 0";
        if sql.execute(text, params![now, results, buildset])? > 0 {
            occurrences::add(sql, ids, What::SetComplete(BuildsetId(buildset)), None, now)?;
        }
    }
    Ok(())
}

/// All requests that wait, the oldest first.
pub(super) fn waiting(sql: &mut dyn Sql) -> Result<Vec<BuildRequest>> {
    let found = rows(
        sql,
        "SELECT id, buildset_id, builder_id, priority, submitted_at, attempts, story FROM requests
            WHERE complete = 0 AND claimed_at IS NULL ORDER BY id",
        &[],
        |row| {
            let id = RequestId(row.int(0)?);
            let numbers = (row.int(2)?, row.int(3)?, row.int(4)?, row.int(5)?);
            Ok((id, row.int(1)?, numbers, from_json::<Vec<String>>(row.text(6)?)?))
        },
    )?;
    let mut sets: std::collections::HashMap<i64, Arc<Buildset>> = std::collections::HashMap::new();
    let mut requests = Vec::with_capacity(found.len());
    for (id, set, (builder, priority, submitted_at, attempts), story) in found {
        let buildset = match sets.get(&set) {
            Some(buildset) => buildset.clone(),
            None => {
                let buildset = Arc::new(read_buildset(sql, BuildsetId(set))?);
                sets.insert(set, buildset.clone());
                buildset
            }
        };
        requests.push(BuildRequest {
            id,
            buildset,
            builder: BuilderId(builder),
            priority,
            submitted_at: Timestamp(submitted_at),
            attempts: u32::try_from(attempts).unwrap_or(0),
            story,
        });
    }
    Ok(requests)
}

pub(super) fn read_buildset(sql: &mut dyn Sql, id: BuildsetId) -> Result<Buildset> {
    let text = "SELECT reason, submitted_at, sourcestamps, properties FROM buildsets WHERE id = $1";
    let read = |row: &dyn RowRef| {
        let stamps: Vec<Map<String, Value>> = from_json(row.text(2)?)?;
        Ok(Buildset {
            id,
            reason: row.string(0)?,
            submitted_at: Timestamp(row.int(1)?),
            sourcestamps: stamps.iter().map(read_sourcestamp).collect(),
            properties: properties_from_api(row.text(3)?)?,
        })
    };
    first(sql, text, params![id], read)?.ok_or_else(|| StoreError::Missing(format!("build set {id}")))
}
