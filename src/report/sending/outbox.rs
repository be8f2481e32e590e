//! Sends what waits in the store: one task per reporter, lanes in their order, again and again until it has arrived or
//! patience ends. Never knows what a message says; never holds more than one payload per reporter.
//!
//! A message is settled when its target's word is there, in the next commit. A master that dies before that commit asks the
//! reporter's courier after its start what became of the message ([`super::courier`]), so it is not sent again for that.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::base::{Clock, Timestamp};
use crate::model::{NewOutboxItem, OutboxCount, OutboxDelay, OutboxItem, OutboxState};
use crate::store::{Store, StoreError};
use crate::workers::BoxFuture;

/// Rows of one question, without payloads.
const BATCH: usize = 50;
/// When the store does not answer.
const STORE_PAUSE: Duration = Duration::from_secs(5);
/// Settled messages and their keys are known so long.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 3600);
const HOUSEKEEPING: Duration = Duration::from_secs(3600);
/// Of an error that is kept.
const LONGEST_ERROR: usize = 1000;

/// What became of one try.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Outcome {
    /// It has arrived; `remark` is to be known nevertheless: somebody did not get it.
    Sent { remark: Option<String> },
    /// This message can't be sent now. `progress` is handed to the next try.
    Later { error: String, progress: Option<String> },
    /// Nothing can be sent to this target now.
    Down(String),
    /// Never will it be.
    Refused(String),
}

/// Hands messages to one target.
pub trait Sender: Send {
    fn send<'a>(&'a mut self, item: &'a OutboxItem, payload: String, progress: Option<String>) -> BoxFuture<'a, Outcome>;

    /// For now there is nothing more to send: connections are closed.
    fn rest(&mut self) -> BoxFuture<'_, ()>;
}

/// How often is tried, and how long.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Policy {
    /// After the first failure; doubled with each that follows.
    pub first: Duration,
    pub longest: Duration,
    /// From the first failure to the giving up.
    pub patience: Duration,
    /// So long after the start of the master nothing is given up for want of patience: what starts with it may need a while.
    pub grace: Duration,
    /// So long the messages behind one that can't be sent wait for it; while the whole target is down they wait anyway.
    pub lane_waits: Duration,
}

impl Default for Policy {
    fn default() -> Policy {
        let hours = |h: u64| Duration::from_secs(h * 3600);
        Policy { first: Duration::from_secs(10), longest: hours(1), patience: hours(72), grace: hours(1), lane_waits: hours(1) }
    }
}

impl Policy {
    fn backoff(&self, failures: u32) -> Duration {
        self.first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(30))).min(self.longest)
    }

    /// What fails since that moment or longer is given up.
    fn patience_ends(&self, started: Timestamp, now: Timestamp) -> Option<Timestamp> {
        (now.since(started) >= self.grace).then(|| Timestamp(now.0.saturating_sub(self.patience.as_millis() as i64)))
    }
}

/// What is done after a try.
#[derive(Clone, PartialEq, Debug)]
enum Next {
    Settle {
        state: OutboxState,
        remark: Option<String>,
    },
    /// `pause`: so long nothing else is tried at that target.
    Postpone {
        delay: OutboxDelay,
        pause: Option<Timestamp>,
    },
}

fn next(outcome: Outcome, item: &OutboxItem, downs: u32, policy: &Policy, started: Timestamp, now: Timestamp) -> Next {
    let (error, progress, down) = match outcome {
        Outcome::Sent { remark } => return Next::Settle { state: OutboxState::Sent, remark },
        Outcome::Refused(why) => return Next::Settle { state: OutboxState::GivenUp, remark: Some(why) },
        Outcome::Later { error, progress } => (error, progress, false),
        Outcome::Down(error) => (error, None, true),
    };
    // Of a target that is down all messages are judged together.
    let lost = policy.patience_ends(started, now).zip(item.failing_since).is_some_and(|(gone, since)| since <= gone);
    if lost && !down {
        return Next::Settle { state: OutboxState::GivenUp, remark: Some(error) };
    }
    let next_try = now.plus(policy.backoff(item.attempts.saturating_add(1)));
    // What some have, or what alone is put off for long, keeps nothing else from the others.
    let alone = !down && item.failing_since.is_some_and(|since| now.since(since) >= policy.lane_waits);
    let yields = item.yields || progress.is_some() || alone;
    let pause = down.then(|| now.plus(policy.backoff(downs.saturating_add(1))));
    Next::Postpone { delay: OutboxDelay { next_try, progress, error: short(&error), yields }, pause }
}

