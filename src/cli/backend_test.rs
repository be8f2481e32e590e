//! `buildmoon backend-test FILE.lua`

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::{Map, Value as Json, json};

use super::mistakes::{Severity, Shown, colour};
use crate::latent::conformance::{self, Finding, Open, Settings, Verdict};
use crate::master::StartError;
use crate::master::bench::{Chosen, ConfiguredBench, Wanted};

/// How long a call is left hanging before it is cut off.
const HANG: Duration = Duration::from_secs(2);

#[derive(clap::Args)]
pub struct Args {
    /// A configuration with a latent worker in c.workers; instances are really started, so let it name a place for tests
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Test the first worker of this class
    #[arg(long, value_name = "NAME")]
    class: Option<String>,
    /// Test this worker
    #[arg(long, value_name = "NAME")]
    worker: Option<String>,
    /// A property of the build that instances are started for
    #[arg(long, value_name = "NAME=VALUE", value_parser = super::property)]
    property: Vec<(String, String)>,
    /// Seconds that each call may take
    #[arg(long, value_name = "SECONDS", default_value_t = 120.0)]
    timeout: f64,
    /// Seconds that the evaluation may take
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    config_timeout: u64,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<ExitCode> {
    super::runtime()?.block_on(test(args))
}

async fn test(args: Args) -> Result<ExitCode> {
    let limit = Duration::try_from_secs_f64(args.timeout).ok().filter(|t| !t.is_zero());
    let Some(limit) = limit else { bail!("--timeout must be a number of seconds above 0, got {}", args.timeout) };
    let wanted = Wanted {
        path: args.file.clone(),
        class: args.class.clone(),
        worker: args.worker.clone(),
        config_timeout: Duration::from_secs(args.config_timeout),
    };
    let (bench, chosen) = match ConfiguredBench::open(wanted).await {
        Ok(opened) => opened,
        Err(StartError::Configuration(mistakes, surroundings)) => {
            let folder = args.file.parent().unwrap_or(std::path::Path::new(""));
            let shown = Shown { surroundings: &surroundings, folder, colour: colour(std::io::stderr().is_terminal()) };
            for mistake in &mistakes {
                eprintln!("{}", shown.text(mistake, Severity::Mistake));
            }
            return Ok(ExitCode::FAILURE);
        }
        Err(StartError::Other(e)) => return Err(e),
    };
    if !args.json {
        println!("{}, worker {}; instances carry the mark {}", chosen.class, chosen.worker, bench.mark());
        for warning in &chosen.warnings {
            println!("  warning: {warning}");
        }
    }
    let properties: Map<String, Json> = args.property.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    let settings = Settings { worker: chosen.worker.as_str().into(), properties, limit, hang: HANG.min(limit) };
    let open = Open::default();
    let told = |finding: &Finding| {
        // Without an instance nothing else can be tried: that is said once.
        if !args.json && finding.verdict != Verdict::Untried(conformance::NOTHING_STARTED.into()) {
            println!("{}", line(finding));
        }
    };
    let ended = super::unless_interrupted(conformance::run(&bench, settings, &open, told)).await?;
    let findings = match ended {
        Ok(Ok(findings)) => findings,
        Ok(Err(why)) => bail!(why),
        Err(code) => {
            eprintln!("interrupted: what was started is stopped");
            for left in conformance::clean(&bench, &open, limit).await {
                eprintln!("  {left}");
            }
            return Ok(code);
        }
    };
    let broken = findings.iter().filter(|f| matches!(f.verdict, Verdict::Broken(_))).count();
    if args.json {
        println!("{}", json_of(&chosen, bench.mark(), &findings));
    } else {
        println!("{}", summary(&findings));
    }
    Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn paint(code: &str, text: &str) -> String {
    if colour(std::io::stdout().is_terminal()) { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

fn line(finding: &Finding) -> String {
    let promise = finding.promise;
    match &finding.verdict {
        Verdict::Holds => format!("  {} {promise}", paint("32", "ok  ")),
        Verdict::Broken(why) => format!("  {} {promise}\n       {why}", paint("31", "FAIL")),
        Verdict::Untried(why) => format!("  {} {promise} ({why})", paint("33", "skip")),
    }
}

fn summary(findings: &[Finding]) -> String {
    let count = |of: fn(&Verdict) -> bool| findings.iter().filter(|f| of(&f.verdict)).count();
    let mut parts = vec![format!("{} hold", count(|v| *v == Verdict::Holds))];
    let broken = count(|v| matches!(v, Verdict::Broken(_)));
    let untried = count(|v| matches!(v, Verdict::Untried(_)));
    parts.extend((broken > 0).then(|| format!("{broken} do not hold")));
    parts.extend((untried > 0).then(|| format!("{untried} could not be tried")));
    parts.join(", ")
}

fn json_of(chosen: &Chosen, mark: &str, findings: &[Finding]) -> Json {
    let one = |finding: &Finding| {
        let (verdict, why) = match &finding.verdict {
            Verdict::Holds => ("holds", None),
            Verdict::Broken(why) => ("broken", Some(why)),
            Verdict::Untried(why) => ("untried", Some(why)),
        };
        json!({ "name": finding.name, "promise": finding.promise, "verdict": verdict, "why": why, "seconds": finding.took.as_secs_f64() })
    };
    json!({
        "ok": !findings.iter().any(|f| matches!(f.verdict, Verdict::Broken(_))),
        "class": chosen.class,
        "worker": chosen.worker,
        "mark": mark,
        "warnings": chosen.warnings,
        "findings": findings.iter().map(one).collect::<Vec<_>>(),
    })
}
