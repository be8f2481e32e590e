//! What the language is beside its numbered rules: names, errors, the library that ships, whole configurations.

use super::*;

#[tokio::test]
async fn names_are_strict_and_all_of_the_unknown_are_told_together() {
    let all = mistakes(
        "local f = util.BuildFatory()\nf:addStep(steps.ShelCommand{'x'})\nWroker{'a'}\nx = 3\nlocal y = x\nfor _, v in ipairs(util.Foo) do end",
    )
    .await;
    assert_eq!(all.len(), 5, "{all:?}");
    for (i, part) in ["util.BuildFactory", "steps.ShellCommand", "'Worker'", "write 'local x'", "util.Foo"].into_iter().enumerate() {
        assert!(all[i].contains(part), "{all:?}");
    }
}

#[tokio::test]
async fn a_loop_on_an_undefined_name_ends() {
    assert!(!mistakes("while Foo do end").await.is_empty());
    assert!(!mistakes("local x = util.Foo while x.y do end").await.is_empty());
}

#[tokio::test]
async fn a_lua_error_comes_with_the_mistakes_before_it_and_its_frames() {
    let all = mistakes("local w = Worker{'a', 'pw'}\nw.bad = 1\nlocal function f(t) return t.x.y end\nlocal z = f({})").await;
    assert_eq!(all.len(), 2);
    assert_eq!(all[0], "master.lua:2: Worker \"a\": unknown argument 'bad'");
    assert_eq!(all[1], "master.lua:3: attempt to index a nil value (field 'x')\n    master.lua:3: in 'f'\n    master.lua:4: in the file");
    assert_eq!(mistakes("error{ message = 'mine' }").await, ["master.lua:1: mine"]);
    assert_eq!(mistakes("error('at level 2', 2)").await.len(), 1);
    assert_eq!(mistakes("return 5").await, ["master.lua: the file may return a table or nothing, got a number"]);
    let deep = mistakes("local function f() return 1 + f() end f()").await;
    assert!(deep[0].contains("stack overflow"), "{deep:?}");
    let memory = mistakes("local t = {} while true do t[#t + 1] = ('x'):rep(1e6) .. #t end").await;
    assert!(memory[0].contains("memory limit"), "{memory:?}");
}

#[tokio::test]
async fn values_that_hold_themselves_or_are_too_large_are_mistakes() {
    let own = mistakes("local t = {} t.t = t return t").await;
    assert!(own[0].contains("a table holds itself"), "{own:?}");
    let large = mistakes("local t = { 1 } for _ = 1, 60 do t = { t, t } end return { t = t }").await;
    assert!(large[0].contains("more than"), "{large:?}");
    let factory = see("local l = {} local f = util.BuildFactory{ l } l[1] = f return { f = f }").await;
    let Value::Object(f) = factory.get("f") else { panic!() };
    assert!(matches!(&f.args.items[0], Value::Table(t) if matches!(t.items[0], Value::Other(_))));
}

#[tokio::test]
async fn older_spellings_warn_once() {
    let seen = see("\nBuildSlave{'a', 'pw'}\nBuildSlave{'b', 'pw'}").await;
    assert_eq!(seen.objects.len(), 2);
    assert_eq!(seen.objects[0].class, "Worker");
    assert_eq!(seen.warnings(), ["master.lua:2: 'BuildSlave' is now 'Worker'"]);
}

#[tokio::test]
async fn the_file_may_fill_replace_or_return_the_configuration() {
    for source in
        ["local c = BuildmasterConfig c.title = 'x'", "BuildmasterConfig = {} BuildmasterConfig.title = 'x'", "return { title = 'x' }"]
    {
        assert_eq!(see(source).await.get("title"), &text("x"), "{source}");
    }
    assert_eq!(see("return { r = { SUCCESS, FAILURE, util.CANCELLED } }").await.get("r").to_json().unwrap(), serde_json::json!([0, 2, 6]));
}