/// The outbox of one master.
pub struct Outbox {
    store: Store,
    clock: Arc<dyn Clock>,
    policy: Policy,
    started: Timestamp,
    targets: Mutex<HashMap<String, Target>>,
    housekeeping: Mutex<Option<JoinHandle<()>>>,
    configured: Arc<Notify>,
}

struct Target {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// What a target's task is told.
#[derive(Default)]
struct Shared {
    orders: Mutex<Orders>,
    wake: Notify,
}

#[derive(Default)]
struct Orders {
    sender: Option<Box<dyn Sender>>,
    /// Its reporter is no longer configured.
    gone: bool,
    /// The master stops.
    end: bool,
}

impl Shared {
    fn orders(&self) -> std::sync::MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outbox {
    /// Sends nothing before [`Outbox::configure`].
    pub fn new(store: Store, clock: Arc<dyn Clock>, policy: Policy) -> Arc<Outbox> {
        let started = clock.now();
        let configured = Arc::<Notify>::default();
        let (targets, housekeeping) = (Mutex::default(), Mutex::default());
        let outbox = Arc::new(Outbox { store, clock, policy, started, targets, housekeeping, configured: configured.clone() });
        let task = tokio::spawn(keep_house(Arc::downgrade(&outbox), configured));
        *outbox.housekeeping.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        outbox
    }

    /// Queues messages and strikes out the occurrences they tell of, both or neither; a reporter's key that is known is left
    /// out. When it answers they survive a crash, and are sent in the background.
    pub async fn put(&self, items: Vec<NewOutboxItem>, struck: Vec<i64>) -> Result<(), StoreError> {
        let reporters: HashSet<String> = items.iter().map(|i| i.reporter.clone()).collect();
        self.store.put_outbox(items, struck, self.clock.now()).await?;
        let targets = self.targets();
        for target in reporters.iter().filter_map(|name| targets.get(name)) {
            target.shared.wake.notify_one();
        }
        Ok(())
    }

    /// The reporters of a configuration. What waits for one of them is tried at once: the cause of a failure may be gone.
    /// Messages of others wait until their reporter is back or patience ends.
    pub fn configure(&self, senders: Vec<(String, Box<dyn Sender>)>) {
        let mut targets = self.targets();
        let names: HashSet<String> = senders.iter().map(|(name, _)| name.clone()).collect();
        for (name, target) in targets.iter().filter(|(name, _)| !names.contains(*name)) {
            tracing::debug!(reporter = name.as_str(), "the reporter is no longer configured");
            target.shared.orders().gone = true;
            target.shared.wake.notify_one();
        }
        for (name, sender) in senders {
            let target = targets.entry(name).or_insert_with_key(|name| {
                let shared = Arc::<Shared>::default();
                let run = Run {
                    name: name.clone(),
                    store: self.store.clone(),
                    clock: self.clock.clone(),
                    policy: self.policy,
                    started: self.started,
                    shared: shared.clone(),
                    sender: None,
                    downs: 0,
                    paused_until: None,
                };
                Target { shared, task: tokio::spawn(run.run()) }
            });
            let mut orders = target.shared.orders();
            orders.sender = Some(sender);
            orders.gone = false;
            drop(orders);
            target.shared.wake.notify_one();
        }
        self.configured.notify_one();
    }

    /// Lets each target end the message it is at, for a while; the rest waits for the next start.
    pub async fn close(&self, grace: Duration) {
        if let Some(task) = self.housekeeping.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
        let targets: Vec<Target> = self.targets().drain().map(|(_, target)| target).collect();
        for target in &targets {
            target.shared.orders().end = true;
            target.shared.wake.notify_one();
        }
        let until = tokio::time::Instant::now() + grace;
        for mut target in targets {
            if tokio::time::timeout_at(until, &mut target.task).await.is_err() {
                target.task.abort();
            }
        }
    }

    fn targets(&self) -> std::sync::MutexGuard<'_, HashMap<String, Target>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits for reporters that are not configured.
    async fn orphans(&self) -> Result<Vec<OutboxCount>, StoreError> {
        let mut counts = self.store.outbox_counts().await?;
        let targets = self.targets();
        counts.retain(|c| c.waiting > 0 && targets.get(&c.reporter).is_none_or(|target| target.shared.orders().gone));
        Ok(counts)
    }

    async fn tell_of_orphans(&self) -> Result<(), StoreError> {
        for count in self.orphans().await? {
            let (reporter, waiting) = (&count.reporter, count.waiting);
            let days = self.policy.patience.as_secs() / (24 * 3600);
            tracing::warn!(
                reporter,
                waiting,
                "messages wait for a reporter that is not configured: give the one that shall send them name = \"{reporter}\"; \
                 after {days} days they are given up"
            );
        }
        Ok(())
    }

    /// Forgets what was settled long ago, and gives up what nobody sends any more.
    async fn tidy(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let old = Timestamp(now.0.saturating_sub(REMEMBERED.as_millis() as i64));
        while self.store.forget_outbox(old).await? {}
        for count in self.orphans().await? {
            let error = "no reporter of that name is configured";
            let patience = self.policy.patience_ends(self.started, now);
            loop {
                let lost = self.store.outbox_target_down(&count.reporter, error, patience, BATCH, now).await?;
                lost.iter().for_each(|item| tell_given_up(item, error));
                if lost.len() < BATCH {
                    break;
                }
            }
        }
        Ok(())
    }
}

async fn keep_house(outbox: Weak<Outbox>, configured: Arc<Notify>) {
    let mut hourly = tokio::time::interval_at(tokio::time::Instant::now() + HOUSEKEEPING, HOUSEKEEPING);
    hourly.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let new = tokio::select! {
            _ = hourly.tick() => false,
            () = configured.notified() => true,
        };
        let Some(outbox) = outbox.upgrade() else { return };
        let done = if new { outbox.tell_of_orphans().await } else { outbox.tidy().await };
        if let Err(e) = done {
            tracing::warn!("the outbox can't be tidied: {e}");
        }
    }
}

fn tell_given_up(item: &OutboxItem, why: &str) {
    tracing::error!(
        reporter = item.reporter,
        about = item.key,
        attempts = item.attempts,
        "a message of the outbox is given up and will not be sent: {why}"
    );
}

fn short(text: &str) -> String {
    text.chars().take(LONGEST_ERROR).collect()
}

/// The task of one target.
struct Run {
    name: String,
    store: Store,
    clock: Arc<dyn Clock>,
    policy: Policy,
    started: Timestamp,
    shared: Arc<Shared>,
    sender: Option<Box<dyn Sender>>,
    /// Tries in a row that found the target down.
    downs: u32,
    paused_until: Option<Timestamp>,
}

/// Must the task look at its orders?
enum Orderly {
    GoOn,
    Look,
}

impl Run {
    async fn run(mut self) {
        loop {
            if self.obey().await {
                if let Some(sender) = &mut self.sender {
                    sender.rest().await;
                }
                return;
            }
            let wait = match self.work().await {
                Ok(wait) => wait,
                Err(e) => {
                    tracing::warn!(reporter = self.name, "the outbox waits for the database: {e}");
                    Some(STORE_PAUSE)
                }
            };
            // A wake-up that came meanwhile is not lost: the notification keeps it.
            match wait {
                Some(wait) => drop(tokio::time::timeout(wait, self.shared.wake.notified()).await),
                None => self.shared.wake.notified().await,
            }
        }
    }

