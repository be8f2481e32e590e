//! What a whole configuration is understood as, and the exact texts of mistakes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::testing::{function, mistakes_of, object, place, table};
use super::value::{Object, Table, Value};
use super::*;

fn load(root: &Table, objects: &[Arc<Object>]) -> Result<MasterConfig, Vec<String>> {
    assemble(root, &place(0), objects, Default::default()).map_err(|list| list.iter().map(ToString::to_string).collect())
}

fn mistakes(root: &Table, objects: &[Arc<Object>]) -> Vec<String> {
    load(root, objects).err().unwrap_or_default()
}

fn warnings(root: &Table, objects: &[Arc<Object>]) -> Vec<String> {
    load(root, objects).unwrap().warnings.iter().map(ToString::to_string).collect()
}

/// The root keys alone.
fn root_mistakes(root: Table) -> Vec<String> {
    mistakes(&root, &[])
}

struct Small {
    worker: Arc<Object>,
    step: Arc<Object>,
    factory: Arc<Object>,
    builder: Arc<Object>,
    scheduler: Arc<Object>,
}

/// A worker, a builder, a scheduler.
fn small() -> Small {
    let worker = object("Worker", 1, table!["bot", "secret"]);
    let step = object("ShellCommand", 2, table![; command = "make"]);
    let factory = object("BuildFactory", 3, table![&step]);
    let builder = object("BuilderConfig", 4, table![; name = "runtests", workernames = table!["bot"], factory = &factory]);
    let scheduler = object("ForceScheduler", 5, table![; name = "force", builderNames = table!["runtests"]]);
    Small { worker, step, factory, builder, scheduler }
}

impl Small {
    fn objects(&self) -> Vec<Arc<Object>> {
        [&self.worker, &self.step, &self.factory, &self.builder, &self.scheduler].map(Arc::clone).to_vec()
    }

    fn root(&self) -> Table {
        let mut root = table![; workers = table![&self.worker], builders = table![&self.builder], schedulers = table![&self.scheduler]];
        root.named.insert("protocols".into(), table![; pb = table![; port = 9989]].into());
        root
    }
}

#[test]
fn a_small_file_is_understood() {
    let small = small();
    let config = load(&small.root(), &small.objects()).unwrap();
    assert_eq!(config.warnings, []);
    assert_eq!(config.pb, [Listen::Tcp { interface: None, port: 9989 }]);
    assert_eq!((config.title.as_str(), config.buildbot_url.as_str()), ("Buildbot", "http://localhost:8080/"));
    assert_eq!(config.sqlite, PathBuf::from("state.sqlite"));

    let worker = &config.workers[0];
    assert_eq!((worker.name.as_str(), worker.max_builds, &worker.kind), ("bot", None, &WorkerKind::Remote));
    assert_eq!(worker.keepalive_interval, Some(Duration::from_secs(3600)));

    let builder = &config.builders[0];
    assert_eq!((builder.builddir.as_str(), builder.workerbuilddir.as_str()), ("runtests", "runtests"));
    assert_eq!(builder.factory.workdir, "build");
    let step = &builder.factory.steps[0];
    assert_eq!((&step.name, step.halt_on_failure, step.flunk_on_failure), (&Arg::Const("shell".into()), false, true));
    let StepKind::Shell(shell) = &step.kind else { panic!("{step:?}") };
    assert_eq!(shell.command, Arg::Const(CommandLine::Shell("make".into())));
    assert_eq!(shell.options.timeout, Arg::Const(Some(1200.0)));

    let SchedulerKind::Force(force) = &config.schedulers[0].kind;
    assert_eq!((force.label.as_str(), force.button_name.as_str()), ("force", "force"));
    assert_eq!(force.reason.default, "force build");
    assert_eq!(force.codebases.len(), 1);
}

