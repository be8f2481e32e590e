//! The commands of a `ShellSequence`: known at load, or what a function or a property gives for a build.

use super::arguments::{Arguments, Reader, arguments};
use super::class::{Kind, class_named};
use super::convert::{FromValue, Wrong, item};
use super::instance::ShellArgRef;
use super::lua_type::LuaType;
use super::spec::{CommandLine, SequenceCommands, ShellArgSpec};
use super::template::{Arg, Template};
use super::value::{Object, Value};

arguments! {
    ShellArgArgs {
        [1] "command" command: Arg<MaybeCommand>, "The command: a text for the shell, or its words. Without any (None, an empty text or list) it does not run.";
        [2] "logname" | "logfile" logname: Arg<Option<String>> = Arg::default() => "None", "Its log; None: the step's `stdio`.";
        "haltOnFailure" halt_on_failure: Arg<bool> = Arg::Const(false) => "false", "Its failure ends the sequence.";
        "flunkOnFailure" flunk_on_failure: Arg<bool> = Arg::Const(true) => "true", "Its failure makes the step fail.";
        "flunkOnWarnings" flunk_on_warnings: Arg<bool> = Arg::Const(false) => "false", "Its warnings make the step fail.";
        "warnOnFailure" warn_on_failure: Arg<bool> = Arg::Const(false) => "false", "Its failure gives the step warnings.";
        "warnOnWarnings" warn_on_warnings: Arg<bool> = Arg::Const(false) => "false", "Its warnings give the step warnings.";
    }
}

/// A command line, or nothing to run.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct MaybeCommand(pub Option<CommandLine>);

impl FromValue for MaybeCommand {
    fn expected() -> String {
        "text, a list of texts or None".into()
    }

    fn lua_type() -> LuaType {
        CommandLine::lua_type().or(LuaType::Name("None"))
    }

    fn from_value(value: &Value) -> Result<MaybeCommand, Wrong> {
        match value {
            Value::None => Ok(MaybeCommand(None)),
            Value::Text(text) if text.trim().is_empty() => Ok(MaybeCommand(None)),
            Value::Table(t) if t.items.is_empty() && t.named.is_empty() && t.strange_key.is_none() => Ok(MaybeCommand(None)),
            other => CommandLine::from_value(other).map(|line| MaybeCommand(Some(line))),
        }
    }

    fn check_template(template: &Template) -> Result<(), Wrong> {
        CommandLine::check_template(template)
    }
}

/// The argument `commands`.
#[derive(Clone, Debug)]
pub(super) enum Commands {
    List(Vec<ShellArgRef>),
    Rendered(SequenceCommands),
}

impl FromValue for Commands {
    fn expected() -> String {
        "a list of util.ShellArg, or something to render".into()
    }

    fn lua_type() -> LuaType {
        LuaType::list(LuaType::Name("ShellArg")).or(LuaType::Name("Renderable"))
    }

    fn from_value(value: &Value) -> Result<Commands, Wrong> {
        match value {
            Value::Function(_) | Value::Object(_) => {
                Template::read_for(value, &Self::expected()).map(|t| Commands::Rendered(SequenceCommands::Render(t)))
            }
            Value::Table(_) => Vec::from_value(value).map(Commands::List),
            other => Err(Wrong::must(Self::expected(), other)),
        }
    }
}

pub(super) fn shell_arg(reader: &mut Reader) -> Option<ShellArgSpec> {
    let args = ShellArgArgs::read(reader)?;
    Some(ShellArgSpec {
        command: args.command,
        logname: args.logname,
        halt_on_failure: args.halt_on_failure,
        flunk_on_failure: args.flunk_on_failure,
        flunk_on_warnings: args.flunk_on_warnings,
        warn_on_failure: args.warn_on_failure,
        warn_on_warnings: args.warn_on_warnings,
    })
}

/// What was rendered for `commands`: a list of `ShellArg`s and command lines.
pub fn sequence_commands(value: &Value) -> Result<Vec<ShellArgSpec>, Wrong> {
    match value {
        Value::None => Ok(Vec::new()),
        Value::Table(t) if t.named.is_empty() && t.strange_key.is_none() => {
            t.items.iter().enumerate().map(|(i, v)| one(v).map_err(|w| w.inside(item(i)))).collect()
        }
        other => Err(Wrong::must("a list of util.ShellArg or command lines", other)),
    }
}

fn one(value: &Value) -> Result<ShellArgSpec, Wrong> {
    if let Value::Object(object) = value
        && let Some(class) = class_named(&object.class).filter(|c| c.kind == Kind::ShellArg)
    {
        let mut reader = Reader::of_object(class, object);
        let spec = shell_arg(&mut reader);
        let told = || reader.mistakes.first().map(|fault| fault.text.clone()).unwrap_or_default();
        return match spec {
            Some(spec) if reader.mistakes.is_empty() => Ok(spec),
            _ => Err(Wrong::says(format!("holds a wrong ShellArg ({}): {}", object.place, told()))),
        };
    }
    Ok(ShellArgSpec::of(Arg::<MaybeCommand>::from_value(value)?))
}

impl ShellArgSpec {
    /// With everything else as it is by default.
    fn of(command: Arg<MaybeCommand>) -> ShellArgSpec {
        ShellArgSpec {
            command,
            logname: Arg::default(),
            halt_on_failure: Arg::Const(false),
            flunk_on_failure: Arg::Const(true),
            flunk_on_warnings: Arg::Const(false),
            warn_on_failure: Arg::Const(false),
            warn_on_warnings: Arg::Const(false),
        }
    }
}

/// As the class's declaration wants it.
pub(super) fn build(reader: &mut Reader, _: &Object, _: &mut super::assemble::Assembly) -> Option<super::assemble::Parsed> {
    shell_arg(reader).map(|spec| super::assemble::Parsed::ShellArg(std::sync::Arc::new(spec)))
}
