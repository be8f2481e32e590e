//! What callbacks of the configuration keep under a name: JSON values, few and small.

use serde_json::Value as Json;

use super::sql::{Result, RowRef, Sql, first, from_json, json, params};
use super::{Store, StoreError};
use crate::lua::{Keeping, KeptValues};

/// Of one value as JSON.
const LARGEST: usize = 256 << 10;
const MOST: i64 = 10_000;
/// Of all values together.
const LARGEST_TOGETHER: i64 = 64 << 20;

impl Store {
    pub async fn kept_value(&self, key: &str) -> Result<Option<Json>> {
        let what = format!("reading what is kept as {key:?}");
        let key = key.to_owned();
        let read = |row: &dyn RowRef| from_json(row.text(0)?);
        let text = "SELECT value FROM kept_values WHERE name = $1";
        self.engine.read(what, move |sql| first(sql, text, params![&key], read)).await
    }

    /// Keeps the value in place of an older one; none: nothing is kept any more. Answers when it is committed; the inner error says why
    /// it is not kept.
    pub async fn keep_value(&self, key: &str, value: Option<Json>) -> Result<std::result::Result<(), String>> {
        let Some(value) = value else {
            let key = key.to_owned();
            let work = move |sql: &mut dyn Sql| sql.execute("DELETE FROM kept_values WHERE name = $1", params![&key]).map(drop);
            return self.engine.write("forgetting a value", work).await.map(Ok);
        };
        let text = json(&value)?;
        if text.len() > LARGEST {
            return Ok(Err(format!("a value must not be larger than {} KiB as JSON, got {} KiB", LARGEST >> 10, text.len() >> 10)));
        }
        let key = key.to_owned();
        let work = move |sql: &mut dyn Sql| {
            let size = text.len() as i64;
            let others = "SELECT COUNT(*), SUM(size) FROM kept_values WHERE name <> $1";
            let count = |row: &dyn RowRef| Ok((row.int(0)?, row.opt_int(1)?.unwrap_or(0)));
            let (count, together) = first(sql, others, params![&key], count)?.unwrap_or_default();
            if count >= MOST {
                return Ok(Err(format!("{MOST} values are kept, and no more may be: store.put(key, nil) forgets one")));
            }
            if together + size > LARGEST_TOGETHER {
                return Ok(Err(format!("all values together must not be larger than {} MiB", LARGEST_TOGETHER >> 20)));
            }
            sql.execute(
                "INSERT INTO kept_values (name, value, size) VALUES ($1, $2, $3)
                    ON CONFLICT (name) DO UPDATE SET value = excluded.value, size = excluded.size",
                params![&key, &text, size],
            )?;
            Ok(Ok(()))
        };
        self.engine.write("keeping a value", work).await
    }
}

impl KeptValues for Store {
    fn get(&self, key: String) -> Keeping<Option<Json>> {
        let store = self.clone();
        Box::pin(async move { store.kept_value(&key).await.map_err(|e: StoreError| e.to_string()) })
    }

    fn put(&self, key: String, value: Option<Json>) -> Keeping<()> {
        let store = self.clone();
        Box::pin(async move { store.keep_value(&key, value).await.map_err(|e| e.to_string())? })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::StoreOptions;

    async fn store(folder: &std::path::Path) -> Store {
        Store::open(StoreOptions { database: folder.join("db"), logs: folder.join("logs") }).await.unwrap()
    }

    #[tokio::test]
    async fn a_value_is_there_after_a_restart_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let first = store(folder.path()).await;
        assert_eq!(first.kept_value("a").await.unwrap(), None);
        for value in [json!(1), json!({ "list": [1, "two", null] })] {
            first.keep_value("a", Some(value)).await.unwrap().unwrap();
        }
        first.close().await;
        let second = store(folder.path()).await;
        assert_eq!(second.kept_value("a").await.unwrap(), Some(json!({ "list": [1, "two", null] })));
        assert_eq!(second.kept_value("b").await.unwrap(), None);
        second.keep_value("a", None).await.unwrap().unwrap();
        assert_eq!(second.kept_value("a").await.unwrap(), None);
    }

    #[tokio::test]
    async fn it_is_for_few_and_small_values() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path()).await;
        let text = |bytes: usize| Some(Json::from("x".repeat(bytes)));
        let refused = store.keep_value("a", text(LARGEST)).await.unwrap().unwrap_err();
        assert_eq!(refused, "a value must not be larger than 256 KiB as JSON, got 256 KiB");
        store.keep_value("a", text(LARGEST - 2)).await.unwrap().unwrap();
        let fill = |sql: &mut dyn Sql| {
            sql.execute("INSERT INTO kept_values (name, value, size) VALUES ('big', '1', $1)", params![LARGEST_TOGETHER]).map(drop)
        };
        store.engine.write("filling", fill).await.unwrap();
        let refused = store.keep_value("b", text(1)).await.unwrap().unwrap_err();
        assert_eq!(refused, "all values together must not be larger than 64 MiB");
        store.keep_value("big", text(1)).await.unwrap().unwrap();
        let fill = |sql: &mut dyn Sql| {
            (2..MOST).try_for_each(|n| {
                sql.execute("INSERT INTO kept_values (name, value, size) VALUES ($1, '1', 1)", params![&n.to_string()]).map(drop)
            })
        };
        store.engine.write("filling", fill).await.unwrap();
        let refused = store.keep_value("one more", text(1)).await.unwrap().unwrap_err();
        assert!(refused.starts_with("10000 values are kept"), "{refused}");
        store.keep_value("a", text(1)).await.unwrap().unwrap();
    }
}
