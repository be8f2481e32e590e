//! Callbacks: what they get, what they may answer, and how they are stopped.

use std::time::Instant;

use serde_json::json;

use super::*;
use crate::base::RequestId;
use crate::config::LuaLimits;
use crate::model::{Properties, Results, SourceStamp};

fn builder(name: &str) -> BuilderInput {
    let building = ["w1", "gone"].map(|worker| BuildingInput { number: 3, workername: worker.into() });
    BuilderInput {
        name: name.into(),
        builderid: 7,
        tags: vec!["t".into()],
        building: building.into(),
        workers: vec!["w0".into(), "w1".into(), "w2".into()],
        ..Default::default()
    }
}

fn worker(name: &str) -> WorkerInput {
    WorkerInput {
        name: name.into(),
        properties: json!({"os": "linux"}).as_object().unwrap().clone(),
        max_builds: Some(2),
        state: "ready".into(),
        active_builds: 1,
        quarantine_timeout: 10.0,
        attached: true,
        ..Default::default()
    }
}

fn properties() -> Properties {
    let mut properties = Properties::default();
    properties.set("branch", "main", "test");
    properties.set("nothing", serde_json::Value::Null, "test");
    properties
}

fn request(id: i64) -> RequestInput {
    RequestInput {
        id: RequestId(id),
        bsid: 1,
        priority: 5,
        reason: "force".into(),
        submitted_at: 1.5,
        properties: properties(),
        sources: vec![SourceStamp { codebase: "cb".into(), branch: Some("main".into()), ..Default::default() }],
    }
}

