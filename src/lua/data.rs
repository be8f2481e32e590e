//! `master.data:get`: who answers it. The room that serves the REST API does, with the same lookup; it is told to a generation
//! when the master is up. Nothing can be changed there. [`KeptValues`] is where `store` keeps what callbacks want to find again.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use mlua::{Lua, Value};
use serde_json::Value as Json;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::api;
use super::convert::to_lua;
use super::host::Host;

/// A source's answer: what the API says at that path, none where it knows no such thing, or why it has no answer.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Option<Json>, String>> + Send + 'a>>;

/// Answers questions about builders, builds, requests …
pub trait DataSource: Send + Sync {
    /// `builders/1/builds?limit=5`
    fn get<'a>(&'a self, path: &'a str) -> Answer<'a>;
}

/// Where a generation finds its source, which is told later.
#[derive(Clone, Default)]
pub(super) struct DataPort(Arc<Mutex<Option<Port>>>);

#[derive(Clone)]
struct Port {
    source: Arc<dyn DataSource>,
    /// The answer is made there, not on the Lua thread, which others wait for.
    runtime: Handle,
}

/// What is known of a kept value when it is there, or committed.
pub type Keeping<T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send>>;

/// Keeps values over restarts, by name.
pub trait KeptValues: Send + Sync {
    fn get(&self, key: String) -> Keeping<Option<Json>>;
    /// None: it is forgotten.
    fn put(&self, key: String, value: Option<Json>) -> Keeping<()>;
}

/// The backends of the host that classes of the file extend.
pub trait SuperBackends: Send + Sync {
    /// What `Class.super` asks for a worker and, if it is about one, a launch. The answer is `{ value }`, or how it failed:
    /// `{ failure, message, seconds }`.
    fn ask(&self, worker: String, launch: Option<String>, what: String, args: Json) -> Keeping<Json>;
}

/// Where a generation finds something of the running master, which is told later.
pub(super) struct Later<T: ?Sized>(Arc<Mutex<Option<Arc<T>>>>);

impl<T: ?Sized> Default for Later<T> {
    fn default() -> Later<T> {
        Later(Arc::default())
    }
}

impl<T: ?Sized> Clone for Later<T> {
    fn clone(&self) -> Later<T> {
        Later(self.0.clone())
    }
}

impl<T: ?Sized> Later<T> {
    pub fn set(&self, found: Arc<T>) {
        *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(found);
    }

    pub fn get(&self) -> Option<Arc<T>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }
}

impl DataPort {
    pub fn set(&self, source: Arc<dyn DataSource>) {
        let port = Handle::try_current().ok().map(|runtime| Port { source, runtime });
        *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = port;
    }

    fn port(&self) -> Option<Port> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }
}

/// What the prelude calls for `master.data:get`.
pub(super) async fn get(lua: &Lua, host: &Host, path: &str) -> mlua::Result<Value> {
    api::may_wait(lua, host)?;
    let failed = |why: String| mlua::Error::runtime(format!("master.data:get({path:?}): {why}"));
    let nobody = || failed("it is for callbacks of a running master, and none runs".into());
    let Port { source, runtime } = host.data.port().ok_or_else(nobody)?;
    let asked = path.to_owned();
    // Ends with the call that asks.
    let mut work = JoinSet::new();
    work.spawn_on(async move { source.get(&asked).await }, &runtime);
    let answer = match work.join_next().await {
        Some(Ok(answer)) => answer.map_err(failed)?,
        _ => return Err(failed("the master stops".into())),
    };
    answer.map_or(Ok(Value::Nil), |answer| to_lua(lua, &answer, &Value::Nil))
}
