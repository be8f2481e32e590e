//! Makes a [`MasterConfig`] of what a file said, or tells every mistake in it: each object once, then what objects say of
//! each other. Knows neither Lua nor files.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use regex::Regex;

use super::arguments::Reader;
use super::class::{Kind, class_named};
use super::diff::Said;
use super::formatters::FormatterSpec;
use super::latent;
use super::reporters;
use super::reports::{GeneratorSpec, ReporterSpec};
use super::root::{self, BuilderItem};
use super::spec::*;
use super::value::with_article;
use super::value::{Mistake, Object, Place, Table, Value};
use crate::base::suggest;

/// An object, understood.
#[derive(Clone)]
pub enum Parsed {
    Worker(Arc<WorkerSpec>),
    Builder(Arc<BuilderSpec>),
    Factory(Arc<FactorySpec>),
    Step(Arc<StepSpec>),
    ShellArg(Arc<ShellArgSpec>),
    Scheduler(Arc<SchedulerSpec>),
    Parameter(Arc<Parameter>),
    Renderable,
    SecretProvider(Arc<SecretProviderSpec>),
    Reporter(Arc<ReporterSpec>),
    Generator(Arc<GeneratorSpec>),
    Formatter(Arc<FormatterSpec>),
}

/// What was understood so far, and every mistake so far.
pub struct Assembly {
    /// None: it has mistakes, which are told.
    parsed: HashMap<u64, Option<Parsed>>,
    /// Objects that are looked at themselves, so that what holds them needs not tell their mistakes.
    known: HashSet<u64>,
    /// With the number of the object, which orders them.
    mistakes: Vec<(u64, Mistake)>,
    warnings: Vec<(u64, Mistake)>,
    /// Warnings that are told once.
    warned: HashSet<String>,
    /// A thousand steps with one pattern share it.
    regexes: HashMap<String, Regex>,
    said_at: SaidAt,
}

/// Lines of names that were assigned by themselves, not within a constructor.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct SaidAt {
    /// Of keys of `BuildmasterConfig`.
    pub keys: HashMap<String, Place>,
    /// Of arguments, by the number of the object.
    pub arguments: HashMap<u64, HashMap<String, Place>>,
}

impl SaidAt {
    fn find(&self, order: u64, name: &str) -> Option<&Place> {
        if order == AFTER_ALL { self.keys.get(name) } else { self.arguments.get(&order)?.get(name) }
    }
}

/// The order of what is said of no object: after all objects.
const AFTER_ALL: u64 = u64::MAX;

/// Plain tables that stand for builders get numbers from here on.
const TABLES: u64 = 1 << 62;

/// `root` is what `BuildmasterConfig` holds; `objects` are all instances that the file made, in their order, used or not.
pub fn assemble(root: &Table, root_place: &Place, objects: &[Arc<Object>], said_at: SaidAt) -> Result<MasterConfig, Vec<Mistake>> {
    let mut assembly = Assembly::of(objects, said_at);
    let read = root::read(root, &mut |name, reader| {
        let subject = if name.is_empty() { "BuildmasterConfig".to_string() } else { format!("BuildmasterConfig.{name}") };
        // A table of settings has the line of its key.
        let key = name.split('.').next().unwrap_or_default();
        let place = assembly.said_at.keys.get(key).unwrap_or(root_place).clone();
        assembly.tell(AFTER_ALL, &place, &subject, reader);
    });
    let config = read.map(|read| assembly.whole(read, root, root_place));
    assembly.end(config, root_place)
}

/// A step that was made while a build runs: understood by itself, or its mistakes as one text.
pub fn step(object: &Arc<Object>) -> Result<Arc<StepSpec>, String> {
    let mut assembly = Assembly::of(std::slice::from_ref(object), SaidAt::default());
    match assembly.parsed(object) {
        Some(Parsed::Step(step)) if assembly.mistakes.is_empty() => Ok(step),
        _ => {
            let told: Vec<String> = without_repeats(assembly.mistakes, &object.place).iter().map(ToString::to_string).collect();
            Err(if told.is_empty() { format!("must be a step, got {}", with_article(&object.class)) } else { told.join("\n") })
        }
    }
}

