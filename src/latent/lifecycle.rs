//! The life of one latent worker's machine, as data: state, events, actions, options. The rules are in [`rules`](super::rules).
//!
//! No clock, no I/O, no Lua. Whoever drives it commits what [`Lifecycle`] says of the launch before it carries out an action; so a crash
//! between any two steps leaves a record of all that may be running.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value as Json;

use crate::base::{BuildId, RequestId, Timestamp};
use crate::model::{LaunchId, Quarantine};

/// What a backend may ask for before the next try.
const LONGEST_REST: Duration = Duration::from_secs(86_400);

/// The worker's options, as the configuration has them now; a live launch follows them as they change.
#[derive(Clone, PartialEq, Debug)]
pub struct Policy {
    /// The configuration has this worker, with this backend.
    pub configured: bool,
    /// How long an instance is kept after its last build; none: it is never stopped for that.
    pub build_wait: Option<Duration>,
    /// From the start, and from each loss of the connection, until the worker must be attached.
    pub missing_timeout: Duration,
    pub check_interval: Duration,
    /// From the start until it takes no more builds.
    pub max_lifetime: Option<Duration>,
    /// One of those that are kept running without a build.
    pub warm: bool,
    pub quarantine_initial: Duration,
    pub quarantine_max: Duration,
    /// The backend can tell whether an instance is alive.
    pub can_check: bool,
    /// The backend can tell which instances there are.
    pub can_list: bool,
    /// The longest that `stop_instance` may take.
    pub stop_timeout: Duration,
    pub timing: Timing,
}

/// The engine's own times, the same for every worker. A test of the whole has no hours and makes them short.
#[derive(Clone, PartialEq, Debug)]
pub struct Timing {
    /// Between two looks at what is due.
    pub tick: Duration,
    /// How long a backend that has no room is left alone.
    pub capacity_rest: Duration,
    /// A provider may not show an instance for so long after its start.
    pub settling: Duration,
    /// Between two listings that must both lack an instance before it counts as gone.
    pub absence: Duration,
    pub look_every: Duration,
    /// Beyond `max_lifetime` a running build may go on for so long.
    pub drain: Duration,
    /// After the first stop that failed; each one more doubles it.
    pub stop_backoff: Duration,
    pub longest_stop_backoff: Duration,
    /// A stop that fails for so long is a leak that people are told of.
    pub leak_after: Duration,
    /// Between two looks at the console of a machine whose worker has not attached.
    pub console_every: Duration,
    /// After a restart, until all who wait for a worker have asked for it.
    pub asking: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            tick: Duration::from_secs(2),
            capacity_rest: Duration::from_secs(60),
            settling: Duration::from_secs(120),
            absence: Duration::from_secs(60),
            look_every: Duration::from_secs(30),
            drain: Duration::from_secs(600),
            stop_backoff: Duration::from_secs(10),
            longest_stop_backoff: Duration::from_secs(300),
            leak_after: Duration::from_secs(3600),
            console_every: Duration::from_secs(120),
            asking: Duration::from_secs(10),
        }
    }
}

/// What is to be known of one worker and its machine.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Lifecycle {
    pub launch: Option<Launch>,
    /// Requests that wait for it; each gets one answer.
    pub waiting: BTreeSet<RequestId>,
    /// Requests that were answered with yes and whose build has not begun.
    pub promised: BTreeSet<RequestId>,
    pub quarantine: Quarantine,
    pub shutdown: Option<Shutdown>,
}