#[test]
fn arguments_are_told_as_a_person_needs_it() {
    let worker = |args| mistakes_of(&object("Worker", 12, args));
    let address = "an address of mail such as \"ann@example.org\" or \"Ann <ann@example.org>\"";
    let mut misspelt = table!["bot-linux", "x"];
    misspelt.named.insert("max_build".into(), 2.into());
    for (args, told) in [
        (misspelt, "unknown argument 'max_build' (did you mean 'max_builds'?)"),
        (table!["bot-linux", "x"; max_builds = "x"], "'max_builds' must be a whole number ≥ 1, got \"x\""),
        (table!["bot-linux", "x"; max_builds = 0], "'max_builds' must be a whole number ≥ 1, got 0"),
        (table!["bot-linux", "x"; max_builds = 1.5], "'max_builds' must be a whole number ≥ 1, got 1.5"),
        (table!["bot-linux"], "missing argument 'password'"),
        (table!["bot-linux", "x"; name = "y"], "'name' given twice, by position and by name"),
        (table!["bot-linux", "x", 3], "takes at most 2 positional arguments, got 3"),
        (table!["bot-linux", 12345], "'password' must be text or a util.Secret, got a number"),
        (table!["bot-linux", "x"; locks = table![1]], "locks are not supported yet"),
        (
            table!["bot-linux", "x"; missing_timeout = "soon"],
            "'missing_timeout' must be a number of seconds or a duration such as \"2h30m\", got \"soon\"",
        ),
        (
            table!["bot-linux", "x"; properties = table![; os = function()]],
            "properties.os must be plain data, got a function (master.lua:99)",
        ),
        (table!["bot-linux", "x"; machine_name = "m"], "machine_name names 'm', which is no machine (machines are not supported yet)"),
        (table!["bot-linux", "x"; notify_on_missing = table!["a@b", 3]], &format!("notify_on_missing[2] must be {address}, got 3")),
        (
            table!["bot-linux", "x"; owner = "a@b.org, c@d.org"],
            &format!("'owner' must be {address} or a list of addresses of mail, got \"a@b.org, c@d.org\""),
        ),
    ] {
        let subject = if told.starts_with("'name' given") { "Worker \"y\"" } else { "Worker \"bot-linux\"" };
        assert_eq!(worker(args), [format!("master.lua:12: {subject}: {told}")]);
    }
    assert_eq!(worker(table!["change", "x"]), ["master.lua:12: Worker \"change\": 'name' can't be \"change\": that name is reserved"]);
    assert_eq!(
        worker(table!["bot 1", "x"]),
        ["master.lua:12: Worker \"bot 1\": 'name' must be an identifier (letters, digits, '_' and '-', no digit first), got \"bot 1\""]
    );
}

#[test]
fn all_mistakes_are_told_together_in_order_and_once() {
    let interpolate = object("Interpolate", 2, table!["%(porp:x)s"]);
    let step = object("ShellCommand", 3, table![; command = table!["make", &interpolate], haltOnFailur = true]);
    let unused = object("Worker", 4, table!["bot"]);
    let list = mistakes(&table![; titel = "x"], &[interpolate, step, unused]);
    assert_eq!(
        list,
        [
            "master.lua:2: Interpolate: unknown selector 'porp' in '%(porp:x)s' (did you mean 'prop'?)",
            "master.lua:3: ShellCommand: unknown argument 'haltOnFailur' (did you mean 'haltOnFailure'?)",
            "master.lua:4: Worker \"bot\": missing argument 'password'",
            "master.lua: BuildmasterConfig: unknown key 'titel' (did you mean 'title'?)",
        ]
    );
}

#[test]
fn two_point_zero_is_two_and_durations_are_read() {
    let small = small();
    let mut args = table!["bot", "secret"; max_builds = 2.0, missing_timeout = "5m", notify_on_missing = "ops@example.com"];
    args.named.insert("keepalive_interval".into(), Value::None);
    let worker = object("Worker", 1, args);
    let mut root = small.root();
    root.named.insert("workers".into(), (&worker).into());
    let config = load(&root, &small.objects()).unwrap();
    let worker = &config.workers[0];
    assert_eq!((worker.max_builds, worker.keepalive_interval, worker.missing_timeout), (Some(2), None, Some(Duration::from_secs(300))));
    assert_eq!(worker.notify_on_missing, ["ops@example.com"]);
}

