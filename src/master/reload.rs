//! Exchanges the configuration of a running master, whole or not at all.
//!
//! One task does it. The new file is evaluated in a state of its own while the old configuration works on; what may fail (ports,
//! folders, the database) is done next; what then follows can't fail. Requests that come while a reload is under way
//! make one more after it, so whoever asks is answered by a reload that began after they asked. An evaluation whose file has
//! changed meanwhile begins anew then: a file that loops and was mended is not waited for.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{AtWork, Ids, Master, configured, locals};
use crate::base::Timestamp;
use crate::config::diff::{Change, Changes, diff};
use crate::config::{MasterConfig, Mistake};
use crate::lua::{self, Generation, Loaded};
use crate::secrets::{self, SecretSource};
use crate::web;

/// After a reload, signals wait that long, so that a burst of them costs two reloads at most. Who waits for an answer does not.
const PAUSE: Duration = Duration::from_secs(1);
/// Changes that are told one by one in the log.
const LOGGED: usize = 50;

/// What came of one try.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Record {
    /// Counts every try; the start is the first.
    pub number: u64,
    pub at: Timestamp,
    /// Seconds that it took.
    pub took: f64,
    pub mistakes: Vec<String>,
    /// Those that the configuration before did not have.
    pub warnings: Vec<String>,
    /// Files that are new, gone or say something else: what functions refer to is in no difference of objects.
    pub files: Vec<String>,
    pub changes: Changes,
}

impl Record {
    pub fn ok(&self) -> bool {
        self.mistakes.is_empty()
    }

    /// In one line.
    pub fn answer(&self) -> String {
        let found = match self.mistakes.len() {
            0 => self.changes.summary(),
            1 => "1 mistake".into(),
            n => format!("{n} mistakes"),
        };
        format!("{found}; took {:.3} seconds", self.took)
    }

    pub fn to_json(&self) -> Json {
        json!({
            "answer": self.answer(), "number": self.number, "at": self.at.seconds().floor() as i64, "took": self.took, "ok": self.ok(),
            "mistakes": self.mistakes, "warnings": self.warnings, "changed_files": self.files,
            "changes": self.changes.list.iter().map(Change::to_json).collect::<Vec<_>>(), "more_changes": self.changes.more,
        })
    }
}

/// Who wants a reload, and what came of the last one.
pub struct Reloads {
    queue: Mutex<Queue>,
    wake: Notify,
    /// Somebody asks while a reload may be under way.
    again: Notify,
    closing: CancellationToken,
    /// Held while a configuration is put to work.
    applying: tokio::sync::Mutex<()>,
    last: Mutex<Arc<Record>>,
    /// Those that were put to work and may still run builds.
    generations: Mutex<Vec<Weak<Generation>>>,
}

#[derive(Default)]
struct Queue {
    signal: bool,
    waiting: Vec<oneshot::Sender<Arc<Record>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reloads {
    pub fn new(now: Timestamp, loaded: &Loaded) -> Reloads {
        Reloads {
            queue: Mutex::default(),
            wake: Notify::new(),
            again: Notify::new(),
            closing: CancellationToken::new(),
            applying: tokio::sync::Mutex::default(),
            last: Mutex::new(Arc::new(Record { number: 1, at: now, ..Record::default() })),
            generations: Mutex::new(vec![Arc::downgrade(&loaded.generation)]),
        }
    }

    /// A reload is to happen; nobody waits for it.
    pub fn signal(&self) {
        lock(&self.queue).signal = true;
        self.wake.notify_one();
        self.again.notify_waiters();
    }

    /// Reload, and say what came of it. None: the master has ended.
    pub async fn ask(&self) -> Option<Arc<Record>> {
        let (answer, answered) = oneshot::channel();
        lock(&self.queue).waiting.push(answer);
        self.wake.notify_one();
        self.again.notify_waiters();
        answered.await.ok()
    }

    pub fn last(&self) -> Arc<Record> {
        lock(&self.last).clone()
    }

    /// Configurations that are at work or still have running builds.
    pub fn generations_alive(&self) -> usize {
        let mut all = lock(&self.generations);
        all.retain(|g| g.strong_count() > 0);
        all.len()
    }

    fn remember(&self, generation: &Arc<Generation>) {
        let mut all = lock(&self.generations);
        // A weak reference holds on to the place of what it refers to.
        all.retain(|g| g.strong_count() > 0);
        all.push(Arc::downgrade(generation));
    }

    /// From now on every reload is refused; one that is being put to work is complete.
    pub async fn close(&self) {
        self.closing.cancel();
        drop(self.applying.lock().await);
    }

    /// Those who wait for the next reload, when it is due.
    async fn next(&self, rest: Option<Instant>) -> Vec<oneshot::Sender<Arc<Record>>> {
        loop {
            let woken = self.wake.notified();
            {
                let mut queue = lock(&self.queue);
                let rested = rest.is_none_or(|until| until <= Instant::now());
                if !queue.waiting.is_empty() || (queue.signal && rested) {
                    queue.signal = false;
                    return std::mem::take(&mut queue.waiting);
                }
            }
            match rest.filter(|until| *until > Instant::now()) {
                Some(until) => drop(tokio::time::timeout_at(until, woken).await),
                None => woken.await,
            }
        }
    }
}

fn stopping() -> Vec<String> {
    vec!["the master is stopping and loads no configuration".into()]
}

impl Master {
    /// A reload is to happen soon.
    pub fn reload_soon(&self) {
        self.reloads.signal();
    }