/// A row of the ledger, and what is known besides while the master lives.
#[derive(Clone, PartialEq, Debug)]
pub struct Launch {
    pub id: LaunchId,
    pub created_at: Timestamp,
    pub outcome: Outcome,
    pub attached_at: Option<Timestamp>,
    /// The worker is attached now.
    pub attached: bool,
    /// When it must be attached.
    pub attach_by: Timestamp,
    /// Builds that run there.
    pub building: BTreeSet<BuildId>,
    pub idle_since: Timestamp,
    /// When it was found in the ledger, at the start: its worker may come back though nobody waits for it. None: somebody has asked
    /// for it since, or this master started it.
    pub adopted: Option<Timestamp>,
    /// The first of the complete listings without it.
    pub absent_since: Option<Timestamp>,
    pub check_at: Timestamp,
    /// `check_instance` has not answered yet.
    pub checking: bool,
    /// The last lines of its console, while its worker is not attached.
    pub console: Vec<String>,
    pub console_at: Timestamp,
    /// Why it is ended as soon as it is free, though the worker stays.
    pub outdated: Option<String>,
    pub stop: Option<Stop>,
}

/// What is known of the instance itself.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// `start_instance` has not answered.
    Starting,
    /// Whether there is one is not known: the start failed without saying so, or the master died meanwhile. It is looked for.
    Unknown {
        /// It is being looked for now.
        looking: bool,
        look_at: Timestamp,
        looks: u32,
    },
    Running {
        handle: Json,
    },
}

/// The instance is to end.
#[derive(Clone, PartialEq, Debug)]
pub struct Stop {
    pub reason: String,
    pub wanted_at: Timestamp,
    /// `stop_instance` is at it since then.
    pub calling_since: Option<Timestamp>,
    pub tries: u32,
    pub try_at: Timestamp,
    pub fast: bool,
    /// Why the last try failed.
    pub error: Option<String>,
    pub told: Told,
}

/// Do people know of a machine that can't be stopped?
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Told {
    #[default]
    No,
    /// They are being told; if that fails, it is tried again.
    Telling,
    Since(Timestamp),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shutdown {
    /// Builds end first.
    Orderly,
    Fast,
}

/// As it is shown to people.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Idle,
    Starting,
    Waiting,
    Ready,
    Stopping,
    Quarantined,
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            State::Idle => "idle",
            State::Starting => "starting",
            State::Waiting => "waiting",
            State::Ready => "ready",
            State::Stopping => "stopping",
            State::Quarantined => "quarantined",
        })
    }
}

/// Why a start failed, as the backend tells it.
#[derive(Clone, PartialEq, Debug)]
pub enum Failure {
    /// No retry helps before the configuration changes.
    Configuration(String),
    /// There is no room now. It is nobody's fault.
    Capacity(String),
    /// Nothing was started; try again after that.
    Retry(String, Duration),
    /// Nobody knows whether it was started.
    Unknown(String),
}

/// Answers of the backend name the launch that they are about; late ones change nothing.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// A request wants this worker.
    Wanted(RequestId),
    /// The request was cancelled, or runs elsewhere.
    Unwanted(RequestId),
    /// The row could not be committed, or a limit is reached: nothing was started.
    NotRecorded(LaunchId, String),
    Started(LaunchId, Json),
    StartFailed(LaunchId, Failure),
    Attached,
    Detached,
    /// Of the request that was answered with yes.
    BuildStarted(RequestId, BuildId),
    /// It ended; `lost`: because the worker was.
    BuildEnded {
        build: BuildId,
        lost: bool,
    },
    /// `check_instance` said that it lives, or that it does not and why. A check that failed itself says nothing and counts as the former.
    Checked(LaunchId, Result<(), String>),
    Stopped(LaunchId),
    StopFailed(LaunchId, String),
    /// A complete listing of the backend: the handle of this launch's instance, if it is there.
    Listed(LaunchId, Option<Json>),
    /// The listing failed.
    NotListed(LaunchId, String),
    /// The last lines of its console.
    Console(LaunchId, Vec<String>),
    /// What was started can't serve the worker as it is configured now, and why.
    Outdated(LaunchId, String),
    /// Whether those who are to know of a leak will be told.
    LeakTold(LaunchId, bool),
    /// The configuration was loaded again.
    Reconfigured,
    Shutdown(Shutdown),
    /// Time has passed.
    Tick,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// Call `start_instance`: the first time, or again with the same launch id to learn its handle.
    Start(LaunchId),
    /// Give up waiting for `start_instance`.
    AbandonStart(LaunchId),
    Check(LaunchId, Json),
    /// `tries` counts from 1.
    Stop {
        launch: LaunchId,
        handle: Json,
        fast: bool,
        tries: u32,
    },
    AbandonStop(LaunchId),
    /// List the backend's instances and tell of this one.
    Look(LaunchId),
    /// The row is closed: the instance is known to be gone, or never was.
    Close(LaunchId, String),
    /// The one answer to a request.
    Answer(RequestId, Result<(), String>),
    /// The worker is not welcome, or its machine is to end.
    Disconnect(String),
    /// Mail `notify_on_missing`.
    Missing(String),
    /// Read its console.
    Console(LaunchId, Json),
    /// Mail `notify_on_leak`.
    Leak(LaunchId),
}

