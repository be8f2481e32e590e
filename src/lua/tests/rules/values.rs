//! Rules 12 to 17: values and when they are read.

use super::super::slips::all_told;
use super::*;

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
    assert_eq!(t.strange_key.as_deref(), Some("[true]"));
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
async fn rule_17_parts_of_time_become_seconds() {
    let seen = see(r#"
        local t = util.timedelta
        return { a = t{ days = 180 }, b = t{ hours = 1, minutes = 30, seconds = 5 }, c = t(1), d = t{ weeks = 1, milliseconds = 500 }, e = t{} }
    "#)
    .await;
    let all: Vec<_> = ["a", "b", "c", "d", "e"].iter().map(|n| seen.get(n).clone()).collect();
    assert_eq!(all, [Value::Int(15_552_000), Value::Int(5405), Value::Int(86_400), Value::Float(604_800.5), Value::Int(0)]);
    all_told(&[
        ("local t = util.timedelta{ day = 1 }", "master.lua:3: timedelta: ", "unknown argument 'day' (did you mean 'days'?)"),
        ("local t = util.timedelta{ days = 'x' }", "master.lua:3: timedelta: ", "'days' must be a number, got \"x\""),
        ("local t = util.timedelta{ 1, days = 2 }", "master.lua:3: timedelta: ", "'days' given twice"),
    ])
    .await;
}

#[tokio::test]
async fn rule_14_a_float_in_a_command_is_a_mistake_wherever_it_stands() {
    let source = "
local f = util.BuildFactory()
f:addStep(steps.ShellCommand{ command = { 'sleep', 1200 * 1.5 } })
f:addStep(steps.ShellCommand{ command = { 'sleep', { Property('x'), { 0.5 } } } })
f:addStep(steps.ShellSequence{ util.ShellArg{ command = { 'sleep', 7 / 7 } } })
f:addStep(steps.ShellCommand{ command = { 'sleep', 1200 * 3 // 2, math.tointeger(1200 * 1.5) } })";
    let told = whole(source).await;
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!(
        told[0],
        "master.lua:3: ShellCommand: command[2] must be text or a whole number, got 1800.0 (a float: write math.tointeger(x))"
    );
    assert!(
        told[1].starts_with("master.lua:4: ShellCommand: command[2]") && told[1].contains("got 0.5 (a float: write tostring(x))"),
        "{told:?}"
    );
    assert!(told[2].starts_with("master.lua:5: ShellArg: command[2]") && told[2].contains("got 1.0 (a float"), "{told:?}");
}

#[tokio::test]
async fn rule_16_steps_may_share_a_name_and_builders_workers_and_schedulers_may_not() {
    let source = "
local c = BuildmasterConfig
c.workers = { LocalWorker{ 'w' } }
local function s() local made = steps.ShellCommand{ name = 'compile', command = 'make' } return made end
local f = util.BuildFactory{ s(), s() }
f:addStep(s())
c.builders = { util.BuilderConfig{ name = 'b', workernames = 'w', factory = f } }
c.schedulers = { schedulers.ForceScheduler{ name = 'force', builderNames = { 'b' } } }
";
    let loaded = load(Folder::new(&[("master.lua", source)]).options()).await.unwrap();
    let names = loaded.config.builders[0].factory.steps.iter().map(|s| s.name.clone());
    assert_eq!(names.collect::<Vec<_>>(), ["compile", "compile_1", "compile_2"].map(|n| crate::config::Arg::Const(n.to_owned())));

    let twice = format!(
        "{source}
c.workers[2] = LocalWorker{{ 'w' }}
c.builders[2] = util.BuilderConfig{{ name = 'b', workernames = 'w', factory = f }}
c.schedulers[2] = schedulers.ForceScheduler{{ name = 'force', builderNames = {{ 'b' }} }}"
    );
    assert_eq!(
        whole(&twice).await,
        [
            "master.lua:10: LocalWorker \"w\": the name is taken by LocalWorker \"w\" (master.lua:3) already",
            "master.lua:11: BuilderConfig \"b\": the name is taken by BuilderConfig \"b\" (master.lua:7) already",
            "master.lua:12: ForceScheduler \"force\": the name is taken by ForceScheduler \"force\" (master.lua:8) already",
        ]
    );
}

#[tokio::test]
async fn rule_16_a_key_that_is_neither_a_name_nor_a_number_is_told_beside_numbers() {
    let told = whole("local s = steps.ShellCommand{ command = 'x', decodeRC = { [0] = SUCCESS, [2.5] = FAILURE } }").await;
    let expected = "'decodeRC' must be a table of exit codes and results such as { [0] = util.SUCCESS }, got the key 2.5";
    assert!(told.iter().any(|t| t.ends_with(expected)), "{told:?}");
}

#[tokio::test]
async fn rule_17_durations_are_numbers_texts_or_parts_of_time() {
    let source = "
local c = BuildmasterConfig
c.workers = {
  LocalWorker{ 'a', missing_timeout = 5400 },
  LocalWorker{ 'b', missing_timeout = '1h30m' },
  LocalWorker{ 'c', missing_timeout = util.timedelta{ hours = 1, minutes = 30 } },
  LocalWorker{ 'd', missing_timeout = '180d' },
}";
    let loaded = load(Folder::new(&[("master.lua", source)]).options()).await.unwrap();
    let seconds = loaded.config.workers.iter().map(|w| w.missing_timeout.unwrap().as_secs());
    assert_eq!(seconds.collect::<Vec<_>>(), [5400, 5400, 5400, 180 * 86_400]);
    let wrong = whole("local w = LocalWorker{ 'a', missing_timeout = 'soon' }").await;
    assert!(wrong[0].contains("'missing_timeout' must be a number of seconds or a duration"), "{wrong:?}");
}
