//! What the machines of latent workers mean to the rest of the program, and what they ask of it.

use std::time::Duration;

use serde_json::{Map, Value as Json};

use super::backend::WantedBuild;
use crate::base::duration::human;
use crate::base::{RequestId, Secret};
use crate::model::{LaunchId, LaunchRecord};
use crate::workers::link::BoxFuture;

/// What a latent worker's machine means to the rest of the program.
pub trait Surroundings: Send + Sync + 'static {
    /// The one answer to a request that wanted the worker.
    fn answer(&self, worker: &str, request: RequestId, answer: Result<(), String>);
    /// Its connection is to be closed; nothing if there is none.
    fn disconnect(&self, worker: &str, why: &str);
    /// It did not attach in time, or was lost for too long.
    fn missing(&self, worker: &str, why: &str);
    /// Its state may have changed.
    fn changed(&self, worker: &str);
    /// What an instance of this launch logs in with; the error is why that is not known now.
    fn password(&self, worker: &str, launch: &LaunchId) -> Result<Secret, String>;
    /// The same for the same password of the same launch, and of no use to anybody else. None: such things are not kept.
    fn sealed(&self, launch: &LaunchId, password: &Secret) -> Option<String> {
        let _ = (launch, password);
        None
    }
    /// The build that the request is about, with the properties that it will have there as far as they are known.
    fn build(&self, worker: &str, request: RequestId) -> (Map<String, Json>, WantedBuild);
    /// Those who are to know of a machine that can't be stopped are told. Answers when that is certain; asked again after an error, and
    /// once more for the same launch if the master dies before the answer is written down.
    fn leak(&self, leak: Leak) -> BoxFuture<'static, Result<(), String>> {
        tracing::error!(worker = leak.record.worker, "{leak}");
        Box::pin(async { Ok(()) })
    }
}

/// A machine that should be gone for long and can't be stopped.
#[derive(Clone, PartialEq, Debug)]
pub struct Leak {
    pub record: LaunchRecord,
    pub tries: u32,
    /// What the last try came to.
    pub error: Option<String>,
    /// How long its end is wanted.
    pub age: Duration,
}

impl std::fmt::Display for Leak {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let LaunchRecord { worker, id, backend, handle, stop, .. } = &self.record;
        let handle = handle.as_ref().map_or_else(|| "whose handle is not known".to_owned(), Json::to_string);
        let why = stop.as_ref().map(|(why, _)| why.as_str()).unwrap_or_default();
        write!(
            f,
            "the machine {handle} of worker {worker} ({backend}, launch {id}) should be gone for {} ({why}) and may still cost money: {} tries to stop it failed",
            human(self.age),
            self.tries
        )?;
        self.error.as_ref().map_or(Ok(()), |error| write!(f, ", the last one with: {error}"))
    }
}
