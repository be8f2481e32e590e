//! `buildmoon checkconfig [DIR or FILE]`

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow};
use serde_json::json;

use super::explain;
use super::mistakes::{Severity, Shown, colour, folder_of};
use crate::config::Mistake;
use crate::master::online::{self, Online};
use crate::{lua, secrets};

#[derive(clap::Args)]
pub struct Args {
    /// The base folder or the file
    #[arg(value_name = "DIR or FILE", default_value = ".")]
    path: PathBuf,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
    /// Treat warnings as mistakes
    #[arg(long)]
    strict: bool,
    /// Also ask the providers of latent workers whether machines could be started as configured
    #[arg(long)]
    online: bool,
    /// Say nothing if all is well
    #[arg(short, long)]
    quiet: bool,
    /// Show what a builder is made of and where each part was declared
    #[arg(long, value_name = "BUILDER")]
    explain: Option<String>,
    /// Seconds that the evaluation may take
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    config_timeout: u64,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let options = lua::LoadOptions { path: args.path.clone(), timeout: Duration::from_secs(args.config_timeout), checking: true };
    let runtime = super::runtime()?;
    let checked = match runtime.block_on(super::unless_interrupted(lua::check(options)))? {
        Ok(checked) => checked,
        Err(code) => return Ok(code),
    };
    let mut online = None;
    let (config, mistakes, warnings) = match checked.outcome {
        Ok(loaded) => {
            let warnings = loaded.config.warnings.clone();
            let mut mistakes = secrets::check(&loaded.config, loaded.generation.folder());
            if args.online && mistakes.is_empty() {
                let asked = match runtime.block_on(super::unless_interrupted(ask_providers(&loaded)))? {
                    Ok(asked) => asked,
                    Err(code) => return Ok(code),
                };
                mistakes.extend_from_slice(&asked.mistakes);
                online = Some(asked);
            }
            (Some(loaded.config), mistakes, warnings)
        }
        Err(mistakes) => (None, mistakes, checked.warnings),
    };
    let notes = online.as_ref().map(|o| o.notes.as_slice()).unwrap_or_default();
    let good = mistakes.is_empty() && (warnings.is_empty() || !args.strict);
    let shown =
        Shown { surroundings: &checked.surroundings, folder: folder_of(&args.path), colour: colour(std::io::stderr().is_terminal()) };
    let severity = if args.strict { Severity::Mistake } else { Severity::Warning };
    let explained = match (&config, &args.explain) {
        (Some(config), Some(name)) => Some((config, explain::builder(config, name).map_err(|e| anyhow!(e))?)),
        _ => None,
    };
    if args.json {
        let list = |all: &[Mistake], severity| all.iter().map(|m| shown.json(m, severity)).collect::<Vec<_>>();
        let mut answer = json!({ "ok": good, "mistakes": list(&mistakes, Severity::Mistake), "warnings": list(&warnings, severity) });
        if let Some(online) = &online {
            answer["online"] = json!({ "workers": online.asked, "notes": list(notes, Severity::Warning) });
        }
        if let Some((config, builder)) = explained {
            answer["builder"] = explain::json(builder, config);
        }
        println!("{answer}");
        return Ok(code(good));
    }
    for mistake in &mistakes {
        eprintln!("{}", shown.text(mistake, Severity::Mistake));
    }
    for warning in &warnings {
        eprintln!("{}", shown.text(warning, severity));
    }
    for note in notes.iter().filter(|_| !args.quiet) {
        eprintln!("{}", shown.text(note, Severity::Warning));
    }
    match mistakes.len() + if args.strict { warnings.len() } else { 0 } {
        0 => {}
        1 => eprintln!("1 mistake"),
        n => eprintln!("{n} mistakes"),
    }
    if let Some((config, builder)) = explained {
        print!("{}", explain::text(builder, config));
    } else if let Some(c) = config.filter(|_| good && !args.quiet) {
        let (workers, builders, schedulers) = (c.workers.len(), c.builders.len(), c.schedulers.len());
        let asked = online.as_ref().map(|o| format!("; providers of {} latent workers asked", o.asked)).unwrap_or_default();
        println!("{} is good: {workers} workers, {builders} builders, {schedulers} schedulers{asked}", args.path.display());
    }
    Ok(code(good))
}

/// How far it is, on a terminal.
async fn ask_providers(loaded: &lua::Loaded) -> Online {
    let terminal = std::io::stderr().is_terminal();
    let online = online::ask(loaded, loaded.generation.folder(), |done, of| {
        if terminal {
            eprint!("\r\x1b[Kasking providers of latent workers: {done} of {of}");
        }
    })
    .await;
    if terminal {
        eprint!("\r\x1b[K");
    }
    online
}

fn code(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
