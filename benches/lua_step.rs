//! What a step in Lua costs beside one in Rust: processor time of the real program over builds of 1,000 steps that do nothing.

use std::process::{Command, Stdio};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

const STEPS: i64 = 1000;
const ROUNDS: usize = 5;
/// The price that is allowed.
const MOST_MICROSECONDS: i64 = 1000;

const CONFIG: &str = r#"
local c = BuildmasterConfig
c.workers = { LocalWorker{ "w" } }
local Plain = steps.BuildStep:extend("Plain")
function Plain:run() return SUCCESS end
local Init = steps.BuildStep:extend("Init", { args = { n = "integer" } })
function Init:init(args) Init.super.init(self, { name = "init", timeout = 7, env = { A = "b" } }) end
function Init:run() return SUCCESS end
local function builder(name, make)
  local f = util.BuildFactory()
  for i = 1, STEPS do f:addStep(make(i)) end
  return util.BuilderConfig{ name = name, workernames = { "w" }, factory = f }
end
c.builders = {
  builder("rust", function() return steps.SetProperty{ "p", "v" } end),
  builder("plain", function() return Plain() end),
  builder("init", function(i) return Init{ n = i } end),
}
"#;

/// Microseconds of processor time that one build takes, the best of some.
fn build(folder: &std::path::Path, builder: &str) -> i64 {
    let used = || {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the processor time of children");
        usage.user_time().num_microseconds() + usage.system_time().num_microseconds()
    };
    let one = |_| {
        let before = used();
        let mut command = Command::new(env!("CARGO_BIN_EXE_buildmoon"));
        let status = command.args(["run", "-q", builder]).arg(folder).stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(status.expect("buildmoon run").success(), "the build of {builder} failed");
        used() - before
    };
    (0..ROUNDS).map(one).min().unwrap_or_default()
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("master.lua"), CONFIG.replace("STEPS", &STEPS.to_string())).expect("master.lua");
    let rust = build(folder.path(), "rust");
    for (builder, what) in [("plain", "with run()"), ("init", "with run() and an init of its own")] {
        let more = (build(folder.path(), builder) - rust) / STEPS;
        println!("a step in Lua {what}: {more} µs more than one in Rust");
        assert!(more <= MOST_MICROSECONDS, "that is more than {MOST_MICROSECONDS} µs");
    }
}
