//! What a crash left half done, put in order at every start. Never runs while builds run.

use std::collections::HashMap;

use super::sql::{Result, Sql, params, rows};
use super::{Ids, Store, occurrences, requests};
use crate::base::{BuildId, BuilderId, RequestId, Timestamp};
use crate::model::report::What;
use crate::model::request::RequestEnd;
use crate::model::{BuildRequest, Results};

/// What there is to do after a start.
#[derive(Clone, Debug, Default)]
pub struct Recovery {
    /// All requests that wait, the oldest first.
    pub waiting: Vec<BuildRequest>,
    /// Builds that ran when the last master ended; they are closed as retry now.
    pub interrupted: Vec<BuildId>,
    /// The highest build number of each builder that has builds.
    pub last_numbers: HashMap<BuilderId, i64>,
    /// When the newest build of each of them ended.
    pub last_completions: HashMap<BuilderId, Timestamp>,
}

impl Store {
    /// Closes what the last master left open. Interrupted builds end as retry and their requests wait again, without
    /// counting as attempts; a request that had used up `max_attempts` (0: no limit) before is completed as exception.
    pub async fn recover(&self, now: Timestamp, max_attempts: u32) -> Result<Recovery> {
        let ids = self.ids.clone();
        self.engine.write("recovering", move |sql| recover(sql, &ids, now, max_attempts)).await
    }
}

fn recover(sql: &mut dyn Sql, ids: &Ids, now: Timestamp, max_attempts: u32) -> Result<Recovery> {
    let open = rows(sql, "SELECT id, request_id, builder_id FROM builds WHERE complete = 0 ORDER BY id", &[], |row| {
        Ok((BuildId(row.int(0)?), RequestId(row.int(1)?), BuilderId(row.int(2)?)))
    })?;
    for (build, request, builder) in &open {
        close_build(sql, *build, now)?;
        occurrences::add(sql, ids, What::BuildFinished(*build), Some(*builder), now)?;
        let why = format!("build {build} was interrupted: the master stopped");
        requests::end(sql, ids, *request, &RequestEnd::Again { why, counts: false }, now)?;
    }
    settle_claims(sql, ids, now)?;
    if max_attempts > 0 {
        let used_up = rows(
            sql,
            "SELECT id FROM requests WHERE complete = 0 AND claimed_at IS NULL AND attempts >= $1",
            params![i64::from(max_attempts)],
            |row| Ok(RequestId(row.int(0)?)),
        )?;
        for request in used_up {
            requests::end(sql, ids, request, &RequestEnd::Complete(Results::Exception), now)?;
        }
    }
    let numbers =
        rows(sql, "SELECT id, (SELECT MAX(number) FROM builds WHERE builds.builder_id = builders.id) FROM builders", &[], |row| {
            Ok((BuilderId(row.int(0)?), row.opt_int(1)?))
        })?;
    let completions = rows(
        sql,
        "SELECT id, (SELECT complete_at FROM builds WHERE builds.builder_id = builders.id ORDER BY number DESC LIMIT 1) FROM builders",
        &[],
        |row| Ok((BuilderId(row.int(0)?), row.time(1)?)),
    )?;
    Ok(Recovery {
        waiting: requests::waiting(sql)?,
        interrupted: open.into_iter().map(|(build, ..)| build).collect(),
        last_completions: completions.into_iter().filter_map(|(builder, when)| Some((builder, when?))).collect(),
        last_numbers: numbers.into_iter().filter_map(|(builder, number)| Some((builder, number?))).collect(),
    })
}

fn close_build(sql: &mut dyn Sql, build: BuildId, now: Timestamp) -> Result<()> {
    // What reached the index is what can be read.
    sql.execute(
        "UPDATE logs SET complete = 1,
            num_lines = COALESCE((SELECT MAX(f.first_line + f.num_lines) FROM log_frames f WHERE f.log_id = logs.id), 0)
            WHERE complete = 0 AND step_id IN (SELECT id FROM steps WHERE build_id = $1)",
        params![build],
    )?;
    sql.execute(
        "UPDATE steps SET complete = 1, complete_at = $1, results = $2, state = 'master stopped' WHERE build_id = $3 AND complete = 0",
        params![now, Results::Retry, build],
    )?;
    sql.execute(
        "UPDATE builds SET complete = 1, complete_at = $1, results = $2, state = 'master stopped' WHERE id = $3",
        params![now, Results::Retry, build],
    )
    .map(drop)
}

/// Requests that are still claimed although no build of theirs runs: the last build's result is theirs, or, without a
/// build or with one that is to be repeated, they wait again.
fn settle_claims(sql: &mut dyn Sql, ids: &Ids, now: Timestamp) -> Result<()> {
    let claimed = rows(
        sql,
        "SELECT id, (SELECT results FROM builds WHERE builds.request_id = requests.id ORDER BY builds.id DESC LIMIT 1)
            FROM requests WHERE complete = 0 AND claimed_at IS NOT NULL",
        &[],
        |row| Ok((RequestId(row.int(0)?), row.opt_int(1)?)),
    )?;
    for (request, results) in claimed {
        let results = results.and_then(|code| Results::try_from(code).ok()).filter(|results| *results != Results::Retry);
        let end = match results {
            Some(results) => RequestEnd::Complete(results),
            None => RequestEnd::Again { why: "the master stopped before it had a build".into(), counts: false },
        };
        requests::end(sql, ids, request, &end, now)?;
    }
    Ok(())
}
