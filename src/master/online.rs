//! What `checkconfig --online` asks, without a master: the providers of latent workers.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Weak};

use super::providers::Providers;
use crate::config::{BackendSpec, Mistake, WorkerKind, WorkerSpec};
use crate::latent::backend::{Backend, Finding};
use crate::latent::preflight;
use crate::lua::Loaded;
use crate::secrets::SecretSource;

#[derive(Default)]
pub struct Online {
    /// What keeps machines from being started, at the workers that say so.
    pub mistakes: Vec<Mistake>,
    pub notes: Vec<Mistake>,
    /// Workers whose providers were asked.
    pub asked: usize,
}

/// `progress` hears how many of how many are done.
pub async fn ask(loaded: &Loaded, folder: &Path, mut progress: impl FnMut(usize, usize)) -> Online {
    let specs: HashMap<&str, &Arc<WorkerSpec>> = loaded.config.workers.iter().map(|w| (w.name.as_str(), w)).collect();
    let all = preflight::alike(backends(loaded, folder).await);
    let (mut done, count) = (0, all.len());
    let mut online = Online { asked: all.iter().map(|one| one.workers.len()).sum(), ..Online::default() };
    progress(done, count);
    preflight::ask(all, |one, found| {
        let Some(spec) = one.workers.first().and_then(|name| specs.get(&**name)) else { return };
        for finding in found {
            let (list, text) = match finding {
                Finding::Wrong(text) => (&mut online.mistakes, text),
                Finding::Note(text) => (&mut online.notes, text),
            };
            list.push(Mistake { place: spec.place.clone(), subject: format!("{} \"{}\"", spec.kind.class(), one.names()), text });
        }
        done += 1;
        progress(done, count);
    })
    .await;
    let order = |m: &Mistake| (m.place.file.clone(), m.place.line, m.text.clone());
    online.mistakes.sort_by_key(order);
    online.notes.sort_by_key(order);
    online
}

async fn backends(loaded: &Loaded, folder: &Path) -> Vec<(Arc<str>, Arc<dyn Backend>)> {
    let source = SecretSource::new(loaded.config.clone(), loaded.generation.clone());
    let providers = Providers::new(String::new(), folder, Weak::new());
    let mut all: Vec<(Arc<str>, Arc<dyn Backend>)> = Vec::new();
    for worker in &loaded.config.workers {
        let WorkerKind::Latent(latent) = &worker.kind else { continue };
        let BackendSpec::Ec2(spec) = &latent.backend else { continue };
        let backend = providers.ec2(worker, spec, loaded, &source).await;
        all.push((worker.name.as_str().into(), backend));
    }
    all
}
