//! The built-in texts: for each kind of message a headline, rows of facts and blocks of lines, which two templates show as text and
//! as HTML. Pure.

use serde::Serialize;

use super::about::{About, Setting};
use super::clean::{self, line};
use super::context::{ended, source, stamps, summary, worker_name, worst};
use super::facts::{BuildFacts, RequestFacts, SetFacts};
use super::notice::{LeakNotice, ReloadNotice, WorkerNotice};
use super::tails;
use crate::base::Timestamp;
use crate::base::duration::human;
use crate::model::{Buildset, Results};

/// Of a value in a row.
const LONGEST: usize = 500;
const MOST_BUILDS: usize = 100;
const MOST_MISTAKES: usize = 50;
const MOST_PEOPLE: usize = 20;

/// A message before it is text.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct View {
    pub subject: String,
    pub headline: String,
    pub tone: Tone,
    pub rows: Vec<Row>,
    pub builds: Vec<Line>,
    pub blocks: Vec<Block>,
    /// What went wrong with the making of this message.
    pub note: Option<String>,
    pub title: String,
    pub home: Option<String>,
}

/// How good the news is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tone {
    Good,
    Fair,
    Bad,
    #[default]
    Plain,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Row {
    pub label: &'static str,
    pub value: String,
    pub link: Option<String>,
}

/// A build of a build set.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Line {
    pub name: String,
    pub text: String,
    pub tone: Tone,
    pub url: String,
    pub link: Option<String>,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Block {
    pub title: String,
    pub lines: Vec<String>,
}

fn tone(results: Option<Results>) -> Tone {
    match results {
        Some(Results::Success) => Tone::Good,
        Some(Results::Warnings) => Tone::Fair,
        Some(Results::Failure | Results::Exception) => Tone::Bad,
        _ => Tone::Plain,
    }
}

impl View {
    fn row(&mut self, label: &'static str, value: &str) {
        let value = line(value, LONGEST);
        if !value.is_empty() {
            self.rows.push(Row { label, value, link: None });
        }
    }

    fn url(&mut self, url: &str) {
        if !url.is_empty() {
            self.rows.push(Row { label: "Link", value: line(url, 2000), link: clean::link(url) });
        }
    }

    fn people(&mut self, label: &'static str, names: &[String]) {
        let mut shown: Vec<String> = names.iter().take(MOST_PEOPLE).map(|n| line(n, 100)).collect();
        if names.len() > MOST_PEOPLE {
            shown.push(format!("{} more", names.len() - MOST_PEOPLE));
        }
        self.row(label, &shown.join(", "));
    }

    fn sources(&mut self, set: &Buildset) {
        for stamp in stamps(set) {
            self.row("Source", &source(stamp));
        }
    }
}

pub fn view(about: &About<'_>, setting: &Setting<'_>) -> View {
    let mut view = match about {
        About::Started(build) => started(build, setting),
        About::Finished(build) => finished(build, setting),
        About::Set { set, builds, .. } => of_set(set, builds, setting),
        About::Pending(request) => of_request(request, false, setting),
        About::Cancelled(request) => of_request(request, true, setting),
        About::Missing(worker) => missing(worker),
        About::Returned(worker) => returned(worker),
        About::Leak(leak) => of_leak(leak),
        About::ReloadFailed(reload) => of_reload(reload),
    };
    view.title = line(setting.title, 200);
    if view.subject.is_empty() {
        view.subject = view.headline.clone();
    }
    view.subject = clean::subject(&format!("{} - {}", clean::line(&view.subject, 120), view.title));
    view.home = clean::link(setting.buildbot_url);
    view
}

/// `runtests #7`
fn name_of(build: &BuildFacts) -> String {
    format!("{} #{}", line(&build.builder.name, 80), build.build.number)
}

/// ` (main)`, of the first source stamp that has a branch.
fn branch(set: &Buildset) -> String {
    let branch = set.sourcestamps.iter().find_map(|(_, s)| s.branch.as_deref().filter(|b| !b.is_empty()));
    branch.map(|b| format!(" ({})", line(b, 40))).unwrap_or_default()
}

fn facts_of(view: &mut View, build: &BuildFacts, setting: &Setting<'_>) {
    view.row("Builder", &build.builder.name);
    if let Some(description) = &build.builder.description {
        view.row("", description);
    }
    view.row("Worker", worker_name(build));
    view.row("Reason", &build.request.buildset.reason);
    view.sources(&build.request.buildset);
    view.people("People", setting.blamelist);
}