#[test]
fn names_must_exist_and_be_unique() {
    let small = small();
    let twin = object("Worker", 6, table!["bot", "y"]);
    let builder = object("BuilderConfig", 7, table![; name = "run.tests", workernames = table!["bto"], factory = &small.factory]);
    let other = object("BuilderConfig", 8, table![; name = "run tests", workername = "bot", factory = &small.factory]);
    let scheduler = object("ForceScheduler", 9, table!["force", table!["runtest"]]);
    let mut objects = small.objects();
    objects.extend([&twin, &builder, &other, &scheduler].map(Arc::clone));
    let mut root = small.root();
    root.named.insert("workers".into(), table![&small.worker, &twin].into());
    root.named.insert("builders".into(), table![&small.builder, &builder, &other].into());
    root.named.insert("schedulers".into(), table![&small.scheduler, &scheduler].into());
    assert_eq!(
        mistakes(&root, &objects),
        [
            "master.lua:6: Worker \"bot\": the name is taken by Worker \"bot\" (master.lua:1) already",
            "master.lua:7: BuilderConfig \"run.tests\": workernames names 'bto', which is no worker (did you mean 'bot'?)",
            "master.lua:8: BuilderConfig \"run tests\": builddir 'run_tests' is that of BuilderConfig \"run.tests\" (master.lua:7) too",
            "master.lua:9: ForceScheduler \"force\": the name is taken by ForceScheduler \"force\" (master.lua:5) already",
            "master.lua:9: ForceScheduler \"force\": builderNames names 'runtest', which is no builder (did you mean 'runtests'?)",
        ]
    );
}

#[test]
fn a_mistake_draws_no_others_after_it() {
    let small = small();
    let worker = object("Worker", 1, table!["bot", "x"; max_builds = "x"]);
    let mut objects = small.objects();
    objects[0] = worker.clone();
    let mut root = small.root();
    root.named.insert("workers".into(), table![&worker].into());
    assert_eq!(mistakes(&root, &objects), ["master.lua:1: Worker \"bot\": 'max_builds' must be a whole number ≥ 1, got \"x\""]);
}

#[test]
fn builders_say_what_they_need() {
    let small = small();
    let builder = |args: Table| mistakes_of(&object("BuilderConfig", 4, args));
    let start = "master.lua:4: BuilderConfig \"b\":";
    for (args, told) in [
        (table![; name = "b", factory = &small.factory], "needs at least one worker ('workername' or 'workernames')"),
        (table![; name = "b", workername = "bot", factory = &small.worker], "'factory' must be a BuildFactory, got a Worker"),
        (table![; name = "b", workername = "bot"], "missing argument 'factory'"),
        (
            table![; name = "b", workername = "bot", factory = &small.factory, nextWorker = "x"],
            "'nextWorker' must be a function, got \"x\"",
        ),
        (table![; name = "b", workername = "bot", factory = &small.factory, tags = table!["a", "a"]], "'tags' has \"a\" twice"),
        (
            table![; name = "b", workername = "bot", factory = &small.factory, env = table![; JOBS = 4]],
            "env.JOBS must be text, a list of texts or None, got 4",
        ),
        (
            table![; name = "b", workername = "bot", factory = &small.factory, do_build_if = function()],
            "'do_build_if' is not supported yet",
        ),
    ] {
        assert_eq!(builder(args), [format!("{start} {told}")]);
    }
    assert_eq!(
        builder(table![; name = "_b", workername = "bot", factory = &small.factory]),
        ["master.lua:4: BuilderConfig \"_b\": 'name' can't be \"_b\": names with a leading underscore are reserved"]
    );
}

#[test]
fn a_builder_may_be_a_plain_table() {
    let small = small();
    let mut root = small.root();
    let builder = table![; name = "runtests", workername = "bot", factory = &small.factory];
    root.named.insert("builders".into(), table![builder].into());
    assert_eq!(load(&root, &small.objects()).unwrap().builders[0].name, "runtests");
}

#[test]
fn a_factory_takes_steps_in_any_form_and_names_them_apart() {
    let step = |line| object("Compile", line, Table::default());
    let (a, b, c) = (step(1), step(2), step(3));
    for args in [table![&a, &b, &c], table![table![&a, &b, &c]], table![table![&a, &b], &c], table![; steps = table![&a, &b, &c]]] {
        let small = small();
        let factory = object("BuildFactory", 4, args);
        let builder = object("BuilderConfig", 5, table![; name = "runtests", workername = "bot", factory = &factory]);
        let mut root = small.root();
        root.named.insert("builders".into(), table![&builder].into());
        let config = load(&root, &[small.worker.clone(), a.clone(), b.clone(), c.clone(), factory, builder]).unwrap();
        let names: Vec<_> = config.builders[0].factory.steps.iter().map(|s| s.name.clone()).collect();
        assert_eq!(names, ["compile", "compile_1", "compile_2"].map(|n| Arg::Const(n.to_string())));
    }
    assert_eq!(mistakes_of(&object("BuildFactory", 4, table![&a, 5])), ["master.lua:4: BuildFactory: steps[2] must be a step, got 5"]);
}

