//! Messages until they have arrived: what waits, in which order, and what became of each. Never knows how one is sent or what it says.
//!
//! A settled row loses its payload at once and stays for some days, so that the same message isn't queued again and people
//! can see what became of it.

use super::sql::{Result, RowRef, Sql, first, params, rows};
use super::{Store, StoreError, occurrences};
use crate::base::Timestamp;
use crate::model::{NewOutboxItem, OutboxCount, OutboxDelay, OutboxItem, OutboxState};

const COLUMNS: &str = "o.id, o.reporter, o.item_key, o.lane, o.state, o.attempts, o.next_try, o.failing_since, o.created_at, o.settled_at, o.last_error, \
     o.yields";

/// What is written at a time when old rows are forgotten: others want to write too.
const FORGET_AT_A_TIME: i64 = 1000;

const WAITING: i64 = 0;
const SENT: i64 = 1;
const GIVEN_UP: i64 = 2;

impl Store {
    /// Queues messages and strikes out the occurrences that they tell of, both or neither. A message whose reporter and key
    /// are known is left out. Answers how many are new when it is committed.
    pub async fn put_outbox(&self, items: Vec<NewOutboxItem>, struck: Vec<i64>, now: Timestamp) -> Result<u64> {
        let work = move |sql: &mut dyn Sql| {
            let mut new = 0;
            for item in &items {
                new += sql.execute(
                    "INSERT INTO outbox (id, reporter, item_key, lane, payload, state, attempts, next_try, created_at)
                        SELECT COALESCE(MAX(id), 0) + 1, $1, $2, $3, $4, 0, 0, $5, $6 FROM outbox WHERE 1 = 1
                        ON CONFLICT (reporter, item_key) DO NOTHING",
                    params![&item.reporter, &item.key, &item.lane, &item.payload, now, now],
                )?;
            }
            occurrences::strike(sql, &struck)?;
            Ok(new)
        };
        self.engine.write("queueing messages", work).await
    }

    /// What may be sent now: of the lanes whose oldest waiting message is due, the oldest ones in the order of putting; and what
    /// yields and is due. Who has failed more often comes later, so that one that always fails is in nobody's way.
    pub async fn due_outbox(&self, reporter: &str, now: Timestamp, limit: usize) -> Result<Vec<OutboxItem>> {
        let text = format!(
            "WITH heads AS (SELECT lane, MIN(id) AS id FROM outbox WHERE reporter = $1 AND state = 0 AND yields = 0 GROUP BY lane),
                due AS (SELECT o.id, f.attempts AS failures FROM heads h JOIN outbox f ON f.id = h.id
                        JOIN outbox o ON o.reporter = $1 AND o.lane = h.lane AND o.state = 0 AND o.yields = 0
                    WHERE f.next_try <= $2
                    UNION ALL SELECT y.id, y.attempts AS failures FROM outbox y
                    WHERE y.reporter = $1 AND y.state = 0 AND y.yields = 1 AND y.next_try <= $2)
                SELECT {COLUMNS} FROM due d JOIN outbox o ON o.id = d.id ORDER BY d.failures, o.id LIMIT $3"
        );
        let (reporter, limit) = (reporter.to_owned(), i64::try_from(limit).unwrap_or(i64::MAX));
        self.engine.read("reading the outbox", move |sql| rows(sql, &text, params![&reporter, now, limit], item)).await
    }

