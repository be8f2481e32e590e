//! The project's own tests in Lua, `tests/lua/**/*_test.lua`, each `it` as a test of its own in a state of its own.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use buildmoon::lua::testing::{FileReport, TestFile, TestOutcome, Wanted, run_tests};
use libtest_mimic::{Arguments, Failed, Trial};

const LIMIT: Duration = Duration::from_secs(30);

fn run(path: &Path, wanted: Wanted) -> Result<FileReport, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(|e| e.to_string())?;
    let report = runtime.block_on(run_tests(TestFile { path: path.to_owned(), folder: None, wanted, timeout: LIMIT }));
    match &report.broken {
        Some(broken) => Err(broken.to_string()),
        None => Ok(report),
    }
}

fn one(path: &Path, name: &str) -> Result<(), Failed> {
    let report = run(path, Wanted::Only(name.to_owned()))?;
    let test = report.tests.iter().find(|t| t.name() == name).ok_or("the test is not there any more")?;
    match &test.outcome {
        TestOutcome::Passed => Ok(()),
        TestOutcome::Skipped(why) => {
            println!("{name} was skipped: {why}");
            Ok(())
        }
        TestOutcome::Failed(mistake) => Err(format!("{mistake}\n{}", String::from_utf8_lossy(&test.printed)).into()),
        TestOutcome::NotRun => Err("the test did not run".into()),
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of tests") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.to_string_lossy().ends_with("_test.lua") {
            found.push(path);
        }
    }
}

fn main() -> ExitCode {
    let args = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lua");
    let mut found = Vec::new();
    files(&root, &mut found);
    found.sort();
    assert!(!found.is_empty(), "no test below {}", root.display());
    let mut trials = Vec::new();
    for path in found {
        let short = path.strip_prefix(&root).expect("below the root").with_extension("").display().to_string();
        match run(&path, Wanted::Nothing) {
            Ok(report) => {
                assert!(!report.tests.is_empty(), "{short} has no test");
                for test in report.tests {
                    let (path, name) = (path.clone(), test.name());
                    let skipped = matches!(test.outcome, TestOutcome::Skipped(_));
                    let trial = Trial::test(format!("{short} > {name}"), move || one(&path, &name));
                    trials.push(trial.with_ignored_flag(skipped));
                }
            }
            Err(broken) => trials.push(Trial::test(short, move || Err(broken.into()))),
        }
    }
    libtest_mimic::run(&args, trials).exit_code()
}
