//! The rules of a latent worker's life: what an event changes, and what is to be done then.
//!
//! First the event is taken down, then [`Lifecycle::settle`] looks at the whole and finds what is due; so the rules hold whatever the
//! order of events, and a tick repairs what an event forgot. Shown by `simulation`.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value as Json;

use super::console;
use super::lifecycle::{Action, Event, Failure, Launch, Lifecycle, Outcome, Policy, Row, Shutdown, Stop, Told, holds};
use crate::base::Timestamp;
use crate::base::duration::human;
use crate::model::{LaunchId, Quarantine};

/// The last look at a console comes so many milliseconds before its worker is missing, so that the reason can tell of it.
const LAST_LOOK: i64 = 10_000;

/// So often a backend that can't list its instances is asked to start one again, to learn whether it has; then it is given up.
const MOST_STARTS: u32 = 10;

const UNKNOWN: &str = "whether it was started is not known, and the backend can't list its instances: it may be left running";

type Actions = Vec<Action>;

impl Lifecycle {
    /// What comes of an event. `new_id` is asked when something is started.
    pub fn step(mut self, event: Event, now: Timestamp, policy: &Policy, new_id: &mut dyn FnMut() -> LaunchId) -> (Lifecycle, Actions) {
        let mut actions = Vec::new();
        self.take(event, now, policy, &mut actions);
        self.settle(now, policy, new_id, &mut actions);
        (self, actions)
    }

    /// A launch that an earlier master left behind.
    pub fn recovered(row: Row, quarantine: Quarantine, now: Timestamp, policy: &Policy) -> Lifecycle {
        let launch = Launch {
            id: row.id,
            // The clock may have been set back.
            created_at: row.created_at.min(now),
            outcome: match row.handle {
                Some(handle) => Outcome::Running { handle },
                None => Outcome::Unknown { looking: false, look_at: now, looks: 0 },
            },
            attached_at: row.attached_at,
            attached: false,
            attach_by: now.plus(policy.missing_timeout),
            building: BTreeSet::new(),
            idle_since: now,
            adopted: Some(now),
            absent_since: None,
            check_at: now,
            checking: false,
            console: Vec::new(),
            console_at: now.plus(policy.timing.console_every),
            outdated: None,
            stop: row.stop.map(|(reason, wanted_at)| Stop {
                told: row.leak_told_at.map_or(Told::No, Told::Since),
                ..Stop::new(reason, wanted_at.min(now), false)
            }),
        };
        Lifecycle { launch: Some(launch), ..Lifecycle::idle(quarantine, now, policy) }
    }

