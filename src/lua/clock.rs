//! The time that Lua sees, and how it waits for it: the machine's, or in a test one that stands still until everything waits for it.
//! Then it jumps to where the first one wakes. Work outside of Lua takes its time in either.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::base::{Clock as _, SystemClock};

/// In so many rounds of all tasks nothing may have gone on, before everything is taken to wait.
const QUIET_ROUNDS: u32 = 4;
const LOOK_OUTSIDE: Duration = Duration::from_millis(1);

#[derive(Default)]
pub(super) struct Clock {
    /// None: the machine's time.
    made_up: RefCell<Option<MadeUp>>,
    /// Counts whenever Lua goes on.
    moves: Cell<u64>,
    /// How many calls wait for work outside of Lua.
    outside: Cell<usize>,
    driven: Cell<bool>,
}

struct MadeUp {
    now: f64,
    /// Of all that waited.
    slept: f64,
    sleepers: Vec<Sleeper>,
}

struct Sleeper {
    until: f64,
    wake: oneshot::Sender<()>,
}

/// A call that waits for work outside of Lua.
pub(super) struct Outside(Rc<Clock>);

impl Drop for Outside {
    fn drop(&mut self) {
        self.0.outside.set(self.0.outside.get().saturating_sub(1));
    }
}

impl Clock {
    /// Seconds since the epoch.
    pub fn now(&self) -> f64 {
        self.made_up.borrow().as_ref().map_or_else(|| SystemClock.now().seconds(), |made_up| made_up.now)
    }

    pub fn moved(&self) {
        self.moves.set(self.moves.get().wrapping_add(1));
    }

    pub fn outside(self: &Rc<Clock>) -> Outside {
        self.outside.set(self.outside.get() + 1);
        Outside(self.clone())
    }

    /// From now on the time is made up; whoever sleeps goes on.
    pub fn make_up(&self, now: f64) {
        *self.made_up.borrow_mut() = Some(MadeUp { now, slept: 0.0, sleepers: Vec::new() });
    }

    /// The machine's time again.
    pub fn reset(&self) {
        *self.made_up.borrow_mut() = None;
    }

    /// How long was waited in made-up time, by all together.
    pub fn slept(&self) -> f64 {
        self.made_up.borrow().as_ref().map_or(0.0, |made_up| made_up.slept)
    }

    /// Made-up time goes on by so much. Who is to wake within wakes.
    pub fn advance(&self, seconds: f64) {
        if let Some(made_up) = &mut *self.made_up.borrow_mut() {
            made_up.now += seconds;
            let now = made_up.now;
            let mut woken: Vec<Sleeper> = made_up.sleepers.extract_if(.., |s| s.until <= now).collect();
            woken.sort_by(|a, b| a.until.total_cmp(&b.until));
            for sleeper in woken {
                let _ = sleeper.wake.send(());
            }
        }
    }

    pub async fn sleep(self: &Rc<Clock>, time: Duration) {
        let (wake, woken) = oneshot::channel();
        let real = match &mut *self.made_up.borrow_mut() {
            Some(made_up) => {
                let until = made_up.now + time.as_secs_f64();
                made_up.slept += time.as_secs_f64();
                made_up.sleepers.push(Sleeper { until, wake });
                false
            }
            None => true,
        };
        if real {
            return tokio::time::sleep(time).await;
        }
        if !self.driven.replace(true) {
            tokio::task::spawn_local(drive(self.clone()));
        }
        // An error: the time is not made up any more.
        let _ = woken.await;
    }

    /// Wake the one that wakes first; false: there is none.
    fn wake_first(&self) -> bool {
        let Some(made_up) = &mut *self.made_up.borrow_mut() else { return false };
        made_up.sleepers.retain(|s| !s.wake.is_closed());
        let Some(first) = (0..made_up.sleepers.len()).min_by(|a, b| made_up.sleepers[*a].until.total_cmp(&made_up.sleepers[*b].until))
        else {
            return false;
        };
        let first = made_up.sleepers.remove(first);
        made_up.now = made_up.now.max(first.until);
        let _ = first.wake.send(());
        true
    }
}

async fn drive(clock: Rc<Clock>) {
    loop {
        let mut quiet = 0;
        while quiet < QUIET_ROUNDS {
            let before = clock.moves.get();
            tokio::task::yield_now().await;
            if clock.outside.get() > 0 {
                tokio::time::sleep(LOOK_OUTSIDE).await;
            }
            quiet = if clock.moves.get() == before && clock.outside.get() == 0 { quiet + 1 } else { 0 };
        }
        if !clock.wake_first() {
            clock.driven.set(false);
            return;
        }
    }
}
