//! `buildmoon completions SHELL` and `buildmoon manual`

use std::process::ExitCode;

use anyhow::Result;
use clap::CommandFactory;

#[derive(clap::Args)]
pub struct Args {
    /// bash, zsh, fish, elvish or powershell
    shell: clap_complete::Shell,
}

pub fn run(args: Args) -> Result<ExitCode> {
    clap_complete::generate(args.shell, &mut super::Cli::command(), "buildmoon", &mut std::io::stdout());
    Ok(ExitCode::SUCCESS)
}

pub fn manual() -> Result<ExitCode> {
    let command = super::Cli::command();
    let mut out = std::io::stdout();
    clap_mangen::Man::new(command.clone()).render(&mut out)?;
    for sub in command.get_subcommands().filter(|s| s.get_name() != "help") {
        let title = format!("buildmoon-{}", sub.get_name());
        clap_mangen::Man::new(sub.clone()).title(title).render(&mut out)?;
    }
    Ok(ExitCode::SUCCESS)
}
