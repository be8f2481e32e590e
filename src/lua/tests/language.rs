//! The rules of the language that the host keeps, by their numbers.

use super::*;

#[tokio::test]
async fn rule_1_a_lone_table_is_the_argument_table_and_an_object_is_positional() {
    let seen = see(r#"
        Worker{"a", "pw", max_builds = 2}
        Worker("b", "pw", { max_builds = 3 })
        util.BuilderConfig(Interpolate("x"))
        Property("key", {})
    "#)
    .await;
    for (i, name) in [(0, "a"), (1, "b")] {
        assert_eq!(seen.objects[i].args.items, texts(&[name, "pw"]));
        assert_eq!(seen.objects[i].args.named["max_builds"], Value::Int(i as i64 + 2));
    }
    assert!(matches!(&seen.object("BuilderConfig").args.items[..], [Value::Object(o)] if o.class == "Interpolate"));
    assert_eq!(seen.object("Property").args.items.len(), 2);
}

#[tokio::test]
async fn rule_2_a_lone_table_of_what_the_class_holds_is_its_list() {
    let seen = see(r#"
        local s1, s2 = steps.ShellCommand{"a"}, steps.ShellCommand{"b"}
        util.BuildFactory{ s1, s2 }
        util.BuildFactory{ { s1, s2 }, workdir = "x" }
        util.BuildFactory()
    "#)
    .await;
    let factories: Vec<_> = seen.objects.iter().filter(|o| o.class == "BuildFactory").collect();
    for factory in &factories[..2] {
        assert!(matches!(&factory.args.items[..], [Value::Table(t)] if t.items.len() == 2), "{factory:?}");
    }
    assert_eq!(factories[1].args.named["workdir"], text("x"));
    assert!(factories[2].args.items.is_empty());
}

#[tokio::test]
async fn rule_3_methods_take_lists_and_plain_arguments() {
    let seen = see(r#"
        local function s(x) local made = steps.ShellCommand{x} return made end
        local f = util.BuildFactory{ s"a" }
        f:addStep(s"b")
        f:addSteps{ s"c", s"d" }
        f:addSteps(s"e", s"f")
    "#)
    .await;
    let Value::Table(steps) = &seen.object("BuildFactory").args.items[0] else { panic!() };
    let words: Vec<_> = steps.items.iter().map(|s| if let Value::Object(o) = s { o.args.items[0].clone() } else { panic!() }).collect();
    assert_eq!(words, texts(&["a", "b", "c", "d", "e", "f"]));
    assert_eq!(
        mistakes("local f = util.BuildFactory()\nf:addStep('make')\nf:addStep(steps.ShellCommand)").await,
        [
            "master.lua:2: BuildFactory: addStep needs a step, got \"make\"",
            "master.lua:3: BuildFactory: addStep needs a step, got the class itself: call it"
        ]
    );
}

#[tokio::test]
async fn rule_4_a_table_of_the_file_is_never_changed() {
    let seen = see(r#"
        local common, list = { max_builds = 1 }, { steps.ShellCommand{"a"} }
        local named = dict.merge(common, { "w", "pw" })
        local w = Worker(named)
        w.max_builds = 7
        local f = util.BuildFactory{ list, workdir = "x" }
        f:addStep(steps.ShellCommand{"b"})
        return { named = named, list = list }
    "#)
    .await;
    assert_eq!(seen.object("Worker").args.named["max_builds"], Value::Int(7));
    let Value::Table(named) = seen.get("named") else { panic!() };
    assert_eq!(named.named["max_builds"], Value::Int(1));
    let Value::Table(list) = seen.get("list") else { panic!() };
    assert_eq!(list.items.len(), 1);
}

#[tokio::test]
async fn rule_5_attributes_are_inherited_and_are_defaults_of_a_steps_arguments() {
    let seen = see(r#"
        local Make = steps.ShellCommand:extend("Make", { haltOnFailure = true, extra = "e" })
        local Check = Make:extend("Check")
        assert(Check.extra == "e" and Check.haltOnFailure == true and Check.classname == "Check" and Check.super == Make)
        Check{"make check"}
        local given = Check{"x", haltOnFailure = false}
        assert(given.haltOnFailure == false and given.extra == "e")
    "#)
    .await;
    assert_eq!(seen.objects[0].custom_class.as_deref(), Some("Check"));
    assert_eq!(seen.objects[0].class, "ShellCommand");
    assert_eq!(seen.objects[0].args.named["haltOnFailure"], Value::Bool(true));
    assert_eq!(seen.objects[1].args.named["haltOnFailure"], Value::Bool(false));
}

#[tokio::test]
async fn rule_6_init_gets_one_normalised_table_and_reaches_the_parent_once() {
    let seen = see(r#"
        local Base = util.BuildFactory:extend("Base")
        function Base:init(args)
          self.tag = args.tag
          Base.super.init(self, { args[1] })
        end
        local Sub = Base:extend("Sub")
        function Sub:init(args)
          assert(args.steps == args[1])
          args.tag = "t"
          Sub.super.init(self, args)
        end
        local f = Sub{ { steps.ShellCommand{"a"} }, any = "key" }
        assert(f.tag == "t" and isinstance(f, Base) and f:isinstance(util.BuildFactory) and not isinstance(f, Worker))
        local Named = Worker:extend("Named")
        function Named:init(args)
          args.name = "x-" .. args.name
          Named.super.init(self, args)
        end
        Named{"w", "pw"}
    "#)
    .await;
    let factory = seen.object("BuildFactory");
    assert!(matches!(&factory.args.items[..], [Value::Table(t)] if t.items.len() == 1));
    assert!(factory.args.named.is_empty(), "{factory:?}");
    assert_eq!(seen.object("Worker").args.items, texts(&["x-w", "pw"]));
    assert!(seen.object("Worker").args.named.is_empty());

    let none = mistakes("local F = util.BuildFactory:extend('F')\nfunction F:init() end\nF{}").await;
    assert_eq!(none, ["master.lua:3: F: init must call F.super.init(self, …)"]);
    let twice =
        mistakes("local F = util.BuildFactory:extend('F')\nfunction F:init() F.super.init(self)\nF.super.init(self) end\nF{}").await;
    assert!(twice[0].starts_with("master.lua:3: init of F called its parent's init twice"), "{twice:?}");
    let own = mistakes("local F = util.BuildFactory:extend('F')\nfunction F:init() self.super.init(self) end\nF{}").await;
    assert!(own[0].contains("self.super would loop"), "{own:?}");
    let waits = mistakes("local F = util.BuildFactory:extend('F')\nfunction F:init() sleep(0) end\nF{}").await;
    assert!(waits[0].starts_with("master.lua:2: init may not wait"), "{waits:?}");
}

#[tokio::test]
async fn rule_7_declared_arguments_land_in_the_instance_and_not_in_the_parent() {
    let seen = see(r#"
        local F = util.BuildFactory:extend("F", { args = { branch = "string", tags = { "list<string>", default = {} }, n = "integer?" } })
        local G = F:extend("G", { args = { deep = { "boolean", default = true } } })
        local g = G{ branch = "main", workdir = "w" }
        assert(g.branch == "main" and #g.tags == 0 and g.n == nil and g.deep == true)
        assert(g.tags ~= G{ branch = "x" }.tags)
    "#)
    .await;
    assert_eq!(seen.objects[0].args.named.keys().collect::<Vec<_>>(), ["workdir"]);
    let wrong =
        mistakes("local F = util.BuildFactory:extend('F', { args = { a = 'string', b = 'list<string>?' } })\nF{ b = { 1 } }\nF{ a = 1.5 }")
            .await;
    assert_eq!(
        wrong,
        [
            "master.lua:2: F: missing argument 'a'",
            "master.lua:2: F: 'b' must be list<string>, got a table",
            "master.lua:3: F: 'a' must be string, got 1.5"
        ]
    );
}

#[tokio::test]
async fn rule_8_instances_show_arguments_and_take_fields() {
    see(r#"
        local w = Worker{"a", "pw"}
        assert(w.name == "a" and w.workername == "a" and w.password == "***")
        local f = util.BuildFactory()
        f.note = "mine"
        assert(f.note == "mine")
        local A = class("A")
        function A:init(args) self.x = args.x end
        local B = class("B", A)
        B:mixin{ x = 5, y = function(self) return self.x + 1 end }
        local b = B{ x = 3 }
        assert(b.x == 3 and b:y() == 4 and isinstance(b, A) and B.super == A and tostring(b) == "B (master.lua:11)")
        return {}
    "#)
    .await;
}

#[tokio::test]
async fn rule_9_a_field_assigned_later_is_the_argument() {
    let seen = see(r#"
        local b = util.BuilderConfig{ name = "b", factory = util.BuildFactory() }
        b.canStartBuild = function() return true end
        local w = Worker("a", "pw")
        w.name = "z"
    "#)
    .await;
    assert!(matches!(seen.object("BuilderConfig").args.named["canStartBuild"], Value::Function(_)));
    assert_eq!(seen.object("Worker").args.items, texts(&["z", "pw"]));
    let unknown = mistakes("local w = Worker{'a', 'pw'}\n\nw.max_build = 3").await;
    assert_eq!(unknown, ["master.lua:3: Worker: unknown argument 'max_build' (did you mean 'max_builds'?)"]);
}

#[tokio::test]
async fn rule_12_null_is_nil_unless_none_is_asked_for() {
    let seen = see(r#"
        local a, b = json.decode('{"x": null, "n": 3}'), json.decode('[null]', { null = None })
        assert(a.x == nil and math.type(a.n) == "integer" and b[1] == None)
        return { b = b, text = json.encode{ z = 1, a = { 1, 2.5, None } }, empty = None }
    "#)
    .await;
    assert_eq!(seen.get("text"), &text(r#"{"a":[1,2.5,null],"z":1}"#));
    assert_eq!(seen.root.named["empty"], Value::None);
}

#[tokio::test]
async fn rule_14_integers_stay_integers() {
    let seen = see("return { i = 3, f = 1200 * 1.5 }").await;
    assert_eq!((seen.get("i"), seen.get("f")), (&Value::Int(3), &Value::Float(1800.0)));
}

#[tokio::test]
async fn rule_15_the_order_of_pairs_never_shows() {
    let source = "local t = {} for i = 1, 40 do t['k' .. i] = Worker{ 'w' .. i, 'pw' } end t[true] = 1 t[99] = 2 return { t = t }";
    let first = see(source).await;
    for _ in 0..3 {
        let again = see(source).await;
        assert_eq!((&again.root, &again.objects), (&first.root, &first.objects));
    }
    let Value::Table(t) = first.get("t") else { panic!() };
    assert_eq!(t.strange_key.as_deref(), Some("[99]"));
}

#[tokio::test]
async fn rule_16_tables_are_read_at_the_end_and_objects_are_frozen_then() {
    let seen = see(r#"
        local tags, list = {}, {}
        local b = util.BuilderConfig{ name = "b", tags = tags, factory = util.BuildFactory{ list, workdir = "x" } }
        tags[1] = "late"
        list[1] = steps.ShellCommand{"a"}
        BuildmasterConfig.builders = { b, b }
        BuildmasterConfig.f = function() b.tags = {} end
        BuildmasterConfig.g = function() return Worker{"late"} end
        BuildmasterConfig.h = function() return Interpolate("ok") end
    "#)
    .await;
    let builder = seen.object("BuilderConfig");
    assert_eq!(builder.place.line, 3);
    assert!(matches!(&builder.args.named["tags"], Value::Table(t) if t.items == texts(&["late"])));
    assert!(matches!(&seen.object("BuildFactory").args.items[0], Value::Table(t) if t.items.len() == 1));
    let Value::Table(builders) = seen.get("builders") else { panic!() };
    let [Value::Object(a), Value::Object(b)] = &builders.items[..] else { panic!() };
    assert!(Arc::ptr_eq(a, b));

    let cx = RenderInput::default();
    let frozen = seen.loaded.generation.render(seen.function("f"), &cx).await.unwrap_err();
    assert_eq!(frozen.to_string(), "master.lua:7: renderer: BuilderConfig: 'tags' can't be changed any more: the configuration is loaded");
    let closed = seen.loaded.generation.render(seen.function("g"), &cx).await.unwrap_err();
    assert!(closed.message.starts_with("Worker may only be used while"), "{closed}");
    let open = seen.loaded.generation.render(seen.function("h"), &cx).await.unwrap();
    assert!(matches!(open, Value::Object(o) if o.class == "Interpolate"));
}

#[tokio::test]
async fn rule_18_what_is_not_there_says_what_to_use() {
    see(r#"
        assert(os.time() > 0 and os.getenv("PATH") and os.date("%Y") and select('#', 1, 2) == 2)
        assert(not pcall(error, "x") and not pcall(function() setmetatable({}, { __gc = print }) end))
        assert(string.dump == nil and rawget(_G, "require") and rawget(_G, "io") == nil)
        print("a line", 1)
        log.info("another")
        assert(time.now() > 1e9)
        sleep(0)
    "#)
    .await;
    let all = mistakes("local a = io\nlocal b = load\nlocal x = coroutine\nlocal e = os.execute").await;
    assert_eq!(
        all,
        [
            "master.lua:1: 'io' is not there: use fs.read and fs.write",
            "master.lua:2: 'load' is not there: put the code into a file and require it",
            "master.lua:3: 'coroutine' is not there: host calls wait by themselves",
            "master.lua:4: there is no os.execute: use process.run"
        ]
    );
}

#[tokio::test]
async fn rule_19_require_looks_in_the_folder_and_in_nothing_else() {
    let folder = Folder::new(&[
        (
            "master.lua",
            "local w = require('lib.workers')\nassert(w == require('lib.workers'))\nassert(require('sub').x == 1)\nassert(require('buildmoon.list') ~= nil)\nw.make('a')\nBuildmasterConfig.data = json.load_file('data.json').n",
        ),
        (
            "lib/workers.lua",
            "local function one(n)\n  local made = Worker{ n, 'pw' }\n  return made\nend\none('first')\nreturn { make = one }",
        ),
        ("sub/init.lua", "return { x = 1 }"),
        ("data.json", "{\"n\": 5}"),
    ]);
    let seen = folder.see().await.unwrap();
    assert_eq!(seen.objects[0].place.to_string(), "lib/workers.lua:2 (from lib/workers.lua:5, master.lua:1)");
    assert_eq!(seen.objects[1].place.to_string(), "lib/workers.lua:2 (from master.lua:5)");
    assert_eq!(seen.get("data"), &Value::Int(5));
    let mut names: Vec<_> = seen.loaded.files.iter().map(|f| f.path.file_name().unwrap().to_string_lossy().into_owned()).collect();
    names.sort();
    assert_eq!(names, ["data.json", "init.lua", "master.lua", "workers.lua"]);
    assert!(seen.loaded.files.iter().all(ReadFile::is_current));
    std::fs::write(folder.0.path().join("data.json"), "{}").unwrap();
    assert_eq!(seen.loaded.files.iter().filter(|f| !f.is_current()).count(), 1);

    let cycle = Folder::new(&[("master.lua", "require('a')"), ("a.lua", "local b = require('b')"), ("b.lua", "local a = require('a')")]);
    let told = cycle.mistakes().await;
    assert!(told[0].starts_with("b.lua:1 (from a.lua:1, master.lua:1): modules require each other: a -> b -> a"), "{told:?}");
    for (name, what) in [("no.such", "there is no no/such.lua"), ("../x", "words joined by dots"), ("buildmoon.x", "ships with Buildmoon")]
    {
        let told = mistakes(&format!("require({name:?})")).await;
        assert!(told[0].starts_with("master.lua:1: require(") && told[0].contains(what), "{told:?}");
    }
    let broken = Folder::new(&[("master.lua", "\nrequire('x')"), ("x.lua", "local a = = 1")]);
    assert_eq!(broken.mistakes().await, ["x.lua:1 (from master.lua:2): unexpected symbol near '='"]);
}

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
    assert_eq!(all[0], "master.lua:2: Worker: unknown argument 'bad'");
    assert_eq!(all[1], "master.lua:3: attempt to index a nil value (field 'x')\n    master.lua:3: in 'f'\n    master.lua:4: in the file");
    assert_eq!(mistakes("error{ message = 'mine' }").await, ["master.lua:1: mine"]);
    assert_eq!(mistakes("error('at level 2', 2)").await.len(), 1);
    assert_eq!(mistakes("return 5").await, ["master.lua: the file may return a table or nothing, got a integer"]);
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
    let factory = see("local f = util.BuildFactory() f:addStep(f) return { f = f }").await;
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
