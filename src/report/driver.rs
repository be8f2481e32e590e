//! Follows what happens and queues the messages about it: one after the other per builder, builders side by side. It sends nothing
//! and delays no build.
//!
//! What happened stands in the store until its messages stand there as well: both change in one transaction, so a crash in between
//! loses nothing and queues nothing twice. Events only say that there is something to read.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio::sync::broadcast::error::RecvError;

use super::about::About;
use super::facts;
use super::format::of_worker;
use super::notice::Notice;
use super::recipients::{self, Recipients};
use super::sending::outbox::Outbox;
use super::telling::{Happened, Teller, concerns, mail_of, owners_of, write};
use crate::base::{BuilderId, MailAddress};
use crate::builds::{Active, Engine};
use crate::config::{GeneratorKind, GeneratorSpec, MailSpec, MasterConfig, Place, ReporterKind, ReporterSpec};
use crate::model::report::{Occurrence, What};
use crate::model::{Event, NewOutboxItem, Properties};
use crate::secrets::{BuildSecrets, SecretSource};
use crate::store::{Store, StoreError};
use crate::workers::BoxFuture;
use crate::workers::registry::Registry;

/// Occurrences of one question.
const BATCH: usize = 256;
/// Occurrences that are kept in memory; the others wait in the store.
const MOST_HELD: usize = 2048;
/// Builders whose messages are made at the same time. A function of the file that is slow holds up its builder's messages only; but
/// each message may hold 20 MB of logs while it is made.
const MOST_RUNNING: usize = 16;
/// Without a word from the engine it is looked all the same.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// When the store does not answer.
const STORE_PAUSE: Duration = Duration::from_secs(5);

fn complain(error: &StoreError) {
    tracing::error!("messages about builds wait, since the store does not answer: {error}");
}

/// What waits to be told, by builder: of each builder one is told at a time.
#[derive(Default)]
struct Lanes {
    waiting: HashMap<Option<BuilderId>, VecDeque<Occurrence>>,
    /// Lanes of which nothing is being told and something waits, the longest waiting first.
    ready: VecDeque<Option<BuilderId>>,
    /// The last one that was read.
    last: i64,
    /// Those that are told or wait.
    held: usize,
}

impl Lanes {
    fn add(&mut self, occurrence: Occurrence) {
        self.held += 1;
        match self.waiting.entry(occurrence.lane) {
            Entry::Occupied(mut lane) => lane.get_mut().push_back(occurrence),
            Entry::Vacant(lane) => {
                lane.insert([occurrence].into());
                self.ready.push_back(occurrence.lane);
            }
        }
    }

    /// The next that can be told; its lane rests until it [ends](Lanes::end).
    fn start(&mut self) -> Option<Occurrence> {
        let lane = self.ready.pop_front()?;
        self.waiting.get_mut(&lane)?.pop_front()
    }

    fn end(&mut self, done: &Occurrence) {
        self.held -= 1;
        if self.waiting.get(&done.lane).is_some_and(VecDeque::is_empty) {
            self.waiting.remove(&done.lane);
        } else {
            self.ready.push_back(done.lane);
        }
    }
}

/// The name of the notifier that there is where a configuration has none.
const STANDARD: &str = "MailNotifier";

/// What tells others of builds and workers, in one master.
pub struct Reports {
    store: Store,
    engine: Arc<Engine>,
    registry: Arc<Registry>,
    outbox: Arc<Outbox>,
    /// This machine, as its mails name it.
    host: String,
    wake: Notify,
}

/// This machine, as the sender of mails names it.
pub fn host() -> String {
    crate::lua::full_host_name().unwrap_or_else(|| "localhost".into())
}

/// The reporters of a configuration, and one for missing workers where it has no `MailNotifier`: from `buildbot@` this host through
/// the relay on it.
pub fn reporters(config: &MasterConfig, host: &str) -> Vec<Arc<ReporterSpec>> {
    let mut all = config.reporters.clone();
    if !all.iter().any(|r| r.mail().is_some()) {
        let place = Place::default();
        let from = MailAddress::parse(&format!("buildbot@{host}"));
        let mail = MailSpec { send_to_interested_users: false, ..MailSpec::default() };
        let mail = MailSpec { fromaddr: from.unwrap_or_else(|| mail.fromaddr.clone()), ..mail };
        let missing = GeneratorSpec {
            class: "WorkerMissingGenerator".into(),
            kind: GeneratorKind::WorkerMissing { workers: None },
            filter: Default::default(),
            needed_by_props: None,
            needed_by_results: None,
            formatter: None,
            subject: None,
            add_logs: None,
            place: place.clone(),
        };
        all.push(Arc::new(ReporterSpec {
            name: STANDARD.into(),
            class: STANDARD.into(),
            kind: ReporterKind::Mail(Box::new(mail)),
            generators: vec![Arc::new(missing)],
            send_message: None,
            place,
        }));
    }
    all
}

