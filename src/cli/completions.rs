//! `buildmoon completions SHELL`, `buildmoon manual` and `buildmoon manual lua`

use std::io::Write;
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

#[derive(clap::Args)]
pub struct ManualArgs {
    /// `lua` prints the reference of master.lua instead
    #[arg(value_name = "TOPIC")]
    topic: Option<Topic>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Topic {
    /// Every class, argument, callback and library function
    Lua,
}

pub fn manual(args: ManualArgs) -> Result<ExitCode> {
    let mut out = std::io::stdout();
    if let Some(Topic::Lua) = args.topic {
        out.write_all(crate::lua::callbacks::reference().as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let command = super::Cli::command();
    clap_mangen::Man::new(command.clone()).render(&mut out)?;
    for sub in command.get_subcommands().filter(|s| s.get_name() != "help" && !s.is_hide_set()) {
        let title = format!("buildmoon-{}", sub.get_name());
        clap_mangen::Man::new(sub.clone()).title(title).render(&mut out)?;
    }
    Ok(ExitCode::SUCCESS)
}
