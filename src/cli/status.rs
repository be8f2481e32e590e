//! `buildmoon status [DIR]`

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
}

/// Waiting requests that are listed; the rest is counted.
const LISTED: usize = 50;

pub fn run(args: Args) -> Result<ExitCode> {
    super::runtime()?.block_on(show(args))
}

async fn show(args: Args) -> Result<ExitCode> {
    let mut master = Client::connect(&args.base.dir).await?;
    let config = master.get("/api/v2/config").await?["config"].clone();
    let workers = master.rows("/api/v2/workers", "workers").await?;
    let builders = master.rows("/api/v2/builders", "builders").await?;
    let builds = master.rows("/api/v2/builds?complete=false", "builds").await?;
    let waiting = master.get(&format!("/api/v2/buildrequests?claimed=false&complete=false&limit={LISTED}")).await?;
    let total = waiting["meta"]["total"].as_u64();
    let mut waiting = waiting["buildrequests"].as_array().cloned().unwrap_or_default();
    for request in &mut waiting {
        let one = master.rows(&format!("/api/v2/buildrequests/{}", request["buildrequestid"]), "buildrequests").await?;
        request["waiting_for"] = one.first().map(|r| r["waiting_for"].clone()).unwrap_or_default();
    }
    let reporters = master.rows("/api/v2/reporters", "reporters").await?;
    if args.json {
        println!(
            "{}",
            json!({ "config": config, "workers": workers, "builds": builds, "waiting": waiting, "waiting_total": total, "reporters": reporters })
        );
        return Ok(ExitCode::SUCCESS);
    }
    let name_of = |rows: &[Json], field: &str, id: &Json| {
        rows.iter().find(|r| r[field] == *id).and_then(|r| r["name"].as_str()).map_or_else(|| format!("#{id}"), str::to_owned)
    };
    let reload = &config["reload"];
    let outcome = if reload["ok"] == true { "good" } else { "failed; the configuration before it is at work" };
    println!("configuration: generation {}, last load (number {}) {outcome}", config["generation"], reload["number"]);
    for mistake in reload["mistakes"].as_array().into_iter().flatten().filter_map(Json::as_str) {
        println!("  {mistake}");
    }
    let changed: Vec<&str> =
        config["files"].as_array().into_iter().flatten().filter(|f| f["changed"] == true).filter_map(|f| f["path"].as_str()).collect();
    if !changed.is_empty() {
        println!("  changed on disk, not loaded: {}", changed.join(", "));
    }
    println!("workers: {}", workers.len());
    for worker in &workers {
        println!("  {:<24} {}", worker["name"].as_str().unwrap_or_default(), worker_state(worker));
    }
    println!("running builds: {}", builds.len());
    for build in &builds {
        let (builder, worker) = (name_of(&builders, "builderid", &build["builderid"]), name_of(&workers, "workerid", &build["workerid"]));
        println!("  {builder} #{} on {worker}: {}", build["number"], build["state_string"].as_str().unwrap_or_default());
    }
    println!("waiting requests: {}", total.unwrap_or(waiting.len() as u64));
    for request in &waiting {
        let builder = name_of(&builders, "builderid", &request["builderid"]);
        println!(
            "  request {} of {builder}: {}",
            request["buildrequestid"],
            request["waiting_for"]["text"].as_str().unwrap_or("about to start")
        );
    }
    let lines: Vec<String> = reporters.iter().filter_map(|r| reporter_line(r, SystemClock.now().seconds())).collect();
    if !lines.is_empty() {
        println!("messages that were not sent:");
        lines.iter().for_each(|line| println!("  {line}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// None: it has sent everything.
fn reporter_line(r: &Json, now: f64) -> Option<String> {
    let count = |field: &str| r[field].as_u64().unwrap_or_default();
    let mut words = Vec::new();
    if count("waiting") > 0 {
        let oldest = Duration::try_from_secs_f64(now - r["oldest"].as_f64().unwrap_or(now)).unwrap_or_default();
        words.push(format!("{} waiting, the oldest for {}", count("waiting"), human(Duration::from_secs(oldest.as_secs()))));
    }
    if count("given_up") > 0 {
        words.push(format!("{} given up (see /api/v2/outbox?state=given%20up)", count("given_up")));
    }
    if words.is_empty() {
        return None;
    }
    let why = r["error"].as_str().map(|e| format!(": {e}")).unwrap_or_default();
    let gone = if r["class"].is_null() { " (no longer configured)" } else { "" };
    Some(format!("{}{gone}: {}{why}", r["name"].as_str().unwrap_or_default(), words.join("; ")))
}

fn worker_state(w: &Json) -> String {
    let mut words = Vec::new();
    if w["connected_to"].as_array().is_some_and(|c| !c.is_empty()) {
        words.push(match w["running_builds"].as_u64() {
            Some(0) | None => "idle".to_owned(),
            Some(1) => "1 build".to_owned(),
            Some(n) => format!("{n} builds"),
        });
    } else {
        words.push(match w["attach_error"].as_str() {
            Some(why) => format!("can't be attached: {why}"),
            None => "not attached".to_owned(),
        });
    }
    if w["paused"] == true {
        words.push(match w["pause_reason"].as_str() {
            Some(reason) => format!("paused: {reason}"),
            None => "paused".to_owned(),
        });
    }
    if let Some(why) = w["leaving"].as_str() {
        words.push(format!("leaving: {why}"));
    }
    if w["graceful"] == true {
        words.push("stopping".to_owned());
    }
    if !w["quarantined_until"].is_null() {
        words.push("quarantined".to_owned());
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reporters_with_trouble_have_a_line() {
        let quiet = json!({ "name": "m", "class": "MailNotifier", "waiting": 0, "given_up": 0, "oldest": null, "error": null });
        assert_eq!(reporter_line(&quiet, 100.0), None);
        let down = json!({ "name": "m", "class": null, "waiting": 3, "given_up": 1, "oldest": 40.0, "error": "refused" });
        let line =
            "m (no longer configured): 3 waiting, the oldest for 1 min 0 s; 1 given up (see /api/v2/outbox?state=given%20up): refused";
        assert_eq!(reporter_line(&down, 100.0).as_deref(), Some(line));
    }
}
