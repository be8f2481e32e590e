//! The section on mistakes: where they are looked for, and what each names.

use super::*;
use crate::config::class::{ArgDecl, ClassDecl, classes};

/// What is told of names of these files, in functions that nobody calls.
async fn names_told(files: &[(&str, &str)]) -> Vec<String> {
    match Folder::new(files).see().await {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.iter().map(ToString::to_string).collect(),
    }
}

#[tokio::test]
async fn mistakes_in_functions_that_never_run_are_told() {
    let source = "
local helper = require('helper')
local function never(x)
  result = Wroker{ x }
  return util.BuildFatory(), list.concatt(x), schedulers.Nightly, os.execute('x'), _G.Foo
end
local S = steps
return { f = function() return S.ShelCommand{} end }";
    let told = names_told(&[("master.lua", source), ("helper.lua", "return function() return Interpolat('x') end")]).await;
    assert_eq!(
        told,
        [
            "helper.lua:1: 'Interpolat' is not defined (did you mean 'Interpolate'?)",
            "master.lua:4: 'Wroker' is not defined (did you mean 'Worker'?)",
            "master.lua:4: 'result' would be a new global: write 'local result'",
            "master.lua:5: 'Foo' is not defined",
            "master.lua:5: 'list.concatt' is not defined (did you mean 'list.concat'?)",
            "master.lua:5: there is no os.execute: use process.run",
            "master.lua:5: 'schedulers.Nightly' is not there: Buildbot's Nightly is not supported yet; cron can call `buildmoon force`",
            "master.lua:5: 'util.BuildFatory' is not defined (did you mean 'util.BuildFactory'?)",
            "master.lua:8: 'steps.ShelCommand' is not defined (did you mean 'steps.ShellCommand'?)",
        ]
    );
}

#[tokio::test]
async fn what_the_file_itself_brings_is_known() {
    let source = "
function list.mine(x) return x end
text.theirs = 5
rawset(_G, 'quiet', 1)
local helper = require('helper')
local function never(steps, worker)
  local util = { Own = 1 }
  for _, path in ipairs(steps) do steps[path.name] = path.whatever end
  return list.mine(util.Own), text.theirs, list.late, quiet, worker.Anything, steps.Foo
end
local function tests()
  if list.nope then return table.unpack or unpack end
  return string.dump == nil, not fs.nope
end
";
    let told = names_told(&[("master.lua", source), ("helper.lua", "list.late = 1\nreturn 1")]).await;
    assert_eq!(told, [""; 0]);
    // Whoever puts a table of their own in place of one of the host may give it any fields.
    assert_eq!(names_told(&[("master.lua", "list = { a = 1 }\nlocal function f() return list.b end")]).await, [""; 0]);
    // What a name means is not known where the environment is another one.
    assert_eq!(names_told(&[("master.lua", "local function f() local _ENV = {} x = y end")]).await, [""; 0]);
}

#[tokio::test]
async fn mistakes_are_told_once_if_running_shows_them_too() {
    let told = names_told(&[("master.lua", "local function f() return util.Foo end\nf()\nlocal x = list.concatt({})")]).await;
    assert_eq!(
        told,
        [
            "master.lua:1: 'util.Foo' is not defined",
            "master.lua:3: attempt to call a nil value (field 'concatt'); 'list.concatt' is not defined (did you mean 'list.concat'?)",
        ]
    );
}

#[tokio::test]
async fn mistakes_of_a_file_with_an_error_include_its_keys() {
    let told = whole("local c = BuildmasterConfig\nc.titel = 'x'\nlocal x = nil + 1").await;
    assert_eq!(
        told,
        [
            "master.lua:3: attempt to perform arithmetic on a nil value",
            "master.lua:2: BuildmasterConfig: unknown key 'titel' (did you mean 'title'?)"
        ]
    );
}

#[tokio::test]
async fn the_calls_that_led_to_a_mistake_are_kept() {
    let source =
        "local function one(n)\n  local made = Worker{ n }\n  return made\nend\nlocal function all() return one('a'), 1 end\nall()";
    let folder = Folder::new(&[("master.lua", source)]);
    let checked = check(folder.options()).await;
    let mistakes = checked.outcome.unwrap_err();
    let calls = checked.surroundings.calls(&mistakes[0].place);
    let calls: Vec<_> = calls.iter().map(|c| (c.function.as_str(), c.line)).collect();
    assert_eq!(calls, [("all", 5), ("", 6)]);
    assert_eq!(checked.surroundings.lines(&mistakes[0]), [(2, "  local made = Worker{ n }".to_owned())]);
}