fn step_of(class: &str, args: Table) -> Arc<StepSpec> {
    let small = small();
    let step = object(class, 1, args);
    let factory = object("BuildFactory", 2, table![&step]);
    let builder = object("BuilderConfig", 3, table![; name = "runtests", workername = "bot", factory = &factory]);
    let mut root = small.root();
    root.named.insert("builders".into(), table![&builder].into());
    let config = load(&root, &[small.worker.clone(), step, factory, builder]).unwrap();
    config.builders[0].factory.steps[0].clone()
}

#[test]
fn steps_have_the_defaults_of_their_class() {
    let words = |list: &[&str]| Arg::Const(CommandLine::Words(list.iter().map(ToString::to_string).collect()));
    let said = |text: &str| Arg::Const(Some(Words(text.into())));
    for (class, command, halt, doing, done, counts) in [
        ("Configure", &["./configure"][..], true, "configuring", "configure", false),
        ("Compile", &["make", "all"], true, "compiling", "compile", true),
        ("Test", &["make", "test"], false, "testing", "test", true),
    ] {
        let step = step_of(class, Table::default());
        let StepKind::Shell(shell) = &step.kind else { panic!("{step:?}") };
        assert_eq!((&shell.command, step.halt_on_failure), (&words(command), halt), "{class}");
        assert_eq!((&step.description, &step.description_done), (&said(doing), &said(done)), "{class}");
        assert_eq!(shell.warnings.as_ref().is_some_and(|w| w.pattern.is_match("a.c:1: Warning: x")), counts, "{class}");
    }
    let own = step_of("Compile", table![; haltOnFailure = false, command = table!["ninja", table!["-j", 4]], warningPattern = "W:"]);
    let StepKind::Shell(shell) = &own.kind else { panic!("{own:?}") };
    assert_eq!((&shell.command, own.halt_on_failure), (&words(&["ninja", "-j", "4"]), false));
    let pattern = &shell.warnings.as_ref().unwrap().pattern;
    assert!(pattern.is_match("W: x") && !pattern.is_match("a W: x"));
}

#[test]
fn steps_say_what_is_wrong_with_them() {
    let property = object("Property", 1, table!["x"]);
    for (class, args, told) in [
        ("ShellCommand", Table::default(), "missing argument 'command'"),
        ("ShellCommand", table!["make"; command = "make"], "takes no positional arguments, got 1"),
        (
            "ShellCommand",
            table![; command = table!["make", 1800.0]],
            "command[2] must be text or a whole number, got 1800.0 (a float: write math.tointeger(x))",
        ),
        (
            "ShellCommand",
            table![; command = table!["make", &property, 1800.0]],
            "command[3] must be text or a whole number, got 1800.0 (a float: write math.tointeger(x))",
        ),
        ("ShellCommand", table![; command = Table::default()], "'command' must hold at least one word, got an empty list"),
        (
            "ShellCommand",
            table![; command = "x", doStepIf = "yes"],
            "'doStepIf' must be true, false, a function or something to render, got \"yes\"",
        ),
        ("ShellCommand", table![; command = "x", max_lines = 0], "'max_lines' must be a whole number ≥ 1, got 0"),
        ("ShellCommand", table![; command = "x", description = 5], "'description' must be text or a list of texts, got 5"),
        (
            "ShellCommand",
            table![; command = "x", logEncoding = "utf-16"],
            "'logEncoding' must be the name of an encoding such as \"utf-8\" or \"latin-1\", or None, got \"utf-16\", which is not supported",
        ),
        ("Compile", table![; suppressionFile = 5], "'suppressionFile' must be text, got 5"),
        ("Compile", table![; suppressionList = table![table!["a", 5]]], "suppressionList[1][2] must be a regular expression, got 5"),
        ("Compile", table![; directoryEnterPattern = "x"], "'directoryEnterPattern' must have a group, which is the folder"),
        ("Compile", table![; warningPattern = "("], "'warningPattern' must be a regular expression, got \"(\": unclosed group"),
        ("SetPropertyFromCommand", table![; command = "x"], "needs 'property' or 'extract_fn'"),
        (
            "SetPropertyFromCommand",
            table![; command = "x", property = "p", extract_fn = function()],
            "takes either 'property' or 'extract_fn', got both",
        ),
        ("SetProperties", table!["x"], "'properties' must be a table of names and values, or a function that gives one"),
        ("ShellSequence", table![; commands = table!["x"]], "commands[1] must be a util.ShellArg, got \"x\""),
    ] {
        assert_eq!(mistakes_of(&object(class, 2, args)), [format!("master.lua:2: {class}: {told}")]);
    }
}

