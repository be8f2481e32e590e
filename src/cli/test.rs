//! `buildmoon test [FILES]`

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value as Json, json};

use super::mistakes::{Severity, Shown, colour};
use crate::base::suggest;
use crate::lua::testing::{FileReport, TestFile, TestOutcome, TestReport, Wanted, run_tests};

/// How files of tests are called.
const ENDING: &str = "_test.lua";
/// Below a folder that is not one of tests by mistake.
const MOST_FILES: usize = 10_000;
const DEEPEST: usize = 30;

#[derive(clap::Args)]
pub struct Args {
    /// Files, or folders in which all *_test.lua are run
    #[arg(value_name = "FILES", default_value = ".")]
    files: Vec<PathBuf>,
    /// Run only the tests with this text in their name ("group > test")
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Seconds that each test may take
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    timeout: f64,
    /// Print the names of the tests and run none
    #[arg(long)]
    list: bool,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Default)]
struct Count {
    passed: usize,
    failed: usize,
    skipped: usize,
    left: usize,
    broken: usize,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let timeout = Duration::try_from_secs_f64(args.timeout).ok().filter(|t| !t.is_zero());
    let Some(timeout) = timeout else { bail!("--timeout must be a number of seconds above 0, got {}", args.timeout) };
    let files = find(&args.files)?;
    let began = Instant::now();
    let work = async {
        let (mut count, mut all, mut names) = (Count::default(), Vec::new(), Vec::new());
        for path in files {
            let wanted = match &args.filter {
                _ if args.list => Wanted::Nothing,
                Some(text) => Wanted::Named(text.clone()),
                None => Wanted::All,
            };
            let file = TestFile { folder: Some(home(&path)), path: path.clone(), wanted, timeout };
            let report = run_tests(file).await;
            if args.json {
                all.push(file_json(&path, &report));
            } else if args.list {
                list(&path, &report, args.filter.as_deref());
            } else {
                show(&path, &report);
            }
            names.extend(report.tests.iter().map(TestReport::name));
            count.add(&report);
        }
        (count, all, names)
    };
    let (count, all, names) = match super::runtime()?.block_on(super::unless_interrupted(work))? {
        Ok(done) => done,
        Err(code) => return Ok(code),
    };
    let nothing = count.passed + count.failed + count.skipped == 0 && count.broken == 0 && !args.list;
    let good = count.failed == 0 && count.broken == 0 && !nothing;
    if args.json {
        let Count { passed, failed, skipped, left, broken } = count;
        println!(
            "{}",
            json!({ "ok": good, "passed": passed, "failed": failed, "skipped": skipped, "not_run": left, "broken_files": broken, "files": all })
        );
    } else if nothing {
        match &args.filter {
            Some(text) => {
                let near = suggest::hint(text, names.iter().flat_map(|name| name.split(" > ").chain([name.as_str()])));
                bail!("no test has {text:?} in its name{near}");
            }
            None => bail!("there are files, but no test in them: a test is it(\"name\", function() … end)"),
        }
    } else if !args.list {
        println!("{}", count.summary(began.elapsed()));
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Count {
    fn add(&mut self, report: &FileReport) {
        self.broken += usize::from(report.broken.is_some());
        for test in &report.tests {
            match test.outcome {
                TestOutcome::Passed => self.passed += 1,
                TestOutcome::Failed(_) => self.failed += 1,
                TestOutcome::Skipped(_) => self.skipped += 1,
                TestOutcome::NotRun => self.left += 1,
            }
        }
    }

    fn summary(&self, took: Duration) -> String {
        let mut parts = vec![format!("{} passed", self.passed)];
        let others =
            [(self.failed, "failed"), (self.skipped, "skipped"), (self.left, "not run"), (self.broken, "files that could not be used")];
        parts.extend(others.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")));
        format!("{} ({:.1} s)", parts.join(", "), took.as_secs_f64())
    }
}

/// The files themselves, and those of folders in the order of their names.
fn find(given: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in given {
        if path.is_dir() {
            let before = files.len();
            walk(path, 0, &mut files)?;
            if files.len() == before {
                bail!("there are no tests below {}: their files are called *{ENDING}", path.display());
            }
        } else if path.is_file() {
            files.push(path.clone());
        } else {
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let mut beside = Vec::new();
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                beside.push(entry.file_name().to_string_lossy().into_owned());
            }
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            bail!("there is no file {}{}", path.display(), suggest::hint(&name, beside.iter().map(String::as_str)));
        }
    }
    Ok(files)
}

fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    let read = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut entries = read.collect::<std::io::Result<Vec<_>>>().with_context(|| folder.display().to_string())?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // A link may lead back up.
        let kind = entry.file_type().with_context(|| entry.path().display().to_string())?;
        if kind.is_dir() && !name.starts_with('.') {
            if depth < DEEPEST {
                walk(&entry.path(), depth + 1, files)?;
            }
        } else if name.ends_with(ENDING) && entry.path().is_file() {
            files.push(shorter(entry.path()));
        }
        if files.len() > MOST_FILES {
            bail!("more than {MOST_FILES} files of tests below {}", folder.display());
        }
    }
    Ok(())
}

