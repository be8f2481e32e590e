//! `buildmoon test`: files of tests as a shell sees them: which are found, what is told, and how it ends. What test files may say is tested
//! in `tests/lua/`.

mod support;

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use support::master::{Ran, buildmoon};
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

fn test(dir: &Path, options: &[&str]) -> Ran {
    let all = ["test".into(), dir.as_os_str().to_owned()].into_iter().chain(options.iter().map(OsString::from));
    buildmoon(all.collect::<Vec<_>>())
}

const MIXED: &str = r#"describe("rack", function()
  it("holds", function() expect(1):to_be(1) end)
  it("breaks", function()
    print("what it said")
    local unit = { id = "u1", on = true }
    expect(unit):to_equal{ id = "u1", on = false }
  end)
  it.skip("is not run", function() error("run") end)
  it("is not written")
end)
"#;

#[test]
fn a_report_names_the_line_and_what_was_expected() {
    let dir = folder(&[("rack_test.lua", MIXED)]);
    let run = test(dir.path(), &[]);
    assert_eq!((run.code, run.err.as_str()), (Some(1), ""), "{run:?}");
    let path = dir.path().join("rack_test.lua");
    let wanted = format!(
        "{path}
  rack
    ok   holds
    FAIL breaks
         rack_test.lua:6: expected on to be false, got true in {{ id = \"u1\", on = true }}
           --> {path}:6
            | 6 |     expect(unit):to_equal{{ id = \"u1\", on = false }}
         printed:
           what it said
    skip is not run (skipped)
    skip is not written (not written yet)
1 passed, 1 failed, 2 skipped (",
        path = path.display()
    );
    assert!(run.out.starts_with(&wanted), "{}\n---\n{wanted}", run.out);
}

#[test]
fn scripts_read_json() {
    let dir = folder(&[("a_test.lua", MIXED), ("b_test.lua", "it('x', function() end)\nerror('boom')")]);
    let run = test(dir.path(), &["--json"]);
    assert_eq!(run.code, Some(1));
    let told: Value = serde_json::from_str(&run.out).unwrap_or_else(|e| panic!("{e}: {run:?}"));
    let counts = ["ok", "passed", "failed", "skipped", "broken_files"].map(|name| told[name].clone());
    assert_eq!(counts, [json!(false), json!(1), json!(1), json!(2), json!(1)], "{told:#}");
    let breaks = &told["files"][0]["tests"][1];
    assert_eq!((&breaks["name"], &breaks["outcome"], &breaks["line"]), (&json!("rack > breaks"), &json!("failed"), &json!(3)));
    assert_eq!(
        (&breaks["failure"]["file"], &breaks["failure"]["line"], &breaks["printed"]),
        (&json!("a_test.lua"), &json!(6), &json!("what it said\n"))
    );
    assert_eq!(told["files"][1]["broken"]["message"], "b_test.lua:2: boom");
}

#[test]
fn files_are_found_below_folders_and_filtered_by_name() {
    let good = "it('is good', function() end)";
    let dir = folder(&[
        ("one_test.lua", good),
        ("deep/er/two_test.lua", "describe('two', function() it('is slow', function() end) end)"),
        (".hidden/three_test.lua", "error('not looked at')"),
        ("four.lua", "error('no test')"),
        ("testing_test.txt", "x"),
    ]);
    let run = test(dir.path(), &[]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.out.contains("2 passed"), "{}", run.out);
    let run = test(dir.path(), &["--filter", "two > is"]);
    assert!(run.code == Some(0) && run.out.contains("1 passed, 1 not run") && !run.out.contains("one_test"), "{run:?}");
    let run = test(dir.path(), &["--list"]);
    assert_eq!(run.code, Some(0));
    assert_eq!(run.out.lines().count(), 2, "{}", run.out);
    assert!(run.out.contains("two_test.lua:1: two > is slow"), "{}", run.out);
    let run = test(dir.path(), &["--filter", "is slwo"]);
    assert_eq!(run.code, Some(1));
    assert!(run.err.contains("no test has \"is slwo\" in its name (did you mean 'is slow'?)"), "{run:?}");
    let run = buildmoon(["test".as_ref(), dir.path().join("oen_test.lua").as_os_str()]);
    assert!(run.code == Some(1) && run.err.contains("there is no file") && run.err.contains("did you mean 'one_test.lua'?"), "{run:?}");
    let empty = folder(&[("x.lua", "")]);
    let run = test(empty.path(), &[]);
    assert!(run.code == Some(1) && run.err.contains("there are no tests below") && run.err.contains("*_test.lua"), "{run:?}");
    let none = folder(&[("x_test.lua", "local x = 1")]);
    let run = test(none.path(), &[]);
    assert!(run.code == Some(1) && run.err.contains("no test in them"), "{run:?}");
    let run = test(none.path(), &["--timeout", "0"]);
    assert!(run.code != Some(0) && run.err.contains("--timeout"), "{run:?}");
}

#[test]
fn the_configurations_own_files_are_required_and_loaded() {
    let dir = folder(&[
        (
            "master.lua",
            "local c = BuildmasterConfig\nlocal names = require('lib.names')\nc.workers = { Worker{ names.first, 'pw' } }\n\
             c.protocols = { pb = { port = 9989 } }\n\
             c.builders = { util.BuilderConfig{ name = 'release', workernames = { names.first }, factory = util.BuildFactory{ steps.ShellCommand{ command = 'true' } } } }\n",
        ),
        ("lib/names.lua", "return { first = 'linux-1' }"),
        (
            "tests/deep/release_test.lua",
            "local names = require('lib.names')\nit('has a worker', function()\n  local m = load_master('master.lua')\n  expect(m.builders.release.workers):to_equal{ names.first }\nend)\n\
             it('slips', function() load_master('mastr.lua') end)\n",
        ),
    ]);
    let run = test(dir.path(), &[]);
    assert!(run.out.contains("ok   has a worker"), "{run:?}");
    assert!(
        run.out.contains("FAIL slips") && run.out.contains("tests/deep/release_test.lua:6: load_master: ") && run.out.contains("mastr.lua"),
        "{run:?}"
    );
}

#[test]
fn a_test_that_does_wrong_ends_and_the_next_one_runs() {
    let dir = folder(&[(
        "wrong_test.lua",
        r#"local log = {}
after_each(function() log[#log + 1] = "after" end)
it("loops", function() while true do end end)
it("waits", function() sleep(3600) end)
it("fills memory", function() local t = {} while true do t[#t + 1] = ("x"):rep(1 << 20) .. #t end end)
it("raises a table", function() error{ message = "rack 7 is on fire" } end)
it("raises nil", function() error(nil) end)
it("forgets", function() expect(1) end)
it("recurses", function() local function f() return 1 + f() end f() end)
it("is well", function() expect(#log):to_be_above(5) end)
"#,
    )]);
    let run = test(dir.path(), &["--timeout", "1"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    for told in [
        "wrong_test.lua:3: did not end within 1.0 s",
        "wrong_test.lua:4: did not end within 1.0 s",
        "the memory limit is used up",
        "rack 7 is on fire",
        "raised nil",
        "wrong_test.lua:8: expect(…) says nothing",
        "stack overflow",
        "ok   is well",
    ] {
        assert!(run.out.contains(told), "{told:?}: {}", run.out);
    }
}

#[test]
fn a_test_that_can_not_be_stopped_costs_its_file_and_no_other() {
    let dir = folder(&[
        (
            "a_test.lua",
            "it('is good', function() end)\nit('sticks', function() return ('a'):rep(30):find(('.-'):rep(20) .. 'b') end)\nit('is left', function() end)",
        ),
        ("b_test.lua", "it('is good, too', function() end)"),
    ]);
    let run = test(dir.path(), &["--timeout", "1"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    for told in [
        "ok   is good\n",
        "a_test.lua:2: was held by a single library call and can't be stopped; the tests after it did not run",
        "ok   is good, too",
    ] {
        assert!(run.out.contains(told), "{told:?}: {}", run.out);
    }
    assert!(!run.out.contains("is left"), "{}", run.out);
}

#[test]
fn a_broken_file_does_not_keep_the_others_from_running() {
    let dir = folder(&[
        ("a_test.lua", "local x = = 1"),
        ("b_test.lua", "describ('x', function() end)"),
        ("c_test.lua", "it('same', function() end)\nit('same', function() end)"),
        ("d_test.lua", "it('is good', function() end)"),
        ("e_test.lua", "describe('x')"),
        ("f_test.lua", "it('x', 1)"),
    ]);
    let run = test(dir.path(), &[]);
    assert_eq!(run.code, Some(1), "{run:?}");
    for told in [
        "a_test.lua:1: ",
        "b_test.lua:1: 'describ' is not defined (did you mean 'describe'?)",
        "c_test.lua:2: two tests are called \"same\": the first is at c_test.lua:1",
        "ok   is good",
        "e_test.lua:1: describe \"x\" needs a function",
        "f_test.lua:1: it \"x\" needs a function, got 1",
        "1 passed",
        "5 files that could not be used",
    ] {
        assert!(run.out.contains(told), "{told:?}: {}", run.out);
    }
}
