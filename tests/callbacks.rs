//! What the configuration's callbacks do to the queue of a real master: which worker, which request, not now, not there, and
//! what happens when one of them answers nonsense or never. Also how builds end and what is told of it.

mod support;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use support::*;

const HELPERS: &str = r#"
local function builder(name, more)
  local f = util.BuildFactory()
  f:addStep(steps.ShellCommand{ name = "say", command = "echo said" })
  more.name, more.factory = name, f
  more.workernames = more.workernames or { "a", "b" }
  return util.BuilderConfig(more)
end
c.collapseRequests = false
c.workers = { LocalWorker{ "a" }, LocalWorker{ "b" } }
"#;

fn start(text: &str, builders: &str) -> Master {
    Master::start(&format!(
        "{HELPERS}\n{text}\nc.schedulers = {{ schedulers.ForceScheduler{{ name = 'force', builderNames = {builders} }} }}"
    ))
}

fn reason(master: &Master, request: i64, part: &str) -> String {
    wait_for(&format!("a reason with '{part}'"), || {
        let row = master.request(request);
        let text = row["waiting_for"]["text"].as_str()?;
        text.contains(part).then(|| text.to_owned())
    })
}

#[test]
fn next_worker_chooses_and_nonsense_is_told() {
    let master = start(
        r#"c.builders = {
            builder("second", { nextWorker = function(b, workers, r) for _, w in ipairs(workers) do if w.name == "b" then return w end end end }),
            builder("never", { nextWorker = function() return nil end }),
            builder("wrong", { nextWorker = function() return "nobody" end }),
            builder("stuck", { canStartBuild = function() while true do end end }),
        }"#,
        "{ 'second', 'never', 'wrong', 'stuck' }",
    );
    let stuck = master.force("stuck", json!({}));
    let never = master.force("never", json!({}));
    let wrong = master.force("wrong", json!({}));
    for _ in 0..3 {
        let build = master.build("second", json!({}));
        assert_eq!(build["results"], SUCCESS);
        assert_eq!(master.properties(&build)["workername"][0], "b", "{build:#}");
    }
    reason(&master, never, "nextWorker of never chose no worker");
    reason(&master, wrong, "nextWorker");
    assert_eq!(master.request(stuck)["complete"], false);
    let waits = reason(&master, stuck, "");
    assert!(waits.contains("canStartBuild") || waits.contains("callbacks"), "{waits}");
}

