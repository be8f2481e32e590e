//! Passwords of workers that are secrets of a provider: fetched when the master starts, kept in memory only. One that can't
//! be had is asked for again when its worker tries to log in, after a pause; other workers do not notice.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use crate::base::Secret;
use crate::secrets::{Mask, SecretSource};

/// Before a provider that failed is asked again.
const PAUSE: Duration = Duration::from_secs(10);
/// A start waits no longer for all of them together; what is missing then is fetched when its worker comes.
const START: Duration = Duration::from_secs(60);
/// Providers' calls at the same time.
const AT_ONCE: usize = 16;
/// Shorter ones would be found everywhere in the output of builds.
const SHORTEST_HIDDEN: usize = 4;

#[derive(Default)]
pub(super) struct Passwords {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    source: Option<SecretSource>,
    /// By the secret's name.
    known: HashMap<String, Known>,
    mask: Arc<Mask>,
}

enum Known {
    Value(Secret),
    Asked,
    Failed { why: String, again: Instant },
}

impl Passwords {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Take over a configuration: fetch these, forget all others. What can't be fetched keeps the value it had.
    pub async fn fetch(&self, source: SecretSource, names: BTreeSet<String>) {
        {
            let mut state = self.state();
            state.known.retain(|name, _| names.contains(name));
            state.source = Some(source.clone());
        }
        let all = stream::iter(names.iter().cloned()).for_each_concurrent(AT_ONCE, |name| {
            let source = source.clone();
            async move {
                let got = source.get(&name).await.map_err(|e| e.to_string());
                self.keep(&name, got);
            }
        });
        if tokio::time::timeout(START, all).await.is_err() {
            tracing::error!("not all passwords of workers could be fetched within {} s", START.as_secs());
        }
        self.renew_mask();
    }

    fn keep(&self, name: &str, got: Result<Secret, String>) {
        let got = got.and_then(|secret| match secret.reveal().is_empty() {
            true => Err(format!("secret '{name}' is empty")),
            false => Ok(secret),
        });
        let mut state = self.state();
        match got {
            Ok(secret) => drop(state.known.insert(name.to_owned(), Known::Value(secret))),
            Err(why) => {
                tracing::error!(secret = name, "a worker's password can't be had, so the worker can't log in: {why}");
                if !matches!(state.known.get(name), Some(Known::Value(_))) {
                    state.known.insert(name.to_owned(), Known::Failed { why, again: Instant::now() + PAUSE });
                }
            }
        }
    }

    fn renew_mask(&self) {
        let mut state = self.state();
        let values = state.known.iter().filter_map(|(name, known)| match known {
            Known::Value(secret) if secret.reveal().chars().count() >= SHORTEST_HIDDEN => Some((name.clone(), secret.clone())),
            _ => None,
        });
        let mask = Arc::new(Mask::new(values.collect()));
        state.mask = mask;
    }

    /// The password that the secret is; the error is why it can't be had now. A provider that failed is asked again.
    pub fn get(self: &Arc<Self>, name: &str) -> Result<Secret, String> {
        let mut state = self.state();
        let why = match state.known.get(name) {
            Some(Known::Value(secret)) => return Ok(secret.clone()),
            Some(Known::Asked) => return Err(format!("its password, the secret '{name}', is being fetched")),
            Some(Known::Failed { why, again }) if *again > Instant::now() => return Err(format!("its password can't be had: {why}")),
            Some(Known::Failed { why, .. }) => format!("its password could not be had and is asked for again: {why}"),
            None => format!("its password, the secret '{name}', is being fetched"),
        };
        if let Some(source) = state.source.clone() {
            state.known.insert(name.to_owned(), Known::Asked);
            let (passwords, name) = (self.clone(), name.to_owned());
            tokio::spawn(async move {
                let got = source.get(&name).await.map_err(|e| e.to_string());
                passwords.keep(&name, got);
                passwords.renew_mask();
            });
        }
        Err(why)
    }

    /// What builds hide.
    pub fn mask(&self) -> Arc<Mask> {
        self.state().mask.clone()
    }
}