#[test]
fn a_suppression_may_have_one_line_only() {
    let from = table![Value::None, Value::None, 10];
    let until = table![Value::None, Value::None, Value::None, 20];
    let step = step_of("Compile", table![; suppressionList = table![from, until, table!["x"]]]);
    let StepKind::Shell(shell) = &step.kind else { panic!("{step:?}") };
    let lines: Vec<_> = shell.warnings.as_ref().unwrap().suppressions.iter().map(|s| s.lines).collect();
    assert_eq!(lines, [Some((10, i64::MAX)), Some((i64::MIN, 20)), None]);
}

#[test]
fn a_size_that_nothing_is_measured_by_is_told() {
    let small = small();
    let text = object("StringParameter", 7, table!["note"; maxsize = 5]);
    let file = object("FileParameter", 8, table!["file"; maxsize = 5]);
    let force = object("ForceScheduler", 9, table![; name = "more", builderNames = table!["runtests"], properties = table![&text, &file]]);
    let mut root = small.root();
    root.named.insert("schedulers".into(), table![&small.scheduler, &force].into());
    let objects: Vec<_> = small.objects().into_iter().chain([text, file, force]).collect();
    assert_eq!(
        warnings(&root, &objects),
        ["master.lua:7: StringParameter \"note\": 'maxsize' has no effect: only a FileParameter is measured"]
    );
}

#[test]
fn values_that_need_rendering_wait_for_the_build() {
    let property = object("Property", 1, table!["jobs", 4]);
    let step = step_of("ShellCommand", table![; command = table!["make", &property], name = function(), timeout = "2h"]);
    assert!(matches!(&step.name, Arg::Dynamic(t) if matches!(**t, Template::Call(_))));
    let StepKind::Shell(shell) = &step.kind else { panic!("{step:?}") };
    assert_eq!(shell.options.timeout, Arg::Const(Some(7200.0)));
    let key = "jobs".to_string();
    let default = Some(Box::new(Template::Const(4.into())));
    let list = vec![Template::Const("make".into()), Template::Property { key, default, default_when_false: true }];
    assert_eq!(shell.command, Arg::Dynamic(Box::new(Template::List(list))));
    let plain = object("Interpolate", 1, table!["100%%"]);
    let StepKind::Shell(shell) = &step_of("ShellCommand", table![; command = &plain]).kind else { panic!() };
    assert_eq!(shell.command, Arg::Const(CommandLine::Shell("100%".into())));
}