/// What one object says wrong, without a configuration around it.
#[cfg(test)]
pub(super) fn mistakes_of(object: &Arc<Object>) -> Vec<Mistake> {
    let mut mistakes = Assembly::of(std::slice::from_ref(object), SaidAt::default()).mistakes;
    mistakes.sort_by_key(|(order, _)| *order);
    without_repeats(mistakes, &object.place)
}

impl Assembly {
    fn of(objects: &[Arc<Object>], said_at: SaidAt) -> Assembly {
        let mut assembly = Assembly {
            parsed: HashMap::with_capacity(objects.len()),
            known: objects.iter().map(|o| o.id).collect(),
            mistakes: Vec::new(),
            warnings: Vec::new(),
            warned: HashSet::new(),
            regexes: HashMap::new(),
            said_at,
        };
        for object in objects {
            assembly.parsed(object);
        }
        assembly
    }

    /// What an object is; none if it has mistakes.
    pub fn parsed(&mut self, object: &Arc<Object>) -> Option<Parsed> {
        if let Some(parsed) = self.parsed.get(&object.id) {
            return parsed.clone();
        }
        let parsed = match class_named(&object.class) {
            Some(class) => {
                let mut reader = Reader::of_object(class, object);
                let parsed = (class.build)(&mut reader, object, self);
                let whole = reader.mistakes.is_empty();
                self.tell(object.id, &object.place, &subject(object), reader);
                parsed.filter(|_| whole)
            }
            None => {
                let text = format!("there is no class '{}'", object.class);
                self.mistake(object.id, &object.place, &subject(object), text);
                None
            }
        };
        self.parsed.insert(object.id, parsed.clone());
        parsed
    }

    /// The pattern, compiled; as in Python's `match` it holds from the start of what it is tried on. The error is a mistake's text.
    pub fn regex(&mut self, argument: &str, pattern: &str) -> Result<Regex, String> {
        // By itself first: `a)(b` must not become right by the group around it.
        self.regex_anywhere(argument, pattern)?;
        self.regex_anywhere(argument, &format!("^(?:{pattern})"))
    }

    /// The same without the anchor.
    pub fn regex_anywhere(&mut self, argument: &str, pattern: &str) -> Result<Regex, String> {
        if let Some(regex) = self.regexes.get(pattern) {
            return Ok(regex.clone());
        }
        let compiled = Regex::new(pattern);
        let regex = compiled.map_err(|e| {
            let why = e.to_string();
            let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            format!("'{argument}' must be a regular expression, got {}: {why}", Value::Text(pattern.into()).describe())
        })?;
        self.regexes.insert(pattern.into(), regex.clone());
        Ok(regex)
    }

    fn tell(&mut self, order: u64, place: &Place, subject: &str, reader: Reader) {
        for fault in reader.mistakes {
            if fault.of.is_none_or(|id| !self.known.contains(&id)) {
                let own = fault.about.and_then(|name| self.said_at.find(order, &name).cloned());
                self.mistake(order, own.as_ref().unwrap_or(place), subject, fault.text);
            }
        }
        for warning in reader.warnings {
            if warning.about.is_none_or(|about| self.warned.insert(about)) {
                let own = warning.name.and_then(|name| self.said_at.find(order, &name).cloned());
                self.warnings.push((order, said(own.as_ref().unwrap_or(place), subject, warning.text)));
            }
        }
    }

    fn mistake(&mut self, order: u64, place: &Place, subject: &str, text: String) {
        self.mistakes.push((order, said(place, subject, text)));
    }

    fn warn(&mut self, order: u64, place: &Place, subject: &str, text: String) {
        self.warnings.push((order, said(place, subject, text)));
    }

