//! Each promised message has a wrong configuration in `tests/mistakes/` that shows it: what `checkconfig` says of the file stands in
//! the comment at its end. `UPDATE=1 cargo test --test mistakes` writes those comments anew, to be read before they are kept.
//!
//! The first lines may say `-- checkconfig: OPTIONS` and `-- mode: 644`; files of `tests/mistakes/lib/` can be required as `lib.NAME`.

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::master::{BUILDMOON, copy_dir, ran};

const TOLD: &str = "\n--[==[ told\n";
const END: &str = "]==]\n";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes")
}

fn files() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).expect("tests/mistakes").map(|e| e.expect("an entry").path());
    let mut files: Vec<PathBuf> = entries.filter(|p| p.extension().is_some_and(|e| e == "lua")).collect();
    files.sort();
    files
}

/// What a comment of the first lines says after its colon.
fn said<'a>(source: &'a str, what: &str) -> Option<&'a str> {
    let comments = source.lines().take_while(|line| line.starts_with("-- "));
    comments.filter_map(|line| line.strip_prefix("-- ")?.strip_prefix(what)?.strip_prefix(": ")).next()
}

/// Everything that is printed, and how it ended.
fn told(source: &str) -> String {
    let mode = said(source, "mode").map_or(0o600, |mode| u32::from_str_radix(mode, 8).expect("a mode"));
    let folder_mode = if mode & 0o004 == 0 { 0o700 } else { 0o755 };
    let home = tempfile::Builder::new().permissions(Permissions::from_mode(folder_mode)).tempdir().expect("a folder");
    copy_dir(&folder().join("lib"), &home.path().join("lib"));
    let file = home.path().join("master.lua");
    fs::write(&file, source).expect("master.lua");
    fs::set_permissions(&file, Permissions::from_mode(mode)).expect("its mode");
    let options = said(source, "checkconfig").unwrap_or_default().split_whitespace();
    let mut command = Command::new(BUILDMOON);
    command.arg("checkconfig").args(options).current_dir(home.path()).env_remove("BUILDMOON_LOG").stdin(Stdio::null());
    let ran = ran(command.output().expect("buildmoon"));
    let all = format!("{}{}", ran.err, ran.out);
    assert!(!all.contains("panicked") && !all.contains("[C]") && !all.contains("[builtin"), "{all}");
    format!("{all}exit {}\n", ran.code.expect("it ended by itself"))
}

#[test]
fn every_file_is_told_what_its_comment_says() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = String::new();
    for file in files() {
        let text = fs::read_to_string(&file).expect("a file");
        let (source, expected) = text.split_once(TOLD).unwrap_or((text.trim_end(), END));
        let source = format!("{}\n", source.trim_end());
        let told = told(&source);
        if update {
            fs::write(&file, format!("{source}{TOLD}{told}{END}")).expect("the file anew");
        } else if expected.strip_suffix(END) != Some(&told) {
            let name = file.file_name().expect("a name").to_string_lossy().into_owned();
            wrong.push_str(&format!("\n== {name}\n-- expected\n{expected}-- told\n{told}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn there_is_a_file_per_message() {
    assert!(files().len() >= 60, "only {} files", files().len());
}
