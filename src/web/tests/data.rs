//! What callbacks of the configuration read of the API.

use std::sync::Arc;

use serde_json::json;

use super::fake::Fake;
use crate::lua::DataSource as _;
use crate::web::{Backend, Data};

#[tokio::test]
async fn callbacks_get_what_clients_get() {
    let backend: Arc<dyn Backend> = Arc::new(Fake::new());
    let data = Data::new(Arc::downgrade(&backend));
    let get = async |path: &str| data.get(path).await;
    let listed = get("builders?limit=1&offset=1&field=name").await.unwrap().unwrap();
    assert_eq!(listed, json!({"builders": [{"name": "a/b c%"}], "meta": {"total": 3}}));
    assert_eq!(get("/api/v2/builders/fast?field=builderid").await.unwrap().unwrap()["builders"], json!([{"builderid": 1}]));
    assert_eq!(get("builders/a%2Fb%20c%25/builds/1?field=buildid").await.unwrap().unwrap()["builds"][0]["buildid"], 21);
    assert!(get("logs/7/raw").await.unwrap().unwrap().is_string());
    for fixed in ["instances", "outbox", "reporters"] {
        assert!(get(fixed).await.unwrap().unwrap()[fixed].is_array(), "{fixed}");
    }
    assert_eq!(get("builders/nobody").await.unwrap(), None);
    assert_eq!(get("builders/nobody/builds").await.unwrap(), None);
    assert!(get("builder/fast").await.unwrap_err().contains("did you mean 'builders'?"));
    assert!(get("builders?limit=x").await.unwrap_err().contains("limit=x"));
    assert!(get("builders/a b").await.unwrap_err().contains("part of a list"));
    drop(backend);
    assert!(get("builders").await.unwrap_err().contains("the master stops"));
}
