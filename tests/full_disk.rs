//! No room for the log: the build fails and says so, the master lives and goes on building.
//!
//! A limit on the size of files stands for the full disk: the write fails in the same place, with another number.

mod support;

use serde_json::json;
use support::*;

#[test]
fn a_log_that_finds_no_room_fails_the_build_and_nothing_else() {
    // In blocks of 512 or 1024 bytes, as the shell has it: 12 or 24 MB. Random bytes, since logs are compressed.
    let mut master = Master::create(
        r#"
c.workers = { LocalWorker{ "w" } }
local big, small = util.BuildFactory(), util.BuildFactory()
big:addStep(steps.ShellCommand{ name = "big", command = "head -c 60000000 /dev/urandom | base64" })
small:addStep(steps.ShellCommand{ name = "small", command = { "echo", "fine" } })
c.builders = {
  util.BuilderConfig{ name = "big", workernames = { "w" }, factory = big },
  util.BuilderConfig{ name = "small", workernames = { "w" }, factory = small },
}
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "big", "small" } } }
"#,
    );
    master.launch_in("trap '' XFSZ; ulimit -f 24000; exec \"$@\"");
    assert_eq!(master.build("small", json!({}))["results"], SUCCESS);
    let build = master.build("big", json!({}));
    assert_eq!(build["results"], EXCEPTION, "{build:#}");
    let step = master.step(&build, "big");
    let said = format!("{} {}", build["state_string"], step["state_string"]).to_lowercase();
    assert!(said.contains("large") || said.contains("space") || said.contains("write"), "neither build nor step says why: {said}");
    assert!(master.alive());
    // The worker is in quarantine for a while after an exception.
    assert_eq!(master.build("small", json!({}))["results"], SUCCESS);
}
