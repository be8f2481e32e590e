//! How a command is killed: which signal goes to its process group when, and the group itself.
//!
//! The ladder is pure; [`Group`] sends. A group that is not released is killed when it is dropped, whatever the reason.

use std::collections::HashSet;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::time::Instant;

/// How long a signal may take before the next measure.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The signal with this name, with or without `SIG`.
pub fn signal(name: &str) -> Result<Signal, String> {
    let full = if name.starts_with("SIG") { name.to_owned() } else { format!("SIG{name}") };
    Signal::from_str(&full).map_err(|_| format!("'interruptSignal' must be the name of a signal, got '{name}'"))
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Measure {
    Send(Signal),
    /// Even KILL did not help.
    GiveUp,
}

/// TERM if the master wants it, then the interrupt signal, then KILL.
#[derive(Debug)]
pub struct Ladder {
    sigterm_time: Option<Duration>,
    signal: Signal,
    /// The next measure and its time, once begun.
    next: Option<(Instant, Measure)>,
    last: Option<Measure>,
    begun: bool,
}

impl Ladder {
    pub fn new(sigterm_time: Option<Duration>, signal: Signal) -> Ladder {
        Ladder { sigterm_time, signal, next: None, last: None, begun: false }
    }

    pub fn begun(&self) -> bool {
        self.begun
    }

    /// Begin at the lowest rung; it is due at once.
    pub fn begin(&mut self, now: Instant) {
        self.begun = true;
        let first = if self.sigterm_time.is_some() { Signal::SIGTERM } else { self.signal };
        self.next = Some((now, Measure::Send(first)));
    }

    /// The measure that was taken last.
    pub fn last(&self) -> Option<Measure> {
        self.last
    }

    pub fn at(&self) -> Option<Instant> {
        self.next.map(|(at, _)| at)
    }

    /// The measure that is due, if one is.
    pub fn due(&mut self, now: Instant) -> Option<Measure> {
        let (_, measure) = self.next.take_if(|(at, _)| *at <= now)?;
        self.next = match (measure, self.sigterm_time.take()) {
            (Measure::GiveUp, _) => None,
            (_, Some(wait)) => Some((now + wait, Measure::Send(self.signal))),
            (Measure::Send(Signal::SIGKILL), None) => Some((now + PATIENCE, Measure::GiveUp)),
            (_, None) => Some((now + PATIENCE, Measure::Send(Signal::SIGKILL))),
        };
        self.last = Some(measure);
        Some(measure)
    }
}

/// The process groups of one worker that are alive.
#[derive(Clone, Default)]
pub struct Groups(Arc<Mutex<HashSet<i32>>>);

impl Groups {
    /// Kill them all now, without waiting for the tasks that look after them.
    pub fn kill(&self) {
        for group in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let _ = killpg(Pid::from_raw(*group), Signal::SIGKILL);
        }
    }

    /// The group of a process that has just been started as its leader.
    pub fn add(&self, leader: u32) -> Option<Group> {
        let id = i32::try_from(leader).ok().filter(|id| *id > 1)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        Some(Group { id, groups: self.clone(), released: false })
    }
}

pub struct Group {
    id: i32,
    groups: Groups,
    released: bool,
}

impl Group {
    pub fn send(&self, signal: Signal) {
        if let Err(e) = killpg(Pid::from_raw(self.id), signal)
            && e != nix::errno::Errno::ESRCH
        {
            tracing::debug!(group = self.id, %signal, error = %e, "signal not sent");
        }
    }

    /// The command has ended by itself: what it left running on purpose may live.
    pub fn release(mut self) {
        self.released = true;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.released {
            self.send(Signal::SIGKILL);
        }
        self.groups.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn climb(sigterm_time: Option<u64>, name: &str) -> Vec<(u64, Measure)> {
        let start = Instant::now();
        let mut ladder = Ladder::new(sigterm_time.map(Duration::from_secs), signal(name).expect(name));
        assert_eq!(ladder.due(start), None);
        ladder.begin(start);
        let mut seen = Vec::new();
        while let Some(at) = ladder.at() {
            assert_eq!(ladder.due(at - Duration::from_nanos(1)), None);
            seen.push(((at - start).as_secs(), ladder.due(at).expect("due")));
        }
        seen
    }

    #[test]
    fn the_rungs_come_in_order() {
        use Measure::{GiveUp, Send};
        use Signal::{SIGINT, SIGKILL, SIGTERM};
        assert_eq!(climb(None, "KILL"), [(0, Send(SIGKILL)), (5, GiveUp)]);
        assert_eq!(climb(None, "SIGINT"), [(0, Send(SIGINT)), (5, Send(SIGKILL)), (10, GiveUp)]);
        assert_eq!(climb(Some(2), "KILL"), [(0, Send(SIGTERM)), (2, Send(SIGKILL)), (7, GiveUp)]);
        assert_eq!(climb(Some(2), "INT"), [(0, Send(SIGTERM)), (2, Send(SIGINT)), (7, Send(SIGKILL)), (12, GiveUp)]);
    }

    #[test]
    fn unknown_signals_are_refused() {
        assert_eq!(signal("OOPS"), Err("'interruptSignal' must be the name of a signal, got 'OOPS'".into()));
    }
}