/// What the ledger has of a launch that is not known to be gone.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    pub id: LaunchId,
    pub created_at: Timestamp,
    pub handle: Option<Json>,
    pub attached_at: Option<Timestamp>,
    /// Why and since when its end is wanted.
    pub stop: Option<(String, Timestamp)>,
    /// Since when people know that it can't be stopped.
    pub leak_told_at: Option<Timestamp>,
}

impl Launch {
    pub fn row(&self) -> Row {
        Row {
            id: self.id.clone(),
            created_at: self.created_at,
            handle: match &self.outcome {
                Outcome::Running { handle } => Some(handle.clone()),
                Outcome::Starting | Outcome::Unknown { .. } => None,
            },
            attached_at: self.attached_at,
            stop: self.stop.as_ref().map(|s| (s.reason.clone(), s.wanted_at)),
            leak_told_at: self.stop.as_ref().and_then(|s| match s.told {
                Told::Since(at) => Some(at),
                Told::No | Told::Telling => None,
            }),
        }
    }
}

impl Lifecycle {
    /// Of a worker without a machine; the quarantine as an earlier master left it.
    pub fn idle(mut quarantine: Quarantine, now: Timestamp, policy: &Policy) -> Lifecycle {
        // Its clock may have been ahead.
        quarantine.until = quarantine.until.map(|until| until.min(now.plus(policy.quarantine_max.max(LONGEST_REST))));
        Lifecycle { quarantine, ..Lifecycle::default() }
    }

    pub fn state(&self, now: Timestamp) -> State {
        match &self.launch {
            None if holds(&self.quarantine, now) => State::Quarantined,
            None => State::Idle,
            Some(launch) if launch.stop.is_some() => State::Stopping,
            Some(launch) if launch.attached => State::Ready,
            Some(launch) => match launch.outcome {
                Outcome::Running { .. } => State::Waiting,
                Outcome::Starting | Outcome::Unknown { .. } => State::Starting,
            },
        }
    }

    /// May a request ask for it? The error says why not.
    pub fn open(&self, now: Timestamp, policy: &Policy) -> Result<(), String> {
        if self.shutdown.is_some() {
            return Err("the master stops".into());
        }
        if !policy.configured {
            return Err("the worker is not in the configuration any more".into());
        }
        let starts = self.launch.as_ref().is_none_or(|l| l.stop.is_some());
        match &self.quarantine.reason {
            Some(reason) if starts && holds(&self.quarantine, now) => Err(reason.clone()),
            _ => Ok(()),
        }
    }

    /// May it take a build now?
    pub fn available(&self, now: Timestamp, policy: &Policy) -> bool {
        self.shutdown.is_none()
            && policy.configured
            && self.launch.as_ref().is_some_and(|l| l.attached && l.stop.is_none() && l.outdated.is_none() && !l.outlived(now, policy))
    }
}

impl Launch {
    /// It has reached its `max_lifetime`.
    pub fn outlived(&self, now: Timestamp, policy: &Policy) -> bool {
        policy.max_lifetime.is_some_and(|max| now.since(self.created_at) >= max)
    }
}

/// It starts nothing before that.
pub fn holds(quarantine: &Quarantine, now: Timestamp) -> bool {
    quarantine.reason.is_some() && quarantine.until.is_none_or(|until| now < until)
}