#[tokio::test]
async fn next_worker_picks_one_that_was_offered() {
    let seen = see(r#"return {
        pick = function(builder, workers, request)
          assert(builder.name == "b" and builder:getBuilderId() == 7 and #builder.building == 2 and builder.workers[2].worker.name == "w1")
          assert(#builder.workers == 3 and #workers == 2 and builder.workers[2]:isBusy() and builder.workers[1].worker:active_builds() == 1)
          assert(builder:get_highest_priority() == nil and builder:getNewestCompleteTime() == nil and builder.tags[1] == "t")
          assert(request.priority == 5 and request.sources[1].branch == "main" and request.sources.cb and request.submittedAt == 1.5)
          assert(request.properties.branch == "main" and request:getProperty("none", 3) == 3)
          for _, wfb in ipairs(workers) do
            assert(wfb:isAvailable() == not wfb:isBusy() and wfb.attached and wfb.worker:active_builds() == 1 and wfb.worker.max_builds == 2)
            if wfb.worker.name == "w2" and wfb.worker.properties.os == "linux" then return wfb end
          end
        end,
        worker = function(b, workers) return workers[1].worker end,
        none = function() return None end,
        other = function() return "elsewhere" end,
        taken = function(builder) return builder.workers[1] end,
        wrong = function() return 5 end,
    }"#)
    .await;
    let ask = async |name: &str| {
        let (crew, offered) = (["w0", "w1", "w2"].map(worker), ["w1".to_owned(), "w2".into()]);
        seen.loaded.generation.next_worker(seen.function(name), &builder("b"), &crew, &offered, &request(1)).await.map(|d| d.answer)
    };
    assert_eq!(ask("pick").await.unwrap().as_deref(), Some("w2"));
    assert_eq!(ask("worker").await.unwrap().as_deref(), Some("w1"));
    assert_eq!(ask("none").await.unwrap(), None);
    assert!(ask("taken").await.unwrap_err().message.contains("'w0', which was not offered"));
    assert!(ask("other").await.unwrap_err().to_string().contains("nextWorker: returned the worker 'elsewhere', which was not offered"));
    assert!(ask("wrong").await.unwrap_err().message.contains("must return one of the workers or nil, got 5"));
}

#[tokio::test]
async fn the_other_decisions() {
    let seen = see(r#"return {
        build = function(builder, requests) return requests[2] end,
        build_other = function() return { id = 99 } end,
        yes = function(builder, wfb, request) return wfb.worker.name == "w1" and request.reason == "force" end,
        later = function() return false, 30 end,
        quarantine = function(b, wfb) wfb.worker.quarantine_timeout = 12.5 wfb.worker:putInQuarantine() return false end,
        reset = function(b, wfb) wfb.worker:resetQuarantine() return true end,
        longer = function(b, wfb) wfb.worker.quarantine_timeout = 99 return true end,
        absurd = function(b, wfb) wfb.worker.quarantine_timeout = "long" return true end,
        unsure = function() return "yes" end,
        order = function(master, builders) assert(master.config.title == "") return { builders[3], "a" } end,
        order_wrong = function(master) return { { name = "zz" } } end,
        db = function(master) return master.db.x end,
        collapse = function(master, builder, a, b) return a.properties.branch == b.properties.branch end,
        collapse_wrong = function() return "no" end,
        extract = function(rc, stdout, stderr) return { rc = rc, out = stdout, list = { 1, 2 } } end,
        extract_none = function() return {} end,
        extract_wrong = function() return { f = print } end,
    }"#)
    .await;
    let g = &seen.loaded.generation;
    let f = |name: &str| seen.function(name).clone();
    assert_eq!(g.next_build(&f("build"), &builder("b"), &[], &[request(1), request(2)]).await.unwrap().answer, Some(RequestId(2)));
    assert!(g.next_build(&f("build_other"), &builder("b"), &[], &[request(1)]).await.unwrap_err().message.contains("request 99"));
    let can = async |name: &str| g.can_start_build(&f(name), &builder("b"), &[worker("w1")], "w1", &request(1)).await;
    let orders = |order| vec![QuarantineOrder { worker: "w1".into(), order }];
    assert_eq!(can("yes").await.unwrap(), Decided { answer: CanStart::Yes, quarantine: vec![] });
    assert_eq!(can("later").await.unwrap().answer, CanStart::No { again_in: Some(Duration::from_secs(30)) });
    let rest = Duration::from_millis(12_500);
    let quarantined = Decided { answer: CanStart::No { again_in: Some(rest) }, quarantine: orders(Quarantine::Put(Some(rest))) };
    assert_eq!(can("quarantine").await.unwrap(), quarantined);
    assert_eq!(can("reset").await.unwrap().quarantine, orders(Quarantine::Reset));
    assert_eq!(can("longer").await.unwrap().quarantine, orders(Quarantine::Next(Duration::from_secs(99))));
    assert!(can("absurd").await.unwrap_err().message.contains("quarantine_timeout must be a number of seconds, got \"long\""));
    assert!(can("unsure").await.unwrap_err().to_string().ends_with("canStartBuild: must return true or false, got \"yes\""));
    let builders = [builder("a"), builder("b"), builder("c")];
    assert_eq!(g.prioritize_builders(&f("order"), &builders, &[]).await.unwrap().answer, ["c", "a", "b"]);
    assert!(g.prioritize_builders(&f("order_wrong"), &builders, &[]).await.unwrap_err().message.contains("'zz', which was not offered"));
    assert!(g.prioritize_builders(&f("db"), &builders, &[]).await.unwrap_err().message.contains("use master.data"));
    assert!(g.collapse_requests(&f("collapse"), &builder("b"), &[], &request(1), &request(2)).await.unwrap().answer);
    assert!(g.collapse_requests(&f("collapse_wrong"), &builder("b"), &[], &request(1), &request(2)).await.is_err());
    let found = g.extract(&f("extract"), 3, "out", "").await.unwrap();
    assert_eq!(serde_json::Value::Object(found), json!({"rc": 3, "out": "out", "list": [1, 2]}));
    assert!(g.extract(&f("extract_none"), 0, "", "").await.unwrap().is_empty());
    assert!(g.extract(&f("extract_wrong"), 0, "", "").await.unwrap_err().message.contains("no plain data: f: a function"));
}

#[tokio::test]
async fn renderers_and_conditions() {
    let seen = see(r#"return {
        value = function(props)
          assert(props.branch == "main" and props:getProperty("x", "d") == "d" and props.nothing == nil and props:hasProperty("nothing"))
          assert(not pcall(function() props.x = 1 end))
          return { Interpolate("a"), Property("branch"), function() return "inner" end, props.branch }
        end,
        fails = function(props)
          local t
          return t.x
        end,
        do_it = function(step) return step.name == "compile" and step:getProperty("branch") and step.build.number == 4 end,
        hide = function(results, step) return results == SUCCESS end,
        nothing = function() end,
    }"#)
    .await;
    let g = &seen.loaded.generation;
    let cx = RenderInput { properties: properties(), build: None };
    let Value::Table(value) = g.render(seen.function("value"), &cx).await.unwrap() else { panic!() };
    assert!(matches!(&value.items[0], Value::Object(o) if o.class == "Interpolate" && o.args.items == texts(&["a"])));
    let Value::Function(inner) = &value.items[2] else { panic!() };
    assert_eq!(g.render(inner, &cx).await.unwrap(), text("inner"));
    assert_eq!(value.items[3], text("main"));

    let failed = g.render(seen.function("fails"), &cx).await.unwrap_err();
    assert_eq!(failed.to_string(), "master.lua:9: renderer: attempt to index a nil value (local 't')");
    assert_eq!(failed.traceback.len(), 1, "{failed:?}");

    let build = BuildInput { number: 4, ..Default::default() };
    let step = StepInput { name: "compile".into(), properties: properties(), build: Some(build) };
    assert!(g.step_condition(seen.function("do_it"), None, &step).await.unwrap());
    assert!(g.step_condition(seen.function("hide"), Some(Results::Success), &step).await.unwrap());
    assert!(!g.step_condition(seen.function("hide"), Some(Results::Failure), &step).await.unwrap());
    assert!(!g.step_condition(seen.function("nothing"), None, &step).await.unwrap());
}

#[tokio::test]
async fn what_is_raised_or_returned_is_told_in_one_line_that_says_something() {
    let seen = see(r#"return {
        blank = function() error("\n  the cause\nand more", 0) end,
        placed = function() error("\n\nthe cause") end,
        lines = function() return "one\ntwo" end,
        empty = function() error("") end,
        told = function() error(setmetatable({}, { __tostring = function() return "the cause" end })) end,
    }"#)
    .await;
    let g = &seen.loaded.generation;
    let raised = async |name: &str| g.render(seen.function(name), &RenderInput::default()).await.unwrap_err().to_string();
    assert_eq!(raised("blank").await, "master.lua:2: renderer: the cause");
    assert_eq!(raised("placed").await, "master.lua:3: renderer: the cause");
    assert_eq!(raised("empty").await, "master.lua:5: renderer: raised an empty text");
    assert_eq!(raised("told").await, "master.lua:6: renderer: the cause");
    let wrong = g.choices(seen.function("lines")).await.unwrap_err();
    assert_eq!(wrong.message, r#"must return a list of texts, got "one\ntwo""#);
}

fn quick(seconds: f64) -> MasterConfig {
    let limits = LuaLimits { callback_timeout: Some(Duration::from_secs_f64(seconds)), ..Default::default() };
    MasterConfig { limits, ..Default::default() }
}

async fn limited(source: &str, config: MasterConfig) -> Seen {
    let folder = Folder::new(&[("master.lua", source)]);
    folder.see_with(folder.options(), config).await.unwrap()
}

const LOOPS: &str = r#"return {
    plain = function() while true do end end,
    caught = function() while true do pcall(function() while true do end end) end end,
    inside_sort = function() table.sort({ 3, 2, 1 }, function() while true do end end) end,
    caught_inside_sort = function() table.sort({ 3, 2, 1 }, function() while true do pcall(function() while true do end end) end end) end,
    inside_gsub = function() return ("x"):gsub("x", function() while true do end end) end,
    sleeps = function() sleep(1000) end,
    closes = function() local x <close> = setmetatable({}, { __close = function() while true do end end }) sleep(1000) end,
    memory = function() local t = {} while true do t[#t + 1] = ("x"):rep(100000) .. #t end end,
    fine = function(props) return "fine" end,
}"#;

#[tokio::test]
async fn a_loop_is_stopped_and_others_go_on() {
    // The loop has far more time than the calls beside it take on any machine.
    let seen = limited(LOOPS, quick(60.0)).await;
    let g = seen.loaded.generation.clone();
    let cx = RenderInput::default();
    let looping = {
        let (g, f) = (g.clone(), seen.function("plain").clone());
        tokio::spawn(async move { g.render(&f, &RenderInput::default()).await })
    };
    for _ in 0..50 {
        assert_eq!(g.render(seen.function("fine"), &cx).await.unwrap(), text("fine"));
    }
    assert!(!looping.is_finished(), "fifty calls took place beside the loop");
    looping.abort();

    let seen = limited(LOOPS, quick(0.5)).await;
    let stopped = seen.loaded.generation.render(seen.function("plain"), &cx).await.unwrap_err();
    assert_eq!(stopped.to_string(), "master.lua:2: renderer: did not return within its budget of 500 ms");
}

#[tokio::test]
async fn no_protected_call_and_no_sort_keeps_a_loop_alive() {
    let seen = limited(LOOPS, quick(1.5)).await;
    let g = &seen.loaded.generation;
    let cx = RenderInput::default();
    for name in ["caught", "inside_sort", "caught_inside_sort", "inside_gsub", "sleeps", "closes"] {
        let failed = g.render(seen.function(name), &cx).await.unwrap_err();
        let expected = if name.contains("inside") { "held the Lua thread for too long" } else { "its budget of 1.5 s" };
        assert!(failed.message.contains(expected), "{name}: {failed}");
        assert_eq!(g.render(seen.function("fine"), &cx).await.unwrap(), text("fine"), "after {name}");
    }
}

#[tokio::test]
async fn memory_is_limited_and_the_rest_survives() {
    let limits = LuaLimits { memory_bytes: 8 << 20, ..Default::default() };
    let seen = limited(LOOPS, MasterConfig { limits, ..Default::default() }).await;
    let g = &seen.loaded.generation;
    let failed = g.render(seen.function("memory"), &RenderInput::default()).await.unwrap_err();
    assert!(failed.message.contains("the memory limit is used up"), "{failed}");
    assert_eq!(g.render(seen.function("fine"), &RenderInput::default()).await.unwrap(), text("fine"));

    let limits = LuaLimits { memory_bytes: 1 << 20, ..Default::default() };
    let folder = Folder::new(&[("master.lua", LOOPS)]);
    let refused = folder.see_with(folder.options(), MasterConfig { limits, ..Default::default() }).await.map(|_| ()).unwrap_err();
    assert!(refused[0].text.contains("memory_limit is 1024 KiB"), "{refused:?}");
}

#[tokio::test]
async fn functions_made_by_callbacks_are_kept_for_a_while_only() {
    let seen = see(
        "local n = 0 return { f = function() local list = {} for i = 1, 3000 do list[i] = function() return i end end return list end }",
    )
    .await;
    let g = &seen.loaded.generation;
    let cx = RenderInput::default();
    let get = async || {
        let Value::Table(t) = g.render(seen.function("f"), &cx).await.unwrap() else { panic!() };
        let Value::Function(f) = t.items[0].clone() else { panic!() };
        f
    };
    let first = get().await;
    assert_eq!(g.render(&first, &cx).await.unwrap(), Value::Int(1));
    let second = get().await;
    let third = get().await;
    assert!(g.render(&first, &cx).await.unwrap_err().message.contains("not kept any more"));
    assert!(g.render(&second, &cx).await.is_err());
    assert_eq!(g.render(&third, &cx).await.unwrap(), Value::Int(1));
    g.render(seen.function("f"), &cx).await.unwrap();
}

fn thread_runs(number: u64) -> bool {
    let name = format!("lua-gen-{number}");
    std::fs::read_dir("/proc/self/task")
        .unwrap()
        .flatten()
        .any(|task| std::fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name))
}

#[tokio::test]
async fn an_abandoned_call_ends_and_the_thread_ends_with_its_last_handle() {
    let seen = limited(LOOPS, MasterConfig::default()).await;
    let (g, number) = (seen.loaded.generation.clone(), seen.loaded.generation.number());
    let f = seen.function("plain").clone();
    let fine = seen.function("fine").clone();
    drop(seen);
    let abandoned = tokio::time::timeout(Duration::from_millis(50), g.render(&f, &RenderInput::default())).await;
    assert!(abandoned.is_err());
    let began = Instant::now();
    g.render(&fine, &RenderInput::default()).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(2));
    assert!(thread_runs(number));
    drop(g);
    assert!(eventually(|| !thread_runs(number)).await, "the thread is still there");
}

/// What is told of a file that takes too long.
async fn late(source: &str) -> String {
    let folder = Folder::new(&[("master.lua", source)]);
    let options = LoadOptions { timeout: Duration::from_millis(400), ..folder.options() };
    let loaded = tokio::time::timeout(Duration::from_secs(20), folder.see_with(options, MasterConfig::default()));
    let told = loaded.await.expect("the evaluation never ends").map(|_| ()).unwrap_err();
    told.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn loading_has_a_deadline_and_may_be_abandoned() {
    for source in [
        "local x = 1\nwhile true do end",
        "local x = 1\nsleep(1000)",
        "local x = 1\nprocess.run('sleep 1000')",
        "local t = spawn(function()\nsleep(1000)\nend) t:wait()",
    ] {
        assert_eq!(late(source).await, "master.lua:2: the evaluation did not end within 400 ms", "{source}");
    }
    let folder = Folder::new(&[("master.lua", "while true do end")]);
    assert!(tokio::time::timeout(Duration::from_millis(100), folder.see()).await.is_err());
    let missing = load(LoadOptions::new("/nowhere/master.lua")).await.unwrap_err();
    assert!(missing[0].to_string().contains("/nowhere/master.lua"), "{missing:?}");
}

#[tokio::test]
async fn what_the_end_of_the_file_calls_is_within_the_deadline() {
    const HEAD: &str = "local R = LatentWorker:extend('R')\nfunction R:start_instance() end function R:stop_instance() end\n";
    for body in ["while true do end", "sleep(1000)"] {
        let told = late(&format!("{HEAD}function R:check_config() {body} end\nlocal r = R{{ 'r' }}")).await;
        assert_eq!(told, "master.lua:3: the evaluation did not end within 400 ms", "{body}");
    }
}

#[tokio::test]
async fn a_large_configuration_is_quick_and_small() {
    let source = r#"
        local c = BuildmasterConfig
        c.workers, c.builders = {}, {}
        for i = 1, 1000 do
          local w = Worker{ "w" .. i, "pw", max_builds = 2, properties = { os = "linux", n = i } }
          local f = util.BuildFactory()
          f:addStep(steps.ShellCommand{ command = { "make", "check" }, haltOnFailure = true, name = "check" })
          c.workers[i] = w
          c.builders[i] = util.BuilderConfig{ name = "b" .. i, workernames = { "w" .. i }, factory = f }
        end
    "#;
    let began = Instant::now();
    let limits = LuaLimits { memory_bytes: 10 << 20, ..Default::default() };
    let seen = limited(source, MasterConfig { limits, ..Default::default() }).await;
    let took = began.elapsed();
    assert_eq!(seen.objects.len(), 4000);
    println!("4000 objects: {took:?}");
    // Generous: the bound for an optimised build is 150 ms, this one may be neither optimised nor alone.
    assert!(took < Duration::from_secs(10), "{took:?}");
}
