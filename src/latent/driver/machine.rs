//! One worker's machine: the task that owns its state, commits it, then carries out what the rules decide.
//!
//! Decides nothing. What a backend or the store answers comes back as an event.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value as Json;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::{Configured, Entry, LIST_DEADLINE, Latent, Leak, lock};
use crate::base::duration::human;
use crate::base::{Secret, Timestamp};
use crate::latent::among::Among;
use crate::latent::backend::{Backend, Start};
use crate::latent::console;
use crate::latent::lifecycle::{Action, Event, Failure, Lifecycle, Policy, Row, State};
use crate::model::{LaunchId, LaunchRecord, Quarantine};

/// A password that can't be had now is asked for again after that.
const PASSWORD_REST: Duration = Duration::from_secs(10);
const CHECK_DEADLINE: Duration = Duration::from_secs(30);
/// Where nobody could be told of a leak, it is tried again after that.
const TELL_AGAIN: Duration = Duration::from_secs(300);

/// A worker's machine as it is shown.
#[derive(Clone, PartialEq, Debug)]
pub struct View {
    pub state: State,
    pub record: Option<LaunchRecord>,
    pub quarantine: Quarantine,
    pub tries: u32,
    /// Why the last try to stop it failed.
    pub stop_error: Option<String>,
    /// The one that begins or ends has no record yet, or no more.
    launch: Option<LaunchId>,
    /// The last lines of its console, while its worker is not attached.
    pub console: Vec<String>,
    /// It may take a build now.
    pub available: bool,
    /// May a request ask for it? If not, why.
    pub open: Result<(), String>,
    /// Since when it is in this state.
    pub since: Timestamp,
}

pub(super) enum Order {
    Event(Event),
    /// A listing by a backend of that group has that handle for the launch, or does not have it.
    Listed(String, LaunchId, Option<Json>),
    /// What the launch costs an hour.
    Price(LaunchId, f64),
    Configure(Box<Configured>),
}

/// The owner of one worker's state.
struct Worker {
    latent: Arc<Latent>,
    configured: Configured,
    orders: mpsc::UnboundedSender<Order>,
    view: Arc<Mutex<View>>,
    life: Lifecycle,
    /// As it is committed.
    record: Option<LaunchRecord>,
    kept_quarantine: Quarantine,
    /// Closed rows that could not be committed yet.
    unsettled: Vec<LaunchRecord>,
    start: Option<AbortHandle>,
    stop: Option<AbortHandle>,
    /// What started the machine also checks and ends it, whatever a new configuration says.
    launched_by: Option<Arc<dyn Backend>>,
    /// What the machine logs in with, if this master started it.
    login: Option<Secret>,
}

impl Latent {
    /// The task of a worker, with what is left from before.
    pub(super) fn begin(self: &Arc<Latent>, configured: Configured, record: Option<LaunchRecord>, quarantine: Quarantine) -> Entry {
        let (orders, queue) = mpsc::unbounded_channel();
        let now = self.clock.now();
        let life = match &record {
            Some(record) => {
                let mut row = Row {
                    id: record.id.clone(),
                    created_at: record.created_at,
                    handle: record.handle.clone(),
                    attached_at: record.attached_at,
                    stop: record.stop.clone(),
                    leak_told_at: record.leak_told_at,
                };
                if row.stop.is_none() && !configured.backend.settings().is_empty() && record.settings != configured.backend.settings() {
                    row.stop = Some(("it was started with other settings".into(), now));
                }
                tracing::info!(worker = %configured.name, launch = %record.id, "a machine is left from before: looking after it");
                Lifecycle::recovered(row, quarantine, now, &configured.policy)
            }
            None => Lifecycle::idle(quarantine, now, &configured.policy),
        };
        let view = Arc::new(Mutex::new(View::of(&life, record.as_ref(), now, &configured.policy)));
        let worker = Worker {
            latent: self.clone(),
            configured: configured.clone(),
            orders: orders.clone(),
            view: view.clone(),
            kept_quarantine: life.quarantine.clone(),
            life,
            launched_by: record.as_ref().map(|record| who_looks_after(record, &configured.backend)),
            record,
            unsettled: Vec::new(),
            login: None,
            start: None,
            stop: None,
        };
        let task = tokio::spawn(worker.run(queue)).abort_handle();
        Entry { orders, view, configured, task }
    }
}

/// A launch that an earlier master left, by what its worker is now.
fn who_looks_after(record: &LaunchRecord, backend: &Arc<dyn Backend>) -> Arc<dyn Backend> {
    // Without a handle nothing tells where it is but where it was to be started.
    let left = record.place.as_deref().filter(|place| record.handle.is_none() && backend.place().as_deref() != Some(place));
    match left.and_then(|place| backend.at(place)) {
        Some(there) => there,
        None if backend.serves(&record.settings) => backend.clone(),
        None => Arc::new(Among::new([backend.clone()])),
    }
}

