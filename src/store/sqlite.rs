//! SQLite behind [`Sql`]. Nothing outside this file knows the driver.

use std::path::Path;
use std::time::Duration;

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::StoreError;
use super::sql::{Param, Result, RowRef, Sql};

/// Page cache per connection, in KiB: three connections must fit in a master of 40 MiB.
const CACHE_KIB: i64 = 2048;
/// How long a lock of another process (a backup, a shell) is waited for.
const BUSY: Duration = Duration::from_secs(10);
const STATEMENTS: usize = 96;

pub(super) struct Sqlite {
    connection: Connection,
}

impl Sqlite {
    /// The connection that writes. Makes the file if it is missing.
    pub fn writer(path: &Path) -> Result<Sqlite> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let sqlite = Sqlite::open(path, flags)?;
        // NORMAL with a write-ahead log: a crash of the program loses nothing; loss of power may lose the last moments,
        // never consistency.
        sqlite.pragmas("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA journal_size_limit=67108864;")?;
        Ok(sqlite)
    }

    pub fn reader(path: &Path) -> Result<Sqlite> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let sqlite = Sqlite::open(path, flags)?;
        sqlite.pragmas("PRAGMA query_only=ON;")?;
        Ok(sqlite)
    }

    fn open(path: &Path, flags: OpenFlags) -> Result<Sqlite> {
        let connection = Connection::open_with_flags(path, flags)
            .map_err(|e| failed(e).during(format_args!("opening the database {}", path.display())))?;
        connection.busy_timeout(BUSY).map_err(failed)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        let sqlite = Sqlite { connection };
        sqlite
            .pragmas(&format!("PRAGMA cache_size=-{CACHE_KIB}; PRAGMA temp_store=MEMORY;"))
            .map_err(|e| e.during(format_args!("opening the database {}", path.display())))?;
        Ok(sqlite)
    }

    fn pragmas(&self, text: &str) -> Result<()> {
        self.connection.execute_batch(text).map_err(failed)
    }
}

impl Sql for Sqlite {
    fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64> {
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let changed = statement.execute(rusqlite::params_from_iter(params)).map_err(failed)?;
        Ok(changed as u64)
    }

    fn query(&mut self, sql: &str, params: &[Param<'_>], each: &mut dyn FnMut(&dyn RowRef) -> Result<()>) -> Result<()> {
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let mut rows = statement.query(rusqlite::params_from_iter(params)).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            each(&Row(row))?;
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<()> {
        self.execute("BEGIN IMMEDIATE", &[]).map(drop)
    }

    fn commit(&mut self) -> Result<()> {
        self.execute("COMMIT", &[]).map(drop)
    }

    fn rollback(&mut self) {
        // After a full disk SQLite may have rolled back by itself.
        if !self.connection.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK", &[])
        {
            tracing::error!(%error, "a transaction could not be rolled back");
        }
    }

    fn dialect(&self) -> &'static [(&'static str, &'static str)] {
        &[("{id}", "INTEGER PRIMARY KEY"), ("{int}", "INTEGER"), ("{compact}", "WITHOUT ROWID")]
    }
}

struct Row<'a>(&'a rusqlite::Row<'a>);

impl RowRef for Row<'_> {
    fn opt_int(&self, column: usize) -> Result<Option<i64>> {
        match self.0.get_ref(column).map_err(failed)? {
            ValueRef::Null => Ok(None),
            ValueRef::Integer(value) => Ok(Some(value)),
            other => Err(StoreError::database(format!("column {column} holds {:?}, not a whole number", other.data_type()))),
        }
    }

    fn opt_text(&self, column: usize) -> Result<Option<&str>> {
        match self.0.get_ref(column).map_err(failed)? {
            ValueRef::Null => Ok(None),
            ValueRef::Text(text) => {
                std::str::from_utf8(text).map(Some).map_err(|_| StoreError::database(format!("column {column} is not UTF-8")))
            }
            other => Err(StoreError::database(format!("column {column} holds {:?}, not text", other.data_type()))),
        }
    }
}

impl ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Param::Null => ValueRef::Null,
            Param::Int(value) => ValueRef::Integer(*value),
            Param::Real(value) => ValueRef::Real(*value),
            Param::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

fn failed(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full { what: "database".into(), cause: error.to_string() },
        _ => StoreError::database(error),
    }
}
