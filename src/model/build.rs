//! Builds, steps and logs as they are kept.

use serde::{Deserialize, Serialize};

use super::Results;
use crate::base::{BuildId, BuilderId, LogId, RequestId, StepId, Timestamp, WorkerId};

#[derive(Clone, PartialEq, Debug)]
pub struct Build {
    pub id: BuildId,
    /// Counts per builder from 1.
    pub number: i64,
    pub builder: BuilderId,
    pub request: RequestId,
    pub worker: WorkerId,
    pub started_at: Timestamp,
    pub complete_at: Option<Timestamp>,
    pub state: String,
    pub results: Option<Results>,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Step {
    pub id: StepId,
    pub build: BuildId,
    /// Counts within the build from 0.
    pub number: i64,
    pub name: String,
    pub state: String,
    pub started_at: Option<Timestamp>,
    pub complete_at: Option<Timestamp>,
    pub results: Option<Results>,
    pub hidden: bool,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Log {
    pub id: LogId,
    pub step: StepId,
    pub name: String,
    /// The name as it stands in URLs, unique within the step.
    pub slug: String,
    pub kind: LogKind,
    pub complete: bool,
    pub num_lines: i64,
}

/// What is in a log; the letters are the API's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum LogKind {
    /// Output of a command: each line belongs to a [`Stream`].
    #[serde(rename = "s")]
    Stdio,
    #[serde(rename = "t")]
    Text,
    #[serde(rename = "h")]
    Html,
}

impl LogKind {
    pub fn letter(self) -> &'static str {
        match self {
            LogKind::Stdio => "s",
            LogKind::Text => "t",
            LogKind::Html => "h",
        }
    }
}

/// Which stream of a command a line of a stdio log came from; the letters are the API's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Stream {
    Stdout = b'o',
    Stderr = b'e',
    /// What the worker or the master says about the command.
    Header = b'h',
}

impl Stream {
    pub fn from_letter(letter: u8) -> Option<Stream> {
        match letter {
            b'o' => Some(Stream::Stdout),
            b'e' => Some(Stream::Stderr),
            b'h' => Some(Stream::Header),
            _ => None,
        }
    }
}
