//! The conformance kit on a backend, as a shell runs it: what it found, by name.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::master::{BUILDMOON, ran};

pub struct Tested {
    pub code: Option<i32>,
    /// Verdict (`holds`, `broken`, `untried`) and why, by the promise's name.
    pub findings: BTreeMap<String, (String, String)>,
    pub err: String,
}

impl Tested {
    pub fn broken(&self) -> Vec<&str> {
        self.findings.iter().filter(|(_, (verdict, _))| verdict == "broken").map(|(name, _)| name.as_str()).collect()
    }

    /// Everything that was said of what is broken or was not tried.
    pub fn said(&self) -> String {
        self.findings.values().map(|(_, why)| why.as_str()).collect::<Vec<_>>().join("\n")
    }
}

/// Run the kit on the first latent worker of a file.
pub fn backend_test(file: &Path, options: &[&str], env: &[(&str, &str)]) -> Tested {
    let output = Command::new(BUILDMOON)
        .args(["backend-test", "--json"])
        .args(options)
        .arg(file)
        .envs(env.iter().copied())
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("the program starts");
    let ran = ran(output);
    let told: Value = serde_json::from_str(&ran.out).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let findings = told["findings"].as_array().into_iter().flatten();
    let findings = findings.map(|f| (text(&f["name"]), (text(&f["verdict"]), text(&f["why"])))).collect();
    Tested { code: ran.code, findings, err: ran.err }
}

/// The backend keeps every promise, and none was left out but these.
pub fn assert_conforms(file: &Path, options: &[&str], env: &[(&str, &str)], untried: &[&str]) {
    let tested = backend_test(file, options, env);
    assert!(tested.findings.len() > 10, "the kit did not run: {}", tested.err);
    assert!(tested.broken().is_empty() && tested.code == Some(0), "{}: {:#?}\n{}", file.display(), tested.findings, tested.err);
    let left_out: Vec<&str> = tested.findings.iter().filter(|(_, (v, _))| v == "untried").map(|(name, _)| name.as_str()).collect();
    assert_eq!(left_out, untried, "{}: {:#?}", file.display(), tested.findings);
}
