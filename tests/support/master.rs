//! The real program, started on a temporary base folder and driven as its users drive it: commands, signals, REST.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::{Http, free_port, wait_for};

pub const BUILDMOON: &str = env!("CARGO_BIN_EXE_buildmoon");

/// What every configuration of a test begins with, on one line: lines are counted from the test's own first line.
const HEAD: &str = "local c = BuildmasterConfig; c.protocols = { pb = { port = 'tcp:@PB@:interface=127.0.0.1' } }; \
    c.www = { port = 'tcp:@WEB@:interface=127.0.0.1' }; c.buildbotURL = 'http://127.0.0.1:@WEB@/'; ";

pub struct Master {
    home: TempDir,
    pub pb: u16,
    pub http: Http,
    child: Option<Child>,
}

/// What a command did: exit code, output, complaints.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// One `buildmoon` command to its end.
pub fn buildmoon<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Ran {
    ran(Command::new(BUILDMOON).args(args).stdin(Stdio::null()).output().expect("buildmoon"))
}

pub fn ran(output: Output) -> Ran {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Sends a signal by name, `HUP` for instance. Who has ended gets none.
pub fn signal(pid: u32, name: &str) {
    let signal: nix::sys::signal::Signal = format!("SIG{name}").parse().expect("the name of a signal");
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), signal);
}

