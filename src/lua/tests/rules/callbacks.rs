//! What callbacks are called with, and what they may answer.

use std::sync::Arc;

use serde_json::json;

use crate::lua::members::MEMBERS;
use crate::lua::tests::*;
use crate::lua::{Answer, DataSource};
use crate::model::{Properties, SourceStamp};

fn worker(name: &str) -> WorkerInput {
    WorkerInput {
        name: name.into(),
        properties: json!({"os": "linux"}).as_object().unwrap().clone(),
        max_builds: Some(2),
        state: "ready".into(),
        attached: true,
        info: json!({"admin": "me", "version": null}).as_object().unwrap().clone(),
        quarantine_timeout: 10.0,
        ..Default::default()
    }
}

fn builder() -> BuilderInput {
    BuilderInput {
        name: "b".into(),
        workers: vec!["w".into()],
        highest_priority: Some(1),
        newest_complete_time: Some(2.0),
        oldest_request_time: Some(3.0),
        ..Default::default()
    }
}

fn request(id: i64) -> RequestInput {
    RequestInput {
        id: crate::base::RequestId(id),
        bsid: 1,
        priority: 5,
        reason: "force".into(),
        submitted_at: 1.5,
        properties: properties(),
        sources: vec![SourceStamp { codebase: "cb".into(), branch: None, ..Default::default() }],
    }
}

fn properties() -> Properties {
    let mut properties = Properties::default();
    properties.set("branch", "main", "test");
    properties.set("nothing", serde_json::Value::Null, "test");
    properties.set("deep", json!({"a": null, "list": [1, 2]}), "test");
    properties
}

fn render_input() -> RenderInput {
    let build =
        BuildInput { number: 4, builder: "b".into(), reason: "why".into(), sources: vec![SourceStamp::default()], ..Default::default() };
    RenderInput { properties: properties(), build: Some(build) }
}

#[tokio::test]
async fn every_member_of_the_reference_is_there() {
    // The function walks the list that the page is made of.
    let mut lists = String::new();
    for (object, members) in MEMBERS {
        let names = members.iter().map(|(member, _)| member.split(['(', ':']).next().unwrap()).filter(|name| *name != "NAME");
        let names: Vec<String> = names.map(|name| format!("'{name}'")).collect();
        lists.push_str(&format!("['{object}'] = {{ {} }}, ", names.join(", ")));
    }
    let seen = see(&format!(
        r#"local members = {{ {lists} }}
        local function check(kind, object)
          for _, name in ipairs(members[kind]) do
            assert(object[name] ~= nil, kind .. " has no " .. name)
          end
        end
        return {{
          decide = function(builder, wfb, request)
            check("builder", builder) check("wfb", wfb) check("wfb.worker", wfb.worker) check("request", request)
            check("master", builder.master)
            return true
          end,
          render = function(props)
            check("props", props) check("build", props:getBuild()) check("master", props.master)
            assert(props.build == props:getBuild() and props.build.master == props.master and props.build:getSourceStamp())
            return true
          end,
          condition = function(step) check("step", step) check("build", step.build) return true end,
        }}"#
    ))
    .await;
    let g = &seen.loaded.generation;
    assert_eq!(
        g.can_start_build(seen.function("decide"), &builder(), &[worker("w")], "w", &request(1)).await.unwrap().answer,
        CanStart::Yes
    );
    assert_eq!(g.render(seen.function("render"), &render_input()).await.unwrap(), Value::Bool(true));
    let RenderInput { properties, build } = render_input();
    assert!(g.step_condition(seen.function("condition"), None, &StepInput { name: "s".into(), properties, build }).await.unwrap());
}

#[tokio::test]
async fn rule_12_null_is_nil_in_all_that_callbacks_get() {
    let seen = see(r#"return {
        decide = function(builder, wfb, request)
          assert(request.sources[1].branch == nil and request.properties.nothing == nil and request.properties.deep.a == nil)
          assert(wfb.worker.info.version == nil and wfb.worker.info:getProperty("admin") == "me")
          return true
        end,
        render = function(props)
          assert(props.nothing == nil and props:getProperty("nothing", 1) == nil and props:hasProperty("nothing") and not props.none)
          return props.deep
        end,
        transform = function(a, b, named) assert(a == nil and b.x == nil and named.n == nil and named.one == 1) return 1 end,
    }"#)
    .await;
    let g = &seen.loaded.generation;
    g.can_start_build(seen.function("decide"), &builder(), &[worker("w")], "w", &request(1)).await.unwrap();
    g.render(seen.function("render"), &render_input()).await.unwrap();
    g.transform(seen.function("transform"), vec![json!(null), json!({"x": null}), json!({"n": null, "one": 1})]).await.unwrap();
}

