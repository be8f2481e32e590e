//! What a database must be able to do for this room, so that one set of statements serves SQLite and PostgreSQL.
//!
//! Statements are portable SQL with placeholders `$1`, `$2` … numbered in the order in which they first appear. Truth
//! values are 0 and 1, times are milliseconds. Never knows a driver.

use std::borrow::Cow;

use super::StoreError;
use crate::base::*;

pub(super) type Result<T, E = StoreError> = std::result::Result<T, E>;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Param<'a> {
    Null,
    Int(i64),
    Real(f64),
    Text(Cow<'a, str>),
}

pub(super) trait Sql: Send {
    /// Runs one statement; how many rows it changed.
    fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64>;
    fn query(&mut self, sql: &str, params: &[Param<'_>], each: &mut dyn FnMut(&dyn RowRef) -> Result<()>) -> Result<()>;
    fn begin(&mut self) -> Result<()>;
    fn commit(&mut self) -> Result<()>;
    /// Never fails: a transaction that cannot be rolled back is gone already.
    fn rollback(&mut self);
    /// Words of the schema that differ: `{id}`, `{int}`, `{compact}`.
    fn dialect(&self) -> &'static [(&'static str, &'static str)];
}

/// A row while it is read; columns count from 0.
pub(super) trait RowRef {
    fn opt_int(&self, column: usize) -> Result<Option<i64>>;
    fn opt_text(&self, column: usize) -> Result<Option<&str>>;

    fn int(&self, column: usize) -> Result<i64> {
        self.opt_int(column)?.ok_or_else(|| StoreError::database(format!("column {column} has no value")))
    }

    fn text(&self, column: usize) -> Result<&str> {
        self.opt_text(column)?.ok_or_else(|| StoreError::database(format!("column {column} has no value")))
    }

    fn string(&self, column: usize) -> Result<String> {
        self.text(column).map(str::to_owned)
    }

    fn time(&self, column: usize) -> Result<Option<Timestamp>> {
        Ok(self.opt_int(column)?.map(Timestamp))
    }
}

/// All rows, each through `map`.
pub(super) fn rows<T>(sql: &mut dyn Sql, text: &str, params: &[Param<'_>], map: impl Fn(&dyn RowRef) -> Result<T>) -> Result<Vec<T>> {
    let mut found = Vec::new();
    sql.query(text, params, &mut |row| {
        found.push(map(row)?);
        Ok(())
    })?;
    Ok(found)
}

/// The first row, if there is one.
pub(super) fn first<T>(sql: &mut dyn Sql, text: &str, params: &[Param<'_>], map: impl Fn(&dyn RowRef) -> Result<T>) -> Result<Option<T>> {
    let mut found = None;
    sql.query(text, params, &mut |row| {
        if found.is_none() {
            found = Some(map(row)?);
        }
        Ok(())
    })?;
    Ok(found)
}

pub(super) fn json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(StoreError::database)
}

pub(super) fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| StoreError::database(format!("stored JSON cannot be read: {e}")))
}

impl From<i64> for Param<'_> {
    fn from(value: i64) -> Self {
        Param::Int(value)
    }
}

impl From<bool> for Param<'_> {
    fn from(value: bool) -> Self {
        Param::Int(value.into())
    }
}

impl From<Timestamp> for Param<'_> {
    fn from(value: Timestamp) -> Self {
        Param::Int(value.0)
    }
}

impl From<crate::model::Results> for Param<'_> {
    fn from(value: crate::model::Results) -> Self {
        Param::Int(value.into())
    }
}

impl<'a> From<&'a str> for Param<'a> {
    fn from(value: &'a str) -> Self {
        Param::Text(Cow::Borrowed(value))
    }
}

impl<'a> From<&'a String> for Param<'a> {
    fn from(value: &'a String) -> Self {
        Param::Text(Cow::Borrowed(value))
    }
}

impl From<String> for Param<'_> {
    fn from(value: String) -> Self {
        Param::Text(Cow::Owned(value))
    }
}

impl<'a, T: Into<Param<'a>>> From<Option<T>> for Param<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Param::Null, Into::into)
    }
}

macro_rules! id_params {
    ($($id:ident)*) => {$(
        impl From<$id> for Param<'_> {
            fn from(id: $id) -> Self {
                Param::Int(id.0)
            }
        }
    )*};
}

id_params!(WorkerId BuilderId SchedulerId BuildsetId RequestId BuildId StepId LogId SourceStampId);

macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$($crate::store::sql::Param::from($value)),*] };
}
pub(super) use params;