    /// When the next message of that reporter is due; none: nothing waits.
    pub async fn next_outbox_try(&self, reporter: &str) -> Result<Option<Timestamp>> {
        let text = "SELECT MIN(o.next_try) FROM outbox o JOIN (
                SELECT MIN(id) AS id FROM outbox WHERE reporter = $1 AND state = 0 AND yields = 0 GROUP BY lane
                UNION ALL SELECT id FROM outbox WHERE reporter = $1 AND state = 0 AND yields = 1) h ON o.id = h.id";
        let reporter = reporter.to_owned();
        let work = move |sql: &mut dyn Sql| Ok(first(sql, text, params![&reporter], |row| row.time(0))?.flatten());
        self.engine.read("reading the outbox", work).await
    }

    /// Payload, and what its sender has noted of it.
    pub async fn outbox_payload(&self, id: i64) -> Result<(String, Option<String>)> {
        let text = "SELECT payload, progress FROM outbox WHERE id = $1";
        let read = |row: &dyn RowRef| Ok((row.string(0)?, row.opt_text(1)?.map(str::to_owned)));
        let work = move |sql: &mut dyn Sql| {
            first(sql, text, params![id], read)?.ok_or_else(|| StoreError::Missing(format!("message {id} in the outbox")))
        };
        self.engine.read("reading a message", work).await
    }

    /// It has arrived, or is given up: `remark` says why, or what is to be known of it.
    pub async fn settle_outbox(&self, id: i64, state: OutboxState, remark: Option<&str>, now: Timestamp) -> Result<()> {
        let remark = remark.map(str::to_owned);
        let work = move |sql: &mut dyn Sql| {
            sql.execute(
                "UPDATE outbox SET state = $1, settled_at = $2, last_error = $3, attempts = attempts + 1, payload = '', progress = NULL
                    WHERE id = $4 AND state = 0",
                params![number(state), now, remark.as_deref(), id],
            )
            .map(drop)
        };
        self.engine.write(format!("settling message {id} of the outbox"), work).await
    }

    /// It did not arrive and is tried again later.
    pub async fn postpone_outbox(&self, id: i64, later: OutboxDelay, now: Timestamp) -> Result<()> {
        let work = move |sql: &mut dyn Sql| {
            sql.execute(
                "UPDATE outbox SET next_try = $1, progress = COALESCE($2, progress), last_error = $3, attempts = attempts + 1,
                    failing_since = COALESCE(failing_since, $4), yields = $5 WHERE id = $6 AND state = 0",
                params![later.next_try, later.progress.as_deref(), &later.error, now, later.yields, id],
            )
            .map(drop)
        };
        self.engine.write(format!("postponing message {id} of the outbox"), work).await
    }

    /// The target of that reporter can't be reached: all its waiting messages suffer from now on. Those that suffer since
    /// before `patience` are given up; these, at most `limit`.
    pub async fn outbox_target_down(
        &self,
        reporter: &str,
        error: &str,
        patience: Option<Timestamp>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<OutboxItem>> {
        let (reporter, error, limit) = (reporter.to_owned(), error.to_owned(), i64::try_from(limit).unwrap_or(i64::MAX));
        let work = move |sql: &mut dyn Sql| {
            sql.execute(
                "UPDATE outbox SET failing_since = $1 WHERE reporter = $2 AND state = 0 AND failing_since IS NULL",
                params![now, &reporter],
            )?;
            let Some(patience) = patience else { return Ok(Vec::new()) };
            let text = format!(
                "SELECT {COLUMNS} FROM outbox o WHERE o.reporter = $1 AND o.state = 0 AND o.failing_since <= $2 ORDER BY o.id LIMIT $3"
            );
            let lost = rows(sql, &text, params![&reporter, patience, limit], item)?;
            for item in &lost {
                sql.execute(
                    "UPDATE outbox SET state = 2, settled_at = $1, last_error = $2, payload = '', progress = NULL WHERE id = $3",
                    params![now, &error, item.id],
                )?;
            }
            Ok(lost)
        };
        self.engine.write("noting that a target of the outbox is down", work).await
    }

    /// Everything that waits for that reporter is due.
    pub async fn hasten_outbox(&self, reporter: &str, now: Timestamp) -> Result<()> {
        let reporter = reporter.to_owned();
        let work = move |sql: &mut dyn Sql| {
            sql.execute("UPDATE outbox SET next_try = $1 WHERE reporter = $2 AND state = 0 AND next_try > $1", params![now, &reporter])
                .map(drop)
        };
        self.engine.write("making messages of the outbox due", work).await
    }

    /// What waits and what was given up, by reporter.
    pub async fn outbox_counts(&self) -> Result<Vec<OutboxCount>> {
        let text = "SELECT reporter, SUM(CASE WHEN state = 0 THEN 1 ELSE 0 END), SUM(CASE WHEN state = 0 AND failing_since IS NOT NULL THEN 1 ELSE 0 END),
            SUM(CASE WHEN state = 2 THEN 1 ELSE 0 END), MIN(CASE WHEN state = 0 THEN created_at END),
            (SELECT e.last_error FROM outbox e WHERE e.reporter = outbox.reporter AND e.state = 0 AND e.last_error IS NOT NULL ORDER BY e.id LIMIT 1)
            FROM outbox WHERE state <> 1 GROUP BY reporter ORDER BY reporter";
        let count = |row: &dyn RowRef, column| Ok::<u64, StoreError>(u64::try_from(row.int(column)?).unwrap_or(0));
        let read = move |row: &dyn RowRef| {
            Ok(OutboxCount {
                reporter: row.string(0)?,
                waiting: count(row, 1)?,
                failing: count(row, 2)?,
                given_up: count(row, 3)?,
                oldest: row.time(4)?,
                last_error: row.opt_text(5)?.map(str::to_owned),
            })
        };
        self.engine.read("counting the outbox", move |sql| rows(sql, text, &[], read)).await
    }

    /// The newest messages, all or those in that state.
    pub async fn outbox(&self, state: Option<OutboxState>, limit: usize) -> Result<Vec<OutboxItem>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let (low, high) = state.map_or((WAITING, GIVEN_UP), |s| (number(s), number(s)));
        let text = format!("SELECT {COLUMNS} FROM outbox o WHERE o.state >= $1 AND o.state <= $2 ORDER BY o.id DESC LIMIT $3");
        self.engine.read("reading the outbox", move |sql| rows(sql, &text, params![low, high, limit], item)).await
    }

    /// Forgets what was settled before `before`, and its keys; some of it at a time. True: there may be more.
    pub async fn forget_outbox(&self, before: Timestamp) -> Result<bool> {
        let work = move |sql: &mut dyn Sql| {
            sql.execute(
                "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE state <> 0 AND settled_at < $1 LIMIT $2)",
                params![before, FORGET_AT_A_TIME],
            )
        };
        Ok(self.engine.write("forgetting old messages", work).await? >= FORGET_AT_A_TIME as u64)
    }
}

