//! Ends what the master before left running when it was killed: commands of its local workers, and what Lua's `process.start` started.
//!
//! They are known by the mark in their environment (see [`processes`](crate::lua::processes)): who started them is dead, and was at work in
//! this folder. Nothing else is touched, not even what a `buildmoon run` beside this master runs. Tests: `tests/leftovers.rs`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::Instant;

use crate::lua::processes::{Known, left_behind};

/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);
/// What does not end by then lives on: the start is not kept waiting for ever.
const DEADLINE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Before anything new begins in the folder.
pub async fn end(folder: &Path) {
    let begun = Instant::now();
    // What they are called, as it was when they were found.
    let mut seen: BTreeMap<Known, String> = BTreeMap::new();
    let left = loop {
        let folder = folder.to_owned();
        let found = tokio::task::spawn_blocking(move || left_behind(&folder)).await.unwrap_or_else(|e| Err(e.to_string()));
        let left = found.unwrap_or_else(|why| {
            tracing::warn!("whether the master before left programs running is not known: {why}");
            Vec::new()
        });
        if left.is_empty() || begun.elapsed() >= DEADLINE {
            break left;
        }
        let last = begun.elapsed() >= GRACE;
        for one in &left {
            let new = !seen.contains_key(one);
            if new {
                seen.insert(one.clone(), name(one.pid));
            }
            let signal = if last { Signal::SIGKILL } else { Signal::SIGTERM };
            if (new || last)
                && let Err(why) = one.signal(signal)
            {
                tracing::debug!("{why}");
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    for (one, name) in &seen {
        match left.contains(one) {
            true => tracing::error!(process = one.pid, name, "the master before left a program running, and it does not end"),
            false => tracing::warn!(process = one.pid, name, "the master before left a program running; it was ended"),
        }
    }
}

fn name(pid: i32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}
