//! `BuilderConfig` and `BuildFactory`: what they are told, and what they are by default.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::arguments::{Arguments, Reader, arguments};
use super::assemble::{Assembly, Parsed};
use super::class::{ClassDecl, Holds, Kind};
use super::convert::{Dict, FromValue, OneOrMany, Wrong};
use super::instance::{FactoryRef, StepRef};
use super::lua_type::LuaType;
use super::spec::{BuilderSpec, Collapse, Env, FactorySpec, StepSpec};
use super::template::Arg;
use super::value::{FnRef, Object, Value};
use super::without_effect::{Ignored, Locks, NotYet};

arguments! {
    BuilderArgs {
        [1] "name" name: BuilderName, "The builder's name.", Identity;
        [2] "workername" | "slavename" workername: OneOrMany<String> = OneOrMany(Vec::new()) => "None", "The worker that it may use.", AtOnce;
        [3] "workernames" | "slavenames" workernames: OneOrMany<String> = OneOrMany(Vec::new()) => "{}", "The workers that it may use.", AtOnce;
        [4] "builddir" builddir: Option<String> = None => "the name with safe characters", "Its folder on the master.", AtOnce;
        [5] "workerbuilddir" | "slavebuilddir" workerbuilddir: Option<String> = None => "builddir", "Its folder on the workers.";
        [6] "factory" factory: FactoryRef, "What its builds do.";
        "tags" | "category" tags: OneOrMany<String> = OneOrMany(Vec::new()) => "{}", "Words to find it by.", AtOnce;
        "env" env: Arg<Env> = Arg::default() => "{}", "Environment of each command.";
        "properties" properties: Dict = Dict::default() => "{}", "Properties of its builds.";
        "defaultProperties" default_properties: Dict = Dict::default() => "{}", "The same, where a build has no such property yet.";
        "locks" _locks: Locks = Locks => "None", "Locks that each build takes.";
        "nextWorker" | "nextSlave" next_worker: Option<FnRef> = None => "None", "`function(builder, workers, request)`: which worker takes a request.", AtOnce;
        "nextBuild" next_build: Option<FnRef> = None => "None", "`function(builder, requests)`: which request is next.", AtOnce;
        "canStartBuild" can_start_build: Option<FnRef> = None => "None", "`function(builder, worker, request)`: may it start there now?", AtOnce;
        "collapseRequests" | "mergeRequests" collapse_requests: Collapse = Collapse::Inherit => "None", "Are equal requests one? A function decides on two; None: as for all builders.", AtOnce;
        "do_build_if" _do_build_if: NotYet = NotYet => "None", "`function(build)`: is the build to run at all?";
        "description" description: Option<String> = None => "None", "What it is for.", AtOnce;
        "description_format" description_format: Option<Format> = None => "None", "`markdown`, or None for plain text.", AtOnce;
        "project" _project: NotYet = NotYet => "None", "The project that it belongs to.";
    }
}

arguments! {
    FactoryArgs {
        [1] "steps" steps: Vec<StepRef> = Vec::new() => "{}", "The steps of a build, in their order.";
        "workdir" workdir: String = "build".into() => "\"build\"", "The folder of its steps, below the builder's.";
        "useProgress" _use_progress: Ignored = Ignored => "true", "Has no effect.";
    }
}

/// What the name of a folder may have on Linux and elsewhere.
const LONGEST_FOLDER: usize = 255;

pub(super) fn declare(list: &mut Vec<ClassDecl>) {
    list.push(ClassDecl::new::<BuilderArgs>("BuilderConfig", Kind::Builder, builder, "A builder: what is built, how, and where."));
    list.push(
        ClassDecl::new::<FactoryArgs>(
            "BuildFactory",
            Kind::Factory,
            factory,
            "The steps of a build. Methods: `addStep(step)`, `addSteps{ … }`.",
        )
        .holding(Holds::Steps),
    );
}

