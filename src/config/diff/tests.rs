//! Each argument of each class, changed by itself, is told with what becomes of it; what is not different is not told.

use super::*;
use crate::config::class::{ClassDecl, classes};
use crate::config::convert;
use crate::config::testing::{object, place, table};

/// A configuration of these objects and keys, not checked.
fn said(root: Table, objects: &[&Arc<Object>], functions: &[(u32, u64)]) -> MasterConfig {
    MasterConfig {
        said: Said {
            root: Arc::new(root),
            objects: Arc::new(objects.iter().map(|o| Arc::clone(o)).collect()),
            functions: Arc::new(functions.iter().copied().collect()),
            derived_names: Arc::default(),
        },
        ..MasterConfig::default()
    }
}

fn texts(old: &MasterConfig, new: &MasterConfig) -> Vec<String> {
    diff(old, new).list.iter().map(Change::to_string).collect()
}

fn of_objects(old: &[&Arc<Object>], new: &[&Arc<Object>]) -> Vec<String> {
    texts(&said(Table::default(), old, &[]), &said(Table::default(), new, &[]))
}

/// An object whose differences are told by themselves, with this one in it.
fn holder(class: &ClassDecl, inner: &Arc<Object>) -> Arc<Object> {
    let named = |class: &str, key: &str| {
        object(
            class,
            1,
            Table { named: [("name".into(), "n".into()), (key.into(), inner.into())].into_iter().collect(), ..Table::default() },
        )
    };
    match class.kind {
        ClassKind::Worker | ClassKind::Builder | ClassKind::Scheduler | ClassKind::Reporter => inner.clone(),
        ClassKind::Parameter => named("ForceScheduler", "reason"),
        _ => named("BuilderConfig", "factory"),
    }
}

#[test]
fn every_argument_of_every_class_states_what_a_reload_does() {
    for class in classes() {
        for arg in &class.args {
            let reload = arg.reload;
            assert!(reload.is_some(), "{} {}: say what a reload does with it, in its declaration", class.name, arg.name);
            let named = arg.name == "name"
                && matches!(class.kind, ClassKind::Worker | ClassKind::Builder | ClassKind::Scheduler | ClassKind::Reporter);
            assert_eq!(reload == Some(Reload::Identity), named, "{} {}", class.name, arg.name);
        }
    }
    let mut keys: Vec<(String, Vec<ArgDecl>)> = vec![(String::new(), root::keys())];
    while let Some((path, declared)) = keys.pop() {
        for key in declared {
            let path = join(&path, key.name);
            assert!(key.reload.is_some(), "BuildmasterConfig.{path}: say what a reload does with it, in its declaration");
            keys.extend(root::settings_of(&path).map(|inner| (path, inner)));
        }
    }
}

#[test]
fn every_argument_of_every_class_is_told_by_itself() {
    for class in classes().iter().filter(|c| !c.open) {
        for arg in class.args.iter().filter(|a| a.reload != Some(Reload::Identity)) {
            let with = |value: Option<&str>| {
                let mut args = table![; name = "n"];
                if !class.args.iter().any(|a| a.name == "name") {
                    args.named.clear();
                }
                args.named.extend(value.map(|v| (arg.name.to_owned(), v.into())));
                holder(class, &object(class.name, 1, args))
            };
            let (without, one, other) = (with(None), with(Some("an older value")), with(Some("a newer value")));
            for (old, new) in [(&without, &one), (&one, &other), (&other, &without)] {
                let (old, new) = (said(Table::default(), &[old], &[]), said(Table::default(), &[new], &[]));
                let changes = diff(&old, &new).list;
                let [Change { kind: Kind::Changed, fields, .. }] = changes.as_slice() else {
                    panic!("{} {}: {changes:?}", class.name, arg.name)
                };
                let [field] = fields.as_slice() else { panic!("{} {}: {fields:?}", class.name, arg.name) };
                assert!(field.name.ends_with(arg.name), "{} {}: {field:?}", class.name, arg.name);
                assert_eq!(Some(field.reload), arg.reload, "{} {}", class.name, arg.name);
                let shown = format!("{}{}", field.old, field.new);
                assert_eq!(shown.contains("value"), !arg.secret, "{} {}: {shown}", class.name, arg.name);
            }
            for object in [&without, &one] {
                assert_eq!(of_objects(&[object], &[object]), [""; 0], "{} {}", class.name, arg.name);
            }
        }
    }
}

#[test]
fn a_default_that_is_written_down_is_no_change() {
    let plain = object("Worker", 1, table!["w", "x"]);
    let written = object(
        "Worker",
        7,
        table![; slavename = "w", password = "x", max_builds = Value::None, missing_timeout = 3600, properties = Table::default()],
    );
    assert_eq!(of_objects(&[&plain], &[&written]), [""; 0]);
    let step = |args: Table| object("ShellCommand", 3, args);
    let one = object("BuildFactory", 1, table![&step(table![; command = "make"])]);
    let same = object("BuildFactory", 1, table![; steps = table![&step(table![; command = "make", haltOnFailure = false])]]);
    let builder = |factory: &Arc<Object>| object("BuilderConfig", 1, table![; name = "b", factory = factory]);
    assert_eq!(of_objects(&[&builder(&one)], &[&builder(&same)]), [""; 0]);
}

