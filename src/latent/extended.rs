//! A backend of the host whose methods a class of the file changes: each call goes to the class, and what the class leaves to the one
//! above it comes back here and goes to the backend. Decides nothing; what `Class.super` may ask is all it knows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::backend::{Ask, Backend, Finding, Instance, Start, Started};
use super::lifecycle::Failure;
use super::scripted::ScriptedBackend;
use crate::lua::{Keeping, SuperBackends};
use crate::model::LaunchId;
use crate::workers::link::BoxFuture;

pub struct ExtendedBackend {
    class: ScriptedBackend,
    base: Arc<Base>,
}

/// What `Class.super` is for one worker.
struct Base {
    backend: Arc<dyn Backend>,
    /// Starts that the class is at: it is told of a build, not of passwords and the like.
    starts: Mutex<HashMap<LaunchId, Begun>>,
}

struct Begun {
    start: Start,
    below: Below,
}

/// What has become of a start in the backend itself.
enum Below {
    /// Nothing was started.
    Nothing,
    /// It was asked, and has not said that nothing was started.
    Perhaps,
    Started(Started),
}

/// What `Class.super` is for each worker of a configuration; a worker that is gone holds nothing.
#[derive(Clone, Default)]
pub struct Bases(Arc<Mutex<HashMap<String, Weak<Base>>>>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl ExtendedBackend {
    pub fn new(worker: &str, class: ScriptedBackend, backend: Arc<dyn Backend>, bases: &Bases) -> ExtendedBackend {
        let base = Arc::new(Base { backend, starts: Mutex::default() });
        lock(&bases.0).insert(worker.to_owned(), Arc::downgrade(&base));
        ExtendedBackend { class, base }
    }
}

impl Backend for ExtendedBackend {
    fn class(&self) -> &str {
        self.base.backend.class()
    }

    fn group(&self) -> String {
        format!("{} by {}", self.base.backend.group(), self.class.group())
    }

    fn settings(&self) -> String {
        format!("{} {}", self.base.backend.settings(), self.class.settings())
    }

    fn knows(&self, handle: &Json) -> bool {
        self.base.backend.knows(handle)
    }

    fn place(&self) -> Option<String> {
        self.base.backend.place()
    }

    fn at(&self, place: &str) -> Option<Arc<dyn Backend>> {
        self.base.backend.at(place)
    }

    fn lists(&self, handle: &Json, settings: &str) -> bool {
        self.base.backend.lists(handle, settings)
    }

    fn can_check(&self) -> bool {
        self.base.backend.can_check()
    }

    fn can_list(&self) -> bool {
        self.base.backend.can_list()
    }

    fn console(&self, handle: Json) -> BoxFuture<'static, Result<Option<String>, String>> {
        self.base.backend.console(handle)
    }

    fn preflight(&self) -> BoxFuture<'static, Vec<Finding>> {
        self.base.backend.preflight()
    }

    fn start(&self, start: Start) -> BoxFuture<'static, Result<Started, Failure>> {
        let (base, launch) = (self.base.clone(), start.launch.clone());
        lock(&base.starts).insert(launch.clone(), Begun { start: start.clone(), below: Below::Nothing });
        // Also if nobody ever waits for it.
        let ends = Ends(base, launch);
        let call = self.class.start(start);
        Box::pin(async move {
            let answer = call.await;
            concluded(answer, ends.below())
        })
    }

    fn stop(&self, launch: LaunchId, handle: Json, fast: bool) -> BoxFuture<'static, Result<(), String>> {
        self.class.stop(launch, handle, fast)
    }

    fn check(&self, launch: LaunchId, handle: Json) -> BoxFuture<'static, Result<Result<(), String>, String>> {
        self.class.check(launch, handle)
    }

    fn list(&self) -> BoxFuture<'static, Result<Vec<Instance>, String>> {
        self.class.list()
    }
}

/// What a start has come to by what the class says of it and what is known of the backend: an instance that is there is not forgotten.
fn concluded(answer: Result<Started, Failure>, below: Below) -> Result<Started, Failure> {
    match (answer, below) {
        (Ok(said), Below::Started(known)) => Ok(Started {
            handle: if said.handle.is_null() { known.handle } else { said.handle },
            status: if said.status.is_empty() { known.status } else { said.status },
            price_per_hour: said.price_per_hour.or(known.price_per_hour),
        }),
        (Ok(said), _) if said.handle.is_null() => {
            let why = "start_instance gave no handle: return what Class.super.start_instance(self, build) returns";
            Err(Failure::Unknown(why.into()))
        }
        // The class says that nothing was started.
        (Err(Failure::Capacity(why) | Failure::Retry(why, _) | Failure::Configuration(why)), Below::Started(_) | Below::Perhaps) => {
            Err(Failure::Unknown(why))
        }
        (answer, _) => answer,
    }
}

/// The class has ended its start, or the engine gave it up.
struct Ends(Arc<Base>, LaunchId);

impl Ends {
    fn below(&self) -> Below {
        lock(&self.0.starts).remove(&self.1).map_or(Below::Perhaps, |begun| begun.below)
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        lock(&self.0.starts).remove(&self.1);
    }
}

