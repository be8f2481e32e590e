//! One stock worker process: made with `buildbot-worker create-worker`, run in the foreground, watched through its log.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::{peers, wait_for, wait_within};

pub struct Worker {
    pub name: String,
    home: TempDir,
    bin: PathBuf,
    child: Option<Child>,
}

impl Worker {
    /// Made and started; it may not be attached yet (`Master::wait_attached`).
    pub fn start(version: &str, name: &str, password: &str, port: u16) -> Worker {
        let mut worker = Worker::create(version, name, password, port);
        worker.launch();
        worker
    }

    /// Made, not started.
    pub fn create(version: &str, name: &str, password: &str, port: u16) -> Worker {
        Worker::create_with(version, name, password, port, &[])
    }

    /// With more options for `create-worker`.
    pub fn create_with(version: &str, name: &str, password: &str, port: u16, options: &[&str]) -> Worker {
        let bin = peers::worker_bin(version);
        let home = tempfile::Builder::new().prefix("worker-").tempdir().expect("a temporary folder");
        // `maxdelay` bounds the pause before it dials again: five minutes by default.
        let made = Command::new(bin.join("buildbot-worker"))
            .args(["create-worker", "--maxdelay=2"])
            .args(options)
            .arg(home.path().join("base"))
            .args([&format!("127.0.0.1:{port}"), name, password])
            .output()
            .expect("buildbot-worker");
        assert!(made.status.success(), "create-worker: {}", String::from_utf8_lossy(&[made.stdout, made.stderr].concat()));
        Worker { name: name.to_owned(), home, bin, child: None }
    }

    pub fn base(&self) -> PathBuf {
        self.home.path().join("base")
    }

    /// Starts the process, again if it had ended.
    pub fn launch(&mut self) {
        self.kill9();
        let _ = fs::remove_file(self.base().join("twistd.pid"));
        let out = File::options().create(true).append(true).open(self.home.path().join("output")).expect("a file for the output");
        let child = Command::new(self.bin.join("buildbot-worker"))
            .args(["start", "--nodaemon"])
            .arg(self.base())
            .env("LANG", "C.UTF-8")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a second handle"))
            .stderr(out)
            .spawn()
            .expect("buildbot-worker start");
        self.child = Some(child);
    }

    /// What the worker wrote, its log and its output.
    pub fn log(&self) -> String {
        let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        read(&self.base().join("twistd.log")) + &read(&self.home.path().join("output"))
    }

    pub fn wait_log(&self, text: &str) {
        wait_for(&format!("worker {} says '{text}'", self.name), || self.log().contains(text).then_some(()));
    }

    pub fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub fn signal(&self, signal: &str) {
        if let Some(child) = &self.child {
            super::master::signal(child.id(), signal);
        }
    }

    /// Waits for the process to end by itself.
    pub fn wait_exit(&mut self) -> ExitStatus {
        let child = self.child.as_mut().expect("a running worker");
        let status = wait_for("the worker's process ends", || child.try_wait().expect("its state"));
        self.child = None;
        status
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let from = log.char_indices().rev().nth(6_000).map_or(0, |(at, _)| at);
            eprintln!("--- log of worker {} (its end)\n{}---", self.name, &log[from..]);
        }
        // In order first: that ends the commands which the worker runs. One that a test has stopped hears it, too.
        self.signal("CONT");
        self.signal("TERM");
        if let Some(child) = self.child.as_mut() {
            for _ in 0..200 {
                if !matches!(child.try_wait(), Ok(None)) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        self.kill9();
    }
}

/// Used where a short wait is part of what is tested.
pub fn stays_true(limit: Duration, what: &str, mut probe: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + limit;
    wait_within(limit + Duration::from_secs(30), what, || {
        assert!(probe(), "{what}: no longer so");
        (std::time::Instant::now() >= end).then_some(())
    });
}
