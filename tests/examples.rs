//! Every configuration in `examples/` passes `checkconfig`, without a warning; `hello` runs.

mod support;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use support::master::{buildmoon, copy_dir};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

#[test]
fn every_example_passes_checkconfig() {
    let mut checked = 0;
    for entry in std::fs::read_dir(examples()).expect("examples/") {
        let path = entry.expect("an entry").path();
        // A program that was built without Amazon refuses it.
        if cfg!(not(feature = "ec2")) && path.file_name().is_some_and(|n| n == "ec2") {
            continue;
        }
        if path.is_dir() {
            assert!(path.join("master.lua").is_file(), "{} has no master.lua", path.display());
        } else if path.extension().is_none_or(|e| e != "lua") {
            continue;
        }
        // In a folder of one's own, as passwords belong in; that others may read them here would be a warning.
        let home = tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().expect("a folder");
        let copy = home.path().join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy_dir(&path, &copy);
        } else {
            std::fs::copy(&path, &copy).expect("a copy");
        }
        let answer = buildmoon(["checkconfig".as_ref(), copy.as_os_str()]);
        assert_eq!(answer.code, Some(0), "{}: {}{}", path.display(), answer.out, answer.err);
        assert!(!answer.err.contains("warning"), "{}: {}", path.display(), answer.err);
        checked += 1;
    }
    assert!(checked > 0, "no example was found");
}

#[test]
fn hello_runs() {
    let home = tempfile::tempdir().expect("a folder");
    let dir = home.path().join("hello");
    copy_dir(&examples().join("hello"), &dir);
    let answer = buildmoon(["run".as_ref(), "hello".as_ref(), dir.as_os_str()]);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert!(!answer.out.trim().is_empty(), "no log on the terminal");
}