impl SuperBackends for Bases {
    fn ask(&self, worker: String, launch: Option<String>, what: String, args: Json) -> Keeping<Json> {
        let base = lock(&self.0).get(&worker).and_then(Weak::upgrade);
        Box::pin(async move {
            let base = base.ok_or_else(|| format!("worker {worker} is not configured any more"))?;
            let launch = launch.map(|launch| LaunchId(launch.into()));
            let start = || {
                let found = launch.as_ref().and_then(|launch| lock(&base.starts).get(launch).map(|begun| begun.start.clone()));
                found.ok_or_else(|| "it works in start_instance only".to_owned())
            };
            // A table without names may arrive as a list.
            let arg = |name: &str| args.get(name).cloned().unwrap_or_default();
            let (handle, backend) = (arg("handle"), &base.backend);
            match what.as_str() {
                "aws" => {
                    let text = |name: &str| arg(name).as_str().unwrap_or_default().to_owned();
                    answered(backend.ask(Ask::Call { service: text("service"), action: text("action"), params: arg("params") }).await)
                }
                "launch_choices" => answered(backend.ask(Ask::Choices(start()?)).await),
                "start_instance" => {
                    let start = start()?;
                    let launch = start.launch.clone();
                    let before = base.becomes(&launch, Below::Perhaps);
                    let answer = match arg("choices") {
                        Json::Null => backend.start(start).await,
                        choices => backend.start_with(start, choices).await,
                    };
                    // That nothing was started now says nothing of an earlier call.
                    base.becomes(&launch, below(&answer).unwrap_or(before));
                    answered(answer.map(|started| shown(&started)))
                }
                "stop_instance" => {
                    let launch = launch.ok_or_else(|| "it works in stop_instance only".to_owned())?;
                    backend.stop(launch, handle, arg("fast") == true).await.map(|()| json!({}))
                }
                "check_instance" => {
                    // In list_instances there is none, and the backends of the host look at the handle.
                    let launch = launch.unwrap_or_else(|| LaunchId("".into()));
                    let well = backend.check(launch, handle).await?;
                    Ok(json!({ "value": { "good": well.is_ok(), "why": well.err().unwrap_or_default() } }))
                }
                "list_instances" => {
                    let list = backend.list().await?;
                    Ok(json!({ "value": list.iter().map(|i| json!({ "launch_id": i.launch, "handle": i.handle })).collect::<Vec<_>>() }))
                }
                other => Err(format!("there is no {other}")),
            }
        })
    }
}

impl Base {
    /// What it was before.
    fn becomes(&self, launch: &LaunchId, below: Below) -> Below {
        let mut starts = lock(&self.starts);
        starts.get_mut(launch).map_or(Below::Perhaps, |begun| std::mem::replace(&mut begun.below, below))
    }
}

/// None: nothing was started.
fn below(answer: &Result<Started, Failure>) -> Option<Below> {
    match answer {
        Ok(started) => Some(Below::Started(started.clone())),
        Err(Failure::Unknown(_)) => Some(Below::Perhaps),
        Err(Failure::Capacity(_) | Failure::Retry(..) | Failure::Configuration(_)) => None,
    }
}

fn shown(started: &Started) -> Json {
    json!({ "handle": started.handle, "status": started.status, "price_per_hour": started.price_per_hour })
}

/// What is known of a failure is still known when it comes out of the class.
fn answered(answer: Result<Json, Failure>) -> Result<Json, String> {
    let failed = |kind: &str, why: String, after: Duration| Ok(json!({ "failure": kind, "message": why, "seconds": after.as_secs_f64() }));
    match answer {
        Ok(value) => Ok(json!({ "value": value })),
        Err(Failure::Capacity(why)) => failed("capacity", why, Duration::ZERO),
        Err(Failure::Retry(why, after)) => failed("retry", why, after),
        Err(Failure::Configuration(why)) => failed("config_error", why, Duration::ZERO),
        Err(Failure::Unknown(why)) => Err(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(handle: Json) -> Started {
        Started { handle, status: vec!["i-1".into()], price_per_hour: Some(0.5) }
    }

    fn retry() -> Result<Started, Failure> {
        Err(Failure::Retry("not yet".into(), Duration::ZERO))
    }

    #[test]
    fn what_was_started_is_not_forgotten() {
        let unknown = Err(Failure::Unknown("not yet".into()));
        assert_eq!(concluded(retry(), Below::Nothing), retry());
        assert_eq!(concluded(retry(), Below::Perhaps), unknown);
        assert_eq!(concluded(retry(), Below::Started(started(json!("i-1")))), unknown);
        // A method that returns nothing.
        assert_eq!(concluded(Ok(Started::default()), Below::Started(started(json!("i-1")))), Ok(started(json!("i-1"))));
        assert!(matches!(concluded(Ok(Started::default()), Below::Nothing), Err(Failure::Unknown(_))));
        // Its own handle is its own affair.
        assert_eq!(concluded(Ok(started(json!("mine"))), Below::Started(started(json!("i-1")))), Ok(started(json!("mine"))));
    }
}
