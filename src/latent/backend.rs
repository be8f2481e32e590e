//! What a kind of machine must be able to do. A backend makes single attempts; retries, deadlines, records and limits are the engine's.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::lifecycle::Failure;
use crate::base::Secret;
use crate::model::{LaunchId, SourceStamp};
use crate::workers::link::BoxFuture;

/// An instance to be started, or the same again: a second call with one launch id starts nothing.
#[derive(Clone, Debug)]
pub struct Start {
    pub launch: LaunchId,
    pub worker: Arc<str>,
    /// What the instance logs in with: the configured password, or one of its own.
    pub password: Secret,
    /// Of the build that waits, by name; empty for an instance that is kept warm.
    pub properties: Map<String, Json>,
    pub build: WantedBuild,
}

/// What a class of the file asks of the backend that it extends, besides what every backend can.
#[derive(Clone, Debug)]
pub enum Ask {
    /// What is tried for this start, in its order.
    Choices(Start),
    /// A call of the provider's API with the worker's keys.
    Call { service: String, action: String, params: Json },
}

/// What else is known of a build that has not begun; all empty for an instance that is kept warm.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct WantedBuild {
    /// Its name.
    pub builder: String,
    pub reason: String,
    pub sources: Vec<SourceStamp>,
}

#[derive(Clone, PartialEq, Debug, Default)]
pub struct Started {
    /// Whatever the backend needs to find it again.
    pub handle: Json,
    /// Short texts for people.
    pub status: Vec<String>,
    pub price_per_hour: Option<f64>,
}

/// An instance that carries this master's mark.
#[derive(Clone, PartialEq, Debug)]
pub struct Instance {
    pub launch: LaunchId,
    pub handle: Json,
}

/// What a preflight found out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finding {
    /// No machine can be started like that.
    Wrong(String),
    /// What people should know, or what could not be found out.
    Note(String),
}

/// Stands for a backend that can't be had: nothing starts, and what may run is not forgotten.
pub struct Unusable {
    pub class: &'static str,
    pub why: String,
}

impl Backend for Unusable {
    fn class(&self) -> &str {
        self.class
    }

    fn group(&self) -> String {
        format!("unusable {}", self.why)
    }

    fn settings(&self) -> String {
        String::new()
    }

    fn can_check(&self) -> bool {
        false
    }

    fn can_list(&self) -> bool {
        // It could not say that something is gone.
        true
    }

    fn preflight(&self) -> BoxFuture<'static, Vec<Finding>> {
        let why = self.why.clone();
        Box::pin(async move { vec![Finding::Wrong(why)] })
    }

    fn start(&self, _: Start) -> BoxFuture<'static, Result<Started, Failure>> {
        let why = self.why.clone();
        Box::pin(async move { Err(Failure::Configuration(why)) })
    }

    fn stop(&self, _: LaunchId, _: Json, _: bool) -> BoxFuture<'static, Result<(), String>> {
        let why = self.why.clone();
        Box::pin(async move { Err(why) })
    }

    fn check(&self, _: LaunchId, _: Json) -> BoxFuture<'static, Result<Result<(), String>, String>> {
        let why = self.why.clone();
        Box::pin(async move { Err(why) })
    }

    fn list(&self) -> BoxFuture<'static, Result<Vec<Instance>, String>> {
        let why = self.why.clone();
        Box::pin(async move { Err(why) })
    }
}

pub trait Backend: Send + Sync + 'static {
    /// The class of the configuration: `EC2LatentWorker`.
    fn class(&self) -> &str;

    /// Workers of one group see the same instances, so that one of them lists for all.
    fn group(&self) -> String;

    /// A digest of the settings that an instance depends on.
    fn settings(&self) -> String;

    /// Is this the handle of an instance that it could end?
    fn knows(&self, handle: &Json) -> bool {
        let _ = handle;
        true
    }

    /// Is a handle of an instance that was started with these settings one of its own, whatever its own settings are?
    fn serves(&self, settings: &str) -> bool {
        let _ = settings;
        true
    }

    fn can_check(&self) -> bool;

    fn can_list(&self) -> bool;

    /// Would the list of this backend have it, if it is there and was started with these settings? What is elsewhere is not gone because
    /// it is not listed.
    fn lists(&self, handle: &Json, settings: &str) -> bool {
        let _ = (handle, settings);
        self.can_list()
    }

    /// Where its instances are started, as it calls that place; none: that can't change.
    fn place(&self) -> Option<String> {
        None
    }

    /// Who lists and ends what was started at that place, which is not its own any more; none: nobody can.
    fn at(&self, place: &str) -> Option<Arc<dyn Backend>> {
        let _ = place;
        None
    }

    /// What the machine wrote to its console, or the end of it; none where machines have no console.
    fn console(&self, handle: Json) -> BoxFuture<'static, Result<Option<String>, String>> {
        let _ = handle;
        Box::pin(async { Ok(None) })
    }

    /// Asks the provider whether a machine could be started as configured; starts and changes nothing.
    fn preflight(&self) -> BoxFuture<'static, Vec<Finding>> {
        Box::pin(async { Vec::new() })
    }

    fn start(&self, start: Start) -> BoxFuture<'static, Result<Started, Failure>>;

    fn ask(&self, ask: Ask) -> BoxFuture<'static, Result<Json, Failure>> {
        let why = format!("{} can't be asked that ({ask:?})", self.class());
        Box::pin(async move { Err(Failure::Configuration(why)) })
    }

    /// Starts with these choices in place of its own.
    fn start_with(&self, start: Start, choices: Json) -> BoxFuture<'static, Result<Started, Failure>> {
        let why = format!("{} of worker {} takes no choices, got {choices}", self.class(), start.worker);
        Box::pin(async move { Err(Failure::Configuration(why)) })
    }

    /// Answers when the instance is known to be gone; also if there is none any more.
    fn stop(&self, launch: LaunchId, handle: Json, fast: bool) -> BoxFuture<'static, Result<(), String>>;

    /// Is it alive? If not, why. The outer error: that could not be found out.
    fn check(&self, launch: LaunchId, handle: Json) -> BoxFuture<'static, Result<Result<(), String>, String>>;

    /// Every instance with this master's mark, whoever started it. An incomplete list is an error.
    fn list(&self) -> BoxFuture<'static, Result<Vec<Instance>, String>>;
}
