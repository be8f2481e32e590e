//! Five hundred stock workers log in in the same instant. All attach: a stock worker has no time limit of its own for a login,
//! so one that is lost in the rush would be lost for good.

mod support;

use std::fs::File;
use std::process::{Child, Command, Stdio};

use serde_json::json;
use support::*;

const COUNT: usize = 500;

struct Crowd(Child);

impl Drop for Crowd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn five_hundred_logins_at_once_all_attach() {
    let mut master = Master::start(&format!(
        r#"
c.workers = {{}}
local f = util.BuildFactory()
f:addStep(steps.ShellCommand{{ name = "say", command = {{ "echo", "hello" }} }})
for i = 0, {COUNT} - 1 do c.workers[#c.workers + 1] = Worker{{ "w" .. i, "pass" }} end
c.builders = {{ util.BuilderConfig{{ name = "b", workernames = {{ "w0", "w{last}" }}, factory = f }} }}
c.schedulers = {{ schedulers.ForceScheduler{{ name = "force", builderNames = {{ "b" }} }} }}
"#,
        last = COUNT - 1
    ));
    let home = tempfile::tempdir().expect("a folder");
    let out = home.path().join("events");
    let python = peers::worker_bin("4.3.0").join("python");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/many_workers.py");
    let _crowd = Crowd(
        Command::new(python)
            .arg(script)
            .args([master.pb.to_string(), COUNT.to_string()])
            .arg(home.path())
            .stdin(Stdio::piped())
            .stdout(File::create(&out).expect("a file"))
            .stderr(File::create(home.path().join("errors")).expect("a file"))
            .spawn()
            .expect("python"),
    );
    let events = |kind: &str| std::fs::read_to_string(&out).unwrap_or_default().lines().filter(|l| l.starts_with(kind)).count();
    let attached = || {
        let rows = master.http.rows("workers?field=name&field=connected_to", "workers");
        rows.iter().filter(|r| r["connected_to"].as_array().is_some_and(|l| !l.is_empty())).count()
    };
    wait_for("all are attached, by the master's word and by theirs", || {
        (attached() == COUNT && events("connected") == COUNT).then_some(())
    });
    assert_eq!((events("lost"), events("failed"), events("exit")), (0, 0, 0), "{}", std::fs::read_to_string(&out).unwrap_or_default());
    assert_eq!(master.build("b", json!({}))["results"], SUCCESS);
    assert_eq!(attached(), COUNT);
    assert!(master.alive());
}
