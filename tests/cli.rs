//! The commands as a shell sees them: what they print where, and their exit codes.

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::json;
use support::master::{BUILDMOON, buildmoon, ran};
use support::*;

const LOCAL: &str = r#"
c.workers = { LocalWorker{ "w" } }
local good, bad, wait = util.BuildFactory(), util.BuildFactory(), util.BuildFactory()
good:addStep(steps.ShellCommand{ name = "say", command = { "echo", Interpolate("colour=%(prop:colour:-none)s") } })
bad:addStep(steps.ShellCommand{ name = "fail", command = "echo it is broken; exit 3" })
wait:addStep(steps.ShellCommand{ name = "wait", command = "echo begun; while [ -d @DIR@ ] && [ ! -e @DIR@/go ]; do sleep 0.1; done" })
c.builders = {
  util.BuilderConfig{ name = "good", workernames = { "w" }, factory = good },
  util.BuilderConfig{ name = "bad", workernames = { "w" }, factory = bad },
  util.BuilderConfig{ name = "wait", workernames = { "w" }, factory = wait },
}
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "good", "bad", "wait" },
  properties = { util.StringParameter{ name = "colour", default = "grey" } } } }
"#;

const COMMANDS: [&str; 11] =
    ["create-master", "checkconfig", "start", "stop", "status", "run", "force", "lua", "lua-types", "completions", "manual"];

#[test]
fn help_and_version_are_everywhere() {
    let version = buildmoon(["--version"]);
    assert_eq!((version.code, version.out.trim()), (Some(0), concat!("buildmoon ", env!("CARGO_PKG_VERSION"))));
    let help = buildmoon(["--help"]);
    assert_eq!(help.code, Some(0));
    for command in COMMANDS {
        assert!(help.out.contains(command), "--help does not name {command}:\n{}", help.out);
        let one = buildmoon([command, "--help"]);
        assert_eq!(one.code, Some(0), "{command} --help: {}", one.err);
        assert!(one.out.contains("Usage:"), "{command} --help: {}", one.out);
    }
}

#[test]
fn a_wrong_command_line_is_refused_with_what_to_do() {
    for args in [&["strat"][..], &["start", "--no-such-option"], &["run"], &[]] {
        let answer = buildmoon(args);
        assert!(answer.code.is_some_and(|c| c != 0), "{args:?} went well");
        assert!(!answer.err.trim().is_empty() && !answer.err.contains("panicked"), "{args:?}: {}", answer.err);
    }
    assert!(buildmoon(["strat"]).err.contains("start"), "no suggestion for a misspelt command");
}

#[test]
fn completions_and_manual_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        let completions = buildmoon(["completions", shell]);
        assert_eq!(completions.code, Some(0), "{}", completions.err);
        assert!(completions.out.contains("checkconfig"), "{shell}: {}", completions.out);
    }
    let manual = buildmoon(["manual"]);
    assert_eq!(manual.code, Some(0), "{}", manual.err);
    assert!(manual.out.contains("buildmoon") && manual.out.contains(".TH"), "{}", manual.out);
}

#[test]
fn create_master_makes_a_folder_that_passes_and_overwrites_nothing() {
    let home = tempfile::tempdir().expect("a folder");
    let dir = home.path().join("deep/er/master");
    let made = buildmoon(["create-master".as_ref(), dir.as_os_str()]);
    assert_eq!(made.code, Some(0), "{}", made.err);
    let text = fs::read_to_string(dir.join("master.lua")).expect("master.lua");
    assert!(text.lines().filter(|l| l.trim_start().starts_with("--")).count() >= 5, "hardly a comment in it:\n{text}");
    let checked = buildmoon(["checkconfig".as_ref(), dir.as_os_str()]);
    assert_eq!(checked.code, Some(0), "{}{}", checked.out, checked.err);
    // The file itself may be named as well.
    let file = buildmoon(["checkconfig".as_ref(), dir.join("master.lua").as_os_str()]);
    assert_eq!(file.code, Some(0), "{}{}", file.out, file.err);

    fs::write(dir.join("master.lua"), "-- mine\n").expect("a change");
    let again = buildmoon(["create-master".as_ref(), dir.as_os_str()]);
    assert_eq!(fs::read_to_string(dir.join("master.lua")).expect("master.lua"), "-- mine\n", "it was overwritten");
    assert!(again.code.is_some_and(|c| c != 0) && again.err.contains("master.lua"), "{again:?}");
}

