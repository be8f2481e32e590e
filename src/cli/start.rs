//! `buildmoon start [DIR]`

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

use super::{Base, mistakes};
use crate::master::{Master, Options, StartError};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    base: Base,
    /// Seconds that running builds get at a stop, before they end as retry and run again after the next start
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    grace: u64,
    /// Seconds that the evaluation of the configuration may take
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    config_timeout: u64,
}

pub fn run(args: Args) -> Result<ExitCode> {
    super::runtime()?.block_on(serve(args))
}

async fn serve(args: Args) -> Result<ExitCode> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let mut graceful = signal(SignalKind::user_defined1())?;
    let mut hup = signal(SignalKind::hangup())?;
    let folder = args.base.dir.clone();
    let options = Options { folder: args.base.dir, config_timeout: Duration::from_secs(args.config_timeout) };
    let started = tokio::select! {
        started = Master::start(options) => started,
        _ = term.recv() => return Ok(ExitCode::SUCCESS),
        _ = int.recv() => return Ok(ExitCode::SUCCESS),
    };
    let master = match started {
        Ok(master) => master,
        Err(StartError::Configuration(mistakes, surroundings)) => {
            mistakes::tell(&mistakes, &surroundings, &folder);
            eprintln!(
                "buildmoon: the configuration has {} mistake{}; nothing was started",
                mistakes.len(),
                if mistakes.len() == 1 { "" } else { "s" }
            );
            return Ok(ExitCode::FAILURE);
        }
        Err(StartError::Other(e)) => return Err(e),
    };
    eprintln!("{}", master.describe().await);
    let mut grace = Duration::from_secs(args.grace);
    loop {
        tokio::select! {
            _ = term.recv() => break,
            _ = int.recv() => break,
            _ = graceful.recv() => {
                grace = Duration::MAX;
                break;
            }
            _ = hup.recv() => master.reload_soon(),
        }
    }
    tracing::info!(
        "stopping; running builds get {}",
        if grace == Duration::MAX { "all the time they need".into() } else { crate::base::duration::human(grace) }
    );
    let stopped = async {
        // Beyond any build, and within what a timer can count.
        master.shutdown(grace.min(Duration::from_secs(10 * 365 * 86_400))).await;
        ExitCode::SUCCESS
    };
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            code = &mut stopped => return Ok(code),
            _ = term.recv() => return Ok(at_once()),
            _ = int.recv() => return Ok(at_once()),
            _ = hup.recv() => master.reload_soon(),
        }
    }
}

/// The second signal: what runs is settled by the next start.
fn at_once() -> ExitCode {
    tracing::warn!("stopped at once");
    std::process::exit(1)
}
