//! The classes that give a value for each build: `Property`, `Interpolate`, and those that are told as old or missing.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::arguments::{Fault, Reader, arguments};
use super::assemble::Parsed;
use super::class::{ClassDecl, Kind, class_named};
use super::convert::Wrong;
use super::interpolate;
use super::template::Template;
use super::value::{FnRef, Object, Table, Value};
use super::without_effect::Ignored;
use crate::base::suggest;

arguments! {
    PropertyArgs {
        [1] "key" key: String, "The name of the property.";
        [2] "default" default: Option<Template> = None => "None", "What it is without such a property; may be rendered itself.";
        [3] "defaultWhenFalse" default_when_false: bool = true => "true", "The default also stands for a value that is false, empty or zero.";
    }
}

arguments! {
    InterpolateArgs {
        [1] "fmt" fmt: String, "The text with `%(selector:name)s` in it; further positions fill `%s`, further names `%(kw:name)s`.";
    }
}

arguments! {
    SecretArgs {
        [1] "name" name: String, "The name of the secret.";
    }
}

arguments! {
    TransformArgs {
        [1] "function" function: FnRef, "Called with the values of the further positions; further names come last, in a table.";
    }
}

arguments! {
    RendererArgs {
        [1] "function" function: FnRef, "Called with the build's properties, and with what `:withArgs(…)` was given.";
    }
}

arguments! {
    FlattenArgs {
        [1] "nestedlist" nestedlist: Template = Template::Const(serde_json::Value::Null) => "{}", "The list; further positions are items, too.";
        "types" _types: Ignored = Ignored => "None", "Has no effect.";
    }
}

pub(super) fn declare(list: &mut Vec<ClassDecl>) {
    let class = |name, doc| ClassDecl::new::<InterpolateArgs>(name, Kind::Renderable, build, doc);
    list.push(ClassDecl::new::<PropertyArgs>("Property", Kind::Renderable, build, "The value of a property of the build.").top());
    list.push(class("Interpolate", "A text with values of the build in it.").top().open());
    list.push(class("WithProperties", "Gone from Buildbot; use `Interpolate`.").open());
    list.push(
        ClassDecl::new::<TransformArgs>("Transform", Kind::Renderable, build, "What a function gives for arguments that are rendered.")
            .open(),
    );
    list.push(
        ClassDecl::new::<RendererArgs>(
            "renderer",
            Kind::Renderable,
            build,
            "What a function gives for a build; a plain function does as well, but for `:withArgs(a, b, { name = c })`: values that are \
             rendered and follow the properties, the named ones in a table.",
        )
        .open(),
    );
    list.push(ClassDecl::new::<FlattenArgs>("FlattenList", Kind::Renderable, build, "A list of what is in lists of lists.").open());
    super::user_data::declare(list, build);
    list.push(ClassDecl::new::<SecretArgs>(
        "Secret",
        Kind::Renderable,
        build,
        "The value of a secret, asked of `c.secretsProviders` once for each build. Logs, properties and whatever else is shown have `<NAME>` in its place, of several lines in place of each; what a program makes of it otherwise is not hidden.",
    ));
}

fn build(reader: &mut Reader, object: &Object, _: &mut super::assemble::Assembly) -> Option<Parsed> {
    read(reader, object).map(|_| Parsed::Renderable)
}

/// The template that an object is; none if its class is not one to render.
pub(super) fn template(object: &Object) -> Option<Result<Template, Wrong>> {
    let class = class_named(&object.class).filter(|c| c.kind == Kind::Renderable)?;
    let mut reader = Reader::of_object(class, object);
    let template = read(&mut reader, object);
    Some(match (template, reader.mistakes.first()) {
        (Some(template), None) => Ok(template),
        (_, first) => {
            let why = first.map(|fault| fault.text.clone()).unwrap_or_default();
            Err(Wrong { of: Some(object.id), ..Wrong::says(format!("holds a wrong {} ({}): {why}", class.name, object.place)) })
        }
    })
}