/// Who tells of the absence of a worker, and to whom: the first mail notifier those who wait for it, each one that is to do so its
/// owners, each other reporter with such a generator its service.
pub fn absence_tellers(
    reporters: &[Arc<ReporterSpec>],
    worker: &str,
    notify: &[String],
    owners: &[String],
) -> Vec<(Arc<ReporterSpec>, Recipients)> {
    let mut told: Vec<MailAddress> = Vec::new();
    let mut first = true;
    let mut tellers = Vec::new();
    for reporter in reporters.iter().filter(|r| r.missing_generator(worker).is_some()) {
        let Some(mail) = reporter.mail() else {
            tellers.push((reporter.clone(), Recipients::default()));
            continue;
        };
        if !super::filters::worker_passes(mail, Some(worker)) {
            continue;
        }
        let mut to = recipients::of_absence(mail, if first { notify } else { &[] }, owners);
        first = false;
        to.to.retain(|address| !told.iter().any(|known| known.bare.eq_ignore_ascii_case(&address.bare)));
        told.extend(to.to.iter().cloned());
        if !to.is_empty() {
            tellers.push((reporter.clone(), to));
        }
    }
    tellers
}

impl Reports {
    pub fn new(store: Store, engine: Arc<Engine>, registry: Arc<Registry>, outbox: Arc<Outbox>) -> Arc<Reports> {
        Arc::new(Reports { store, engine, registry, outbox, host: host(), wake: Notify::new() })
    }

    /// For ever.
    pub async fn run(self: Arc<Self>) {
        tokio::join!(self.follow(), self.drive());
    }