    /// Takes what it was told. True: the end.
    async fn obey(&mut self) -> bool {
        let (new, gone) = {
            let mut orders = self.shared.orders();
            if orders.end {
                return true;
            }
            (orders.sender.take(), orders.gone)
        };
        if (gone || new.is_some())
            && let Some(mut old) = self.sender.take()
        {
            old.rest().await;
        }
        if gone {
            return false;
        }
        if let Some(sender) = new {
            self.sender = Some(sender);
            self.paused_until = None;
            if let Err(e) = self.store.hasten_outbox(&self.name, self.clock.now()).await {
                tracing::warn!(reporter = self.name, "what waits in the outbox keeps its pauses: {e}");
            }
        }
        false
    }

    fn told(&self) -> Orderly {
        let orders = self.shared.orders();
        if orders.end || orders.gone || orders.sender.is_some() { Orderly::Look } else { Orderly::GoOn }
    }

    /// Sends what is due; how long there is nothing more to do. None: until somebody says so.
    async fn work(&mut self) -> Result<Option<Duration>, StoreError> {
        if self.sender.is_none() {
            return Ok(None);
        }
        loop {
            let now = self.clock.now();
            if let Some(until) = self.paused_until.filter(|until| *until > now) {
                return Ok(Some(until.since(now)));
            }
            let due = self.store.due_outbox(&self.name, now, BATCH).await?;
            if due.is_empty() {
                if let Some(sender) = &mut self.sender {
                    sender.rest().await;
                }
                let next = self.store.next_outbox_try(&self.name).await?;
                return Ok(next.map(|at| at.since(self.clock.now()).max(Duration::from_millis(1))));
            }
            let mut behind = HashSet::new();
            for item in due {
                if behind.contains(&item.lane) && !item.yields {
                    continue;
                }
                if matches!(self.told(), Orderly::Look) {
                    return Ok(Some(Duration::ZERO));
                }
                if !self.one(&item).await? {
                    behind.insert(item.lane);
                }
                if self.paused_until.is_some() {
                    break;
                }
            }
        }
    }

