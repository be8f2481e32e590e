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

/// The arguments of `shell`, as the master says them and a worker understands them.
#[derive(Clone, PartialEq, Debug)]
pub struct ShellArgs {
    pub command: CommandArg,
    /// Below the builder's folder, unless absolute.
    pub workdir: String,
    pub env: Vec<(String, EnvArg)>,
    pub want_stdout: bool,
    pub want_stderr: bool,
    /// Seconds without output; none or 0: no limit.
    pub timeout: Option<f64>,
    /// Seconds in all; none or 0: no limit.
    pub max_time: Option<f64>,
    pub max_lines: Option<i64>,
    /// Seconds between TERM and the interrupt signal; none: no TERM.
    pub sigterm_time: Option<f64>,
    /// Without `SIG`.
    pub interrupt_signal: String,
    pub use_pty: bool,
    pub log_environ: bool,
    pub initial_stdin: Option<String>,
    /// Name of the log, name of the file, only what is appended.
    pub logfiles: Vec<(String, String, bool)>,
}

/// What is to be run.
#[derive(Clone, PartialEq, Debug)]
pub enum CommandArg {
    /// A line for the shell.
    Shell(String),
    /// A program and its arguments.
    Words(Vec<String>),
    /// The same, each word with what is shown in its place.
    Obfuscated(Vec<(String, String)>),
}

/// The value of an environment variable.
#[derive(Clone, PartialEq, Debug)]
pub enum EnvArg {
    Set(String),
    /// Joined with the worker's path separator.
    Path(Vec<String>),
    Remove,
}

impl Default for ShellArgs {
    /// What a worker assumes where the master says nothing.
    fn default() -> Self {
        ShellArgs {
            command: CommandArg::Words(Vec::new()),
            workdir: String::new(),
            env: Vec::new(),
            want_stdout: true,
            want_stderr: true,
            timeout: None,
            max_time: None,
            max_lines: None,
            sigterm_time: None,
            interrupt_signal: "KILL".into(),
            use_pty: false,
            log_environ: true,
            initial_stdin: None,
            logfiles: Vec::new(),
        }
    }
}

impl ShellArgs {
    /// As a command, with every argument spelled out in the order that stock masters use.
    pub fn into_command(self) -> Command {
        let texts = |words: Vec<String>| Arg::List(words.into_iter().map(Arg::Text).collect());
        let command = match self.command {
            CommandArg::Shell(line) => Arg::Text(line),
            CommandArg::Words(words) => texts(words),
            CommandArg::Obfuscated(words) => Arg::List(
                words
                    .into_iter()
                    .map(|(real, shown)| match real == shown {
                        true => Arg::Text(real),
                        false => Arg::Tuple(vec![Arg::Text("obfuscated".into()), Arg::Text(real), Arg::Text(shown)]),
                    })
                    .collect(),
            ),
        };
        let env = self.env.into_iter().map(|(name, value)| {
            let value = match value {
                EnvArg::Set(text) => Arg::Text(text),
                EnvArg::Path(parts) => texts(parts),
                EnvArg::Remove => Arg::None,
            };
            (name, value)
        });
        let logfiles = self.logfiles.into_iter().map(|(name, filename, follow)| {
            let file = match follow {
                false => Arg::Text(filename),
                true => Arg::Map(vec![("filename".into(), Arg::Text(filename)), ("follow".into(), Arg::Bool(true))]),
            };
            (name, file)
        });
        let args = [
            ("workdir", Arg::Text(self.workdir)),
            ("env", Arg::Map(env.collect())),
            ("want_stdout", Arg::Bool(self.want_stdout)),
            ("want_stderr", Arg::Bool(self.want_stderr)),
            ("logfiles", Arg::Map(logfiles.collect())),
            ("timeout", seconds(self.timeout)),
            ("maxTime", seconds(self.max_time)),
            ("max_lines", self.max_lines.map_or(Arg::None, Arg::Int)),
            ("sigtermTime", seconds(self.sigterm_time)),
            ("usePTY", Arg::Bool(self.use_pty)),
            ("logEnviron", Arg::Bool(self.log_environ)),
            ("initial_stdin", self.initial_stdin.map_or(Arg::None, Arg::Text)),
            ("interruptSignal", Arg::Text(self.interrupt_signal)),
            ("command", command),
        ];
        Command { name: "shell".into(), args: args.into_iter().map(|(name, value)| (name.to_owned(), value)).collect() }
    }

