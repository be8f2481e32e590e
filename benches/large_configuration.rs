//! A large configuration, evaluated and checked: 1,000 builders, 7,000 steps, classes 70 deep. Time and memory of the real program.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};

const ROUNDS: usize = 5;
const MOST_TIME: Duration = Duration::from_millis(500);
const MOST_KIB: i64 = 64 << 10;

const CONFIG: &str = r#"
local c = BuildmasterConfig
c.workers, c.builders, c.schedulers = {}, {}, {}
for i = 1, 57 do
  c.workers[i] = Worker{ "worker-" .. i, util.Secret("w"), max_builds = 2, properties = { jobs = i } }
end
c.secretsProviders = { secrets.SecretInEnvironment() }

local Base = util.BuildFactory:extend("Base", { args = { branch = "string", tags = { "list<string>", default = {} } }, flags = {} })
function Base:init(args)
  self.tags = list.concat({ "base" }, args.tags)
  Base.super.init(self)
  self:addSteps{
    steps.ShellCommand{ name = "source", command = { "git", "checkout", args.branch }, haltOnFailure = true },
    steps.Configure{ command = list.concat({ "./configure" }, self.flags) },
    steps.Compile{ command = { "make", Interpolate("-j%(prop:jobs)s") } },
    steps.ShellCommand{ name = "info", command = function(props) return { "echo", props:getProperty("branch") } end },
    steps.Test{ command = { "make", "test" }, timeout = "20m", env = { LANG = "C" } },
    steps.SetPropertyFromCommand{ command = "date", property = "date", doStepIf = function(step) return step:getProperty("x") end },
    steps.ShellCommand{ name = "clean", command = { "make", "clean" }, alwaysRun = true },
  }
end
local classes = { Base }
for depth = 2, 70 do
  local Parent = classes[depth - 1]
  local Class = Parent:extend("Level" .. depth, { flags = list.concat(Parent.flags, { "--level-" .. depth }) })
  if depth % 3 == 0 then
    function Class:init(args) self.level = depth Class.super.init(self, args) end
  end
  classes[depth] = Class
end

local names = {}
for i = 1, 1000 do
  local Class = classes[(i - 1) % #classes + 1]
  local f = Class{ branch = "b" .. i % 7, tags = { "t" .. i % 5 } }
  local b = util.BuilderConfig{ name = "builder " .. i, workernames = { "worker-" .. (i % 57 + 1) }, factory = f, tags = f.tags }
  b.canStartBuild = function() return true end
  c.builders[i], names[i] = b, b.name
end
for i = 1, 20 do
  c.schedulers[i] = schedulers.ForceScheduler{ name = "force-" .. i, builderNames = list.filter(names, function(_, n) return n % 20 == i % 20 end) }
end
"#;

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("master.lua"), CONFIG).expect("master.lua");
    let once = |_| {
        let started = Instant::now();
        let mut command = Command::new(env!("CARGO_BIN_EXE_buildmoon"));
        let status = command.arg("checkconfig").arg(folder.path()).stdout(Stdio::null()).status();
        assert!(status.expect("buildmoon checkconfig").success(), "the configuration is refused");
        started.elapsed()
    };
    let time = (0..ROUNDS).map(once).min().unwrap_or_default();
    // The largest of all children, in KiB: the whole process.
    let kib = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the memory of children").max_rss();
    println!("1,000 builders, 7,000 steps, classes 70 deep: {} ms, {} MiB", time.as_millis(), kib >> 10);
    assert!(time <= MOST_TIME, "that is more than {} ms", MOST_TIME.as_millis());
    assert!(kib <= MOST_KIB, "that is more than {} MiB", MOST_KIB >> 10);
}