#[test]
fn ten_mistakes_are_ten_lines() {
    let master = Master::create(
        r#"
c.titel = "a misspelt key"
c.workers = {
  Worker{ "w", "pass", max_build = 2 },
  Worker{ "x" },
  Worker{ "y", "pass", max_builds = "many" },
  Worker{ "w", "pass" },
}
local f = util.BuildFactory()
f:addStep(steps.ShellCommand{ command = { "true" }, haltOnFailre = true })
f:addStep(steps.ShellCommand{ command = { "true" }, timeout = "soon" })
f:addStep(steps.ShellCommand{ command = Interpolate("%(porp:x)s") })
c.builders = {
  util.BuilderConfig{ name = "b", workernames = { "ww" }, factory = f },
  util.BuilderConfig{ name = "d", workernames = { "w" } },
}
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "bb" } } }
"#,
    );
    let checked = master.command("checkconfig", &[], &[]);
    assert_eq!(checked.code, Some(1), "{checked:?}");
    let all = format!("{}{}", checked.out, checked.err);
    let mistakes: Vec<&str> = all.lines().filter(|l| l.contains("master.lua:")).collect();
    for (line, part) in [
        (4, "max_build"),
        (5, "password"),
        (6, "max_builds"),
        (7, "\"w\""),
        (10, "haltOnFailre"),
        (11, "timeout"),
        (12, "porp"),
        (14, "ww"),
        (15, "factory"),
        (17, "bb"),
    ] {
        let found = mistakes.iter().any(|m| m.contains(&format!("master.lua:{line}: ")) && m.contains(part));
        assert!(found, "no mistake in line {line} about {part}:\n{all}");
    }
    assert!(all.contains("titel") && all.contains("'title'"), "nothing about the key 'titel':\n{all}");
    assert!(all.contains("did you mean 'max_builds'?") && all.contains("did you mean 'haltOnFailure'?"), "{all}");
    assert!(!all.contains("panicked") && !all.contains("[C]"), "{all}");
    // It does not start either, and says the same.
    let started = master.command("start", &[], &[]);
    assert!(started.code.is_some_and(|c| c != 0) && started.err.contains("max_build"), "{started:?}");
    // With the line of the file below the message, as checkconfig shows it.
    let shown = |text: &str| text.lines().filter(|l| l.trim_start().starts_with("| ")).count();
    assert!(shown(&started.err) >= 10 && shown(&started.err) == shown(&checked.err), "{}", started.err);
}

#[test]
fn a_lua_error_is_told_in_terms_of_lua() {
    for (text, line, part) in [
        ("\nlocal x = = 1\n", 2, "unexpected symbol"),
        ("\n\nerror('out of luck')\n", 3, "out of luck"),
        ("\nlocal t = nil\nprint(t.field)\n", 3, "nil"),
        ("\nc.workers = { Wroker{ 'w', 'p' } }\n", 2, "Worker"),
    ] {
        let master = Master::create(text);
        let checked = master.command("checkconfig", &[], &[]);
        let all = format!("{}{}", checked.out, checked.err);
        assert_eq!(checked.code, Some(1), "{all}");
        assert!(all.contains(&format!("master.lua:{line}:")) && all.contains(part), "{all}");
    }
}

#[test]
fn a_folder_without_configuration_is_said_to_be_none() {
    let empty = tempfile::tempdir().expect("a folder");
    for command in ["checkconfig", "start"] {
        for dir in [empty.path().to_owned(), empty.path().join("not-there")] {
            let answer = buildmoon([command.as_ref(), dir.as_os_str()]);
            assert_eq!(answer.code, Some(1), "{command}: {answer:?}");
            assert!(answer.err.contains("master.lua") || answer.err.contains("not-there"), "{command}: {}", answer.err);
        }
    }
    for command in ["stop", "status"] {
        let answer = buildmoon([command.as_ref(), empty.path().as_os_str()]);
        assert!(answer.code.is_some_and(|c| c != 0) && !answer.err.trim().is_empty(), "{command}: {answer:?}");
    }
}

#[test]
fn one_master_per_folder() {
    let mut master = Master::start(LOCAL);
    let second = master.command("start", &[], &[]);
    assert!(second.code.is_some_and(|c| c != 0), "{second:?}");
    assert!(second.err.contains(&master.pid().to_string()), "it does not name the process that runs: {}", second.err);
    assert!(master.alive());
    assert_eq!(master.build("good", json!({}))["results"], SUCCESS);

    // After a kill its files stay behind; they keep nobody out.
    let old = master.pid();
    master.kill9();
    assert!(master.dir().join("buildmoon.pid").exists());
    master.launch();
    let text = fs::read_to_string(master.dir().join("buildmoon.pid")).expect("the pid file");
    assert_eq!(text.trim(), master.pid().to_string(), "the old one was {old}");
}

#[test]
fn the_ready_line_names_the_addresses() {
    let master = Master::start(LOCAL);
    let line = wait_for("the ready line", || master.log().lines().find(|l| l.contains("ready")).map(str::to_owned));
    assert!(line.contains(&master.pb.to_string()) && line.contains(&master.http.port.to_string()), "{line}");
}

