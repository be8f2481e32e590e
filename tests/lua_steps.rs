//! Steps that are written in Lua: what `self` offers them, what they run on real workers, and how they end, whatever they do.

mod support;

use serde_json::{Value, json};
use support::*;

for_each_version!(a_step_in_lua_runs_commands_on_a_stock_worker);

/// A builder `b` on the local worker `w` with what `text` adds to the factory `f`.
fn config(text: &str) -> String {
    format!(
        "c.workers = {{ LocalWorker{{ 'w' }} }}; local f = util.BuildFactory()\n{text}\n\
         c.builders = {{ util.BuilderConfig{{ name = 'b', workernames = {{ 'w' }}, factory = f, env = {{ FROM_BUILDER = 'fb' }} }} }}\n\
         c.schedulers = {{ schedulers.ForceScheduler{{ name = 'force', builderNames = {{ 'b' }} }} }}\n"
    )
}

fn start(text: &str) -> Master {
    Master::start(&config(text))
}

/// The build, and what the log `err.text` of each of its steps says.
fn built(master: &Master) -> (Value, String) {
    let build = master.build("b", json!({}));
    let failures = errors(master, &build);
    (build, failures)
}

fn errors(master: &Master, build: &Value) -> String {
    let mut all = String::new();
    for step in master.steps(build) {
        let answer = master.http.get(&format!("steps/{}/logs/err.text/raw", step["stepid"]));
        if answer.status == 200 {
            all.push_str(&String::from_utf8_lossy(&answer.body));
        }
    }
    all
}

fn succeeds(text: &str) -> (Master, Value) {
    let master = start(text);
    let (build, failures) = built(&master);
    assert_eq!(build["results"], SUCCESS, "{build:#}\n{failures}");
    (master, build)
}

fn log(master: &Master, build: &Value, step: &str, slug: &str) -> String {
    String::from_utf8_lossy(&master.log_raw(build, step, slug)).into_owned()
}

fn property(master: &Master, build: &Value, name: &str) -> Value {
    master.properties(build)[name].clone()
}

