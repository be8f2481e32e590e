//! The secrets of one build: each is asked for once, and from then on hidden in whatever the build shows.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Mask, SecretSource, SecretTrouble};
use crate::base::Secret;

/// Bytes of all secrets of a build: every piece of its output is searched for them.
const MOST: usize = 512 << 10;

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
        let others: usize = state.found.values().flatten().map(|secret| secret.reveal().len()).sum();
        if found.as_ref().is_ok_and(|secret| others + secret.reveal().len() > MOST) {
            return Err(SecretTrouble(format!(
                "secret '{name}': the secrets of one build may not be larger than {} KiB together",
                MOST >> 10
            )));
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lua::{LoadOptions, load};

    async fn secrets(provider: &str) -> BuildSecrets {
        let dir = tempfile::tempdir().unwrap();
        let text = format!(
            "local P = secrets.SecretProviderBase:extend('P')\nlocal asked = 0\nfunction P:get(name) asked = asked + 1 {provider} end\n\
             BuildmasterConfig.secretsProviders = {{ P{{}} }}"
        );
        std::fs::write(dir.path().join("master.lua"), text).unwrap();
        let loaded = load(LoadOptions::new(dir.path())).await.unwrap();
        BuildSecrets::new(SecretSource::new(loaded.config, loaded.generation), Arc::default())
    }

    #[tokio::test]
    async fn each_name_is_asked_for_once_and_hidden_from_then_on() {
        let secrets = secrets("if name ~= 'none' then return name .. '-value-' .. asked end").await;
        let before = secrets.version();
        assert!(secrets.mask().is_empty());
        for _ in 0..2 {
            assert_eq!(secrets.find("a").await.unwrap().unwrap().reveal(), "a-value-1");
            assert!(secrets.find("none").await.unwrap().unwrap_err().starts_with("no provider has the secret 'none'"));
        }
        assert_eq!(secrets.find("b").await.unwrap().unwrap().reveal(), "b-value-3");
        assert_eq!(secrets.mask().text("a-value-1 b-value-3"), "<a> <b>");
        assert_eq!(secrets.version(), before + 2);
    }

    #[tokio::test]
    async fn secrets_are_limited_each_and_together() {
        let secrets = secrets("return ('x'):rep(name == 'huge' and 70000 or 60000) .. name").await;
        let why = secrets.find("huge").await.unwrap_err().to_string();
        assert!(why.ends_with("it is larger than 64 KiB"), "{why}");
        for i in 0..8 {
            assert!(secrets.find(&i.to_string()).await.unwrap().is_ok());
        }
        let why = secrets.find("9").await.unwrap_err().to_string();
        assert_eq!(why, "secret '9': the secrets of one build may not be larger than 512 KiB together");
        assert!(secrets.find("7").await.unwrap().is_ok(), "what is there stays");
    }
}