#[test]
fn stop_and_status_talk_to_the_running_master() {
    let mut master = Master::start(LOCAL);
    master.wait_attached("w");
    let request = master.force("wait", json!({}));
    let build = master.wait_build(request, 1);
    master.wait_log_of(&build, "wait", "begun");
    let status = master.command("status", &[], &[]);
    assert_eq!(status.code, Some(0), "{status:?}");
    assert!(status.out.lines().any(|l| l.contains('w')) && status.out.contains("wait"), "{}", status.out);
    let machine = master.command("status", &[], &["--json"]);
    let json: serde_json::Value = serde_json::from_str(&machine.out).unwrap_or_else(|e| panic!("{e}: {}", machine.out));
    assert!(json.is_object(), "{json}");
    fs::write(master.dir().join("go"), "").expect("the file");
    assert_eq!(master.wait_request(request), SUCCESS);

    let stop = master.command("stop", &[], &[]);
    assert_eq!(stop.code, Some(0), "{stop:?}");
    assert!(master.wait_exit().success());
    assert!(!master.dir().join("buildmoon.pid").exists(), "the pid file stays behind");
    assert!(master.command("status", &[], &[]).code.is_some_and(|c| c != 0));
}

#[test]
fn a_graceful_stop_waits_for_the_build() {
    let mut master = Master::start(LOCAL);
    let request = master.force("wait", json!({}));
    let build = master.wait_build(request, 1);
    master.wait_log_of(&build, "wait", "begun");
    let dir = master.dir();
    let stopping = std::thread::spawn(move || {
        ran(std::process::Command::new(BUILDMOON).args(["stop", "--graceful"]).arg(dir).output().expect("stop"))
    });
    worker::stays_true(std::time::Duration::from_secs(2), "the master waits", || master.alive());
    fs::write(master.dir().join("go"), "").expect("the file");
    assert!(master.wait_exit().success());
    let stop = stopping.join().expect("its thread");
    assert_eq!(stop.code, Some(0), "{stop:?}");
    master.launch();
    assert_eq!(master.wait_request(request), SUCCESS);
    assert_eq!(master.builds_of(request).len(), 1);
}

#[test]
fn sigterm_and_sigint_stop_in_order() {
    for name in ["TERM", "INT"] {
        let mut master = Master::start(LOCAL);
        assert_eq!(master.build("good", json!({}))["results"], SUCCESS);
        signal(master.pid(), name);
        assert!(master.wait_exit().success(), "SIG{name}");
    }
}

#[test]
fn run_needs_no_master_and_leaves_nothing() {
    let master = Master::create(LOCAL);
    let good = master.command("run", &["good"], &["--property", "colour=red"]);
    assert_eq!(good.code, Some(0), "{good:?}");
    assert!(good.out.contains("colour=red"), "the log is not on the terminal: {good:?}");
    assert!(format!("{}{}", good.out, good.err).contains("say"), "no line per step: {good:?}");
    let bad = master.command("run", &["bad"], &[]);
    assert!(bad.code.is_some_and(|c| c != 0) && bad.out.contains("it is broken"), "{bad:?}");
    let none = master.command("run", &["goood"], &[]);
    assert!(none.code.is_some_and(|c| c != 0) && none.err.contains("good"), "{none:?}");
    let mut files: Vec<_> = fs::read_dir(master.dir()).expect("the folder").map(|e| e.expect("an entry").file_name()).collect();
    files.sort();
    assert_eq!(files, ["master.lua"], "run left something behind");
}

/// Also while its file is evaluated.
#[test]
fn run_can_be_interrupted_before_its_build() {
    let master = Master::create("log.error('begun') while true do end");
    let mut run = std::process::Command::new(BUILDMOON);
    let mut run = run.args(["run", "b"]).arg(master.dir()).stderr(Stdio::piped()).spawn().expect("run");
    let (mut line, mut said) = (String::new(), BufReader::new(run.stderr.take().expect("what it says")));
    said.read_line(&mut line).expect("a line");
    assert!(line.contains("begun"), "{line}");
    signal(run.id(), "INT");
    let ended = wait_for("it ends", || run.try_wait().expect("its state"));
    assert_eq!(ended.code(), Some(130));
}

#[test]
fn a_deadline_beyond_all_time_is_no_panic() {
    let master = Master::create("");
    let ran = master.command("reconfig", &[], &["--timeout", &u64::MAX.to_string()]);
    assert_eq!((ran.code, ran.err.contains("no master runs")), (Some(1), true), "{}", ran.err);
}

#[test]
fn run_stands_beside_a_running_master() {
    let mut master = Master::start(LOCAL);
    let good = master.command("run", &["good"], &[]);
    assert_eq!(good.code, Some(0), "{good:?}");
    assert!(master.alive());
    assert!(master.http.rows("builds", "builds").is_empty(), "the run got into the master's state");
}

