//! Backends that a configuration brings along: each method is a call of its Lua, with arguments that are rendered first.
//!
//! A call that fails says which method of which class, and where it stands. What is secret does not get into what it says. Retries
//! nothing and decides nothing.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};

use super::backend::{Backend, Instance, Start, Started, WantedBuild};
use super::lifecycle::Failure;
use crate::config::{LuaBackendSpec, Template, Value};
use crate::lua::{BackendSelf, Generation, LuaFailure, Method, StartAnswer};
use crate::model::LaunchId;
use crate::secrets::Mask;
use crate::workers::link::BoxFuture;

/// The engine gives a call up after its own time; a little earlier the call itself tells where it was.
const AHEAD: Duration = Duration::from_secs(1);
const STOP_LIMIT: Duration = Duration::from_secs(600);
const CHECK_LIMIT: Duration = Duration::from_secs(30);
const LIST_LIMIT: Duration = Duration::from_secs(60);
/// Until arguments that could not be rendered are tried again.
const RENDER_REST: Duration = Duration::from_secs(60);

/// Arguments as they are for one call.
#[derive(Default)]
pub struct Rendered {
    pub values: Map<String, Json>,
    /// Name and reason.
    pub failed: Map<String, Json>,
    /// Of the secrets among them.
    pub mask: Arc<Mask>,
}

/// Renders a worker's arguments for a build; for one that has no properties where a call belongs to none.
pub type Render = Arc<dyn Fn(Map<String, Json>, WantedBuild) -> BoxFuture<'static, Rendered> + Send + Sync>;

/// What the machines are told of the master.
#[derive(Clone, Debug, Default)]
pub struct MasterFacts {
    pub id: String,
    /// Where workers connect; none: nowhere over the network.
    pub host: Option<String>,
    pub port: Option<u16>,
}

pub struct ScriptedBackend {
    parts: Arc<Parts>,
    group: String,
    settings: String,
}

struct Parts {
    spec: Arc<LuaBackendSpec>,
    worker: Arc<str>,
    missing_timeout: Duration,
    generation: Arc<Generation>,
    master: MasterFacts,
    render: Option<Render>,
}

impl ScriptedBackend {
    /// `function` tells the text of a function of the configuration, as a digest; `render` is for arguments that differ from build to
    /// build.
    pub fn new(
        (spec, worker, missing_timeout): (Arc<LuaBackendSpec>, Arc<str>, Duration),
        generation: Arc<Generation>,
        master: MasterFacts,
        render: Option<Render>,
        function: &dyn Fn(u32) -> Option<u64>,
    ) -> ScriptedBackend {
        let settings = digest(&spec, function);
        let group = format!("{} {settings}", spec.class);
        let parts = Parts { spec, worker, missing_timeout, generation, master, render };
        ScriptedBackend { parts: Arc::new(parts), group, settings }
    }
}

/// Of the arguments that the class declares: the same after a restart if they are the same.
fn digest(spec: &LuaBackendSpec, function: &dyn Fn(u32) -> Option<u64>) -> String {
    let mut text = String::new();
    for (name, value) in &spec.args {
        text.push_str(&format!("{name:?}="));
        write(value, function, &mut text);
        text.push('\n');
    }
    Sha256::digest(text).iter().take(16).map(|b| format!("{b:02x}")).collect()
}

/// A value as text, without the numbers that things have in one generation only.
fn write(value: &Value, function: &dyn Fn(u32) -> Option<u64>, text: &mut String) {
    let table = |table: &crate::config::Table, text: &mut String| {
        text.push('{');
        for item in &table.items {
            write(item, function, text);
            text.push(',');
        }
        for (name, item) in table.named.iter() {
            text.push_str(&format!("{name:?}="));
            write(item, function, text);
            text.push(',');
        }
        text.push('}');
    };
    match value {
        Value::Table(t) => table(t, text),
        Value::Object(object) => {
            text.push_str(&object.class);
            table(&object.args, text);
        }
        Value::Function(f) => text.push_str(&format!("function {:?}", function(f.id))),
        plain => text.push_str(&format!("{plain:?}")),
    }
}

impl Backend for ScriptedBackend {
    fn class(&self) -> &str {
        &self.parts.spec.class
    }

    /// Whatever arguments matter to a listing are among them.
    fn group(&self) -> String {
        self.group.clone()
    }

    fn settings(&self) -> String {
        self.settings.clone()
    }

    fn serves(&self, settings: &str) -> bool {
        self.settings == settings || self.parts.spec.stops_by_handle
    }

    fn can_check(&self) -> bool {
        self.parts.spec.check.is_some()
    }

    fn can_list(&self) -> bool {
        self.parts.spec.list.is_some()
    }

