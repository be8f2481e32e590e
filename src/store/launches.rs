//! The ledger of machines that were started for latent workers, and which workers are kept from starting one.

use std::collections::HashMap;

use super::Store;
use super::sql::{Result, RowRef, Sql, first, from_json, json, params, rows};
use crate::base::Timestamp;
use crate::model::{LaunchId, LaunchRecord, Quarantine};

const COLUMNS: &str = "id, worker, backend, settings, generation, created_at, handle, attached_at, stop_reason, stop_wanted_at, \
    gone_reason, gone_at, price_per_hour, leak_told_at, login, place";

impl Store {
    /// Writes the row, new or known; answers when it is committed.
    pub async fn put_launch(&self, record: &LaunchRecord) -> Result<()> {
        let what = format!("keeping launch {} of worker {}", record.id, record.worker);
        let record = record.clone();
        self.engine.write(what, move |sql| put(sql, &record)).await
    }

    /// Every launch that is not known to be gone, the oldest first.
    pub async fn open_launches(&self) -> Result<Vec<LaunchRecord>> {
        let text = format!("SELECT {COLUMNS} FROM launches WHERE gone_at IS NULL ORDER BY created_at, id");
        self.engine.read("reading the ledger", move |sql| rows(sql, &text, &[], record)).await
    }

    pub async fn launch(&self, id: &LaunchId) -> Result<Option<LaunchRecord>> {
        let (id, text) = (id.clone(), format!("SELECT {COLUMNS} FROM launches WHERE id = $1"));
        self.engine.read("reading the ledger", move |sql| first(sql, &text, params![&*id.0], record)).await
    }

    /// The newest launches, open or gone.
    pub async fn launches(&self, limit: i64) -> Result<Vec<LaunchRecord>> {
        let text = format!("SELECT {COLUMNS} FROM launches ORDER BY created_at DESC, id DESC LIMIT $1");
        self.engine.read("reading the ledger", move |sql| rows(sql, &text, params![limit], record)).await
    }

    /// How often it is that worker's turn to wait, by name.
    pub async fn quarantines(&self) -> Result<HashMap<String, Quarantine>> {
        let read = |row: &dyn RowRef| {
            let failures = u32::try_from(row.int(1)?).unwrap_or(u32::MAX);
            Ok((row.string(0)?, Quarantine { failures, until: row.time(2)?, reason: row.opt_text(3)?.map(str::to_owned) }))
        };
        let text = "SELECT worker, failures, until_at, reason FROM quarantines";
        self.engine.read("reading the quarantines", move |sql| Ok(rows(sql, text, &[], read)?.into_iter().collect())).await
    }

    pub async fn put_quarantine(&self, worker: &str, quarantine: &Quarantine) -> Result<()> {
        let (worker, quarantine) = (worker.to_owned(), quarantine.clone());
        let work = move |sql: &mut dyn Sql| {
            if quarantine == Quarantine::default() {
                return sql.execute("DELETE FROM quarantines WHERE worker = $1", params![&worker]).map(drop);
            }
            let values = params![&worker, i64::from(quarantine.failures), quarantine.until, quarantine.reason.as_deref()];
            sql.execute(
                "INSERT INTO quarantines (worker, failures, until_at, reason) VALUES ($1, $2, $3, $4)
                    ON CONFLICT (worker) DO UPDATE SET failures = excluded.failures, until_at = excluded.until_at, reason = excluded.reason",
                values,
            )
            .map(drop)
        };
        self.engine.write("keeping a quarantine", work).await
    }
}