impl View {
    fn of(life: &Lifecycle, record: Option<&LaunchRecord>, now: Timestamp, policy: &Policy) -> View {
        View {
            state: life.state(now),
            record: record.cloned(),
            quarantine: life.quarantine.clone(),
            tries: life.launch.as_ref().and_then(|l| l.stop.as_ref()).map_or(0, |s| s.tries),
            stop_error: life.launch.as_ref().and_then(|l| l.stop.as_ref()?.error.clone()),
            launch: life.launch.as_ref().map(|l| l.id.clone()),
            console: life.launch.as_ref().map(|l| l.console.clone()).unwrap_or_default(),
            available: life.available(now, policy),
            open: life.open(now, policy),
            since: now,
        }
    }

    /// What is looked after.
    pub(super) fn launches(&self) -> impl Iterator<Item = LaunchId> + use<> {
        self.launch.clone().into_iter().chain(self.record.as_ref().map(|r| r.id.clone()))
    }
}

impl Worker {
    fn backend(&self) -> Arc<dyn Backend> {
        self.launched_by.as_ref().unwrap_or(&self.configured.backend).clone()
    }

    /// Puts what is known now on show.
    fn show(&self, now: Timestamp) {
        let mut new = View::of(&self.life, self.record.as_ref(), now, &self.configured.policy);
        let changed = {
            let mut view = lock(&self.view);
            if view.state == new.state {
                new.since = view.since;
            }
            let changed = *view != new;
            if view.state != new.state {
                tracing::info!(worker = %self.configured.name, launch = new.record.as_ref().map(|r| r.id.to_string()),
                    "its machine: {} → {}", view.state, new.state);
            }
            *view = new;
            changed
        };
        if changed {
            self.latent.surroundings.changed(&self.configured.name);
        }
    }

