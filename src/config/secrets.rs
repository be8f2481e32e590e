//! Where secrets come from, as declared: the classes of `c.secretsProviders`, `util.Secret`, and the type of an argument that
//! takes a password. Asks no provider.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::arguments::{Arguments, Reader, arguments};
use super::assemble::{Assembly, Parsed};
use super::class::{ArgDecl, ClassDecl, Kind};
use super::convert::{FromValue, Wrong};
use super::lua_type::LuaType;
use super::spec::{Password, SecretProviderKind, SecretProviderSpec};
use super::value::{FnRef, Object, Value};
use crate::base::Secret;

/// Longer names are refused; a file's name may be no longer either.
const LONGEST_NAME: usize = 255;

arguments! {
    FileArgs {
        [1] "dirname" dirname: String, "The folder of the files, each of which holds one secret and may be read by its owner only; relative to the master's folder.";
        [2] "suffixes" suffixes: Option<Vec<String>> = None => "{ \"\" }", "What may follow the secret's name in the name of its file; the first that is there counts.";
        [3] "strip" strip: bool = true => "true", "White space around the secret is left out.";
    }
}

arguments! {
    PassArgs {
        [1] "gpgPassphrase" passphrase: Option<Secret> = None => "None", "The passphrase of the key; None: an agent knows it.";
        [2] "dirname" dirname: Option<String> = None => "None", "The folder of the password store; None: the usual one.";
    }
}

arguments! {
    CommandArgs {
        [1] "command" command: Vec<String>, "The program and its arguments; `%(name)s` in an argument is the secret's name. Its output is the secret; no output: it has none of that name.";
        [2] "timeout" timeout: Duration = Duration::from_secs(30) => "30", "How long it may take.";
        [3] "strip" strip: bool = true => "true", "White space around the secret is left out.";
    }
}

arguments! {
    EnvironmentArgs {
        [1] "prefix" prefix: String = String::new() => "\"\"", "What comes before the secret's name in the name of the variable. Commands of a LocalWorker get no variable that begins so; with \"\" they get all, and logs of the environment show those of which the build asks for no secret.";
    }
}

/// What a class takes whose descendants have arguments of their own.
struct Nothing;

impl Arguments for Nothing {
    fn declare(_: &mut Vec<ArgDecl>) {}

    fn read(_: &mut Reader) -> Option<Nothing> {
        Some(Nothing)
    }
}

pub(super) fn declare(list: &mut Vec<ClassDecl>) {
    let kind = Kind::SecretProvider;
    list.push(ClassDecl::new::<FileArgs>("SecretInAFile", kind, file, "Secrets in files of a folder, one in each."));
    list.push(ClassDecl::new::<PassArgs>(
        "SecretInPass",
        kind,
        pass,
        "Secrets in the password store `pass`: the first line of each entry.",
    ));
    list.push(ClassDecl::new::<CommandArgs>("SecretInCommand", kind, command, "Secrets that a command on the master prints."));
    list.push(ClassDecl::new::<EnvironmentArgs>("SecretInEnvironment", kind, environment, "Secrets in the environment of the master."));
    list.push(
        ClassDecl::new::<Nothing>(
            "SecretProviderBase",
            kind,
            own,
            "To be extended by a class with the method `get(self, name)`, which gives the secret as text or nil and may wait.",
        )
        .open(),
    );
}

fn provider(object: &Object, kind: SecretProviderKind) -> Option<Parsed> {
    let class = object.custom_class.clone().unwrap_or_else(|| object.class.clone());
    Some(Parsed::SecretProvider(Arc::new(SecretProviderSpec { class, kind, place: object.place.clone() })))
}

fn file(reader: &mut Reader, object: &Object, _: &mut Assembly) -> Option<Parsed> {
    let args = FileArgs::read(reader)?;
    if args.dirname.is_empty() {
        reader.wrong("'dirname' must not be empty");
    }
    let suffixes = args.suffixes.filter(|s| !s.is_empty()).unwrap_or_else(|| vec![String::new()]);
    if let Some(wrong) = suffixes.iter().find(|s| s.contains('/') || s.contains('\0')) {
        reader.wrong(format!("'suffixes' must be endings of file names, got {wrong:?}"));
    }
    provider(object, SecretProviderKind::File { dirname: args.dirname.into(), suffixes, strip: args.strip })
}