#[test]
fn force_follows_the_build_to_its_end() {
    let master = Master::start(LOCAL);
    let good = master.command("force", &["force"], &["--builder", "good", "--property", "colour=red", "--wait"]);
    assert_eq!(good.code, Some(0), "{good:?}");
    let bad = master.command("force", &["force"], &["--builder", "bad", "--wait"]);
    assert!(bad.code.is_some_and(|c| c != 0), "{bad:?}");
    let builds = master.http.rows("builds?order=buildid", "builds");
    assert_eq!(builds.len(), 2, "{builds:#?}");
    assert_eq!(master.properties(&builds[0])["colour"][0], "red");
    for (args, part) in [(&["froce", "good"], "force"), (&["force", "godo"], "good")] {
        let wrong = master.command("force", &[args[0]], &["--builder", args[1]]);
        assert!(wrong.code.is_some_and(|c| c != 0) && wrong.err.contains(part), "{wrong:?}");
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let first = Master::start(LOCAL);
    let second = Master::create(LOCAL);
    let text = fs::read_to_string(second.dir().join("master.lua")).expect("master.lua");
    fs::write(second.dir().join("master.lua"), text.replace(&second.pb.to_string(), &first.pb.to_string())).expect("master.lua");
    let started = second.command("start", &[], &[]);
    assert!(started.code.is_some_and(|c| c != 0) && started.err.contains(&first.pb.to_string()), "{started:?}");
}

#[test]
fn a_folder_that_cannot_hold_a_database_is_named() {
    let master = Master::create(LOCAL);
    // A folder where the file belongs: also root can't write through that.
    fs::create_dir(master.dir().join("state.sqlite")).expect("a folder");
    let started = master.command("start", &[], &[]);
    assert!(started.code.is_some_and(|c| c != 0) && started.err.contains("state.sqlite"), "{started:?}");
    fs::remove_dir(master.dir().join("state.sqlite")).expect("its removal");
    fs::write(master.dir().join("state.sqlite"), "this is no database at all, but it is long enough to be read".repeat(40))
        .expect("a file");
    let started = master.command("start", &[], &[]);
    assert!(started.code.is_some_and(|c| c != 0) && started.err.contains("state.sqlite"), "{started:?}");
}

#[test]
fn rule_26_the_evaluation_has_a_deadline_of_its_own() {
    let home = tempfile::tempdir().expect("a folder");
    fs::write(home.path().join("master.lua"), "sleep(100)").expect("master.lua");
    for command in [&["checkconfig"][..], &["run", "b"]] {
        let mut args: Vec<std::ffi::OsString> = command.iter().map(Into::into).collect();
        args.extend([home.path().into(), "--config-timeout".into(), "1".into()]);
        let ended = buildmoon(args);
        assert_eq!(ended.code, Some(1), "{command:?}: {}", ended.err);
        assert!(ended.err.contains("the evaluation did not end within 1.0 s"), "{command:?}: {}", ended.err);
    }
}

/// A SIGINT or SIGTERM that comes between the evaluation of the file and the build's first command is heard as well.
#[test]
fn a_run_is_interrupted_whenever_the_signal_comes() {
    let master = Master::create(
        r#"
        c.workers = { LocalWorker{ "here" } }
        c.builders = { util.BuilderConfig{ name = "b", workernames = { "here" },
          factory = util.BuildFactory{ steps.ShellCommand{ command = { "sleep", "600" } } } } }
        fs.write("evaluated", "")
        "#,
    );
    let temp = tempfile::tempdir().expect("a folder");
    let mark = master.dir().join("evaluated");
    for n in 0..24 {
        let _ = fs::remove_file(&mark);
        let mut run = std::process::Command::new(BUILDMOON)
            .args(["run", "b"])
            .arg(master.dir())
            .env("TMPDIR", temp.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("buildmoon run");
        wait_for("the file is evaluated", || mark.exists().then_some(()));
        std::thread::sleep(std::time::Duration::from_millis(n * 8));
        let (name, code) = if n % 2 == 0 { ("INT", 130) } else { ("TERM", 143) };
        signal(run.id(), name);
        let mut ended = None;
        for _ in 0..200 {
            std::thread::sleep(std::time::Duration::from_millis(100));
            ended = run.try_wait().expect("its state");
            if ended.is_some() {
                break;
            }
        }
        let _ = run.kill();
        let _ = run.wait();
        let left: Vec<_> = fs::read_dir(temp.path()).expect("the folder").flatten().map(|e| e.path()).collect();
        // Before the build the run ends by the signal, later as cancelled.
        let ended = ended.and_then(|status| status.code());
        assert!(ended == Some(code) || ended == Some(6), "SIG{name} after {} ms: {ended:?}", n * 8);
        assert!(left.is_empty(), "SIG{name} after {} ms left {left:?}", n * 8);
    }
}
