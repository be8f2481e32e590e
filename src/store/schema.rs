//! The tables, and how a database of an earlier version becomes one of this version. Never touches one of a later version.

use super::StoreError;
use super::sql::{Result, Sql, first, params};

/// Step `i` makes version `i + 1`. A step that was released is never changed; a new one is added.
pub(super) const MIGRATIONS: &[&[&str]] = &[FIRST, STEP_LINKS, LAUNCHES, ABSENCES, OCCURRENCES, OUTBOX, KEPT_VALUES, LEAKS, LOGINS, PLACES];

const STEP_LINKS: &[&str] = &["ALTER TABLE steps ADD COLUMN urls TEXT NOT NULL DEFAULT '[]'"];

/// Workers that are away.
const ABSENCES: &[&str] = &["CREATE TABLE absences (worker TEXT NOT NULL PRIMARY KEY, since_at {int} NOT NULL, last_seen {int}, peer TEXT,
    told_at {int})"];

/// What happened and is not told of yet.
const OCCURRENCES: &[&str] =
    &["CREATE TABLE occurrences (id {id}, kind TEXT NOT NULL, subject {int} NOT NULL, builder_id {int}, at {int} NOT NULL)"];

/// Messages until they have arrived, and some time longer. Times of the waiting ones are not indexed: they are read by lane.
const OUTBOX: &[&str] = &[
    "CREATE TABLE outbox (id {id}, reporter TEXT NOT NULL, item_key TEXT NOT NULL, lane TEXT NOT NULL, payload TEXT NOT NULL,
        progress TEXT, state {int} NOT NULL, attempts {int} NOT NULL, next_try {int} NOT NULL, failing_since {int},
        yields {int} NOT NULL DEFAULT 0, created_at {int} NOT NULL, settled_at {int}, last_error TEXT)",
    "CREATE UNIQUE INDEX outbox_keys ON outbox (reporter, item_key)",
    "CREATE INDEX outbox_waiting ON outbox (reporter, lane, id) WHERE state = 0",
    "CREATE INDEX outbox_settled ON outbox (settled_at) WHERE state <> 0",
];

/// The ledger of latent workers' machines.
const LAUNCHES: &[&str] = &[
    "CREATE TABLE launches (id TEXT NOT NULL PRIMARY KEY, worker TEXT NOT NULL, backend TEXT NOT NULL, settings TEXT NOT NULL,
        generation {int} NOT NULL, created_at {int} NOT NULL, handle TEXT, attached_at {int}, stop_reason TEXT, stop_wanted_at {int},
        gone_reason TEXT, gone_at {int}, price_per_hour {int})",
    "CREATE INDEX launches_open ON launches (created_at) WHERE gone_at IS NULL",
    "CREATE INDEX launches_by_time ON launches (created_at)",
    "CREATE TABLE quarantines (worker TEXT NOT NULL PRIMARY KEY, failures {int} NOT NULL, until_at {int}, reason TEXT)",
];

/// What callbacks of the configuration keep.
const KEPT_VALUES: &[&str] = &["CREATE TABLE kept_values (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL, size {int} NOT NULL)"];

/// When people were told of a machine that can't be stopped.
const LEAKS: &[&str] = &["ALTER TABLE launches ADD COLUMN leak_told_at {int}"];

/// Whether a machine's worker can still log in.
const LOGINS: &[&str] = &["ALTER TABLE launches ADD COLUMN login TEXT"];

/// Where a machine was to be started.
const PLACES: &[&str] = &["ALTER TABLE launches ADD COLUMN place TEXT"];