    fn take(&mut self, event: Event, now: Timestamp, policy: &Policy, actions: &mut Actions) {
        match event {
            Event::Wanted(request) => {
                if let Some(launch) = &mut self.launch {
                    launch.adopted = None;
                }
                if self.available(now, policy) {
                    self.promised.insert(request);
                    actions.push(Action::Answer(request, Ok(())));
                } else {
                    self.waiting.insert(request);
                }
            }
            Event::Unwanted(request) => {
                if self.waiting.remove(&request) {
                    actions.push(Action::Answer(request, Err("cancelled".into())));
                }
                if self.promised.remove(&request) {
                    self.rests(now);
                }
            }
            Event::BuildStarted(request, build) => {
                self.promised.remove(&request);
                // That is its answer.
                self.waiting.remove(&request);
                if let Some(launch) = &mut self.launch {
                    launch.building.insert(build);
                }
            }
            Event::BuildEnded { build, lost } => {
                // One that ran on an earlier machine may end late.
                if self.launch.as_mut().is_some_and(|launch| launch.building.remove(&build)) {
                    self.rests(now);
                }
                if !lost {
                    self.quarantine = Quarantine::default();
                }
            }
            Event::Attached => self.attached(now, actions),
            Event::Detached => {
                if let Some(launch) = &mut self.launch {
                    launch.attached = false;
                    launch.attach_by = now.plus(policy.missing_timeout);
                    launch.check_at = now;
                    launch.console_at = now.plus(policy.timing.console_every);
                }
                // Their builds can't begin there any more; whoever sends them asks again.
                self.promised.clear();
            }
            Event::Reconfigured => {
                if self.quarantine.until.is_none() {
                    self.quarantine = Quarantine::default();
                }
            }
            Event::Shutdown(how) => {
                if self.shutdown != Some(Shutdown::Fast) {
                    self.shutdown = Some(how);
                }
            }
            Event::Tick => {}
            Event::NotRecorded(id, why) => {
                if self.launch_of(&id).is_some_and(|l| l.outcome == Outcome::Starting) {
                    self.launch = None;
                    self.rest(now, policy.quarantine_initial, why, actions);
                }
            }
            Event::Started(id, handle) => {
                if let Some(launch) = self.launch_of(&id)
                    && !matches!(launch.outcome, Outcome::Running { .. })
                {
                    launch.outcome = Outcome::Running { handle };
                    launch.check_at = now.plus(policy.check_interval);
                    launch.console_at = now.plus(policy.timing.console_every);
                }
            }
            Event::StartFailed(id, failure) => self.start_failed(&id, failure, now, policy, actions),
            Event::Checked(id, answer) => {
                let Some(launch) = self.launch_of(&id) else { return };
                launch.checking = false;
                launch.check_at = now.plus(policy.check_interval);
                if let Err(why) = answer
                    && !launch.attached
                    && launch.stop.is_none()
                {
                    self.fail(why, now, policy, actions);
                }
            }
            Event::Stopped(id) => {
                if let Some(launch) = self.launch_of(&id)
                    && let Some(stop) = &launch.stop
                {
                    let reason = stop.reason.clone();
                    self.close(reason, actions);
                }
            }
            Event::StopFailed(id, why) => {
                if let Some(stop) = self.launch_of(&id).and_then(|l| l.stop.as_mut()) {
                    stop.failed(why, now, policy);
                }
            }
            Event::Console(id, lines) => {
                if let Some(launch) = self.launch_of(&id).filter(|l| !l.attached) {
                    launch.console = lines;
                }
            }
            Event::Outdated(id, why) => {
                if let Some(launch) = self.launch_of(&id) {
                    launch.outdated.get_or_insert(why);
                }
            }
            Event::LeakTold(id, told) => {
                if let Some(stop) = self.launch_of(&id).and_then(|l| l.stop.as_mut()) {
                    stop.told = if told { Told::Since(now) } else { Told::No };
                }
            }
            Event::Listed(id, found) => self.listed(&id, found, now, policy, actions),
            Event::NotListed(id, why) => {
                if let Some(Launch { outcome: Outcome::Unknown { looking, look_at, .. }, stop, .. }) = self.launch_of(&id) {
                    *looking = false;
                    *look_at = now.plus(policy.timing.look_every);
                    if let Some(stop) = stop {
                        stop.error = Some(format!("whether it runs is not known: {why}"));
                    }
                }
            }
        }
    }

    fn launch_of(&mut self, id: &LaunchId) -> Option<&mut Launch> {
        self.launch.as_mut().filter(|l| l.id == *id)
    }

    /// Nothing runs there now: the time of waiting for the next build begins.
    fn rests(&mut self, now: Timestamp) {
        if let Some(launch) = self.launch.as_mut().filter(|l| l.building.is_empty()) {
            launch.idle_since = now;
        }
    }

    fn attached(&mut self, now: Timestamp, actions: &mut Actions) {
        match &mut self.launch {
            None => actions.push(Action::Disconnect("no build asked for its machine".into())),
            Some(launch) if launch.stop.is_some() => actions.push(Action::Disconnect("its machine is being stopped".into())),
            Some(launch) => {
                launch.attached = true;
                launch.absent_since = None;
                launch.console.clear();
                launch.attached_at.get_or_insert(now);
                launch.idle_since = now;
            }
        }
    }

