//! Rules 18 and 19: what of Lua is there, and where modules come from.

use super::*;

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
async fn rule_19_each_load_has_a_fresh_state_and_own_files_may_have_any_name() {
    let folder = Folder::new(&[
        (
            "master.lua",
            "local mine = require('steps')\nmine.count = (mine.count or 0) + 1\nreturn { n = mine.count, kind = type(steps.ShellCommand) }",
        ),
        ("steps.lua", "return {}"),
    ]);
    for _ in 0..2 {
        let seen = folder.see().await.unwrap();
        assert_eq!((seen.get("n"), seen.get("kind")), (&Value::Int(1), &text("table")));
    }
}
