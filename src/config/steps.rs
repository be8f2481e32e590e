//! The steps: what they are told, and what they are by default.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::arguments::Preset::{Bool, Text, Words as W};
use super::arguments::{Arguments, Preset, Reader, arguments};
use super::assemble::{Assembly, Parsed};
use super::class::{ClassDecl, Holds, Kind};
use super::convert::{Pattern, Whole};
use super::sequences::{self, Commands, ShellArgArgs};
use super::spec::*;
use super::template::{Arg, Template};
use super::value::{FnRef, Object, Value};
use super::warnings::{Suppressed, Told};
use super::without_effect::{Ignored, Locks};
use crate::base::suggest;
use crate::model::Results;

/// Names of steps longer than that are cut.
const LONGEST_NAME: usize = 50;

/// Names as workers know them, without `SIG`. With another one nothing could be stopped.
const SIGNALS: [&str; 19] = [
    "ABRT", "ALRM", "BREAK", "CONT", "HUP", "INT", "KILL", "PIPE", "PWR", "QUIT", "STOP", "TERM", "TSTP", "TTIN", "TTOU", "USR1", "USR2",
    "VTALRM", "XCPU",
];

arguments! {
    /// What every step takes.
    StepArgs {
        "name" name: Arg<String>, "Its name within the build.";
        "haltOnFailure" halt_on_failure: bool = false => "false", "Its failure ends the build, but for steps that always run.";
        "flunkOnFailure" flunk_on_failure: bool = true => "true", "Its failure makes the build fail.";
        "flunkOnWarnings" flunk_on_warnings: bool = false => "false", "Its warnings make the build fail.";
        "warnOnFailure" warn_on_failure: bool = false => "false", "Its failure gives the build warnings.";
        "warnOnWarnings" warn_on_warnings: bool = false => "false", "Its warnings give the build warnings.";
        "alwaysRun" always_run: bool = false => "false", "It runs after a step that ended the build, too.";
        "doStepIf" do_step_if: Condition = Condition::Always(true) => "true", "`function(step)`: is it to run?";
        "hideStepIf" hide_step_if: Condition = Condition::Always(false) => "false", "`function(results, step)`: is it to be hidden?";
        "description" description: Arg<Option<Words>> = Arg::default() => "None", "What it says while it runs.";
        "descriptionDone" description_done: Arg<Option<Words>> = Arg::default() => "None", "What it says when it is done.";
        "descriptionSuffix" description_suffix: Arg<Option<Words>> = Arg::default() => "None", "Added to either.";
        "workdir" workdir: Arg<Option<String>> = Arg::default() => "None", "Its folder, below the builder's; None: the factory's.";
        "locks" _locks: Locks = Locks => "{}", "Locks that it takes.";
        "logEncoding" log_encoding: LogEncoding = LogEncoding(None) => "None", "How output is encoded that is no UTF-8: \"latin-1\", \"cp1252\" …";
        "updateBuildSummaryPolicy" _update_summary: Ignored = Ignored => "None", "Has no effect.";
        "progressMetrics" _progress_metrics: Ignored = Ignored => "{}", "Has no effect.";
        "useProgress" _use_progress: Ignored = Ignored => "true", "Has no effect.";
    }
}

arguments! {
    /// What every step takes that runs a command on the worker.
    CommandArgs {
        include step: StepArgs;
        include run: RunArgs;
    }
}

arguments! {
    /// How a command is run.
    RunArgs {
        "env" env: Arg<Env> = Arg::default() => "{}", "Environment; a list is joined with the path separator, None removes.";
        "timeout" timeout: Arg<Option<f64>> = Arg::Const(Some(1200.0)) => "1200", "The longest time without output; None: no limit.";
        "maxTime" max_time: Arg<Option<f64>> = Arg::default() => "None", "The longest time in all.";
        "max_lines" max_lines: Arg<Option<i64>> = Arg::default() => "None", "Lines of output after which it is stopped.";
        "sigtermTime" sigterm_time: Arg<Option<f64>> = Arg::default() => "None", "How long after TERM the interrupt signal follows.";
        "interruptSignal" interrupt_signal: Arg<String> = Arg::Const("KILL".into()) => "\"KILL\"", "What ends it: KILL, TERM, INT.";
        "usePTY" use_pty: Arg<Option<bool>> = Arg::default() => "None", "Run it in a terminal; None: as the worker does.";
        "initialStdin" initial_stdin: Arg<Option<String>> = Arg::default() => "None", "Its standard input.";
        "want_stdout" want_stdout: Arg<bool> = Arg::Const(true) => "true", "Its output is wanted.";
        "want_stderr" want_stderr: Arg<bool> = Arg::Const(true) => "true", "Its error output is wanted.";
        "logEnviron" log_environ: Arg<bool> = Arg::Const(true) => "true", "The environment is logged.";
        "logfiles" logfiles: Arg<BTreeMap<String, LogFile>> = Arg::default() => "{}", "Files on the worker that are followed as logs.";
        "lazylogfiles" lazylogfiles: Arg<bool> = Arg::Const(false) => "false", "Such a log appears with its first line only.";
        "decodeRC" decode_rc: Arg<BTreeMap<i64, Results>> = Arg::Const(BTreeMap::from([(0, Results::Success)])) => "{ [0] = SUCCESS }", "Results of exit codes; others are failures.";
    }
}

