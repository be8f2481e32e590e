//! `buildmoon courier FOLDER REPORTER`: brings the messages of one reporter to their target, told by the master that starts it.
//! Not for people.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::signal::unix::{SignalKind, signal};

use crate::report::sending::courier;

#[derive(clap::Args)]
pub struct Args {
    /// Keeps what was brought and no master knows of
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// The reporter's name
    #[arg(value_name = "REPORTER")]
    reporter: String,
}

pub fn run(args: Args) -> Result<ExitCode> {
    // Lists of processes tell it from the master; where they can't, it is as good a courier.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_name(c"courier");
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(args))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(args: Args) -> Result<()> {
    // A service manager that stops everything waits for the message that is on its way; the pipe's end says when to go.
    let _heard = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
    let pipe = "a master starts this, and talks to it through pipes";
    let input = Receiver::from_owned_fd(std::io::stdin().as_fd().try_clone_to_owned()?).context(pipe)?;
    let output = Sender::from_owned_fd(std::io::stdout().as_fd().try_clone_to_owned()?).context(pipe)?;
    let served = courier::serve(&args.folder, &args.reporter, input, output).await;
    served.with_context(|| format!("{}: the messages of {:?} can't be brought", args.folder.display(), args.reporter))
}