fn builder(reader: &mut Reader, object: &Object, assembly: &mut Assembly) -> Option<Parsed> {
    let args = BuilderArgs::read(reader)?;
    let factory = match assembly.parsed(&args.factory.0) {
        Some(Parsed::Factory(factory)) => factory,
        _ => return None,
    };
    let before = reader.mistakes.len();
    let mut seen = BTreeSet::new();
    let all = args.workername.0.into_iter().chain(args.workernames.0);
    let workers: Vec<String> = all.filter(|name| seen.insert(name.clone())).collect();
    if workers.is_empty() {
        reader.wrong("needs at least one worker ('workername' or 'workernames')");
    }
    let mut seen = BTreeSet::new();
    for tag in &args.tags.0 {
        if !seen.insert(tag) {
            reader.wrong(format!("'tags' has {tag:?} twice"));
        }
    }
    let builddir = args.builddir.unwrap_or_else(|| safe(&args.name.0));
    for (what, dir) in [("builddir", Some(&builddir)), ("workerbuilddir", args.workerbuilddir.as_ref())] {
        if dir.is_some_and(|d| d.trim().is_empty()) {
            reader.wrong(format!("'{what}' must not be empty"));
        }
        if dir.is_some_and(|d| d.split('/').any(|part| part.len() > LONGEST_FOLDER)) {
            reader.wrong(format!("'{what}' has a name of more than {LONGEST_FOLDER} bytes, which no file system takes"));
        }
    }
    (reader.mistakes.len() == before).then(|| {
        Parsed::Builder(Arc::new(BuilderSpec {
            name: args.name.0,
            workers,
            factory,
            workerbuilddir: args.workerbuilddir.unwrap_or_else(|| builddir.clone()),
            builddir,
            tags: args.tags.0,
            properties: args.properties.0,
            default_properties: args.default_properties.0,
            env: args.env,
            next_worker: args.next_worker,
            next_build: args.next_build,
            can_start_build: args.can_start_build,
            collapse_requests: args.collapse_requests,
            description: args.description,
            description_format: args.description_format.map(|f| f.0),
            place: object.place.clone(),
        }))
    })
}

fn factory(reader: &mut Reader, object: &Object, assembly: &mut Assembly) -> Option<Parsed> {
    let args = FactoryArgs::read(reader)?;
    let mut steps = Vec::with_capacity(args.steps.len());
    let mut whole = true;
    for step in &args.steps {
        match assembly.parsed(&step.0) {
            Some(Parsed::Step(step)) => steps.push(step),
            _ => whole = false,
        }
    }
    if args.workdir.is_empty() {
        reader.wrong("'workdir' must not be empty");
        return None;
    }
    whole.then(|| {
        Parsed::Factory(Arc::new(FactorySpec {
            class: object.custom_class.clone().unwrap_or_else(|| object.class.clone()),
            steps: with_names_of_their_own(steps),
            workdir: args.workdir,
            place: object.place.clone(),
        }))
    })
}

/// The second `compile` of a factory is `compile_1`. Names that are rendered get theirs in the build.
fn with_names_of_their_own(steps: Vec<Arc<StepSpec>>) -> Vec<Arc<StepSpec>> {
    let mut taken = BTreeSet::new();
    let mut next = BTreeMap::<String, u32>::new();
    let mut named = Vec::with_capacity(steps.len());
    for mut step in steps {
        if let Arg::Const(name) = &step.name
            && !taken.insert(name.clone())
        {
            let count = next.entry(name.clone()).or_default();
            let free = loop {
                *count += 1;
                let candidate = format!("{name}_{count}");
                if taken.insert(candidate.clone()) {
                    break candidate;
                }
            };
            Arc::make_mut(&mut step).name = Arg::Const(free);
        }
        named.push(step);
    }
    named
}

/// A builder's name as it may stand in a path.
fn safe(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() || c == '-' || c == '_' { c } else { '_' }).collect()
}

/// A name that a builder may have. One underscore in front is for builders that the master makes itself.
#[derive(Clone, Debug)]
pub(super) struct BuilderName(String);

impl FromValue for BuilderName {
    fn expected() -> String {
        "text".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("string")
    }

    fn from_value(value: &Value) -> Result<BuilderName, Wrong> {
        let name = String::from_value(value)?;
        match name.chars().next() {
            None => Err(Wrong::says("must not be empty")),
            Some('_') => Err(Wrong::says(format!("can't be \"{name}\": names with a leading underscore are reserved"))),
            Some(_) if name.chars().any(char::is_control) => Err(Wrong::says("must not have control characters")),
            Some(_) => Ok(BuilderName(name)),
        }
    }
}

/// How a description is written.
#[derive(Clone, Debug)]
pub(super) struct Format(String);

impl FromValue for Format {
    fn expected() -> String {
        "\"markdown\"".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("\"markdown\"")
    }

    fn from_value(value: &Value) -> Result<Format, Wrong> {
        match value {
            Value::Text(text) if text == "markdown" => Ok(Format(text.clone())),
            other => Err(Wrong::must("\"markdown\" or None", other)),
        }
    }
}