fn pass(reader: &mut Reader, object: &Object, _: &mut Assembly) -> Option<Parsed> {
    let args = PassArgs::read(reader)?;
    provider(object, SecretProviderKind::Pass { passphrase: args.passphrase, dirname: args.dirname.map(PathBuf::from) })
}

fn command(reader: &mut Reader, object: &Object, _: &mut Assembly) -> Option<Parsed> {
    let args = CommandArgs::read(reader)?;
    match args.command.split_first() {
        Some((program, rest)) if !program.is_empty() => {
            if program.contains("%(name)s") {
                reader.wrong("'command' must begin with a program: %(name)s can only stand in its arguments");
            } else if !rest.iter().any(|word| word.contains("%(name)s")) {
                reader.wrong("'command' must have %(name)s in one of its arguments: the name of the secret that is asked for");
            }
        }
        _ => reader.wrong("'command' must begin with a program"),
    }
    if args.timeout.is_zero() {
        reader.wrong("'timeout' must be longer than 0");
    }
    provider(object, SecretProviderKind::Command { command: args.command, timeout: args.timeout, strip: args.strip })
}

fn environment(reader: &mut Reader, object: &Object, _: &mut Assembly) -> Option<Parsed> {
    let args = EnvironmentArgs::read(reader)?;
    provider(object, SecretProviderKind::Environment { prefix: args.prefix })
}

/// The host's own Lua hands the method over as the argument `get`.
fn own(reader: &mut Reader, object: &Object, _: &mut Assembly) -> Option<Parsed> {
    if !object.args.items.is_empty() {
        reader.wrong(format!("takes no positional arguments, got {}", object.args.items.len()));
    }
    for name in object.args.named.keys().filter(|n| *n != "get") {
        reader.wrong(format!("unknown argument '{name}' (a class of one's own declares its arguments: args = {{ {name} = \"string\" }})"));
    }
    match object.args.named.get("get") {
        Some(Value::Function(get)) => provider(object, SecretProviderKind::Call(FnRef { id: get.id, place: object.place.clone() })),
        _ => {
            reader.wrong(
                "has no method 'get(self, name)': write secrets.SecretProviderBase:extend(\"Name\", { get = function(self, name) … end })",
            );
            None
        }
    }
}

/// May a secret be called so? What each provider makes of a name it checks itself.
pub fn check_secret_name(name: &str) -> Result<(), String> {
    match name {
        "" => Err("a secret's name must not be empty".into()),
        _ if name.len() > LONGEST_NAME => Err(format!("a secret's name must not be longer than {LONGEST_NAME} bytes")),
        _ if name.chars().any(char::is_control) => Err(format!("a secret's name must not hold control characters, got {name:?}")),
        _ => Ok(()),
    }
}

/// The name that a `util.Secret` holds.
pub(super) fn named(object: &Object) -> Option<&str> {
    match object.args.items.first().or_else(|| object.args.named.get("name")) {
        Some(Value::Text(name)) if object.class == "Secret" => Some(name),
        _ => None,
    }
}

impl FromValue for Password {
    const SECRET: bool = true;

    fn expected() -> String {
        "text or a util.Secret".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("string").or(LuaType::Name("Secret"))
    }

    fn from_value(value: &Value) -> Result<Password, Wrong> {
        match value {
            Value::Object(object) if object.class == "Secret" => match named(object) {
                Some(name) => check_secret_name(name).map(|()| Password::Named(name.to_owned())).map_err(Wrong::says),
                None => Err(Wrong { of: Some(object.id), ..Wrong::says("holds a wrong Secret") }),
            },
            other => Secret::from_value(other)
                .map(Password::Plain)
                .map_err(|wrong| Wrong { says: wrong.says.replacen("must be text", "must be text or a util.Secret", 1), ..wrong }),
        }
    }
}