    /// Reads events as fast as they come: whoever is behind with them would hold up the builds of a terminal.
    async fn follow(&self) {
        let mut events = self.engine.subscribe();
        loop {
            match events.recv().await {
                Ok(Event::RequestAdded(_) | Event::RequestComplete(..) | Event::BuildStarted(_) | Event::BuildFinished { .. })
                | Err(RecvError::Lagged(_)) => self.wake.notify_one(),
                Ok(_) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    async fn drive(&self) {
        let mut lanes = Lanes::default();
        let mut running = FuturesUnordered::new();
        loop {
            let mut all = false;
            if lanes.held < MOST_HELD {
                match self.read(&mut lanes).await {
                    Ok(read) => all = read < BATCH,
                    Err(StoreError::Closed) => return,
                    Err(e) => {
                        complain(&e);
                        tokio::time::sleep(STORE_PAUSE).await;
                        continue;
                    }
                }
            }
            while running.len() < MOST_RUNNING
                && let Some(occurrence) = lanes.start()
            {
                running.push(Box::pin(self.told(occurrence)) as BoxFuture<'_, Occurrence>);
            }
            // There is more to read, and room for it.
            if !all && lanes.held < MOST_HELD {
                continue;
            }
            tokio::select! {
                Some(done) = running.next() => lanes.end(&done),
                () = self.wake.notified(), if lanes.held < MOST_HELD => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Takes in what has happened since; how much that was.
    async fn read(&self, lanes: &mut Lanes) -> Result<usize, StoreError> {
        let Some(active) = self.engine.active() else { return Ok(0) };
        let found = self.store.occurrences(lanes.last, BATCH).await?;
        let count = found.len();
        let concerned = |what: What| active.config.reporters.iter().any(|r| r.generators.iter().any(|g| concerns(&g.kind, what)));
        let (wanted, unwanted): (Vec<Occurrence>, Vec<Occurrence>) = found.iter().partition(|o| concerned(o.what));
        if !unwanted.is_empty() {
            self.store.strike_occurrences(unwanted.iter().map(|o| o.id).collect()).await?;
        }
        lanes.last = found.last().map_or(lanes.last, |o| o.id);
        wanted.into_iter().for_each(|occurrence| lanes.add(occurrence));
        Ok(count)
    }

    /// Queues all messages about it, as soon as the store allows.
    async fn told(&self, occurrence: Occurrence) -> Occurrence {
        while let Err(e) = self.tell(occurrence).await {
            if e == StoreError::Closed {
                // The next start of the master tells of it.
                std::future::pending::<()>().await;
            }
            complain(&e);
            tokio::time::sleep(STORE_PAUSE).await;
        }
        occurrence
    }

    async fn tell(&self, occurrence: Occurrence) -> Result<(), StoreError> {
        let Some(active) = self.engine.active() else { return Ok(()) };
        let Some(happened) = self.facts(occurrence.what, &active).await? else {
            tracing::warn!(what = %occurrence.what, "nobody is told of it: it is not in the store any more");
            return self.store.strike_occurrences(vec![occurrence.id]).await;
        };
        let secrets = self.secrets(&active);
        let teller = self.teller(&active, &secrets);
        let messages = active.config.reporters.iter().map(|reporter| teller.message(reporter, occurrence.what, &happened));
        let items: Vec<NewOutboxItem> = futures_util::future::join_all(messages).await.into_iter().flatten().collect();
        tracing::debug!(what = %occurrence.what, messages = items.len(), "told");
        self.outbox.put(items, vec![occurrence.id]).await
    }

    async fn facts(&self, what: What, active: &Active) -> Result<Option<Happened>, StoreError> {
        let (store, url) = (&self.store, active.config.buildbot_url.as_str());
        Ok(match what {
            What::BuildStarted(id) => facts::build(store, id, url).await?.map(|build| Happened::Started(Box::new(build.as_started()))),
            What::BuildFinished(id) => facts::build(store, id, url).await?.map(|build| Happened::Finished(Box::new(build))),
            What::RequestAdded(id) => facts::request(store, id, url).await?.map(|request| Happened::Pending(Box::new(request))),
            What::RequestCancelled(id) => facts::request(store, id, url).await?.map(|request| Happened::Cancelled(Box::new(request))),
            What::SetComplete(id) => facts::set(store, id, url).await?.map(|set| Happened::Set(Box::new(set))),
        })
    }

    /// Secrets that formatters ask for; what is hidden in builds is hidden here, too.
    fn secrets(&self, active: &Active) -> BuildSecrets {
        let source = SecretSource::new(active.config.clone(), active.generation.clone());
        BuildSecrets::new(source, self.registry.password_mask())
    }

    fn teller<'a>(&'a self, active: &'a Active, secrets: &'a BuildSecrets) -> Teller<'a> {
        Teller { store: &self.store, config: &active.config, generation: &active.generation, secrets }
    }

    /// Tells of a worker that is missing or has returned. `key` names that absence, so that it is told once. How many messages were
    /// made; none: nobody is to be told.
    pub async fn tell_of_worker(&self, notice: &Notice, key: &str) -> Result<usize, StoreError> {
        let (Notice::WorkerMissing(facts) | Notice::WorkerReturned(facts)) = notice else { return Ok(0) };
        let Some(active) = self.engine.active() else { return Ok(0) };
        let (all, about, worker) = (reporters(&active.config, &self.host), About::from(notice), facts.absence.worker.as_str());
        let secrets = self.secrets(&active);
        let teller = self.teller(&active, &secrets);
        // A builder may have the same name.
        let lane = format!("worker {worker}");
        let mut items = Vec::new();
        for (reporter, to) in absence_tellers(&all, worker, &facts.notify, owners_of(&active.config, worker)) {
            let formatter = reporter.missing_generator(worker).and_then(|g| g.formatter.as_deref());
            let payload = match reporter.mail().filter(|_| reporter.send_message.is_none()) {
                Some(mail) => {
                    let composed = teller.compose(formatter, &about).await;
                    let headers = teller.headers(&reporter, mail, of_worker(worker)).await;
                    write(&reporter, mail_of(mail, composed, &to, headers, Some(lane.clone())))
                }
                None => {
                    let users: Vec<String> = to.to.iter().map(ToString::to_string).collect();
                    Some(teller.reported(&reporter, formatter, &about, &users).await)
                }
            };
            items.extend(payload.map(|payload| NewOutboxItem {
                reporter: reporter.name.clone(),
                key: key.to_owned(),
                lane: lane.clone(),
                payload,
            }));
        }
        let count = items.len();
        self.outbox.put(items, Vec::new()).await.map(|()| count)
    }

    /// Tells people of something outside of builds by mail, through the first notifier that there is. False: none of them has an
    /// address, or there is no configuration.
    pub async fn tell_people(&self, about: &About<'_>, people: &[String], key: &str) -> Result<bool, StoreError> {
        let Some(active) = self.engine.active() else { return Ok(false) };
        let all = reporters(&active.config, &self.host);
        let Some((reporter, mail)) = all.iter().find_map(|r| r.mail().filter(|_| r.send_message.is_none()).map(|mail| (r, mail))) else {
            return Ok(false);
        };
        let to = Recipients { to: people.iter().filter_map(|text| recipients::address(text)).collect(), cc: Vec::new() };
        if to.is_empty() {
            return Ok(false);
        }
        let secrets = self.secrets(&active);
        let teller = self.teller(&active, &secrets);
        let composed = teller.compose(None, about).await;
        let headers = teller.headers(reporter, mail, Properties::default()).await;
        let Some(payload) = write(reporter, mail_of(mail, composed, &to, headers, None)) else { return Ok(false) };
        let item = NewOutboxItem { reporter: reporter.name.clone(), key: key.to_owned(), lane: "master".into(), payload };
        self.outbox.put(vec![item], Vec::new()).await.map(|()| true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{BuildId, Timestamp};

    fn occurrence(id: i64, lane: i64) -> Occurrence {
        Occurrence { id, what: What::BuildFinished(BuildId(id)), lane: Some(BuilderId(lane)), at: Timestamp(0) }
    }

    #[test]
    fn one_at_a_time_per_builder_in_order() {
        let mut lanes = Lanes::default();
        for (id, lane) in [(1, 7), (2, 7), (3, 8), (4, 7)] {
            lanes.add(occurrence(id, lane));
        }
        let next = |lanes: &mut Lanes| lanes.start().map(|o| o.id);
        assert_eq!((next(&mut lanes), next(&mut lanes), next(&mut lanes)), (Some(1), Some(3), None));
        lanes.end(&occurrence(1, 7));
        assert_eq!((next(&mut lanes), next(&mut lanes)), (Some(2), None));
        lanes.add(occurrence(5, 8));
        assert_eq!(next(&mut lanes), None);
        lanes.end(&occurrence(3, 8));
        lanes.end(&occurrence(2, 7));
        assert_eq!((next(&mut lanes), next(&mut lanes)), (Some(5), Some(4)));
        lanes.end(&occurrence(5, 8));
        lanes.end(&occurrence(4, 7));
        assert_eq!((lanes.held, lanes.waiting.len(), next(&mut lanes)), (0, 0, None));
        lanes.add(occurrence(6, 7));
        assert_eq!(next(&mut lanes), Some(6));
    }

    fn notifier(name: &str, mail: MailSpec, workers: Option<Vec<String>>) -> Arc<ReporterSpec> {
        let mut spec = (*reporters(&MasterConfig::default(), "ci.example.org")[0]).clone();
        let mut generator = (*spec.generators[0]).clone();
        generator.kind = GeneratorKind::WorkerMissing { workers };
        spec.generators = vec![Arc::new(generator)];
        Arc::new(ReporterSpec { name: name.into(), kind: ReporterKind::Mail(Box::new(mail)), ..spec })
    }

    #[test]
    fn an_absence_is_told_once_to_each() {
        let owners = || MailSpec { send_to_worker_owners: true, ..MailSpec::default() };
        let all = [
            notifier("others", MailSpec { workers: Some(vec!["x".into()]), ..owners() }, None),
            notifier("named", MailSpec::default(), Some(vec!["y".into()])),
            notifier("first", MailSpec::default(), None),
            notifier("second", owners(), None),
            notifier("third", owners(), None),
        ];
        let told = |worker: &str, notify: &[&str], owners: &[&str]| -> Vec<String> {
            let texts = |list: &[&str]| list.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
            let tellers = absence_tellers(&all, worker, &texts(notify), &texts(owners));
            let to = |r: &Recipients| r.to.iter().map(|a| a.bare.clone()).collect::<Vec<_>>().join(" ");
            tellers.iter().map(|(reporter, recipients)| format!("{}: {}", reporter.name, to(recipients))).collect()
        };
        assert_eq!(told("w", &["ops@b.example"], &["Own@b.example", "OPS@b.example"]), ["first: ops@b.example", "second: Own@b.example"]);
        assert_eq!(told("y", &["ops@b.example"], &[]), ["named: ops@b.example"]);
        assert_eq!(told("x", &["ops@b.example"], &["own@b.example"]), ["others: ops@b.example own@b.example"]);
        assert_eq!(told("w", &[], &[]), [""; 0]);
    }

    #[test]
    fn without_a_notifier_there_is_one_for_missing_workers() {
        let all = reporters(&MasterConfig::default(), "ci.example.org");
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].mail().unwrap().fromaddr.bare, "buildbot@ci.example.org");
        assert!(all[0].missing_generator("any").is_some());
        let own = MasterConfig { reporters: vec![notifier("n", MailSpec::default(), None)], ..MasterConfig::default() };
        assert_eq!(reporters(&own, "ci.example.org").len(), 1);
    }
}
