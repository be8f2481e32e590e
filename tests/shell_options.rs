//! The options of the steps that run commands, each as it shows in a build on the local worker.

mod support;

use serde_json::{Value, json};
use support::*;

/// A master with one builder for each of these: name, the lines that add steps to `f`.
fn master(builders: &[(&str, &str)]) -> Master {
    let master = master_of("LocalWorker{ \"here\" }", builders);
    master.wait_attached("here");
    master
}

fn master_of(worker: &str, builders: &[(&str, &str)]) -> Master {
    let mut lua = format!("c.workers = {{ {worker} }}\nc.builders = {{}}\nlocal f\n");
    let mut names = Vec::new();
    for (name, steps) in builders {
        lua += &format!(
            "f = util.BuildFactory()\n{steps}\ntable.insert(c.builders, util.BuilderConfig{{ name = \"{name}\", workernames = {{ \"here\" }}, factory = f }})\n"
        );
        names.push(format!("{name:?}"));
    }
    lua += &format!("c.schedulers = {{ schedulers.ForceScheduler{{ name = \"force\", builderNames = {{ {} }} }} }}\n", names.join(", "));
    Master::start(&lua)
}

fn build(master: &Master, builder: &str, results: i64) -> Value {
    let build = master.build(builder, json!({}));
    assert_eq!(build["results"], results, "{builder}: {build:#}\n{:#?}", master.steps(&build));
    build
}

