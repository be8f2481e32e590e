//! A language server of Lua that checks folders from the command line, as an editor would underline them. Installed once below
//! `target/peers/`, from source, which takes some minutes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const VERSION: &str = "0.25.1";

/// What is underlined in a file.
#[derive(Debug)]
pub struct Finding {
    pub file: String,
    /// Counts from 1.
    pub line: u64,
    pub code: String,
    pub message: String,
}

/// Every warning and error in the files of a folder.
pub fn check(folder: &Path) -> Vec<Finding> {
    let mut command = Command::new(program());
    command.args(["--output-format", "json", "--severity", "warn"]).arg(folder);
    let output = command.output().expect("emmylua_check starts");
    let text = String::from_utf8_lossy(&output.stdout);
    // Without any finding there is no list.
    if output.status.success() && !text.contains('[') {
        return Vec::new();
    }
    let all: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|e| panic!("emmylua_check: {e}: {output:?}"));
    let mut findings = Vec::new();
    for file in &all {
        for one in file["diagnostics"].as_array().into_iter().flatten() {
            findings.push(Finding {
                file: file["file"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned(),
                line: one["range"]["start"]["line"].as_u64().unwrap_or_default() + 1,
                code: one["code"].as_str().unwrap_or_default().to_owned(),
                message: one["message"].as_str().unwrap_or_default().to_owned(),
            });
        }
    }
    findings
}

fn program() -> PathBuf {
    let home = super::peers::root().join(format!("emmylua_check-{VERSION}"));
    let program = home.join("bin/emmylua_check");
    if !program.exists() {
        fs::create_dir_all(&home).unwrap_or_else(|e| panic!("cannot make {}: {e}", home.display()));
        let lock = File::create(home.join("lock")).expect("a lock");
        lock.lock().expect("the lock");
        if !program.exists() {
            install(&home);
        }
    }
    program
}

fn install(home: &Path) {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.args(["install", "emmylua_check", "--version", VERSION, "--locked", "--root"]).arg(home);
    // Built once and run for a second: what makes it fast to build counts.
    command.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1").env("CARGO_PROFILE_RELEASE_LTO", "off");
    command.env_remove("CARGO_TARGET_DIR");
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let told = String::from_utf8_lossy(&output.stderr);
    let needs = "the tests need emmylua_check from crates.io, and it can't be installed";
    assert!(output.status.success(), "{needs}: {command:?}\n{}", told.trim());
}
