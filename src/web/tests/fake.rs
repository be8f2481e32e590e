//! A master that has a little of everything.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{FutureExt, stream};
use serde_json::{Map, Value, json};

use crate::model::Query;
use crate::model::query::{Filter, Page, Row};
use crate::web::backend::{ApiError, Backend, BoxFuture, Caller, ControlError, Forced, LogLines, RawLog, Resource, WorkerAction};

pub struct Fake {
    builders: Arc<Vec<Row>>,
    workers: Arc<Vec<Row>>,
    pub ready: Mutex<Result<(), String>>,
    /// Builds besides the first two.
    pub many: AtomicUsize,
    /// Pieces of the endless log 9 that were asked for.
    pub pieces: Arc<AtomicUsize>,
    pub calls: Mutex<Vec<String>>,
}

pub const STDIO: &str = "hls -l\noone \"quoted\"\nezwei ä\n";

fn rows(value: Value) -> Vec<Row> {
    value.as_array().unwrap().iter().map(|row| row.as_object().unwrap().clone()).collect()
}

impl Fake {
    pub fn new() -> Fake {
        let builder =
            |id: i64, name: &str, tags: Value| json!({"builderid": id, "name": name, "masterids": [1], "tags": tags, "description": null});
        let worker = |id: i64, name: &str, builder: i64| {
            json!({"workerid": id, "name": name, "paused": id == 2, "connected_to": [], "notes": "n",
                "configured_on": [{"masterid": 1, "builderid": builder}]})
        };
        Fake {
            builders: Arc::new(rows(json!([
                builder(1, "fast", json!(["a", "b"])),
                builder(2, "a/b c%", json!([])),
                builder(3, "slow", json!(["b"])),
            ]))),
            workers: Arc::new(rows(json!([worker(1, "w1", 1), worker(2, "w2", 1), worker(3, "w3", 3)]))),
            ready: Mutex::new(Ok(())),
            many: AtomicUsize::new(0),
            pieces: Arc::default(),
            calls: Mutex::default(),
        }
    }

    fn table(&self, what: Resource) -> Vec<Row> {
        let build = |id: i64, builder: i64, number: i64| {
            json!({"buildid": id, "builderid": builder, "number": number, "buildrequestid": id + 10, "workerid": 1, "complete": id == 20,
                "results": if id == 20 { json!(0) } else { Value::Null }, "started_at": 1.5, "properties": {}})
        };
        let mut all = rows(match what {
            Resource::Builds => json!([build(20, 1, 1), build(21, 2, 1)]),
            Resource::Buildrequests => {
                json!([{"buildrequestid": 30, "buildsetid": 5, "builderid": 1, "complete": false, "claimed": false}])
            }
            Resource::Buildsets => json!([{"bsid": 5, "reason": "r", "complete": false}]),
            Resource::Steps => json!([
                {"stepid": 40, "number": 0, "name": "compile", "buildid": 20},
                {"stepid": 41, "number": 1, "name": "test", "buildid": 20},
                {"stepid": 42, "number": 0, "name": "compile", "buildid": 21},
            ]),
            Resource::Logs => json!([
                {"logid": 7, "name": "stdio", "slug": "stdio", "stepid": 40, "complete": true, "num_lines": 3, "type": "s"},
                {"logid": 8, "name": "page", "slug": "page", "stepid": 40, "complete": true, "num_lines": 5000, "type": "h"},
                {"logid": 9, "name": "endless", "slug": "endless", "stepid": 41, "complete": false, "num_lines": 0, "type": "t"},
            ]),
            Resource::Sourcestamps => json!([{"ssid": 1, "branch": "main"}]),
            Resource::Changes => json!([]),
        });
        if what == Resource::Builds {
            let many = self.many.load(Ordering::Relaxed) as i64;
            all.extend((100..100 + many).map(|id| build(id, 3, id).as_object().unwrap().clone()));
        }
        all
    }

    fn note(&self, call: String) -> BoxFuture<'_, Result<(), ControlError>> {
        self.calls.lock().unwrap().push(call);
        async { Ok(()) }.boxed()
    }
}

impl Backend for Fake {
    fn masters(&self) -> Vec<Row> {
        rows(json!([{"masterid": 1, "name": "here", "active": true, "last_active": 1}]))
    }

    fn builders(&self) -> Arc<Vec<Row>> {
        self.builders.clone()
    }

    fn workers(&self) -> Arc<Vec<Row>> {
        self.workers.clone()
    }

    fn schedulers(&self) -> Vec<Row> {
        rows(json!([{"schedulerid": 1, "name": "force", "enabled": true, "master": null}]))
    }

    fn forceschedulers(&self) -> Vec<Row> {
        rows(json!([{"name": "force", "builder_names": ["fast", "a/b c%"]}, {"name": "other", "builder_names": ["slow"]}]))
    }

