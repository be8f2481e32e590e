//! What people are told of outside of builds: plain data of which a mail is made.

use crate::base::Timestamp;
use crate::model::Absence;

#[derive(Clone, PartialEq, Debug)]
pub enum Notice {
    WorkerMissing(WorkerNotice),
    WorkerReturned(WorkerNotice),
    /// A machine that could not be stopped for an hour.
    Leak(LeakNotice),
    ReloadFailed(ReloadNotice),
}

#[derive(Clone, PartialEq, Debug)]
pub struct WorkerNotice {
    pub absence: Absence,
    pub now: Timestamp,
    /// What it said of itself: `info/admin` and `info/host`.
    pub admin: Option<String>,
    pub host: Option<String>,
    pub version: Option<String>,
    /// What it ran when it was lost.
    pub building: Vec<RunningBuild>,
    /// Of a machine that is started on demand: what is known of the launch.
    pub why: Option<String>,
    /// Who is told.
    pub notify: Vec<String>,
    /// Of its page.
    pub url: String,
}

#[derive(Clone, PartialEq, Debug)]
pub struct RunningBuild {
    pub builder: String,
    pub number: i64,
    pub url: String,
}

#[derive(Clone, PartialEq, Debug)]
pub struct LeakNotice {
    pub worker: String,
    pub backend: String,
    pub launch: String,
    /// As the backend knows it, as JSON.
    pub handle: Option<String>,
    pub started_at: Timestamp,
    pub stop_wanted_at: Timestamp,
    /// Why it was to be stopped, and why it could not be.
    pub reason: String,
    pub failure: String,
    pub now: Timestamp,
}

#[derive(Clone, PartialEq, Debug)]
pub struct ReloadNotice {
    pub at: Timestamp,
    /// One line each.
    pub mistakes: Vec<String>,
}