    fn start_failed(&mut self, id: &LaunchId, failure: Failure, now: Timestamp, policy: &Policy, actions: &mut Actions) {
        let Some(launch) = self.launch_of(id) else { return };
        match launch.outcome {
            Outcome::Starting => {}
            Outcome::Unknown { looking: true, .. } if !policy.can_list => {
                let lasting = matches!(failure, Failure::Configuration(_));
                return self.not_told(lasting, now, policy, actions);
            }
            // Or it is the answer of a call that was given up.
            Outcome::Running { .. } | Outcome::Unknown { .. } => return,
        }
        // A worker that is attached shows that something was started, whatever the backend says.
        let alive = launch.attached;
        let (text, rest) = match failure {
            Failure::Unknown(text) => {
                launch.outcome = Outcome::Unknown { looking: false, look_at: now, looks: 0 };
                return self.fail(text, now, policy, actions);
            }
            Failure::Configuration(text) => (text, None),
            Failure::Capacity(text) => (text, Some(policy.timing.capacity_rest)),
            Failure::Retry(text, after) => (text, Some(after)),
        };
        if alive {
            launch.outcome = Outcome::Unknown { looking: false, look_at: now, looks: 0 };
            return self.fail(text, now, policy, actions);
        }
        self.close(text.clone(), actions);
        match rest {
            Some(rest) => self.rest(now, rest, text, actions),
            None => {
                self.quarantine.failures += 1;
                self.quarantine.until = None;
                self.quarantine.reason = Some(text.clone());
                self.refuse(&text, actions);
            }
        }
    }

    /// A second start, that was to tell of an instance which can't be listed, has not: it says nothing of what the first one did.
    fn not_told(&mut self, lasting: bool, now: Timestamp, policy: &Policy, actions: &mut Actions) {
        let Some(Launch { outcome: Outcome::Unknown { looking, look_at, looks }, .. }) = &mut self.launch else { return };
        if lasting || *looks >= MOST_STARTS {
            return self.close(UNKNOWN.into(), actions);
        }
        *looking = false;
        *look_at = now.plus(policy.timing.look_every);
    }

    fn listed(&mut self, id: &LaunchId, found: Option<Json>, now: Timestamp, policy: &Policy, actions: &mut Actions) {
        let Some(launch) = self.launch_of(id) else { return };
        if let Some(handle) = found {
            launch.absent_since = None;
            if let Outcome::Unknown { .. } = launch.outcome {
                launch.outcome = Outcome::Running { handle };
            }
            return;
        }
        let (mut enough, mut absence) = (true, policy.timing.absence);
        match &mut launch.outcome {
            // It may not have been created yet.
            Outcome::Starting => return,
            Outcome::Unknown { looking, look_at, looks } => {
                *looking = false;
                *looks += 1;
                *look_at = now.plus(policy.timing.look_every);
                enough = *looks >= 2;
                // The start may have taken long, and its instance may be young.
                absence = absence.max(policy.timing.settling);
            }
            Outcome::Running { .. } => {}
        }
        if launch.attached {
            return;
        }
        let absent_since = *launch.absent_since.get_or_insert(now);
        if enough && now.since(absent_since) >= absence && now.since(launch.created_at) >= policy.timing.settling {
            let stopping = launch.stop.as_ref().map(|s| s.reason.clone());
            let lived = matches!(launch.outcome, Outcome::Running { .. });
            match stopping {
                Some(reason) => self.close(reason, actions),
                None => {
                    let text = if lived { "it is gone, though nobody here stopped it" } else { "it was never started" };
                    self.close(text.into(), actions);
                    self.punish(text.into(), now, policy, actions);
                }
            }
        }
    }

    /// Everything that is due now.
    fn settle(&mut self, now: Timestamp, policy: &Policy, new_id: &mut dyn FnMut() -> LaunchId, actions: &mut Actions) {
        if self.shutdown.is_some() {
            self.refuse("the master stops", actions);
        } else if !policy.configured {
            self.refuse("the worker is not in the configuration any more", actions);
        }
        self.begin(now, policy, new_id, actions);
        self.give_up_start(now, policy, actions);
        self.end(now, policy, actions);
        if self.available(now, policy) {
            while let Some(request) = self.waiting.pop_first() {
                self.promised.insert(request);
                actions.push(Action::Answer(request, Ok(())));
            }
        }
        self.proceed(now, policy, actions);
    }

