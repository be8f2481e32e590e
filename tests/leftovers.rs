//! `kill -9` of a master leaves the programs of its local workers and of `process.start` running: the next start in that folder ends
//! them, and nothing else.

mod support;

use std::path::Path;
use std::process::{Child, Command};

use serde_json::json;
use support::*;

const CONFIG: &str = r#"
local function program(name) return { "sh", "-c", "echo $$ >> @DIR@/" .. name .. "; exec sleep 600" } end
process.start(program("started"))
local detached = false
c.workers = { LocalWorker("w", { max_builds = 3 }) }
local f = util.BuildFactory()
f:addStep(steps.ShellCommand{ name = "hangs", command = [[
  [ ! -e @DIR@/again ] || exit 0
  sh -c 'trap "" TERM; echo $$ >> @DIR@/child; while :; do sleep 1; done' &
  echo $$ >> @DIR@/command; wait]] })
local g = util.BuildFactory()
g:addStep(steps.ShellCommand{ name = "leaves", command = "env -u BUILDMOON_OWNER sleep 600 >/dev/null 2>&1 & echo $! >> @DIR@/kept" })
c.builders = {
  util.BuilderConfig{ name = "hangs", workernames = { "w" }, factory = f, canStartBuild = function()
    if not detached then process.start(program("detached"), { detached = true }) end
    detached = true
    return true
  end },
  util.BuilderConfig{ name = "leaves", workernames = { "w" }, factory = g },
}
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "hangs", "leaves" } } }
"#;

/// The process numbers in a file, once there are so many.
fn pids(dir: &Path, name: &str, count: usize) -> Vec<u32> {
    wait_for(&format!("{count} numbers in '{name}'"), || {
        let text = std::fs::read_to_string(dir.join(name)).ok()?;
        let pids: Vec<u32> = text.lines().filter_map(|l| l.parse().ok()).collect();
        (pids.len() >= count).then_some(pids)
    })
}

fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

/// Killed at the end, whatever happens.
struct Ours(Vec<u32>);

impl Drop for Ours {
    fn drop(&mut self) {
        self.0.iter().for_each(|pid| signal(*pid, "KILL"));
    }
}

/// Marked as if the master of another folder had started it.
fn strangers(mark: &str) -> Child {
    Command::new("sleep").arg("600").env("BUILDMOON_OWNER", mark).spawn().expect("sleep")
}

fn mark_of(pid: u32) -> String {
    let environ = std::fs::read(format!("/proc/{pid}/environ")).expect("its environment");
    let mark = environ.split(|b| *b == 0).find_map(|v| v.strip_prefix(b"BUILDMOON_OWNER="));
    String::from_utf8(mark.expect("a mark").to_vec()).expect("text")
}

#[test]
fn the_next_start_ends_what_a_killed_master_left() {
    let mut master = Master::start(CONFIG);
    let dir = master.dir();
    let request = master.force("hangs", json!({}));
    let (command, child) = (pids(&dir, "command", 1)[0], pids(&dir, "child", 1)[0]);
    let (started, detached) = (pids(&dir, "started", 1)[0], pids(&dir, "detached", 1)[0]);
    assert_eq!(master.build("leaves", json!({}))["results"], SUCCESS);
    let kept = pids(&dir, "kept", 1)[0];
    let mark = mark_of(command);
    let mut stranger = strangers(&mark.replace("/base", "/other"));
    let _ours = Ours(vec![command, child, started, detached, kept, stranger.id()]);

    master.kill9();
    for pid in [command, child, started, detached, kept, stranger.id()] {
        assert!(lives(pid), "{pid} ended with the master: there is nothing to be seen here");
    }
    std::fs::write(dir.join("again"), "").expect("a file");
    master.launch();
    for (what, pid) in [("command", command), ("child", child), ("started", started)] {
        assert!(!lives(pid), "{what} {pid} still runs");
        assert!(master.log().contains(&format!("process={pid}")), "nothing is said of {what} {pid}");
    }
    for (what, pid) in [("detached", detached), ("kept", kept), ("stranger", stranger.id())] {
        assert!(lives(pid), "{what} {pid} is gone");
    }
    assert_eq!(master.wait_request(request), SUCCESS);
    let again = pids(&dir, "started", 2)[1];
    assert!(lives(again), "its own program was ended");
    master.stop();
    wait_for("what was started ends in order", || (!lives(again)).then_some(()));
    let _ = stranger.kill();
    let _ = stranger.wait();
}

/// A `buildmoon run` beside it is at work in the same folder, and alive.
#[test]
fn what_a_live_owner_runs_is_left_alone() {
    let mut master = Master::create(CONFIG);
    let dir = master.dir();
    let mut run = Command::new(env!("CARGO_BIN_EXE_buildmoon"))
        .args(["run", "hangs"])
        .arg(&dir)
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("buildmoon run");
    let (command, child) = (pids(&dir, "command", 1)[0], pids(&dir, "child", 1)[0]);
    let _ours = Ours(vec![command, child]);
    master.launch();
    assert!(lives(command) && lives(child));
    master.kill9();
    run.kill().expect("kill");
    run.wait().expect("its end");
    assert!(lives(command) && lives(child));
    master.launch();
    assert!(!lives(command) && !lives(child), "what a dead 'buildmoon run' left is not ended");
}