impl Master {
    /// A base folder with this configuration, not started. `@PB@`, `@WEB@` and `@DIR@` stand for the ports and the folder.
    pub fn create(lua: &str) -> Master {
        let home = tempfile::Builder::new()
            .prefix("master-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()
            .expect("a temporary folder");
        let master = Master { home, pb: free_port(), http: Http { port: free_port() }, child: None };
        fs::create_dir(master.dir()).expect("the base folder");
        master.configure(lua);
        master
    }

    pub fn configure(&self, lua: &str) {
        let text = format!("{HEAD}{lua}")
            .replace("@PB@", &self.pb.to_string())
            .replace("@WEB@", &self.http.port.to_string())
            .replace("@DIR@", &self.dir().display().to_string());
        fs::write(self.dir().join("master.lua"), text).expect("master.lua");
    }

    /// The running master takes over another configuration.
    pub fn reconfig(&self, lua: &str) {
        self.configure(lua);
        let ran = self.command("reconfig", &[], &[]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }

    /// Started and ready.
    pub fn start(lua: &str) -> Master {
        let mut master = Master::create(lua);
        master.launch();
        master
    }

    pub fn dir(&self) -> PathBuf {
        self.home.path().join("base")
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("a running master").id()
    }

    /// Starts the process and waits until it says that it is ready.
    pub fn launch(&mut self) {
        self.launch_in("exec \"$@\"");
    }

    /// The same below a shell that first does something to itself, limits for instance.
    pub fn launch_in(&mut self, script: &str) {
        assert!(self.child.is_none(), "it runs already");
        let out = File::options().create(true).append(true).open(self.log_path()).expect("a file for stderr");
        let child = Command::new("sh")
            .args(["-c", script, "sh", BUILDMOON, "start"])
            .arg(self.dir())
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a second handle"))
            .stderr(out)
            .spawn()
            .expect("buildmoon start");
        self.child = Some(child);
        wait_for("the master is ready", || {
            if let Some(status) = self.child.as_mut().and_then(|c| c.try_wait().expect("its state")) {
                panic!("the master ended while it started: {status}\n{}", self.log());
            }
            let answer = self.http.request("GET", "/readyz", None, &[]).ok()?;
            (answer.status == 200).then_some(())
        });
    }

    fn log_path(&self) -> PathBuf {
        self.home.path().join("stderr")
    }

    /// What it wrote on stderr since it was first started.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    pub fn wait_log(&self, text: &str) {
        wait_for(&format!("the master says '{text}'"), || self.log().contains(text).then_some(()));
    }

    pub fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("kill");
            child.wait().expect("its end");
        }
    }

    /// SIGTERM, then waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        signal(self.pid(), "TERM");
        self.wait_exit()
    }

    pub fn wait_exit(&mut self) -> ExitStatus {
        let child = self.child.as_mut().expect("a running master");
        let status = wait_for("the master's process ends", || child.try_wait().expect("its state"));
        self.child = None;
        status
    }

    pub fn restart(&mut self) {
        self.stop();
        self.launch();
    }

    /// Does the process live?
    pub fn alive(&mut self) -> bool {
        self.child.as_mut().is_some_and(|c| matches!(c.try_wait(), Ok(None)))
    }

    /// A command on this master's folder: `command("force", &["force", "--builder", "b"])` runs `buildmoon force force DIR --builder b`.
    pub fn command(&self, name: &str, operands: &[&str], options: &[&str]) -> Ran {
        let dir = self.dir();
        let mut args: Vec<&std::ffi::OsStr> = vec![name.as_ref()];
        args.extend(operands.iter().map(std::ffi::OsStr::new));
        args.push(dir.as_os_str());
        args.extend(options.iter().map(std::ffi::OsStr::new));
        buildmoon(args)
    }

    // Workers.

    pub fn worker(&self, name: &str) -> Value {
        self.http.row(&format!("workers/{}", in_path(name)), "workers")
    }

    pub fn attached(&self, name: &str) -> bool {
        self.worker(name)["connected_to"].as_array().is_some_and(|list| !list.is_empty())
    }

    pub fn wait_attached(&self, name: &str) {
        wait_for(&format!("worker {name} is attached"), || self.attached(name).then_some(()));
    }

    pub fn wait_detached(&self, name: &str) {
        wait_for(&format!("worker {name} is gone"), || (!self.attached(name)).then_some(()));
    }

    /// What `buildmoon instances --json` tells, once it is known where each runs: a worker may build before its start has returned that.
    pub fn instances(&self) -> Value {
        wait_for("the instances have handles", || {
            let ran = self.command("instances", &[], &["--json"]);
            let told: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
            let known = told["instances"].as_array().is_some_and(|all| all.iter().all(|row| !row["handle"].is_null()));
            known.then_some(told)
        })
    }

    // Requests and builds.

    pub fn builder_id(&self, name: &str) -> i64 {
        self.http.row(&format!("builders/{}", in_path(name)), "builders")["builderid"].as_i64().expect("a builderid")
    }

    /// Forces a build through the scheduler `force`; the request's id.
    pub fn force(&self, builder: &str, params: Value) -> i64 {
        self.force_by("force", builder, params)
    }

    pub fn force_by(&self, scheduler: &str, builder: &str, params: Value) -> i64 {
        let id = self.builder_id(builder);
        let mut all = match params {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        all.insert("builderid".into(), json!(id.to_string()));
        let result = self
            .http
            .control(&format!("forceschedulers/{scheduler}"), "force", Value::Object(all))
            .unwrap_or_else(|(status, error)| panic!("force {builder}: {status} {error}"));
        result[1][id.to_string()].as_i64().unwrap_or_else(|| panic!("force {builder}: no request in {result}"))
    }

    pub fn request(&self, id: i64) -> Value {
        self.http.row(&format!("buildrequests/{id}"), "buildrequests")
    }

    /// Waits for the end of a request; its results.
    pub fn wait_request(&self, id: i64) -> i64 {
        wait_for(&format!("request {id} is complete"), || {
            let request = self.request(id);
            (request["complete"] == true).then(|| request["results"].as_i64().expect("results"))
        })
    }

    /// The builds of a request, oldest first.
    pub fn builds_of(&self, request: i64) -> Vec<Value> {
        self.http.rows(&format!("builds?buildrequestid={request}&order=buildid"), "builds")
    }

    pub fn last_build_of(&self, request: i64) -> Value {
        self.builds_of(request).pop().unwrap_or_else(|| panic!("request {request} has no build"))
    }

    /// Waits for the nth build (from 1) of a request to exist.
    pub fn wait_build(&self, request: i64, nth: usize) -> Value {
        wait_for(&format!("request {request} has {nth} builds"), || self.builds_of(request).into_iter().nth(nth - 1))
    }

    /// Forces, waits; the build, which is complete.
    pub fn build(&self, builder: &str, params: Value) -> Value {
        let request = self.force(builder, params);
        self.wait_request(request);
        self.last_build_of(request)
    }

    pub fn steps(&self, build: &Value) -> Vec<Value> {
        self.http.rows(&format!("builds/{}/steps?order=number", build["buildid"]), "steps")
    }

    pub fn step(&self, build: &Value, name: &str) -> Value {
        let steps = self.steps(build);
        steps.iter().find(|s| s["name"] == name).unwrap_or_else(|| panic!("no step '{name}' in {steps:#?}")).clone()
    }

    /// A log with a letter before each line for its stream, as the API gives it.
    pub fn log_contents(&self, build: &Value, step: &str, slug: &str) -> String {
        let path = format!("steps/{}/logs/{slug}/contents", self.step(build, step)["stepid"]);
        let chunks = self.http.rows(&path, "logchunks");
        chunks.iter().map(|c| c["content"].as_str().expect("text")).collect()
    }

    /// A log as bytes.
    pub fn log_raw(&self, build: &Value, step: &str, slug: &str) -> Vec<u8> {
        let path = format!("steps/{}/logs/{slug}/raw", self.step(build, step)["stepid"]);
        let answer = self.http.get(&path);
        assert_eq!(answer.status, 200, "GET {path}: {}", String::from_utf8_lossy(&answer.body));
        answer.body
    }

    /// Waits until the output of a step, which may not have begun, has this line. A whole line: the header repeats the command.
    pub fn wait_log_of(&self, build: &Value, step: &str, line: &str) {
        wait_for(&format!("step {step} says '{line}'"), || {
            let steps = self.steps(build);
            let id = &steps.iter().find(|s| s["name"] == step)?["stepid"];
            let answer = self.http.get(&format!("steps/{id}/logs/stdio/raw"));
            (answer.status == 200 && String::from_utf8_lossy(&answer.body).lines().any(|l| l == line)).then_some(())
        });
    }

    /// Name to value and source.
    pub fn properties(&self, build: &Value) -> Value {
        self.http.row(&format!("builds/{}/properties", build["buildid"]), "properties")
    }

    /// Resident memory now and at its peak, in bytes.
    pub fn memory(&self) -> (u64, u64) {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("/proc");
        let field = |name: &str| -> u64 {
            let line = text.lines().find(|l| l.starts_with(name)).expect("a field of /proc/PID/status");
            line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).expect("kB") * 1024
        };
        (field("VmRSS:"), field("VmHWM:"))
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- stderr of the master in {}\n{}---", self.dir().display(), self.log());
        }
    }
}

/// A name as part of a path.
pub fn in_path(name: &str) -> String {
    name.bytes()
        .map(|b| if b.is_ascii_alphanumeric() || b"-_.".contains(&b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// Copies a folder with all that is in it.
pub fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the copy's folder");
    for entry in fs::read_dir(from).unwrap_or_else(|e| panic!("{}: {e}", from.display())) {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("a copy");
        }
    }
}