#[tokio::test]
async fn the_shipped_library() {
    see(r#"
        assert(text.startswith("abc", "ab") and text.endswith("abc", "bc") and text.strip("  x ") == "x")
        assert(#text.split("a,b,,c", ",") == 4 and #text.split(" a  b ") == 2 and #text.lines("a\r\nb\n") == 2)
        assert(text.format("{a}-{1}-{{x}}", { "one", a = 2 }) == "2-one-{x}")
        assert(text.repr{ 1, "x", b = true } == '{ 1, "x", b = true }')
        assert(#list.concat({ 1 }, nil, { 2, 3 }) == 3 and list.contains({ 1, 2 }, 2) and #list.unique{ 1, 1, 2 } == 2)
        assert(list.sorted{ 3, 1, 2 }[1] == 1 and list.any({ 1 }, function(x) return x == 1 end) and not list.all{ 1, false })
        local o = {}
        for k in dict.sorted_pairs{ b = 1, a = 2 } do o[#o + 1] = k end
        assert(table.concat(o) == "ab" and dict.merge({ a = 1 }, { a = 2 }).a == 2 and dict.keys{ z = 1, y = 2 }[1] == "y")
        local w = Worker{"a", "pw"}
        local d = { w = w, t = { 1 } }
        local c = dict.deepcopy(d)
        assert(c.w == w and c.t ~= d.t and c.t[1] == 1)
        assert(path.join("a", "b/", "c") == "a/b/c" and path.basename("a/b") == "b" and path.dirname("/a") == "/")
        assert(fs.exists("master.lua") and fs.list()[1] == "master.lua" and #fs.read("master.lua") > 10)
        assert(not truthy("") and truthy("x") and not truthy{} and not truthy(None))
        assert(not pcall(json.decode, "{") and not pcall(fs.read, "/dev/zero") and not buildmoon.checking)
    "#)
    .await;
}

#[tokio::test]
async fn mistakes_of_the_file_and_of_the_classes_come_together() {
    let source = "\
local c = BuildmasterConfig
c.workers = { Worker{'a', 'pw', max_build = 2} }
c.builders = { util.BuilderConfig{ name = 'b', workernames = { 'a' }, factory = util.BuldFactory{} } }
local x = nil + 1";
    let folder = Folder::new(&[("master.lua", source)]);
    let all: Vec<_> = load(folder.options()).await.unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(
        all,
        [
            "master.lua:3: 'util.BuldFactory' is not defined (did you mean 'util.BuildFactory'?)",
            "master.lua:4: attempt to perform arithmetic on a nil value",
            "master.lua:2: Worker \"a\": unknown argument 'max_build' (did you mean 'max_builds'?)",
        ]
    );
    let known = mistakes("local s = schedulers.Nightly{ name = 'n' }\nlocal g = Nightly").await;
    assert!(known.iter().all(|m| m.contains("not supported yet")) && known.len() == 2, "{known:?}");
}

#[tokio::test]
async fn a_whole_configuration_is_understood() {
    let source = r#"
local c = BuildmasterConfig
c.title = "Hello"
c.workers = { Worker{"w1", "pw", max_builds = 2}, LocalWorker{"local"} }
c.protocols = { pb = { port = 9989 } }
local f = util.BuildFactory()
f:addStep(steps.ShellCommand{ command = { "make", Interpolate("%(prop:target)s") }, doStepIf = function(step) return true end })
f:addSteps{ steps.ShellCommand{ command = "a" }, steps.ShellCommand{ command = "b" } }
c.builders = { util.BuilderConfig{ name = "b", workernames = { "w1", "local" }, factory = f, nextWorker = function(b, ws) return ws[1] end } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "b" } } }
c.lua = { callback_timeout = 3 }
"#;
    let folder = Folder::new(&[("master.lua", source)]);
    let loaded = load(folder.options()).await.unwrap();
    assert_eq!(loaded.config.title, "Hello");
    assert_eq!(loaded.config.workers.len(), 2);
    assert_eq!(loaded.config.builders[0].factory.steps.len(), 3);
    assert_eq!(loaded.config.limits.callback_timeout, Some(Duration::from_secs(3)));
    let pick = loaded.config.builders[0].next_worker.clone().unwrap();
    assert_eq!(pick.place.to_string(), "master.lua:9");
}
