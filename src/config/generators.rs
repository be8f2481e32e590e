//! Generators of reports: which events make a message, as declared.

use std::sync::Arc;

use super::arguments::{Arguments, Reader, arguments};
use super::assemble::{Assembly, Parsed};
use super::class::{ClassDecl, Kind};
use super::convert::{FromValue, Wrong};
use super::formatters::{FormatterKind, FormatterSpec, WantedLogs};
use super::instance::FormatterRef;
use super::lua_type::LuaType;
use super::reports::{FilterSpec, GeneratorKind, GeneratorSpec, Modes};
use super::value::{FnRef, Object, Value};
use super::without_effect::NotUsed;

arguments! {
    FilterArgs {
        "tags" | "categories" tags: Option<Vec<String>> = None => "None", "Only builders with one of these tags; not together with `builders`.";
        "builders" builders: Option<Vec<String>> = None => "None", "Only these builders; `{}`: none.";
        "schedulers" schedulers: Option<Vec<String>> = None => "None", "Only builds that these schedulers asked for.";
        "branches" branches: Option<Vec<Option<String>>> = None => "None", "Only builds of these branches; None in the list: builds without one.";
        "add_logs" add_logs: Option<WantedLogs> = None => "None", "Logs hang on the message: all of them, or those of these names (`stdio`, `compile.stdio`); None: as the formatter says.";
        "add_patch" _add_patch: NotUsed = NotUsed => "false", "Patches hang on the message; no build has one yet.";
        "is_message_needed_by_props" needed_by_props: Option<FnRef> = None => "None", "A method of a class of one's own, or a function of the build: it decides instead of the arguments above.";
    }
}

arguments! {
    BuildArgs {
        include filter: FilterArgs;
        [1] "mode" mode: Modes = Modes::default() => "{ \"failing\", \"passing\", \"warnings\" }", "Which results are told; `mode = \"warnings\"`, without a list, tells of failures too.";
        "report_new" report_new: bool = false => "false", "The start of a build is told, too.";
        "is_message_needed_by_results" needed_by_results: Option<FnRef> = None => "None", "A method of a class of one's own, or a function of the build: it decides instead of `mode`.";
        "subject" subject: Option<String> = None => "None", "The subject, with `%(result)s`, `%(title)s`, `%(builder)s`, `%(projectName)s`; today the formatter has it.";
        "message_formatter" formatter: Option<FormatterRef> = None => "None", "What the message says; None: the built-in text.";
    }
}

arguments! {
    SetArgs {
        include filter: FilterArgs;
        [1] "mode" mode: Modes = Modes::default() => "{ \"failing\", \"passing\", \"warnings\" }", "Which builds of the set are told of; no such build, no message.";
        "is_message_needed_by_results" needed_by_results: Option<FnRef> = None => "None", "A method of a class of one's own, or a function of the build: it decides instead of `mode`.";
        "subject" subject: Option<String> = None => "None", "The subject, with `%(result)s`, `%(title)s`, `%(builder)s`, `%(projectName)s`; today the formatter has it.";
        "message_formatter" formatter: Option<FormatterRef> = None => "None", "What the message says of each build; None: the built-in text.";
    }
}

arguments! {
    CombinedArgs {
        [1] "message_formatter" formatter: Option<FormatterRef> = None => "None", "What the message says of the set; None: the built-in text.";
    }
}

arguments! {
    StartEndArgs {
        include filter: FilterArgs;
        "start_formatter" start_formatter: Option<FormatterRef> = None => "None", "What the message of the start says; None: the built-in text.";
        "end_formatter" end_formatter: Option<FormatterRef> = None => "None", "What the message of the end says; None: the built-in text.";
    }
}

arguments! {
    RequestArgs {
        include filter: FilterArgs;
        "formatter" formatter: Option<FormatterRef> = None => "None", "What the message says; None: the built-in text.";
    }
}

arguments! {
    MissingArgs {
        [1] "workers" workers: MissingWorkers = MissingWorkers(None) => "\"all\"", "Whose absence is told: `\"all\"` or a list of names.";
        [2] "message_formatter" formatter: Option<FormatterRef> = None => "None", "What the message says; None: the built-in text.";
    }
}

pub(super) fn declare(list: &mut Vec<ClassDecl>) {
    list.push(ClassDecl::new::<BuildArgs>("BuildStatusGenerator", Kind::Generator, build, "One message for each build that ends."));
    list.push(ClassDecl::new::<SetArgs>(
        "BuildSetStatusGenerator",
        Kind::Generator,
        set,
        "One message for all builds of a set, when its last one has ended.",
    ));
    list.push(ClassDecl::new::<CombinedArgs>(
        "BuildSetCombinedStatusGenerator",
        Kind::Generator,
        combined,
        "One message for the set as a whole, made by one call of the formatter.",
    ));
    list.push(ClassDecl::new::<StartEndArgs>(
        "BuildStartEndStatusGenerator",
        Kind::Generator,
        start_end,
        "A message when a build starts and one when it ends, whatever its result.",
    ));
    list.push(ClassDecl::new::<RequestArgs>(
        "BuildRequestGenerator",
        Kind::Generator,
        request,
        "A message when a build is asked for, and when that is taken back before it started.",
    ));
    list.push(ClassDecl::new::<MissingArgs>(
        "WorkerMissingGenerator",
        Kind::Generator,
        missing,
        "A message to those in `notify_on_missing` of a worker that stays away.",
    ));
}

