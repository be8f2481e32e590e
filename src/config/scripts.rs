//! What a step that is written in Lua says to the host: which of its methods are asked for, and the command that its `run` makes.
//!
//! Pure; the methods themselves are `lua`'s business.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::arguments::{Arguments, Reader, arguments};
use super::class::Kind;
use super::spec::*;
use super::steps::{RunArgs, run_options};
use super::template::{Arg, Template};
use super::value::{Object, Table, Value};
use crate::model::Results;

pub(super) fn script_of(object: &Object) -> Option<StepScript> {
    let methods = object.methods.as_ref()?;
    let asked = Kind::Step.overridable().iter().any(|method| methods.contains(*method));
    asked.then(|| StepScript { object: object.id, init: methods.contains("init"), methods: methods.clone() })
}

arguments! {
    RemoteShellArgs {
        include run: RunArgs;
        "command" command: Option<Arg<CommandLine>> = None => "None", "The command: a text for the shell, or its words.";
        "workdir" workdir: Arg<Option<String>> = Arg::default() => "None", "Its folder, below the builder's.";
        "logEncoding" log_encoding: Option<LogEncoding> = None => "None", "How its output is encoded.";
        "collectStdout" collect_stdout: bool = false => "false", "Its output is kept for `cmd.stdout`.";
        "collectStderr" collect_stderr: bool = false => "false", "Its error output is kept for `cmd.stderr`.";
        "stdioLogName" stdio_log_name: Option<String> = Some("stdio".into()) => "\"stdio\"", "The log of its output; None: no log.";
    }
}

/// What `makeRemoteShellCommand` was told.
#[derive(Clone, PartialEq, Debug)]
pub struct RemoteShell {
    /// None: it is for a sequence of commands.
    pub command: Option<Arg<CommandLine>>,
    pub options: CommandOptions,
    pub workdir: Arg<Option<String>>,
    /// None: the step's.
    pub log_encoding: Option<LogEncoding>,
    pub collect_stdout: bool,
    pub collect_stderr: bool,
    pub stdio_log_name: Option<String>,
}

impl RemoteShell {
    /// The error says every mistake in the table.
    pub fn read(table: &Table) -> Result<RemoteShell, String> {
        let mut reader = Reader::of_settings(&RemoteShellArgs::declared(), table);
        let args = RemoteShellArgs::read(&mut reader);
        let read = args.map(|args| RemoteShell {
            command: args.command,
            options: run_options(&mut reader, args.run),
            workdir: args.workdir,
            log_encoding: args.log_encoding,
            collect_stdout: args.collect_stdout,
            collect_stderr: args.collect_stderr,
            stdio_log_name: args.stdio_log_name,
        });
        match read {
            Some(read) if reader.mistakes.is_empty() => Ok(read),
            _ => Err(reader.mistakes.iter().map(|m| m.text.as_str()).collect::<Vec<_>>().join("; ")),
        }
    }

    /// What of a step's own arguments goes into its commands.
    pub fn options() -> Vec<&'static str> {
        RemoteShellArgs::declared().iter().map(|arg| arg.name).collect()
    }
}

/// What `util.RemoteCommand` was told: any command that workers know.
#[derive(Clone, PartialEq, Debug)]
pub struct RemoteCommand {
    pub name: String,
    pub args: Template,
    pub decode_rc: BTreeMap<i64, Results>,
    /// None: no log, what it prints is not kept.
    pub stdio_log_name: Option<String>,
    pub collect_stdout: bool,
    pub collect_stderr: bool,
}

arguments! {
    RemoteArgs {
        "decodeRC" decode_rc: BTreeMap<i64, Results> = BTreeMap::from([(0, Results::Success)]) => "{ [0] = SUCCESS }", "Results of exit codes; others are failures.";
        "stdioLogName" stdio_log_name: Option<String> = Some("stdio".into()) => "\"stdio\"", "The log of its output; None: no log.";
        "collectStdout" collect_stdout: bool = false => "false", "Its output is kept for `cmd.stdout`.";
        "collectStderr" collect_stderr: bool = false => "false", "Its error output is kept for `cmd.stderr`.";
    }
}

impl RemoteCommand {
    /// The error says every mistake.
    pub fn read(name: &str, args: &Arc<Table>, options: &Table) -> Result<RemoteCommand, String> {
        let mut reader = Reader::of_settings(&RemoteArgs::declared(), options);
        let read = RemoteArgs::read(&mut reader);
        if let Some(value) = args.items.first() {
            reader.wrong(format!("its arguments are a table of names and values, got {} at 1", value.describe()));
        }
        let args = Template::read(&Value::Table(args.clone())).map_err(|wrong| wrong.inside("the arguments").to_string())?;
        match read {
            Some(read) if reader.mistakes.is_empty() => Ok(RemoteCommand {
                name: name.to_owned(),
                args,
                decode_rc: read.decode_rc,
                stdio_log_name: read.stdio_log_name,
                collect_stdout: read.collect_stdout,
                collect_stderr: read.collect_stderr,
            }),
            _ => Err(reader.mistakes.iter().map(|m| m.text.as_str()).collect::<Vec<_>>().join("; ")),
        }
    }
}