fn started(build: &BuildFacts, setting: &Setting<'_>) -> View {
    let name = name_of(build);
    let mut view = View {
        subject: format!("{name} has started{}", branch(&build.request.buildset)),
        headline: format!("{name} has started."),
        ..View::default()
    };
    facts_of(&mut view, build, setting);
    view.row("Started", &clean::time(build.build.started_at));
    view.url(&build.url);
    view
}

fn finished(build: &BuildFacts, setting: &Setting<'_>) -> View {
    let Some(results) = build.build.results else { return started(build, setting) };
    let name = name_of(build);
    let before = build.previous.filter(|before| *before != results).map(|before| format!("; the build before: {before}"));
    let mut view = View {
        subject: format!("{name} {}{}", ended(results), branch(&build.request.buildset)),
        headline: format!("{name} {}.", ended(results)),
        tone: tone(Some(results)),
        ..View::default()
    };
    view.row("Result", &format!("{results}{}", before.unwrap_or_default()));
    let said = summary(build);
    if let Some((_, state)) = said.split_once(": ") {
        view.row("Summary", state);
    }
    facts_of(&mut view, build, setting);
    view.row("Started", &clean::time(build.build.started_at));
    if let Some(end) = build.build.complete_at {
        view.row("Took", &human(end.since(build.build.started_at)));
    }
    view.url(&build.url);
    view.blocks = failures(build, setting, "");
    view
}

/// The steps that went wrong, each with the end of what it printed.
fn failures(build: &BuildFacts, setting: &Setting<'_>, prefix: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    for step in tails::failing(build) {
        let (name, state) = (line(&step.step.name, 100), line(&step.step.state, 200));
        let took = match (step.step.started_at, step.step.complete_at) {
            (Some(from), Some(to)) => format!(" after {}", human(to.since(from))),
            _ => String::new(),
        };
        let results = step.step.results.unwrap_or(Results::Failure);
        let state = if state.is_empty() || state == name { String::new() } else { format!(": {state}") };
        let mut title = format!("{prefix}Step {} \"{name}\" {}{took}{state}", step.step.number, ended(results));
        let mut lines = Vec::new();
        if let Some((log, text)) = tails::telling(step).and_then(|log| Some((log, setting.logs.get(&log.id)?))) {
            let tail = tails::tail(log, text);
            if tail.lines > 0 {
                let of = if tail.more { format!("the last {} lines of", tail.lines) } else { "all of".to_owned() };
                title.push_str(&format!("\nLog \"{}\", {of} what it says", line(&log.name, 100)));
                lines = tail.text.lines().map(str::to_owned).collect();
            }
        }
        blocks.push(Block { title, lines });
    }
    blocks
}

