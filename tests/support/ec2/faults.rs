//! What goes wrong, when, and how. Decides; does nothing itself.

use std::collections::BTreeMap;
use std::time::Duration;

/// Which calls, counted from the moment at which the fault is set.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum When {
    Always,
    /// This one alone, from 1.
    Nth(u64),
    /// So many.
    First(u64),
    /// Each so-manieth.
    Every(u64),
    /// Those for this page of a listing.
    Page(u64),
    /// So many of a hundred, by the seed.
    Sometimes(u8),
}

#[derive(Clone, PartialEq, Debug)]
pub enum Act {
    /// Refused with this code, and nothing is done.
    Error(&'static str),
    /// The connection ends before anything is done.
    DropBefore,
    /// It is done, and the connection ends without an answer.
    CommitThenDrop,
    /// It is done, and the answer comes so much later.
    Delay(Duration),
    /// It is done so much later, whether the caller waits or not.
    CommitAfter(Duration),
    /// The instance is shown to nobody for so long.
    NotVisibleFor(Duration),
    /// The instance ends by itself so long after its launch.
    DieAfter(Duration, &'static str),
    /// The instance is protected from termination.
    RefuseTerminate,
}

struct Fault {
    on: String,
    when: When,
    act: Act,
    seen: u64,
}

pub struct Faults {
    faults: Vec<Fault>,
    random: fastrand::Rng,
}

impl Default for Faults {
    fn default() -> Faults {
        Faults { faults: Vec::new(), random: fastrand::Rng::with_seed(0) }
    }
}

impl Faults {
    pub fn add(&mut self, on: &str, when: When, act: Act) {
        self.faults.push(Fault { on: on.to_owned(), when, act, seen: 0 });
    }

    pub fn seed(&mut self, seed: u64) {
        self.random = fastrand::Rng::with_seed(seed);
    }

    pub fn clear(&mut self) {
        self.faults.clear();
    }

    /// What happens to this call: of the faults that are due the first; every one counts the call.
    pub fn due(&mut self, action: &str, params: &BTreeMap<String, String>) -> Option<Act> {
        let page = params.get("NextToken").and_then(|t| t.split_once('-')).map_or(1, |(page, _)| page.parse().unwrap_or(1));
        let mut due = None;
        for fault in self.faults.iter_mut().filter(|f| f.on == "*" || f.on == action) {
            fault.seen += 1;
            let now = match fault.when {
                When::Always => true,
                When::Nth(n) => fault.seen == n,
                When::First(n) => fault.seen <= n,
                When::Every(n) => fault.seen % n == 0,
                When::Page(n) => page == n,
                When::Sometimes(percent) => self.random.u8(0..100) < percent,
            };
            if now && due.is_none() {
                due = Some(fault.act.clone());
            }
        }
        due
    }
}