    async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Order>) {
        let mut ticks = tokio::time::interval(self.configured.policy.timing.tick);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let order = tokio::select! {
                order = queue.recv() => order,
                _ = ticks.tick() => {
                    self.compare_login().await;
                    Some(Order::Event(Event::Tick))
                }
            };
            match order {
                Some(Order::Event(event)) => self.event(event).await,
                Some(Order::Listed(group, id, found)) => {
                    if found.is_some() || self.is_listed_by(&group) {
                        self.event(Event::Listed(id, found)).await;
                    }
                }
                Some(Order::Price(id, price)) => {
                    if let Some(record) = self.record.as_mut().filter(|r| r.id == id) {
                        record.price_per_hour = Some(price);
                        let priced = record.clone();
                        self.put(&priced).await;
                    }
                }
                Some(Order::Configure(configured)) => {
                    // The same settings, perhaps with newer keys.
                    if self
                        .launched_by
                        .as_ref()
                        .is_some_and(|old| old.class() == configured.backend.class() && old.settings() == configured.backend.settings())
                    {
                        self.launched_by = Some(configured.backend.clone());
                    }
                    self.configured = *configured;
                    self.event(Event::Reconfigured).await;
                }
                None => return,
            }
            if self.is_over() && self.latent.leave(&self.configured.name, &self.view, || queue.is_empty()) {
                return;
            }
        }
    }

    /// It is not configured any more, and nothing is left of it.
    fn is_over(&self) -> bool {
        let rests = self.life.launch.is_none() && self.record.is_none() && self.unsettled.is_empty();
        rests && !self.configured.policy.configured && self.life.waiting.is_empty() && self.life.quarantine == self.kept_quarantine
    }

    /// It may have been started by a backend that looks elsewhere than the one that lists now.
    fn is_listed_by(&self, group: &str) -> bool {
        let (backend, record) = (self.backend(), self.record.as_ref());
        let there = |r: &LaunchRecord| r.handle.as_ref().is_none_or(|handle| backend.lists(handle, &r.settings));
        backend.group() == group && record.is_none_or(there)
    }

    /// A worker whose password has changed since its machine started can't come back from there.
    async fn compare_login(&mut self) {
        let Some(launch) = self.life.launch.as_ref().filter(|l| l.stop.is_none() && l.outdated.is_none()) else { return };
        let Some(login) = self.record.as_ref().and_then(|r| r.login.as_ref()).filter(|_| self.configured.policy.configured) else { return };
        let around = &self.latent.surroundings;
        // While the password is not known, nothing is known.
        if let Ok(now) = around.password(&self.configured.name, &launch.id)
            && around.sealed(&launch.id, &now).is_some_and(|now| now != *login)
        {
            let id = launch.id.clone();
            self.event(Event::Outdated(id, "its password has changed".into())).await;
        }
    }

    fn known_login(&self, launch: &LaunchId) -> Option<Secret> {
        self.login.clone().or_else(|| self.latent.surroundings.password(&self.configured.name, launch).ok())
    }

    async fn event(&mut self, event: Event) {
        let now = self.latent.clock.now();
        let mut new_id = || LaunchId(format!("{:032x}", rand_128()).into());
        let (life, actions) = std::mem::take(&mut self.life).step(event, now, &self.configured.policy, &mut new_id);
        self.life = life;
        self.commit().await;
        // First what is so, then what follows: who gets an answer may look.
        self.show(now);
        if !actions.is_empty() {
            for action in actions {
                self.act(action, now).await;
            }
            self.show(now);
        }
    }

    /// What is known of the launch goes into the ledger; again at the next event if the store fails.
    async fn commit(&mut self) {
        for record in std::mem::take(&mut self.unsettled) {
            self.settle(record).await;
        }
        if let (Some(record), Some(launch)) = (&self.record, &self.life.launch)
            && record.id == launch.id
        {
            let row = launch.row();
            let new = LaunchRecord {
                handle: row.handle.or(record.handle.clone()),
                attached_at: row.attached_at,
                stop: row.stop,
                leak_told_at: row.leak_told_at,
                ..record.clone()
            };
            if new != *record && self.put(&new).await {
                self.record = Some(new);
            }
        }
        if self.life.quarantine != self.kept_quarantine {
            match self.latent.store.put_quarantine(&self.configured.name, &self.life.quarantine).await {
                Ok(()) => self.kept_quarantine = self.life.quarantine.clone(),
                Err(e) => tracing::error!(worker = %self.configured.name, "its quarantine can't be kept: {e}"),
            }
        }
    }

    async fn put(&self, record: &LaunchRecord) -> bool {
        let written = self.latent.store.put_launch(record).await;
        if let Err(e) = &written {
            tracing::error!(worker = %self.configured.name, launch = %record.id, "the ledger can't be written: {e}");
        }
        written.is_ok()
    }

    async fn settle(&mut self, record: LaunchRecord) {
        if !self.put(&record).await {
            self.unsettled.push(record);
        }
    }

    async fn act(&mut self, action: Action, now: Timestamp) {
        let worker = self.configured.name.clone();
        let around = self.latent.surroundings.clone();
        match action {
            Action::Start(id) => self.start(id, now).await,
            Action::AbandonStart(_) => abort(&mut self.start),
            Action::Check(id, handle) => {
                let (backend, password) = (self.backend(), self.known_login(&id));
                self.later(async move {
                    let alive = match timeout(CHECK_DEADLINE, backend.check(id.clone(), handle.clone())).await {
                        // What it wrote last may tell why.
                        Ok(Ok(Err(why))) => Err(why + &console::quoted(&console_of(&*backend, handle, password).await)),
                        Ok(Ok(Ok(()))) => Ok(()),
                        Ok(Err(why)) => {
                            tracing::warn!(%worker, launch = %id, "its machine could not be checked: {why}");
                            Ok(())
                        }
                        Err(_) => Ok(()),
                    };
                    Event::Checked(id, alive)
                });
            }
            Action::Stop { launch, handle, fast, tries } => {
                let reason = self.record.as_ref().and_then(|r| r.stop.as_ref()).map(|(reason, _)| reason.as_str()).unwrap_or_default();
                tracing::info!(%worker, %launch, tries, "its machine is stopped: {reason}");
                let stop = self.backend().stop(launch.clone(), handle, fast);
                self.stop = Some(self.later(async move {
                    match stop.await {
                        Ok(()) => Event::Stopped(launch),
                        Err(why) => {
                            tracing::warn!(%worker, %launch, "its machine could not be stopped and is tried again: {why}");
                            Event::StopFailed(launch, why)
                        }
                    }
                }));
            }
            Action::AbandonStop(_) => abort(&mut self.stop),
            Action::Look(id) => {
                let list = timeout(LIST_DEADLINE, self.backend().list());
                self.later(async move {
                    match list.await {
                        Ok(Ok(there)) => {
                            let found = there.into_iter().find(|i| i.launch == id).map(|i| i.handle);
                            Event::Listed(id, found)
                        }
                        Ok(Err(why)) => Event::NotListed(id, why),
                        Err(_) => Event::NotListed(id, format!("no answer within {}", human(LIST_DEADLINE))),
                    }
                });
            }
            Action::Close(id, reason) => {
                tracing::info!(%worker, launch = %id, "its machine is gone: {reason}");
                self.launched_by = None;
                self.login = None;
                if let Some(record) = self.record.take_if(|r| r.id == id) {
                    self.settle(LaunchRecord { gone: Some((reason, now)), ..record }).await;
                }
            }
            Action::Answer(request, answer) => around.answer(&worker, request, answer),
            Action::Disconnect(why) => around.disconnect(&worker, &why),
            Action::Missing(why) => around.missing(&worker, &why),
            Action::Console(id, handle) => {
                let (backend, password) = (self.backend(), self.known_login(&id));
                self.later(async move { Event::Console(id, console_of(&*backend, handle, password).await) });
            }
            Action::Leak(id) => {
                let stop = self.life.launch.as_ref().and_then(|l| l.stop.as_ref());
                let (Some(record), Some(stop)) = (self.record.clone(), stop) else { return };
                let leak = Leak { record, tries: stop.tries, error: stop.error.clone(), age: now.since(stop.wanted_at) };
                let told = around.leak(leak);
                self.later(async move {
                    let told = told.await;
                    if let Err(why) = &told {
                        tracing::error!(%worker, launch = %id, "nobody could be told that its machine can't be stopped: {why}");
                        tokio::time::sleep(TELL_AGAIN).await;
                    }
                    Event::LeakTold(id, told.is_ok())
                });
            }
        }
    }

    async fn start(&mut self, id: LaunchId, now: Timestamp) {
        let (backend, around) = (self.backend(), self.latent.surroundings.clone());
        let password = match around.password(&self.configured.name, &id) {
            Ok(password) => password,
            Err(why) => {
                let failure = Failure::Retry(format!("its password is not known: {why}"), PASSWORD_REST);
                let _ = self.orders.send(Order::Event(Event::StartFailed(id, failure)));
                return;
            }
        };
        if self.record.as_ref().is_none_or(|r| r.id != id) {
            let (name, class) = (&self.configured.name, backend.class());
            let login = around.sealed(&id, &password);
            let record = LaunchRecord {
                generation: self.configured.generation,
                place: backend.place(),
                login,
                ..LaunchRecord::new(id.clone(), name, class, backend.settings(), now)
            };
            if let Err(e) = self.latent.store.put_launch(&record).await {
                let why = format!("the ledger can't be written, so nothing is started: {e}");
                let _ = self.orders.send(Order::Event(Event::NotRecorded(id, why)));
                return;
            }
            self.record = Some(record);
            self.launched_by = Some(backend.clone());
        }
        let wanted_by = self.life.waiting.first();
        self.login = Some(password.clone());
        let (properties, build) = wanted_by.map(|r| around.build(&self.configured.name, *r)).unwrap_or_default();
        let start = Start { launch: id.clone(), worker: self.configured.name.clone(), password, properties, build };
        tracing::info!(worker = %self.configured.name, launch = %id, request = wanted_by.map(|r| r.0), "its machine is started");
        let worker = self.configured.name.clone();
        let call = backend.start(start);
        let orders = self.orders.clone();
        self.start = Some(self.later(async move {
            match call.await {
                Ok(started) => {
                    tracing::info!(%worker, launch = %id, handle = %started.handle, "its machine runs {}", started.status.join(" "));
                    if let Some(price) = started.price_per_hour {
                        let _ = orders.send(Order::Price(id.clone(), price));
                    }
                    Event::Started(id, started.handle)
                }
                Err(failure) => {
                    let (Failure::Configuration(why) | Failure::Capacity(why) | Failure::Retry(why, _) | Failure::Unknown(why)) = &failure;
                    tracing::warn!(%worker, launch = %id, "its machine was not started: {why}");
                    Event::StartFailed(id, failure)
                }
            }
        }));
    }

    fn later(&self, work: impl Future<Output = Event> + Send + 'static) -> AbortHandle {
        let orders = self.orders.clone();
        tokio::spawn(async move {
            let event = work.await;
            // The worker's task ends with the master only.
            let _ = orders.send(Order::Event(event));
        })
        .abort_handle()
    }
}

/// The end of a console, as far as it can be had; without the password that the machine was told.
async fn console_of(backend: &dyn Backend, handle: Json, password: Option<Secret>) -> Vec<String> {
    match timeout(CHECK_DEADLINE, backend.console(handle)).await {
        Ok(Ok(Some(text))) => console::tail(&text, password.as_ref().map(Secret::reveal).unwrap_or_default()),
        Ok(Ok(None)) | Err(_) => Vec::new(),
        Ok(Err(why)) => {
            tracing::debug!("a console can't be read: {why}");
            Vec::new()
        }
    }
}

fn abort(call: &mut Option<AbortHandle>) {
    if let Some(call) = call.take() {
        call.abort();
    }
}

/// From the system's generator: an id must not repeat over restarts.
fn rand_128() -> u128 {
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_err() {
        return fastrand::u128(..);
    }
    u128::from_le_bytes(bytes)
}