    fn begin(&mut self, now: Timestamp, policy: &Policy, new_id: &mut dyn FnMut() -> LaunchId, actions: &mut Actions) {
        let possible = self.launch.is_none() && self.shutdown.is_none() && policy.configured;
        if !possible || (self.waiting.is_empty() && !policy.warm) {
            return;
        }
        if holds(&self.quarantine, now) {
            let reason = self.quarantine.reason.clone().unwrap_or_default();
            return self.refuse(&reason, actions);
        }
        let id = new_id();
        actions.push(Action::Start(id.clone()));
        self.launch = Some(Launch {
            id,
            created_at: now,
            outcome: Outcome::Starting,
            attached_at: None,
            attached: false,
            attach_by: now.plus(policy.missing_timeout),
            building: BTreeSet::new(),
            idle_since: now,
            adopted: None,
            absent_since: None,
            check_at: now,
            checking: false,
            console: Vec::new(),
            console_at: now.plus(policy.timing.console_every),
            outdated: None,
            stop: None,
        });
    }

    fn give_up_start(&mut self, now: Timestamp, policy: &Policy, actions: &mut Actions) {
        let Some(launch) = &mut self.launch else { return };
        if launch.outcome == Outcome::Starting && now.since(launch.created_at) >= policy.missing_timeout {
            actions.push(Action::AbandonStart(launch.id.clone()));
            launch.outcome = Outcome::Unknown { looking: false, look_at: now, looks: 0 };
            self.fail(format!("start_instance did not answer within {}", human(policy.missing_timeout)), now, policy, actions);
        }
    }

    /// Is its end due, and why?
    fn end(&mut self, now: Timestamp, policy: &Policy, actions: &mut Actions) {
        let Some(launch) = self.launch.as_ref().filter(|l| l.stop.is_none()) else { return };
        let free = launch.building.is_empty() && self.promised.is_empty();
        let wanted = !self.waiting.is_empty() || policy.warm;
        let outlived = launch.outlived(now, policy);
        let reason = match self.shutdown {
            Some(Shutdown::Fast) => Some("the master stops at once".to_owned()),
            Some(Shutdown::Orderly) if free => Some("the master stops".to_owned()),
            _ if !policy.configured && free => Some("the worker is not in the configuration any more".to_owned()),
            _ if outlived && (free || policy.max_lifetime.is_some_and(|max| now.since(launch.created_at) >= max + policy.timing.drain)) => {
                Some("it has reached its max_lifetime".to_owned())
            }
            _ if launch.outdated.is_some() && free => launch.outdated.clone(),
            _ if !launch.attached && now >= launch.attach_by => {
                let console = console::quoted(&launch.console);
                let text = format!("its worker was not attached within {}{console}", human(policy.missing_timeout));
                actions.push(Action::Missing(text.clone()));
                return self.fail(text, now, policy, actions);
            }
            _ if !free || wanted => None,
            _ if launch.attached_at.is_none() && launch.adopted.is_none() => Some("nobody waits for it any more".to_owned()),
            _ => {
                let waits = launch.attached_at.is_some() || launch.attached;
                let asked = launch.adopted.is_none_or(|at| now.since(at) >= policy.timing.asking);
                let idle = policy.build_wait.filter(|wait| waits && asked && now.since(launch.idle_since) >= *wait);
                idle.map(|wait| format!("it was idle for {}", human(wait)))
            }
        };
        if let Some(reason) = reason {
            self.want_stop(reason, now, actions);
        }
    }

