//! Is the Lua thread stuck where no hook reaches, in a single call of the C library (a pathological pattern)? A watchdog thread looks,
//! and whoever waits for an answer is told instead of waiting for ever. It never touches Lua.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// A thread that is held so long without a break does not come back in useful time.
pub(super) const STUCK_AFTER: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(super) struct Watch {
    started: Instant,
    /// Milliseconds after `started` plus one at which the current slice began; 0 while idle.
    busy_since: AtomicU64,
    stuck: AtomicBool,
    changed: Notify,
}

impl Watch {
    pub fn new() -> Arc<Watch> {
        Arc::new(Watch { started: Instant::now(), busy_since: AtomicU64::new(0), stuck: AtomicBool::new(false), changed: Notify::new() })
    }

    pub fn busy(&self) {
        self.busy_since.store(self.started.elapsed().as_millis() as u64 + 1, Ordering::Relaxed);
    }

    pub fn idle(&self) {
        self.busy_since.store(0, Ordering::Relaxed);
        // It came back after all.
        self.stuck.store(false, Ordering::Relaxed);
    }

    /// Resolves when the thread is found stuck.
    pub async fn stuck(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.stuck.load(Ordering::Relaxed) {
                return;
            }
            changed.await;
        }
    }

    fn look(&self, limit: Duration) {
        let since = self.busy_since.load(Ordering::Relaxed);
        let now = self.started.elapsed().as_millis() as u64;
        if since > 0 && u128::from(now.saturating_sub(since - 1)) > limit.as_millis() && !self.stuck.swap(true, Ordering::Relaxed) {
            tracing::error!("the Lua thread is held by a single library call");
            self.changed.notify_waiters();
        }
    }

    /// Start the watchdog; it ends when nobody holds the watch any more.
    pub fn guard(watch: &Arc<Watch>, name: String) -> std::io::Result<()> {
        let watch: Weak<Watch> = Arc::downgrade(watch);
        std::thread::Builder::new().name(name).stack_size(64 << 10).spawn(move || {
            while let Some(watch) = watch.upgrade() {
                watch.look(STUCK_AFTER);
                drop(watch);
                std::thread::sleep(LOOK_EVERY);
            }
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tells_who_waits_and_recovers() {
        let watch = Watch::new();
        watch.look(Duration::ZERO);
        assert!(!watch.stuck.load(Ordering::Relaxed), "an idle thread is not stuck");
        watch.busy();
        let waiting = tokio::spawn({
            let watch = watch.clone();
            async move { watch.stuck().await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        watch.look(Duration::ZERO);
        waiting.await.unwrap();
        watch.idle();
        assert!(!watch.stuck.load(Ordering::Relaxed));
    }
}
