//! Which workers are away, and of which of them that has been told.

use super::Store;
use super::sql::{Result, RowRef, Sql, params, rows};
use crate::base::{BuilderId, Timestamp, WorkerId};
use crate::model::Absence;

impl Store {
    pub async fn absences(&self) -> Result<Vec<Absence>> {
        let text = "SELECT worker, since_at, last_seen, peer, told_at FROM absences ORDER BY worker";
        self.engine.read("reading which workers are away", move |sql| rows(sql, text, &[], absence)).await
    }

    /// Answers when it is committed.
    pub async fn put_absence(&self, absence: &Absence) -> Result<()> {
        let what = format!("keeping that worker {} is away", absence.worker);
        let a = absence.clone();
        let text = "INSERT INTO absences (worker, since_at, last_seen, peer, told_at) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (worker) DO UPDATE SET since_at = excluded.since_at, last_seen = excluded.last_seen, peer = excluded.peer,
                told_at = excluded.told_at";
        self.engine
            .write(what, move |sql| sql.execute(text, params![&a.worker, a.since, a.last_seen, a.peer.as_deref(), a.told_at]).map(drop))
            .await
    }

    pub async fn forget_absence(&self, worker: &str) -> Result<()> {
        let worker = worker.to_owned();
        let work = move |sql: &mut dyn Sql| sql.execute("DELETE FROM absences WHERE worker = $1", params![&worker]).map(drop);
        self.engine.write("forgetting that a worker was away", work).await
    }

    /// What a worker was building at a time, among its last builds: builder and number.
    pub async fn builds_at(&self, worker: WorkerId, at: Timestamp) -> Result<Vec<(String, BuilderId, i64)>> {
        let text = "SELECT b.name, b.id, builds.number FROM (SELECT * FROM builds WHERE worker_id = $1 ORDER BY id DESC LIMIT 200) builds
                JOIN builders b ON b.id = builds.builder_id
            WHERE builds.started_at <= $2 AND (builds.complete_at IS NULL OR builds.complete_at >= $3)
            ORDER BY builds.id DESC";
        let work = move |sql: &mut dyn Sql| {
            rows(sql, text, params![worker, at, at], |row| Ok((row.string(0)?, BuilderId(row.int(1)?), row.int(2)?)))
        };
        self.engine.read("reading what a worker was building", work).await
    }
}

fn absence(row: &dyn RowRef) -> Result<Absence> {
    Ok(Absence {
        worker: row.string(0)?,
        since: Timestamp(row.int(1)?),
        last_seen: row.time(2)?,
        peer: row.opt_text(3)?.map(str::to_owned),
        told_at: row.time(4)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_absence_is_kept_once_until_the_worker_is_back() {
        let folder = tempfile::tempdir().unwrap();
        let store = crate::store::tests::open(&folder).await;
        let mut absence = Absence {
            worker: "bot".into(),
            since: Timestamp(5),
            last_seen: Some(Timestamp(5)),
            peer: Some("[::1]:4".into()),
            told_at: None,
        };
        store.put_absence(&absence).await.unwrap();
        absence.told_at = Some(Timestamp(9));
        store.put_absence(&absence).await.unwrap();
        assert_eq!(store.absences().await.unwrap(), [absence]);
        store.forget_absence("bot").await.unwrap();
        assert_eq!(store.absences().await.unwrap(), []);
    }
}