    /// One try of one message. False: its lane waits.
    async fn one(&mut self, item: &OutboxItem) -> Result<bool, StoreError> {
        let Some(sender) = &mut self.sender else { return Ok(false) };
        let (payload, progress) = self.store.outbox_payload(item.id).await?;
        let outcome = sender.send(item, payload, progress).await;
        let now = self.clock.now();
        let next = next(outcome, item, self.downs, &self.policy, self.started, now);
        // Before anything else: then nobody has to ask what became of it.
        match next {
            Next::Settle { state, remark } => {
                let remark = remark.as_deref().map(short);
                let store = self.store.clone();
                self.keep(item, || store.settle_outbox(item.id, state, remark.as_deref(), now)).await;
                self.downs = 0;
                self.paused_until = None;
                match (state, remark) {
                    (OutboxState::Sent, None) => tracing::debug!(reporter = self.name, about = item.key, "sent"),
                    (OutboxState::Sent, Some(remark)) => tracing::warn!(reporter = self.name, about = item.key, "sent, but {remark}"),
                    (_, remark) => tell_given_up(item, &remark.unwrap_or_default()),
                }
                Ok(true)
            }
            Next::Postpone { delay, pause } => {
                let OutboxDelay { next_try, error, yields, .. } = delay.clone();
                let store = self.store.clone();
                self.keep(item, || store.postpone_outbox(item.id, delay.clone(), now)).await;
                match pause {
                    Some(until) => {
                        let seconds = until.since(now).as_secs();
                        tracing::warn!(reporter = self.name, about = item.key, "nothing can be sent, tried again in {seconds} s: {error}");
                        self.down(&error, until, now).await?;
                    }
                    None => {
                        let seconds = next_try.since(now).as_secs();
                        tracing::warn!(reporter = self.name, about = item.key, "not sent, tried again in {seconds} s: {error}");
                        self.downs = 0;
                    }
                }
                Ok(yields)
            }
        }
    }

    /// Keeps what became of a try. The store may be full for a while; what somebody has must not be sent again for that.
    async fn keep<F: Future<Output = Result<(), StoreError>>>(&mut self, item: &OutboxItem, write: impl Fn() -> F) {
        while let Err(e) = write().await {
            if e == StoreError::Closed {
                tracing::error!(
                    reporter = self.name,
                    about = item.key,
                    "what became of a message can't be stored any more: it may be sent again"
                );
                return;
            }
            tracing::error!(reporter = self.name, about = item.key, "what became of a message can't be stored, tried again: {e}");
            tokio::time::sleep(STORE_PAUSE).await;
        }
    }

