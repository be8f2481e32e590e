//! What a builder is made of, and where each part was declared: `buildmoon checkconfig --explain BUILDER`. It only reads the
//! configuration.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value as Json, json};

use crate::base::suggest;
use crate::config::{Arg, BuilderSpec, MasterConfig, Place, SchedulerKind, SchedulerSpec, StepSpec, WorkerSpec};

/// The error says which builder was perhaps meant.
pub(super) fn builder<'a>(config: &'a MasterConfig, name: &str) -> Result<&'a BuilderSpec, String> {
    config.builders.iter().find(|b| b.name == name).map(|b| &**b).ok_or_else(|| {
        let hint = suggest::hint(name, config.builders.iter().map(|b| b.name.as_str()));
        format!("there is no builder '{name}'{hint}")
    })
}

/// One part: what it is called, its class, and where it was declared.
struct Row<'a> {
    name: String,
    class: &'a str,
    place: &'a Place,
}

fn worker<'a>(name: &str, config: &'a MasterConfig) -> Option<Row<'a>> {
    let spec: &WorkerSpec = config.workers.iter().find(|w| w.name == name)?;
    Some(Row { name: name.to_owned(), class: spec.kind.class(), place: &spec.place })
}

fn scheduler(spec: &SchedulerSpec) -> Row<'_> {
    let class = match spec.kind {
        SchedulerKind::Force(_) => "ForceScheduler",
    };
    Row { name: spec.name.clone(), class, place: &spec.place }
}

fn step(spec: &StepSpec) -> Row<'_> {
    let name = match &spec.name {
        Arg::Const(name) => name.clone(),
        _ => "(named in the build)".to_owned(),
    };
    Row { name, class: &spec.class, place: &spec.place }
}

struct Parts<'a> {
    workers: Vec<Row<'a>>,
    schedulers: Vec<Row<'a>>,
    steps: Vec<Row<'a>>,
}

fn parts<'a>(builder: &'a BuilderSpec, config: &'a MasterConfig) -> Parts<'a> {
    Parts {
        workers: builder.workers.iter().filter_map(|name| worker(name, config)).collect(),
        schedulers: config.schedulers.iter().filter(|s| s.builders.contains(&builder.name)).map(|s| scheduler(s)).collect(),
        steps: builder.factory.steps.iter().map(|s| step(s)).collect(),
    }
}

pub(super) fn text(builder: &BuilderSpec, config: &MasterConfig) -> String {
    let parts = parts(builder, config);
    let mut out = format!("builder {} ({})\n", builder.name, builder.place);
    // Writing to a text can't fail.
    let _ = writeln!(out, "  folder {} on the workers", builder.workerbuilddir);
    if !builder.tags.is_empty() {
        let _ = writeln!(out, "  tags {}", builder.tags.join(", "));
    }
    section(&mut out, "workers", &parts.workers);
    section(&mut out, "schedulers", &parts.schedulers);
    let _ = writeln!(out, "  factory {} ({})", builder.factory.class, builder.factory.place);
    section(&mut out, "steps", &parts.steps);
    // The later wins.
    let properties: BTreeMap<_, _> = builder.default_properties.iter().chain(&config.properties).chain(&builder.properties).collect();
    if !properties.is_empty() {
        let _ = writeln!(out, "  properties");
        for (name, value) in properties {
            let _ = writeln!(out, "    {name} = {value}");
        }
    }
    out
}

fn section(out: &mut String, title: &str, rows: &[Row]) {
    let _ = writeln!(out, "  {title}{}", if rows.is_empty() { ": none" } else { "" });
    let names = rows.iter().map(|r| r.name.chars().count()).max().unwrap_or(0);
    let classes = rows.iter().map(|r| r.class.len()).max().unwrap_or(0);
    for row in rows {
        let _ = writeln!(out, "    {:names$}  {:classes$}  {}", row.name, row.class, row.place);
    }
}

pub(super) fn json(builder: &BuilderSpec, config: &MasterConfig) -> Json {
    let rows = |rows: &[Row]| -> Vec<Json> {
        rows.iter().map(|r| json!({ "name": r.name, "class": r.class, "file": r.place.file, "line": r.place.line })).collect()
    };
    let parts = parts(builder, config);
    json!({
        "name": builder.name,
        "file": builder.place.file,
        "line": builder.place.line,
        "workerbuilddir": builder.workerbuilddir,
        "tags": builder.tags,
        "workers": rows(&parts.workers),
        "schedulers": rows(&parts.schedulers),
        "factory": { "class": builder.factory.class, "file": builder.factory.place.file, "line": builder.factory.place.line },
        "steps": rows(&parts.steps),
        "properties": builder.properties,
        "defaultProperties": builder.default_properties,
    })
}
