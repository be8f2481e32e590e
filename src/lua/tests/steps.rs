//! The thread's side of steps in Lua: what they leave behind, and how they are ended. Their builds are in `tests/lua_steps.rs`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};

use super::*;
use crate::config::{LuaLimits, StepSpec};
use crate::model::build::Stream;
use crate::model::{LogKind, Results};

/// A build that only knows properties.
#[derive(Default)]
struct Fake(Mutex<Map<String, Json>>);

fn no<T>() -> Result<T, String> {
    Err("not here".into())
}

impl StepHost for Fake {
    fn facts(&self) -> Json {
        json!({ "name": "s", "worker": { "name": "w" }, "build": { "builder": "b" }, "sources": [] })
    }
    fn property(&self, name: &str) -> Option<Json> {
        self.0.lock().unwrap().get(name).cloned()
    }
    fn properties(&self) -> Map<String, Json> {
        self.0.lock().unwrap().clone()
    }
    fn set_property(&self, name: &str, value: Json, _: Option<&str>) -> Result<(), String> {
        self.0.lock().unwrap().insert(name.into(), value);
        Ok(())
    }
    fn render(&self, _: BTreeMap<String, Value>) -> Waiting<Map<String, Json>> {
        Box::pin(async { no() })
    }
    fn add_log(&self, _: &str, _: LogKind) -> Result<i64, String> {
        no()
    }
    fn log_named(&self, _: &str) -> Option<i64> {
        None
    }
    fn write_log(&self, _: i64, _: Stream, _: &[u8]) -> Result<(), String> {
        no()
    }
    fn finish_log(&self, _: i64) -> Result<(), String> {
        no()
    }
    fn read_log(&self, _: i64, _: Vec<Stream>) -> Waiting<Vec<u8>> {
        Box::pin(async { no() })
    }
    fn add_url(&self, _: &str, _: &str) -> Result<(), String> {
        no()
    }
    fn current_state(&self) -> String {
        "running".into()
    }
    fn result_state(&self, _: Results) -> String {
        "finished".into()
    }
    fn summary_due(&self) -> bool {
        true
    }
    fn show_summary(&self, _: Option<String>) {}
    fn set_statistic(&self, _: &str, _: Json) -> Result<(), String> {
        no()
    }
    fn statistic(&self, _: &str) -> Option<Json> {
        None
    }
    fn statistics(&self, _: &str) -> Vec<Json> {
        Vec::new()
    }
    fn add_steps(&self, _: Vec<Arc<StepSpec>>, _: StepsPlace, _: Kept) -> Result<(), String> {
        no()
    }
    fn command_version(&self, command: &str) -> Option<String> {
        (command == "shell").then(|| "3.3".to_owned())
    }
    fn start(&self, _: Work, _: BTreeSet<String>) -> Result<Running, String> {
        let (tell, events) = tokio::sync::mpsc::channel(1);
        let end = WorkEnd { results: Some(Results::Failure), rc: Some(1), ..WorkEnd::default() };
        tell.try_send(WorkEvent::Ended(end)).map_err(|e| e.to_string())?;
        Ok(Running { events, interrupt: tokio_util::sync::CancellationToken::new().drop_guard() })
    }
}

/// The configuration, and the steps of its factory.
async fn loaded(source: &str, limits: LuaLimits) -> (Loaded, Vec<StepSpec>) {
    let folder = Folder::new(&[("master.lua", source)]);
    let config = MasterConfig { limits, ..Default::default() };
    let seen = folder.see_with(folder.options(), config).await.unwrap();
    let objects = seen.objects.iter().filter(|o| o.class == "BuildStep");
    let specs = objects.map(|o| (*crate::config::understood_step(o).unwrap()).clone()).collect();
    (seen.loaded, specs)
}

async fn run(generation: &Arc<Generation>, spec: &StepSpec, host: &Arc<Fake>) -> Result<StepAnswer, LuaFailure> {
    let instance = generation.begin_step(spec, spec.script.as_ref().unwrap()).await?;
    instance.run(host.clone()).await
}

