//! What happened and is not told of yet. Each row is written in the transaction of what happened, so a crash parts neither from the
//! other. Never knows who wants to be told.

use super::sql::{Result, Sql, params, rows};
use super::{Store, StoreError};
use crate::base::Timestamp;
use crate::model::report::{Occurrence, What};

pub(super) fn add(sql: &mut dyn Sql, what: What, now: Timestamp) -> Result<()> {
    let (kind, subject) = what.parts();
    sql.execute(
        "INSERT INTO occurrences (seq, kind, subject, at) SELECT COALESCE(MAX(seq), 0) + 1, $1, $2, $3 FROM occurrences",
        params![kind, subject, now],
    )
    .map(drop)
}

pub(super) fn strike(sql: &mut dyn Sql, seqs: &[i64]) -> Result<()> {
    seqs.iter().try_for_each(|seq| sql.execute("DELETE FROM occurrences WHERE seq = $1", params![*seq]).map(drop))
}

impl Store {
    /// The oldest ones after `after` (0: from the beginning), in their order.
    pub async fn occurrences(&self, after: i64, limit: usize) -> Result<Vec<Occurrence>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let work = move |sql: &mut dyn Sql| {
            let text = "SELECT seq, kind, subject, at FROM occurrences WHERE seq > $1 ORDER BY seq LIMIT $2";
            rows(sql, text, params![after, limit], |row| {
                let what = What::from_parts(row.text(1)?, row.int(2)?);
                let what = what.ok_or_else(|| StoreError::database(format!("there is no occurrence of the kind {:?}", row.text(1))))?;
                Ok(Occurrence { seq: row.int(0)?, what, at: Timestamp(row.int(3)?) })
            })
        };
        self.engine.read("what happened", work).await
    }

    /// Nobody has to be told of these.
    pub async fn strike_occurrences(&self, seqs: Vec<i64>) -> Result<()> {
        self.engine.write("settling what happened", move |sql| strike(sql, &seqs)).await
    }
}