#[tokio::test]
async fn rule_13_data_counts_from_1_and_keeps_its_numbers() {
    let seen = see(r#"return { decide = function(builder, wfb, request)
        assert(request.sources[1] and request.sources[0] == nil and request.sources.cb == request.sources[1])
        assert(math.type(request.id) == "integer" and request.submittedAt == 1.5 and request.properties.deep.list[2] == 2)
        assert(builder:getNewestCompleteTime() == 2 and builder:get_highest_priority() == 1 and builder:getOldestRequestTime() == 3)
        return true
    end }"#)
    .await;
    let asked = seen.loaded.generation.can_start_build(seen.function("decide"), &builder(), &[worker("w")], "w", &request(1)).await;
    assert_eq!(asked.unwrap().answer, CanStart::Yes);
}

#[tokio::test]
async fn renderers_take_values_and_properties_hide_what_is_beside_them() {
    let seen = see(r#"
        local r = util.renderer(function(props, a, b, named) return { props.branch, a, b, named.x } end)
        local w = r:withArgs("one", Property("p"), { x = 1 }):withArgs(nil)
        assert(isinstance(w, util.renderer) and not rawequal(w, r))
        return {
          r = w,
          f = function(props, a, b) return { a = a, n = select('#', props, a, b), build = props.build, master = props.master } end,
        }
    "#)
    .await;
    let Value::Object(r) = seen.get("r") else { panic!() };
    assert_eq!((r.class.as_str(), r.args.items.len(), r.args.items[3].clone()), ("renderer", 4, Value::None));
    assert_eq!(r.args.named.keys().collect::<Vec<_>>(), ["x"]);
    let g = &seen.loaded.generation;
    let mut input = render_input();
    input.properties.set("build", "mine", "test");
    input.properties.set("master", "too", "test");
    let Value::Table(answer) = g.render_with(seen.function("f"), &input, vec![json!("a"), json!(null)]).await.unwrap() else { panic!() };
    assert_eq!(answer.named["a"], text("a"));
    assert_eq!(answer.named["n"], Value::Int(3));
    assert_eq!((&answer.named["build"], &answer.named["master"]), (&text("mine"), &text("too")));
}

/// Answers with what it was asked.
struct Echo;

impl DataSource for Echo {
    fn get<'a>(&'a self, path: &'a str) -> Answer<'a> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            match path {
                "none" => Ok(None),
                "bad" => Err("there is no resource 'bad'".into()),
                path => Ok(Some(json!({"path": path, "rows": [{"n": null, "i": 1}]}))),
            }
        })
    }
}