    /// What the objects say of each other.
    fn whole(&mut self, read: root::Root, said: &Table, root_place: &Place) -> MasterConfig {
        let root::Root { workers, builders, schedulers, secrets_providers, reporters, mut config } = read;
        let builders: Vec<Arc<Object>> = builders
            .into_iter()
            .enumerate()
            .map(|(i, item)| match item {
                BuilderItem::Object(object) => object,
                BuilderItem::Table(table) => Arc::new(Object {
                    id: TABLES + i as u64,
                    class: "BuilderConfig".into(),
                    custom_class: None,
                    args: (*table).clone(),
                    methods: None,
                    code: None,
                    own: None,
                    place: self.said_at.keys.get("builders").unwrap_or(root_place).clone(),
                }),
            })
            .collect();
        for object in builders.iter().chain(&workers).chain(&schedulers).chain(&secrets_providers).chain(&reporters) {
            self.parsed(object);
        }
        config.said = Said {
            root: Arc::new(said.clone()),
            objects: Arc::new(workers.iter().chain(&builders).chain(&schedulers).chain(&reporters).cloned().collect()),
            functions: Arc::default(),
            derived_names: Arc::new(self.derived_names(&reporters)),
        };
        let mut known_workers = self.unique(&workers);
        let known_builders = self.unique(&builders);
        let known_schedulers = self.unique(&schedulers);

        for object in &secrets_providers {
            if let Some(Some(Parsed::SecretProvider(provider))) = self.parsed.get(&object.id) {
                config.secrets_providers.push(provider.clone());
            }
        }
        // The workers of each pool.
        let mut pools: HashMap<String, Vec<String>> = HashMap::new();
        for object in &workers {
            let Some(Some(Parsed::Worker(worker))) = self.parsed.get(&object.id).cloned() else { continue };
            if let (Some(Password::Named(name)), true) = (&worker.password, secrets_providers.is_empty()) {
                let text = format!("its password is the secret '{name}', but c.secretsProviders is empty");
                self.mistake(object.id, &object.place, &subject(object), text);
            }
            let members = latent::members(&worker);
            if members.len() != 1 || members[0].name != worker.name {
                for member in &members {
                    if !known_workers.insert(member.name.clone()) {
                        let text = format!("the name '{}' of a worker of its pool is taken already", member.name);
                        self.mistake(object.id, &object.place, &subject(object), text);
                    }
                }
                pools.insert(worker.name.clone(), members.iter().map(|m| m.name.clone()).collect());
            }
            config.workers.extend(members);
        }
        let known = Known { workers: &known_workers, builders: &known_builders, schedulers: &known_schedulers };
        config.reporters = self.reporters(&reporters, &known, &pools, secrets_providers.is_empty());
        let mut used = BTreeSet::new();
        let mut folders: HashMap<String, Arc<Object>> = HashMap::new();
        for object in &builders {
            let what = match ["workername", "slavename", "slavenames"].iter().find(|n| object.args.named.contains_key(n)) {
                Some(name) if !object.args.named.contains_key("workernames") => name,
                _ => "workernames",
            };
            let Some(Some(Parsed::Builder(builder))) = self.parsed.get(&object.id).cloned() else {
                // Whatever else is wrong with it, or with its factory: whom it names can be told, and counts as used.
                let named = texts(object, &["workername", "workernames", "slavename", "slavenames"]);
                self.names_exist(object, what, &named, "worker", &known_workers);
                used.extend(named);
                continue;
            };
            self.names_exist(object, what, &builder.workers, "worker", &known_workers);
            used.extend(builder.workers.iter().cloned());
            if let Some(other) = folders.insert(builder.builddir.clone(), object.clone())
                && name_of(&other) != name_of(object)
            {
                let text = format!("builddir '{}' is that of {} ({}) too", builder.builddir, subject(&other), other.place);
                self.mistake(object.id, &object.place, &subject(object), text);
            }
            let workers = in_pools(&builder.workers, &pools);
            config.builders.push(Arc::new(BuilderSpec { workers, ..(*builder).clone() }));
        }
        let mut scheduled = BTreeSet::new();
        for object in &schedulers {
            let Some(Some(Parsed::Scheduler(scheduler))) = self.parsed.get(&object.id).cloned() else {
                let named = texts(object, &["builderNames"]);
                self.names_exist(object, "builderNames", &named, "builder", &known_builders);
                scheduled.extend(named);
                continue;
            };
            self.names_exist(object, "builderNames", &scheduler.builders, "builder", &known_builders);
            scheduled.extend(scheduler.builders.iter().cloned());
            config.schedulers.push(scheduler);
        }

        for object in &workers {
            let Some(Some(Parsed::Worker(worker))) = self.parsed.get(&object.id) else { continue };
            if !worker.notify_on_missing.is_empty()
                && latent::members(worker).iter().any(|w| reporters::nobody_mails(&config.reporters, &w.name))
            {
                let text = "'notify_on_missing' has no effect: no MailNotifier tells of this worker, since none has a WorkerMissingGenerator for it";
                self.warn(object.id, &object.place, &subject(object), text.into());
            }
        }
        for object in workers.iter().filter(|o| name_of(o).is_some_and(|n| !used.contains(n))) {
            self.warn(object.id, &object.place, &subject(object), "no builder uses it".into());
        }
        for object in builders.iter().filter(|o| name_of(o).is_some_and(|n| !scheduled.contains(n))) {
            self.warn(object.id, &object.place, &subject(object), "no scheduler starts it".into());
        }
        let remote = config.workers.iter().find(|w| w.kind == WorkerKind::Remote && w.password.is_some());
        if let Some(worker) = remote.filter(|_| config.pb.is_empty()) {
            let text = format!("Worker {:?} can't connect: protocols has no pb port", worker.name);
            self.warn(AFTER_ALL, root_place, "BuildmasterConfig", text);
        }
        config
    }