/// The names of a step's logs.
fn logs(master: &Master, build: &Value, step: &str) -> Vec<String> {
    let path = format!("steps/{}/logs", master.step(build, step)["stepid"]);
    let mut names: Vec<String> = master.http.rows(&path, "logs").iter().map(|l| l["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

fn text(master: &Master, build: &Value, step: &str, slug: &str) -> String {
    String::from_utf8(master.log_raw(build, step, slug)).expect("UTF-8")
}

#[test]
fn warnings_are_counted_extracted_and_suppressed() {
    // What comes on another stream is read when it is there: without the pause it may stand between the others.
    let say = r#"command = "echo \"make: Entering directory 'lib'\"; echo 'a.c:3: warning: unused x'; echo 'make: Leaving directory'; echo 'a.c:3: warning: unused y'; sleep 0.5; echo 'b.c:8: warning: odd' >&2""#;
    let compile = |options: &str| format!("f:addStep(steps.Compile{{ name = \"it\", {say}, {options} }})");
    let groups = r#"warningPattern = "(.+):([0-9]+): warning: (.*)""#;
    let from_groups = "warningExtractor = steps.WarningCountingShellCommand.warnExtractFromRegexpGroups";
    let own = r#"warningExtractor = function(step, line, match) return match:group(1), tonumber(match:group(2)), step.name .. match:group(3) end"#;
    let master = master(&[
        ("all", &(compile("") + "\n" + &compile(""))),
        ("in_lib", &compile(&format!(r#"{groups}, {from_groups}, suppressionList = {{ {{ "lib/", None, None, None }} }}"#))),
        ("by_line", &compile(&format!(r#"{groups}, {own}, suppressionList = {{ {{ "a", "^itunused", 3, 3 }}, {{ "lib/a" }} }}"#))),
        ("by_text", &compile(r#"suppressionList = { { "x", "unused" } }"#)),
        ("too_many", &compile("maxWarnCount = 2")),
        ("enough", &compile("maxWarnCount = 3")),
        ("none", &compile(r#"suppressionList = { { None, "" } }"#)),
        ("broken", &compile(r#"warningExtractor = function() return 5 end, suppressionList = { { "x" } }"#)),
    ]);
    let all = build(&master, "all", SUCCESS);
    assert_eq!(master.step(&all, "it")["results"], WARNINGS);
    assert_eq!(master.properties(&all)["warnings-count"], json!([6, "WarningCountingShellCommand"]));
    assert_eq!(logs(&master, &all, "it"), ["stdio", "warnings (3)"]);
    for (builder, lines) in [
        ("in_lib", "a.c:3: warning: unused y\nb.c:8: warning: odd\n"),
        ("by_line", "b.c:8: warning: odd\n"),
        ("by_text", "b.c:8: warning: odd\n"),
    ] {
        let build = build(&master, builder, SUCCESS);
        let count = lines.lines().count();
        assert_eq!(logs(&master, &build, "it"), ["stdio".to_owned(), format!("warnings ({count})")], "{builder}");
        let mut got: Vec<String> = text(&master, &build, "it", &format!("warnings__{count}_")).lines().map(str::to_owned).collect();
        got.sort();
        assert_eq!(got, lines.lines().collect::<Vec<_>>(), "{builder}");
    }
    build(&master, "too_many", FAILURE);
    build(&master, "enough", SUCCESS);
    let none = build(&master, "none", SUCCESS);
    assert_eq!((&master.step(&none, "it")["results"], &master.properties(&none)["warnings-count"][0]), (&json!(SUCCESS), &json!(0)));
    let broken = build(&master, "broken", EXCEPTION);
    let told = text(&master, &broken, "it", "err.text");
    assert!(told.contains("warningExtractor") && told.contains("must return the file as text or nil, got 5"), "{told}");
}

#[test]
fn sequences_run_what_they_are_told() {
    let master = master(&[
        (
            "args",
            r#"f:addStep(steps.SetProperty{ property = "where", value = "two" })
            f:addStep(steps.ShellSequence{ name = "it", workdir = Interpolate("in-%(prop:where)s"), env = { A = "a" }, commands = {
                util.ShellArg{ command = "pwd; echo $A", logname = "first" },
                util.ShellArg{ command = { "echo", Property("where") }, logname = Interpolate("log-%(prop:where)s") },
                util.ShellArg{ command = Property("nothing"), logname = "never" },
                util.ShellArg{ command = "false", flunkOnFailure = false, warnOnFailure = true },
            } })"#,
        ),
        (
            "halts",
            r#"f:addStep(steps.ShellSequence{ name = "it", commands = {
                util.ShellArg{ command = "exit 3", haltOnFailure = true }, util.ShellArg{ command = "true", logname = "after" } } })"#,
        ),
        (
            "called",
            r#"f:addStep(steps.ShellSequence{ name = "it", commands = function(props)
                local list = { "echo plain", { "echo", props.buildername } }
                table.insert(list, util.ShellArg{ command = "echo arg", logname = "arg" })
                return list
            end })"#,
        ),
        (
            "property",
            r#"f:addStep(steps.SetProperty{ property = "cmds", value = { "echo one", { "echo", "two" } } })
            f:addStep(steps.ShellSequence{ name = "it", commands = Property("cmds") })"#,
        ),
        ("empty", r#"f:addStep(steps.ShellSequence{ name = "it", commands = function() return {} end })"#),
        ("wrong", r#"f:addStep(steps.ShellSequence{ name = "it", commands = function() return { { a = 1 } } end })"#),
    ]);
    let args = build(&master, "args", SUCCESS);
    assert_eq!(master.step(&args, "it")["results"], WARNINGS);
    assert_eq!(logs(&master, &args, "it"), ["first", "log-two", "stdio_3"]);
    let first = text(&master, &args, "it", "first");
    assert!(first.lines().any(|l| l.ends_with("/args/in-two")) && first.lines().any(|l| l == "a"), "{first}");
    assert!(text(&master, &args, "it", "log-two").lines().any(|l| l == "two"));
    let halts = build(&master, "halts", FAILURE);
    assert_eq!(logs(&master, &halts, "it"), ["stdio"]);
    let called = build(&master, "called", SUCCESS);
    assert_eq!(logs(&master, &called, "it"), ["arg", "stdio", "stdio_1"]);
    assert!(text(&master, &called, "it", "stdio_1").lines().any(|l| l == "called"));
    let property = build(&master, "property", SUCCESS);
    assert!(text(&master, &property, "it", "stdio_1").lines().any(|l| l == "two"));
    let empty = build(&master, "empty", SUCCESS);
    assert_eq!(master.step(&empty, "it")["results"], SKIPPED);
    let wrong = build(&master, "wrong", EXCEPTION);
    let told = text(&master, &wrong, "it", "err.text");
    assert!(told.contains("commands[1]"), "{told}");
}

#[test]
fn conditions_are_functions_booleans_and_renderables() {
    let sh = |name: &str, options: &str| format!("f:addStep(steps.ShellCommand{{ name = \"{name}\", command = \"true\", {options} }})\n");
    let steps = r#"f:addStep(steps.SetProperty{ property = "zero", value = 0 })
        f:addStep(steps.SetProperty{ property = "one", value = 1 })
        "#
    .to_owned()
        + &sh("do function", "doStepIf = function(step) return step:getProperty('one') == 1 end")
        + &sh("do not function", "doStepIf = function(step) return step.name ~= 'do not function' end")
        + &sh("do not", "doStepIf = false")
        + &sh("do rendered", "doStepIf = Property('one')")
        + &sh("do not rendered", "doStepIf = Property('zero')")
        + &sh("hide function", "hideStepIf = function(results, step) return results == SUCCESS and step.name == 'hide function' end")
        + &sh("hide not function", "hideStepIf = function(results) return results == FAILURE end")
        + &sh("hide", "hideStepIf = true")
        + &sh("hide rendered", "hideStepIf = Property('one')")
        + &sh("hide not rendered", "hideStepIf = Property('zero')");
    let master = master(&[("it", &steps)]);
    let build = build(&master, "it", SUCCESS);
    for (name, results) in [
        ("do function", SUCCESS),
        ("do not function", SKIPPED),
        ("do not", SKIPPED),
        ("do rendered", SUCCESS),
        ("do not rendered", SKIPPED),
    ] {
        assert_eq!(master.step(&build, name)["results"], results, "{name}");
    }
    for (name, hidden) in
        [("hide function", true), ("hide not function", false), ("hide", true), ("hide rendered", true), ("hide not rendered", false)]
    {
        assert_eq!(master.step(&build, name)["hidden"], hidden, "{name}");
    }
}

#[test]
fn what_a_command_gets_and_gives() {
    let master = master(&[("it", &options())]);
    let build = options_hold(&master);
    // A stock worker looks every two seconds, and what was written before it first looks is not followed.
    assert_eq!((text(&master, &build, "files", "b"), text(&master, &build, "follows", "a")), ("two\n".into(), "new\n".into()));
    let said = master.log_contents(&build, "latin", "stdio");
    assert!(said.lines().any(|l| l == "ogrün") && said.lines().any(|l| l == "ofertig"), "{said}");
}

#[test]
fn what_a_command_gets_and_gives_on_a_stock_worker() {
    let master = master_of("Worker{ \"here\", \"pass\" }", &[("it", &options())]);
    let _worker = Worker::start("4.3.0", "here", "pass", master.pb);
    master.wait_attached("here");
    options_hold(&master);
}

/// A step for each option.
fn options() -> String {
    let sh = |name: &str, command: &str, options: &str| {
        format!("f:addStep(steps.ShellCommand{{ name = \"{name}\", command = [==[{command}]==], {options} }})\n")
    };
    r#"f:addStep(steps.SetProperty{ property = "p", value = "rendered" })
        "#
    .to_owned()
        + &sh("env", "echo $A:$B:${HOME-none}", r#"env = { A = Property("p"), B = { "x", "y" }, HOME = None }"#)
        + &sh("workdir", "pwd", r#"workdir = Interpolate("in-%(prop:p)s")"#)
        + &sh("stdin", "cat", r#"initialStdin = "given""#)
        + &sh("pty", "test -t 1 && echo terminal", "usePTY = true")
        + &sh("no pty", "test -t 1 || echo none", "usePTY = false")
        + &sh("codes", "exit 3", "decodeRC = { [0] = SUCCESS, [3] = WARNINGS }")
        + &sh("no stdout", "echo out; echo err >&2", "want_stdout = false")
        + &sh("no stderr", "echo out; echo err >&2", "want_stderr = false")
        + &sh("no environ", "true", "logEnviron = false")
        + &sh("environ", "true", "env = { SHOWN = 'yes' }")
        + &sh(
            "files",
            "echo one > a.log; echo two > b.log; sleep 0.3",
            r#"logfiles = { a = "a.log", b = { filename = "b.log", follow = true } }"#,
        )
        + &sh("follows", "echo new >> a.log; sleep 0.3", r#"logfiles = { a = { filename = "a.log", follow = true } }"#)
        + &sh("lazy", "echo x > c.log; sleep 0.3", r#"lazylogfiles = true, logfiles = { c = "c.log", never = "never.log" }"#)
        + &sh("eager", "true", r#"logfiles = { never = "never.log" }"#)
        + &sh(
            "no timeout",
            "sleep 0.2",
            "timeout = None, progressMetrics = { 'x' }, useProgress = false, updateBuildSummaryPolicy = { FAILURE }",
        )
        + &sh("latin", "printf 'gr\\374n\\nfertig'", "logEncoding = 'latin-1'")
        + &sh("utf", "echo grün", "logEncoding = 'cp1252'")
        + &sh(
            "words",
            "true",
            r#"description = { "doing", "it" }, descriptionDone = { "did", Property("p") }, descriptionSuffix = { "well" }"#,
        )
}

fn options_hold(master: &Master) -> Value {
    let build = build(master, "it", SUCCESS);
    let said = |step: &str| master.log_contents(&build, step, "stdio");
    let has = |step: &str, line: &str| said(step).lines().any(|l| l == line);
    assert!(has("env", "orendered:x:y:none"), "{}", said("env"));
    assert!(said("workdir").lines().any(|l| l.starts_with('o') && l.ends_with("/it/in-rendered")), "{}", said("workdir"));
    assert!(has("stdin", "ogiven"), "{}", said("stdin"));
    assert!(has("pty", "oterminal") && has("no pty", "onone"));
    assert_eq!(master.step(&build, "codes")["results"], WARNINGS);
    assert!(!has("no stdout", "oout") && has("no stdout", "eerr"), "{}", said("no stdout"));
    assert!(has("no stderr", "oout") && !has("no stderr", "eerr"), "{}", said("no stderr"));
    assert!(said("environ").contains("SHOWN=yes") && !said("no environ").contains("HOME="));
    assert_eq!(text(master, &build, "files", "a"), "one\n");
    assert_eq!(logs(master, &build, "lazy"), ["c", "stdio"]);
    assert_eq!(logs(master, &build, "eager"), ["never", "stdio"]);
    assert!(has("utf", "ogrün"), "{}", said("utf"));
    assert_eq!(master.step(&build, "words")["state_string"], "did rendered well");
    build
}

#[test]
fn what_ends_a_command() {
    let sh = |command: &str, options: &str| {
        format!("f:addStep(steps.ShellCommand{{ name = \"it\", command = [==[{command}]==], {options} }})\n")
    };
    let trap = "trap 'echo got TERM; exit 5' TERM; echo begun; while :; do sleep 0.1; done";
    let master = master(&[
        ("silent", &sh("echo a; sleep 60", "timeout = 0.5")),
        ("long", &sh("while :; do echo x; sleep 0.1; done", "maxTime = 1")),
        ("lines", &sh("while :; do echo x; sleep 0.01; done", "max_lines = 5")),
        ("polite", &sh(trap, "maxTime = 1, sigtermTime = 20")),
        ("signal", &sh(trap, "maxTime = 1, interruptSignal = 'TERM'")),
    ]);
    for (builder, state) in
        [("silent", "timed out: no output"), ("long", "timed out"), ("lines", "too many lines"), ("polite", "timed out")]
    {
        let build = build(&master, builder, FAILURE);
        let step = master.step(&build, "it");
        assert!(step["state_string"].as_str().is_some_and(|s| s.contains(state)), "{builder}: {step:#}");
    }
    for builder in ["polite", "signal"] {
        let build = build(&master, builder, FAILURE);
        let said = master.log_contents(&build, "it", "stdio");
        assert!(said.lines().any(|l| l == "ogot TERM"), "{builder}: {said}");
    }
}

#[test]
fn a_float_that_is_rendered_into_a_command_ends_the_step_with_the_mend() {
    let shell = |command: &str| format!("f:addStep(steps.ShellCommand{{ name = \"it\", command = {command} }})");
    let worker = "LocalWorker{ \"here\", quarantine_initial_timeout = 0.1 }";
    let master = master_of(
        worker,
        &[
            ("whole", &shell("function(props) return { 'echo', 1200 * 1.5 } end")),
            ("inside", &shell("{ 'echo', function(props) return { 'a', { 0.5 } } end }")),
            ("good", &shell("{ 'echo', function(props) return { 1200 * 3 // 2 } end }")),
        ],
    );
    for (builder, parts) in [("whole", ["1800.0", "math.tointeger(x)"]), ("inside", ["0.5", "tostring(x)"])] {
        let broken = build(&master, builder, EXCEPTION);
        let told = text(&master, &broken, "it", "err.text");
        assert!(told.contains("command"), "{told}");
        assert!(parts.iter().all(|part| told.contains(part)), "{told}");
    }
    let good = build(&master, "good", SUCCESS);
    assert!(text(&master, &good, "it", "stdio").contains("1800\n"));
}