    pub(super) async fn serve_reloads(self: Arc<Self>) {
        let mut rest = None;
        loop {
            let waiting = self.reloads.next(rest).await;
            let master = self.clone();
            let record = match tokio::spawn(async move { master.reload_once().await }).await {
                Ok(record) => record,
                // A bug of ours must not be the end of all reloads.
                Err(e) => Record {
                    number: self.reloads.last().number + 1,
                    at: self.clock.now(),
                    mistakes: vec![format!("the master failed while it reloaded; see its log: {e}")],
                    ..Record::default()
                },
            };
            let record = Arc::new(record);
            *lock(&self.reloads.last) = record.clone();
            for answer in waiting {
                // Who asked may have gone.
                let _ = answer.send(record.clone());
            }
            rest = Some(Instant::now() + PAUSE);
        }
    }

    async fn reload_once(self: &Arc<Self>) -> Record {
        let number = self.reloads.last().number + 1;
        let (at, begun) = (self.clock.now(), Instant::now());
        tracing::info!(number, "reloading the configuration");
        let outcome = self.try_to_reload().await;
        let generation = self.at_work().generation;
        let took = (begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
        let record = Record { number, at, took, ..Record::default() };
        match outcome {
            Ok(done) => {
                for warning in &done.warnings {
                    tracing::warn!("{warning}");
                }
                let record = Record { changes: done.changes, warnings: done.warnings, files: done.files, ..record };
                tracing::info!(number, generation, "configuration reloaded: {}", record.answer());
                let Changes { list, more } = &record.changes;
                for change in list.iter().take(LOGGED) {
                    tracing::info!(number, "{change}");
                }
                if list.len() > LOGGED {
                    tracing::info!(number, "and {} more changes", list.len() - LOGGED + more);
                }
                record
            }
            Err(mistakes) => {
                for mistake in &mistakes {
                    tracing::error!(number, "{mistake}");
                }
                let record = Record { mistakes, ..record };
                let answer = record.answer();
                tracing::error!(number, generation, "the configuration is not loaded; the one before stays at work: {answer}");
                self.tell_failed_reload(&record).await;
                record
            }
        }
    }

    /// What a reload would change now, in the form of one. Nothing is put to work, and the last reload stays the last.
    pub async fn compare(&self) -> Record {
        let (at, begun) = (self.clock.now(), Instant::now());
        let load = lua::LoadOptions { path: self.folder.path().to_owned(), timeout: self.config_timeout, checking: true };
        let found = match lua::load(load).await {
            Ok(loaded) => {
                let before = self.at_work().loaded.config.clone();
                let mut refused = unchangeable(&before, &loaded.config);
                refused.extend(secrets::check(&loaded.config, loaded.generation.folder()).iter().map(Mistake::to_string));
                Record {
                    mistakes: refused,
                    changes: diff(&before, &loaded.config),
                    warnings: new_warnings(&before, &loaded.config).map(Mistake::to_string).collect(),
                    files: changed_files(&self.at_work().loaded, &loaded).iter().map(|path| self.shown(path)).collect(),
                    ..Record::default()
                }
            }
            Err(mistakes) => Record { mistakes: mistakes.iter().map(Mistake::to_string).collect(), ..Record::default() },
        };
        let took = (begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
        Record { number: self.reloads.last().number + 1, at, took, ..found }
    }

    async fn file(&self) -> Option<Vec<u8>> {
        tokio::fs::read(self.folder.path().join("master.lua")).await.ok()
    }

    /// Resolves when somebody asks for a reload and the file is another by then.
    async fn outdated(&self, file: &Option<Vec<u8>>) {
        loop {
            self.reloads.again.notified().await;
            if self.file().await != *file {
                return;
            }
        }
    }

    async fn try_to_reload(self: &Arc<Self>) -> Result<Done, Vec<String>> {
        let loaded = loop {
            let file = self.file().await;
            let load = lua::LoadOptions { path: self.folder.path().to_owned(), timeout: self.config_timeout, checking: false };
            tokio::select! {
                biased;
                () = self.reloads.closing.cancelled() => return Err(stopping()),
                loaded = lua::load(load) => break loaded.map_err(|all| all.iter().map(Mistake::to_string).collect::<Vec<_>>())?,
                () = self.outdated(&file) => tracing::info!("master.lua has changed; its evaluation begins anew"),
            }
        };
        let _applying = self.reloads.applying.lock().await;
        if self.reloads.closing.is_cancelled() {
            return Err(stopping());
        }
        self.put_to_work(loaded).await
    }

    /// What came of it, or the mistakes.
    async fn put_to_work(self: &Arc<Self>, loaded: Loaded) -> Result<Done, Vec<String>> {
        let old = self.at_work();
        let (before, config) = (old.loaded.config.clone(), loaded.config.clone());
        let refused = unchangeable(&before, &config);
        if !refused.is_empty() {
            return Err(refused);
        }
        let open = secrets::check(&config, loaded.generation.folder());
        if !open.is_empty() {
            return Err(open.iter().map(Mistake::to_string).collect());
        }
        let done = Done {
            changes: diff(&before, &config),
            warnings: new_warnings(&before, &config).map(Mistake::to_string).collect(),
            files: changed_files(&old.loaded, &loaded).iter().map(|path| self.shown(path)).collect(),
        };

        // What may fail.
        let new_folders = config.workers.iter().filter(|w| !before.workers.contains(w)).filter_map(|w| locals::base(self.folder.path(), w));
        for base in new_folders {
            let made = tokio::fs::create_dir_all(&base).await;
            made.map_err(|e| vec![format!("the local worker's folder {} can't be made: {e}", base.display())])?;
        }
        let servers = self.servers();
        let mut listeners = self.listeners.lock().await;
        let ports = listeners.prepare(&config, Some(&servers)).await.map_err(|e| vec![format!("{e:#}")])?;
        let mut ids = match Ids::sync(&self.store, &config).await {
            Ok(ids) => ids,
            Err(e) => {
                listeners.give_up(ports, &servers).await;
                return Err(vec![format!("the names of the configuration could not be stored: {e}")]);
            }
        };

        // What can't.
        let workers = configured(&config, std::mem::take(&mut ids.workers));
        let backend: Arc<dyn web::Backend> = self.clone();
        loaded.generation.set_data(web::Data::new(Arc::downgrade(&backend)));
        loaded.generation.set_kept(Arc::new(self.store.clone()));
        self.locals.hide(secrets::private_variables(&config));
        let source = SecretSource::new(config.clone(), loaded.generation.clone());
        self.reloads.remember(&loaded.generation);
        let at_work = AtWork::new(loaded, old.generation + 1, self.clock.now(), &ids);
        self.engine.configure(at_work.active(), workers);
        if let Err(e) = self.machines.configure(&at_work).await {
            tracing::error!("latent workers stay as they were: the ledger can't be read: {e}");
        }
        super::outbox::configure(&self.outbox, &at_work, &self.master_id, self.folder.path());
        let registry = self.registry.clone();
        // A slow provider holds nobody up: a worker whose password is on its way is asked to try again.
        tokio::spawn(async move { registry.fetch_passwords(source).await });
        *self.at_work.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(at_work);
        listeners.commit(ports, &config, &servers);
        let was_local = |name: &str| before.workers.iter().any(|w| w.name == name && locals::base(self.folder.path(), w).is_some());
        for spec in config.workers.iter().filter(|w| !was_local(&w.name)) {
            if let Err(e) = self.locals.attach(&self.registry, spec).await {
                tracing::error!(worker = spec.name, "it can't be attached and is tried again: {e:#}");
            }
        }
        Ok(done)
    }
}

/// A reload that succeeded.
struct Done {
    changes: Changes,
    warnings: Vec<String>,
    files: Vec<String>,
}

fn changed_files(old: &Loaded, new: &Loaded) -> BTreeSet<PathBuf> {
    let only_in = |a: &Loaded, b: &Loaded| a.files.iter().filter(|f| !b.files.contains(f)).map(|f| f.path.clone()).collect::<Vec<_>>();
    only_in(old, new).into_iter().chain(only_in(new, old)).collect()
}

/// What would need another start.
fn unchangeable(old: &MasterConfig, new: &MasterConfig) -> Vec<String> {
    if old.sqlite == new.sqlite {
        return Vec::new();
    }
    vec![format!(
        "BuildmasterConfig: the database can't change from {} to {} while the master runs; stop it and start it again",
        old.sqlite.display(),
        new.sqlite.display()
    )]
}

/// Those that were not told of the configuration before.
fn new_warnings<'a>(old: &'a MasterConfig, new: &'a MasterConfig) -> impl Iterator<Item = &'a Mistake> {
    new.warnings.iter().filter(|w| !old.warnings.iter().any(|o| o.subject == w.subject && o.text == w.text))
}
