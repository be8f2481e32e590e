//! Slips that people make, above all those who know Python: each message names the line and the mend.

use super::*;

const BEFORE: &str = "local c = BuildmasterConfig\nlocal f = util.BuildFactory()\n";

/// Everything that is said of a file whose third line is this one (and those after it).
pub(super) async fn told(line: &str) -> String {
    let folder = Folder::new(&[("master.lua", &format!("{BEFORE}{line}"))]);
    match load(folder.options()).await {
        Ok(_) => panic!("nothing wrong with {line}"),
        Err(mistakes) => mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

pub(super) async fn all_told(slips: &[(&str, &str, &str)]) {
    let mut wrong = String::new();
    for (line, place, mend) in slips {
        let told = told(line).await;
        if !told.contains(place) || !told.contains(mend) {
            wrong.push_str(&format!("\n{line}\n  expected {place} … {mend}\n  told     {told}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

pub(super) const THIRD: &str = "master.lua:3: ";

#[tokio::test]
async fn the_syntax_of_python() {
    all_told(&[
        ("if 1 != 2 then end", THIRD, "Lua writes ~="),
        ("local x = !true", THIRD, "Lua writes ~= for != and not x for !x"),
        ("c.title = 'x' # the title", THIRD, "comments begin with --"),
        ("c.workers = [Worker('a', 'b')]", THIRD, "Lua writes lists as { a, b }"),
        ("c['workers'] = { LocalWorker{'a'} LocalWorker{'b'} }", THIRD, "is a comma missing before it?"),
        ("c.workers = { Worker{'a' 'b'} }", THIRD, "is a comma missing before it?"),
        ("c.workers = { Worker{'a', 'b'\n  max_builds = 1} }", "master.lua:4: ", "is a comma missing before it?"),
        ("c.www = { 'port': 8010 }", THIRD, "Lua writes { name = value }"),
        ("c.workers = { Worker('a', 'b', max_builds=2) }", THIRD, "named arguments are given in braces"),
        ("if c.title == 'x':\n  c.title = 'y'\nend", "master.lua:", "Lua writes if … then"),
        ("for w in c.workers:\n  print(w)\nend", "master.lua:", "Lua writes if … then, while … do, for … do"),
        ("if true then\nelif false then\nend", "master.lua:4: ", "Lua writes elseif"),
        ("if f is None then end", THIRD, "Lua writes == for is"),
        ("if c.title = 'x' then end", THIRD, "Lua compares with =="),
        ("def pick(builder, workers):\n    return workers[0]", THIRD, "local function name"),
        ("from buildbot.plugins import *", THIRD, "nothing is imported"),
        ("local x, y = 1, 2\nx += 1", "master.lua:4: ", "x = x + 1"),
        ("local a\na = b = 3", "master.lua:4: ", "Lua assigns once per statement"),
        ("if f then\nelse if c then\nend", "master.lua:", "else if needs an end of its own"),
        ("c.title = 'x\nc.titleURL = 'y'", THIRD, "the closing quote is missing"),
        ("local ok = true && false", THIRD, "Lua writes and"),
        ("local s = \"x %s\".format(1)", THIRD, "(\"…\"):format(x)"),
    ])
    .await;
}

#[tokio::test]
async fn names_and_values_of_python() {
    all_told(&[
        ("c.workers = { Worker{'a', 'b', notify = True} }", THIRD, "Lua writes true"),
        ("local x = str(3)", THIRD, "Lua writes tostring(x)"),
        ("local x = 'a' + 'b'", THIRD, "Lua joins text with .."),
        ("local n = {}\nlocal x = 'a' + n", "master.lua:4: ", "Lua joins text with .."),
        ("local x = 'a %s' % 'b'", THIRD, ":format(x)"),
        ("local x = { 1 } + { 2 }", THIRD, "list.concat(a, b)"),
        ("local x = None.title", THIRD, "is it None?"),
        ("local x = None + 1", THIRD, "is it None?"),
        ("local t = {}\nt.append(1)", "master.lua:4: ", "table.insert(list, x)"),
        ("local b = ('x'):startswith('y')", THIRD, "text.startswith"),
        ("for x in { 1, 2 } do end", THIRD, "ipairs(list)"),
        ("local x = dict(1)", THIRD, "Lua writes { … }"),
        ("local x = os.environ", THIRD, "use os.getenv"),
        ("f.addStep(steps.ShellCommand{ command = 'x' })", THIRD, "write f:addStep(…)"),
        ("f.addSteps({ steps.ShellCommand{ command = 'x' } })", THIRD, "f:addSteps{ … }"),
        ("f:addStpe(steps.ShellCommand{ command = 'x' })", THIRD, "did you mean 'addStep'?"),
        ("f:addStep(steps.ShellCommand)", THIRD, "the class itself: call it"),
        ("c.workers = { LocalWorker }", THIRD, "workers[1] must be a Worker, got a class (call it)"),
        ("c.workers = { LocalWorker{ 'a', properties = { p = print } } }", THIRD, "got a function of the library"),
        ("local x = 'a: ' .. { 'b' }", THIRD, "table.concat(list"),
        ("local A = class('A')\nfunction A.init(args) self.x = 1 end\nA{}", "master.lua:4: ", "with a colon"),
    ])
    .await;
}

#[tokio::test]
async fn names_that_are_not_there() {
    all_told(&[
        ("local x = utl.BuildFactory()", THIRD, "did you mean 'util'?"),
        ("local x = steps.ShelCommand{ command = 'x' }", THIRD, "did you mean 'steps.ShellCommand'?"),
        ("local x = util.ShellCommand{ command = 'x' }", THIRD, "steps.ShellCommand"),
        ("return { title = 5 }", THIRD, "'title' must be text, got 5"),
        ("return { titel = 'x' }", THIRD, "did you mean 'title'?"),
        ("c.workers[1] = LocalWorker{'a'}", THIRD, "it needs workers = {} first"),
        ("f:addStep(steps.ShellCommand('make'))", THIRD, "takes no positional arguments, got 1; write command = …"),
        ("f:addStep(steps.ShellCommand{ command = { 'sleep', 1200 * 1.5 } })", THIRD, "command[2] must be text or a whole number, got 1800.0"),
        ("c.workrs = {}", THIRD, "did you mean 'workers'?"),
        ("c.title = 5", THIRD, "'title' must be text, got 5"),
        ("\nc.www = { prot = 8010 }", "master.lua:4: BuildmasterConfig.www: ", "did you mean 'port'?"),
        ("c.workers = { Worker{'a', 'p'}, Worker{'a', 'q'} }", THIRD, "the name is taken by Worker \"a\" (master.lua:3)"),
        ("c.workers = { Worker{'a', 'p', max_builds = 'two'} }", THIRD, "'max_builds' must be a whole number"),
        (
            "c.workers = { LocalWorker{'linux'} }\nc.builders = { util.BuilderConfig{ name = 'b', workernames = { 'linus' }, factory = f } }",
            "master.lua:4: BuilderConfig \"b\": ",
            "names 'linus', which is no worker (did you mean 'linux'?)",
        ),
    ])
    .await;
}

#[tokio::test]
async fn the_page_of_the_library_has_what_is_there() {
    let seen = see(r#"
        local found = {}
        for name, value in pairs(_G) do
          local own = list.contains({
            "fs", "http", "json", "template", "log", "time", "list", "dict", "text", "path", "yaml", "toml", "ini", "config", "process",
            "regex", "random", "url", "hash", "base64", "store", "latent",
          }, name)
          if own then for f in pairs(value) do found[#found + 1] = name .. "." .. f end end
        end
        for name, value in pairs(util) do
          if type(value) == "function" then found[#found + 1] = "util." .. name end
        end
        return { found = list.sorted(found) }
    "#)
    .await;
    let Value::Table(found) = seen.get("found") else { panic!() };
    let mut written: Vec<_> = super::super::api::library::LIBRARY.iter().map(|(call, _)| call.split(['(', '{']).next().unwrap()).collect();
    written.retain(|name| name.contains('.') && !name.starts_with("Class") && !name.contains(':'));
    written.sort_unstable();
    assert_eq!(found.items, texts(&written));
}

#[tokio::test]
async fn the_machine_is_known() {
    see("local h, full = util.hostname(), util.fqdn() assert(#h > 0 and text.startswith(full, h) and util.cpu_count() >= 1)").await;
}
