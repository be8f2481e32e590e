//! `logMaxSize` and `logMaxTailSize`: of a log that is too long the beginning and the end are kept, and a line says what is not.

mod support;

use serde_json::json;
use support::*;

#[test]
fn a_log_that_is_too_long_keeps_its_beginning_and_its_end() {
    let master = Master::start(
        r#"
c.logMaxSize, c.logMaxTailSize = 100000, 2000
c.workers = { LocalWorker{ "w" } }
local f = util.BuildFactory()
f:addStep(steps.ShellCommand{ name = "long", command = "echo the first; i=0; while [ $i -lt 30000 ]; do echo \"line number $i of very many\"; i=$((i+1)); done; echo the last" })
f:addStep(steps.ShellCommand{ name = "short", command = "echo short" })
c.builders = { util.BuilderConfig{ name = "b", workernames = { "w" }, factory = f } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "b" } } }
"#,
    );
    let build = master.build("b", json!({}));
    assert_eq!(master.step(&build, "short")["results"], SUCCESS, "{build:#}");
    let log = String::from_utf8(master.log_raw(&build, "long", "stdio")).expect("UTF-8");
    assert!(log.len() > 90_000 && log.len() < 110_000, "{} bytes are kept", log.len());
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines.contains(&"the first") && lines.contains(&"the last"), "beginning or end is missing");
    assert!(lines.contains(&"line number 29999 of very many") && !lines.contains(&"line number 15000 of very many"));
    // Its rows and its contents tell the same.
    let step = master.step(&build, "long");
    let row = master.http.row(&format!("steps/{}/logs/stdio", step["stepid"]), "logs");
    let contents = master.log_contents(&build, "long", "stdio");
    assert_eq!(row["num_lines"], contents.lines().count(), "{row}");
}