arguments! {
    ShellArgs {
        include common: CommandArgs;
        "command" command: Arg<CommandLine>, "The command: a text for the shell, or its words.";
    }
}

arguments! {
    WarningArgs {
        include shell: ShellArgs;
        "warningPattern" warning_pattern: Option<Pattern>, "Lines that match from their start are warnings; None: no line is.";
        "maxWarnCount" max_warn_count: Option<Whole<0>> = None => "None", "More warnings than that are a failure.";
        "warningExtractor" warning_extractor: Option<FnRef> = None => "None", "`function(step, line, match)`: file, line number and text of a warning, for `suppressionList`; None: its text is the line.";
        "directoryEnterPattern" enter: Option<Pattern>, "Lines that say which folder is entered: the pattern's first group.";
        "directoryLeavePattern" leave: Option<Pattern>, "Lines that say that a folder is left.";
        "suppressionFile" suppression_file: Arg<Option<String>> = Arg::Const(None) => "None", "A file on the worker with warnings that don't count: lines `FILE PATTERN : TEXT PATTERN`, with ` : FIRST-LAST` for lines.";
        "suppressionList" suppression_list: Option<Vec<Suppressed>> = None => "None", "Warnings that don't count: `{ file pattern, text pattern, first line, last line }`, each of which may be None.";
    }
}

arguments! {
    SequenceArgs {
        include common: CommandArgs;
        [1] "commands" commands: Commands, "The commands, one after the other; a function may give command lines, too.";
    }
}

arguments! {
    SetPropertyArgs {
        include step: StepArgs;
        [1] "property" property: Arg<String>, "The property's name.";
        [2] "value" value: Template, "Its value.";
    }
}

arguments! {
    SetPropertiesArgs {
        include step: StepArgs;
        [1] "properties" properties: Template, "Names and values, or a function that gives them.";
    }
}

arguments! {
    FromCommandArgs {
        include shell: ShellArgs;
        [1] "property" property: Option<Arg<String>> = None => "None", "The property that gets the output.";
        [2] "extract_fn" extract_fn: Option<FnRef> = None => "None", "`function(rc, stdout, stderr)`: a table of properties.";
        [3] "strip" strip: bool = true => "true", "White space around the output is left out.";
        [4] "includeStdout" include_stdout: bool = true => "true", "The output counts.";
        [5] "includeStderr" include_stderr: bool = false => "false", "The error output counts.";
    }
}

arguments! {
    ScriptedArgs {
        include common: CommandArgs;
        "command" _command: Arg<Option<CommandLine>> = Arg::default() => "None", "For `makeRemoteShellCommand`.";
    }
}

const WARNING: Preset = Text("(?i).*warning[: ].*");
/// What make says, with the quotes of any locale.
const ENTER: Preset = Text("make.*: Entering directory [\u{2018}\u{2019}\"`'](.*)[\u{2019}'`\"]");
const LEAVE: Preset = Text("make.*: Leaving directory");