#[tokio::test]
async fn data_is_asked_by_path_or_parts_and_waits() {
    let seen = see(r#"
        local function get(f) return function(master) return { tostring(f(master)) } end end
        return {
          text = function(props) return props.master.data:get("builders/1/builds?limit=5").path end,
          parts = function(props) return props.master.data:get({ "builders", "a b/c", "builds" }, { limit = 5, field = { "number", "results" } }).path end,
          shape = function(props)
            local answer = props.master.data:get("x")
            assert(answer.rows[1].n == nil and math.type(answer.rows[1].i) == "integer" and props.master.data:get("none") == nil)
            return pcall(props.master.data.get, props.master.data, "bad")
          end,
          bad = function(props) return props.master.data:get("bad") end,
          path = function(props) return props.master.data:get(5) end,
          set = function(props) return props.master.data:set("x") end,
          db = function(props) return props.master.db end,
        }
    "#)
    .await;
    let g = &seen.loaded.generation;
    let ask = async |name: &str| g.render(seen.function(name), &render_input()).await;
    let early = ask("text").await.unwrap_err();
    assert_eq!(
        early.to_string(),
        "master.lua:4: renderer: master.data:get(\"builders/1/builds?limit=5\"): it is for callbacks of a running master, and none runs"
    );
    g.set_data(Arc::new(Echo));
    assert_eq!(ask("text").await.unwrap(), text("builders/1/builds?limit=5"));
    assert_eq!(ask("parts").await.unwrap(), text("builders/a%20b%2Fc/builds?field=number&field=results&limit=5"));
    assert_eq!(ask("shape").await.unwrap(), Value::Bool(false));
    for (name, told) in [
        ("bad", "there is no resource 'bad'"),
        ("path", "needs a path such as"),
        ("set", "master.data is read only"),
        ("db", "use master.data"),
    ] {
        let failed = ask(name).await.unwrap_err();
        assert!(failed.to_string().contains(told) && failed.at.as_ref().is_some_and(|at| at.line > 0), "{name}: {failed}");
    }
    let early = mistakes("BuildmasterConfig.title = master.data:get('builders')").await;
    assert!(early[0].contains("'master' is not defined"), "{early:?}");
}

#[tokio::test]
async fn parameters_of_ones_own_read_what_is_entered() {
    let seen = see(r#"
        local Version = util.StringParameter:extend("Version", { least = 3 })
        function Version:parse_from_arg(text)
          local number = tonumber(Version.super.parse_from_arg(self, text))
          if not number or number < self.least then error("must be " .. self.least .. " or more", 0) end
          return { number = number, name = self.name }
        end
        Version"v"
        local Sum = util.IntParameter:extend("Sum")
        function Sum:parse_from_args(texts)
          local sum = 0
          for _, n in ipairs(Sum.super.parse_from_args(self, texts)) do sum = sum + n end
          return sum
        end
        Sum{ "s", multiple = true }
        local Colour = util.ChoiceStringParameter:extend("Colour", { choices = function(self) return { self.name, "red" } end })
        function Colour:parse_from_arg(text) return Colour.super.parse_from_arg(self, text):upper() end
        Colour"blue"
        util.StringParameter{ "plain", parse_from_arg = function(self, text) return self.name .. text end }
    "#)
    .await;
    let g = &seen.loaded.generation;
    let function = |custom: &str, name: &str| {
        let of = |o: &&Arc<Object>| o.custom_class.as_deref().unwrap_or("") == custom;
        match &seen.objects.iter().find(of).unwrap().args.named[name] {
            Value::Function(f) => f.clone(),
            other => panic!("{other:?}"),
        }
    };
    let version = function("Version", "parse_from_arg");
    assert_eq!(g.parse_parameter(&version, &json!("4")).await.unwrap(), json!({"number": 4, "name": "v"}));
    let refused = g.parse_parameter(&version, &json!("1")).await.unwrap_err();
    assert_eq!(refused.to_string(), "master.lua:5: parse_from_arg: must be 3 or more");
    let sum = function("Sum", "parse_from_args");
    assert_eq!(g.parse_parameter(&sum, &json!(["1", "2"])).await.unwrap(), json!(3));
    assert!(g.parse_parameter(&sum, &json!(["x"])).await.unwrap_err().to_string().contains("parse_from_args: \"x\" is no whole number"));
    assert_eq!(g.choices(&function("Colour", "choices")).await.unwrap(), ["blue", "red"]);
    let colour = function("Colour", "parse_from_arg");
    assert_eq!(g.parse_parameter(&colour, &json!("red")).await.unwrap(), json!("RED"));
    assert!(
        g.parse_parameter(&colour, &json!("green"))
            .await
            .unwrap_err()
            .message
            .contains("\"green\" does not belong to the choices: blue, red")
    );
    assert_eq!(g.parse_parameter(&function("", "parse_from_arg"), &json!("!")).await.unwrap(), json!("plain!"));
}

#[tokio::test]
async fn properties_as_a_whole_are_a_table_of_values() {
    let seen = see("return { f = function(props) return { all = props, plain = props:asDict() } end }").await;
    let Value::Table(answer) = seen.loaded.generation.render(seen.function("f"), &render_input()).await.unwrap() else { panic!() };
    let (Value::Table(all), Value::Table(plain)) = (&answer.named["all"], &answer.named["plain"]) else { panic!("{answer:?}") };
    assert_eq!((all.named.len(), &all.named["branch"]), (3, &text("main")));
    // What is nothing is not there.
    assert_eq!(plain.named.keys().collect::<Vec<_>>(), ["branch", "deep"]);
}

/// As large as what was ported: the budget is for the function, not for what it is told.
#[tokio::test]
async fn a_thousand_builders_and_requests_are_told_within_the_budget() {
    let seen = see(r#"return {
        order = function(master, builders)
          table.sort(builders, function(a, b) return a.name > b.name end)
          return builders
        end,
        last = function(builder, requests) return requests[#requests] end,
    }"#)
    .await;
    let g = &seen.loaded.generation;
    let names: Vec<String> = (0..57).map(|i| format!("w{i}")).collect();
    let workers: Vec<WorkerInput> = names.iter().map(|name| worker(name)).collect();
    let builders: Vec<BuilderInput> =
        (0..1036).map(|i| BuilderInput { name: format!("b{i:04}"), workers: names[i % 40..i % 40 + 10].to_vec(), ..builder() }).collect();
    let began = std::time::Instant::now();
    let order = g.prioritize_builders(seen.function("order"), &builders, &workers).await.unwrap().answer;
    assert_eq!((order.len(), order[0].as_str()), (1036, "b1035"));
    let requests: Vec<RequestInput> = (0..1000).map(request).collect();
    let chosen = g.next_build(seen.function("last"), &builders[0], &workers, &requests).await.unwrap().answer;
    assert_eq!(chosen, Some(crate::base::RequestId(999)));
    println!("{:?}", began.elapsed());
}
