//! Typed ids, so that a build's number is never taken for a request's.

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

ids! {
    /// A master of the database. One, until several share a database.
    MasterId,
    /// A worker; kept over restarts by its name.
    WorkerId,
    /// A builder; kept over restarts by its name.
    BuilderId,
    /// A scheduler; kept over restarts by its name.
    SchedulerId,
    /// What one trigger (a force, a change, a timer) asked for: requests on one or more builders.
    BuildsetId,
    /// One builder's part of a build set.
    RequestId,
    /// A build. Its number counts per builder; this id counts over all.
    BuildId,
    /// A step of a build.
    StepId,
    /// A log of a step.
    LogId,
    /// A source stamp: where the source of a codebase is to be taken from.
    SourceStampId,
}
