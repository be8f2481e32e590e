//! `buildmoon instances [DIR]`

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value as Json, json};

use super::Base;
use super::client::Client;
use crate::base::duration::human;
use crate::base::{Clock, SystemClock};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    base: Base,
    /// Print them as JSON
    #[arg(long)]
    json: bool,
    /// Also those that are gone
    #[arg(long)]
    all: bool,
    /// First look for machines that nobody knows, and stop them
    #[arg(long)]
    reap: bool,
}

/// Every provider is asked for its list, one after the other.
const REAP: Duration = Duration::from_secs(600);

pub fn run(args: Args) -> Result<ExitCode> {
    super::runtime()?.block_on(show(args))
}

async fn show(args: Args) -> Result<ExitCode> {
    let mut master = Client::connect(&args.base.dir).await?;
    let stopped = match args.reap {
        true => Some(master.control_within(REAP, "/api/v2/instances", "reap", json!({})).await?["stopped"].as_u64().unwrap_or_default()),
        false => None,
    };
    let path = if args.all { "/api/v2/instances" } else { "/api/v2/instances?gone_at=null" };
    let rows = master.rows(path, "instances").await?;
    if args.json {
        println!("{}", json!({ "instances": rows, "stopped": stopped }));
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(stopped) = stopped {
        println!("stopped: {stopped}");
    }
    println!("instances: {}", rows.len());
    let now = SystemClock.now().seconds();
    for row in &rows {
        println!("  {}", line(row, now));
    }
    if let Some(total) = total(&rows) {
        println!("{total}");
    }
    Ok(ExitCode::SUCCESS)
}

fn line(row: &Json, now: f64) -> String {
    let text = |field: &str| row[field].as_str().unwrap_or_default();
    let began = row["created_at"].as_f64().unwrap_or(now);
    let age = Duration::try_from_secs_f64(row["gone_at"].as_f64().unwrap_or(now) - began).unwrap_or_default();
    let mut line = format!("{:<24} {:<11} {:<10} {}", text("workername"), text("state"), human(age), handle(&row["handle"]));
    if let Some(price) = row["price_per_hour"].as_f64() {
        line += &format!(", {price:.3} an hour");
    }
    if let Some(cost) = row["cost"].as_f64() {
        line += &format!(", {cost:.2} so far");
    }
    if let Some(reason) = row["reason"].as_str() {
        line += &format!(" ({reason})");
    }
    if let (Some(error), true) = (row["stop_error"].as_str(), row["gone_at"].is_null()) {
        line += &format!("; {} tries to stop it failed: {error}", row["stop_tries"]);
    }
    line.trim_end().to_owned()
}

/// What those that run cost together, as far as prices are known.
fn total(rows: &[Json]) -> Option<String> {
    let running: Vec<&Json> = rows.iter().filter(|row| row["gone_at"].is_null()).collect();
    let sum = |field: &str| running.iter().filter_map(|row| row[field].as_f64()).sum::<f64>();
    let priced = running.iter().filter(|row| row["price_per_hour"].is_number()).count();
    let unknown = match running.len() - priced {
        0 => String::new(),
        n => format!(", and {n} of unknown price"),
    };
    (priced > 0).then(|| format!("together: {:.3} an hour, {:.2} so far{unknown}", sum("price_per_hour"), sum("cost")))
}

/// The shortest that tells it: an instance's id.
fn handle(handle: &Json) -> String {
    match handle {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        Json::Object(map) => map.get("instance").and_then(Json::as_str).map_or_else(|| handle.to_string(), str::to_owned),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_a_machine_does_and_what_it_costs() {
        let row = json!({ "workername": "bot", "state": "waiting", "handle": { "instance": "i-1" }, "created_at": 40.0, "cost": 1.234, "reason": null });
        assert_eq!(line(&row, 100.0), "bot                      waiting     1 min 0 s  i-1, 1.23 so far");
        let stuck = json!({ "workername": "bot", "state": "stopping", "created_at": 40.0, "price_per_hour": 0.25, "cost": 0.5,
            "reason": "idle", "stop_error": "throttled", "stop_tries": 3, "gone_at": null });
        assert!(line(&stuck, 100.0).ends_with(", 0.250 an hour, 0.50 so far (idle); 3 tries to stop it failed: throttled"));
        assert_eq!(total(&[row.clone(), stuck]).as_deref(), Some("together: 0.250 an hour, 1.73 so far, and 1 of unknown price"));
        assert_eq!(total(&[row]), None);
    }
}