#[tokio::test]
async fn a_step_that_has_ended_does_nothing_more_and_holds_nothing() {
    let source = "
        local kept
        local S = steps.BuildStep:extend('S')
        function S:run()
          if kept then kept:setProperty('late', 1) end
          kept = self
          self:setProperty('n', (self:getProperty('n') or 0) + 1)
          return SUCCESS
        end
        local s = S()";
    let (loaded, specs) = loaded(source, LuaLimits::default()).await;
    let host = Arc::new(Fake::default());
    assert_eq!(run(&loaded.generation, &specs[0], &host).await.unwrap().results, Results::Success);
    assert_eq!(host.properties().get("n"), Some(&json!(1)));
    // The file still has the instance; the build it belonged to is free.
    assert!(eventually(|| Arc::strong_count(&host) == 1).await, "the host's side is still held");
    let failed = run(&loaded.generation, &specs[0], &host).await.unwrap_err();
    assert!(failed.message.contains("the step has ended"), "{failed}");
    assert_eq!(failed.callback, "S:run");
    assert!(host.property("late").is_none());
}

#[tokio::test]
async fn a_run_that_is_dropped_ends_at_once() {
    let source = "
        local S = steps.BuildStep:extend('S')
        function S:run()
          local done <close> = setmetatable({}, { __close = function() self:setProperty('closed', true) end })
          self:setProperty('begun', true)
          sleep(1000)
        end
        local s = S()
        local L = steps.BuildStep:extend('L')
        function L:run() while true do end end
        local l = L()";
    let (loaded, specs) = loaded(source, LuaLimits { step_stretch: Duration::from_millis(300), ..LuaLimits::default() }).await;
    let (generation, host) = (loaded.generation.clone(), Arc::new(Fake::default()));
    let script = specs[0].script.as_ref().unwrap();
    let instance = generation.begin_step(&specs[0], script).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_millis(200), instance.run(host.clone())).await;
    assert!(ended.is_err());
    assert!(host.property("begun").is_some());
    assert!(eventually(|| host.property("closed").is_some()).await, "what the step left open was not closed");
    drop(instance);
    assert!(eventually(|| Arc::strong_count(&host) == 1).await, "the host's side is still held");

    let looping = run(&generation, &specs[1], &host).await.unwrap_err();
    assert!(looping.to_string().starts_with("master.lua:10: L:run: computed for 300 ms without waiting"), "{looping}");
}

#[tokio::test]
async fn an_init_that_fails_in_a_build_fails_the_step() {
    let source = "
        local n = 0
        local S = steps.BuildStep:extend('S', { args = { x = 'string' } })
        function S:init(args)
          n = n + 1
          if n == 2 then error('not the second time') end
          if n == 5 then while true do end end
          S.super.init(self, { timeout = n == 3 and 'long' or 5 })
        end
        function S:run() return SUCCESS end
        local s = S{ x = 'x' }";
    let (loaded, specs) = loaded(source, LuaLimits { step_stretch: Duration::from_millis(300), ..LuaLimits::default() }).await;
    let host = Arc::new(Fake::default());
    let second = run(&loaded.generation, &specs[0], &host).await.unwrap_err();
    assert_eq!(second.to_string(), "master.lua:6: S:init: not the second time");
    let third = run(&loaded.generation, &specs[0], &host).await.unwrap_err();
    assert!(third.to_string().contains("S:init") && third.message.contains("'timeout' must be"), "{third}");
    assert!(run(&loaded.generation, &specs[0], &host).await.is_ok());
    let fifth = run(&loaded.generation, &specs[0], &host).await.unwrap_err();
    assert!(fifth.to_string().starts_with("master.lua:7: S:init: computed for 300 ms"), "{fifth}");
}

#[tokio::test]
async fn an_init_that_waits_in_a_build_is_ended() {
    let source = "
        local S, made, closed = steps.BuildStep:extend('S'), 0, 0
        function S:init(args)
          S.super.init(self, args)
          made = made + 1
          if made > 1 then
            local done <close> = setmetatable({}, { __close = function() closed = closed + 1 end })
            sleep(1000)
          end
        end
        function S:run() return SUCCESS end
        local s = S()
        local Told = steps.BuildStep:extend('Told')
        function Told:run() self:setProperty('closed', closed) return SUCCESS end
        local t = Told()";
    let (loaded, specs) = loaded(
        source,
        LuaLimits { step_stretch: Duration::from_millis(300), callback_timeout: Some(Duration::from_millis(200)), ..LuaLimits::default() },
    )
    .await;
    let (generation, host) = (&loaded.generation, Arc::new(Fake::default()));
    let script = specs[0].script.as_ref().unwrap();
    let begun = tokio::time::timeout(Duration::from_secs(20), generation.begin_step(&specs[0], script)).await;
    let failed = begun.expect("it waits for ever").map(|_| ()).unwrap_err();
    assert_eq!(failed.to_string(), "master.lua:12: S:init: did not return within 500 ms: init may not wait");
    let abandoned = tokio::time::timeout(Duration::from_millis(100), generation.begin_step(&specs[0], script)).await;
    assert!(abandoned.is_err());
    for _ in 0..20 {
        run(generation, &specs[1], &host).await.unwrap();
    }
    assert_eq!(host.property("closed"), Some(json!(2)), "the init goes on though nobody waits for it");
}