const CORE: &str = r#"
local S = steps.BuildStep:extend("S", {
  mixins = { steps.ShellMixin }, args = { target = "string", what = { "any", default = "none" } }, renderables = { "what" },
})
function S:run()
  local lines = {}
  self:addLogObserver("stdio", function(stream, line) lines[#lines + 1] = stream .. ":" .. line end)
  local Seen = self.observer_class
  local seen = Seen()
  self:addLogObserver("stdio", seen)
  local buffer = util.BufferLogObserver{ wantStderr = true }
  self:addLogObserver("stdio", buffer)
  local cmd = self:makeRemoteShellCommand{
    command = { "sh", "-c", "echo out $OWN $FROM_BUILDER; echo err >&2; printf unfinished", self.target },
    env = { OWN = "own" }, collectStdout = true, collectStderr = true, logEnviron = false,
  }
  assert(self:runCommand(cmd) == util.SUCCESS and not cmd:didFail() and cmd.rc == 0)
  assert(cmd.stdout == "out own fb\nunfinished" or cmd.stdout == "out own fb\nunfinished\n", cmd.stdout)
  assert(cmd.stderr == "err\n", cmd.stderr)
  list.sorted(lines)
  assert(list.contains(lines, "o:out own fb") and list.contains(lines, "o:unfinished") and list.contains(lines, "e:err"), text.repr(lines))
  assert(seen.out == 2 and seen.err == 1 and seen.step == self, text.repr{ seen.out, seen.err })
  assert(buffer:getStdout() == "out own fb\nunfinished\n" and buffer:getStderr() == "err\n", buffer:getStdout())
  local failed = self:makeRemoteShellCommand{ command = "exit 3", decodeRC = { [0] = util.SUCCESS, [3] = util.WARNINGS }, stdioLogName = "second" }
  assert(self:runCommand(failed) == util.WARNINGS and failed.rc == 3 and not failed:didFail() and failed:results() == util.WARNINGS)
  local bad = self:makeRemoteShellCommand{ command = "exit 1" }
  self:runCommand(bad)
  assert(bad:didFail() and bad:results() == util.FAILURE)
  self:setProperty("what", self.what)
  return cmd:results()
end
local Seen = util.LogLineObserver:extend("Seen", { out = 0, err = 0 })
function Seen:outLineReceived(line) self.out = self.out + 1 end
function Seen:errLineReceived(line) self.err = self.err + 1 end
S.observer_class = Seen
f:addStep(S{ name = "core", target = "t", what = Interpolate("%(prop:buildername)s!"), timeout = 60 })
"#;

fn a_step_in_lua_runs_commands_on_a_stock_worker(version: &str) {
    let config = config(CORE).replacen("LocalWorker{ 'w' }", "Worker{ 'w', 'pass' }", 1);
    let master = Master::start(&config);
    let _worker = Worker::start(version, "w", "pass", master.pb);
    master.wait_attached("w");
    let (build, failures) = built(&master);
    assert_eq!(build["results"], SUCCESS, "{build:#}\n{failures}");
    assert_eq!(property(&master, &build, "what"), json!(["b!", "core"]));
    assert!(log(&master, &build, "core", "stdio").contains("out own fb\n"));
    // A second log of one name has a slug of its own.
    assert!(master.log_raw(&build, "core", "stdio_2").len() > 10);
    assert!(master.log_raw(&build, "core", "second").len() > 10);
}

#[test]
fn a_step_in_lua_runs_commands_on_the_local_worker() {
    let (master, build) = succeeds(CORE);
    assert_eq!(property(&master, &build, "what"), json!(["b!", "core"]));
    assert_eq!(master.step(&build, "core")["state_string"], "'exit 1'");
}

#[test]
fn logs_links_properties_and_statistics() {
    let (master, build) = succeeds(
        r#"
local S = steps.BuildStep:extend("S")
function S:run()
  local log = self:addLog("notes")
  log:addStdout("one\ntw")
  log:addStdout("o\n")
  log:addStderr("bad\n")
  log:addHeader("head\n")
  assert(log:getName() == "notes")
  log:finish()
  assert(not pcall(log.addStdout, log, "late"))
  assert(self:getLog("notes"):getText() == "one\ntwo\nbad\n", self:getLog("notes"):getText())
  local lines = self:getLog("notes"):readlines()
  assert(#lines == 2 and lines[2] == "two")
  assert(self:getLog("notes"):getTextWithHeaders():find("head"))
  self:addCompleteLog("whole", "all of it\n")
  self:addHTMLLog("page", "<b>x</b>\n")
  self:addLog("open", "t"):addContent("left open\n")
  assert(not pcall(self.getLog, self, "none") and not pcall(self.addLog, self, "x", "q"))
  self:addURL("home", "http://example.org/")
  self:addURL("other", "http://example.org/2")
  self:addURL("home", "http://example.org/3")

  self:setProperty("a", { 1, 2, x = nil })
  self:setProperty("b", "text", "elsewhere")
  self.build.properties.c = true
  self.build:setProperty("nothing", nil)
  assert(self:getProperty("a")[2] == 2 and self:getProperty("b") == "text" and self:getProperty("zz", 7) == 7)
  assert(self:hasProperty("nothing") and self:getProperty("nothing", 5) == nil and not self:hasProperty("zz"))
  assert(self.build:getProperty("c") == true and self.build.properties.b == "text" and self:getProperties():getProperty("b") == "text")
  assert(self.build:getProperties():hasProperty("c") and self.build.properties:asDict().b == "text")
  local names = {}
  for name in pairs(self.build.properties) do names[#names + 1] = name end
  assert(list.contains(names, "buildername") and list.contains(names, "c"))
  local ok, e = pcall(self.setProperty, self, "f", print)
  assert(not ok and tostring(e):find("plain data"), tostring(e))

  assert(self.build.number == 1 and self.build.builder.name == "b" and self.build:getWorkerName() == "w" and self.build.buildid > 0)
  assert(self.worker.name == "w" and self.workername == "w" and self:getWorkerName() == "w" and self.worker.worker_system == "posix")
  assert(self.build:getSourceStamp("").codebase == "" and #self.build:getAllSourceStamps() == 1)
  assert(self.name == "first" and self.number == 0 and self.workdir == "build" and self.build.properties:getBuild() == self.build)

  self:setStatistic("tests", 3)
  assert(self:getStatistic("tests") == 3 and self:getStatistic("none", 9) == 9 and self:hasStatistic("tests"))

  assert(self:render(Interpolate("%(prop:b)s-%(prop:buildername)s")) == "text-b" and self:render(5) == 5)
  local deep = self:render{ x = { Property("b"), function(props) return props:getProperty("a") end } }
  assert(deep.x[1] == "text" and deep.x[2][1] == 1)

  assert(self:workerVersion("shell") and self:workerVersion("nonsense", "old") == "old")
  self:checkWorkerHasCommand("shell")
  local known, why = pcall(self.checkWorkerHasCommand, self, "nonsense")
  assert(not known and tostring(why):find("does not know the command 'nonsense'"))
  assert(self:workerVersionIsOlderThan("shell", "99.1") and not self:workerVersionIsOlderThan("shell", "1.0"))
  self:setProgress("output", 3)
  self:updateSummary()
  return util.SUCCESS
end
function S:getCurrentSummary() return { step = "at work" } end
function S:getResultSummary() return { step = "did " .. tostring(self:getStatistic("tests")), build = "never shown" } end
local Sum = steps.BuildStep:extend("Sum")
function Sum:run()
  self:setStatistic("tests", 4)
  self:setProperty("sum", self.build:getSummaryStatistic("tests", function(a, b) return a + b end, 0))
  return SUCCESS
end
f:addStep(S{ name = "first" })
f:addStep(Sum())
"#,
    );
    let step = master.step(&build, "first");
    assert_eq!(step["state_string"], "did 3");
    assert_eq!(step["urls"], json!([{"name": "home", "url": "http://example.org/3"}, {"name": "other", "url": "http://example.org/2"}]));
    assert_eq!(property(&master, &build, "sum"), json!([7, "Sum"]));
    assert_eq!(property(&master, &build, "b"), json!(["text", "elsewhere"]));
    assert_eq!(log(&master, &build, "first", "whole"), "all of it\n");
    assert_eq!(log(&master, &build, "first", "open"), "left open\n");
    let logs = master.http.rows(&format!("steps/{}/logs", step["stepid"]), "logs");
    let kinds: Vec<_> = logs.iter().map(|l| (l["name"].as_str().unwrap(), l["type"].as_str().unwrap(), &l["complete"])).collect();
    assert_eq!(
        kinds,
        [("notes", "s", &json!(true)), ("whole", "t", &json!(true)), ("page", "h", &json!(true)), ("open", "t", &json!(true))]
    );
}

#[test]
fn any_command_of_the_worker_and_sequences() {
    let (master, build) = succeeds(
        r#"
local S = steps.BuildStep:extend("S", { mixins = { steps.ShellMixin, steps.CommandMixin } })
function S:run()
  local made = util.RemoteCommand{ "mkdir", { dir = "build/new" } }
  assert(self:runCommand(made) == SUCCESS and made.rc == 0 and made.updates.rc[1] == 0)
  local stat = util.RemoteCommand("stat", { file = "build/new" })
  assert(self:runCommand(stat) == SUCCESS and #stat.updates.stat[1] >= 7)
  local none = util.RemoteCommand("stat", { file = "build/none" })
  assert(self:runCommand(none) == FAILURE and none:didFail())
  assert(self:pathExists("build/new") and not self:pathExists("build/gone"))
  assert(self:runMkdir("build/a") and self:runGlob("build/*")[1]:find("a"))
  assert(self:runRmdir("build/new") and not self:pathExists("build/new"))
  assert(not self:runRmFile("build/none", { abandonOnFailure = false }))
  local ok, e = pcall(self.runCommand, self, util.RemoteCommand("nonsense", {}))
  assert(not ok and tostring(e):find("could not carry out 'nonsense': unknown command"), tostring(e))
  assert(self:runShellSequence{ util.ShellArg{ command = "echo 1", logname = "one" }, util.ShellArg{ command = Interpolate("echo %(prop:buildername)s"), logname = "two" } } == SUCCESS)
  assert(self:runShellSequence{ util.ShellArg{ command = "exit 1", haltOnFailure = true }, util.ShellArg{ command = "touch @DIR@/never" } } == FAILURE)
  return SUCCESS
end
f:addStep(S())
local A = steps.BuildStep:extend("A", { mixins = { steps.CommandMixin } })
function A:run()
  self:runRmFile("build/none")
  return SUCCESS
end
f:addStep(A{ flunkOnFailure = false })
"#,
    );
    assert!(log(&master, &build, "S", "two").contains("\nb\n"));
    assert!(!master.dir().join("never").exists());
    assert_eq!(master.step(&build, "A")["results"], FAILURE);
}

#[test]
fn steps_are_added_while_the_build_runs() {
    let (master, build) = succeeds(
        r#"
local Child = steps.BuildStep:extend("Child", { args = { n = "integer" } })
function Child:init(args) Child.super.init(self, { name = "child " .. args.n }) end
function Child:run()
  self:setProperty("order", (self:getProperty("order") or "") .. self.n)
  if self.n == 1 then self.build:addStepsAfterLastStep{ Child{ n = 9 } } end
  return SUCCESS
end
local Parent = steps.BuildStep:extend("Parent")
function Parent:run()
  self:addStepsAfterCurrentStep{ Child{ n = 1 }, Child{ n = 2 }, steps.ShellCommand{ name = "sh", command = "echo plain" } }
  local ok, e = pcall(self.addStepsAfterCurrentStep, self, { "x" })
  assert(not ok and tostring(e):find("needs steps"))
  ok, e = pcall(self.addStepsAfterCurrentStep, self, { Child{ n = 3 }, nil, Child{ n = 4 } })
  assert(not ok and tostring(e):find("item 2 of the list is nil, and there is more: [3]", 1, true), tostring(e))
  ok, e = pcall(self.addStepsAfterCurrentStep, self, { steps.ShellCommand{ comand = "x" } })
  assert(not ok and tostring(e):find("unknown argument 'comand'"), tostring(e))
  return SUCCESS
end
f:addStep(Parent())
f:addStep(steps.SetProperty{ "order", Interpolate("%(prop:order)s-"), name = "mark" })
"#,
    );
    let names: Vec<_> = master.steps(&build).iter().map(|s| s["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["Parent", "child 1", "child 2", "sh", "mark", "child 9"]);
    assert_eq!(property(&master, &build, "order")[0], "12-9");
}

#[test]
fn a_shell_command_is_evaluated_by_its_class() {
    let (master, build) = succeeds(
        r#"
local E = steps.ShellCommand:extend("E", { warnOnWarnings = false })
function E:evaluateCommand(cmd)
  assert(cmd.rc == 3 and cmd:didFail() and E.super.evaluateCommand(self, cmd) == FAILURE)
  if self:getLog("stdio"):getText():find("harmless") then return WARNINGS end
  return cmd:results()
end
f:addStep(E{ name = "evaluated", command = "echo harmless; exit 3" })
local R = steps.Compile:extend("R", { command = { "sh", "-c", "echo a.c:1: warning: x; echo done" } })
function R:run()
  local lines = 0
  self:addLogObserver("stdio", function() lines = lines + 1 end)
  local results = R.super.run(self)
  self:setProperty("lines", lines)
  return results == WARNINGS and SUCCESS or FAILURE
end
f:addStep(R{ name = "compiled" })
local P = steps.SetPropertyFromCommand:extend("P")
function P:getResultSummary() return "kept " .. self:getProperty("said") end
f:addStep(P{ name = "from", command = "echo hi", property = "said" })
local Fails = steps.ShellCommand:extend("Fails")
function Fails:getResultSummary() return { step = "step text", build = "build text" } end
f:addStep(Fails{ name = "fails", command = "false", flunkOnFailure = false })
"#,
    );
    let step = |name: &str| master.step(&build, name);
    assert_eq!(
        (&step("evaluated")["results"], &step("evaluated")["state_string"]),
        (&json!(WARNINGS), &json!("'echo harmless; ...' (warnings)"))
    );
    assert_eq!(step("compiled")["results"], SUCCESS);
    assert_eq!(property(&master, &build, "lines")[0], 2);
    assert_eq!(property(&master, &build, "warnings-count")[0], 1);
    assert_eq!(step("from")["state_string"], "kept hi");
    assert_eq!((&step("fails")["results"], &step("fails")["state_string"]), (&json!(FAILURE), &json!("step text")));
}

#[test]
fn whatever_goes_wrong_is_told_in_the_steps_log() {
    let master = start(
        r#"
local function step(name, body, more)
  local S = steps.BuildStep:extend(name, more)
  if body then S.run = body end
  f:addStep(S{ name = name, haltOnFailure = false, alwaysRun = true, timeout = 5 })
  return S
end
step("raises", function(self) local t; return t.x end)
step("nothing", function(self) end)
step("word", function(self) return "done" end)
step("number", function(self) return 77 end)
step("loops", function(self) while true do end end)
step("unknown option", function(self) self:makeRemoteShellCommand{ comand = "x" } end)
step("wrong option", function(self) self:makeRemoteShellCommand{ command = "x", timeout = "long" } end)
step("no command", function(self) return self:runCommand(self:makeRemoteShellCommand{}) end)
step("twice", function(self) local c = self:makeRemoteShellCommand{ command = "true" } self:runCommand(c) self:runCommand(c) end)
step("observer", function(self)
  self:addLogObserver("stdio", function(stream, line) error("seen " .. line) end)
  return self:runCommand(self:makeRemoteShellCommand{ command = "echo x; sleep 100" })
end)
step("bad summary", function(self) return SUCCESS end, { getResultSummary = function() return 5 end })
step("bad observer", function(self) self:addLogObserver("stdio", util.LogLineObserver) end)
step("base run", function(self) return steps.BuildStep.run(self) end)
step("renders", function(self) return SUCCESS end, { renderables = { "x" }, x = function() error("no value") end })
step("fine", function(self)
  local ok, e = pcall(self.runCommand, self, "x")
  assert(not ok and tostring(e):find("makeRemoteShellCommand or util.RemoteCommand"))
  return SUCCESS
end)
c.lua = { step_stretch = 1 }
"#,
    );
    let (build, _) = built(&master);
    assert_eq!(build["results"], EXCEPTION);
    let said = |name: &str| {
        assert_eq!(master.step(&build, name)["results"], EXCEPTION, "{name}");
        log(&master, &build, name, "err.text")
    };
    for (name, expected) in [
        ("raises", "master.lua:9: raises:run: attempt to index a nil value (local 't')"),
        ("nothing", "nothing:run: must return a result such as util.SUCCESS or util.FAILURE, got nothing"),
        ("word", "word:run: must return a result such as util.SUCCESS or util.FAILURE, got \"done\""),
        ("number", "got 77"),
        ("loops", "master.lua:13: loops:run: computed for 1.0 s without waiting for anything"),
        ("unknown option", "makeRemoteShellCommand: unknown key 'comand' (did you mean 'command'?)"),
        ("wrong option", "'timeout' must be"),
        ("no command", "needs a 'command'"),
        ("twice", "a command runs once"),
        ("observer", "seen x"),
        ("bad summary", "bad summary:getResultSummary: getResultSummary must return text or { step = … }, got 5"),
        ("bad observer", "got the class itself: call it"),
        ("base run", "BuildStep does nothing itself"),
        ("renders", "no value"),
    ] {
        let text = said(name);
        assert!(text.contains(expected), "{name}: {text}");
        assert!(text.contains("master.lua:"), "{name} does not say where: {text}");
    }
    assert!(said("raises").contains("\n    master.lua:9: in "), "no traceback: {}", said("raises"));
    assert_eq!(master.step(&build, "fine")["results"], SUCCESS, "{}", errors(&master, &build));
}

#[test]
fn a_stop_ends_a_command_and_a_wait() {
    let master = start(
        r#"
c.collapseRequests = false
local S = steps.BuildStep:extend("S")
function S:interrupt(reason) self:setProperty("interrupted", reason) end
function S:run()
  local ok, e = pcall(self.runCommand, self, self:makeRemoteShellCommand{ command = "echo begun; exec sleep 100" })
  self:setProperty("raised", tostring(e))
  ok, e = pcall(self.runCommand, self, self:makeRemoteShellCommand{ command = "touch @DIR@/never" })
  self:setProperty("again", tostring(e))
  error("whatever comes now")
end
local W = steps.BuildStep:extend("W")
function W:run()
  self:addCompleteLog("stdio", "begun\n")
  sleep(1000)
end
local D = steps.BuildStep:extend("D")
function D:run()
  self:addLogObserver("stdio", function(_, line) fs.write("@DIR@/observed", "") sleep(1000) end)
  return self:runCommand(self:makeRemoteShellCommand{ command = "echo begun; exec sleep 100" })
end
for name, class in dict.sorted_pairs{ s = S, w = W, d = D } do
  f:addStep(class{ name = name, doStepIf = function(step) return step:getProperty("reason") == name end })
end
f:addStep(steps.ShellCommand{ name = "cleanup", command = "echo clean", alwaysRun = true })
"#,
    );
    for step in ["s", "w", "d"] {
        let request = master.force("b", json!({ "reason": step }));
        let build = master.wait_build(request, 1);
        if step == "d" {
            wait_for("the observer is called", || master.dir().join("observed").exists().then_some(()));
        } else {
            master.wait_log_of(&build, step, "begun");
        }
        let asked = std::time::Instant::now();
        master.http.control(&format!("builds/{}", build["buildid"]), "stop", json!({"reason": "enough"})).expect("stop");
        assert_eq!(master.wait_request(request), CANCELLED);
        assert!(asked.elapsed().as_secs() < 30, "the stop took {:?}", asked.elapsed());
        let build = master.last_build_of(request);
        assert_eq!(master.step(&build, step)["results"], CANCELLED);
        assert_eq!(master.step(&build, "cleanup")["results"], SUCCESS);
        if step == "s" {
            assert_eq!(property(&master, &build, "interrupted")[0], "enough");
            let raised = property(&master, &build, "raised")[0].as_str().unwrap().to_owned();
            assert!(raised.contains("the build is stopped: enough"), "{raised}");
            let again = property(&master, &build, "again")[0].as_str().unwrap().to_owned();
            assert!(again.contains("the build is stopped: enough"), "{again}");
            assert!(!master.dir().join("never").exists());
        }
    }
}

#[test]
fn a_lost_worker_ends_the_step_and_the_build_runs_again() {
    let text = r#"
local S = steps.BuildStep:extend("S")
function S:run()
  local ok, e = pcall(self.runCommand, self, self:makeRemoteShellCommand{ command = "echo begun; while [ -d @DIR@ ] && [ ! -e @DIR@/go ]; do sleep 0.1; done" })
  self:setProperty("raised", tostring(e))
  return SUCCESS
end
f:addStep(S{ name = "wait" })
"#;
    let master = Master::start(&config(text).replacen("LocalWorker{ 'w' }", "Worker{ 'w', 'pass' }", 1));
    let mut worker = Worker::start("4.3.0", "w", "pass", master.pb);
    master.wait_attached("w");
    let request = master.force("b", json!({}));
    let first = master.wait_build(request, 1);
    master.wait_log_of(&first, "wait", "begun");
    worker.kill9();
    let lost = wait_for("the build is complete", || {
        let build = master.builds_of(request).into_iter().next()?;
        (build["complete"] == true).then_some(build)
    });
    assert_eq!(lost["results"], RETRY, "{lost:#}");
    assert_eq!(master.step(&lost, "wait")["results"], RETRY);
    assert!(property(&master, &lost, "raised")[0].as_str().unwrap().contains("the worker was lost"));
    std::fs::write(master.dir().join("go"), "").expect("the file");
    worker.launch();
    assert_eq!(master.wait_request(request), SUCCESS);
}

#[test]
fn observers_keep_up_with_a_hundred_thousand_lines() {
    let (master, build) = succeeds(
        r#"
local Count = util.LogLineObserver:extend("Count")
function Count:init(args) self.n, self.sum = 0, 0 end
function Count:outLineReceived(line)
  self.n = self.n + 1
  self.sum = self.sum + math.tointeger(line)
  self.step:updateSummary()
end
local S = steps.BuildStep:extend("S")
function S:init(args)
  S.super.init(self, { name = "count" })
  self.count = Count()
  self:addLogObserver("stdio", self.count)
end
function S:getCurrentSummary() return { step = self.count.n .. " lines" } end
function S:run()
  local raw = 0
  local Raw = util.LogObserver:extend("Raw")
  function Raw:outReceived(text) raw = raw + #text end
  return SUCCESS
end
function S:run()
  local cmd = self:makeRemoteShellCommand{ command = "i=0; while [ $i -lt 100000 ]; do echo $i; i=$((i+1)); done", logEnviron = false }
  self:runCommand(cmd)
  self:setProperty("n", self.count.n)
  self:setProperty("sum", self.count.sum)
  return cmd:results()
end
f:addStep(S())
"#,
    );
    assert_eq!(property(&master, &build, "n")[0], 100_000);
    assert_eq!(property(&master, &build, "sum")[0], 4_999_950_000_i64);
}

#[test]
fn fifty_builds_run_at_once_through_one_configuration() {
    let master = Master::start(
        r#"
c.collapseRequests = false
c.workers = {}
local names = {}
for i = 1, 50 do
  c.workers[i] = LocalWorker{ "w" .. i }
  names[i] = "w" .. i
end
local S = steps.BuildStep:extend("S")
function S:run()
  self:setProperty("mine", self.workername)
  local lines = {}
  self:addLogObserver("stdio", function(stream, line) lines[#lines + 1] = line end)
  local cmd = self:makeRemoteShellCommand{ command = { "sh", "-c", "touch @DIR@/began-$0; while [ -d @DIR@ ] && [ ! -e @DIR@/go ]; do sleep 0.2; done; echo $0", self.workername } }
  self:runCommand(cmd)
  assert(#lines == 1 and lines[1] == self.workername and self:getProperty("mine") == self.workername)
  return cmd:results()
end
local f = util.BuildFactory()
f:addStep(S())
c.builders = { util.BuilderConfig{ name = "b", workernames = names, factory = f } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "b" } } }
"#,
    );
    let requests: Vec<i64> = (0..50).map(|_| master.force("b", json!({}))).collect();
    wait_for("all fifty run", || (1..=50).all(|i| master.dir().join(format!("began-w{i}")).exists()).then_some(()));
    std::fs::write(master.dir().join("go"), "").expect("the file");
    for request in requests {
        assert_eq!(master.wait_request(request), SUCCESS, "{}", errors(&master, &master.last_build_of(request)));
    }
}

#[test]
fn rule_10_a_step_is_made_anew_for_every_build() {
    let master = start(
        r#"
local made = 0
local S = steps.BuildStep:extend("S", { args = { word = "string" }, list = {} })
function S:init(args)
  made = made + 1
  S.super.init(self, { name = "made " .. made, haltOnFailure = made == 3 })
  self.description = "run number " .. made
end
function S:run()
  self.field = (self.field or 0) + 1
  self:setProperty("seen", { self.field, made, self.word })
  return made == 3 and FAILURE or SUCCESS
end
f:addStep(S{ word = "w" })
f:addStep(steps.ShellCommand{ name = "after", command = "true" })
"#,
    );
    let (first, failures) = built(&master);
    assert_eq!(first["results"], SUCCESS, "{failures}");
    assert_eq!(property(&master, &first, "seen")[0], json!([1, 2, "w"]));
    assert_eq!(master.step(&first, "made 2")["state_string"], "run number 2");
    let (second, _) = built(&master);
    assert_eq!(property(&master, &second, "seen")[0], json!([1, 3, "w"]));
    assert_eq!(master.step(&second, "made 3")["results"], FAILURE);
    assert_eq!(master.steps(&second).len(), 1, "what init said for this build counts");
}
