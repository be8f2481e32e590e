//! The command line: one file per command. Errors go to stderr in one line that says what to do next.

mod backend_test;
mod checkconfig;
mod client;
mod completions;
mod courier;
mod create_master;
mod explain;
mod force;
mod instances;
mod lua;
mod lua_types;
mod mail_test;
mod mistakes;
mod outbox;
mod progress;
mod reconfig;
mod run;
mod start;
mod status;
mod stop;
mod test;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::model::Results;
use crate::secrets::Veiled;

/// A build master, configured by master.lua.
#[derive(Parser)]
#[command(name = "buildmoon", version, about, arg_required_else_help = true, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a base folder with a commented master.lua that runs
    CreateMaster(create_master::Args),
    /// Evaluate the configuration and print every mistake
    Checkconfig(checkconfig::Args),
    /// Run the master in the foreground
    Start(start::Args),
    /// Stop a running master in order
    Stop(stop::Args),
    /// Make the running master load its configuration anew
    Reconfig(reconfig::Args),
    /// Say what `reconfig` would change now, without changing it
    Diff(reconfig::Args),
    /// Show workers, running and waiting builds
    Status(status::Args),
    /// Show the machines of latent workers; --reap stops those that nobody knows
    Instances(instances::Args),
    /// Send one mail as a MailNotifier of the configuration does, and show the conversation
    MailTest(mail_test::Args),
    /// Show the messages that wait or were given up; --retry has those that wait tried at once
    Outbox(outbox::Args),
    /// Run one build without a running master
    Run(run::Args),
    /// Force a build on the running master
    Force(force::Args),
    /// Run a Lua file with the library of master.lua
    Lua(lua::Args),
    /// Run the tests that people write in Lua for their configuration and backends
    Test(test::Args),
    /// Try a latent worker's backend: does it keep what the master relies on?
    BackendTest(backend_test::Args),
    /// Write what lets an editor complete and check master.lua
    LuaTypes(lua_types::Args),
    /// Print shell completions
    Completions(completions::Args),
    /// Print the manual page, or the reference of master.lua
    Manual(completions::ManualArgs),
    /// Bring messages for a master, which starts this by itself
    #[command(hide = true)]
    Courier(courier::Args),
}

/// Where a master lives.
#[derive(clap::Args)]
pub struct Base {
    /// The base folder
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

pub fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(match cli.command {
        Command::Start(_) => "info",
        // What the file itself logs is for whoever runs it.
        Command::Lua(_) => "error,lua=info",
        _ => "error",
    });
    let done = match cli.command {
        Command::CreateMaster(args) => create_master::run(args),
        Command::Checkconfig(args) => checkconfig::run(args),
        Command::Start(args) => start::run(args),
        Command::Stop(args) => stop::run(args),
        Command::Reconfig(args) => reconfig::run(args),
        Command::Diff(args) => reconfig::diff(args),
        Command::Status(args) => status::run(args),
        Command::Instances(args) => instances::run(args),
        Command::MailTest(args) => mail_test::run(args),
        Command::Outbox(args) => outbox::run(args),
        Command::Run(args) => run::run(args),
        Command::Force(args) => force::run(args),
        Command::Lua(args) => lua::run(args),
        Command::Test(args) => test::run(args),
        Command::BackendTest(args) => backend_test::run(args),
        Command::LuaTypes(args) => lua_types::run(args),
        Command::Completions(args) => completions::run(args),
        Command::Manual(args) => completions::manual(args),
        Command::Courier(args) => courier::run(args),
    };
    done.unwrap_or_else(|e| {
        eprintln!("buildmoon: {e:#}");
        ExitCode::FAILURE
    })
}

/// `BUILDMOON_LOG=debug` shows more, `BUILDMOON_LOG=buildmoon::workers=debug` of one room.
fn log_to_stderr(default: &str) {
    let filter =
        tracing_subscriber::EnvFilter::try_from_env("BUILDMOON_LOG").unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    let terminal = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Veiled(std::io::stderr()))
        .with_ansi(terminal)
        .with_target(false)
        .init();
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("buildmoon").build()?)
}

/// SIGINT and SIGTERM, from when this is made; one that nobody waits for is kept.
struct Interrupts {
    term: Signal,
    int: Signal,
}

impl Interrupts {
    fn new() -> anyhow::Result<Interrupts> {
        Ok(Interrupts { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    /// The exit code of a run that the next one ends.
    async fn next(&mut self) -> ExitCode {
        tokio::select! {
            _ = self.term.recv() => ExitCode::from(143),
            _ = self.int.recv() => ExitCode::from(130),
        }
    }

    /// The work's outcome, or the exit code of a run that was interrupted: what the work has begun ends with it.
    async fn unless<T>(&mut self, work: impl Future<Output = T>) -> Result<T, ExitCode> {
        tokio::select! {
            done = work => Ok(done),
            code = self.next() => Err(code),
        }
    }
}

async fn unless_interrupted<T>(work: impl Future<Output = T>) -> anyhow::Result<Result<T, ExitCode>> {
    Ok(Interrupts::new()?.unless(work).await)
}

/// 0 for success, warnings and skipped; 1 for failure; else the result's number in the API (4 exception, 5 retry, 6 cancelled).
fn exit_code(results: Results) -> ExitCode {
    match results {
        Results::Success | Results::Warnings | Results::Skipped => ExitCode::SUCCESS,
        Results::Failure => ExitCode::FAILURE,
        other => ExitCode::from(other as u8),
    }
}

/// `NAME=VALUE`
fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("expected NAME=VALUE, got {text:?}")),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        super::Cli::command().debug_assert();
    }
}
