//! Calls of backends in Lua: what `self` is, what answers are taken, what each deadline ends.

use serde_json::{Map, Value as Json, json};

use super::*;
use crate::base::Secret;
use crate::model::LaunchId;

const SECOND: Duration = Duration::from_secs(1);

/// The methods of the only backend of a file.
struct Backend {
    seen: Seen,
    object: Arc<Object>,
}

async fn backend(text: &str) -> Backend {
    let seen = Folder::new(&[("master.lua", text)]).see().await.unwrap();
    let object = seen.objects.iter().find(|o| o.own.is_some()).unwrap().clone();
    Backend { seen, object }
}

fn me() -> BackendSelf {
    BackendSelf {
        worker: "bot".into(),
        password: Some(Secret::new("pw")),
        launch: Some(LaunchId("abc".into())),
        master_id: "m1".into(),
        master_port: Some(9989),
        ..BackendSelf::default()
    }
}

impl Backend {
    fn method(&self, name: &str, limit: Duration) -> Method<'_> {
        Method { class: "Rack", function: &self.object.own.as_ref().unwrap().methods[name], limit }
    }

    async fn start(&self, me: &BackendSelf) -> Result<StartAnswer, String> {
        let build = json!({ "builder": "b", "workername": "bot", "reason": "why", "sources": [] });
        let properties = Map::from_iter([("size".to_owned(), json!("big")), ("none".to_owned(), Json::Null)]);
        let answer = self.seen.loaded.generation.start_instance(self.method("start_instance", SECOND), me, build, properties).await;
        answer.map_err(|e| e.to_string())
    }

    async fn stop(&self, handle: Json) -> Result<(), String> {
        let method = self.method("stop_instance", SECOND);
        let me = BackendSelf { password: None, ..me() };
        self.seen.loaded.generation.stop_instance(method, &me, handle, true).await.map_err(|e| e.to_string())
    }

    async fn check(&self, handle: Json) -> Result<Result<(), String>, String> {
        let method = self.method("check_instance", SECOND);
        self.seen.loaded.generation.check_instance(method, &me(), handle).await.map_err(|e| e.to_string())
    }

    async fn list(&self) -> Result<Vec<(LaunchId, Json)>, String> {
        let method = self.method("list_instances", SECOND);
        self.seen.loaded.generation.list_instances(method, &me()).await.map_err(|e| e.to_string())
    }
}

fn started(handle: Json, status: &[&str]) -> Result<StartAnswer, String> {
    Ok(StartAnswer::Started { handle, status: status.iter().map(ToString::to_string).collect(), price_per_hour: None })
}

