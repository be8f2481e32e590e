//! A worker that is away, as it is kept until it attaches again.

use crate::base::Timestamp;

#[derive(Clone, PartialEq, Debug)]
pub struct Absence {
    pub worker: String,
    /// When it was seen last, or since when it has been waited for, if it never came.
    pub since: Timestamp,
    pub last_seen: Option<Timestamp>,
    /// Where it came from, as far as that is known.
    pub peer: Option<String>,
    /// When it was told that it is missing.
    pub told_at: Option<Timestamp>,
}
