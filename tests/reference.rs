//! `lua/REFERENCE.md` and `lua/types/` are what the declarations say; `UPDATE=1 cargo test --test reference` rewrites them. Every
//! class has an example there that a master accepts.

mod support;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use buildmoon::config::class::classes;
use buildmoon::config::examples::{NOTES, note_of};
use buildmoon::lua::annotations;
use buildmoon::lua::callbacks::reference;
use support::master::buildmoon;

fn is_current(name: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("lua").join(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder can be made");
        std::fs::write(&path, wanted).expect("it can be written");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == wanted, "lua/{name} is not what the declarations say; UPDATE=1 cargo test --test reference rewrites it");
}

#[test]
fn the_reference_is_current() {
    is_current("REFERENCE.md", &reference());
}

#[test]
fn the_annotations_are_current() {
    for (name, text) in annotations::files() {
        is_current(&format!("types/{name}"), &text);
    }
}

#[test]
fn the_manual_prints_the_reference() {
    let manual = buildmoon(["manual", "lua"]);
    assert_eq!((manual.code, manual.out == reference()), (Some(0), true), "{}", manual.err);
}

#[test]
fn every_class_has_an_example_that_is_accepted() {
    for note in NOTES {
        assert!(classes().iter().any(|c| c.name == note.class), "src/config/examples.rs: there is no class {}", note.class);
    }
    for class in classes() {
        let note = note_of(class.name).unwrap_or_else(|| panic!("src/config/examples.rs has no example of {}", class.name));
        // A class that only tells what to use instead has none.
        if class.doc.starts_with("Gone") {
            continue;
        }
        assert!(note.example.contains(class.name), "the example of {} does not use it", class.name);
        let home = tempfile::tempdir().expect("a folder");
        // What providers of secrets look for at once.
        for folder in ["secrets", "password-store"] {
            DirBuilder::new().mode(0o700).create(home.path().join(folder)).expect("a folder");
        }
        let file = home.path().join("master.lua");
        std::fs::write(&file, format!("local c = BuildmasterConfig\n{}\n", note.example)).expect("master.lua");
        let answer = buildmoon(["checkconfig".as_ref(), file.as_os_str()]);
        if cfg!(not(feature = "ec2")) && note.example.contains("EC2") {
            assert!(answer.code == Some(1) && answer.err.contains("build it with the feature 'ec2'"), "{answer:?}");
            continue;
        }
        assert_eq!(answer.code, Some(0), "the example of {}:\n{}\n{}", class.name, note.example, answer.err);
    }
}
