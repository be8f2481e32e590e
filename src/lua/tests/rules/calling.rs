//! Rules 1 to 4: how classes and methods are called.

use super::super::slips::{THIRD, all_told, told};
use super::*;

#[tokio::test]
async fn rule_01_a_lone_table_is_the_argument_table_and_an_object_is_positional() {
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
async fn rule_01_a_lone_table_that_was_meant_as_the_first_argument() {
    all_told(&[
        ("local branch = { zzz = 1 }\nlocal p = Worker(branch)", "master.lua:4: Worker: ", "a lone table is the argument table"),
        ("local p = Worker{ nam = 'x' }", THIRD, "did you mean 'name'?"),
        (
            "local other = { zzz = 1 }\nlocal p = util.BuildFactory(other)",
            "master.lua:4: ",
            "to give it as 'steps' write BuildFactory{ { … } }",
        ),
    ])
    .await;
    assert!(!told("local p = Worker{ nam = 'x' }").await.contains("lone table"));
}

#[tokio::test]
async fn rule_02_a_lone_table_of_what_the_class_holds_is_its_list() {
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
async fn rule_02_a_lone_table_of_names_is_the_dictionary() {
    let seen = see(r#"
        steps.SetProperties{ a = 1, b = "x" }
        steps.SetProperties{ { a = 1, b = "x" } }
        steps.SetProperties{ properties = { a = 1, b = "x" } }
        steps.SetProperties({ a = 1, b = "x" }, { haltOnFailure = true })
        steps.ShellSequence{ util.ShellArg{ command = "a" }, util.ShellArg{ command = "b" } }
        steps.ShellSequence{ { util.ShellArg{ command = "a" } }, workdir = "w" }
    "#)
    .await;
    for object in seen.objects.iter().filter(|o| o.class == "SetProperties") {
        let given = object.args.named.get("properties").or(object.args.items.first()).unwrap();
        assert!(matches!(given, Value::Table(t) if t.named.len() == 2 && t.named["b"] == text("x")), "{object:?}");
    }
    let wrong = told("local s = steps.SetProperties{ a = 1, haltOnFailure = true }").await;
    assert!(wrong.contains("master.lua:3: SetProperties: unknown argument 'a'; beside other arguments write properties = {"), "{wrong}");
}

#[tokio::test]
async fn rule_03_methods_take_lists_and_plain_arguments() {
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
async fn rule_04_a_table_of_the_file_is_never_changed() {
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

/// The commands of the steps of each builder's factory.
async fn commands(factories: &str) -> Vec<String> {
    let file = format!(
        r#"
        local c = BuildmasterConfig
        local function s(command) return steps.ShellCommand{{ command = command }} end
        local factories = {{ {factories} }}
        c.workers, c.builders = {{ LocalWorker{{"w"}} }}, {{}}
        for i, f in ipairs(factories) do
            f:addStep(s"z")
            c.builders[i] = util.BuilderConfig{{ name = "b" .. i, workernames = "w", factory = f }}
        end
    "#
    );
    let folder = Folder::new(&[("master.lua", &file)]);
    let config = load(folder.options()).await.expect("a good file").config;
    let command = |step: &Arc<crate::config::StepSpec>| match &step.kind {
        crate::config::StepKind::Shell(shell) => match &shell.command {
            crate::config::Arg::Const(crate::config::CommandLine::Shell(text)) => text.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    config.builders.iter().map(|b| b.factory.steps.iter().map(command).collect()).collect()
}

#[tokio::test]
async fn a_step_that_is_added_joins_those_that_were_given_in_whatever_way() {
    let ways = r#"
        util.BuildFactory(), util.BuildFactory{ steps = None },
        util.BuildFactory{ s"a", s"b" }, util.BuildFactory{ { s"a", s"b" } }, util.BuildFactory{ steps = { s"a", s"b" } },
        util.BuildFactory{ s"a", s"b", workdir = "x" }, util.BuildFactory(s"a", s"b"), util.BuildFactory(s"a", s"b", { workdir = "x" }),
        util.BuildFactory{ { s"a" }, s"b", workdir = "x" }
    "#;
    assert_eq!(commands(ways).await, ["z", "z", "abz", "abz", "abz", "abz", "abz", "abz", "abz"]);
}

#[tokio::test]
async fn a_list_of_steps_with_a_hole_is_told_and_no_step_is_lost() {
    let step = |name: &str| format!("steps.ShellCommand{{ command = '{name}' }}");
    let (a, b) = (step("a"), step("b"));
    all_told(&[
        (&format!("f:addSteps{{ {a}, nil, {b} }}"), THIRD, "BuildFactory: addSteps: item 2 of the list is nil, and more follows"),
        (&format!("f:addSteps({a}, nil, {b})"), THIRD, "BuildFactory: addStep needs a step, got nil"),
        ("f:addSteps(nil)", THIRD, "BuildFactory: addStep needs a step, got nil"),
        (&format!("f:addSteps{{ {a}, workdir = 'x' }}"), THIRD, "BuildFactory: addSteps takes a list of steps, got the key 'workdir'"),
        ("f:addStep(LocalWorker{ 'w' })", THIRD, "BuildFactory: addStep needs a step, got a LocalWorker"),
        (&format!("local g = util.BuildFactory{{ {{ {a}, nil, {b} }} }}\ng:addStep({a})"), THIRD, "'steps' has the key [3]"),
    ])
    .await;
}
