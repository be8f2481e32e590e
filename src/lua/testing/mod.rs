//! Tests that people write in Lua: one file in a state of its own, its tests one after the other, each with a deadline. What they
//! may say stands in `lua/testing.lua`. It prints nothing and picks no files.

mod model;
pub(super) mod words;
mod world;

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mlua::{Function, Table as LuaTable, Value as LuaValue};
use tokio::runtime::Handle;

use super::failure::Caught;
use super::host::Host;
use super::load::locate;
use super::modules;
use super::script::on_thread;
use super::surroundings::Surroundings;
use super::vm::Vm;
use super::watch::Watch;
use crate::base::duration::human;
use crate::config::{Mistake, Place};

/// A file of tests, and which of them are to run.
#[derive(Clone, Debug)]
pub struct TestFile {
    pub path: PathBuf,
    /// What its relative names and `require` start from; none: its own folder.
    pub folder: Option<PathBuf>,
    pub wanted: Wanted,
    /// For each test, and for the file before them.
    pub timeout: Duration,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Wanted {
    All,
    /// Those with this text in their whole name.
    Named(String),
    /// The one of this whole name.
    Only(String),
    /// None: they are listed.
    Nothing,
}

impl Wanted {
    fn is(&self, name: &str) -> bool {
        match self {
            Wanted::All => true,
            Wanted::Named(part) => name.contains(part.as_str()),
            Wanted::Only(whole) => name == whole,
            Wanted::Nothing => false,
        }
    }
}

#[derive(Clone, PartialEq, Debug)]
pub enum TestOutcome {
    Passed,
    Failed(Mistake),
    /// Why.
    Skipped(String),
    /// It was not wanted.
    NotRun,
}

#[derive(Clone, PartialEq, Debug)]
pub struct TestReport {
    /// The groups it is in, and its own name.
    pub path: Vec<String>,
    pub place: Place,
    pub outcome: TestOutcome,
    pub took: Duration,
    /// What it printed.
    pub printed: Vec<u8>,
}

impl TestReport {
    /// `group > test`
    pub fn name(&self) -> String {
        self.path.join(" > ")
    }
}

#[derive(Clone, Debug, Default)]
pub struct FileReport {
    pub tests: Vec<TestReport>,
    /// Why the file itself could not be used, or not to its end.
    pub broken: Option<Mistake>,
    pub warnings: Vec<Mistake>,
    /// What the file printed outside of its tests.
    pub printed: Vec<u8>,
    pub surroundings: Surroundings,
}

/// What was found so far, also if the thread never comes back.
type Shared = Arc<Mutex<FileReport>>;

fn held(report: &Shared) -> std::sync::MutexGuard<'_, FileReport> {
    report.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Run the tests of a file. Dropping the future ends them.
pub async fn run_tests(file: TestFile) -> FileReport {
    let report = Shared::default();
    let found = report.clone();
    let path = file.path.display().to_string();
    let ended = on_thread("lua-test", move |watch, main| async move { run(file, &found, watch, main).await }).await;
    let mut report = std::mem::take(&mut *held(&report));
    let why = match ended {
        Ok(Ok(())) => return report,
        Ok(Err(mistake)) => mistake,
        Err(text) => Mistake { place: Place { file: path.as_str().into(), ..Place::default() }, subject: String::new(), text },
    };
    report.broken = Some(why);
    report
}

async fn run(file: TestFile, report: &Shared, watch: Arc<Watch>, main: Handle) -> Result<(), Mistake> {
    let shown = file.path.display().to_string();
    let alone = |text: String| Mistake { place: Place { file: shown.as_str().into(), ..Place::default() }, subject: String::new(), text };
    if file.path.is_dir() {
        return Err(alone("is a folder".into()));
    }
    let (path, own_folder) = locate(&file.path).map_err(|e| alone(e.trim_start_matches(&format!("{shown}: ")).to_owned()))?;
    let folder = match &file.folder {
        Some(folder) => folder.canonicalize().map_err(|e| alone(format!("{}: {e}", folder.display())))?,
        None => own_folder,
    };
    let name = path.strip_prefix(&folder).unwrap_or(&path).to_string_lossy().into_owned();
    let source = modules::read(&path).map_err(alone)?;
    let host = Host::new(folder, false, watch, main);
    host.script.set(true);
    *host.printed.borrow_mut() = Some(Vec::new());
    let broken = |e: mlua::Error| alone(format!("the host's own Lua failed: {e}"));
    let vm = Rc::new(Vm::new(host.clone()).map_err(broken)?);
    let testing = world::offer(&vm).map_err(broken)?;

    let limit = file.timeout;
    let late = |place: Place| Mistake { place, subject: String::new(), text: format!("did not end within {}", human(limit)) };
    let whole = async {
        let chunk = vm.compile(&name, &source)?;
        vm.call(&chunk, ()).await
    };
    let ended = tokio::time::timeout(limit, whole).await;
    let tests = Tests { vm: vm.clone(), testing, limit };
    let listed = tests.list().map_err(broken)?;
    {
        let mut report = held(report);
        report.tests = listed;
        report.printed = tests.printed();
    }
    let outcome = match ended {
        Ok(Ok(_)) => tests.run_all(&file.wanted, report).await.map_err(broken),
        Ok(Err(caught)) => Err(caught.into_mistake()),
        Err(_) => Err(late(host.last_seen().unwrap_or_else(|| Place { file: name.as_str().into(), ..Place::default() }))),
    };
    let mut report = held(report);
    report.warnings = host.take_warnings();
    report.surroundings = host.take_surroundings();
    // Every failure has frames of its own; who registered the test is no news.
    report.surroundings.calls.clear();
    outcome
}

struct Tests {
    vm: Rc<Vm>,
    testing: LuaTable,
    limit: Duration,
}

impl Tests {
    fn list(&self) -> mlua::Result<Vec<TestReport>> {
        let mut all = Vec::new();
        for test in self.testing.raw_get::<LuaTable>("tests")?.sequence_values::<LuaTable>() {
            let test = test?;
            let skipped: Option<String> = test.raw_get("skipped")?;
            all.push(TestReport {
                path: test.raw_get("path")?,
                place: self.vm.host.kept_place(test.raw_get("place")?),
                outcome: skipped.map_or(TestOutcome::NotRun, TestOutcome::Skipped),
                took: Duration::ZERO,
                printed: Vec::new(),
            });
        }
        Ok(all)
    }