    /// All names, also of objects with mistakes; a name that is there twice is a mistake.
    fn unique(&mut self, objects: &[Arc<Object>]) -> BTreeSet<String> {
        let mut by_name: HashMap<&str, &Arc<Object>> = HashMap::new();
        for object in objects {
            let Some(name) = name_of(object) else { continue };
            let Some(other) = by_name.insert(name, object) else { continue };
            let text = if other.id == object.id {
                "is listed twice".to_string()
            } else {
                format!("the name is taken by {} ({}) already", subject(other), other.place)
            };
            self.mistake(object.id, &object.place, &subject(object), text);
        }
        by_name.into_keys().map(str::to_owned).collect()
    }

    /// Names of reporters that have none of their own, by the number of the object.
    fn derived_names(&self, reporters: &[Arc<Object>]) -> HashMap<u64, String> {
        let name = |object: &Arc<Object>| match self.parsed.get(&object.id) {
            Some(Some(Parsed::Reporter(reporter))) => Some((object.id, reporter.name.clone())),
            _ => None,
        };
        reporters.iter().filter_map(name).collect()
    }

    /// Each under a name of its own.
    fn reporters(
        &mut self,
        objects: &[Arc<Object>],
        known: &Known<'_>,
        pools: &HashMap<String, Vec<String>>,
        no_secrets: bool,
    ) -> Vec<Arc<ReporterSpec>> {
        let mut names: HashMap<String, Arc<Object>> = HashMap::new();
        let mut reporters = Vec::new();
        for object in objects {
            let Some(Some(Parsed::Reporter(reporter))) = self.parsed.get(&object.id).cloned() else { continue };
            if let Some(other) = names.insert(reporter.name.clone(), object.clone()) {
                let text = if other.id == object.id {
                    "is listed twice".to_string()
                } else {
                    format!("it is called '{}' as the one of {} is: give name = \"…\"", reporter.name, other.place)
                };
                self.mistake(object.id, &object.place, &subject(object), text);
            }
            if let Some(secret) = reporters::secrets(&reporter).into_iter().next().filter(|_| no_secrets) {
                let text = format!("it uses the secret '{secret}', but c.secretsProviders is empty");
                self.mistake(object.id, &object.place, &subject(object), text);
            }
            for (argument, names, what) in reporters::named(&reporter) {
                let known = match what {
                    "worker" => known.workers,
                    "builder" => known.builders,
                    _ => known.schedulers,
                };
                for name in names.iter().filter(|n| !known.contains(*n)) {
                    let hint = suggest::hint(name, known.iter().map(String::as_str));
                    self.warn(object.id, &object.place, &subject(object), format!("{argument} names '{name}', which is no {what}{hint}"));
                }
            }
            reporters.push(reporters::of_workers(&reporter, |names| in_pools(names, pools)));
        }
        reporters
    }

    fn names_exist(&mut self, object: &Object, argument: &str, names: &[String], what: &str, known: &BTreeSet<String>) {
        let place = self.said_at.find(object.id, argument).unwrap_or(&object.place).clone();
        let mut unknown = names.iter().filter(|n| !known.contains(*n));
        for name in unknown.by_ref().take(MOST_NAMES) {
            let hint = suggest::hint(name, known.iter().map(String::as_str));
            self.mistake(object.id, &place, &subject(object), format!("{argument} names '{name}', which is no {what}{hint}"));
        }
        let more = unknown.count();
        if more > 0 {
            self.mistake(object.id, &place, &subject(object), format!("{argument} names {more} more of which none is a {what}"));
        }
    }

