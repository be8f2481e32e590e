//! `spawn`, `gather`, `timeout`: several things at once, all within one call.

use std::time::Instant;

use super::*;

#[tokio::test]
async fn tasks_run_beside_each_other() {
    let started = Instant::now();
    see(r#"
        local order = {}
        local function work(name, seconds) sleep(seconds) order[#order + 1] = name return name, seconds end
        local a, b = spawn(work, "a", 0.3), spawn(work, "b", 0.1)
        local name, seconds = a:wait()
        assert(name == "a" and seconds == 0.3 and b:wait() == "b" and a:wait() == "a" and table.concat(order) == "ba")
        local results = gather{ function() sleep("200ms") return 1 end, function() end, b, function() return 4 end }
        assert(results.n == 4 and results[1] == 1 and results[2] == nil and results[3] == "b" and results[4] == 4)
        assert(gather{}.n == 0)
        local x, y = timeout(5, function(a, b) sleep(0.01) return a, b end, 7, 8)
        assert(x == 7 and y == 8)
        local loop = spawn(function() while true do end end)
        sleep(0.05)
        loop:cancel()
    "#)
    .await;
    assert!(started.elapsed() < Duration::from_secs(3), "one after the other");
}

#[tokio::test]
async fn errors_of_tasks_name_their_line() {
    for (call, expected) in [
        ("local t = spawn(function()\n  error('boom')\nend)\nt:wait()", "master.lua:2: boom"),
        ("local t = spawn(function()\n  fs.read('none')\nend)\nt:wait()", "master.lua:2: fs.read(\"none\")"),
        ("local t = spawn(function() sleep(9) end)\nt:cancel()\nt:wait()", "master.lua:3: the task was cancelled"),
        ("gather{ function() sleep(9) end,\n  function() error('second') end }", "master.lua:2: second"),
        ("local x = 1\ntimeout(0.05, function() sleep(9) end)", "master.lua:2: timeout: the function did not return within 50 ms"),
        ("local x = 1\ntimeout(0.05, function() while true do end end)", "master.lua:2: timeout: "),
        ("timeout('x', print)", "master.lua:1: timeout: needs a number of seconds"),
        ("spawn('x')", "master.lua:1: spawn: needs a function, got \"x\""),
        ("gather(print)", "master.lua:1: gather: needs one list"),
        ("gather{ print, 5 }", "master.lua:1: gather: item 2 must be a function or a task, got 5"),
        ("local t\nt = spawn(function() sleep(0) t:wait() end)\nt:wait()", "master.lua:2: a task can't wait for itself"),
        ("local t = spawn(print)\nt.x = 1", "a task takes no fields, got 'x'"),
        ("local A = class('A') function A:init() spawn(print) end local a = A{}", "init may not wait"),
        ("string.gsub('x', 'x', function() spawn(print):wait() end)", "can't be used here (inside table.sort or string.gsub)"),
    ] {
        let told = mistakes(call).await.join("\n");
        assert!(told.contains(expected), "{call}: {told}");
    }
    see(r#"
        local ok, e = pcall(function() spawn(function() error{ code = 5 } end):wait() end)
        assert(not ok and e.code == 5)
        ok, e = pcall(timeout, 0.01, sleep, 5)
        assert(not ok and e:find("timeout: "), e)
        ok, e = pcall(gather, { function() error("first") end, function() sleep(100) end })
        assert(not ok and e:find("master.lua:6: first"), e)
    "#)
    .await;
}

#[tokio::test]
async fn tasks_end_with_the_call_that_made_them() {
    let folder = Folder::new(&[(
        "master.lua",
        r#"
        local function mark(name) fs.write(name, "") end
        spawn(function() sleep(0.2) mark("of the file") end)
        return {
          returned = function() spawn(function() spawn(function() sleep(0.2) mark("inner") end) sleep(0.2) mark("returned") end) end,
          abandoned = function() spawn(function() sleep(0.3) mark("abandoned") end) sleep(9) end,
          timed = function() return pcall(timeout, 0.1, function() gather{ function() sleep(0.3) mark("timed") end } end) end,
          failed = function() pcall(gather, { function() error("x") end, function() sleep(0.2) mark("failed") end }) sleep(0.4) end,
        }
    "#,
    )]);
    let seen = folder.see().await.unwrap();
    let g = &seen.loaded.generation;
    let input = RenderInput::default();
    g.render(seen.function("returned"), &input).await.unwrap();
    let abandoned = g.render(seen.function("abandoned"), &input);
    assert!(tokio::time::timeout(Duration::from_millis(100), abandoned).await.is_err());
    g.render(seen.function("timed"), &input).await.unwrap();
    g.render(seen.function("failed"), &input).await.unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    let left: Vec<_> = std::fs::read_dir(folder.0.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["master.lua"]);
}

#[tokio::test]
async fn ten_thousand_tasks_and_no_more() {
    let started = Instant::now();
    see(r#"
        local all = {}
        for i = 1, 10000 do all[i] = spawn(function() sleep(1000) end) end
        local ok, e = pcall(spawn, print)
        assert(not ok and tostring(e):find("10000 tasks run already"), tostring(e))
        for i = 1, 10000 do all[i]:cancel() end
        sleep(0.1)
        local sum = 0
        for round = 1, 3 do
          local some = {}
          for i = 1, 5000 do some[i] = function() sum = sum + 1 return i end end
          assert(gather(some)[5000] == 5000)
        end
        assert(sum == 15000)
    "#)
    .await;
    assert!(started.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn rule_6_only_the_init_itself_may_not_wait() {
    see(r#"
        local Slow, rounds = class("Slow"), 0
        function Slow:init() for i = 1, 3e6 do rounds = rounds + 1 end end
        local waits = spawn(function() while rounds < 3e6 do sleep(0) end end)
        sleep(0)
        local slow = Slow{}
        waits:wait()
        local Broken = class("Broken")
        function Broken:init() error("broken") end
        pcall(Broken)
        sleep(0)
    "#)
    .await;
    let told = mistakes("local A = class('A') function A:init() sleep(0) end\nlocal B = class('B') function B:init() A{} end\nB{}").await;
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("master.lua:1: init may not wait"), "{told:?}");
}

#[tokio::test]
async fn rule_19_tasks_that_require_one_module_share_it() {
    let folder = Folder::new(&[
        ("a.lua", "sleep(0.1) return { b = require('b') }"),
        ("b.lua", "sleep(0.1) return {}"),
        ("x.lua", "sleep(0.01) return require('y')"),
        ("y.lua", "return require('x')"),
        (
            "master.lua",
            r#"
            local function a() return require("a") end
            local all = gather{ a, a, function() return require("b") end }
            assert(all[1] == all[2] and all[1].b == all[3] and require("b") == all[3])
            local ok, e = pcall(require, "x")
            assert(not ok and tostring(e):find("modules require each other: x %-> y %-> x"), tostring(e))
        "#,
        ),
    ]);
    folder.see().await.unwrap();
}
