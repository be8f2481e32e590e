//! `buildmoon reconfig [DIR]`, and `buildmoon diff [DIR]`, which only says what it would change.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value as Json, json};

use super::Base;
use super::client::Client;
use super::stop::locked;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    base: Base,
    /// Print what came of it as JSON
    #[arg(long)]
    json: bool,
    /// Say nothing if all is well
    #[arg(short, long)]
    quiet: bool,
    /// Seconds to wait for the answer
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    timeout: u64,
}

/// A master that starts has no socket yet; so often it is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// As good as for ever, and within what a clock can count.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Exchange the configuration, or only compare.
#[derive(Clone, Copy, PartialEq)]
enum Call {
    Reload,
    Diff,
}

pub fn run(args: Args) -> Result<ExitCode> {
    super::runtime()?.block_on(ask(args, Call::Reload))
}

/// `buildmoon diff`
pub fn diff(args: Args) -> Result<ExitCode> {
    super::runtime()?.block_on(ask(args, Call::Diff))
}

async fn ask(args: Args, call: Call) -> Result<ExitCode> {
    let until = Instant::now() + Duration::from_secs(args.timeout).min(LONGEST);
    let mut progress = Progress::new(call);
    let asked = async {
        let mut master = connect(&args.base.dir, until).await?;
        let left = until.saturating_duration_since(Instant::now());
        master.control_within(left, "/api/v2/config", call.method(), json!({})).await
    };
    tokio::pin!(asked);
    let answer = loop {
        tokio::select! {
            answer = &mut asked => break answer,
            () = tokio::time::sleep(Duration::from_secs(1)) => progress.show(),
        }
    };
    progress.end();
    let reload = answer?;
    let good = reload["ok"] == true;
    if args.json {
        println!("{reload}");
    } else if good {
        if !args.quiet {
            print_changes(&reload, call);
            texts(&reload["warnings"]).for_each(|warning| eprintln!("warning: {warning}"));
        }
    } else {
        for mistake in texts(&reload["mistakes"]) {
            eprintln!("{mistake}");
        }
        match call {
            Call::Reload => eprintln!("buildmoon: the configuration was not loaded; the one before stays at work"),
            Call::Diff => eprintln!("buildmoon: a reload would be refused"),
        }
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A master that is just starting is waited for.
async fn connect(folder: &Path, until: Instant) -> Result<Client> {
    loop {
        match Client::connect(folder).await {
            Err(_) if Instant::now() < until && locked(&folder.join("buildmoon.pid")) => tokio::time::sleep(LOOK_EVERY).await,
            other => return other,
        }
    }
}

impl Call {
    fn method(self) -> &'static str {
        match self {
            Call::Reload => "reload",
            Call::Diff => "diff",
        }
    }
}

fn print_changes(reload: &Json, call: Call) {
    let changes = reload["changes"].as_array().map(Vec::as_slice).unwrap_or_default();
    if changes.is_empty() {
        let files: Vec<&str> = texts(&reload["changed_files"]).collect();
        let files = files.join(", ");
        match (call, files.is_empty()) {
            (Call::Reload, true) => println!("reloaded; no object is different"),
            (Call::Reload, false) => println!("reloaded; no object is different; functions are those of the changed {files}"),
            (Call::Diff, true) => println!("a reload would change nothing"),
            (Call::Diff, false) => println!("no object would be different; functions would be those of the changed {files}"),
        }
        return;
    }
    for change in changes {
        println!("{}", change["text"].as_str().unwrap_or_default());
    }
    if let Some(more) = reload["more_changes"].as_u64().filter(|n| *n > 0) {
        println!("and {more} more changes");
    }
}

fn texts(list: &Json) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Json::as_str)
}

/// One line on a terminal that says that something happens.
struct Progress {
    call: Call,
    begun: Instant,
    shown: bool,
}

impl Progress {
    fn new(call: Call) -> Progress {
        Progress { call, begun: Instant::now(), shown: false }
    }

    fn show(&mut self) {
        let mut out = std::io::stderr();
        if out.is_terminal() {
            // A terminal that is gone is no failure of the reload.
            let _ = write!(
                out,
                "\r\x1b[K{} … {} s",
                if self.call == Call::Reload { "reloading" } else { "comparing" },
                self.begun.elapsed().as_secs()
            );
            let _ = out.flush();
            self.shown = true;
        }
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
