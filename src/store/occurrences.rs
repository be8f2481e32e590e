//! What happened and is not told of yet. Each row is written in the transaction of what happened, so a crash parts neither from the
//! other. Never knows who wants to be told.

use super::sql::{Result, Sql, params, rows};
use super::{Ids, Store, StoreError, next};
use crate::base::{BuilderId, Timestamp};
use crate::model::report::{Occurrence, What};

pub(super) fn add(sql: &mut dyn Sql, ids: &Ids, what: What, lane: Option<BuilderId>, now: Timestamp) -> Result<()> {
    let (kind, subject) = what.parts();
    let text = "INSERT INTO occurrences (id, kind, subject, builder_id, at) VALUES ($1, $2, $3, $4, $5)";
    sql.execute(text, params![next(&ids.occurrence), kind, subject, lane, now]).map(drop)
}

pub(super) fn strike(sql: &mut dyn Sql, ids: &[i64]) -> Result<()> {
    ids.iter().try_for_each(|id| sql.execute("DELETE FROM occurrences WHERE id = $1", params![*id]).map(drop))
}

impl Store {
    /// The oldest ones after `after` (0: from the beginning), in their order.
    pub async fn occurrences(&self, after: i64, limit: usize) -> Result<Vec<Occurrence>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let work = move |sql: &mut dyn Sql| {
            let text = "SELECT id, kind, subject, builder_id, at FROM occurrences WHERE id > $1 ORDER BY id LIMIT $2";
            rows(sql, text, params![after, limit], |row| {
                let what = What::from_parts(row.text(1)?, row.int(2)?);
                let what = what.ok_or_else(|| StoreError::database(format!("there is no occurrence of the kind {:?}", row.text(1))))?;
                Ok(Occurrence { id: row.int(0)?, what, lane: row.opt_int(3)?.map(BuilderId), at: Timestamp(row.int(4)?) })
            })
        };
        self.engine.read("what happened", work).await
    }

    /// Nobody has to be told of these.
    pub async fn strike_occurrences(&self, ids: Vec<i64>) -> Result<()> {
        self.engine.write("settling what happened", move |sql| strike(sql, &ids)).await
    }
}