const FIRST: &[&str] = &[
    "CREATE TABLE builders (id {id}, name TEXT NOT NULL UNIQUE, description TEXT, description_format TEXT, tags TEXT NOT NULL)",
    "CREATE TABLE workers (id {id}, name TEXT NOT NULL UNIQUE, paused {int} NOT NULL, pause_reason TEXT, last_seen {int}, info TEXT NOT NULL)",
    "CREATE TABLE schedulers (id {id}, name TEXT NOT NULL UNIQUE)",
    "CREATE TABLE sourcestamps (id {id}, digest TEXT NOT NULL UNIQUE, codebase TEXT NOT NULL, repository TEXT NOT NULL,
        project TEXT NOT NULL, branch TEXT, revision TEXT, created_at {int} NOT NULL)",
    // Source stamps stand in the row a second time as the API shows them: a queue of thousands is read without a join.
    "CREATE TABLE buildsets (id {id}, external_idstring TEXT, reason TEXT NOT NULL, submitted_at {int} NOT NULL,
        complete {int} NOT NULL, complete_at {int}, results {int}, rebuilt_buildid {int},
        sourcestamps TEXT NOT NULL, properties TEXT NOT NULL)",
    "CREATE INDEX buildsets_open ON buildsets (id) WHERE complete = 0",
    "CREATE TABLE requests (id {id}, buildset_id {int} NOT NULL, builder_id {int} NOT NULL, priority {int} NOT NULL,
        submitted_at {int} NOT NULL, claimed_at {int}, complete {int} NOT NULL, complete_at {int}, results {int},
        attempts {int} NOT NULL, story TEXT NOT NULL)",
    "CREATE INDEX requests_open ON requests (id) WHERE complete = 0",
    "CREATE INDEX requests_of_buildset ON requests (buildset_id, id)",
    "CREATE INDEX requests_of_builder ON requests (builder_id, id)",
    "CREATE TABLE builds (id {id}, number {int} NOT NULL, builder_id {int} NOT NULL, request_id {int} NOT NULL,
        worker_id {int} NOT NULL, started_at {int} NOT NULL, complete {int} NOT NULL, complete_at {int},
        state TEXT NOT NULL, results {int}, properties TEXT NOT NULL)",
    "CREATE UNIQUE INDEX builds_by_number ON builds (builder_id, number)",
    "CREATE INDEX builds_of_builder ON builds (builder_id, id)",
    "CREATE INDEX builds_of_request ON builds (request_id, id)",
    "CREATE INDEX builds_of_worker ON builds (worker_id, id)",
    "CREATE INDEX builds_open ON builds (id) WHERE complete = 0",
    "CREATE TABLE steps (id {id}, build_id {int} NOT NULL, number {int} NOT NULL, name TEXT NOT NULL, started_at {int},
        complete {int} NOT NULL, complete_at {int}, state TEXT NOT NULL, results {int}, hidden {int} NOT NULL)",
    "CREATE INDEX steps_of_build ON steps (build_id, number)",
    "CREATE TABLE logs (id {id}, step_id {int} NOT NULL, name TEXT NOT NULL, slug TEXT NOT NULL, kind TEXT NOT NULL,
        complete {int} NOT NULL, num_lines {int} NOT NULL)",
    "CREATE INDEX logs_of_step ON logs (step_id, id)",
    "CREATE TABLE log_frames (log_id {int} NOT NULL, first_line {int} NOT NULL, num_lines {int} NOT NULL,
        file_offset {int} NOT NULL, packed {int} NOT NULL, unpacked {int} NOT NULL, content {int} NOT NULL,
        PRIMARY KEY (log_id, first_line)) {compact}",
];

/// Brings the database to the newest version of `migrations`.
pub(super) fn migrate(sql: &mut dyn Sql, migrations: &[&[&str]]) -> Result<()> {
    sql.execute("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)", &[])?;
    let found = first(sql, "SELECT MAX(version) FROM schema_version", &[], |row| row.opt_int(0))?.flatten().unwrap_or(0);
    let known = migrations.len() as i64;
    if found > known || found < 0 {
        return Err(StoreError::Newer { found, known });
    }
    for (index, statements) in migrations.iter().enumerate().skip(found as usize) {
        let version = index as i64 + 1;
        sql.begin()?;
        let done = step(sql, statements, version).and_then(|()| sql.commit());
        if let Err(error) = done {
            sql.rollback();
            return Err(error.during(format_args!("bringing the database to schema version {version}")));
        }
    }
    Ok(())
}

fn step(sql: &mut dyn Sql, statements: &[&str], version: i64) -> Result<()> {
    for statement in statements {
        let mut text = statement.to_string();
        for (word, means) in sql.dialect() {
            text = text.replace(word, means);
        }
        sql.execute(&text, &[])?;
    }
    sql.execute("DELETE FROM schema_version", &[])?;
    sql.execute("INSERT INTO schema_version (version) VALUES ($1)", params![version]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::Sqlite;

    const OLD: &[&[&str]] = &[&["CREATE TABLE things (id {id}, name TEXT)", "INSERT INTO things VALUES (1, 'kept')"]];
    const NEW: &[&[&str]] = &[OLD[0], &["ALTER TABLE things ADD COLUMN size {int}", "UPDATE things SET size = 7"]];
    const BROKEN: &[&[&str]] = &[OLD[0], &["UPDATE things SET name = 'lost'", "CREATE NONSENSE"]];

    fn version(sql: &mut dyn Sql) -> i64 {
        first(sql, "SELECT version FROM schema_version", &[], |row| row.int(0)).unwrap().unwrap()
    }

    #[test]
    fn steps_are_taken_once_and_keep_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let mut sql = Sqlite::writer(&folder.path().join("db")).unwrap();
        migrate(&mut sql, OLD).unwrap();
        assert_eq!(version(&mut sql), 1);
        let error = migrate(&mut sql, BROKEN).unwrap_err();
        assert!(error.to_string().contains("schema version 2"), "{error}");
        assert_eq!(version(&mut sql), 1);
        migrate(&mut sql, NEW).unwrap();
        migrate(&mut sql, NEW).unwrap();
        assert_eq!(version(&mut sql), 2);
        let row = first(&mut sql, "SELECT name, size FROM things", &[], |row| Ok((row.string(0)?, row.int(1)?))).unwrap();
        assert_eq!(row, Some(("kept".into(), 7)));
    }

    #[test]
    fn a_newer_database_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut sql = Sqlite::writer(&folder.path().join("db")).unwrap();
        migrate(&mut sql, NEW).unwrap();
        let error = migrate(&mut sql, OLD).unwrap_err();
        assert_eq!(error, StoreError::Newer { found: 2, known: 1 });
        assert_eq!(version(&mut sql), 2);
    }
}