/// A thousand of each in a blink, with what is shared understood once.
#[test]
fn a_large_file_is_fast() {
    let mut objects = Vec::new();
    let (mut workers, mut builders) = (Table::default(), Table::default());
    for i in 0..1000i64 {
        let name = format!("w{i}");
        let worker = object("Worker", 1, table![name.as_str(), "x"; max_builds = 1]);
        let step = object("Compile", 2, Table::default());
        let factory = object("BuildFactory", 3, table![&step]);
        let builder = object("BuilderConfig", 4, table![; name = format!("b{i}").as_str(), workername = name.as_str(), factory = &factory]);
        workers.items.push((&worker).into());
        builders.items.push((&builder).into());
        objects.extend([worker, step, factory, builder]);
    }
    let root = table![; workers = workers, builders = builders];
    let start = std::time::Instant::now();
    assert_eq!(load(&root, &objects).unwrap().builders.len(), 1000);
    // Unoptimised and beside other tests; compiling a thousand patterns alone takes longer.
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn exit_codes_and_log_files_are_read() {
    let mut codes = table![1];
    codes.named.insert("0".into(), 0.into());
    codes.strange_key = Some("[0]".into());
    let logfiles = table![; a = "a.log", b = table![; filename = "b.log", follow = true]];
    let step = step_of("ShellCommand", table![; command = "x", decodeRC = codes, logfiles = logfiles]);
    let StepKind::Shell(shell) = &step.kind else { panic!("{step:?}") };
    let Arg::Const(codes) = &shell.options.decode_rc else { panic!() };
    assert_eq!(codes.iter().map(|(c, r)| (*c, i64::from(*r))).collect::<Vec<_>>(), [(0, 0), (1, 1)]);
    let Arg::Const(files) = &shell.options.logfiles else { panic!() };
    assert!(!files["a"].follow && files["b"].follow);
}

#[test]
fn a_sequence_holds_its_commands() {
    let first = object("ShellArg", 1, table![; command = table!["a"], logname = "first"]);
    let second = object("ShellArg", 2, table![; command = "b", haltOnFailure = true]);
    for args in [table![&first, &second], table![; commands = table![&first, &second]]] {
        let step = step_of("ShellSequence", args);
        let StepKind::Sequence(sequence) = &step.kind else { panic!("{step:?}") };
        let SequenceCommands::List(commands) = &sequence.commands else { panic!("{sequence:?}") };
        assert_eq!(commands.iter().map(|c| c.halt_on_failure == Arg::Const(true)).collect::<Vec<_>>(), [false, true]);
    }
    let rendered: Vec<Value> = vec![(&first).into(), "c".into(), table!["d", 5].into(), Value::None];
    let commands = sequence_commands(&Table { items: rendered, ..Table::default() }.into()).unwrap();
    assert_eq!(commands.len(), 4);
    assert_eq!((&commands[0].logname, &commands[3].command), (&Arg::Const(Some("first".into())), &Arg::default()));
    assert!(
        matches!(&step_of("ShellSequence", table![; commands = function()]).kind, StepKind::Sequence(s) if matches!(s.commands, SequenceCommands::Render(Template::Call(_))))
    );
    for (wrong, told) in [
        ("make".into(), "must be a list of util.ShellArg or command lines, got \"make\""),
        (table!["make", 2.5].into(), "[2] must be text or a list of texts, got 2.5"),
        (table![&object("ShellArg", 3, Table::default())].into(), "[1] holds a wrong ShellArg (master.lua:3): missing argument 'command'"),
    ] {
        assert_eq!(sequence_commands(&wrong).unwrap_err().to_string(), told);
    }
}

#[test]
fn old_and_missing_classes_are_told() {
    let told = "is gone: write Interpolate, with '%(prop:name)s' for '%(name)s'";
    assert_eq!(mistakes_of(&object("WithProperties", 2, table!["x"])), [format!("master.lua:2: WithProperties: {told}")]);
    let hint = |name| class::known_names_hint(name).unwrap();
    assert_eq!(hint("ShellComand"), "did you mean 'steps.ShellCommand'?");
    assert_eq!(hint("Wroker"), "did you mean 'Worker'?");
    assert_eq!(hint("BuildFactory"), "it is util.BuildFactory");
    assert_eq!(hint("GitPoller"), "Buildbot's GitPoller is not supported yet; a hook of the repository can call `buildmoon force`");
    assert_eq!(hint("renderer"), "it is util.renderer");
    assert_eq!(class::known_names_hint("zzzzzzzz"), None);
}

#[test]
fn keys_of_the_root_are_checked() {
    let start = "master.lua: BuildmasterConfig";
    for (root, told) in [
        (table![; wokers = 1], ": unknown key 'wokers' (did you mean 'workers'?)"),
        (table![; workers = table!["x"]], ": workers[1] must be a Worker, got \"x\""),
        (table![; services = table![1]], ": services[1] must be a reporter such as MailNotifier, got 1"),
        (table![; title = 5], ": 'title' must be text, got 5"),
        (table![; db_url = "postgresql://u:secret@h/d"], ": 'db_url' can't be a postgresql database: only SQLite is supported yet"),
        (table![; db = table![; db_url = "sqlite://"]], ".db: 'db_url' must name a file: what is kept in memory is lost with the master"),
        (table![; www = table![; prot = 1]], ".www: unknown key 'prot' (did you mean 'port'?)"),
        (table![; www = table![; port = 70000]], ".www: 'port' must be a port from 0 to 65535, got 70000"),
        (
            table![; protocols = table![; msgpack_experimental_v7 = table![; port = 1]]],
            ".protocols: 'msgpack_experimental_v7' is not supported yet",
        ),
        (
            table![; www = table![; port = "ssl:443:privateKey=x"]],
            ".www: 'port' can't be an \"ssl:\" endpoint: it is not supported yet; put a proxy such as nginx before it",
        ),
        (
            table![; lua = table![; memory_limit = "1kB"]],
            ".lua: 'memory_limit' must be a number of bytes (at least 1 MiB) or a size such as \"256MiB\", got \"1kB\"",
        ),
        (table![; mq = table![; type = "wamp"]], ".mq: 'type' can't be \"wamp\": several masters are not supported yet"),
    ] {
        assert_eq!(root_mistakes(root), [format!("{start}{told}")]);
    }
}

#[test]
fn ports_are_read_in_every_form() {
    let www = |port: Value| load(&table![; www = table![; port = port]], &[]).unwrap().www.unwrap();
    let tcp = |interface: Option<&str>, port| Listen::Tcp { interface: interface.map(str::to_owned), port };
    assert_eq!(www(8010.into()), tcp(Some("127.0.0.1"), 8010));
    assert_eq!(www("8010".into()), tcp(Some("127.0.0.1"), 8010));
    assert_eq!(www("tcp:8010".into()), tcp(None, 8010));
    assert_eq!(www("tcp:port=8010:interface=10.0.0.1".into()), tcp(Some("10.0.0.1"), 8010));
    assert_eq!(www("tcp6:8010:interface=\\:\\:1".into()), tcp(Some("::1"), 8010));
    let unix = |mode| Listen::Unix { path: "/run/x.sock".into(), mode };
    assert_eq!(www("unix:/run/x.sock".into()), unix(0o600));
    assert_eq!(www("unix:address=/run/x.sock:mode=0660:lockfile=0".into()), unix(0o660));
    for wrong in ["", "rw", "7777", "060", "8"] {
        let told = root_mistakes(table![; www = table![; port = format!("unix:/run/x.sock:mode={wrong}").as_str()]]);
        assert!(told[0].contains("has no mode of a file"), "{told:?}");
    }
    assert!(!root_mistakes(table![; www = table![; port = "tcp:"]]).is_empty());
    assert!(!root_mistakes(table![; www = table![; port = "tcp:1:colour=red"]]).is_empty());
}

#[test]
fn other_keys_are_kept() {
    let mut root =
        table![; title = "T", buildbotURL = "http://x", logMaxSize = 1000, collapseRequests = false, prioritizeBuilders = function()];
    root.named.insert("db".into(), table![; db_url = "sqlite:////var/x.sqlite"].into());
    root.named.insert("lua".into(), table![; callback_timeout = "30s", memory_limit = "64MiB"].into());
    root.named.insert("change_source".into(), Table::default().into());
    let config = load(&root, &[]).unwrap();
    assert_eq!((config.title.as_str(), config.buildbot_url.as_str(), config.log_max_size), ("T", "http://x/", Some(1000)));
    assert_eq!(config.sqlite, PathBuf::from("/var/x.sqlite"));
    assert_eq!(
        config.limits,
        LuaLimits { callback_timeout: Some(Duration::from_secs(30)), memory_bytes: 64 << 20, ..LuaLimits::default() }
    );
    assert_eq!(config.collapse_requests, Collapse::Always(false));
    assert!(config.prioritize_builders.is_some());
}

#[test]
fn warnings_are_told_and_old_names_once() {
    let small = small();
    let lonely = object("Worker", 6, table!["lonely", "x"]);
    let step = object("ShellCommand", 7, table![; command = "x"]);
    let factory = object("BuildFactory", 8, table![&step]);
    let a = object("BuilderConfig", 9, table![; name = "a", slavename = "bot", factory = &factory]);
    let b = object("BuilderConfig", 10, table![; name = "b", slavename = "bot", factory = &factory]);
    let mut objects = small.objects();
    objects.extend([&lonely, &step, &factory, &a, &b].map(Arc::clone));
    let mut root = small.root();
    root.named.remove("workers");
    root.named.insert("slaves".into(), table![&small.worker, &lonely].into());
    root.named.insert("builders".into(), table![&small.builder, &a, &b].into());
    root.named.insert("www".into(), table![; port = 1, plugins = Table::default()].into());
    assert_eq!(
        warnings(&root, &objects),
        [
            "master.lua:6: Worker \"lonely\": no builder uses it",
            "master.lua:9: BuilderConfig \"a\": 'slavename' is the old spelling of 'workername'",
            "master.lua:9: BuilderConfig \"a\": no scheduler starts it",
            "master.lua:10: BuilderConfig \"b\": no scheduler starts it",
            "master.lua: BuildmasterConfig: 'slaves' is the old spelling of 'workers'",
            "master.lua: BuildmasterConfig.www: 'plugins' is not used yet",
        ]
    );
    let mut root = small.root();
    root.named.remove("protocols");
    assert_eq!(
        warnings(&root, &objects).last().unwrap(),
        "master.lua: BuildmasterConfig: Worker \"bot\" can't connect: protocols has no pb port"
    );
}

#[test]
fn a_force_scheduler_has_its_parameters() {
    let small = small();
    let text = object("StringParameter", 5, table!["pull_url"; label = "URL", default = "x", size = 80, regex = "^h"]);
    let choice = object("ChoiceStringParameter", 5, table!["how"; choices = table!["a", "b"], strict = false]);
    let group = object("NestedParameter", 5, table!["", table![&text, &choice]]);
    let fixed = object("FixedParameter", 5, table!["whatever"; default = "main"]);
    let codebase = object("CodebaseParameter", 5, table!["lib"; branch = &fixed, revision = ""]);
    let args = table![; name = "force", builderNames = table!["runtests"], properties = table![&group], codebases = table![&codebase, "app"], priority = 3];
    let scheduler = object("ForceScheduler", 6, args);
    let mut root = small.root();
    root.named.insert("schedulers".into(), table![&scheduler].into());
    let config = load(&root, &small.objects()).unwrap();
    let SchedulerKind::Force(force) = &config.schedulers[0].kind;
    let ParameterKind::Nested { fields, .. } = &force.properties[0].kind else { panic!() };
    assert_eq!((fields[0].label.as_str(), fields[0].size, fields[0].regex.as_deref()), ("URL", Some(80), Some("^h")));
    assert_eq!(fields[1].kind, ParameterKind::Choice { choices: Choices::List(vec!["a".into(), "b".into()]), strict: false });
    let ParameterKind::Codebase { codebase, fields } = &force.codebases[0].kind else { panic!() };
    let classes: Vec<_> = fields.iter().map(|f| (f.name.as_str(), f.class.as_str())).collect();
    assert_eq!(codebase, "lib");
    assert_eq!(classes[..2], [("branch", "FixedParameter"), ("revision", "FixedParameter")]);
    assert!(force.codebases[1].hide);
    assert_eq!(force.priority.default, 3);
}

#[test]
fn a_force_scheduler_says_what_is_wrong() {
    let text = object("StringParameter", 1, table!["x"]);
    for (args, told) in [
        (table!["f", table!["b"]; properties = table!["x"]], "properties[1] must be a parameter such as util.StringParameter, got \"x\""),
        (
            table!["f", table!["b"]; codebases = table![&text]],
            "'codebases' must be a list of util.CodebaseParameter, got a StringParameter",
        ),
        (table!["f", table!["b"]; reasonString = "%(owner)s %(why)s"], "'reasonString' may hold %(owner)s and %(reason)s, got '%(why)s'"),
        (table!["f", "b"], "'builderNames' must be a list of texts, got \"b\""),
    ] {
        assert_eq!(mistakes_of(&object("ForceScheduler", 2, args)), [format!("master.lua:2: ForceScheduler \"f\": {told}")]);
    }
    assert_eq!(
        mistakes_of(&object("BooleanParameter", 3, table!["p"; default = "yes"])),
        ["master.lua:3: BooleanParameter \"p\": 'default' must be true or false, got \"yes\""]
    );
}

#[test]
fn a_mistake_in_a_loop_is_told_so_often_and_no_more() {
    let worker = |i: u32| object("Worker", i, table![format!("w{i}").as_str(), "x"; max_builds = 0]);
    let objects: Vec<_> = (1..=7000).map(worker).collect();
    let told = mistakes(&Table::default(), &objects);
    assert_eq!(told.len(), 5001);
    assert_eq!(told.last().map(String::as_str), Some("master.lua: and 2000 more of the kind"));
}
