//! What an editor makes of a `master.lua` beside the annotations that `buildmoon lua-types` writes: it underlines what is wrong, at
//! its line, and nothing else. A real language server checks that.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use buildmoon::config::examples::NOTES;
use support::emmylua::{Finding, check};
use support::master::{buildmoon, copy_dir};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A copy of the folder, with annotations.
fn annotated(folder: &Path) -> tempfile::TempDir {
    // A name with a dot in front would be left out by the server.
    let home = tempfile::Builder::new().prefix("editor").tempdir().expect("a folder");
    copy_dir(folder, &home.path().join("it"));
    let answer = buildmoon(["lua-types".as_ref(), home.path().join("it").as_os_str()]);
    assert_eq!(answer.code, Some(0), "{}", answer.err);
    home
}

fn findings(folder: &Path) -> Vec<Finding> {
    let home = annotated(folder);
    let it = home.path().join("it");
    fs::write(it.join("probe.lua"), "Probe()\n").expect("the probe");
    let mut found = check(&it);
    // A server that looks at nothing finds nothing.
    let before = found.len();
    found.retain(|f| f.file != "probe.lua");
    assert_eq!(found.len() + 1, before, "the server did not look: {found:#?}");
    found
}

#[test]
fn nothing_is_underlined_in_the_examples() {
    let mut checked = 0;
    for entry in fs::read_dir(root().join("examples")).expect("examples/") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            let found = findings(&path);
            assert!(found.is_empty(), "{}: {found:#?}", path.display());
            checked += 1;
        }
    }
    assert!(checked > 0, "no example was found");
}

#[test]
fn nothing_is_underlined_in_what_is_right() {
    let found = findings(&root().join("tests/editor/right"));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn nothing_is_underlined_in_the_examples_of_the_reference() {
    let home = tempfile::Builder::new().prefix("editor").tempdir().expect("a folder");
    for note in NOTES {
        let text = format!("local c = BuildmasterConfig\nc.title = \"CI\"\n{}\n", note.example);
        fs::write(home.path().join(format!("{}.lua", note.class)), text).expect("a file");
    }
    let found = findings(home.path());
    assert!(found.is_empty(), "{found:#?}");
}

/// A comment `--> CODE PART` names the finding of its line; a line without one has none.
#[test]
fn what_is_wrong_is_underlined_at_its_line() {
    let folder = root().join("tests/editor/wrong");
    let found = findings(&folder);
    let mut expected = 0;
    for entry in fs::read_dir(&folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        for (text, line) in fs::read_to_string(&path).expect("a file").lines().zip(1..) {
            let here: Vec<&Finding> = found.iter().filter(|f| f.file == name && f.line == line).collect();
            match text.split_once("--> ") {
                None => assert!(here.is_empty(), "{name}:{line} is right: {here:#?}"),
                Some((_, wanted)) => {
                    expected += 1;
                    let (code, part) = wanted.split_once(' ').expect("a code and a part of the text");
                    let seen = here.iter().any(|f| f.code == code && f.message.contains(part));
                    assert!(seen, "{name}:{line} should be underlined with {wanted}: {here:#?}");
                }
            }
        }
    }
    assert!(expected >= 30, "only {expected} lines say what is wrong with them");
}

/// The files are beside each other in the folder and know nothing of its name.
#[test]
fn writing_again_changes_nothing_and_settings_of_the_user_stay() {
    let home = annotated(&root().join("examples/hello"));
    let dir = home.path().join("it");
    let all = || {
        let mut files: Vec<_> =
            fs::read_dir(dir.join(".lua-types")).expect("the annotations").map(|e| e.expect("an entry").path()).collect();
        files.push(dir.join(".luarc.json"));
        files.sort();
        files.into_iter().map(|f| (f.clone(), fs::read_to_string(&f).expect("a file"))).collect::<Vec<_>>()
    };
    let before = all();
    assert!(before.len() >= 4, "{before:?}");
    let settings: serde_json::Value = serde_json::from_str(&before[before.len() - 1].1).expect("JSON");
    assert_eq!(settings["runtime.version"], "Lua 5.4");
    assert_eq!(buildmoon(["lua-types".as_ref(), dir.as_os_str()]).code, Some(0));
    assert_eq!(all(), before);

    let own = "{ \"runtime.version\": \"Lua 5.3\" }\n";
    fs::write(dir.join(".luarc.json"), own).expect("settings");
    let answer = buildmoon(["lua-types".as_ref(), dir.as_os_str()]);
    assert_eq!(answer.code, Some(0), "{}", answer.err);
    assert!(answer.err.contains("stays as it is") && answer.err.contains("./.lua-types"), "{}", answer.err);
    assert_eq!(fs::read_to_string(dir.join(".luarc.json")).expect("settings"), own);
}

#[test]
fn create_master_writes_them_too() {
    let home = tempfile::tempdir().expect("a folder");
    let dir = home.path().join("master");
    let made = buildmoon(["create-master".as_ref(), dir.as_os_str()]);
    assert_eq!(made.code, Some(0), "{}", made.err);
    assert!(dir.join(".luarc.json").is_file());
    let text = fs::read_to_string(dir.join(".lua-types/classes.lua")).expect("the annotations");
    assert!(text.starts_with("---@meta") && text.contains("---@class Worker.Class"), "{}", &text[..200]);
}
