//! `buildmoon outbox [DIR]`

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
    /// Print it as JSON
    #[arg(long)]
    json: bool,
    /// First have everything that waits tried at once
    #[arg(long)]
    retry: bool,
}

/// Messages of a kind that are listed; the rest is counted.
const LISTED: usize = 50;

pub fn run(args: Args) -> Result<ExitCode> {
    super::runtime()?.block_on(show(args))
}

async fn show(args: Args) -> Result<ExitCode> {
    let mut master = Client::connect(&args.base.dir).await?;
    let due = match args.retry {
        true => master.control("/api/v2/outbox", "retry", json!({})).await?["due"].as_u64(),
        false => None,
    };
    let waiting = master.rows("/api/v2/outbox?state=waiting&order=messageid", "outbox").await?;
    let given_up = master.rows("/api/v2/outbox?state=given%20up&order=messageid", "outbox").await?;
    let reporters = master.rows("/api/v2/reporters", "reporters").await?;
    if args.json {
        println!("{}", json!({ "waiting": waiting, "given_up": given_up, "reporters": reporters, "due": due }));
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(due) = due {
        println!("tried at once: {due}");
    }
    let now = SystemClock.now().seconds();
    for (title, field, rows) in [("waiting", "waiting", &waiting), ("given up", "given_up", &given_up)] {
        let total: u64 = reporters.iter().filter_map(|r| r[field].as_u64()).sum();
        println!("{title}: {total}");
        for row in rows.iter().take(LISTED) {
            println!("  {}", line(row, &reporters, now));
        }
        let more = total.saturating_sub(LISTED as u64);
        if more > 0 {
            println!("  and {more} more");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn line(row: &Json, reporters: &[Json], now: f64) -> String {
    let text = |field: &str| row[field].as_str().unwrap_or_default();
    let away = |field: &str, sign: f64| {
        let seconds = row[field].as_f64().map(|at| sign * (at - now));
        human(Duration::from_secs(seconds.and_then(|s| Duration::try_from_secs_f64(s).ok()).unwrap_or_default().as_secs()))
    };
    let gone = match reporters.iter().find(|r| r["name"] == row["reporter"]) {
        Some(reporter) if !reporter["class"].is_null() => "",
        _ => " (no longer configured)",
    };
    let attempts = match row["attempts"].as_u64().unwrap_or_default() {
        0 => "not tried yet".to_owned(),
        1 => "tried once".to_owned(),
        n => format!("tried {n} times"),
    };
    let next = match row["next_try"].as_f64() {
        Some(at) if at > now => format!(", again in {}", away("next_try", 1.0)),
        Some(_) => ", again now".to_owned(),
        None if text("state") == "given up" => format!(", given up {} ago", away("settled_at", -1.0)),
        None => String::new(),
    };
    let error = row["error"].as_str().map(|e| format!(": {e}")).unwrap_or_default();
    format!(
        "{:>6}  {}{gone}: {}, made {} ago, {attempts}{next}{error}",
        row["messageid"].as_i64().unwrap_or_default(),
        text("reporter"),
        text("about"),
        away("created_at", -1.0)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_often_it_was_tried_and_when_again() {
        let reporters = [json!({ "name": "m", "class": "MailNotifier" }), json!({ "name": "old", "class": null })];
        let row = json!({ "messageid": 7, "reporter": "m", "about": "build finished 3", "state": "waiting", "attempts": 4,
            "created_at": 40.0, "next_try": 180.5, "error": "refused" });
        let shown = |row: &Json| line(row, &reporters, 100.0);
        assert_eq!(shown(&row), "     7  m: build finished 3, made 1 min 0 s ago, tried 4 times, again in 1 min 20 s: refused");
        let changed = |more: Json| {
            let mut row = row.clone();
            more.as_object().into_iter().flatten().for_each(|(name, value)| row[name] = value.clone());
            shown(&row)
        };
        assert!(changed(json!({ "next_try": 99.0 })).ends_with("tried 4 times, again now: refused"));
        assert!(changed(json!({ "attempts": 0, "next_try": null, "error": null })).ends_with(" ago, not tried yet"));
        let lost = json!({ "attempts": 1, "next_try": null, "state": "given up", "settled_at": 90.0, "reporter": "old" });
        assert_eq!(
            changed(lost),
            "     7  old (no longer configured): build finished 3, made 1 min 0 s ago, tried once, given up 10.0 s ago: refused"
        );
    }
}
