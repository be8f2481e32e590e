//! How a step, build or request ended. The numbers are those of the API and the database.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
#[serde(into = "i64", try_from = "i64")]
pub enum Results {
    Success = 0,
    Warnings = 1,
    Failure = 2,
    Skipped = 3,
    /// The master or the configuration failed, not what was built.
    Exception = 4,
    /// The worker was lost or the master stopped; the request runs again.
    Retry = 5,
    Cancelled = 6,
}

impl Results {
    pub const ALL: [Results; 7] =
        [Results::Success, Results::Warnings, Results::Failure, Results::Skipped, Results::Exception, Results::Retry, Results::Cancelled];

    pub fn name(self) -> &'static str {
        match self {
            Results::Success => "success",
            Results::Warnings => "warnings",
            Results::Failure => "failure",
            Results::Skipped => "skipped",
            Results::Exception => "exception",
            Results::Retry => "retry",
            Results::Cancelled => "cancelled",
        }
    }

    /// How bad it is: of two results the one that weighs more is that of the whole.
    fn weight(self) -> u8 {
        match self {
            Results::Skipped => 0,
            Results::Success => 1,
            Results::Warnings => 2,
            Results::Failure => 3,
            Results::Exception => 4,
            Results::Retry => 5,
            Results::Cancelled => 6,
        }
    }

    pub fn worst(self, other: Results) -> Results {
        if other.weight() > self.weight() { other } else { self }
    }
}

impl From<Results> for i64 {
    fn from(r: Results) -> i64 {
        r as i64
    }
}

impl TryFrom<i64> for Results {
    type Error = String;

    fn try_from(code: i64) -> Result<Results, String> {
        Results::ALL.into_iter().find(|r| *r as i64 == code).ok_or_else(|| format!("{code} is no result (0 to 6)"))
    }
}

impl std::fmt::Display for Results {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}