fn of_set(set: &SetFacts, builds: &[&BuildFacts], setting: &Setting<'_>) -> View {
    let results = set.results.or_else(|| worst(builds));
    let how = results.map_or("is complete", ended);
    let name = format!("Build set {}", set.buildset.id);
    let mut names: Vec<String> = Vec::new();
    for build in builds.iter().filter(|b| b.build.results == results).take(MOST_BUILDS) {
        let name = line(&build.builder.name, 40);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let names = if names.is_empty() { String::new() } else { format!(": {}", line(&names.join(", "), 80)) };
    let mut view = View {
        subject: format!("{name} {how}{names}{}", branch(&set.buildset)),
        headline: format!("{name} {how}."),
        tone: tone(results),
        ..View::default()
    };
    if let Some(results) = results {
        view.row("Result", results.name());
    }
    let counts: Vec<String> = Results::ALL
        .into_iter()
        .filter_map(|r| match builds.iter().filter(|b| b.build.results == Some(r)).count() {
            0 => None,
            n => Some(format!("{n} {r}")),
        })
        .collect();
    view.row("Builds", &counts.join(", "));
    view.row("Reason", &set.buildset.reason);
    view.sources(&set.buildset);
    view.people("People", setting.blamelist);
    view.row("Asked", &clean::time(set.buildset.submitted_at));
    if let Some(end) = set.complete_at {
        view.row("Took", &human(end.since(set.buildset.submitted_at)));
    }
    for build in builds.iter().take(MOST_BUILDS) {
        let took = build.build.complete_at.map(|end| format!(" after {}", human(end.since(build.build.started_at))));
        let how = build.build.results.map_or("has started", ended);
        let on = format!(" on {}", line(worker_name(build), 80));
        view.builds.push(Line {
            name: name_of(build),
            text: format!("{how}{}{on}", took.unwrap_or_default()),
            tone: tone(build.build.results),
            url: line(&build.url, 2000),
            link: clean::link(&build.url),
        });
    }
    if builds.len() > MOST_BUILDS {
        view.row("", &format!("the first {MOST_BUILDS} of {} builds follow", builds.len()));
    }
    let blocks = builds.iter().flat_map(|b| failures(b, setting, &format!("{}: ", name_of(b))));
    view.blocks = blocks.take(tails::MOST_STEPS).collect();
    view
}

fn of_request(request: &RequestFacts, cancelled: bool, setting: &Setting<'_>) -> View {
    let builder = line(&request.builder.name, 80);
    let how = if cancelled { "was cancelled" } else { "waits" };
    let mut view = View {
        subject: format!("A build of {builder} {}{}", if cancelled { how } else { "is asked for" }, branch(&request.request.buildset)),
        headline: format!("The request of a build of {builder} {how}."),
        ..View::default()
    };
    view.row("Builder", &request.builder.name);
    view.row("Request", &request.request.id.to_string());
    view.row("Reason", &request.request.buildset.reason);
    view.sources(&request.request.buildset);
    view.people("People", setting.blamelist);
    view.row("Asked", &clean::time(request.request.submitted_at));
    if let Some(end) = request.complete_at {
        view.row("Cancelled", &clean::time(end));
    }
    view.url(&request.url);
    view
}

fn ago(at: Timestamp, now: Timestamp) -> String {
    format!("{} ({} ago)", clean::time(at), human(now.since(at)))
}

fn of_worker(view: &mut View, worker: &WorkerNotice, now: Timestamp) {
    let absence = &worker.absence;
    view.row("Worker", &absence.worker);
    view.row("Last seen", &absence.last_seen.map_or_else(|| "never".to_owned(), |at| ago(at, now)));
    view.row("From", absence.peer.as_deref().unwrap_or_default());
    view.row("Admin", worker.admin.as_deref().unwrap_or_default());
    view.row("Host", worker.host.as_deref().unwrap_or_default());
    view.row("Version", worker.version.as_deref().unwrap_or_default());
}

fn missing(worker: &WorkerNotice) -> View {
    let name = line(&worker.absence.worker, 100);
    let mut view = View {
        subject: format!("Worker {name} is missing"),
        headline: format!("Worker {name} is missing."),
        tone: Tone::Bad,
        ..View::default()
    };
    of_worker(&mut view, worker, worker.now);
    if worker.absence.last_seen.is_none() {
        view.row("Awaited", &format!("for {}", human(worker.now.since(worker.absence.since))));
    }
    view.row("Why", worker.why.as_deref().unwrap_or_default());
    for build in worker.building.iter().take(20) {
        let (value, link) = (format!("{} #{}", line(&build.builder, 80), build.number), clean::link(&build.url));
        view.rows.push(Row { label: "It ran", value, link });
    }
    view.url(&worker.url);
    view
}

fn returned(worker: &WorkerNotice) -> View {
    let name = line(&worker.absence.worker, 100);
    let mut view = View {
        subject: format!("Worker {name} is back"),
        headline: format!("Worker {name} is back after {}.", human(worker.now.since(worker.absence.since))),
        tone: Tone::Good,
        ..View::default()
    };
    of_worker(&mut view, worker, worker.now);
    view.row("Now", &clean::time(worker.now));
    view.url(&worker.url);
    view
}

fn of_leak(leak: &LeakNotice) -> View {
    let worker = line(&leak.worker, 100);
    let mut view = View {
        subject: format!("An instance of {worker} can't be stopped"),
        headline: format!("An instance of worker {worker} can't be stopped. As long as it runs, it may cost money."),
        tone: Tone::Bad,
        ..View::default()
    };
    view.row("Worker", &leak.worker);
    view.row("Instance", leak.handle.as_deref().unwrap_or("none is known"));
    view.row("Launch", &leak.launch);
    view.row("Backend", &leak.backend);
    view.row("Started", &ago(leak.started_at, leak.now));
    view.row("Stop asked", &format!("since {}: {}", ago(leak.stop_wanted_at, leak.now), leak.reason));
    view.row("Failure", &leak.failure);
    view
}

fn of_reload(reload: &ReloadNotice) -> View {
    let mut view = View {
        subject: "The new configuration is refused".to_owned(),
        headline: "The new configuration is refused; the one before goes on.".to_owned(),
        tone: Tone::Bad,
        ..View::default()
    };
    view.row("At", &clean::time(reload.at));
    let lines = reload.mistakes.iter().flat_map(|m| m.lines()).take(MOST_MISTAKES);
    let lines = lines.map(|m| clean::block(m).chars().take(LONGEST).collect()).collect();
    let title = match reload.mistakes.len() {
        0 => return view,
        1 => "1 mistake".to_owned(),
        n if n > MOST_MISTAKES => format!("{n} mistakes, of which the first follow"),
        n => format!("{n} mistakes"),
    };
    view.blocks.push(Block { title, lines });
    view
}