    /// Understand the arguments of a command; unknown ones are ignored. The error is a sentence about the first wrong one.
    pub fn from_args(args: &[(String, Arg)]) -> Result<ShellArgs, String> {
        let missing = missing_args(args, &["workdir", "command"]);
        if !missing.is_empty() {
            return Err(missing);
        }
        let mut shell = ShellArgs::default();
        for (name, value) in args {
            let wrong = |what: &str| format!("'{name}' must be {what}");
            match name.as_str() {
                "workdir" => shell.workdir = text(value).ok_or_else(|| wrong("text"))?,
                "command" => shell.command = command_arg(value).ok_or_else(|| wrong("text or a list of texts that is not empty"))?,
                "env" => shell.env = env_args(value)?,
                "want_stdout" => shell.want_stdout = truth(value).ok_or_else(|| wrong("true or false"))?,
                "want_stderr" => shell.want_stderr = truth(value).ok_or_else(|| wrong("true or false"))?,
                "timeout" => shell.timeout = number(value).ok_or_else(|| wrong("a number of seconds"))?,
                "maxTime" => shell.max_time = number(value).ok_or_else(|| wrong("a number of seconds"))?,
                "sigtermTime" => shell.sigterm_time = number(value).ok_or_else(|| wrong("a number of seconds"))?,
                "max_lines" => {
                    shell.max_lines = match value {
                        Arg::None => None,
                        Arg::Int(lines) => Some(*lines),
                        _ => return Err(wrong("a whole number")),
                    }
                }
                "interruptSignal" => shell.interrupt_signal = text(value).ok_or_else(|| wrong("the name of a signal"))?,
                "usePTY" => {
                    let Arg::Bool(wanted) = value else { return Err(wrong("true or false")) };
                    shell.use_pty = *wanted;
                }
                "logEnviron" => shell.log_environ = truth(value).ok_or_else(|| wrong("true or false"))?,
                "initial_stdin" => {
                    shell.initial_stdin = match value {
                        Arg::None => None,
                        value => Some(text(value).ok_or_else(|| wrong("text"))?),
                    }
                }
                "logfiles" => shell.logfiles = log_files(value)?,
                _ => {}
            }
        }
        Ok(shell)
    }
}

/// `missing args: a, b`, or nothing if all are there.
pub fn missing_args(args: &[(String, Arg)], required: &[&str]) -> String {
    let missing: Vec<&str> = required.iter().copied().filter(|name| !args.iter().any(|(given, _)| given == name)).collect();
    if missing.is_empty() { String::new() } else { format!("missing args: {}", missing.join(", ")) }
}

/// Whole seconds travel as integers, so that a worker's messages say `60` and not `60.0`.
fn seconds(seconds: Option<f64>) -> Arg {
    match seconds {
        None => Arg::None,
        Some(s) if s.fract() == 0.0 && s.abs() < 1e15 => Arg::Int(s as i64),
        Some(s) => Arg::Float(s),
    }
}

fn text(arg: &Arg) -> Option<String> {
    match arg {
        Arg::Text(text) => Some(text.clone()),
        Arg::Bytes(bytes) => String::from_utf8(bytes.to_vec()).ok(),
        _ => None,
    }
}

fn truth(arg: &Arg) -> Option<bool> {
    match arg {
        Arg::Bool(b) => Some(*b),
        Arg::Int(i) => Some(*i != 0),
        Arg::None => Some(false),
        _ => None,
    }
}

fn number(arg: &Arg) -> Option<Option<f64>> {
    match arg {
        Arg::None => Some(None),
        Arg::Int(i) => Some(Some(*i as f64)),
        Arg::Float(x) if x.is_finite() => Some(Some(*x)),
        _ => None,
    }
}

fn command_arg(arg: &Arg) -> Option<CommandArg> {
    let (Arg::List(items) | Arg::Tuple(items)) = arg else { return text(arg).map(CommandArg::Shell) };
    if items.is_empty() {
        return None;
    }
    let mut words = Vec::with_capacity(items.len());
    let mut hidden = false;
    for item in items {
        words.push(match item {
            Arg::Tuple(parts) | Arg::List(parts) => {
                let [mark, real, shown] = parts.as_slice() else { return None };
                text(mark).filter(|mark| mark == "obfuscated")?;
                hidden = true;
                (text(real)?, text(shown)?)
            }
            plain => text(plain).map(|word| (word.clone(), word))?,
        });
    }
    Some(if hidden { CommandArg::Obfuscated(words) } else { CommandArg::Words(words.into_iter().map(|(real, _)| real).collect()) })
}