    fn start(&self, start: Start) -> BoxFuture<'static, Result<Started, Failure>> {
        let parts = self.parts.clone();
        Box::pin(async move { parts.start(start).await })
    }

    fn stop(&self, launch: LaunchId, handle: Json, fast: bool) -> BoxFuture<'static, Result<(), String>> {
        let parts = self.parts.clone();
        Box::pin(async move {
            let (me, mask) = parts.me(Some(launch)).await;
            let method = parts.method(&parts.spec.stop, STOP_LIMIT);
            parts.generation.stop_instance(method, &me, handle, fast).await.map_err(|e| told(&e, &mask))
        })
    }

    /// With other arguments it may be another place.
    fn lists(&self, _: &Json, settings: &str) -> bool {
        self.can_list() && self.settings == settings
    }

    fn check(&self, launch: LaunchId, handle: Json) -> BoxFuture<'static, Result<Result<(), String>, String>> {
        let parts = self.parts.clone();
        Box::pin(async move {
            let Some(check) = &parts.spec.check else { return Ok(Ok(())) };
            let (me, mask) = parts.me(Some(launch)).await;
            let answer = parts.generation.check_instance(parts.method(check, CHECK_LIMIT), &me, handle).await;
            answer.map(|well| well.map_err(|why| mask.owned(why))).map_err(|e| told(&e, &mask))
        })
    }

    fn list(&self) -> BoxFuture<'static, Result<Vec<Instance>, String>> {
        let parts = self.parts.clone();
        Box::pin(async move {
            let Some(list) = &parts.spec.list else { return Err(format!("{} has no list_instances", parts.spec.class)) };
            let (me, mask) = parts.me(None).await;
            let answer = parts.generation.list_instances(parts.method(list, LIST_LIMIT), &me).await;
            let list = answer.map_err(|e| told(&e, &mask))?;
            Ok(list.into_iter().map(|(launch, handle)| Instance { launch, handle }).collect())
        })
    }
}

impl Parts {
    fn method<'a>(&'a self, function: &'a crate::config::FnRef, limit: Duration) -> Method<'a> {
        let limit = limit.saturating_sub(AHEAD).max(limit / 2);
        Method { class: &self.spec.class, function, limit }
    }

    async fn rendered(&self, properties: Map<String, Json>, build: WantedBuild) -> Rendered {
        match &self.render {
            Some(render) => render(properties, build).await,
            None => Rendered::default(),
        }
    }

    /// For calls that belong to no build.
    async fn me(&self, launch: Option<LaunchId>) -> (BackendSelf, Arc<Mask>) {
        let Rendered { values, failed, mask } = self.rendered(Map::new(), WantedBuild::default()).await;
        (self.myself(launch, values, failed), mask)
    }

    fn myself(&self, launch: Option<LaunchId>, rendered: Map<String, Json>, unrendered: Map<String, Json>) -> BackendSelf {
        BackendSelf {
            worker: self.worker.to_string(),
            password: None,
            launch,
            master_id: self.master.id.clone(),
            master_host: self.master.host.clone(),
            master_port: self.master.port,
            rendered,
            unrendered,
        }
    }

    /// What arguments are rendered with: the build's properties, and what a machine needs to know.
    fn of_launch(&self, start: &Start) -> Map<String, Json> {
        let mut properties = start.properties.clone();
        properties.insert("workerpassword".into(), start.password.reveal().into());
        properties.insert("master_host".into(), self.master.host.clone().into());
        properties.insert("master_port".into(), self.master.port.into());
        properties
    }

    async fn start(&self, start: Start) -> Result<Started, Failure> {
        let Rendered { values, failed, mask } = self.rendered(self.of_launch(&start), start.build.clone()).await;
        if let Some((_, why)) = failed.iter().next() {
            return Err(Failure::Retry(mask.owned(why.as_str().unwrap_or_default().to_owned()), RENDER_REST));
        }
        let mask = mask.with("password", &start.password);
        let me = BackendSelf { password: Some(start.password.clone()), ..self.myself(Some(start.launch), values, failed) };
        let WantedBuild { builder, reason, sources } = start.build;
        let build = json!({ "builder": builder, "workername": start.worker, "reason": reason, "sources": sources });
        let method = self.method(&self.spec.start, self.missing_timeout);
        match self.generation.start_instance(method, &me, build, start.properties).await {
            Ok(StartAnswer::Started { handle, status, price_per_hour }) => Ok(Started { handle, status, price_per_hour }),
            Ok(StartAnswer::Capacity(why)) => Err(Failure::Capacity(mask.owned(why))),
            Ok(StartAnswer::Retry(why, after)) => Err(Failure::Retry(mask.owned(why), after)),
            // What is wrong for this build may be right for the next one.
            Ok(StartAnswer::ConfigError(why)) if self.spec.rendered.values().any(Template::differs) => {
                Err(Failure::Retry(mask.owned(why), RENDER_REST))
            }
            Ok(StartAnswer::ConfigError(why)) => Err(Failure::Configuration(mask.owned(why))),
            Err(failure) => Err(Failure::Unknown(told(&failure, &mask))),
        }
    }
}

/// With the frames that led there, for the log; the text for people is one line.
fn told(failure: &LuaFailure, mask: &Mask) -> String {
    if failure.traceback.len() > 1 {
        tracing::debug!("{}", mask.text(&format!("{failure}\n    {}", failure.traceback.join("\n    "))));
    }
    mask.owned(failure.to_string())
}
