//! What a master and its courier say to each other, through two pipes: lines of JSON, and the content of a message behind the
//! line that orders it.

use serde::{Deserialize, Serialize};

use crate::report::sending::mime::Envelope;
use crate::report::sending::outbox::Outcome;
use crate::report::sending::post::Endpoint;
use crate::report::sending::smtp::SmtpSettings;

/// Where a message goes, with all that is needed to get there.
#[derive(Clone, Serialize, Deserialize)]
pub enum Target {
    Relay { settings: SmtpSettings, envelope: Envelope },
    Endpoint(Endpoint),
}

/// To the courier.
#[derive(Serialize, Deserialize)]
pub enum Told {
    /// The master knows for ever what became of these.
    Stored(Vec<String>),
    /// `length` bytes follow the line.
    Bring { key: String, id: String, target: Target, progress: Option<String>, length: usize },
}

/// To the master.
#[derive(Serialize, Deserialize)]
pub enum Says {
    /// It is the only courier of this reporter now, and knows all that those before it brought.
    Ready {
        known: Vec<Brought>,
    },
    Brought(Brought),
}

/// What became of a message.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Brought {
    /// Which message, and which try of it.
    pub key: String,
    pub outcome: Outcome,
    /// For the master's log.
    pub notes: Vec<String>,
}