#[test]
fn next_build_chooses_and_can_start_build_delays() {
    let mut master = start(
        r#"c.builders = {
            builder("last", { workernames = { "a" }, nextBuild = function(b, requests) return requests[#requests] end }),
            builder("later", { canStartBuild = function(b, w, r)
                if fs.exists("@DIR@/go") then return true end
                return false, 0.2
            end }),
        }"#,
        "{ 'last', 'later' }",
    );
    let later = master.force("later", json!({}));
    reason(&master, later, "canStartBuild of later said no");
    let worker = master.worker("a")["workerid"].clone();
    master.http.control(&format!("workers/{worker}"), "pause", json!({ "reason": "test" })).expect("paused");
    let requests: Vec<i64> = (0..3).map(|_| master.force("last", json!({}))).collect();
    reason(&master, requests[0], "paused: test");
    // A pause is kept over a restart.
    master.restart();
    reason(&master, requests[0], "paused: test");
    master.http.control(&format!("workers/{worker}"), "unpause", json!({})).expect("unpaused");
    for request in &requests {
        assert_eq!(master.wait_request(*request), SUCCESS);
    }
    let numbers: Vec<i64> = requests.iter().map(|r| master.last_build_of(*r)["number"].as_i64().expect("a number")).collect();
    assert_eq!(numbers, [3, 2, 1], "the last request goes first");
    std::fs::write(master.dir().join("go"), "").expect("the file");
    assert_eq!(master.wait_request(later), SUCCESS);
}

#[test]
fn equal_requests_collapse_unless_told_otherwise() {
    let master = start(
        r#"c.collapseRequests = nil
        c.builders = { builder("on", { workernames = { "a" } }), builder("off", { workernames = { "a" }, collapseRequests = false }) }"#,
        "{ 'on', 'off' }",
    );
    let worker = master.worker("a")["workerid"].clone();
    master.http.control(&format!("workers/{worker}"), "pause", json!({})).expect("paused");
    let on: Vec<i64> = (0..3).map(|_| master.force("on", json!({}))).collect();
    let off: Vec<i64> = (0..2).map(|_| master.force("off", json!({}))).collect();
    assert_eq!((master.wait_request(on[0]), master.wait_request(on[1])), (SKIPPED, SKIPPED));
    let status = master.command("status", &[], &["--json"]);
    let status: serde_json::Value = serde_json::from_str(&status.out).expect("JSON");
    assert_eq!(status["waiting_total"], 3, "{status:#}");
    // Cancelled while it waits; cancelled once more, nothing happens.
    for _ in 0..2 {
        master.http.control(&format!("buildrequests/{}", off[0]), "cancel", json!({ "reason": "no" })).expect("cancelled");
        assert_eq!(master.wait_request(off[0]), CANCELLED);
    }
    master.http.control(&format!("workers/{worker}"), "unpause", json!({})).expect("unpaused");
    assert_eq!((master.wait_request(on[2]), master.wait_request(off[1])), (SUCCESS, SUCCESS));
    let nothing = master.http.control("forceschedulers/force", "force", json!({ "builderNames": [] }));
    assert!(nothing.is_err(), "a force of no builder: {nothing:?}");
}

/// It is recorded, so it can be cancelled, however long the configuration thinks about what it collapses with.
#[test]
fn a_request_can_be_cancelled_while_it_is_compared() {
    let master = start(
        r#"c.builders = { builder("b", { workernames = { "a" }, collapseRequests = function()
            while not fs.exists("@DIR@/go") do sleep(0.05) end
            return false
        end }) }"#,
        "{ 'b' }",
    );
    let worker = master.worker("a")["workerid"].clone();
    master.http.control(&format!("workers/{worker}"), "pause", json!({})).expect("paused");
    let older = master.force("b", json!({}));
    std::thread::scope(|scope| {
        let newer = scope.spawn(|| master.force("b", json!({})));
        let id = wait_for("the newer request", || {
            let rows = master.http.rows("buildrequests?field=buildrequestid", "buildrequests");
            rows.iter().filter_map(|r| r["buildrequestid"].as_i64()).find(|id| *id > older)
        });
        assert!(!newer.is_finished(), "it was not compared with the older one");
        master.http.control(&format!("buildrequests/{id}"), "cancel", json!({ "reason": "no" })).expect("cancelled");
        std::fs::write(master.dir().join("go"), "").expect("the file");
        assert_eq!(newer.join().expect("the force"), id);
        assert_eq!(master.wait_request(id), CANCELLED);
    });
    assert_eq!(master.request(older)["complete"], false);
}

#[test]
fn prioritize_builders_orders_and_cannot_stop_the_master() {
    let master = start(
        r#"c.builders = { builder("x", { workernames = { "a" } }), builder("y", { workernames = { "a" } }), builder("z", { workernames = { "a" } }) }
        c.workers = { LocalWorker{ "a", max_builds = 1 }, LocalWorker{ "b" } }
        c.prioritizeBuilders = function(master, builders)
            if fs.exists("@DIR@/loop") then while true do end end
            -- What comes and what becomes free in the meantime has its say.
            sleep(0.3)
            table.sort(builders, function(p, q) return p.name > q.name end)
            return builders
        end"#,
        "{ 'x', 'y', 'z' }",
    );
    let worker = master.worker("a")["workerid"].clone();
    let pause = |method: &str| master.http.control(&format!("workers/{worker}"), method, json!({})).map(drop).expect("done");
    pause("pause");
    let requests: Vec<i64> = ["x", "y", "z"].iter().map(|b| master.force(b, json!({}))).collect();
    pause("unpause");
    let started: Vec<i64> = requests
        .iter()
        .map(|r| {
            assert_eq!(master.wait_request(*r), SUCCESS);
            master.last_build_of(*r)["buildid"].as_i64().expect("a build")
        })
        .collect();
    assert!(started[2] < started[1] && started[1] < started[0], "{started:?}");
    std::fs::write(master.dir().join("loop"), "").expect("the file");
    assert_eq!(master.build("x", json!({}))["results"], SUCCESS);
    master.wait_log("builders go in the plain order");
}