fn shorter(path: PathBuf) -> PathBuf {
    path.strip_prefix(".").map(Path::to_owned).unwrap_or(path)
}

/// The folder of the nearest master.lua above, from which the configuration's own files are required; else the file's own.
fn home(path: &Path) -> PathBuf {
    let own = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    let Ok(full) = own.canonicalize() else { return own };
    full.ancestors().find(|folder| folder.join("master.lua").is_file()).map_or(own, Path::to_owned)
}

fn paint(code: &str, text: &str) -> String {
    if colour(std::io::stdout().is_terminal()) { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

fn indented(text: &str, by: usize) -> String {
    let margin = " ".repeat(by);
    text.lines().map(|line| format!("{margin}{line}\n")).collect()
}

/// One file: its groups, its tests, and what is wrong with them.
fn show(path: &Path, report: &FileReport) {
    // What was not asked for is no news.
    let untouched = report.tests.iter().all(|t| t.outcome == TestOutcome::NotRun);
    if untouched && report.broken.is_none() && !report.tests.is_empty() {
        return;
    }
    println!("{}", paint("1", &path.display().to_string()));
    let folder = path.parent().unwrap_or(Path::new(""));
    let shown = Shown { surroundings: &report.surroundings, folder, colour: colour(std::io::stdout().is_terminal()) };
    print!("{}", indented(&String::from_utf8_lossy(&report.printed), 2));
    let mut groups: &[String] = &[];
    for test in report.tests.iter().filter(|t| t.outcome != TestOutcome::NotRun) {
        let Some((name, within)) = test.path.split_last() else { continue };
        let same = groups.iter().zip(within).take_while(|(a, b)| a == b).count();
        for (depth, group) in within.iter().enumerate().skip(same) {
            println!("{}{group}", "  ".repeat(depth + 1));
        }
        groups = within;
        let margin = "  ".repeat(within.len() + 1);
        match &test.outcome {
            TestOutcome::Passed => println!("{margin}{} {name}{}", paint("32", "ok  "), slow(test.took)),
            TestOutcome::Skipped(why) => println!("{margin}{} {name} ({why})", paint("33", "skip")),
            TestOutcome::Failed(mistake) => {
                println!("{margin}{} {name}{}", paint("31", "FAIL"), slow(test.took));
                print!("{}", indented(&shown.text(mistake, Severity::Mistake), margin.len() + 5));
                if !test.printed.is_empty() {
                    println!("{margin}     printed:");
                    print!("{}", indented(&String::from_utf8_lossy(&test.printed), margin.len() + 7));
                }
            }
            TestOutcome::NotRun => {}
        }
    }
    if let Some(broken) = &report.broken {
        print!("{}", indented(&format!("{} {}", paint("31", "FAIL"), shown.text(broken, Severity::Mistake)), 2));
    }
    for warning in &report.warnings {
        print!("{}", indented(&shown.text(warning, Severity::Warning), 2));
    }
}

/// Said only where somebody waits for it.
fn slow(took: Duration) -> String {
    if took < Duration::from_millis(500) { String::new() } else { format!(" ({:.1} s)", took.as_secs_f64()) }
}

fn list(path: &Path, report: &FileReport, filter: Option<&str>) {
    for test in report.tests.iter().filter(|t| filter.is_none_or(|text| t.name().contains(text))) {
        println!("{}:{}: {}", path.display(), test.place.line, test.name());
    }
    if let Some(broken) = &report.broken {
        eprintln!("{broken}");
    }
}

fn file_json(path: &Path, report: &FileReport) -> Json {
    let shown = Shown { surroundings: &report.surroundings, folder: path.parent().unwrap_or(Path::new("")), colour: false };
    let tests: Vec<Json> = report
        .tests
        .iter()
        .map(|test| {
            let (outcome, mistake, why) = match &test.outcome {
                TestOutcome::Passed => ("passed", None, None),
                TestOutcome::Failed(mistake) => ("failed", Some(shown.json(mistake, Severity::Mistake)), None),
                TestOutcome::Skipped(why) => ("skipped", None, Some(why)),
                TestOutcome::NotRun => ("not_run", None, None),
            };
            json!({
                "name": test.name(),
                "path": test.path,
                "line": test.place.line,
                "outcome": outcome,
                "failure": mistake,
                "why": why,
                "seconds": test.took.as_secs_f64(),
                "printed": String::from_utf8_lossy(&test.printed),
            })
        })
        .collect();
    json!({
        "file": path.display().to_string(),
        "broken": report.broken.as_ref().map(|m| shown.json(m, Severity::Mistake)),
        "warnings": report.warnings.iter().map(|m| shown.json(m, Severity::Warning)).collect::<Vec<_>>(),
        "printed": String::from_utf8_lossy(&report.printed),
        "tests": tests,
    })
}