#[test]
fn what_is_different_is_found_deep_inside() {
    let step = |command: Value| object("ShellCommand", 3, table![; command = command, env = table![; PATH = "/a", KEY = "hush"]]);
    let builder = |command: Value| {
        let factory = object("BuildFactory", 2, table![&step("first".into()), &step(command)]);
        object("BuilderConfig", 1, table![; name = "b", workernames = table!["w"], factory = &factory])
    };
    let interpolated = |text: &str| Value::from(&object("Interpolate", 3, table![text]));
    let words = |word: &str| Value::from(table!["make", word]);
    for (old, new, told) in [
        ("a".into(), "b".into(), "factory.steps[2].command \"a\" → \"b\""),
        (words("all"), words("check"), "factory.steps[2].command { \"make\", \"all\" } → { \"make\", \"check\" }"),
        (interpolated("a%(prop:b)s"), interpolated("c"), "factory.steps[2].command.fmt \"a%(prop:b)s\" → \"c\""),
        ("a".into(), interpolated("a"), "factory.steps[2].command \"a\" → an Interpolate"),
    ] {
        let told = format!("BuilderConfig \"b\" changed: {told} (for builds that start from now on)");
        assert_eq!(of_objects(&[&builder(old)], &[&builder(new)]), [told]);
    }
}

#[test]
fn objects_come_go_and_change_their_class() {
    let (a, b) = (object("Worker", 1, table!["a", "x"]), object("Worker", 2, table!["b", "x"]));
    let local = object("LocalWorker", 1, table!["a"]);
    let builder = object("BuilderConfig", 1, table![; name = "a"]);
    assert_eq!(
        of_objects(&[&a, &builder], &[&b]),
        [
            "Worker \"b\" added: it may attach from now on",
            "Worker \"a\" removed: it finishes its builds, then it is disconnected",
            "BuilderConfig \"a\" removed: its running builds end; its requests wait until it comes back",
        ]
    );
    let changes = of_objects(&[&a], &[&local]);
    assert!(changes.len() == 1 && changes[0].starts_with("LocalWorker \"a\" changed: class Worker → LocalWorker"), "{changes:?}");
}

#[test]
fn functions_are_their_text() {
    let with = |id: u32, line: u32| {
        let function = Value::Function(FnRef { id, place: place(line) });
        object("BuilderConfig", 1, table![; name = "b", canStartBuild = function])
    };
    let (old, new) = (with(3, 10), with(8, 20));
    let config = |object: &Arc<Object>, functions: &[(u32, u64)]| said(Table::default(), &[object], functions);
    assert_eq!(texts(&config(&old, &[(3, 77)]), &config(&new, &[(8, 77)])), [""; 0], "only its place is another");
    assert_eq!(
        texts(&config(&old, &[(3, 77)]), &config(&new, &[(8, 78)])),
        ["BuilderConfig \"b\" changed: canStartBuild a function (master.lua:10) → another function (master.lua:20) (at once)"]
    );
}

#[test]
fn keys_and_their_settings() {
    let root = |port: i64, more: Table| {
        let pb: Value = table![; pb = table![; port = port]].into();
        Table { named: [("protocols".to_owned(), pb), ("db".to_owned(), more.into())].into_iter().collect(), ..Table::default() }
    };
    let config = |table: Table| said(table, &[], &[]);
    let changes = texts(&config(root(1, Table::default())), &config(root(2, table![; db_url = "sqlite:///x"])));
    assert_eq!(
        changes,
        ["BuildmasterConfig changed: protocols.pb.port 1 → 2 (the new port is opened before the old one is closed; connections stay); \
          db.db_url \"sqlite:///state.sqlite\" → \"sqlite:///x\" (refused: the master must be started again)"]
    );
    assert_eq!(texts(&config(Table::default()), &config(table![; title = "Buildbot", mergeRequests = Value::None])), [""; 0]);
}

#[test]
fn much_is_counted_not_told() {
    let worker = |n: usize, max: i64| object("Worker", 1, table![format!("w{n}").as_str(), "x"; max_builds = max, properties = big(max)]);
    fn big(seed: i64) -> Table {
        Table {
            named: (0..30).map(|i| (format!("p{i}"), Value::Text("long ".repeat(30) + &seed.to_string()))).collect(),
            ..Table::default()
        }
    }
    let all = |max: i64| (0..MOST_CHANGES + 5).map(|n| worker(n, max)).collect::<Vec<_>>();
    let (old, new) = (all(1), all(2));
    let (old, new): (Vec<_>, Vec<_>) = (old.iter().collect(), new.iter().collect());
    let changes = diff(&said(Table::default(), &old, &[]), &said(Table::default(), &new, &[]));
    assert_eq!((changes.list.len(), changes.more), (MOST_CHANGES, 5));
    let change = &changes.list[0];
    assert_eq!((change.fields.len(), change.more), (MOST_FIELDS, 31 - MOST_FIELDS));
    assert!(change.to_string().len() < MOST_FIELDS * LONGEST_VALUE * 4);
}

#[test]
fn a_path_is_written_as_in_lua() {
    assert_eq!(join("factory", "steps"), "factory.steps");
    assert_eq!(convert::item(0), "[1]");
}