#[tokio::test]
async fn versions_of_commands_are_compared_number_by_number() {
    let source = "
        local S = steps.BuildStep:extend('S')
        function S:run()
          for version, older in pairs{ ['3.3'] = false, ['3.3.0'] = true, ['3.10'] = true, ['3'] = false, ['2.9.9'] = false, ['4'] = true } do
            assert(self:workerVersionIsOlderThan('shell', version) == older, version)
          end
          assert(self:workerVersionIsOlderThan('none', '0'))
          local ok, e = pcall(self.workerVersionIsOlderThan, self, 'shell')
          assert(not ok and e:find('workerVersionIsOlderThan: the version must be text, got nil', 1, true), e)
          return SUCCESS
        end
        local s = S()";
    let (loaded, specs) = loaded(source, LuaLimits::default()).await;
    run(&loaded.generation, &specs[0], &Arc::new(Fake::default())).await.unwrap();
}

#[tokio::test]
async fn a_command_that_fails_ends_its_step_and_hides_no_other_error() {
    let source = "
        local S = steps.BuildStep:extend('S', { mixins = { steps.CommandMixin }, args = { goes_on = 'boolean' } })
        function S:run()
          local ok, e = pcall(self.runMkdir, self, 'x')
          assert(not ok)
          if self.goes_on then error('something else') end
          error(e, 0)
        end
        local a, b = S{ goes_on = false }, S{ goes_on = true }";
    let (loaded, specs) = loaded(source, LuaLimits::default()).await;
    let host = Arc::new(Fake::default());
    assert_eq!(run(&loaded.generation, &specs[0], &host).await.unwrap().results, Results::Failure);
    let failed = run(&loaded.generation, &specs[1], &host).await.unwrap_err();
    assert_eq!(failed.to_string(), "master.lua:6: S:run: something else");
}

/// They would take 80 MB.
#[tokio::test]
async fn steps_that_can_not_be_added_are_forgotten() {
    let source = "
        local S = steps.BuildStep:extend('S', { args = { x = 'string' } })
        function S:run() return SUCCESS end
        local Adds = steps.BuildStep:extend('Adds')
        function Adds:run()
          for i = 1, 800 do
            local fine = S{ x = ('%d '):format(i):rep(25000) }
            local ok = pcall(self.addStepsAfterCurrentStep, self, i % 2 == 0 and { fine } or { fine, 'no step' })
            assert(not ok)
            sleep(0.001)
          end
          return SUCCESS
        end
        local s = Adds()";
    let (loaded, specs) = loaded(source, LuaLimits { memory_bytes: 24 << 20, ..LuaLimits::default() }).await;
    run(&loaded.generation, &specs[0], &Arc::new(Fake::default())).await.unwrap();
}

/// As a build does that ends.
#[tokio::test]
async fn a_step_of_the_file_outlives_a_build_that_adds_it() {
    let source = "
        local S = steps.BuildStep:extend('S')
        function S:run() return SUCCESS end
        local shared = S()
        local Adds = steps.BuildStep:extend('Adds')
        function Adds:run()
          local ok = pcall(self.addStepsAfterCurrentStep, self, { shared, shared })
          assert(not ok)
          sleep(0.01)
          return SUCCESS
        end
        local a = Adds()";
    let (loaded, specs) = loaded(source, LuaLimits::default()).await;
    let host = Arc::new(Fake::default());
    run(&loaded.generation, &specs[1], &host).await.unwrap();
    run(&loaded.generation, &specs[0], &host).await.expect("the step of the file");
}
