//! Commands and their updates, independent of the encoding that carries them.

use bytes::Bytes;

/// A command for a worker, such as `shell` with its arguments.
#[derive(Clone, PartialEq, Debug)]
pub struct Command {
    pub name: String,
    pub args: Vec<(String, Arg)>,
}

/// An argument's value.
#[derive(Clone, PartialEq, Debug)]
pub enum Arg {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Bytes),
    List(Vec<Arg>),
    Tuple(Vec<Arg>),
    Map(Vec<(String, Arg)>),
}

/// What a worker tells of a running command. Texts are bytes: old workers send what is not UTF-8, and nothing is lost.
#[derive(Clone, PartialEq, Debug)]
pub enum Update {
    Stdout(Bytes),
    Stderr(Bytes),
    Header(Bytes),
    /// Text of an extra log: its name, the text.
    Log(String, Bytes),
    /// Exit status; -1 if a signal ended it.
    Rc(i64),
    /// Seconds.
    Elapsed(f64),
    /// `timeout_without_output`, `timeout`, `max_lines_failure`
    FailureReason(String),
    /// Names from `listdir` and `glob`.
    Files(Vec<String>),
    /// The ten numbers of `stat`.
    Stat(Vec<i64>),
}

/// How a command ended. Its exit status came before as [`Update::Rc`].
#[derive(Clone, PartialEq, Debug)]
pub enum CommandEnd {
    Complete,
    /// The worker failed in carrying it out: type, text and traceback for people.
    Failed(String),
    /// It was never started: unknown command, missing argument.
    Refused(String),
    /// The connection is gone: why.
    Lost(String),
}