fn read(reader: &mut Reader, object: &Object) -> Option<Template> {
    match object.class.as_str() {
        "Property" => {
            let args: PropertyArgs = super::arguments::Arguments::read(reader)?;
            Some(Template::Property { key: args.key, default: args.default.map(Box::new), default_when_false: args.default_when_false })
        }
        "Interpolate" => interpolate(reader, object),
        "Transform" => called(reader, object).map(|c| Template::Transform { function: c.function, args: c.args, named: c.named }),
        "renderer" => called(reader, object).map(|c| match c {
            Called { function, args, named } if args.is_empty() && named.is_empty() => Template::Call(function),
            Called { function, args, named } => Template::CallWith { function, args, named },
        }),
        "FlattenList" => flatten(reader, object),
        "UserData" => super::user_data::read(reader).map(|data| Template::UserData(Box::new(data))),
        "WithProperties" => {
            reader.wrong("is gone: write Interpolate, with '%(prop:name)s' for '%(name)s'");
            None
        }
        _ => {
            let SecretArgs { name } = super::arguments::Arguments::read(reader)?;
            match super::secrets::check_secret_name(&name) {
                Ok(()) => Some(Template::Secret(name)),
                Err(why) => refuse(reader, &why),
            }
        }
    }
}

fn interpolate(reader: &mut Reader, object: &Object) -> Option<Template> {
    let mut named = object.args.named.clone();
    let mut items = object.args.items.iter().cloned();
    let text = match (items.next(), named.remove("fmt")) {
        (Some(Value::Text(text)), None) | (None, Some(Value::Text(text))) => text,
        (Some(_), Some(_)) => return refuse(reader, "'fmt' given twice, by position and by name"),
        (Some(other), None) | (None, Some(other)) => return refuse(reader, &format!("'fmt' must be text, got {}", other.describe())),
        (None, None) => return refuse(reader, "missing argument 'fmt'"),
    };
    let before = reader.mistakes.len();
    let mut argument = |what: String, value: &Value| {
        Template::read(value).unwrap_or_else(|wrong| {
            reader.mistakes.push(Fault { text: wrong.told(&what), of: wrong.of, about: None });
            Template::Const(serde_json::Value::Null)
        })
    };
    let positional: Vec<Template> = items.enumerate().map(|(i, v)| argument(format!("value {}", i + 1), &v)).collect();
    let named: BTreeMap<String, Template> = named.into_iter().map(|(k, v)| (k.clone(), argument(k, &v))).collect();
    match interpolate::parse(&text, &interpolate::Arguments { positional: &positional, named: &named }) {
        Ok(parts) if reader.mistakes.len() == before => Some(Template::Interpolate(parts).folded()),
        Ok(_) => None,
        Err(mistakes) => {
            mistakes.into_iter().for_each(|text| reader.wrong(text));
            None
        }
    }
}

/// A function, and the values that it is called with.
struct Called {
    function: FnRef,
    args: Vec<Template>,
    named: Vec<(String, Template)>,
}

fn called(reader: &mut Reader, object: &Object) -> Option<Called> {
    let mut named = object.args.named.clone();
    let mut items = object.args.items.iter();
    let function = match items.next().cloned().or_else(|| named.remove("function")) {
        Some(Value::Function(function)) => function,
        Some(other) => {
            reader.wrong(format!("'function' must be a function, got {}", other.describe()));
            return None;
        }
        None => {
            reader.wrong("missing argument 'function'");
            return None;
        }
    };
    let mut argument = |what: String, value: &Value| {
        let read =
            Template::read(value).map_err(|wrong| reader.mistakes.push(Fault { text: wrong.told(&what), of: wrong.of, about: None }));
        read.ok()
    };
    let args: Vec<_> = items.enumerate().map(|(i, v)| argument(format!("value {}", i + 1), v)).collect();
    let named: Vec<_> = named.iter().map(|(k, v)| argument(k.clone(), v).map(|t| (k.clone(), t))).collect();
    Some(Called { function, args: args.into_iter().collect::<Option<_>>()?, named: named.into_iter().collect::<Option<_>>()? })
}

/// `FlattenList{ "a", { "b" } }` is one call with one list as much as it is one with two items: flat, both are the same.
fn flatten(reader: &mut Reader, object: &Object) -> Option<Template> {
    let named = object.args.named.iter().filter(|(name, _)| *name != "types");
    let mut list = object.args.items.clone();
    for (name, value) in named {
        match name.as_str() {
            "nestedlist" if list.is_empty() => list.push(value.clone()),
            "nestedlist" => return refuse(reader, "'nestedlist' given twice, by position and by name"),
            other => return refuse(reader, &format!("unknown argument '{other}'{}", suggest::hint(other, ["nestedlist", "types"]))),
        }
    }
    let list = Value::Table(Arc::new(Table { items: list, ..Table::default() }));
    match Template::read(&list) {
        Ok(list) => Some(Template::Flatten(Box::new(list))),
        Err(wrong) => {
            reader.mistakes.push(Fault { text: wrong.told("nestedlist"), of: wrong.of, about: None });
            None
        }
    }
}

fn refuse(reader: &mut Reader, why: &str) -> Option<Template> {
    reader.wrong(why);
    None
}
