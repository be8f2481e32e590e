//! `buildmoon lua FILE`: a file with the library of a configuration, as a shell sees it.

mod support;

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use support::master::{BUILDMOON, Ran, buildmoon, ran, signal};
use support::*;
use tempfile::TempDir;

fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    dir
}

fn lua(dir: &TempDir, file: &str, args: &[&str]) -> Ran {
    let file = dir.path().join(file);
    buildmoon(["lua".as_ref(), file.as_os_str()].into_iter().chain(args.iter().map(std::ffi::OsStr::new)))
}

#[test]
fn rule_25_a_file_runs_with_the_library_and_its_arguments() {
    let dir = folder(&[
        (
            "tool.lua",
            r#"#!/usr/bin/env -S buildmoon lua
            local names = require("lib.names")
            local first, second = ...
            print(arg[0], #arg, first == arg[1], second)
            print(names.hello(arg[1]), nil, 1.5)
            fs.write("made", process.run({ "echo", "hi" }).stdout)
            local both = gather{ function() sleep(0.01) return 1 end, function() return 2 end }
            print(yaml.encode({ a = both[1] }):gsub("\n", ""), util.SUCCESS, Worker{ "w", "pw" }.name)
            log.info("to the log")
            "#,
        ),
        ("lib/names.lua", "return { hello = function(name) return 'hello ' .. name end }"),
    ]);
    let run = lua(&dir, "tool.lua", &["--you", "two words"]);
    assert_eq!(run.out, "tool.lua\t2\ttrue\ttwo words\nhello --you\tnil\t1.5\na: 1\t0\tw\n", "{}", run.err);
    assert_eq!(run.code, Some(0));
    assert!(run.err.contains("to the log"), "{}", run.err);
    assert_eq!(fs::read_to_string(dir.path().join("made")).expect("made beside the file"), "hi\n");
}

#[test]
fn rule_25_an_error_names_its_line_and_the_way_there() {
    let dir = folder(&[
        ("bad.lua", "local function inner()\n  error('broken')\nend\nprint('before')\ninner()\nprint('after')\n"),
        ("name.lua", "print('before')\nlocal x = utl.hostname()\nprint('after')\n"),
        ("syntax.lua", "local x = = 1\n"),
        ("module.lua", "require('none')\n"),
        ("lone.lua", "spawn(function()\n  error('alone')\nend)\nsleep(0.05)\n"),
    ]);
    let run = lua(&dir, "bad.lua", &[]);
    assert_eq!((run.code, run.out.as_str()), (Some(1), "before\n"));
    assert!(run.err.starts_with("bad.lua:2: broken\n    bad.lua:2: in 'inner'\n    bad.lua:5: in the file"), "{}", run.err);
    let run = lua(&dir, "name.lua", &[]);
    assert_eq!((run.code, run.out.as_str()), (Some(1), "before\n"), "an undefined name ends the run");
    assert!(run.err.contains("name.lua:2: 'utl' is not defined (did you mean 'util'?)"), "{}", run.err);
    for (file, told) in [("syntax.lua", "syntax.lua:1: "), ("module.lua", "module.lua:1: require(\"none\")"), ("none.lua", "No such file")]
    {
        let run = lua(&dir, file, &[]);
        assert_eq!((run.code, run.out.as_str()), (Some(1), ""), "{file}: {}", run.err);
        assert!(run.err.contains(told) && !run.err.contains("panicked"), "{file}: {}", run.err);
    }
    let run = lua(&dir, "lone.lua", &[]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(run.err.contains("a task failed and nobody waited for it: alone") && run.err.contains("lone.lua:2"), "{}", run.err);
}

#[test]
fn rule_25_a_file_may_come_from_the_standard_input() {
    let dir = folder(&[("beside.lua", "return 5")]);
    let mut child = Command::new(BUILDMOON)
        .args(["lua", "-", "x"])
        .current_dir(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("buildmoon lua");
    child.stdin.take().expect("its input").write_all(b"print(arg[1], require('beside'))\nerror('end')").expect("a text");
    let run = ran(child.wait_with_output().expect("its end"));
    assert_eq!((run.code, run.out.as_str()), (Some(1), "x\t5\n"));
    assert!(run.err.starts_with("stdin:2: end"), "{}", run.err);
}

#[test]
fn rule_22_process_ends_with_an_interrupted_run() {
    let dir = folder(&[("wait.lua", "process.run('echo $$ >pid.new; mv pid.new pid; exec sleep 1003')")]);
    let child = Command::new(BUILDMOON).arg("lua").arg(dir.path().join("wait.lua")).stderr(Stdio::piped()).spawn().expect("buildmoon lua");
    let pid = wait_for("the process runs", || fs::read_to_string(dir.path().join("pid")).ok());
    signal(child.id(), "TERM");
    let run = ran(child.wait_with_output().expect("its end"));
    assert_eq!(run.code, Some(143), "{}", run.err);
    let proc = std::path::Path::new("/proc").join(pid.trim());
    wait_for("the process ends with the run", || {
        // Its new parent may be slow to ask for it.
        fs::read_to_string(proc.join("stat")).map_or(true, |stat| stat.contains(") Z ")).then_some(())
    });
}
