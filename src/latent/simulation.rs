//! The rules against a cloud that lies, a master that is killed between any two steps, workers that come, go and die, in virtual time and
//! from a seed. A broken rule is found: two of them are broken here on purpose.
//!
//! `SEED=n` runs one schedule, `SCHEDULES=n` that many (an hour of them: `SCHEDULES=30000000`).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use serde_json::json;

use super::lifecycle::*;
use crate::base::{BuildId, RequestId, Timestamp};
use crate::model::{LaunchId, Quarantine};

/// In a plain `cargo test`; the limit of time is set by the number, not by a clock.
const SCHEDULES: u64 = 200_000;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// What is broken on purpose.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Broken {
    Nothing,
    /// The row is not committed before the start.
    Record,
    /// A stop that failed counts as done.
    FailedStop,
    /// One listing without an instance is believed.
    OneListing,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Happening {
    Tick,
    Reap,
    Want,
    Cancel,
    Crash,
    Reconfigure,
    Create(LaunchId),
    Boot(LaunchId),
    Cut,
    Die(LaunchId),
    Answered(u64, Reply),
    Build(u64, RequestId),
    BuildEnds(u64, u64),
    /// The end of a build that was lost is told.
    BuildLost(u64, u64),
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Reply {
    Started(LaunchId),
    StartFailed(LaunchId, u8),
    Checked(LaunchId),
    Stopped(LaunchId),
    StopFailed(LaunchId),
    Listed(LaunchId, bool),
    NotListed(LaunchId),
    LeakTold(LaunchId, bool),
}

struct Instance {
    created: Timestamp,
    visible: Timestamp,
    alive: bool,
}

struct World {
    rng: fastrand::Rng,
    now: Timestamp,
    /// From then on nothing fails and nobody wants anything.
    calm: Timestamp,
    queue: BinaryHeap<Reverse<(Timestamp, u64, Happening)>>,
    sequence: u64,
    policy: Policy,
    /// Of the master's life; what belongs to an earlier one is not heard.
    epoch: u64,
    life: Lifecycle,
    row: Option<Row>,
    quarantine: Quarantine,
    cloud: BTreeMap<LaunchId, Instance>,
    launches: u64,
    requests: i64,
    answers: BTreeMap<RequestId, u32>,
    void: BTreeSet<RequestId>,
    /// Running builds by number.
    builds: BTreeSet<u64>,
    next_build: u64,
    broken: Broken,
    seen: Seen,
}

/// What schedules came to; a simulation in which nothing happens shows nothing.
#[derive(Clone, Copy, Default, Debug)]
struct Seen {
    launches: u64,
    builds: u64,
    crashes: u64,
    adopted: u64,
    stops_again: u64,
    found: u64,
    absent: u64,
    refused: u64,
    missing: u64,
    leaks: u64,
}

impl Seen {
    fn add(&mut self, other: Seen) {
        self.launches += other.launches;
        self.builds += other.builds;
        self.crashes += other.crashes;
        self.adopted += other.adopted;
        self.stops_again += other.stops_again;
        self.found += other.found;
        self.absent += other.absent;
        self.refused += other.refused;
        self.missing += other.missing;
        self.leaks += other.leaks;
    }

    fn all(self) -> [u64; 10] {
        let Seen { launches, builds, crashes, adopted, stops_again, found, absent, refused, missing, leaks } = self;
        [launches, builds, crashes, adopted, stops_again, found, absent, refused, missing, leaks]
    }
}

type Verdict = Result<(), String>;

impl World {
    fn new(seed: u64, broken: Broken) -> World {
        let mut rng = fastrand::Rng::with_seed(seed);
        let policy = Policy {
            configured: true,
            build_wait: [Some(seconds(0)), Some(seconds(600)), None][rng.usize(0..3)],
            missing_timeout: seconds(rng.u64(60..1200)),
            check_interval: seconds(10),
            max_lifetime: if rng.u8(0..3) == 0 { Some(seconds(rng.u64(300..3000))) } else { None },
            warm: rng.u8(0..8) == 0,
            quarantine_initial: seconds(10),
            quarantine_max: seconds(3600),
            can_check: rng.bool(),
            can_list: true,
            stop_timeout: seconds(600),
            timing: Timing { leak_after: seconds(rng.u64(60..600)), ..Timing::default() },
        };
        let calm = Timestamp(rng.i64(600_000..6_000_000));
        let mut world = World {
            rng,
            now: Timestamp(0),
            calm,
            queue: BinaryHeap::new(),
            sequence: 0,
            policy,
            epoch: 0,
            life: Lifecycle::default(),
            row: None,
            quarantine: Quarantine::default(),
            cloud: BTreeMap::new(),
            launches: 0,
            requests: 0,
            answers: BTreeMap::new(),
            void: BTreeSet::new(),
            builds: BTreeSet::new(),
            next_build: 0,
            broken,
            seen: Seen::default(),
        };
        world.after(0, Happening::Tick);
        world.after(300, Happening::Reap);
        for _ in 0..world.rng.u32(1..12) {
            let happening = match world.rng.u8(0..10) {
                0..5 => Happening::Want,
                5 => Happening::Cancel,
                6..8 => Happening::Crash,
                8 => Happening::Reconfigure,
                _ => Happening::Cut,
            };
            let at = world.rng.u64(0..calm.0 as u64 / 1000);
            world.after(at, happening);
        }
        world
    }

    fn after(&mut self, delay: u64, happening: Happening) {
        self.sequence += 1;
        self.queue.push(Reverse((self.now.plus(seconds(delay)), self.sequence, happening)));
    }

    fn faulty(&mut self, one_in: u8) -> bool {
        self.now < self.calm && self.rng.u8(0..one_in) == 0
    }

    fn run(&mut self) -> Verdict {
        // Long enough for every deadline, the longest wait, and the stops that are tried again.
        let end = self.calm.plus(seconds(7_000));
        let mut settled = false;
        while let Some(Reverse((at, _, happening))) = self.queue.pop() {
            if at > end {
                break;
            }
            self.now = at;
            if at >= self.calm && !settled {
                settled = true;
                self.policy.warm = false;
                self.policy.build_wait.get_or_insert(seconds(600));
                let wanted: Vec<RequestId> = self.life.waiting.iter().chain(&self.life.promised).copied().collect();
                for request in wanted {
                    self.event(Event::Unwanted(request))?;
                }
            }
            self.happen(happening)?;
            self.check()?;
        }
        let alive: Vec<_> = self.cloud.iter().filter(|(_, i)| i.alive).map(|(id, _)| id).collect();
        if !alive.is_empty() {
            return Err(format!("the bill does not stop: {alive:?} run at the end; {:?}", self.life));
        }
        if let Some(row) = &self.row {
            return Err(format!("a row is left: {row:?}"));
        }
        match (1..=self.requests).map(RequestId).find(|r| !self.void.contains(r) && self.answers.get(r) != Some(&1)) {
            Some(request) => Err(format!("request {request} got {:?} answers", self.answers.get(&request))),
            None => Ok(()),
        }
    }

    fn check(&self) -> Verdict {
        let alive: Vec<_> = self.cloud.iter().filter(|(_, i)| i.alive).map(|(id, _)| id).collect();
        if alive.len() > 1 {
            return Err(format!("two instances run: {alive:?}"));
        }
        if let [id] = alive.as_slice()
            && self.row.as_ref().is_none_or(|row| row.id != **id)
        {
            return Err(format!("{id} runs and is not in the ledger"));
        }
        match self.answers.iter().find(|(_, n)| **n > 1) {
            Some((request, n)) => Err(format!("request {request} got {n} answers")),
            None => Ok(()),
        }
    }

    fn happen(&mut self, happening: Happening) -> Verdict {
        match happening {
            Happening::Tick => {
                self.after(20, Happening::Tick);
                self.event(Event::Tick)
            }
            Happening::Reap => {
                self.after(300, Happening::Reap);
                match self.life.launch.as_ref().map(|l| l.id.clone()) {
                    Some(id) => {
                        let there = self.sees(&id);
                        self.event(Event::Listed(id, there.then(|| json!("handle"))))
                    }
                    None => Ok(()),
                }
            }
            Happening::Want if self.now < self.calm => {
                self.requests += 1;
                self.event(Event::Wanted(RequestId(self.requests)))
            }
            Happening::Cancel => match self.life.waiting.first().copied() {
                Some(request) => self.event(Event::Unwanted(request)),
                None => Ok(()),
            },
            Happening::Crash if self.now < self.calm => {
                self.crash();
                Ok(())
            }
            Happening::Reconfigure if self.now < self.calm => {
                self.policy.configured = self.rng.u8(0..3) > 0;
                self.policy.missing_timeout = seconds(self.rng.u64(60..1200));
                self.event(Event::Reconfigured)?;
                match self.life.launch.as_ref().map(|l| l.id.clone()).filter(|_| self.rng.u8(0..4) == 0) {
                    Some(id) => self.event(Event::Outdated(id, "its password has changed".into())),
                    None => Ok(()),
                }
            }
            Happening::Create(id) => {
                let visible = self.now.plus(seconds(self.rng.u64(0..60)));
                if !self.cloud.contains_key(&id) {
                    self.cloud.insert(id.clone(), Instance { created: self.now, visible, alive: true });
                    if !self.faulty(6) {
                        let boots = self.rng.u64(5..200);
                        self.after(boots, Happening::Boot(id.clone()));
                    }
                    if self.faulty(6) {
                        let dies = self.rng.u64(1..2000);
                        self.after(dies, Happening::Die(id));
                    }
                }
                Ok(())
            }
            Happening::Boot(id) => {
                if self.cloud.get(&id).is_some_and(|i| i.alive)
                    && self.life.launch.as_ref().is_some_and(|l| l.adopted.is_some() && l.stop.is_none() && l.id == id)
                {
                    self.seen.adopted += 1;
                }
                if self.cloud.get(&id).is_some_and(|i| i.alive) && self.life.launch.as_ref().is_none_or(|l| !l.attached) {
                    self.event(Event::Attached)?;
                }
                Ok(())
            }
            Happening::Cut => self.cut(),
            Happening::Die(id) => {
                if let Some(instance) = self.cloud.get_mut(&id) {
                    instance.alive = false;
                }
                self.cut()
            }
            Happening::Answered(epoch, reply) if epoch == self.epoch => self.answered(reply),
            Happening::Build(epoch, request) if epoch == self.epoch && self.life.promised.contains(&request) => {
                self.next_build += 1;
                self.builds.insert(self.next_build);
                let lasts = self.rng.u64(1..900);
                self.after(lasts, Happening::BuildEnds(epoch, self.next_build));
                self.event(Event::BuildStarted(request, build_id(self.next_build)))
            }
            Happening::BuildEnds(epoch, build) if epoch == self.epoch && self.builds.remove(&build) => {
                self.seen.builds += 1;
                self.event(Event::BuildEnded { build: build_id(build), lost: false })
            }
            Happening::BuildLost(epoch, build) if epoch == self.epoch => {
                self.event(Event::BuildEnded { build: build_id(build), lost: true })
            }
            _ => Ok(()),
        }
    }

    fn answered(&mut self, reply: Reply) -> Verdict {
        let event = match reply {
            Reply::Started(id) => Event::Started(id, json!("handle")),
            Reply::StartFailed(id, kind) => Event::StartFailed(
                id,
                match kind {
                    0 => Failure::Configuration("no such image".into()),
                    1 => Failure::Capacity("none left".into()),
                    2 => Failure::Retry("later".into(), seconds(30)),
                    _ => Failure::Unknown("connection reset".into()),
                },
            ),
            Reply::Checked(id) => {
                let alive = self.cloud.get(&id).is_some_and(|i| i.alive);
                Event::Checked(id, if alive { Ok(()) } else { Err("terminated".into()) })
            }
            Reply::Stopped(id) => Event::Stopped(id),
            Reply::StopFailed(id) if self.broken == Broken::FailedStop => Event::Stopped(id),
            Reply::StopFailed(id) => Event::StopFailed(id, "throttled".into()),
            Reply::Listed(id, there) => {
                self.seen.found += u64::from(there);
                Event::Listed(id, there.then(|| json!("handle")))
            }
            Reply::LeakTold(id, told) => Event::LeakTold(id, told),
            Reply::NotListed(id) => Event::NotListed(id, "page 2 failed".into()),
        };
        self.event(event)
    }

    fn sees(&self, id: &LaunchId) -> bool {
        self.cloud.get(id).is_some_and(|i| i.alive && i.visible <= self.now && i.created <= self.now)
    }

    /// The connection breaks; the worker may come back.
    fn cut(&mut self) -> Verdict {
        let Some(launch) = self.life.launch.as_ref().filter(|l| l.attached) else { return Ok(()) };
        let id = launch.id.clone();
        self.lose_builds()?;
        self.event(Event::Detached)?;
        if !self.faulty(3) {
            let back = self.rng.u64(1..100);
            self.after(back, Happening::Boot(id));
        }
        Ok(())
    }

    fn lose_builds(&mut self) -> Verdict {
        for build in std::mem::take(&mut self.builds) {
            // What a build does at its end may take longer than the next machine needs to come.
            if self.faulty(3) {
                let late = self.rng.u64(1..300);
                self.after(late, Happening::BuildLost(self.epoch, build));
            } else {
                self.event(Event::BuildEnded { build: build_id(build), lost: true })?;
            }
        }
        Ok(())
    }

    /// kill -9, and a new master at once.
    fn crash(&mut self) {
        self.epoch += 1;
        self.seen.crashes += 1;
        let unanswered = (1..=self.requests).map(RequestId).filter(|r| !self.answers.contains_key(r));
        self.void.extend(unanswered);
        self.builds.clear();
        self.life = match self.row.clone() {
            Some(row) => Lifecycle::recovered(row, self.quarantine.clone(), self.now, &self.policy),
            None => Lifecycle { quarantine: self.quarantine.clone(), ..Lifecycle::default() },
        };
        if let Some(id) = self.row.as_ref().map(|r| r.id.clone()) {
            let back = self.rng.u64(1..100);
            self.after(back, Happening::Boot(id));
        }
    }

    fn event(&mut self, event: Event) -> Verdict {
        let (mut rng, policy) = (self.rng.fork(), self.policy.clone());
        let mut launches = self.launches;
        let mut new_id = || {
            launches += 1;
            LaunchId(format!("{launches}").into())
        };
        let (mut life, actions) = std::mem::take(&mut self.life).step(event, self.now, &policy, &mut new_id);
        self.launches = launches;
        if self.broken == Broken::OneListing
            && let Some(launch) = &mut life.launch
            && launch.absent_since.is_some()
        {
            launch.absent_since = Some(Timestamp(-1_000_000));
            launch.created_at = Timestamp(-1_000_000);
        }
        self.life = life;
        // What is known of the launch is committed before anything is done; a closed one by its own action.
        if let Some(launch) = &self.life.launch
            && self.broken != Broken::Record
            && self.row.as_ref().is_none_or(|r| r.id == launch.id)
        {
            self.row = Some(launch.row());
        }
        self.quarantine = self.life.quarantine.clone();
        for action in actions {
            if self.now < self.calm && rng.u16(0..200) == 0 {
                self.crash();
                return Ok(());
            }
            self.act(action)?;
        }
        Ok(())
    }

    fn reply(&mut self, within: u64, reply: Reply) {
        let delay = self.rng.u64(0..within);
        self.after(delay, Happening::Answered(self.epoch, reply));
    }

    fn act(&mut self, action: Action) -> Verdict {
        match action {
            Action::Start(id) => {
                self.seen.launches += 1;
                if self.broken != Broken::Record {
                    // A launch that follows the close of another in one step.
                    self.row = self.life.launch.as_ref().filter(|l| l.id == id).map(Launch::row).or(self.row.take());
                }
                let creates = self.rng.u64(0..30);
                let fault = if self.now < self.calm { self.rng.u8(0..12) } else { 11 };
                match fault {
                    kind @ 0..3 => self.reply(30, Reply::StartFailed(id, kind)),
                    3 => self.reply(30, Reply::StartFailed(id, 3)),
                    4 => {
                        self.after(creates, Happening::Create(id.clone()));
                        self.reply(60, Reply::StartFailed(id, 3));
                    }
                    5 => self.after(creates, Happening::Create(id)),
                    6 => {}
                    _ => {
                        self.after(creates, Happening::Create(id.clone()));
                        let delay = creates + self.rng.u64(0..100);
                        self.after(delay, Happening::Answered(self.epoch, Reply::Started(id)));
                    }
                }
            }
            Action::Check(id, _) => self.reply(20, Reply::Checked(id)),
            Action::Stop { launch, tries, .. } => {
                self.seen.stops_again += u64::from(tries > 1);
                if !self.builds.is_empty() {
                    let stop = self.life.launch.as_ref().and_then(|l| l.stop.as_ref()).map(|s| s.reason.clone()).unwrap_or_default();
                    let allowed = ["max_lifetime", "was not attached", "terminated", "did not answer", "connection reset"];
                    let allowed = allowed.iter().any(|a| stop.contains(a)) || ["no such image", "none left", "later"].contains(&&*stop);
                    if !allowed {
                        return Err(format!("stopped under a running build: {stop}"));
                    }
                }
                match if self.now < self.calm { self.rng.u8(0..8) } else { 7 } {
                    0 => self.reply(30, Reply::StopFailed(launch)),
                    1 => {
                        self.kill(&launch);
                        self.reply(30, Reply::StopFailed(launch));
                    }
                    2 => {}
                    _ => {
                        self.kill(&launch);
                        self.reply(60, Reply::Stopped(launch));
                    }
                }
            }
            Action::Look(id) => {
                if self.faulty(4) {
                    self.reply(30, Reply::NotListed(id));
                } else {
                    let there = self.sees(&id);
                    self.reply(30, Reply::Listed(id, there));
                }
            }
            Action::Close(id, reason) => {
                self.seen.absent += u64::from(reason.contains("was never started") || reason.contains("it is gone"));
                if self.row.as_ref().is_some_and(|r| r.id == id) {
                    self.row = None;
                }
            }
            Action::Answer(request, answer) => {
                *self.answers.entry(request).or_default() += 1;
                self.seen.refused += u64::from(answer.is_err());
                if answer.is_ok() {
                    self.after(1, Happening::Build(self.epoch, request));
                }
            }
            Action::Disconnect(_) => {
                if self.life.launch.as_ref().is_some_and(|l| l.attached) {
                    self.lose_builds()?;
                    self.event(Event::Detached)?;
                }
            }
            Action::Missing(_) => self.seen.missing += 1,
            Action::Leak(id) => {
                if self.row.as_ref().is_some_and(|row| row.leak_told_at.is_some()) {
                    return Err(format!("people know already of {id}"));
                }
                self.seen.leaks += 1;
                let told = !self.faulty(2);
                self.reply(10, Reply::LeakTold(id, told));
            }
            Action::Console(..) | Action::AbandonStart(_) | Action::AbandonStop(_) => {}
        }
        Ok(())
    }

    fn kill(&mut self, id: &LaunchId) {
        if let Some(instance) = self.cloud.get_mut(id) {
            instance.alive = false;
        }
    }
}

fn build_id(number: u64) -> BuildId {
    BuildId(number as i64)
}

fn schedule(seed: u64, broken: Broken) -> Result<Seen, String> {
    let mut world = World::new(seed, broken);
    world.run().map(|()| world.seen)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn nothing_leaks_and_nothing_starts_twice() {
    if let Some(seed) = number("SEED") {
        schedule(seed, Broken::Nothing).unwrap_or_else(|e| panic!("SEED={seed}: {e}"));
        return;
    }
    let schedules = number("SCHEDULES").unwrap_or(SCHEDULES);
    let first = fastrand::u64(0..u64::MAX / 2);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get()) as u64;
    let mut seen = Seen::default();
    std::thread::scope(|scope| {
        let all = (0..threads).map(|thread| {
            scope.spawn(move || {
                let mut seen = Seen::default();
                for seed in (first + thread..first + schedules).step_by(threads as usize) {
                    seen.add(schedule(seed, Broken::Nothing).unwrap_or_else(|e| panic!("SEED={seed}: {e}")));
                }
                seen
            })
        });
        for thread in all.collect::<Vec<_>>() {
            seen.add(thread.join().expect("a thread of schedules"));
        }
    });
    assert!(seen.all().iter().all(|n| *n > 0), "something never happened: {seen:?}");
    println!("{schedules} schedules: {seen:?}");
}

#[test]
fn a_broken_rule_is_found() {
    for broken in [Broken::Record, Broken::FailedStop, Broken::OneListing] {
        assert!((0..3000).any(|seed| schedule(seed, broken).is_err()), "{broken:?} was not found");
    }
}