/// How a call of the class is written, with what it requires.
fn written(class: &ClassDecl, change: impl Fn(&ArgDecl) -> Option<String>) -> String {
    let value = |arg: &ArgDecl| {
        Some(match arg.name {
            "factory" => "util.BuildFactory()".to_owned(),
            "commands" | "fields" | "choices" | "builderNames" => "{}".to_owned(),
            "properties" => "{ a = 1 }".to_owned(),
            "function" => "print".to_owned(),
            "template_type" => "'plain'".to_owned(),
            _ => "'x'".to_owned(),
        })
        .filter(|_| arg.required)
    };
    let args = class.args.iter().filter_map(|a| Some(format!("[\"{}\"] = {}", a.name, change(a).or_else(|| value(a))?)));
    let args: Vec<String> = args.filter(|a| !a.ends_with(" = ")).collect();
    let space = if class.top_level { String::new() } else { format!("{}.", class.namespaces[0]) };
    format!("local x = {space}{}{{ {} }}", class.name, args.join(", "))
}

/// Each line is wrong in one way; each has a mistake with its place, its class and these words.
async fn each_line_is_told(lines: Vec<(String, &'static str, String)>) {
    // A function may hold 200 locals.
    let source: String = lines.iter().map(|(line, ..)| format!("do {line} end\n")).collect();
    let told = whole(&source).await;
    for (i, (line, class, words)) in lines.iter().enumerate() {
        let start = format!("master.lua:{}: {class}", i + 1);
        assert!(told.iter().any(|t| t.starts_with(&start) && t.contains(words)), "{line}\n  {words}\n  {:?}", {
            let place = format!("master.lua:{}:", i + 1);
            told.iter().filter(|t| t.starts_with(&place)).collect::<Vec<_>>()
        });
    }
}

fn closed() -> impl Iterator<Item = &'static ClassDecl> {
    classes().iter().filter(|c| !c.open && c.name != "Secret")
}

#[tokio::test]
async fn every_argument_of_every_class_is_told_with_class_argument_and_line() {
    let (mut wrong, mut misspelt, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for class in closed() {
        for arg in &class.args {
            let only = |value: &str| {
                let value = value.to_owned();
                move |a: &ArgDecl| (a.name == arg.name).then(|| value.clone())
            };
            // A class that is not called is a value for nothing.
            if !arg.kind.starts_with("anything") {
                wrong.push((written(class, only("Worker")), class.name, arg.name.to_owned()));
            }
            // The value in its place stays, and a name that is nearly the same comes beside it.
            let line = written(class, |_| None);
            let close = line.strip_suffix(" }").unwrap_or(&line).trim_end();
            let comma = if close.ends_with('{') { "" } else { "," };
            misspelt.push((format!("{close}{comma} {}z = None }}", arg.name), class.name, format!("unknown argument '{}z'", arg.name)));
            if arg.required {
                missing.push((written(class, only("")), class.name, format!("missing argument '{}'", arg.name)));
            }
        }
    }
    assert!(wrong.len() > 150 && misspelt.len() > 150 && missing.len() > 10, "{} {} {}", wrong.len(), misspelt.len(), missing.len());
    each_line_is_told(wrong).await;
    each_line_is_told(misspelt).await;
    each_line_is_told(missing).await;
}

#[tokio::test]
async fn slips_in_methods_are_warned_of_where_nothing_ran() {
    let source = "
local f = util.BuildFactory()
local function later(props, worker)
  f:addStpe(1)
  worker:isBussy()
  props:getProperties()
  props:own_method()
  return ('x'):len(), props:addstep(), worker.isbusy
end
local mine = { addstep = later }";
    let seen = see(source).await;
    assert_eq!(
        seen.warnings(),
        [
            "master.lua:4: nothing has a method 'addStpe' (did you mean 'addStep'?)",
            "master.lua:5: nothing has a method 'isBussy' (did you mean 'isBusy'?)"
        ]
    );
    let ran = mistakes("local f = util.BuildFactory()\nf:addStpe(1)").await;
    assert_eq!(ran, ["master.lua:2: attempt to call a nil value (method 'addStpe'); did you mean 'addStep'?"]);
}
