//! Errors, loops, waits without end and nonsense in every callback: the one build or decision fails with the callback's name and
//! its line, and everything else goes on.

mod support;

use std::time::Instant;

use serde_json::{Value, json};
use support::*;

const MODES: [&str; 4] = ["error", "loop", "wait", "nonsense"];

/// Each way to fail is one function, and stands on a line of its own; what is nonsense depends on the kind.
const HEAD: &str = r#"local absurd = setmetatable({}, { __name = "absurd" })
local function modes(nonsense)
  return {
    error = function() error("boom") end,
    loop = function() while true do end end,
    wait = function() sleep(1000) end,
    nonsense = function() return nonsense end,
  }
end
c.lua = { callback_timeout = 1 }
c.collapseRequests = false
-- A build that ends with an exception lets its worker rest: the others have their own.
local function quick(name) return LocalWorker{ name, quarantine_initial_timeout = 0.1, quarantine_max_timeout = 0.1 } end
c.workers = { quick"a", quick"b", quick"c", LocalWorker{ "d" }, LocalWorker{ "e" } }
c.builders = {}
local names = {}
local function builder(name, step, more)
  more = more or {}
  local f = util.BuildFactory()
  f:addStep(step or steps.ShellCommand{ command = "true" })
  more.name, more.factory = name, f
  more.workernames = more.workernames or { "a", "b", "c" }
  c.builders[#c.builders + 1] = util.BuilderConfig(more)
  names[#names + 1] = name
end
for i = 1, 5 do builder("fine" .. i, nil, { workernames = { "d", "e" } }) end
"#;

/// Where each mode's function stands.
fn line(mode: &str) -> String {
    let at = HEAD.lines().position(|l| l.trim_start().starts_with(&format!("{mode} = function"))).expect("the line") + 1;
    format!("master.lua:{at}")
}

const FORCE: &str = "c.schedulers = { schedulers.ForceScheduler{ name = 'force', builderNames = names } }\n";

/// Fifty builds of other builders, beside whatever else there is.
fn fifty_others(master: &Master) {
    let began = Instant::now();
    let requests: Vec<i64> = (0..50).map(|i| master.force(&format!("fine{}", i % 5 + 1), json!({}))).collect();
    for request in requests {
        assert_eq!(master.wait_request(request), SUCCESS, "a build beside the failing ones");
    }
    println!("50 builds took {:?}", began.elapsed());
}

/// The callback's name as messages give it, what is nonsense for it, and the step that has it as `f`.
const IN_BUILDS: &[(&str, &str, &str, &str)] = &[
    ("command", "renderer", "5", "steps.ShellCommand{ command = f }"),
    ("word", "renderer", "absurd", "steps.ShellCommand{ command = { 'echo', { 'x', f } } }"),
    ("values", "renderer", "{ a = 1 }", "steps.ShellCommand{ command = util.renderer(f):withArgs(1, { b = Property('c') }) }"),
    ("transform", "Transform", "absurd", "steps.ShellCommand{ command = { 'echo', util.Transform(f, Property('a')) } }"),
    ("kw", "renderer", "absurd", "steps.ShellCommand{ command = { 'echo', Interpolate('%(kw:x)s', { x = f }) } }"),
    ("env", "renderer", "true", "steps.ShellCommand{ command = 'true', env = { A = f } }"),
    ("sequence", "renderer", "{ 5 }", "steps.ShellSequence{ commands = f }"),
    ("property", "renderer", "absurd", "steps.SetProperty{ property = 'p', value = f }"),
    ("properties", "renderer", "{ 1 }", "steps.SetProperties{ f }"),
    ("do", "doStepIf", "absurd", "steps.ShellCommand{ command = 'true', doStepIf = f }"),
    ("hide", "hideStepIf", "absurd", "steps.ShellCommand{ command = 'true', hideStepIf = f }"),
    ("extract", "extract_fn", "5", "steps.SetPropertyFromCommand{ command = 'true', extract_fn = f }"),
    (
        "warnings",
        "warningExtractor",
        "absurd",
        "steps.WarningCountingShellCommand{ command = 'echo \"warning: x\"', warningExtractor = f, suppressionList = { { 'a', 'b', None, None } } }",
    ),
];

#[test]
fn one_build_fails_with_name_and_line_and_others_go_on() {
    let mut text = HEAD.to_owned();
    for (kind, _, nonsense, step) in IN_BUILDS {
        text.push_str(&format!("for mode, f in dict.sorted_pairs(modes({nonsense})) do builder('{kind}_' .. mode, {step}) end\n"));
    }
    let master = Master::start(&(text + FORCE));
    let requests: Vec<(String, &str, &str, i64)> = IN_BUILDS
        .iter()
        .flat_map(|(kind, callback, ..)| MODES.map(|mode| (format!("{kind}_{mode}"), *callback, mode)))
        .map(|(builder, callback, mode)| (builder.clone(), callback, mode, master.force(&builder, json!({}))))
        .collect();
    fifty_others(&master);
    for (builder, callback, mode, request) in requests {
        assert_eq!(master.wait_request(request), EXCEPTION, "{builder}");
        let build = master.last_build_of(request);
        let step = master.steps(&build)[0]["name"].as_str().expect("a name").to_owned();
        let told = master.log_contents(&build, &step, "err.text");
        assert!(told.contains(callback) && told.contains(&line(mode)), "{builder}: {told}");
        let why = match mode {
            "error" => "boom",
            "nonsense" => "",
            _ => "did not return within its budget of 1",
        };
        assert!(told.contains(why), "{builder}: {told}");
    }
}

#[test]
fn one_decision_fails_with_name_and_line_and_others_go_on() {
    let mut text = HEAD.to_owned();
    for (kind, nonsense) in [("nextWorker", "'nobody'"), ("nextBuild", "{}"), ("canStartBuild", "'yes'")] {
        text.push_str(&format!(
            "for mode, f in dict.sorted_pairs(modes({nonsense})) do builder('{kind}_' .. mode, nil, {{ {kind} = f }}) end\n"
        ));
    }
    text.push_str(
        "for mode, f in dict.sorted_pairs(modes('no')) do builder('collapse_' .. mode, nil, { collapseRequests = f, canStartBuild = function() return false end }) end\n\
        for mode in dict.sorted_pairs(modes()) do builder('select_' .. mode) end\n\
        local failing = modes(5)\n\
        c.select_next_worker = function(b, workers) local f = failing[b.name:match('^select_(.*)')] if f then return f() end return workers[1] end\n",
    );
    let select = format!("master.lua:{}", text.lines().count());
    let master = Master::start(&(text + FORCE));
    let mut waits = Vec::new();
    for kind in ["nextWorker", "nextBuild", "canStartBuild", "select"] {
        let name = if kind == "select" { "nextWorker" } else { kind };
        waits.extend(MODES.map(|mode| (name, mode, kind == "select", master.force(&format!("{kind}_{mode}"), json!({})))));
    }
    fifty_others(&master);
    for (name, mode, selects, request) in waits {
        let told = wait_for(&format!("request {request} says why"), || {
            let row = master.request(request);
            assert_eq!(row["complete"], false);
            row["waiting_for"]["text"].as_str().filter(|text| text.contains(name) && !text.contains("being asked")).map(str::to_owned)
        });
        let line = if selects && mode != "error" { select.clone() } else { line(mode) };
        assert!(told.contains(&line), "{name} {mode}: {told}");
    }
    // The older request stays, the newer one is there.
    for mode in MODES {
        let requests = [(); 2].map(|()| master.force(&format!("collapse_{mode}"), json!({})));
        master.wait_log(&format!("{}: collapseRequests", line(mode)));
        assert!(requests.iter().all(|r| master.request(*r)["complete"] == false), "{mode}");
    }
}

#[test]
fn an_order_that_fails_is_no_order_and_says_where() {
    for mode in MODES {
        let text = format!("{HEAD}c.prioritizeBuilders = modes({{ {{ name = 'nobody' }} }}).{mode}\n{FORCE}");
        let master = Master::start(&text);
        let request = master.force("fine1", json!({}));
        assert_eq!(master.wait_request(request), SUCCESS, "{mode}");
        master.wait_log(&format!("{}: prioritizeBuilders", line(mode)));
        fifty_others(&master);
    }
}

#[test]
fn a_form_says_what_its_functions_do_not() {
    let mut text = HEAD.to_owned();
    text.push_str(
        "local counted = 0\n\
        local Colour = util.ChoiceStringParameter:extend('Colour')\n\
        function Colour:choices() sleep(0.01) counted = counted + 1 return { 'red', tostring(counted) } end\n\
        c.schedulers = { schedulers.ForceScheduler{ name = 'good', builderNames = names, properties = {\n\
          Colour{ 'colour', default = 'red' }, util.IntParameter{ 'n', default = 1, parse_from_arg = function(self, text) if text == '0' then error('not 0', 0) end return text .. '!' end } } } }\n\
        for mode, f in dict.sorted_pairs(modes({ 1 })) do list.extend(c.schedulers, { schedulers.ForceScheduler{ name = 'choices_' .. mode, builderNames = names,\n\
          properties = { util.ChoiceStringParameter{ 'how', choices = f, default = 'x' } } } }) end\n\
        for mode, f in dict.sorted_pairs(modes(absurd)) do list.extend(c.schedulers, { schedulers.ForceScheduler{ name = 'parse_' .. mode, builderNames = names,\n\
          properties = { util.StringParameter{ 'how', parse_from_arg = f } } } }) end\n",
    );
    let master = Master::start(&text);
    let force = |scheduler: &str, more: Value| {
        let mut params = json!({ "builderNames": ["fine1"] });
        params.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
        master.http.control(&format!("forceschedulers/{scheduler}"), "force", params)
    };
    for mode in MODES {
        for (kind, callback) in [("choices", "choices"), ("parse", "parse_from_arg")] {
            let (status, error) = force(&format!("{kind}_{mode}"), json!({})).expect_err("refused");
            let told = error["message"]["how"].as_str().unwrap_or_default().to_owned();
            assert!(status == 400 && told.contains(callback) && told.contains(&line(mode)), "{kind} {mode}: {status} {error}");
        }
        // The form shows the same.
        let form = master.http.row(&format!("forceschedulers/choices_{mode}"), "forceschedulers");
        let field = form["all_fields"].as_array().expect("fields").iter().find(|f| f["name"] == "how").expect("the field").clone();
        assert!(field["choices_error"].as_str().is_some_and(|e| e.contains(&line(mode))), "{mode}: {field}");
    }
    fn field<'a>(form: &'a Value, name: &str) -> &'a Value {
        form["all_fields"].as_array().expect("fields").iter().find(|f| f["name"] == name).expect("the field")
    }
    let form = master.http.row("forceschedulers/good", "forceschedulers");
    let first = field(&form, "colour")["choices"].clone();
    assert_eq!(first[0], "red", "{form:#}");
    for _ in 0..3 {
        // One answer counts for half a minute.
        let form = master.http.row("forceschedulers/good", "forceschedulers");
        assert_eq!(field(&form, "colour")["choices"], first);
    }
    let (_, error) = force("good", json!({ "colour": "mauve", "n": "0" })).expect_err("refused");
    assert!(error["message"]["colour"].as_str().is_some_and(|t| t.contains("does not belong to the choices: red")), "{error}");
    assert!(error["message"]["n"].as_str().is_some_and(|t| t.starts_with("n: not 0 (parse_from_arg, master.lua:")), "{error}");
    let forced = force("good", json!({ "n": "7" })).expect("forced");
    let request = forced[1].as_object().and_then(|m| m.values().next()).and_then(Value::as_i64).expect("a request");
    assert_eq!(master.wait_request(request), SUCCESS);
    let properties = master.properties(&master.last_build_of(request));
    assert_eq!((&properties["n"][0], &properties["colour"][0]), (&json!("7!"), &json!("red")));
}
