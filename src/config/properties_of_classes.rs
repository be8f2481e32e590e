//! What holds for every class and every argument, found by trying all of them.

use std::sync::Arc;

use super::class::{ArgDecl, ClassDecl, classes};
use super::testing::{mistakes_of, object, table};
use super::value::{Table, Value};

/// A value that no argument takes: only those for anything are not bothered by it.
fn absurd() -> Value {
    Value::Other("thread")
}

fn takes_anything(arg: &ArgDecl) -> bool {
    arg.kind.starts_with("anything")
}

/// Every required argument with a value that is good enough to reach the others.
fn required(class: &ClassDecl) -> Table {
    let mut args = Table::default();
    for arg in class.args.iter().filter(|a| a.required) {
        let value = match arg.name {
            "function" => super::testing::function(),
            "template_type" => "plain".into(),
            "factory" => (&object("BuildFactory", 1, Table::default())).into(),
            "command" if class.name == "SecretInCommand" => table!["prog", "%(name)s"].into(),
            "commands" | "fields" | "choices" | "builderNames" => Table::default().into(),
            "properties" => table![; a = 1].into(),
            "fromaddr" => "buildbot@example.org".into(),
            "serverUrl" => "https://example.org/".into(),
            _ => Value::from("x"),
        };
        args.named.insert(arg.name.into(), value);
    }
    match class.name {
        "BuilderConfig" => args.named.insert("workername".into(), "bot".into()),
        "EC2LatentWorker" | "EC2LatentBuildSlave" => args.named.insert("ami".into(), "ami-1".into()),
        "SetPropertyFromCommand" => args.named.insert("property".into(), "p".into()),
        "ReporterBase" => args.named.insert("sendMessage".into(), super::testing::function()),
        _ => None,
    };
    args
}

fn closed() -> impl Iterator<Item = &'static ClassDecl> {
    classes().iter().filter(|c| !c.open)
}

#[test]
fn every_class_is_content_with_what_it_requires() {
    for class in closed() {
        assert_eq!(mistakes_of(&object(class.name, 1, required(class))), [""; 0], "{}", class.name);
    }
}

#[test]
fn a_letter_more_is_told_with_the_right_name() {
    for class in closed() {
        for arg in &class.args {
            let wrong = format!("{}z", arg.name);
            if class.args.iter().any(|a| a.name == format!("{}s", arg.name)) {
                // `workernamez` is as near to `workernames`.
                continue;
            }
            let mut args = required(class);
            args.named.insert(wrong.clone(), Value::None);
            let told = mistakes_of(&object(class.name, 1, args));
            let expected = format!("unknown argument '{wrong}' (did you mean '{}'?)", arg.name);
            assert!(told.len() == 1 && told[0].ends_with(&expected), "{} {}: {told:?}", class.name, arg.name);
        }
    }
}

#[test]
fn a_wrong_type_is_told_with_the_name() {
    for class in closed() {
        for arg in class.args.iter().filter(|a| !takes_anything(a)) {
            let mut args = required(class);
            args.named.insert(arg.name.into(), absurd());
            let told = mistakes_of(&object(class.name, 1, args));
            assert!(!told.is_empty() && told[0].contains(arg.name), "{} {}: {told:?}", class.name, arg.name);
        }
    }
}

#[test]
fn what_is_required_is_missed() {
    for class in closed() {
        for arg in class.args.iter().filter(|a| a.required) {
            let mut args = required(class);
            args.named.remove(arg.name);
            let told = mistakes_of(&object(class.name, 1, args));
            assert!(told.iter().any(|t| t.ends_with(&format!("missing argument '{}'", arg.name))), "{}: {told:?}", class.name);
        }
    }
}

#[test]
fn declarations_are_consistent() {
    for class in classes() {
        let mut names: Vec<&str> = class.args.iter().flat_map(|a| a.aliases.iter().copied().chain([a.name])).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "{} has a name twice", class.name);
        let mut positions: Vec<usize> = class.args.iter().filter_map(|a| a.position).collect();
        positions.sort_unstable();
        assert!(positions.iter().copied().eq(1..=positions.len()), "{}: {positions:?}", class.name);
        for (name, _) in class.presets {
            assert!(class.args.iter().any(|a| a.name == *name), "{}: preset {name}", class.name);
        }
        assert!(class.holds.is_none() || class.args.iter().any(|a| a.position == Some(1)), "{}", class.name);
    }
}

#[test]
fn no_value_panics() {
    let deep = (0..100).fold(Value::None, |inner, _| Table { items: vec![inner], ..Table::default() }.into());
    let mut strange = table![1];
    strange.strange_key = Some("[2.5]".into());
    let values = [
        deep,
        strange.into(),
        Value::Bytes(vec![255]),
        f64::NAN.into(),
        f64::INFINITY.into(),
        i64::MIN.into(),
        i64::MAX.into(),
        "".into(),
        "%(".into(),
        Value::None,
        (&object("Interpolate", 1, table!["%("])).into(),
        (&object("Nonsense", 1, Table::default())).into(),
        table![1; a = 2].into(),
    ];
    // All in one configuration: patterns are compiled once.
    let mut objects = Vec::new();
    for class in classes() {
        for arg in &class.args {
            for value in &values {
                let mut args = required(class);
                args.named.insert(arg.name.into(), value.clone());
                objects.push(object(class.name, 1, args));
                objects.push(object(class.name, 1, Table { items: vec![value.clone(); 3], ..Table::default() }));
            }
        }
    }
    assert!(super::assemble(&Table::default(), &super::testing::place(0), &objects, Default::default()).is_err());
}

#[test]
fn the_reference_has_every_class_and_argument() {
    let page = super::reference::markdown();
    for class in classes() {
        assert!(page.contains(&format!("\n## {}\n", class.name)));
        for arg in &class.args {
            assert!(page.contains(&format!("| `{}`", arg.name)), "{} {}", class.name, arg.name);
        }
    }
    assert!(page.contains("| `haltOnFailure` | true or false | `true` |"));
    assert!(!page.contains("| `` |"), "a default is not shown");
}

#[test]
fn an_object_is_understood_once() {
    let step = object("ShellCommand", 1, table![; command = "x"]);
    let factory = object("BuildFactory", 2, table![&step]);
    let builder = |name: &str| object("BuilderConfig", 3, table![; name = name, workername = "bot", factory = &factory]);
    let (a, b) = (builder("a"), builder("b"));
    let worker = object("Worker", 4, table!["bot", "x"]);
    let root = table![; workers = table![&worker], builders = table![&a, &b]];
    let config = super::assemble(&root, &super::testing::place(0), &[step, factory, a, b, worker], Default::default()).unwrap();
    assert!(Arc::ptr_eq(&config.builders[0].factory, &config.builders[1].factory));
}
