//! What templates and functions are told of a message: builds, build sets and requests as REST shows them, and the words for what
//! became of them. Pure.

use serde_json::{Map, Value as Json, json};

use super::about::{About, Setting};
use super::clean;
use super::facts::{BuildFacts, BuilderFacts, RequestFacts, StepFacts};
use super::notice::WorkerNotice;
use crate::base::{BuilderId, Timestamp};
use crate::config::{WantedLogs, Wants};
use crate::model::{BuildRequest, Buildset, Log, Results, SourceStamp};

/// The number of the only master that there is.
const MASTER: i64 = 1;
/// Bytes of all logs that a context holds.
const LARGEST_CONTENT: usize = 8 << 20;

/// The whole context.
pub fn context(about: &About<'_>, wants: &Wants, setting: &Setting<'_>) -> Map<String, Json> {
    let mut ctx = Map::new();
    let mut set = |name: &str, value: Json| ctx.insert(name.to_owned(), value);
    set("result_names", Results::ALL.map(Results::name).to_vec().into());
    set("mode", setting.mode.into());
    set("buildbot_title", setting.title.into());
    set("buildbot_url", setting.buildbot_url.into());
    set("blamelist", setting.blamelist.into());
    set("is_buildset", matches!(about, About::Set { .. }).into());
    match about {
        About::Started(build) | About::Finished(build) => of_build(build, wants, setting, &mut ctx),
        About::Set { set, builds, .. } => {
            let results = set.results.or_else(|| worst(builds));
            let stamps = stamps(&set.buildset);
            let mut left = LARGEST_CONTENT;
            let all: Vec<Json> = builds.iter().map(|b| build_json(b, wants, setting, &mut left)).collect();
            let mut shown = buildset_json(&set.buildset);
            shown.insert("complete".into(), true.into());
            shown.insert("complete_at".into(), seconds(set.complete_at));
            shown.insert("results".into(), json!(results));
            shown.insert("external_idstring".into(), json!(set.external_idstring));
            let mut put = |name: &str, value: Json| ctx.insert(name.to_owned(), value);
            put("results", json!(results));
            put("buildset", shown.into());
            put("build", all.first().cloned().unwrap_or_default());
            put("buildername", builds.first().map_or("", |b| &*b.builder.name).into());
            put("workername", builds.first().map_or_else(Json::default, |b| worker_name(b).into()));
            put("build_url", builds.first().map_or_else(|| setting.buildbot_url.to_owned(), |b| b.url.clone()).into());
            put("builds", all.into());
            put("previous_results", Json::Null);
            put("projects", projects(&stamps, setting.title).into());
            put("sourcestamps", sources(&stamps).into());
            put("status_detected", results.map_or_else(String::new, |r| detected(setting.mode, r, None)).into());
            put("summary", results.map_or_else(String::new, |r| format!("The build set {}", ended(r))).into());
        }
        About::Pending(request) | About::Cancelled(request) => of_request(request, setting, &mut ctx),
        About::Missing(worker) | About::Returned(worker) => {
            let state = if matches!(about, About::Missing(_)) { "missing" } else { "returned" };
            ctx.insert("state".into(), state.into());
            ctx.insert("worker".into(), worker_json(worker));
        }
        About::Leak(_) | About::ReloadFailed(_) => {}
    }
    ctx
}

fn of_build(build: &BuildFacts, wants: &Wants, setting: &Setting<'_>, ctx: &mut Map<String, Json>) {
    let stamps = stamps(&build.request.buildset);
    let results = build.build.results;
    let mut set = |name: &str, value: Json| ctx.insert(name.to_owned(), value);
    let mut left = LARGEST_CONTENT;
    set("build", build_json(build, wants, setting, &mut left));
    set("buildset", buildset_json(&build.request.buildset).into());
    set("results", json!(results));
    set("previous_results", json!(build.previous));
    set("buildername", (*build.builder.name).into());
    set("workername", worker_name(build).into());
    set("build_url", build.url.clone().into());
    set("projects", projects(&stamps, setting.title).into());
    set("sourcestamps", sources(&stamps).into());
    set("status_detected", results.map_or_else(|| "started build".to_owned(), |r| detected(setting.mode, r, build.previous)).into());
    set("summary", summary(build).into());
}

