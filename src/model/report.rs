//! What happened that somebody may have to be told of: written down with what happened, struck out when all messages about it are queued.

use crate::base::{BuildId, BuilderId, BuildsetId, RequestId, Timestamp};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Occurrence {
    /// Counts up in the order in which they were committed; none is used twice while the master runs.
    pub id: i64,
    /// What has the same lane is told in its order; a set has none.
    pub lane: Option<BuilderId>,
    pub what: What,
    pub at: Timestamp,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum What {
    BuildStarted(BuildId),
    BuildFinished(BuildId),
    RequestAdded(RequestId),
    /// It left the queue without a build.
    RequestCancelled(RequestId),
    /// All its requests have their results.
    SetComplete(BuildsetId),
}

impl What {
    /// As it is stored.
    pub fn parts(self) -> (&'static str, i64) {
        match self {
            What::BuildStarted(id) => ("build started", id.0),
            What::BuildFinished(id) => ("build finished", id.0),
            What::RequestAdded(id) => ("request added", id.0),
            What::RequestCancelled(id) => ("request cancelled", id.0),
            What::SetComplete(id) => ("set complete", id.0),
        }
    }

    pub fn from_parts(kind: &str, id: i64) -> Option<What> {
        Some(match kind {
            "build started" => What::BuildStarted(BuildId(id)),
            "build finished" => What::BuildFinished(BuildId(id)),
            "request added" => What::RequestAdded(RequestId(id)),
            "request cancelled" => What::RequestCancelled(RequestId(id)),
            "set complete" => What::SetComplete(BuildsetId(id)),
            _ => return None,
        })
    }
}

/// `build finished 17`
impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, id) = self.parts();
        write!(f, "{kind} {id}")
    }
}
