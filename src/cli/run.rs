//! `buildmoon run BUILDER [DIR]`

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use super::mistakes;
use super::progress::Progress;
use super::{Base, Interrupts};
use crate::master::StartError;
use crate::master::oneshot::{self, Options};

#[derive(clap::Args)]
pub struct Args {
    /// The builder
    builder: String,
    #[command(flatten)]
    base: Base,
    /// A property of the build; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = super::property)]
    property: Vec<(String, String)>,
    /// The worker whose name and properties the build sees (default: the builder's first)
    #[arg(long, value_name = "NAME")]
    worker: Option<String>,
    /// Show no output of the commands, only the steps
    #[arg(short, long)]
    quiet: bool,
    /// Seconds that the evaluation of the configuration may take
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    config_timeout: u64,
}

pub fn run(args: Args) -> Result<ExitCode> {
    super::runtime()?.block_on(build(args))
}

async fn build(args: Args) -> Result<ExitCode> {
    let path = args.base.dir.clone();
    let options = Options {
        path: args.base.dir,
        builder: args.builder,
        worker: args.worker,
        properties: args.property,
        config_timeout: Duration::from_secs(args.config_timeout),
    };
    let mut interrupts = Interrupts::new()?;
    let loaded = match interrupts.unless(oneshot::load(&options)).await {
        Err(code) => return Ok(code),
        Ok(Ok(loaded)) => loaded,
        Ok(Err(StartError::Configuration(mistakes, surroundings))) => {
            mistakes::tell(&mistakes, &surroundings, &path);
            return Ok(ExitCode::FAILURE);
        }
        Ok(Err(StartError::Other(e))) => return Err(e),
    };
    // Takes a moment only; a signal that comes meanwhile is heard below.
    let started = oneshot::start(loaded, options).await?;
    let mut progress = Progress::new(args.quiet);
    let stop = started.stopper();
    let watch = started.watch(|event| progress.show(event));
    tokio::pin!(watch);
    loop {
        tokio::select! {
            results = &mut watch => return Ok(super::exit_code(results?)),
            _ = interrupts.next() => stop(),
        }
    }
}