fn env_args(arg: &Arg) -> Result<Vec<(String, EnvArg)>, String> {
    let map = match arg {
        Arg::None => return Ok(Vec::new()),
        Arg::Map(map) => map,
        _ => return Err("'env' must be a table of variables".into()),
    };
    map.iter()
        .map(|(name, value)| {
            let wrong = || format!("'env' values must be strings or lists; key '{name}' is incorrect");
            let value = match value {
                Arg::None => EnvArg::Remove,
                Arg::List(parts) | Arg::Tuple(parts) => EnvArg::Path(parts.iter().map(text).collect::<Option<_>>().ok_or_else(wrong)?),
                value => EnvArg::Set(text(value).ok_or_else(wrong)?),
            };
            Ok((name.clone(), value))
        })
        .collect()
}

fn log_files(arg: &Arg) -> Result<Vec<(String, String, bool)>, String> {
    let map = match arg {
        Arg::None => return Ok(Vec::new()),
        Arg::Map(map) => map,
        _ => return Err("'logfiles' must be a table of file names".into()),
    };
    map.iter()
        .map(|(name, value)| {
            let wrong =
                || format!("'logfiles' values must be file names, or tables with 'filename' and 'follow'; key '{name}' is incorrect");
            let Arg::Map(parts) = value else { return Ok((name.clone(), text(value).ok_or_else(wrong)?, false)) };
            let part = |wanted: &str| parts.iter().find(|(key, _)| key == wanted).map(|(_, value)| value);
            let filename = part("filename").and_then(text).ok_or_else(wrong)?;
            let follow = part("follow").map_or(Some(false), truth).ok_or_else(wrong)?;
            Ok((name.clone(), filename, follow))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> ShellArgs {
        ShellArgs {
            command: CommandArg::Words(vec!["sh".into(), "-c".into(), "exit 3".into()]),
            workdir: "build".into(),
            env: vec![
                ("A".into(), EnvArg::Set("b".into())),
                ("PATH".into(), EnvArg::Path(vec!["/x".into(), "${PATH}".into()])),
                ("GONE".into(), EnvArg::Remove),
            ],
            want_stdout: true,
            want_stderr: false,
            timeout: Some(1200.0),
            max_time: Some(0.5),
            max_lines: Some(10),
            sigterm_time: Some(3.0),
            interrupt_signal: "TERM".into(),
            use_pty: false,
            log_environ: false,
            initial_stdin: Some("in".into()),
            logfiles: vec![("a".into(), "a.log".into(), false), ("f".into(), "f.log".into(), true)],
        }
    }

    #[test]
    fn arguments_survive_the_way() {
        let command = full().into_command();
        assert_eq!(command.name, "shell");
        assert_eq!(command.args[5], ("timeout".to_owned(), Arg::Int(1200)));
        assert_eq!(ShellArgs::from_args(&command.args), Ok(full()));
        let hidden = ShellArgs {
            command: CommandArg::Obfuscated(vec![("echo".into(), "echo".into()), ("secret".into(), "***".into())]),
            ..ShellArgs::default()
        };
        assert_eq!(ShellArgs::from_args(&hidden.clone().into_command().args), Ok(hidden));
    }

    #[test]
    fn wrong_arguments_are_named() {
        let error = |name: &str, value: Arg| {
            let mut args = full().into_command().args;
            args.retain(|(given, _)| given != name);
            args.push((name.to_owned(), value));
            ShellArgs::from_args(&args).expect_err(name)
        };
        assert_eq!(ShellArgs::from_args(&[]).expect_err("nothing"), "missing args: workdir, command");
        assert_eq!(error("usePTY", Arg::None), "'usePTY' must be true or false");
        assert_eq!(error("timeout", Arg::Float(f64::NAN)), "'timeout' must be a number of seconds");
        assert!(error("command", Arg::List(vec![])).starts_with("'command' must be"));
        let env = Arg::Map(vec![("A".into(), Arg::Int(5))]);
        assert_eq!(error("env", env), "'env' values must be strings or lists; key 'A' is incorrect");
        assert!(error("logfiles", Arg::Map(vec![("l".into(), Arg::Int(1))])).contains("key 'l'"));
    }
}