    fn printed(&self) -> Vec<u8> {
        self.vm.host.printed.borrow_mut().as_mut().map(std::mem::take).unwrap_or_default()
    }

    async fn run_all(&self, wanted: &Wanted, report: &Shared) -> mlua::Result<()> {
        let count = held(report).tests.len();
        for at in 0..count {
            {
                let mut report = held(report);
                let Some(test) = report.tests.get_mut(at) else { break };
                if *wanted == Wanted::Nothing {
                    continue;
                }
                if !wanted.is(&test.name()) {
                    test.outcome = TestOutcome::NotRun;
                    continue;
                }
                if matches!(test.outcome, TestOutcome::Skipped(_)) {
                    continue;
                }
                // Unless it comes back.
                let text = "was held by a single library call and can't be stopped; the tests after it did not run".to_owned();
                test.outcome = TestOutcome::Failed(Mistake { place: test.place.clone(), subject: String::new(), text });
            }
            let began = Instant::now();
            let outcome = self.run_one(at + 1, report).await?;
            let mut report = held(report);
            if let Some(test) = report.tests.get_mut(at) {
                test.outcome = outcome;
                test.took = began.elapsed();
                test.printed = self.printed();
            }
        }
        Ok(())
    }

    /// A test with what comes before and after it.
    async fn run_one(&self, number: usize, report: &Shared) -> mlua::Result<TestOutcome> {
        let place = held(report).tests.get(number - 1).map(|t| t.place.clone()).unwrap_or_default();
        let ran = self.part("run", number, &place).await?;
        let after = self.part("after", number, &place).await?;
        let why: Option<String> = self.testing.raw_get::<Function>("done")?.call(())?;
        if let Some(why) = why {
            return Ok(TestOutcome::Skipped(why));
        }
        Ok(match ran.err().or(after.err()) {
            Some(mistake) => TestOutcome::Failed(mistake),
            None => TestOutcome::Passed,
        })
    }

    async fn part(&self, name: &str, number: usize, place: &Place) -> mlua::Result<Result<(), Mistake>> {
        let part: Function = self.testing.raw_get(name)?;
        let call = self.vm.call(&part, LuaValue::Integer(number as i64));
        Ok(match tokio::time::timeout(self.limit, call).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(caught)) => Err(self.with_place(caught, place)),
            Err(_) => {
                Err(Mistake { place: place.clone(), subject: String::new(), text: format!("did not end within {}", human(self.limit)) })
            }
        })
    }

    /// An error is told where it was raised, or else at the test.
    fn with_place(&self, caught: Caught, place: &Place) -> Mistake {
        caught.into_mistake_at(place)
    }
}