fn of_request(request: &RequestFacts, setting: &Setting<'_>, ctx: &mut Map<String, Json>) {
    let stamps = stamps(&request.request.buildset);
    let mut shown = request_json(&request.request, request.results);
    shown.insert("complete_at".into(), seconds(request.complete_at));
    let mut set = |name: &str, value: Json| ctx.insert(name.to_owned(), value);
    // Those who wrote their formatters for builds find what there is of one.
    set(
        "build",
        json!({
            "builder": builder_json(request.request.builder, &request.builder),
            "buildrequest": shown,
            "buildset": buildset_json(&request.request.buildset),
            "properties": request.request.buildset.properties.to_api(),
            "complete": false,
            "results": request.results,
            "state_string": if request.results.is_some() { "cancelled" } else { "pending" },
            "url": request.url,
        }),
    );
    set("buildrequest", shown.into());
    set("buildset", buildset_json(&request.request.buildset).into());
    set("results", json!(request.results));
    set("previous_results", Json::Null);
    set("buildername", (*request.builder.name).into());
    set("workername", "<unknown>".into());
    set("build_url", request.url.clone().into());
    set("projects", projects(&stamps, setting.title).into());
    set("sourcestamps", sources(&stamps).into());
    let what = if request.results.is_some() { "cancelled request" } else { "pending request" };
    set("status_detected", what.into());
    set("summary", if request.results.is_some() { "The request was cancelled" } else { "The request waits" }.into());
}

fn seconds(at: Option<Timestamp>) -> Json {
    at.map_or(Json::Null, |at| at.seconds().into())
}

fn build_json(facts: &BuildFacts, wants: &Wants, setting: &Setting<'_>, left: &mut usize) -> Json {
    let build = &facts.build;
    let mut shown = json!({
        "buildid": build.id, "number": build.number, "builderid": build.builder, "buildrequestid": build.request,
        "workerid": build.worker, "masterid": MASTER, "started_at": build.started_at.seconds(),
        "complete": build.complete_at.is_some(), "complete_at": seconds(build.complete_at), "locks_duration_s": 0,
        "state_string": build.state, "results": build.results, "url": facts.url,
        "builder": builder_json(build.builder, &facts.builder),
        "buildrequest": request_json(&facts.request, build.results),
        "buildset": buildset_json(&facts.request.buildset),
    });
    if wants.properties {
        shown["properties"] = facts.properties.to_api().into();
    }
    if wants.steps {
        shown["steps"] = facts.steps.iter().map(|s| step_json(facts, s, wants, setting, left)).collect();
    }
    shown
}

fn builder_json(id: BuilderId, builder: &BuilderFacts) -> Json {
    json!({ "builderid": id, "name": &*builder.name, "description": builder.description, "tags": builder.tags, "masterids": [MASTER] })
}

fn request_json(request: &BuildRequest, results: Option<Results>) -> Map<String, Json> {
    let shown = json!({
        "buildrequestid": request.id, "buildsetid": request.buildset.id, "builderid": request.builder,
        "priority": request.priority, "submitted_at": request.submitted_at.seconds(),
        "complete": results.is_some(), "results": results, "waited_for": false,
    });
    as_map(shown)
}

fn as_map(json: Json) -> Map<String, Json> {
    if let Json::Object(map) = json { map } else { Map::new() }
}

fn buildset_json(set: &Buildset) -> Map<String, Json> {
    let stamps: Vec<Json> = set
        .sourcestamps
        .iter()
        .map(|(id, s)| {
            json!({
                "ssid": id, "codebase": s.codebase, "repository": s.repository, "project": s.project, "branch": s.branch,
                "revision": s.revision, "patch": null,
            })
        })
        .collect();
    as_map(json!({ "bsid": set.id, "reason": set.reason, "submitted_at": set.submitted_at.seconds(), "sourcestamps": stamps }))
}

fn step_json(build: &BuildFacts, facts: &StepFacts, wants: &Wants, setting: &Setting<'_>, left: &mut usize) -> Json {
    let step = &facts.step;
    let urls: Vec<Json> = facts.urls.iter().map(|(name, url)| json!({ "name": name, "url": url })).collect();
    let mut shown = json!({
        "stepid": step.id, "number": step.number, "name": step.name, "buildid": step.build, "started_at": seconds(step.started_at),
        "complete": step.complete_at.is_some(), "complete_at": seconds(step.complete_at), "state_string": step.state,
        "results": step.results, "hidden": step.hidden, "urls": urls,
    });
    if wants.logs {
        shown["logs"] = facts.logs.iter().map(|log| log_json(build, facts, log, &wants.content, setting, left)).collect();
    }
    shown
}

