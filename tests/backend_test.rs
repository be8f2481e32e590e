//! `buildmoon backend-test`: a good backend keeps every promise, and each of the broken ones in `tests/backends/broken` is told what it
//! breaks. The instances are units of a rack of the test's own.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::conformance::{assert_conforms, backend_test};
use support::master::{BUILDMOON, buildmoon, ran, signal};
use support::rack::Rack;

fn backends() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/backends")
}

#[test]
fn a_good_backend_keeps_every_promise_and_leaves_nothing() {
    let rack = Rack::start();
    assert_conforms(&backends().join("good.lua"), &[], &[("RACK", &rack.url())], &[]);
    assert!(rack.live().is_empty(), "still on: {:?}", rack.live());
    assert!(rack.calls("POST").len() > 5, "instances were really started");
}

/// `-- NAME: TEXT` in the first lines of a file.
fn head(text: &str, name: &str) -> String {
    let start = format!("-- {name}: ");
    text.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_else(|| panic!("no '{start}'")).to_owned()
}

#[test]
fn each_broken_backend_is_told_what_it_breaks() {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(backends().join("broken")).expect("a folder").map(|e| e.expect("an entry").path()).collect();
    files.retain(|file| file.file_stem().is_some_and(|name| name != "base"));
    files.sort();
    assert!(files.len() > 10, "{files:?}");
    let one = |file: &Path| -> Result<(), String> {
        let text = std::fs::read_to_string(file).expect("a file");
        let (breaks, says) = (head(&text, "breaks"), head(&text, "says"));
        let rack = Rack::start();
        let tested = backend_test(file, &["--timeout", "5"], &[("RACK", &rack.url())]);
        let wanted: Vec<&str> = breaks.split(", ").filter(|name| *name != "nothing").collect();
        for name in &wanted {
            if !tested.broken().contains(name) {
                return Err(format!("{}: {name} is not broken: {:#?}\n{}", file.display(), tested.findings, tested.err));
            }
        }
        let other: Vec<&str> = tested.broken().into_iter().filter(|name| !wanted.contains(name) && *name != "leftovers").collect();
        // What follows from the first fault is not told apart, but a sound file has none.
        if wanted.is_empty() && !other.is_empty() {
            return Err(format!("{}: {other:?}", file.display()));
        }
        if !tested.said().contains(&says) {
            return Err(format!("{}: {says:?} is not said: {:#?}\n{}", file.display(), tested.findings, tested.err));
        }
        let code = if wanted.is_empty() { Some(0) } else { Some(1) };
        if tested.code != code {
            return Err(format!("{}: ended with {:?}", file.display(), tested.code));
        }
        Ok(())
    };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let parts: Vec<_> = files
            .chunks(files.len().div_ceil(3))
            .map(|part| scope.spawn(move || part.iter().filter_map(|f| one(f).err()).collect::<Vec<_>>()))
            .collect();
        parts.into_iter().flat_map(|part| part.join().expect("a thread")).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn what_can_be_read_by_people() {
    let rack = Rack::start();
    let file = backends().join("broken/stop_swallows_errors.lua");
    let output = Command::new(BUILDMOON).arg("backend-test").arg(&file).env("RACK", rack.url()).output().expect("the program starts");
    let run = ran(output);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.out.starts_with("StopSwallowsErrors, worker unit; instances carry the mark backend-test-"), "{}", run.out);
    assert!(run.out.contains("\n  ok   start_instance starts an instance\n"), "{}", run.out);
    assert!(
        run.out.contains("\n  FAIL stop_instance fails when nobody answers, instead of saying that it is gone\n       it returned as if"),
        "{}",
        run.out
    );
    assert!(run.out.trim_end().ends_with("15 hold, 1 do not hold"), "{}", run.out);
}

#[test]
fn a_file_that_can_not_be_tested_says_why() {
    let dir = tempfile::tempdir().expect("a folder");
    let case = |text: &str, options: &[&str], told: &str| {
        let file = dir.path().join("case.lua");
        std::fs::write(&file, text).expect("a file");
        let run = buildmoon(["backend-test"].iter().chain(options).map(std::ffi::OsStr::new).chain([file.as_os_str()]));
        assert_eq!(run.code, Some(1), "{text}: {run:?}");
        assert!(run.err.contains(told), "{told:?}: {run:?}");
    };
    case("BuildmasterConfig.workers = { Worker{ 'a', 'b' } }", &[], "has no latent worker in c.workers");
    case("BuildmasterConfig.workers = { Wrker{ 'a', 'b' } }", &[], "case.lua:1: 'Wrker' is not defined (did you mean 'Worker'?)");
    let rack = "local R = LatentWorker:extend('Rack')\nfunction R:start_instance() end\nfunction R:stop_instance() end\nBuildmasterConfig.workers = { R{ 'unit-1' } }";
    case(rack, &["--class", "Rak"], "there is no latent worker of the class 'Rak' (did you mean 'Rack'?)");
    case(rack, &["--worker", "unit-2"], "there is no latent worker 'unit-2' (did you mean 'unit-1'?)");
    case(rack, &["--timeout", "0"], "--timeout must be a number of seconds above 0");
    case("", &[], "no latent worker");
}

#[test]
fn an_interrupted_run_stops_what_it_started() {
    let rack = Rack::start();
    // Each unit takes a moment to boot.
    rack.machines(|_, _| {
        std::thread::sleep(std::time::Duration::from_millis(700));
        Box::new(())
    });
    let mut child = Command::new(BUILDMOON)
        .arg("backend-test")
        .arg(backends().join("good.lua"))
        .env("RACK", rack.url())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    rack.wait_live(1);
    signal(child.id(), "INT");
    let status = child.wait().expect("it ends");
    assert_eq!(status.code(), Some(130));
    assert!(rack.live().is_empty(), "still on: {:?}", rack.live());
}