    /// The next call to the backend.
    fn proceed(&mut self, now: Timestamp, policy: &Policy, actions: &mut Actions) {
        let Some(launch) = &mut self.launch else { return };
        if let Some(stop) = &mut launch.stop
            && stop.told == Told::No
            && now.since(stop.wanted_at) >= policy.timing.leak_after
            // After a restart nothing is called a leak before it was tried.
            && (stop.error.is_some() || matches!(launch.outcome, Outcome::Unknown { looks: 1.., .. }))
        {
            stop.told = Told::Telling;
            actions.push(Action::Leak(launch.id.clone()));
        }
        match &mut launch.outcome {
            Outcome::Starting => {}
            Outcome::Unknown { looking, look_at, looks } => {
                if *looking && now.since(*look_at) >= policy.missing_timeout {
                    *looking = false;
                    if !policy.can_list {
                        actions.push(Action::AbandonStart(launch.id.clone()));
                        return self.not_told(false, now, policy, actions);
                    }
                }
                if *looking || now < *look_at {
                    return;
                }
                *looking = true;
                *look_at = now;
                // Without eyes there is one way to learn the handle: to ask again for the same launch, which starts nothing twice.
                if policy.can_list {
                    actions.push(Action::Look(launch.id.clone()));
                } else {
                    *looks += 1;
                    actions.push(Action::Start(launch.id.clone()));
                }
            }
            Outcome::Running { handle } => match &mut launch.stop {
                Some(stop) => {
                    if stop.calling_since.is_some_and(|since| now.since(since) >= policy.stop_timeout) {
                        actions.push(Action::AbandonStop(launch.id.clone()));
                        stop.failed(format!("no answer within {}", human(policy.stop_timeout)), now, policy);
                    }
                    if stop.calling_since.is_none() && now >= stop.try_at {
                        stop.tries += 1;
                        stop.calling_since = Some(now);
                        let (launch, handle) = (launch.id.clone(), handle.clone());
                        actions.push(Action::Stop { launch, handle, fast: stop.fast, tries: stop.tries });
                    }
                }
                None => {
                    if !launch.attached && policy.can_check && !launch.checking && now >= launch.check_at {
                        launch.checking = true;
                        actions.push(Action::Check(launch.id.clone(), handle.clone()));
                    }
                    if !launch.attached && now >= launch.console_at {
                        let (usual, last) =
                            (now.plus(policy.timing.console_every), Timestamp(launch.attach_by.0.saturating_sub(LAST_LOOK)));
                        launch.console_at = if now < last { usual.min(last) } else { usual };
                        actions.push(Action::Console(launch.id.clone(), handle.clone()));
                    }
                }
            },
        }
    }

    /// The launch has failed: its end is wanted, who waits is told, and the next one waits longer.
    fn fail(&mut self, why: String, now: Timestamp, policy: &Policy, actions: &mut Actions) {
        self.want_stop(why.clone(), now, actions);
        self.punish(why, now, policy, actions);
    }

    fn punish(&mut self, why: String, now: Timestamp, policy: &Policy, actions: &mut Actions) {
        let doubled = policy.quarantine_initial.saturating_mul(1 << self.quarantine.failures.min(20));
        self.quarantine.failures = self.quarantine.failures.saturating_add(1);
        self.rest(now, doubled.min(policy.quarantine_max), why, actions);
    }

    fn rest(&mut self, now: Timestamp, rest: Duration, why: String, actions: &mut Actions) {
        self.refuse(&why, actions);
        self.quarantine.until = Some(now.plus(rest));
        self.quarantine.reason = Some(why);
    }

    fn want_stop(&mut self, reason: String, now: Timestamp, actions: &mut Actions) {
        let fast = self.shutdown.is_some();
        let Some(launch) = self.launch.as_mut().filter(|l| l.stop.is_none()) else { return };
        launch.stop = Some(Stop::new(reason.clone(), now, fast));
        if launch.attached {
            actions.push(Action::Disconnect(format!("its machine is being stopped: {reason}")));
        }
        self.promised.clear();
    }

    fn close(&mut self, reason: String, actions: &mut Actions) {
        if let Some(launch) = self.launch.take() {
            if launch.attached && launch.stop.is_none() {
                actions.push(Action::Disconnect(reason.clone()));
            }
            actions.push(Action::Close(launch.id, reason));
        }
        self.promised.clear();
    }

    /// Tell everybody who waits that it will not be.
    fn refuse(&mut self, why: &str, actions: &mut Actions) {
        while let Some(request) = self.waiting.pop_first() {
            actions.push(Action::Answer(request, Err(why.to_owned())));
        }
    }
}

impl Stop {
    fn new(reason: String, wanted_at: Timestamp, fast: bool) -> Stop {
        Stop { reason, wanted_at, calling_since: None, tries: 0, try_at: wanted_at, fast, error: None, told: Told::No }
    }

    /// Tried again later, for ever.
    fn failed(&mut self, why: String, now: Timestamp, policy: &Policy) {
        self.calling_since = None;
        self.error = Some(why);
        let backoff = policy.timing.stop_backoff.saturating_mul(1 << self.tries.saturating_sub(1).min(10));
        self.try_at = now.plus(backoff.min(policy.timing.longest_stop_backoff));
    }
}

#[cfg(test)]
mod tests;
