//! A machine that was started for a latent worker, as the ledger has it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::base::Timestamp;

/// 128 random bits in hexadecimal digits: what marks an instance from its birth, in the ledger and at the provider.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LaunchId(pub Arc<str>);

impl std::fmt::Display for LaunchId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A row of the ledger. It is committed before the instance is asked for and before each step of its life is acted on.
#[derive(Clone, PartialEq, Debug)]
pub struct LaunchRecord {
    pub id: LaunchId,
    /// The worker's name.
    pub worker: String,
    /// The class of the backend: `EC2LatentWorker`.
    pub backend: String,
    /// The worker's settings that the backend sees, as a digest: an instance of other settings is not adopted.
    pub settings: String,
    /// Where it was to be started, as the backend calls it: without a handle it is looked for there. None: the backend knows one place.
    pub place: Option<String>,
    /// The configuration that started it, counted since the database was made.
    pub generation: i64,
    pub created_at: Timestamp,
    /// What the backend calls the instance; none: it has not said.
    pub handle: Option<Json>,
    /// When its worker attached first.
    pub attached_at: Option<Timestamp>,
    /// Why and since when its end is wanted.
    pub stop: Option<(String, Timestamp)>,
    /// Why and since when it is known to be gone.
    pub gone: Option<(String, Timestamp)>,
    pub price_per_hour: Option<f64>,
    /// What its worker logs in with, sealed: only whoever knows both can say that it is the same.
    pub login: Option<String>,
    /// Since when people know that it can't be stopped.
    pub leak_told_at: Option<Timestamp>,
}

impl LaunchRecord {
    /// Of which nothing is known but that it is wanted.
    pub fn new(id: LaunchId, worker: &str, backend: &str, settings: String, created_at: Timestamp) -> LaunchRecord {
        LaunchRecord {
            id,
            worker: worker.to_owned(),
            backend: backend.to_owned(),
            settings,
            place: None,
            generation: 0,
            created_at,
            handle: None,
            attached_at: None,
            stop: None,
            gone: None,
            price_per_hour: None,
            login: None,
            leak_told_at: None,
        }
    }
}

/// Why a latent worker starts no machine now.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Quarantine {
    /// Failed starts in a row.
    pub failures: u32,
    /// None with a reason: until the configuration is loaded again.
    pub until: Option<Timestamp>,
    pub reason: Option<String>,
}
