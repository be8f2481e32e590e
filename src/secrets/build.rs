//! The secrets of one build: each is asked for once, and from then on hidden in whatever the build shows.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Mask, SecretSource, SecretTrouble};
use crate::base::Secret;

/// Secrets that a build has asked for, and the mask of their values.
pub struct BuildSecrets {
    source: SecretSource,
    state: Mutex<State>,
    /// Counts the changes of the mask, so that who uses it for every piece of output needs no lock.
    version: AtomicU64,
}

struct State {
    found: HashMap<String, Result<Secret, String>>,
    mask: Arc<Mask>,
}

impl BuildSecrets {
    /// `known`: what is hidden from the start.
    pub fn new(source: SecretSource, known: Arc<Mask>) -> BuildSecrets {
        BuildSecrets { source, state: Mutex::new(State { found: HashMap::new(), mask: known }), version: AtomicU64::new(1) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The secret, or why there is none. A provider that failed is asked again by the next step.
    pub async fn find(&self, name: &str) -> Result<Result<Secret, String>, SecretTrouble> {
        if let Some(found) = self.state().found.get(name) {
            return Ok(found.clone());
        }
        let found = self.source.find(name).await?;
        let mut state = self.state();
        if let Ok(secret) = &found {
            state.mask = Arc::new(state.mask.with(name, secret));
            self.version.fetch_add(1, Ordering::Release);
        }
        state.found.insert(name.to_owned(), found.clone());
        Ok(found)
    }

    pub fn mask(&self) -> Arc<Mask> {
        self.state().mask.clone()
    }

    /// Changes with the mask.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }
}