    async fn down(&mut self, error: &str, until: Timestamp, now: Timestamp) -> Result<(), StoreError> {
        self.downs = self.downs.saturating_add(1);
        self.paused_until = Some(until);
        let patience = self.policy.patience_ends(self.started, now);
        loop {
            let lost = self.store.outbox_target_down(&self.name, error, patience, BATCH, now).await?;
            lost.iter().for_each(|item| tell_given_up(item, error));
            if lost.len() < BATCH {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn item(attempts: u32, failing_since: Option<i64>) -> OutboxItem {
        OutboxItem {
            id: 1,
            reporter: "mail".into(),
            key: "k".into(),
            lane: "l".into(),
            state: OutboxState::Waiting,
            attempts,
            next_try: Timestamp(0),
            failing_since: failing_since.map(Timestamp),
            yields: false,
            created_at: Timestamp(0),
            settled_at: None,
            last_error: None,
        }
    }

    fn decide(outcome: Outcome, item: &OutboxItem, downs: u32, now: i64) -> Next {
        next(outcome, item, downs, &Policy::default(), Timestamp(0), Timestamp(now))
    }

    #[test]
    fn pauses_double_up_to_an_hour() {
        let policy = Policy::default();
        let seconds: Vec<u64> = (1..=11).map(|n| policy.backoff(n).as_secs()).collect();
        assert_eq!(seconds, [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]);
        assert_eq!(policy.backoff(u32::MAX).as_secs(), 3600);
    }

    #[test]
    fn patience_ends_three_days_after_the_first_failure_and_not_right_after_a_start() {
        let later = || Outcome::Later { error: "450".into(), progress: None };
        let given_up = Next::Settle { state: OutboxState::GivenUp, remark: Some("450".into()) };
        assert_eq!(decide(later(), &item(9, Some(0)), 0, 72 * HOUR), given_up);
        let Next::Postpone { delay, pause: None } = decide(later(), &item(9, Some(0)), 0, 72 * HOUR - 1) else { panic!() };
        assert_eq!(delay, OutboxDelay { next_try: Timestamp(72 * HOUR - 1 + HOUR), progress: None, error: "450".into(), yields: true });
        let young = next(later(), &item(9, Some(0)), 0, &Policy::default(), Timestamp(72 * HOUR), Timestamp(72 * HOUR + 1));
        assert!(matches!(young, Next::Postpone { .. }), "{young:?}");
        assert_eq!(
            decide(Outcome::Refused("550".into()), &item(0, None), 0, 1),
            Next::Settle { state: OutboxState::GivenUp, remark: Some("550".into()) }
        );
    }

    #[test]
    fn a_target_that_is_down_pauses_by_its_own_failures() {
        let down = decide(Outcome::Down("refused".into()), &item(4, Some(0)), 2, 3 * HOUR);
        let Next::Postpone { delay, pause: Some(pause) } = down else { panic!("{down:?}") };
        assert_eq!(pause, Timestamp(3 * HOUR + 40_000));
        assert_eq!(delay.next_try, Timestamp(3 * HOUR + 160_000), "the message waits by its own");
        assert!(!delay.yields, "its lane stays in order however long the target is down");
    }

    #[test]
    fn a_lane_waits_for_a_while_and_not_for_what_some_have() {
        let later = |progress: Option<&str>, since, now| {
            let outcome = Outcome::Later { error: "450".into(), progress: progress.map(str::to_owned) };
            match decide(outcome, &item(1, since), 0, now) {
                Next::Postpone { delay, pause: None } => delay.yields,
                other => panic!("{other:?}"),
            }
        };
        assert!(!later(None, None, 5 * HOUR));
        assert!(!later(None, Some(4 * HOUR + 1), 5 * HOUR));
        assert!(later(None, Some(4 * HOUR), 5 * HOUR));
        assert!(later(Some("rest"), None, 5 * HOUR));
    }
}