pub(super) fn declare(list: &mut Vec<ClassDecl>) {
    use Kind::{ShellArg, Step};
    list.push(
        ClassDecl::new::<ScriptedArgs>("BuildStep", Step, scripted, "A step of one's own: extend it and write `run()`.")
            .presets(&[("name", Text("BuildStep"))]),
    );
    list.push(
        ClassDecl::new::<ShellArgs>("ShellCommand", Step, shell, "Runs a command on the worker.").presets(&[("name", Text("shell"))]),
    );
    list.push(ClassDecl::new::<ShellArgs>("Configure", Step, shell, "Runs `./configure`.").presets(&[
        ("name", Text("configure")),
        ("command", W(&["./configure"])),
        ("haltOnFailure", Bool(true)),
        ("description", W(&["configuring"])),
        ("descriptionDone", W(&["configure"])),
    ]));
    list.push(
        ClassDecl::new::<WarningArgs>("WarningCountingShellCommand", Step, warnings, "Runs a command and counts warnings in its output.")
            .presets(&[
                ("name", Text("shell")),
                ("warningPattern", WARNING),
                ("directoryEnterPattern", ENTER),
                ("directoryLeavePattern", LEAVE),
            ]),
    );
    list.push(ClassDecl::new::<WarningArgs>("Compile", Step, warnings, "Runs `make all` and counts warnings in its output.").presets(&[
        ("name", Text("compile")),
        ("command", W(&["make", "all"])),
        ("warningPattern", WARNING),
        ("directoryEnterPattern", ENTER),
        ("directoryLeavePattern", LEAVE),
        ("haltOnFailure", Bool(true)),
        ("description", W(&["compiling"])),
        ("descriptionDone", W(&["compile"])),
    ]));
    list.push(ClassDecl::new::<WarningArgs>("Test", Step, warnings, "Runs `make test` and counts what its output tells.").presets(&[
        ("name", Text("test")),
        ("command", W(&["make", "test"])),
        ("warningPattern", WARNING),
        ("directoryEnterPattern", ENTER),
        ("directoryLeavePattern", LEAVE),
        ("warnOnFailure", Bool(true)),
        ("description", W(&["testing"])),
        ("descriptionDone", W(&["test"])),
    ]));
    list.push(
        ClassDecl::new::<SequenceArgs>("ShellSequence", Step, sequence, "Runs commands one after the other.")
            .presets(&[("name", Text("ShellSequence"))])
            .holding(Holds::ShellArgs),
    );
    list.push(
        ClassDecl::new::<SetPropertyArgs>("SetProperty", Step, set_property, "Sets a property of the build.")
            .presets(&[("name", Text("SetProperty"))]),
    );
    list.push(
        ClassDecl::new::<SetPropertiesArgs>("SetProperties", Step, set_properties, "Sets properties of the build.")
            .presets(&[("name", Text("SetProperties"))])
            .holding(Holds::Names),
    );
    list.push(
        ClassDecl::new::<FromCommandArgs>("SetPropertyFromCommand", Step, from_command, "Sets properties from a command's output.")
            .presets(&[("name", Text("setproperty"))]),
    );
    list.push(ClassDecl::new::<ShellArgArgs>("ShellArg", ShellArg, sequences::build, "One command of a `ShellSequence`."));
}

fn step(object: &Object, args: StepArgs, kind: StepKind) -> Parsed {
    let name = match args.name {
        Arg::Const(name) => Arg::Const(name.chars().take(LONGEST_NAME).collect()),
        dynamic => dynamic,
    };
    Parsed::Step(Arc::new(StepSpec {
        class: object.custom_class.clone().unwrap_or_else(|| object.class.clone()),
        name,
        halt_on_failure: args.halt_on_failure,
        flunk_on_failure: args.flunk_on_failure,
        flunk_on_warnings: args.flunk_on_warnings,
        warn_on_failure: args.warn_on_failure,
        warn_on_warnings: args.warn_on_warnings,
        always_run: args.always_run,
        do_step_if: args.do_step_if,
        hide_step_if: args.hide_step_if,
        description: args.description,
        description_done: args.description_done,
        description_suffix: args.description_suffix,
        workdir: args.workdir,
        log_encoding: args.log_encoding,
        kind,
        script: super::scripts::script_of(object),
        place: object.place.clone(),
    }))
}

fn options(reader: &mut Reader, args: CommandArgs) -> (StepArgs, CommandOptions) {
    if let Arg::Const(name) = &args.step.name
        && name.is_empty()
    {
        reader.wrong("'name' must not be empty");
    }
    (args.step, run_options(reader, args.run))
}

pub(super) fn run_options(reader: &mut Reader, args: RunArgs) -> CommandOptions {
    if let Arg::Const(Some(lines)) = args.max_lines
        && lines < 1
    {
        reader.wrong(format!("'max_lines' must be a whole number ≥ 1, got {lines}"));
    }
    if let Arg::Const(name) = &args.interrupt_signal
        && !SIGNALS.contains(&name.as_str())
    {
        let (shown, hint) = (Value::Text(name.clone()).describe(), suggest::hint(name, SIGNALS));
        reader.wrong(format!("'interruptSignal' must be the name of a signal such as \"KILL\" or \"TERM\", got {shown}{hint}"));
    }
    CommandOptions {
        env: args.env,
        timeout: args.timeout,
        max_time: args.max_time,
        max_lines: args.max_lines,
        sigterm_time: args.sigterm_time,
        interrupt_signal: args.interrupt_signal,
        use_pty: args.use_pty,
        initial_stdin: args.initial_stdin,
        want_stdout: args.want_stdout,
        want_stderr: args.want_stderr,
        log_environ: args.log_environ,
        logfiles: args.logfiles,
        lazylogfiles: args.lazylogfiles,
        decode_rc: args.decode_rc,
    }
}

fn plain_shell(reader: &mut Reader, args: ShellArgs) -> (StepArgs, ShellSpec) {
    let (step, options) = options(reader, args.common);
    (step, ShellSpec { command: args.command, options, warnings: None })
}

