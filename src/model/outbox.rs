//! A message that somebody is to get, as the outbox keeps it until it has arrived. What the payload says is its sender's business.

use crate::base::Timestamp;

/// A message to be queued.
#[derive(Clone, PartialEq, Debug)]
pub struct NewOutboxItem {
    /// The name of the reporter that sends it.
    pub reporter: String,
    /// What it tells, unique per reporter: the same is queued once, however often it is put.
    pub key: String,
    /// Messages of a reporter with the same lane are sent one after the other in the order in which they were put: the builder's name.
    pub lane: String,
    /// As the sender of that reporter reads it.
    pub payload: String,
}

/// A message of the outbox without its payload, of which there may be thousands.
#[derive(Clone, PartialEq, Debug)]
pub struct OutboxItem {
    /// Counts up in the order of putting.
    pub id: i64,
    pub reporter: String,
    pub key: String,
    pub lane: String,
    pub state: OutboxState,
    /// Tries that have ended.
    pub attempts: u32,
    pub next_try: Timestamp,
    /// Since when its target or it alone can't be sent.
    pub failing_since: Option<Timestamp>,
    /// Its lane no longer waits for it.
    pub yields: bool,
    pub created_at: Timestamp,
    /// When it was sent or given up.
    pub settled_at: Option<Timestamp>,
    /// Of the last try; of one that was sent: what is to be known about it nevertheless.
    pub last_error: Option<String>,
}

/// When a message is tried again, and what is known of the try that failed.
#[derive(Clone, PartialEq, Debug)]
pub struct OutboxDelay {
    pub next_try: Timestamp,
    /// Replaces what its sender has noted, if it is given.
    pub progress: Option<String>,
    pub error: String,
    pub yields: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OutboxState {
    Waiting,
    Sent,
    GivenUp,
}

impl OutboxState {
    /// As the API shows it.
    pub fn name(self) -> &'static str {
        match self {
            OutboxState::Waiting => "waiting",
            OutboxState::Sent => "sent",
            OutboxState::GivenUp => "given up",
        }
    }
}

/// What is in the outbox of one reporter.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OutboxCount {
    pub reporter: String,
    pub waiting: u64,
    /// Among the waiting, those that have failed at least once.
    pub failing: u64,
    pub given_up: u64,
    /// Of the oldest one that waits.
    pub oldest: Option<Timestamp>,
    /// Why the oldest failing one waits.
    pub last_error: Option<String>,
}
