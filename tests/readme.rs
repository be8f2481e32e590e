//! The README followed word by word in an empty folder: each `sh` block, in its order, as a person would type it.
//!
//! Two things differ from a person's terminal: `cargo run --release --no-default-features --` is the program of this test's own build, and the ports are
//! free ones in place of 9989 and 8010, since several tests may follow the README at a time.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use support::master::{BUILDMOON, Ran, copy_dir, ran};
use support::*;

struct Follower {
    home: tempfile::TempDir,
    path: String,
    pb: u16,
    web: u16,
    background: Option<Child>,
}

impl Follower {
    fn shell(&self, line: &str) -> Command {
        let line = line
            .replace("cargo run --release --no-default-features --", "buildmoon")
            .replace("9989", &self.pb.to_string())
            .replace("8010", &self.web.to_string());
        let mut command = Command::new("sh");
        command.args(["-c", &line]).current_dir(self.home.path()).env("PATH", &self.path).env("LANG", "C.UTF-8").stdin(Stdio::null());
        command
    }

    fn run(&mut self, line: &str) -> Option<Ran> {
        if let Some(line) = line.strip_suffix('&') {
            // `exec`, so that the process that is waited for is the program itself.
            let output = std::fs::File::create(self.home.path().join("background")).expect("a file");
            let mut command = self.shell(&format!("exec {line}"));
            self.background = Some(command.stdout(Stdio::null()).stderr(output).spawn().expect("sh"));
            let http = Http { port: self.web };
            wait_for("the master is ready", || {
                let status = self.background.as_mut().and_then(|c| c.try_wait().expect("its state"));
                assert!(status.is_none(), "{line} ended: {}", self.said());
                http.request("GET", "/readyz", None, &[]).ok().filter(|a| a.status == 200)
            });
            return None;
        }
        let done = ran(self.shell(line).output().expect("sh"));
        assert_eq!(done.code, Some(0), "{line}\n{}{}\n{}", done.out, done.err, self.said());
        Some(done)
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.home.path().join("background")).unwrap_or_default()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if let Some(mut child) = self.background.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if self.home.path().join("W/twistd.pid").exists() {
            let _ = self.shell("buildbot-worker stop W").output();
        }
    }
}

#[test]
fn the_readme_works_word_by_word() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(project.join("README.md")).expect("README.md");
    let lines = commands(&readme);
    for part in ["run hello examples/hello", "create-master", "start demo &", "create-worker W", "start W", "--wait"] {
        assert!(lines.iter().any(|l| l.contains(part)), "the README no longer says '{part}': {lines:#?}");
    }

    let home = tempfile::tempdir().expect("a folder");
    copy_dir(&project.join("examples"), &home.path().join("examples"));
    let programs = [Path::new(BUILDMOON).parent().map(Path::to_owned).expect("its folder"), peers::worker_bin("4.3.0")];
    let rest = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(programs.into_iter().chain(std::env::split_paths(&rest).collect::<Vec<PathBuf>>())).expect("a path");
    let path = path.into_string().expect("a path in UTF-8");
    let mut follower = Follower { home, path, pb: free_port(), web: free_port(), background: None };

    for line in lines {
        let done = follower.run(&line);
        if line.contains("create-master") {
            let file = follower.home.path().join("demo/master.lua");
            let text = std::fs::read_to_string(&file).expect("demo/master.lua");
            assert!(text.contains("9989") && text.contains("8010"), "the ports of the README are not those of\n{text}");
            let text = text.replace("9989", &follower.pb.to_string()).replace("8010", &follower.web.to_string());
            std::fs::write(&file, text).expect("demo/master.lua");
        }
        if line.contains("--wait") {
            let builds = Http { port: follower.web }.rows("builds", "builds");
            assert_eq!(builds.len(), 1, "{builds:#?}");
            assert_eq!(builds[0]["results"], SUCCESS, "{:?}\n{builds:#?}", done);
        }
    }
    let mut master = follower.background.take().expect("it was started");
    let status = wait_for("the master ends", || master.try_wait().expect("its state"));
    assert!(status.success(), "{status}\n{}", follower.said());
}

/// The lines of all blocks of the kind `sh`.
fn commands(text: &str) -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in text.lines() {
        match line.trim_end() {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside && !line.trim().is_empty() => found.push(line.to_owned()),
            _ => {}
        }
    }
    found
}

/// Tables that a person relies on name what is there.
#[test]
fn the_readme_names_every_room_and_every_command() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(project.join("README.md")).expect("README.md");
    let map = std::fs::read_to_string(project.join("src/lib.rs")).expect("src/lib.rs");
    for room in map.lines().filter_map(|l| l.strip_prefix("pub mod ")?.strip_suffix(';')) {
        assert!(readme.contains(&format!("| `{room}` |")), "the README does not name the room '{room}'");
    }
    let help = support::master::buildmoon(["--help"]).out;
    let (_, list) = help.split_once("Commands:").unwrap_or_else(|| panic!("no list of commands in\n{help}"));
    let listed = list.lines().skip(1).take_while(|l| !l.trim().is_empty()).filter(|l| l.starts_with("  ") && !l.starts_with("   "));
    for command in listed.filter_map(|l| l.split_whitespace().next()).filter(|c| *c != "help") {
        assert!(readme.contains(&format!("`buildmoon {command}")), "the README does not name the command '{command}'");
    }
}
