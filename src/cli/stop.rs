//! `buildmoon stop [DIR]`

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Base;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    base: Base,
    /// Wait for running builds, however long they take
    #[arg(long, short = 'c', alias = "clean")]
    graceful: bool,
    /// Do not wait until it has stopped
    #[arg(long)]
    no_wait: bool,
    /// Seconds to wait until it has stopped (with --graceful: no limit)
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let file = args.base.dir.join("buildmoon.pid");
    let nobody = || format!("no master runs in {}", args.base.dir.display());
    let text = std::fs::read_to_string(&file).with_context(nobody)?;
    if !locked(&file) {
        bail!("{} (the pid file is left from one that did not stop in order)", nobody());
    }
    let pid: i32 = text.trim().parse().with_context(|| format!("{} holds no process number", file.display()))?;
    let signal = if args.graceful { Signal::SIGUSR1 } else { Signal::SIGTERM };
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) => {}
        Err(Errno::EPERM) => bail!("the master (process {pid}) belongs to another user"),
        Err(e) => bail!("the master (process {pid}) can't be told to stop: {e}"),
    }
    let begun = Instant::now();
    while !args.no_wait && locked(&file) {
        if !args.graceful && begun.elapsed() > Duration::from_secs(args.timeout) {
            bail!("the master (process {pid}) has not stopped within {} s", args.timeout);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(ExitCode::SUCCESS)
}

/// The running master holds the lock of its pid file.
pub(super) fn locked(file: &std::path::Path) -> bool {
    let Ok(file) = std::fs::File::open(file) else { return false };
    Flock::lock(file, FlockArg::LockSharedNonblock).is_err()
}