/// A stop ends the running step; `alwaysRun` steps do their work nevertheless.
#[test]
fn always_run_steps_run_after_a_stop() {
    let master = start(
        r#"local f = util.BuildFactory()
        f:addStep(steps.ShellCommand{ name = "long", command = "echo begun; sleep 600" })
        f:addStep(steps.ShellCommand{ name = "never", command = "true" })
        f:addStep(steps.ShellCommand{ name = "clean", command = "sleep 0.3; echo cleaned", alwaysRun = true })
        f:addStep(steps.WarningCountingShellCommand{ name = "count", command = "echo 'warning: odd'; echo '.* : odd' > known", alwaysRun = true })
        f:addStep(steps.WarningCountingShellCommand{ name = "again", command = "echo 'warning: odd'", suppressionFile = "known", alwaysRun = true })
        c.builders = { util.BuilderConfig{ name = "b", workernames = { "a" }, factory = f } }"#,
        "{ 'b' }",
    );
    let request = master.force("b", json!({}));
    let build = master.wait_build(request, 1);
    master.wait_log_of(&build, "long", "begun");
    master.http.control(&format!("builds/{}", build["buildid"]), "stop", json!({ "reason": "enough" })).expect("stopped");
    assert_eq!(master.wait_request(request), CANCELLED);
    assert_eq!(master.step(&build, "clean")["results"], SUCCESS, "{:#?}", master.steps(&build));
    assert!(master.log_contents(&build, "clean", "stdio").contains("cleaned"));
    let again = master.step(&build, "again");
    assert_eq!(again["results"], SUCCESS, "what it asks the worker first is part of it: {again:#}");
    assert!(!master.steps(&build).iter().any(|s| s["name"] == "never"));
}

/// Each request that `nextBuild` chooses in vain costs another look at all of them, so it is left alone after some.
#[test]
fn next_build_is_not_asked_without_end() {
    let master = start(
        r#"local asked = 0
        c.builders = { builder("b", {
            nextBuild = function(b, requests)
                asked = asked + 1
                assert(asked <= 1000, "asked too often")
                return requests[1]
            end,
            canStartBuild = function() return false end,
        }) }"#,
        "{ 'b' }",
    );
    let requests: Vec<i64> = (0..25).map(|_| master.force("b", json!({}))).collect();
    reason(&master, requests[0], "canStartBuild of b said no");
    reason(&master, requests[24], "the 20 requests that nextBuild of b chose first can't start now");
    assert!(!master.log().contains("asked too often"));
}