/// What is common to all generators of builds.
fn generator(
    reader: &mut Reader,
    object: &Object,
    args: FilterArgs,
    kind: GeneratorKind,
    formatter: Option<Arc<FormatterSpec>>,
) -> GeneratorSpec {
    let filter = FilterSpec { builders: args.builders, tags: args.tags, schedulers: args.schedulers, branches: args.branches };
    check_filter(reader, &filter);
    GeneratorSpec { filter, add_logs: args.add_logs, needed_by_props: args.needed_by_props, formatter, ..plain(object, kind) }
}

pub(super) fn plain(object: &Object, kind: GeneratorKind) -> GeneratorSpec {
    GeneratorSpec {
        class: object.custom_class.clone().unwrap_or_else(|| object.class.clone()),
        kind,
        filter: FilterSpec::default(),
        needed_by_props: None,
        needed_by_results: None,
        formatter: None,
        subject: None,
        add_logs: None,
        place: object.place.clone(),
    }
}

pub(super) fn check_filter(reader: &mut Reader, filter: &FilterSpec) {
    if filter.builders.is_some() && filter.tags.is_some() {
        reader.wrong("'builders' and 'tags' exclude each other");
    }
}

/// The formatter of a message about builds that was given; none if there are mistakes.
pub(super) fn of_builds(reader: &mut Reader, assembly: &mut Assembly, given: Option<FormatterRef>) -> Option<Option<Arc<FormatterSpec>>> {
    let formatter = formatter(assembly, given)?;
    if let Some(of_workers) = formatter.as_ref().filter(|f| matches!(f.kind, FormatterKind::Worker(_))) {
        reader.wrong(format!("{} tells of a worker, not of a build: reporters.MessageFormatter does", of_workers.class));
    }
    Some(formatter)
}

/// The formatter that was given; none if it has mistakes.
pub(super) fn formatter(assembly: &mut Assembly, given: Option<FormatterRef>) -> Option<Option<Arc<FormatterSpec>>> {
    match given.map(|object| assembly.parsed(&object.0)) {
        None => Some(None),
        Some(Some(Parsed::Formatter(formatter))) => Some(Some(formatter)),
        Some(_) => None,
    }
}

fn parsed(spec: GeneratorSpec) -> Option<Parsed> {
    Some(Parsed::Generator(Arc::new(spec)))
}

fn build(reader: &mut Reader, object: &Object, assembly: &mut Assembly) -> Option<Parsed> {
    let args = BuildArgs::read(reader)?;
    let kind = GeneratorKind::Build { mode: args.mode, report_new: args.report_new };
    let formatter = of_builds(reader, assembly, args.formatter)?;
    let spec = generator(reader, object, args.filter, kind, formatter);
    parsed(GeneratorSpec { subject: args.subject, needed_by_results: args.needed_by_results, ..spec })
}

fn set(reader: &mut Reader, object: &Object, assembly: &mut Assembly) -> Option<Parsed> {
    let args = SetArgs::read(reader)?;
    let formatter = of_builds(reader, assembly, args.formatter)?;
    let spec = generator(reader, object, args.filter, GeneratorKind::Set { mode: args.mode }, formatter);
    parsed(GeneratorSpec { subject: args.subject, needed_by_results: args.needed_by_results, ..spec })
}

fn combined(reader: &mut Reader, object: &Object, assembly: &mut Assembly) -> Option<Parsed> {
    let args = CombinedArgs::read(reader)?;
    parsed(GeneratorSpec { formatter: of_builds(reader, assembly, args.formatter)?, ..plain(object, GeneratorKind::SetCombined) })
}

fn start_end(reader: &mut Reader, object: &Object, assembly: &mut Assembly) -> Option<Parsed> {
    let args = StartEndArgs::read(reader)?;
    let kind = GeneratorKind::StartEnd { start_formatter: of_builds(reader, assembly, args.start_formatter)? };
    let formatter = of_builds(reader, assembly, args.end_formatter)?;
    parsed(generator(reader, object, args.filter, kind, formatter))
}

fn request(reader: &mut Reader, object: &Object, assembly: &mut Assembly) -> Option<Parsed> {
    let args = RequestArgs::read(reader)?;
    let formatter = of_builds(reader, assembly, args.formatter)?;
    parsed(generator(reader, object, args.filter, GeneratorKind::Request, formatter))
}

fn missing(reader: &mut Reader, object: &Object, assembly: &mut Assembly) -> Option<Parsed> {
    let args = MissingArgs::read(reader)?;
    let kind = GeneratorKind::WorkerMissing { workers: args.workers.0 };
    parsed(GeneratorSpec { formatter: formatter(assembly, args.formatter)?, ..plain(object, kind) })
}

/// `"all"` or names.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct MissingWorkers(pub Option<Vec<String>>);

impl FromValue for MissingWorkers {
    fn expected() -> String {
        "\"all\" or a list of names of workers".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("\"all\"").or(LuaType::list(LuaType::Name("string")))
    }

    fn from_value(value: &Value) -> Result<MissingWorkers, Wrong> {
        match value {
            Value::Text(text) if text == "all" => Ok(MissingWorkers(None)),
            Value::Table(_) => Vec::from_value(value).map(|names| MissingWorkers(Some(names))),
            other => Err(Wrong::must(Self::expected(), other)),
        }
    }
}