    fn list(&self, what: Resource, scope: Vec<Filter>, query: Query) -> BoxFuture<'_, Result<Page, ApiError>> {
        let all = self.table(what);
        async move {
            if query.filters.iter().any(|f| f.field == "state_string") {
                return Err(ApiError::Failed("the disk is on fire".into()));
            }
            let mut query = query;
            query.filters.extend(scope);
            Ok(query.apply(all))
        }
        .boxed()
    }

    fn build_properties(&self, id: i64) -> BoxFuture<'_, Result<Map<String, Value>, ApiError>> {
        let properties = json!({"branch": ["main", "Build"], "n": [1, "Force"]}).as_object().unwrap().clone();
        async move { Ok(if id == 20 { properties } else { Map::new() }) }.boxed()
    }

    fn buildset_properties(&self, _: i64) -> BoxFuture<'_, Result<Map<String, Value>, ApiError>> {
        async move { Ok(Map::new()) }.boxed()
    }

    fn log_lines(&self, logid: i64, first: u64, limit: u64) -> BoxFuture<'_, Result<LogLines, ApiError>> {
        let all: Vec<String> = match logid {
            7 => STDIO.split_inclusive('\n').map(String::from).collect(),
            _ => (0..5000).map(|n| format!("line {n}\n")).collect(),
        };
        // short pages, as a store may give them
        let some = all.into_iter().skip(first as usize).take(limit.min(1500) as usize).collect::<String>();
        async move { Ok(LogLines { first_line: first, content: some.into_bytes() }) }.boxed()
    }

    fn log_raw(&self, logid: i64) -> BoxFuture<'_, Result<RawLog, ApiError>> {
        let pieces = self.pieces.clone();
        async move {
            if logid == 7 {
                return Ok(RawLog {
                    bytes: Some(6),
                    stream: Box::pin(stream::iter([Ok("abc".into()), Ok(Bytes::from_static(b"de\xff"))])),
                });
            }
            let endless = stream::repeat_with(move || {
                pieces.fetch_add(1, Ordering::Relaxed);
                Ok(Bytes::from(vec![b'x'; 64 << 10]))
            });
            Ok(RawLog { bytes: None, stream: Box::pin(endless) })
        }
        .boxed()
    }

    fn waiting_for(&self, id: i64) -> Option<Value> {
        (id == 30).then(|| json!({"text": "no worker", "code": "no_worker"}))
    }

    fn config(&self) -> Value {
        json!({"generation": 3})
    }

    fn reload(&self, by: Caller) -> BoxFuture<'_, Result<Value, ControlError>> {
        self.calls.lock().unwrap().push(format!("reload by {}", if by == Caller::Socket { "socket" } else { "tcp" }));
        async { Ok(json!({"number": 2, "ok": true})) }.boxed()
    }

    fn compare(&self) -> BoxFuture<'_, Result<Value, ControlError>> {
        async { Ok(json!({"number": 2, "ok": true, "changes": []})) }.boxed()
    }

    fn ready(&self) -> Result<(), String> {
        self.ready.lock().unwrap().clone()
    }

    fn force(&self, scheduler: &str, params: Map<String, Value>, by: Caller) -> BoxFuture<'_, Result<Forced, ControlError>> {
        let by = if by == Caller::Socket { "socket" } else { "tcp" };
        self.calls.lock().unwrap().push(format!("force {scheduler} {} by {by}", Value::Object(params.clone())));
        async move {
            match params.get("branch") {
                Some(branch) if branch == "bad" => Err(ControlError::Fields(BTreeMap::from([("branch".into(), "no such branch".into())]))),
                _ => Ok((5, BTreeMap::from([(1, 30), (12, 31)]))),
            }
        }
        .boxed()
    }

    fn stop_build(&self, id: i64, reason: String, results: Option<i64>) -> BoxFuture<'_, Result<(), ControlError>> {
        if id == 99 {
            return async { Err(ControlError::NotFound("there is no build 99".into())) }.boxed();
        }
        self.note(format!("stop {id} {reason} {results:?}"))
    }

    fn rebuild(&self, _: i64) -> BoxFuture<'_, Result<Forced, ControlError>> {
        async { Err(ControlError::Failed("disk full".into())) }.boxed()
    }

    fn cancel_request(&self, id: i64, reason: String) -> BoxFuture<'_, Result<(), ControlError>> {
        self.note(format!("cancel {id} {reason}"))
    }

    fn set_priority(&self, id: i64, priority: i64) -> BoxFuture<'_, Result<(), ControlError>> {
        self.note(format!("priority {id} {priority}"))
    }

    fn worker(&self, id: i64, action: WorkerAction, reason: String) -> BoxFuture<'_, Result<(), ControlError>> {
        self.note(format!("{action:?} {id} {reason}"))
    }
}
