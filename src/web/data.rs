//! The API for who is in the same process: the same paths, the same lookup, the same answers, read only.

use std::sync::{Arc, Weak};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use http_body_util::{BodyExt, Limited};
use serde_json::Value;

use super::backend::Backend;
use super::{answers, ask, route};
use crate::lua::{Answer, DataSource};

/// The largest answer; whoever wants more asks for less at a time.
const MAX_ANSWER: usize = 16 << 20;

/// Answers callbacks of the configuration with what a client of the API would get.
pub struct Data(Weak<dyn Backend>);

impl Data {
    /// The master holds the configuration that asks, so it is not held in turn.
    pub fn new(backend: Weak<dyn Backend>) -> Arc<Data> {
        Arc::new(Data(backend))
    }

    async fn answer(&self, path: &str) -> Result<Option<Value>, String> {
        let backend = self.0.upgrade().ok_or("the master stops")?;
        let path = path.trim_start_matches('/');
        let path = path.strip_prefix("api/v2/").unwrap_or(path);
        known(path.split('?').next().unwrap_or_default())?;
        let uri = format!("/api/v2/{path}");
        let request = Request::get(&uri)
            .body(Body::empty())
            .map_err(|e| format!("{e}; a name with blanks or slashes is a part of a list: {{ \"builders\", name }}"))?;
        let response = answers::api(State(backend), request).await;
        let (head, body) = response.into_parts();
        let whole = Limited::new(body, MAX_ANSWER).collect().await;
        let whole = whole.map_err(|e| format!("the answer is not whole, or larger than {} MiB (limit=, field=): {e}", MAX_ANSWER >> 20))?;
        let whole = whole.to_bytes();
        let told = || serde_json::from_slice::<Value>(&whole).ok();
        match head.status {
            StatusCode::OK if head.headers.get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"application/json")) => {
                told().map(Some).ok_or_else(|| "the answer is no JSON".into())
            }
            StatusCode::OK => Ok(Some(String::from_utf8_lossy(&whole).into())),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(told().and_then(|v| v["error"].as_str().map(str::to_owned)).unwrap_or_else(|| status.to_string())),
        }
    }
}

/// A path that leads nowhere is a mistake; one that leads to something that is not there is not.
fn known(path: &str) -> Result<(), String> {
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() || answers::FIXED.contains(&path) {
        return Ok(());
    }
    let segments = path.split('/').map(|segment| ask::decode(segment, false)).collect::<Result<Vec<_>, _>>()?;
    route::parse(&segments).map(drop)
}

impl DataSource for Data {
    fn get<'a>(&'a self, path: &'a str) -> Answer<'a> {
        Box::pin(self.answer(path))
    }
}
