//! `buildmoon checkconfig [DIR or FILE]`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use crate::config::Mistake;
use crate::lua;

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
    /// Say nothing if all is well
    #[arg(short, long)]
    quiet: bool,
    /// Seconds that the evaluation may take
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    config_timeout: u64,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let options = lua::LoadOptions { path: args.path.clone(), timeout: Duration::from_secs(args.config_timeout), checking: true };
    let loaded = match super::runtime()?.block_on(super::unless_interrupted(lua::load(options)))? {
        Ok(loaded) => loaded,
        Err(code) => return Ok(code),
    };
    let (mistakes, warnings, summary) = match loaded {
        Ok(loaded) => {
            let c = &loaded.config;
            let summary = format!("{} workers, {} builders, {} schedulers", c.workers.len(), c.builders.len(), c.schedulers.len());
            (Vec::new(), c.warnings.clone(), summary)
        }
        Err(mistakes) => (mistakes, Vec::new(), String::new()),
    };
    let good = mistakes.is_empty() && (warnings.is_empty() || !args.strict);
    if args.json {
        let list = |all: &[Mistake]| all.iter().map(entry).collect::<Vec<_>>();
        println!("{}", json!({ "ok": good, "mistakes": list(&mistakes), "warnings": list(&warnings) }));
    } else {
        for mistake in &mistakes {
            eprintln!("{mistake}");
        }
        for warning in &warnings {
            eprintln!("{}{warning}", if args.strict { "" } else { "warning: " });
        }
        match mistakes.len() {
            0 if good && !args.quiet => println!("{} is good: {summary}", args.path.display()),
            0 => {}
            1 => eprintln!("1 mistake"),
            n => eprintln!("{n} mistakes"),
        }
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn entry(m: &Mistake) -> serde_json::Value {
    json!({ "file": m.place.file, "line": m.place.line, "subject": m.subject, "text": m.text, "message": m.to_string() })
}