#[tokio::test]
async fn self_is_the_instance_with_what_the_call_is_about() {
    let b = backend(r#"
        local Base = LatentWorker:extend("Base", { args = { url = "string", size = { "string", default = "small" }, key = "string?" }, kind = "base" })
        function Base:start_instance(build) return { handle = self:where() } end
        function Base:where() return self.url .. "/" .. self.name end
        local Rack = Base:extend("Rack", { kind = "rack" })
        function Rack:init(args)
          self.made = "at load"
          Rack.super.init(self, args)
        end
        function Rack:start_instance(build)
          assert(isinstance(self, Rack) and self:isinstance(Base) and not isinstance(self, worker.LocalWorker))
          assert(self.name == "bot" and self.workername == "bot" and self.password == "pw" and self.launch_id == "abc")
          assert(self.master_id == "m1" and self.master_host == nil and self.master_port == 9989)
          assert(self.size == "small" and self.key == nil and self.kind == "rack" and self.made == "at load" and self.max_builds == nil)
          assert(build.builder.name == "b" and build.properties.size == "big" and build:getProperty("none") == nil and build.reason == "why")
          assert(build.number == nil and not pcall(function() self.password = "x" end))
          self.starts = (self.starts or 0) + 1
          local answer = Rack.super.start_instance(self, build)
          answer.status = { "start", self.starts }
          return answer
        end
        function Rack:stop_instance(handle, fast)
          assert(self.password == nil and self.launch_id == "abc" and fast == true)
          assert(handle.id == 7 and handle.none == nil and self.starts == 2, tostring(self.starts))
        end
        Rack{ "bot", "secret", url = "u" }
    "#)
    .await;
    let handle = json!("u/bot");
    assert_eq!(b.start(&me()).await, started(handle.clone(), &["start", "1"]));
    assert_eq!(b.start(&me()).await, started(handle, &["start", "2"]));
    assert_eq!(b.stop(json!({ "id": 7, "none": null })).await, Ok(()));
    // Another worker of a pool has fields of its own.
    let other = BackendSelf { worker: "bot-2".into(), ..me() };
    assert!(b.start(&other).await.unwrap_err().contains("assertion failed"), "its name is another");
}

#[tokio::test]
async fn what_was_rendered_stands_for_the_argument() {
    let b = backend(
        r#"
        local Rack = LatentWorker:extend("Rack", { args = { image = "string", key = "string", tags = "list<string>?", f = "function?" } })
        function Rack:start_instance() return { handle = { self.image, self.key, self.tags or None, self.f() } } end
        function Rack:stop_instance() log.info(self.key) end
        Rack{ "bot", image = util.Interpolate("%(prop:os)s"), key = util.Secret("k"), f = function() return "kept" end }
    "#,
    )
    .await;
    assert_eq!(b.object.own.as_ref().unwrap().rendered, ["image", "key"]);
    let with = |rendered: Json| BackendSelf { rendered: rendered.as_object().unwrap().clone(), ..me() };
    assert_eq!(b.start(&with(json!({ "image": "deb", "key": "k" }))).await, started(json!(["deb", "k", null, "kept"]), &[]));
    assert_eq!(
        b.start(&with(json!({ "image": 5, "key": "k" }))).await,
        Ok(StartAnswer::ConfigError("master.lua:5: 'image' must be string, got 5".into()))
    );
    let told = BackendSelf { unrendered: json!({ "key": "'key' can't be rendered: no provider" }).as_object().unwrap().clone(), ..me() };
    let method = b.method("stop_instance", SECOND);
    let failed = b.seen.loaded.generation.stop_instance(method, &told, Json::Null, false).await.unwrap_err();
    assert_eq!(failed.to_string(), "master.lua:4: Rack:stop_instance: 'key' can't be rendered: no provider");
}

#[tokio::test]
async fn each_deadline_ends_its_call_with_name_and_place() {
    let b = backend(
        r#"
        local Rack = LatentWorker:extend("Rack")
        function Rack:start_instance()
          sleep(100)
        end
        function Rack:stop_instance() while true do end end
        function Rack:check_instance() sleep(100) end
        function Rack:list_instances() http.get("http://127.0.0.1:1/", { timeout = 100 }) sleep(100) end
        Rack{ "bot" }
    "#,
    )
    .await;
    let told = |line: u32, name: &str| format!("master.lua:{line}: Rack:{name}: did not return within its budget of 1.0 s");
    assert_eq!(b.start(&me()).await.unwrap_err(), told(3, "start_instance"));
    assert_eq!(b.stop(json!(1)).await.unwrap_err(), told(6, "stop_instance"));
    assert_eq!(b.check(Json::Null).await.unwrap_err(), told(7, "check_instance"));
    assert!(b.list().await.unwrap_err().starts_with("master.lua:8: Rack:list_instances: "));
}

/// One backend whose answer is what its property says.
async fn answering(what: &str, answer: &str) -> Backend {
    let method = format!("{what}_instance{}", if what == "list" { "s" } else { "" });
    let other = if what == "start" { "stop" } else { "start" };
    let other = format!("function Rack:{other}_instance() end\n");
    backend(&format!("local Rack = LatentWorker:extend(\"Rack\")\n{other}function Rack:{method}(...) {answer} end\nRack{{ \"bot\" }}"))
        .await
}

#[tokio::test]
async fn answers_are_checked() {
    for (answer, handle, status) in [
        ("", Json::Null, vec![]),
        ("return true", Json::Null, vec![]),
        ("return { 'a', 7 }", Json::Null, vec!["a", "7"]),
        ("return { handle = 5 }", json!(5), vec![]),
        ("return { handle = { a = { 1, None } }, status = 'up' }", json!({ "a": [1, null] }), vec!["up"]),
        ("return {}", Json::Null, vec![]),
    ] {
        assert_eq!(answering("start", answer).await.start(&me()).await, started(handle, &status), "{answer}");
    }
    let again = Duration::from_millis(1500);
    for (answer, told) in [
        ("return false", StartAnswer::Capacity("start_instance returned false: not now".into())),
        ("latent.capacity('full')", StartAnswer::Capacity("master.lua:3: full".into())),
        ("pcall(latent.capacity, 'full') latent.retry('soon', 1.5)", StartAnswer::Retry("master.lua:3: soon".into(), again)),
        ("local ok, e = pcall(latent.config_error, 'never') error(e)", StartAnswer::ConfigError("master.lua:3: never".into())),
        ("gather{ function() latent.capacity('inner') end }", StartAnswer::Capacity("master.lua:3: inner".into())),
    ] {
        assert_eq!(answering("start", answer).await.start(&me()).await, Ok(told), "{answer}");
    }
    for (what, answer, told) in [
        ("start", "return { 'a', {} }", "the list that it returned: item 2 must be a short text, got a table"),
        ("start", "return 'up'", "must return { handle = …, status = { … } }, a list of short texts, false or nothing, got \"up\""),
        ("start", "return { handle = 1, stats = {} }", "returned a table with the unknown name 'stats' (did you mean 'status'?)"),
        ("start", "return { handle = 1, status = 5 }", "status must be a list of short texts, got 5"),
        ("start", "return { handle = print }", "the handle must be plain data, got a function of the library"),
        ("start", "return { handle = 1, price_per_hour = 'much' }", "price_per_hour must be a number, got \"much\""),
        ("start", "latent.retry('soon', -1)", "latent.retry needs the seconds until the next try second (at most a day), got -1"),
        ("start", "latent.capacity()", "latent.capacity needs a text that says why, got nil"),
        ("stop", "return false", "returned false: the instance is not known to be gone"),
        ("check", "return 'well'", "must return true, or false and why it is not well, got \"well\""),
        ("check", "return false, 5", "the second result must be a text, got 5"),
        ("list", "return 'none'", "must return a list of { handle = …, launch_id = … }, got \"none\""),
        (
            "list",
            "return { { handle = 1 } }",
            "item 1 has no launch_id: list the instances that carry this master's mark only (self.master_id), got nil",
        ),
        ("list", "return { instances = {} }", "must return a list of { handle = …, launch_id = … }, got a table of names"),
        ("list", "return { { handle = print, launch_id = 'l' } }", "item 1: the handle must be plain data, got a function of the library"),
    ] {
        let b = answering(what, answer).await;
        let failed = match what {
            "start" => b.start(&me()).await.unwrap_err(),
            "stop" => b.stop(Json::Null).await.unwrap_err(),
            "check" => b.check(Json::Null).await.unwrap_err(),
            _ => b.list().await.unwrap_err(),
        };
        let method = format!("{what}_instance{}", if what == "list" { "s" } else { "" });
        assert_eq!(failed, format!("master.lua:3: Rack:{method}: {told}"), "{answer}");
    }
    assert_eq!(answering("check", "return true, ''").await.check(Json::Null).await, Ok(Ok(())));
    assert_eq!(answering("check", "return false, 'it smokes'").await.check(Json::Null).await, Ok(Err("it smokes".into())));
    let listed = answering("list", "return { { handle = { 1 }, launch_id = 'l', more = true } }").await.list().await;
    assert_eq!(listed, Ok(vec![(LaunchId("l".into()), json!([1]))]));
    assert_eq!(answering("list", "return {}").await.list().await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_start_that_left_no_handle_is_stopped_by_that_of_the_list() {
    let b = backend(
        r#"
        local Rack = LatentWorker:extend("Rack")
        function Rack:start_instance() return { "started" } end
        function Rack:stop_instance(handle) assert(handle == self.expected, tostring(handle)) end
        function Rack:list_instances()
          self.expected = self.expected and None or 7
          return self.expected == 7 and { { launch_id = "other", handle = 6 }, { launch_id = self.launch_id, handle = 7 } } or {}
        end
        Rack{ "bot" }
    "#,
    )
    .await;
    assert_eq!(b.stop(Json::Null).await, Ok(()));
    assert!(b.stop(json!(8)).await.unwrap_err().contains("8"), "a handle that is there counts");
}
