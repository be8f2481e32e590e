//! `buildmoon force SCHEDULER [DIR]`

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::{Map, Value as Json};

use super::Base;
use super::client::Client;
use crate::base::suggest::hint;
use crate::model::Results;

#[derive(clap::Args)]
pub struct Args {
    /// The force scheduler
    scheduler: String,
    #[command(flatten)]
    base: Base,
    /// The builder to force; may be given several times (default: all of the scheduler's)
    #[arg(long, value_name = "NAME")]
    builder: Vec<String>,
    /// A parameter of the form; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = super::property)]
    property: Vec<(String, String)>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Who asks (default: $USER)
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
    /// Follow the builds to their end; the exit code is that of the worst result
    #[arg(long)]
    wait: bool,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<ExitCode> {
    super::runtime()?.block_on(force(args))
}

async fn force(args: Args) -> Result<ExitCode> {
    let mut master = Client::connect(&args.base.dir).await?;
    let mut params = Map::new();
    let forms = master.rows("/api/v2/forceschedulers", "forceschedulers").await?;
    let Some(form) = forms.iter().find(|f| f["name"] == args.scheduler.as_str()) else {
        let names = forms.iter().filter_map(|f| f["name"].as_str());
        bail!("there is no force scheduler '{}'{}", args.scheduler, hint(&args.scheduler, names));
    };
    let mut known = Vec::new();
    field_names(&form["all_fields"], &mut known);
    for (name, value) in args.property {
        if !known.contains(&name) {
            bail!(
                "scheduler '{}' has no parameter '{name}'{}; it has: {}",
                args.scheduler,
                hint(&name, known.iter().map(String::as_str)),
                known.join(", ")
            );
        }
        params.insert(name, value.into());
    }
    if let Some(reason) = args.reason {
        params.insert("reason".into(), reason.into());
    }
    if let Some(owner) = args.owner.or_else(|| std::env::var("USER").ok()).filter(|o| !o.is_empty()) {
        params.insert("owner".into(), owner.into());
    }
    if !args.builder.is_empty() {
        params.insert("builderNames".into(), args.builder.into());
    }
    let result = master.control(&format!("/api/v2/forceschedulers/{}", encode(&args.scheduler)), "force", params.into()).await?;
    let requests: Vec<i64> = result[1].as_object().into_iter().flatten().filter_map(|(_, id)| id.as_i64()).collect();
    if args.json {
        println!("{result}");
    } else {
        let list: Vec<String> = requests.iter().map(i64::to_string).collect();
        println!("request {}", list.join(", "));
    }
    if !args.wait {
        return Ok(ExitCode::SUCCESS);
    }
    let mut worst = Results::Success;
    for request in requests {
        worst = worst.worst(follow(&mut master, request, args.json).await?);
    }
    Ok(super::exit_code(worst))
}

/// Tell what happens to a request until it has its result.
async fn follow(master: &mut Client, request: i64, quiet: bool) -> Result<Results> {
    let (mut waits, mut told_steps, mut told_build, mut told_end) = (String::new(), 0usize, 0, 0);
    let say = |text: String| {
        if !quiet {
            println!("{text}");
        }
    };
    loop {
        let rows = master.rows(&format!("/api/v2/buildrequests/{request}"), "buildrequests").await?;
        let Some(row) = rows.first() else { bail!("request {request} is gone") };
        let reason = row["waiting_for"]["text"].as_str().unwrap_or_default();
        if !reason.is_empty() && reason != waits {
            say(format!("waiting: {reason}"));
            waits = reason.to_owned();
        }
        let builds = master.rows(&format!("/api/v2/builds?buildrequestid={request}&order=-buildid&limit=1"), "builds").await?;
        if let Some(build) = builds.first() {
            let id = build["buildid"].as_i64().unwrap_or_default();
            if id != told_build {
                say(format!("build {} started", build["number"]));
                (told_build, told_steps) = (id, 0);
            }
            let steps = master.rows(&format!("/api/v2/builds/{id}/steps"), "steps").await?;
            for step in steps.iter().skip(told_steps).take_while(|s| s["complete"] == true) {
                say(format!("  {}", step["state_string"].as_str().unwrap_or_default()));
                told_steps += 1;
            }
            // Told once; a request that is run again goes on with its next build.
            if build["complete"] == true && told_end != id {
                say(format!("build {}: {}", build["number"], build["state_string"].as_str().unwrap_or_default()));
                told_end = id;
            }
        }
        if row["complete"] == true {
            let code = row["results"].as_i64().unwrap_or(-1);
            return Results::try_from(code).map_err(anyhow::Error::msg);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn field_names(fields: &Json, out: &mut Vec<String>) {
    for field in fields.as_array().into_iter().flatten() {
        match field.get("fields") {
            Some(inner) => field_names(inner, out),
            None => out.extend(field["fullName"].as_str().map(str::to_owned)),
        }
    }
}

/// A name as part of a path.
fn encode(name: &str) -> String {
    name.bytes()
        .map(|b| if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) { (b as char).to_string() } else { format!("%{b:02X}") })
        .collect()
}