    fn end(mut self, config: Option<MasterConfig>, root_place: &Place) -> Result<MasterConfig, Vec<Mistake>> {
        self.mistakes.sort_by_key(|(order, _)| *order);
        self.warnings.sort_by_key(|(order, _)| *order);
        match config {
            Some(mut config) if self.mistakes.is_empty() => {
                config.warnings = without_repeats(self.warnings, root_place);
                Ok(config)
            }
            _ => {
                let mut mistakes = without_repeats(self.mistakes, root_place);
                if mistakes.is_empty() {
                    // A value that is refused without a word would be a defect here; it must not look like success.
                    mistakes.push(said(root_place, "", "the configuration could not be understood".into()));
                }
                Err(mistakes)
            }
        }
    }
}

/// The names that others can refer to.
struct Known<'a> {
    workers: &'a BTreeSet<String>,
    builders: &'a BTreeSet<String>,
    schedulers: &'a BTreeSet<String>,
}

/// These names, and in place of that of a pool those of its workers.
fn in_pools(names: &[String], pools: &HashMap<String, Vec<String>>) -> Vec<String> {
    let mut seen = HashSet::new();
    let members = names.iter().flat_map(|name| pools.get(name).map_or(std::slice::from_ref(name), Vec::as_slice));
    members.filter(|member| seen.insert(*member)).cloned().collect()
}

/// Each once; the first of them, and at `place` how many more there are.
fn without_repeats(list: Vec<(u64, Mistake)>, place: &Place) -> Vec<Mistake> {
    let mut seen = HashSet::new();
    let new = list.into_iter().map(|(_, m)| m).filter(|m| seen.insert((m.place.clone(), m.subject.clone(), m.text.clone())));
    let mut all: Vec<Mistake> = new.collect();
    let more = all.len().saturating_sub(MOST_TOLD);
    if more > 0 {
        all.truncate(MOST_TOLD);
        all.push(said(place, "", format!("and {more} more of the kind")));
    }
    all
}

fn said(place: &Place, subject: &str, text: String) -> Mistake {
    Mistake { place: place.clone(), subject: cut(subject.into(), LONGEST_SUBJECT), text: cut(text, LONGEST_TEXT) }
}

/// Who has more has one mistake in a loop, most likely.
const MOST_TOLD: usize = 5000;
/// Unknown names of one argument, each with the nearest known one.
const MOST_NAMES: usize = 20;
/// Names and texts of any length come from a file, and are told among others.
const LONGEST_SUBJECT: usize = 200;
const LONGEST_TEXT: usize = 2000;

fn cut(mut text: String, most: usize) -> String {
    if let Some((at, _)) = text.char_indices().nth(most) {
        text.truncate(at);
        text.push('…');
    }
    text
}

/// `Worker "bot-linux"`.
pub(super) fn subject(object: &Object) -> String {
    let class = object.custom_class.as_ref().unwrap_or(&object.class);
    match name_of(object) {
        Some(name) => format!("{class} {name:?}"),
        None => class.clone(),
    }
}

/// The name that it was given, whatever else is wrong with it.
pub(super) fn name_of(object: &Object) -> Option<&str> {
    let class = class_named(&object.class)?;
    let first = || object.args.items.first().filter(|_| class.args.iter().any(|a| a.name == "name" && a.position == Some(1)));
    let named = object.args.named.get("name").or_else(|| object.args.named.get("slavename").filter(|_| class.kind == Kind::Worker));
    match named.or_else(first) {
        Some(Value::Text(name)) if class.kind != Kind::Renderable => Some(name),
        _ => None,
    }
}

/// The texts that arguments hold, one or a list, whatever else is wrong with the object.
fn texts(object: &Object, names: &[&str]) -> Vec<String> {
    let positions = class_named(&object.class).into_iter().flat_map(|c| &c.args).filter(|a| names.contains(&a.name));
    let by_position = positions.filter_map(|a| object.args.items.get(a.position?.checked_sub(1)?));
    let by_name = names.iter().filter_map(|n| object.args.named.get(n));
    let mut found = Vec::new();
    for value in by_position.chain(by_name) {
        match value {
            Value::Text(text) => found.push(text.clone()),
            Value::Table(t) => found.extend(t.items.iter().filter_map(|v| if let Value::Text(t) = v { Some(t.clone()) } else { None })),
            _ => {}
        }
    }
    found
}