fn put(sql: &mut dyn Sql, r: &LaunchRecord) -> Result<()> {
    let handle = r.handle.as_ref().map(json).transpose()?;
    let (stop_reason, stop_at) = parts(&r.stop);
    let (gone_reason, gone_at) = parts(&r.gone);
    // Millionths, since a statement knows whole numbers on every database alike.
    let price = r.price_per_hour.map(|p| (p * 1e6).round() as i64);
    sql.execute(
        "INSERT INTO launches (id, worker, backend, settings, generation, created_at, handle, attached_at, stop_reason, stop_wanted_at,
                gone_reason, gone_at, price_per_hour, leak_told_at, login, place)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
            ON CONFLICT (id) DO UPDATE SET handle = excluded.handle, attached_at = excluded.attached_at,
                stop_reason = excluded.stop_reason, stop_wanted_at = excluded.stop_wanted_at,
                gone_reason = excluded.gone_reason, gone_at = excluded.gone_at, price_per_hour = excluded.price_per_hour,
                leak_told_at = excluded.leak_told_at",
        params![
            &*r.id.0,
            &r.worker,
            &r.backend,
            &r.settings,
            r.generation,
            r.created_at,
            handle.as_deref(),
            r.attached_at,
            stop_reason,
            stop_at,
            gone_reason,
            gone_at,
            price,
            r.leak_told_at,
            r.login.as_deref(),
            r.place.as_deref()
        ],
    )
    .map(drop)
}

fn parts(end: &Option<(String, Timestamp)>) -> (Option<&str>, Option<Timestamp>) {
    (end.as_ref().map(|(reason, _)| reason.as_str()), end.as_ref().map(|(_, at)| *at))
}

fn record(row: &dyn RowRef) -> Result<LaunchRecord> {
    let end = |reason: usize, at: usize| -> Result<Option<(String, Timestamp)>> {
        let Some(at) = row.time(at)? else { return Ok(None) };
        Ok(Some((row.opt_text(reason)?.unwrap_or_default().to_owned(), at)))
    };
    Ok(LaunchRecord {
        id: LaunchId(row.text(0)?.into()),
        worker: row.string(1)?,
        backend: row.string(2)?,
        settings: row.string(3)?,
        generation: row.int(4)?,
        created_at: Timestamp(row.int(5)?),
        handle: row.opt_text(6)?.map(from_json).transpose()?,
        attached_at: row.time(7)?,
        stop: end(8, 9)?,
        gone: end(10, 11)?,
        price_per_hour: row.opt_int(12)?.map(|p| p as f64 / 1e6),
        leak_told_at: row.time(13)?,
        login: row.opt_text(14)?.map(str::to_owned),
        place: row.opt_text(15)?.map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_launch_is_kept_from_its_intent_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let store = crate::store::tests::open(&folder).await;
        let mut launch = LaunchRecord {
            id: LaunchId("ab12".into()),
            worker: "bot".into(),
            backend: "EC2LatentWorker".into(),
            settings: "5e".into(),
            place: Some("eu-west-1".into()),
            generation: 3,
            created_at: Timestamp(1000),
            handle: None,
            attached_at: None,
            stop: None,
            gone: None,
            price_per_hour: Some(0.096),
            leak_told_at: None,
            login: Some("5ea1".into()),
        };
        store.put_launch(&launch).await.unwrap();
        assert_eq!(store.open_launches().await.unwrap(), [launch.clone()]);
        launch.handle = Some(json!({ "instance": "i-1" }));
        launch.attached_at = Some(Timestamp(2000));
        launch.stop = Some(("idle".into(), Timestamp(3000)));
        launch.leak_told_at = Some(Timestamp(3500));
        store.put_launch(&launch).await.unwrap();
        assert_eq!(store.open_launches().await.unwrap(), [launch.clone()]);
        launch.gone = Some(("idle".into(), Timestamp(4000)));
        store.put_launch(&launch).await.unwrap();
        assert_eq!(store.open_launches().await.unwrap(), []);
        assert_eq!(store.launches(10).await.unwrap(), [launch.clone()]);
        assert_eq!(store.launch(&launch.id).await.unwrap(), Some(launch));
        assert_eq!(store.launch(&LaunchId("other".into())).await.unwrap(), None);
        store.close().await;
    }

    #[tokio::test]
    async fn a_quarantine_is_kept_until_it_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let store = crate::store::tests::open(&folder).await;
        let one = Quarantine { failures: 2, until: Some(Timestamp(9000)), reason: Some("no such image".into()) };
        store.put_quarantine("bot", &one).await.unwrap();
        assert_eq!(store.quarantines().await.unwrap(), HashMap::from([("bot".to_owned(), one)]));
        store.put_quarantine("bot", &Quarantine::default()).await.unwrap();
        assert!(store.quarantines().await.unwrap().is_empty());
        store.close().await;
    }
}
