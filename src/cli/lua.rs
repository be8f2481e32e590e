//! `buildmoon lua FILE [ARG…]`

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::lua::{Script, ScriptSource, run_script};

const LARGEST: u64 = 16 << 20;

#[derive(clap::Args)]
pub struct Args {
    /// The file; - reads the standard input
    file: PathBuf,
    /// What the file finds in `arg`
    #[arg(value_name = "ARG", trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let source = if args.file.as_os_str() == "-" {
        let mut text = Vec::new();
        std::io::stdin().take(LARGEST + 1).read_to_end(&mut text).context("standard input")?;
        if text.len() as u64 > LARGEST {
            bail!("standard input: more than {} MiB", LARGEST >> 20);
        }
        ScriptSource::Text(text)
    } else {
        ScriptSource::File(args.file)
    };
    let script = Script { source, args: args.args };
    let ended = match super::runtime()?.block_on(super::unless_interrupted(run_script(script)))? {
        Ok(ended) => ended,
        Err(code) => return Ok(code),
    };
    match ended {
        Ok(warnings) => {
            for warning in warnings {
                eprintln!("warning: {warning}");
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(mistakes) => {
            for mistake in mistakes {
                eprintln!("{mistake}");
            }
            Ok(ExitCode::FAILURE)
        }
    }
}
