//! What was asked for: source stamps, build sets, build requests.

use serde::{Deserialize, Serialize};

use super::{Properties, Results};
use crate::base::{BuilderId, BuildsetId, RequestId, SourceStampId, Timestamp};

/// Where the source of one codebase comes from.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct SourceStamp {
    pub codebase: String,
    pub repository: String,
    pub project: String,
    pub branch: Option<String>,
    pub revision: Option<String>,
}

/// What one trigger asked for, before it has ids.
#[derive(Clone, PartialEq, Debug)]
pub struct NewBuildset {
    pub reason: String,
    pub submitted_at: Timestamp,
    pub external_idstring: Option<String>,
    pub sourcestamps: Vec<SourceStamp>,
    pub properties: Properties,
    /// A request on each of them.
    pub builders: Vec<BuilderId>,
    pub priority: i64,
    /// The build that this build set repeats.
    pub rebuilt_buildid: Option<i64>,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Buildset {
    pub id: BuildsetId,
    pub reason: String,
    pub submitted_at: Timestamp,
    pub sourcestamps: Vec<(SourceStampId, SourceStamp)>,
    pub properties: Properties,
}

/// A request that waits for a build or runs one, with what its build will need.
#[derive(Clone, PartialEq, Debug)]
pub struct BuildRequest {
    pub id: RequestId,
    pub buildset: std::sync::Arc<Buildset>,
    pub builder: BuilderId,
    /// Higher runs first.
    pub priority: i64,
    pub submitted_at: Timestamp,
    /// Builds of it that ended as retry because the worker was lost.
    pub attempts: u32,
    /// What became of those builds, one sentence each.
    pub story: Vec<String>,
}

/// How a request left the queue.
#[derive(Clone, PartialEq, Debug)]
pub enum RequestEnd {
    /// It has its result.
    Complete(Results),
    /// It goes back to wait: why its build was lost; whether that counts as one of its attempts.
    Again { why: String, counts: bool },
}