fn log_json(build: &BuildFacts, step: &StepFacts, log: &Log, wanted: &WantedLogs, setting: &Setting<'_>, left: &mut usize) -> Json {
    let mut shown = json!({
        "logid": log.id, "name": log.name, "slug": log.slug, "stepid": log.step, "complete": log.complete, "num_lines": log.num_lines,
        "type": log.kind.letter(), "url": format!("{}/steps/{}/logs/{}", build.url, step.step.number, log.slug),
        "stepname": step.step.name,
    });
    if let Some(text) = setting.logs.get(&log.id).filter(|_| wanted.wants(&step.step.name, &log.name)) {
        let content = String::from_utf8_lossy(&text.content);
        // The logs are read with a limit for all of them; one that grew by what was no UTF-8 is left out.
        if let Some(rest) = left.checked_sub(content.len()) {
            *left = rest;
            shown["content"] = json!({ "logid": log.id, "firstline": text.first_line, "content": content });
        }
    }
    shown
}

fn worker_json(worker: &WorkerNotice) -> Json {
    let building: Vec<Json> = worker.building.iter().map(|b| json!({ "builder": b.builder, "number": b.number, "url": b.url })).collect();
    let absence = &worker.absence;
    let info = json!({ "admin": worker.admin, "host": worker.host, "version": worker.version });
    json!({
        "name": absence.worker, "notify": worker.notify, "workerinfo": info, "last_seen": seconds(absence.last_seen),
        "last_connection": absence.last_seen.map_or_else(|| "never".to_owned(), clean::time), "since": absence.since.seconds(),
        "connected_from": absence.peer, "building": building, "why": worker.why, "url": worker.url,
    })
}

pub fn stamps(set: &Buildset) -> Vec<&SourceStamp> {
    set.sourcestamps.iter().map(|(_, stamp)| stamp).collect()
}

pub fn worker_name(build: &BuildFacts) -> &str {
    build.worker.as_deref().or_else(|| build.properties.text("workername")).unwrap_or("<unknown>")
}

/// The projects, or the title where none is named.
pub fn projects(stamps: &[&SourceStamp], title: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for stamp in stamps.iter().filter(|s| !s.project.is_empty()) {
        if !names.contains(&&*stamp.project) {
            names.push(&stamp.project);
        }
    }
    if names.is_empty() { title.to_owned() } else { names.join(", ") }
}

/// Where the source came from, a line for each codebase.
pub fn sources(stamps: &[&SourceStamp]) -> String {
    stamps.iter().map(|s| source(s)).collect::<Vec<_>>().join("\n")
}

/// `branch main, revision 1a2b3c of https://example.org/hello.git`
pub fn source(stamp: &SourceStamp) -> String {
    let mut parts = Vec::new();
    if let Some(branch) = stamp.branch.as_deref().filter(|b| !b.is_empty()) {
        parts.push(format!("branch {branch}"));
    }
    parts.push(match stamp.revision.as_deref().filter(|r| !r.is_empty()) {
        Some(revision) => format!("revision {revision}"),
        None => "the newest revision".to_owned(),
    });
    let mut text = parts.join(", ");
    if !stamp.repository.is_empty() {
        text.push_str(&format!(" of {}", stamp.repository));
    }
    if stamp.codebase.is_empty() { text } else { format!("{}: {text}", stamp.codebase) }
}

/// What became of the build, as words that stand after "a".
pub fn detected(mode: &[String], results: Results, previous: Option<Results>) -> String {
    let has = |word: &str| mode.iter().any(|m| m == word);
    let differs = previous.is_some_and(|before| before != results);
    match results {
        Results::Success if differs && (has("change") || has("passing")) => "repaired build",
        Results::Success => "passing build",
        Results::Warnings => "build with warnings",
        Results::Failure if differs && (has("change") || has("problem")) => "new failure",
        Results::Failure => "failed build",
        Results::Skipped => "skipped build",
        Results::Exception => "broken build",
        Results::Retry => "lost build that is tried again",
        Results::Cancelled => "cancelled build",
    }
    .to_owned()
}

/// After "the build".
pub fn ended(results: Results) -> &'static str {
    match results {
        Results::Success => "passed",
        Results::Warnings => "passed with warnings",
        Results::Failure => "failed",
        Results::Skipped => "was skipped",
        Results::Exception => "broke off with an exception",
        Results::Retry => "was lost and is tried again",
        Results::Cancelled => "was cancelled",
    }
}

/// How it went, as a sentence.
pub fn summary(build: &BuildFacts) -> String {
    match build.build.results {
        None => "The build has started".to_owned(),
        Some(results) => {
            let state = clean::line(&build.build.state, 300);
            let says_more = !state.is_empty() && !["finished", "build successful"].contains(&state.as_str());
            format!("The build {}{}", ended(results), if says_more { format!(": {state}") } else { String::new() })
        }
    }
}

pub fn worst(builds: &[&BuildFacts]) -> Option<Results> {
    builds.iter().filter_map(|b| b.build.results).reduce(Results::worst)
}
