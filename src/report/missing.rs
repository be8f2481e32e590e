//! When is a worker missing, who has been told, and when is it told that it is back? A function of what is kept, what is seen and the
//! time. Keeps nothing, sends nothing.

use std::time::Duration;

use crate::base::Timestamp;
use crate::model::Absence;

/// A worker as it is now.
#[derive(Clone, Debug)]
pub struct Seen {
    pub worker: String,
    pub attached: bool,
    pub last_seen: Option<Timestamp>,
    pub peer: Option<String>,
    /// How long it may be away; none: for ever. A worker whose machine is started on demand has none: the machine's launch says
    /// when it is missing.
    pub timeout: Option<Duration>,
    /// Nobody waits for it longer than since then: the start of the master, or when it was configured.
    pub waited_for_since: Timestamp,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Tell {
    Missing(Absence),
    /// It is, or was for a while, attached again after it was told that it is missing.
    Returned(Absence),
}

#[derive(Clone, PartialEq, Debug, Default)]
pub struct Looked {
    /// What is to be kept of it from now on.
    pub keep: Option<Absence>,
    pub tell: Vec<Tell>,
    /// When it has to be looked at again, whatever happens.
    pub next: Option<Timestamp>,
}

pub fn look(kept: Option<&Absence>, seen: &Seen, now: Timestamp) -> Looked {
    let mut looked = Looked::default();
    let told = kept.filter(|absence| absence.told_at.is_some());
    // It came and went since it was looked at last.
    let came = kept.is_some_and(|absence| seen.last_seen > absence.last_seen);
    if seen.attached || came {
        looked.tell.extend(told.cloned().map(Tell::Returned));
    }
    if seen.attached {
        return looked;
    }
    let mut absence = match kept {
        Some(absence) if !came => absence.clone(),
        _ => Absence {
            worker: seen.worker.clone(),
            // A clock that was set back must not make it wait for hours more.
            since: seen.last_seen.unwrap_or(seen.waited_for_since).min(now),
            last_seen: seen.last_seen,
            peer: seen.peer.clone(),
            told_at: None,
        },
    };
    if absence.told_at.is_none()
        && let Some(timeout) = seen.timeout
    {
        let missing_at = absence.since.max(seen.waited_for_since).min(now).plus(timeout);
        if missing_at <= now {
            absence.told_at = Some(now);
            looked.tell.push(Tell::Missing(absence.clone()));
        } else {
            looked.next = Some(missing_at);
        }
    }
    looked.keep = Some(absence);
    looked
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn away(last_seen: i64) -> Seen {
        Seen {
            worker: "bot".into(),
            attached: false,
            last_seen: Some(Timestamp(last_seen)),
            peer: Some("192.0.2.7:5000".into()),
            timeout: Some(Duration::from_secs(3600)),
            waited_for_since: Timestamp(0),
        }
    }

    fn here() -> Seen {
        Seen { attached: true, ..away(0) }
    }

    #[test]
    fn a_loss_is_told_once_and_so_is_the_return() {
        let lost = look(None, &away(1000), Timestamp(2000));
        assert_eq!((lost.tell.len(), lost.next), (0, Some(Timestamp(1000 + HOUR))));
        let kept = lost.keep.unwrap();
        let due = look(Some(&kept), &away(1000), Timestamp(1000 + HOUR));
        assert!(matches!(&due.tell[..], [Tell::Missing(a)] if a.since == Timestamp(1000)), "{due:?}");
        let kept = due.keep.unwrap();
        // Also by the next master.
        let later = Seen { waited_for_since: Timestamp(2 * HOUR), ..away(1000) };
        for hours in 1..100 {
            let again = look(Some(&kept), &later, Timestamp(hours * HOUR + 1000));
            assert_eq!((again.tell.len(), again.next), (0, None));
        }
        let back = look(Some(&kept), &here(), Timestamp(101 * HOUR));
        assert_eq!(back, Looked { keep: None, tell: vec![Tell::Returned(kept)], next: None });
    }

    #[test]
    fn a_restart_gives_it_its_time() {
        let seen = Seen { waited_for_since: Timestamp(50 * HOUR), ..away(1000) };
        let at_start = look(None, &seen, Timestamp(50 * HOUR));
        assert_eq!((at_start.tell.len(), at_start.next), (0, Some(Timestamp(51 * HOUR))));
        assert_eq!(at_start.keep.unwrap().since, Timestamp(1000));
    }

    #[test]
    fn one_that_never_came_is_missing_too() {
        let seen = Seen { last_seen: None, waited_for_since: Timestamp(HOUR), ..away(0) };
        let first = look(None, &seen, Timestamp(HOUR));
        assert_eq!(first.next, Some(Timestamp(2 * HOUR)));
        assert_eq!(look(first.keep.as_ref(), &seen, Timestamp(2 * HOUR)).tell.len(), 1);
    }

    #[test]
    fn one_that_came_between_two_looks_is_lost_anew() {
        let kept = look(None, &away(1000), Timestamp(HOUR + 1000)).keep.unwrap();
        assert!(kept.told_at.is_some());
        let again = look(Some(&kept), &away(2 * HOUR), Timestamp(2 * HOUR + 5));
        assert_eq!(again.tell, [Tell::Returned(kept)]);
        assert_eq!(again.next, Some(Timestamp(3 * HOUR)));
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_hide_it() {
        let looked = look(None, &away(5 * HOUR), Timestamp(3 * HOUR));
        assert_eq!(looked.next, Some(Timestamp(4 * HOUR)));
    }

    #[test]
    fn without_a_timeout_nobody_is_told() {
        let looked = look(None, &Seen { timeout: None, ..away(0) }, Timestamp(1000 * HOUR));
        assert_eq!((looked.tell.len(), looked.next), (0, None));
    }

    /// Whatever comes: as many are told as there were losses that lasted, a return only after its loss.
    #[test]
    fn random_comings_and_goings() {
        let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
        let mut random = fastrand::Rng::with_seed(seed);
        for schedule in 0..2000 {
            let (mut now, mut kept, mut seen) = (0_i64, None::<Absence>, away(0));
            let (mut losses, mut missing, mut returned) = (0, 0, 0);
            seen.attached = random.bool();
            let (mut lost_at, mut counted) = (0, false);
            for _ in 0..40 {
                now += random.i64(1..HOUR / 2);
                if random.u8(..3) == 0 {
                    seen.attached = !seen.attached;
                    seen.last_seen = Some(Timestamp(now));
                    (lost_at, counted) = (now, false);
                } else if random.u8(..10) == 0 {
                    // A restart: whoever is away has its time again, unless it has been told.
                    seen.waited_for_since = Timestamp(now);
                    if !counted {
                        lost_at = now;
                    }
                }
                let looked = look(kept.as_ref(), &seen, Timestamp(now));
                if !seen.attached && !counted && now - lost_at >= HOUR {
                    (counted, losses) = (true, losses + 1);
                }
                for tell in looked.tell {
                    match tell {
                        Tell::Missing(_) => missing += 1,
                        Tell::Returned(_) => returned += 1,
                    }
                }
                kept = looked.keep;
                let open = i64::from(kept.as_ref().is_some_and(|a| a.told_at.is_some()));
                assert_eq!((missing, returned), (losses, losses - open), "SEED={seed}, schedule {schedule}");
            }
        }
    }
}