fn scripted(reader: &mut Reader, object: &Object, _: &mut Assembly) -> Option<Parsed> {
    if !object.methods.as_ref().is_some_and(|m| m.contains("run")) {
        reader.wrong(match object.methods.as_ref().is_some_and(|m| m.contains("start")) {
            true => "has no run(); start() is Buildbot's old form: write run() and return the result",
            false => "has no run(): extend BuildStep and write function Class:run() … end",
        });
    }
    let args = ScriptedArgs::read(reader)?;
    let (mut common, _) = options(reader, args.common);
    if let (Arg::Const(name), Some(class)) = (&mut common.name, &object.custom_class)
        && name == "BuildStep"
    {
        name.clone_from(class);
    }
    Some(step(object, common, StepKind::Scripted))
}

fn shell(reader: &mut Reader, object: &Object, _: &mut Assembly) -> Option<Parsed> {
    let args = ShellArgs::read(reader)?;
    let (common, shell) = plain_shell(reader, args);
    Some(step(object, common, StepKind::Shell(Box::new(shell))))
}

fn warnings(reader: &mut Reader, object: &Object, assembly: &mut Assembly) -> Option<Parsed> {
    let args = WarningArgs::read(reader)?;
    if args.warning_pattern.is_none() {
        let given = [
            ("maxWarnCount", args.max_warn_count.is_some()),
            ("warningExtractor", args.warning_extractor.is_some()),
            ("suppressionFile", args.suppression_file != Arg::Const(None)),
            ("suppressionList", args.suppression_list.is_some()),
        ];
        for (name, _) in given.iter().filter(|(_, given)| *given) {
            reader.warn_of(name, format!("'{name}' has no effect: without 'warningPattern' no line is a warning"));
        }
    }
    let (common, mut shell) = plain_shell(reader, args.shell);
    let told = Told {
        pattern: args.warning_pattern,
        extractor: args.warning_extractor,
        enter: args.enter,
        leave: args.leave,
        suppressions: args.suppression_list.unwrap_or_default(),
        suppression_file: args.suppression_file,
        max: args.max_warn_count.map(|n| n.0.unsigned_abs()),
    };
    shell.warnings = super::warnings::understood(reader, assembly, told);
    Some(step(object, common, StepKind::Shell(Box::new(shell))))
}

fn sequence(reader: &mut Reader, object: &Object, assembly: &mut Assembly) -> Option<Parsed> {
    let args = SequenceArgs::read(reader)?;
    let commands = match args.commands {
        Commands::Rendered(commands) => commands,
        Commands::List(list) => {
            let specs = list.iter().map(|c| match assembly.parsed(&c.0) {
                Some(Parsed::ShellArg(spec)) => Some((*spec).clone()),
                _ => None,
            });
            SequenceCommands::List(specs.collect::<Option<_>>()?)
        }
    };
    let (common, options) = options(reader, args.common);
    Some(step(object, common, StepKind::Sequence(Box::new(SequenceSpec { commands, options }))))
}

fn set_property(reader: &mut Reader, object: &Object, _: &mut Assembly) -> Option<Parsed> {
    let args = SetPropertyArgs::read(reader)?;
    Some(step(object, args.step, StepKind::SetProperty { property: args.property, value: args.value }))
}

fn set_properties(reader: &mut Reader, object: &Object, _: &mut Assembly) -> Option<Parsed> {
    let args = SetPropertiesArgs::read(reader)?;
    match &args.properties {
        Template::Const(serde_json::Value::Object(_))
        | Template::Map(_)
        | Template::Property { .. }
        | Template::Call(_)
        | Template::CallWith { .. }
        | Template::Transform { .. } => {}
        // An empty table is an empty list as much as an empty table of names.
        Template::Const(serde_json::Value::Array(items)) if items.is_empty() => {}
        _ => {
            reader.wrong("'properties' must be a table of names and values, or a function that gives one");
            return None;
        }
    }
    Some(step(object, args.step, StepKind::SetProperties(args.properties)))
}

fn from_command(reader: &mut Reader, object: &Object, _: &mut Assembly) -> Option<Parsed> {
    let args = FromCommandArgs::read(reader)?;
    match (&args.property, &args.extract_fn) {
        (None, None) => reader.wrong("needs 'property' or 'extract_fn'"),
        (Some(_), Some(_)) => reader.wrong("takes either 'property' or 'extract_fn', got both"),
        _ => {}
    }
    let (common, shell) = plain_shell(reader, args.shell);
    let spec = SetPropertyFromCommandSpec {
        shell,
        property: args.property,
        extract_fn: args.extract_fn,
        strip: args.strip,
        include_stdout: args.include_stdout,
        include_stderr: args.include_stderr,
    };
    Some(step(object, common, StepKind::SetPropertyFromCommand(Box::new(spec))))
}
