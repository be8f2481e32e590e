//! What a message is about, and what is known besides: plain data that texts are made of.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::facts::{BuildFacts, RequestFacts, SetFacts};
use super::notice::{LeakNotice, Notice, ReloadNotice, WorkerNotice};
use crate::base::LogId;
use crate::config::WantedLogs;

/// What happened.
#[derive(Clone, Debug)]
pub enum About<'a> {
    Started(&'a BuildFacts),
    Finished(&'a BuildFacts),
    /// A build set is complete; `builds` are those of its builds that somebody wants to know of.
    Set {
        set: &'a SetFacts,
        builds: Vec<&'a BuildFacts>,
        /// A formatter makes one text of all of them; otherwise one of each, which are joined.
        combined: bool,
    },
    Pending(&'a RequestFacts),
    /// A request left the queue without a build.
    Cancelled(&'a RequestFacts),
    Missing(&'a WorkerNotice),
    Returned(&'a WorkerNotice),
    Leak(&'a LeakNotice),
    ReloadFailed(&'a ReloadNotice),
}

impl<'a> About<'a> {
    /// The builds that it tells of.
    pub fn builds(&self) -> Vec<&'a BuildFacts> {
        match self {
            About::Started(build) | About::Finished(build) => vec![build],
            About::Set { builds, .. } => builds.clone(),
            _ => Vec::new(),
        }
    }
}

impl<'a> From<&'a Notice> for About<'a> {
    fn from(notice: &'a Notice) -> About<'a> {
        match notice {
            Notice::WorkerMissing(worker) => About::Missing(worker),
            Notice::WorkerReturned(worker) => About::Returned(worker),
            Notice::Leak(leak) => About::Leak(leak),
            Notice::ReloadFailed(reload) => About::ReloadFailed(reload),
        }
    }
}

/// What is known besides, for every kind of message.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// `c.title`
    pub title: &'a str,
    /// `c.buildbotURL`
    pub buildbot_url: &'a str,
    /// Of the generator.
    pub mode: &'a [String],
    /// Who is responsible.
    pub blamelist: &'a [String],
    /// `subject` as older files give it to a reporter: `%(result)s of %(builder)s`.
    pub subject: Option<&'a str>,
    /// `addLogs` as older files give it.
    pub add_logs: &'a WantedLogs,
    pub logs: &'a LogTexts,
}

/// What is in logs, as far as it was wanted.
pub type LogTexts = HashMap<LogId, LogText>;

/// The end of a log.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct LogText {
    /// Whole lines; of a stdio log each begins with the letter of its stream.
    pub content: Vec<u8>,
    /// The number of the first line, from 0.
    pub first_line: i64,
    /// The first line was cut.
    pub cut: bool,
}

/// A log that is to be read before a message is made, and how much of its end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LogWish {
    pub log: LogId,
    pub bytes: usize,
}

/// Each log once, as much of it as the longest wish.
pub(super) fn unite(wishes: impl IntoIterator<Item = LogWish>) -> Vec<LogWish> {
    let mut longest: BTreeMap<LogId, usize> = BTreeMap::new();
    for wish in wishes {
        let bytes = longest.entry(wish.log).or_default();
        *bytes = wish.bytes.max(*bytes);
    }
    longest.into_iter().map(|(log, bytes)| LogWish { log, bytes }).collect::<BTreeSet<_>>().into_iter().collect()
}