/// Builders whose workers a function chooses are put in order, too; what it is told of them is true.
#[test]
fn prioritized_builders_are_asked_in_turn_and_are_told_as_they_are() {
    let mut master = start(
        r#"c.builders = { builder("x", { workernames = { "a" }, tags = { "late" } }), builder("y", { workernames = { "a" } }), builder("z", { workernames = { "a" } }) }
        c.workers = { LocalWorker{ "a", max_builds = 1, properties = { os = "linux" } }, LocalWorker{ "b" } }
        c.select_next_worker = function(b, workers, request) sleep(0.02) return workers[1] end
        c.prioritizeBuilders = function(master, builders)
            assert(master.config.buildbotURL:find("^http"))
            for _, b in ipairs(builders) do
                local w = b.workers[1]
                assert(#b.workers == 1 and w.worker.properties.os == "linux" and w.attached and w.worker:active_builds() <= 1)
                assert(w.worker.state == "ready" or w.worker.state == "paused", w.worker.state)
                assert(b:get_highest_priority() == 0 and b:getOldestRequestTime() > 1e9 and #b.building <= 1)
                assert(not fs.exists("@DIR@/again") or b:getNewestCompleteTime() > 1e9)
            end
            table.sort(builders, function(p, q) return p.name > q.name end)
            return builders
        end"#,
        "{ 'x', 'y', 'z' }",
    );
    for again in [false, true] {
        let worker = master.worker("a")["workerid"].clone();
        master.http.control(&format!("workers/{worker}"), "pause", json!({})).expect("paused");
        let requests: Vec<i64> = ["x", "y", "z"].iter().map(|b| master.force(b, json!({}))).collect();
        master.http.control(&format!("workers/{worker}"), "unpause", json!({})).expect("unpaused");
        let started: Vec<i64> = requests
            .iter()
            .map(|r| {
                assert_eq!(master.wait_request(*r), SUCCESS);
                master.last_build_of(*r)["buildid"].as_i64().expect("a buildid")
            })
            .collect();
        assert!(started[2] < started[1] && started[1] < started[0], "{started:?}");
        assert!(!master.log().contains("prioritizeBuilders"), "it failed");
        if !again {
            // What is remembered of builds that ended survives a restart.
            std::fs::write(master.dir().join("again"), "").expect("the file");
            master.restart();
        }
    }
}

#[test]
fn can_start_build_puts_workers_in_quarantine() {
    let master = start(
        r#"c.builders = {
            builder("careful", { canStartBuild = function(b, wfb, request)
                if wfb.worker.name == "a" then
                    wfb.worker.quarantine_timeout = 600
                    wfb.worker:putInQuarantine()
                    return false
                end
                wfb.worker:resetQuarantine()
                return true
            end, nextWorker = function(b, workers) for _, w in ipairs(workers) do if w.name == "a" then return w end end return workers[1] end }),
            builder("only", { workernames = { "a" } }),
        }"#,
        "{ 'careful', 'only' }",
    );
    let build = master.build("careful", json!({}));
    assert_eq!((build["results"].as_i64(), &master.properties(&build)["workername"][0]), (Some(SUCCESS), &json!("b")));
    let until = master.worker("a")["quarantined_until"].as_f64().expect("a time");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_secs_f64();
    assert!((500.0..700.0).contains(&(until - now)), "{until} {now}");
    let waits = master.force("only", json!({}));
    reason(&master, waits, "a");
    assert_eq!(master.request(waits)["complete"], false);
    let worker = master.worker("a")["workerid"].clone();
    master.http.control(&format!("workers/{worker}"), "unpause", json!({})).expect("unpaused");
    assert_eq!(master.wait_request(waits), SUCCESS);
}

#[test]
fn renderers_nest_take_values_and_ask_the_master() {
    let text = r#"c.title = "Title"
        local f = util.BuildFactory()
        f:addStep(steps.ShellCommand{ name = "data", command = function(props)
            local builds = props.master.data:get({ "builders", props.buildername, "builds" }, { limit = 5 })
            local one = props:getBuild().master.data:get("workers/" .. props.workername .. "?field=name")
            return { "echo", props.master.config.title, tostring(#builds.builds), one.workers[1].name, tostring(builds.meta.total) }
        end })
        f:addStep(steps.ShellCommand{ name = "nested", command = { "echo", { Property("buildername"), function(props)
            return { "in", { Interpolate("%(prop:workername)s"), function() return { "deep", 5 } end } }
        end }, util.FlattenList{ "f", { function() return { "g" } end } } } })
        f:addStep(steps.ShellCommand{ name = "values", command = util.renderer(function(props, a, b, more)
            return { "echo", a, b or "nothing", more.x, props.build.builder.name }
        end):withArgs(Property("buildername"), Property("none"), { x = Interpolate("<%(kw:y)s>", { y = util.Transform(string.upper, "y") }) }) })
        f:addStep(steps.ShellSequence{ name = "sequence", commands = util.renderer(function(props, word)
            return { util.ShellArg{ command = { "echo", word }, logname = "first" }, "echo second" }
        end):withArgs(Property("buildername")) })
        f:addStep(steps.ShellCommand{ name = "never", command = "false", doStepIf = function(step)
            return #step.build.master.data:get("builds?results=99").builds > 0
        end })
        f:addStep(steps.ShellCommand{ name = "nil", command = "false", doStepIf = function(step) end })
        c.builders = { util.BuilderConfig{ name = "ask", workernames = { "a" }, factory = f } }"#;
    let master = start(text, "{ 'ask' }");
    let build = master.build("ask", json!({}));
    assert_eq!(build["results"], SUCCESS, "{:#?}", master.steps(&build));
    for (step, log, line) in [
        ("data", "stdio", "Title 1 a 1"),
        ("nested", "stdio", "ask in a deep 5 f g"),
        ("values", "stdio", "ask nothing <Y> ask"),
        ("sequence", "first", "ask"),
        ("sequence", "stdio_1", "second"),
    ] {
        let text = master.log_contents(&build, step, log);
        assert!(text.lines().any(|l| l == format!("o{line}")), "{step}: {text}");
    }
    assert_eq!((&master.step(&build, "never")["results"], &master.step(&build, "nil")["results"]), (&json!(SKIPPED), &json!(SKIPPED)));
    // Without a master there is nobody to ask, and it says so.
    let ran = master.command("run", &["ask"], &[]);
    assert!(ran.code != Some(0) && format!("{}{}", ran.out, ran.err).contains("'buildmoon run' has no data of a master"), "{ran:?}");
}

/// A local worker whose line was cut is there again.
#[test]
fn a_killed_local_worker_does_not_stay_attached_with_a_dead_line() {
    let mut master = start(r#"c.builders = { builder("b", { workernames = { "a" } }) }"#, "{ 'b' }");
    let worker = master.worker("a")["workerid"].clone();
    master.http.control(&format!("workers/{worker}"), "stop", json!({})).expect("stopped");
    wait_for("the worker is gone", || (!master.attached("a")).then_some(()));
    let request = master.force("b", json!({}));
    reason(&master, request, "not attached");
    master.restart();
    assert_eq!(master.wait_request(request), SUCCESS);
}

/// A terminal that is slower than the build slows the build down; it misses nothing.
#[test]
fn run_shows_all_output() {
    let master = Master::create(
        r#"c.workers = { LocalWorker{ "a" } }
        local f = util.BuildFactory()
        f:addStep(steps.ShellCommand{ name = "much", command = "yes 0123456789012345678901234567890123456789 | head -c 20500000" })
        c.builders = { util.BuilderConfig{ name = "b", workernames = { "a" }, factory = f } }"#,
    );
    let mut child = Command::new(support::master::BUILDMOON)
        .args(["run", "b"])
        .arg(master.dir())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("buildmoon run");
    let begun = Instant::now();
    std::thread::sleep(Duration::from_millis(1500));
    let (mut lines, mut out) = (0, child.stdout.take().expect("its output"));
    let mut text = Vec::new();
    std::io::Read::read_to_end(&mut out, &mut text).expect("its output");
    for line in text.split(|b| *b == b'\n') {
        lines += usize::from(line == b"0123456789012345678901234567890123456789");
    }
    assert!(child.wait().expect("its end").success(), "after {:?}", begun.elapsed());
    assert_eq!(lines, 500_000);
}