fn number(state: OutboxState) -> i64 {
    match state {
        OutboxState::Waiting => WAITING,
        OutboxState::Sent => SENT,
        OutboxState::GivenUp => GIVEN_UP,
    }
}

fn item(row: &dyn RowRef) -> Result<OutboxItem> {
    Ok(OutboxItem {
        id: row.int(0)?,
        reporter: row.string(1)?,
        key: row.string(2)?,
        lane: row.string(3)?,
        state: match row.int(4)? {
            WAITING => OutboxState::Waiting,
            SENT => OutboxState::Sent,
            GIVEN_UP => OutboxState::GivenUp,
            other => return Err(StoreError::database(format!("a message of the outbox is in the unknown state {other}"))),
        },
        attempts: u32::try_from(row.int(5)?).unwrap_or(u32::MAX),
        next_try: Timestamp(row.int(6)?),
        failing_since: row.time(7)?,
        created_at: Timestamp(row.int(8)?),
        settled_at: row.time(9)?,
        last_error: row.opt_text(10)?.map(str::to_owned),
        yields: row.int(11)? != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(key: &str, lane: &str) -> NewOutboxItem {
        NewOutboxItem { reporter: "mail".into(), key: key.into(), lane: lane.into(), payload: format!("payload of {key}") }
    }

    fn keys(items: &[OutboxItem]) -> Vec<&str> {
        items.iter().map(|i| i.key.as_str()).collect()
    }

    #[tokio::test]
    async fn a_message_is_queued_once_per_reporter_and_key() {
        let folder = tempfile::tempdir().unwrap();
        let store = crate::store::tests::open(&folder).await;
        assert_eq!(store.put_outbox(vec![new("a", "x"), new("b", "x"), new("a", "y")], vec![], Timestamp(10)).await.unwrap(), 2);
        let other = NewOutboxItem { reporter: "other".into(), ..new("a", "x") };
        assert_eq!(store.put_outbox(vec![new("a", "x"), other], vec![], Timestamp(20)).await.unwrap(), 1);
        let due = store.due_outbox("mail", Timestamp(10), 10).await.unwrap();
        assert_eq!(keys(&due), ["a", "b"]);
        assert_eq!(store.outbox_payload(due[0].id).await.unwrap(), ("payload of a".into(), None));
        // Settled: still known, without its payload.
        store.settle_outbox(due[0].id, OutboxState::Sent, None, Timestamp(30)).await.unwrap();
        assert_eq!(store.outbox_payload(due[0].id).await.unwrap(), (String::new(), None));
        assert_eq!(store.put_outbox(vec![new("a", "x")], vec![], Timestamp(40)).await.unwrap(), 0);
        // Forgotten at last.
        assert!(!store.forget_outbox(Timestamp(31)).await.unwrap());
        assert_eq!(store.put_outbox(vec![new("a", "x")], vec![], Timestamp(50)).await.unwrap(), 1);
        store.close().await;
    }

    #[tokio::test]
    async fn a_lane_waits_for_its_oldest_message_and_for_no_other_lane() {
        let folder = tempfile::tempdir().unwrap();
        let store = crate::store::tests::open(&folder).await;
        let all = vec![new("x1", "x"), new("y1", "y"), new("x2", "x"), new("y2", "y")];
        store.put_outbox(all, vec![], Timestamp(10)).await.unwrap();
        let due = store.due_outbox("mail", Timestamp(10), 10).await.unwrap();
        assert_eq!(keys(&due), ["x1", "y1", "x2", "y2"]);
        let later = |yields| OutboxDelay { next_try: Timestamp(500), progress: Some("rest".into()), error: "450 later".into(), yields };
        store.postpone_outbox(due[0].id, later(false), Timestamp(20)).await.unwrap();
        assert_eq!(keys(&store.due_outbox("mail", Timestamp(20), 10).await.unwrap()), ["y1", "y2"]);
        assert_eq!(store.next_outbox_try("mail").await.unwrap(), Some(Timestamp(10)));
        for item in [&due[1], &due[3]] {
            store.settle_outbox(item.id, OutboxState::Sent, None, Timestamp(30)).await.unwrap();
        }
        assert_eq!(store.next_outbox_try("mail").await.unwrap(), Some(Timestamp(500)));
        assert_eq!(store.next_outbox_try("other").await.unwrap(), None);
        store.hasten_outbox("mail", Timestamp(40)).await.unwrap();
        let due = store.due_outbox("mail", Timestamp(40), 10).await.unwrap();
        assert_eq!(keys(&due), ["x1", "x2"]);
        assert_eq!((due[0].attempts, due[0].failing_since, due[0].last_error.as_deref()), (1, Some(Timestamp(20)), Some("450 later")));
        // What yields is in nobody's way, and is tried when it is due.
        store.postpone_outbox(due[0].id, later(true), Timestamp(50)).await.unwrap();
        assert_eq!(keys(&store.due_outbox("mail", Timestamp(60), 10).await.unwrap()), ["x2"]);
        assert_eq!(keys(&store.due_outbox("mail", Timestamp(500), 10).await.unwrap()), ["x2", "x1"], "the one that failed comes later");
        assert_eq!(store.outbox_payload(due[0].id).await.unwrap(), ("payload of x1".into(), Some("rest".into())));
        store.close().await;
    }

    #[tokio::test]
    async fn a_dead_target_is_everybodys_failure_and_patience_ends_for_the_longest_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let store = crate::store::tests::open(&folder).await;
        store.put_outbox(vec![new("a", "x"), new("b", "y")], vec![], Timestamp(10)).await.unwrap();
        assert!(store.outbox_target_down("mail", "refused", None, 10, Timestamp(100)).await.unwrap().is_empty());
        store.put_outbox(vec![new("c", "x")], vec![], Timestamp(150)).await.unwrap();
        let lost = store.outbox_target_down("mail", "refused", Some(Timestamp(100)), 10, Timestamp(200)).await.unwrap();
        assert_eq!(keys(&lost), ["a", "b"]);
        let count =
            OutboxCount { reporter: "mail".into(), waiting: 1, failing: 1, given_up: 2, oldest: Some(Timestamp(150)), last_error: None };
        assert_eq!(store.outbox_counts().await.unwrap(), [count]);
        let given_up = store.outbox(Some(OutboxState::GivenUp), 10).await.unwrap();
        assert_eq!(keys(&given_up), ["b", "a"]);
        assert_eq!(given_up[0].last_error.as_deref(), Some("refused"));
        assert_eq!(keys(&store.outbox(None, 2).await.unwrap()), ["c", "b"]);
        store.close().await;
    }

    #[tokio::test]
    async fn messages_and_what_they_tell_of_are_settled_together() {
        let folder = tempfile::tempdir().unwrap();
        let store = crate::store::tests::open(&folder).await;
        let what = crate::model::report::What::BuildFinished(crate::base::BuildId(7));
        let ids = store.ids.clone();
        store.engine.write("a test", move |sql| occurrences::add(sql, &ids, what, None, Timestamp(5))).await.unwrap();
        let seqs: Vec<i64> = store.occurrences(0, 10).await.unwrap().iter().map(|o| o.id).collect();
        assert_eq!(seqs.len(), 1);
        store.put_outbox(vec![new("a", "x")], seqs, Timestamp(10)).await.unwrap();
        assert!(store.occurrences(0, 10).await.unwrap().is_empty());
        store.close().await;
    }
}
