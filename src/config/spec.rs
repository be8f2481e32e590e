//! A whole configuration, understood and checked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json};

use super::diff::Said;
use super::reports::ReporterSpec;
use super::{Arg, BackendSpec, FnRef, LatentSpec, MaybeCommand, Mistake, Place, Template, WarningSpec};
use crate::base::Secret;
use crate::model::Results;

#[derive(Clone, Debug, Default)]
pub struct MasterConfig {
    pub title: String,
    pub title_url: String,
    /// Ends with a slash.
    pub buildbot_url: String,
    /// How often it is looked for machines that nobody knows.
    pub reap_interval: Duration,
    pub workers: Vec<Arc<WorkerSpec>>,
    pub builders: Vec<Arc<BuilderSpec>>,
    pub schedulers: Vec<Arc<SchedulerSpec>>,
    /// Where workers connect over Perspective Broker.
    pub pb: Vec<Listen>,
    pub www: Option<Listen>,
    /// Relative to the base folder.
    pub sqlite: PathBuf,
    pub properties: Map<String, Json>,
    pub collapse_requests: Collapse,
    pub prioritize_builders: Option<FnRef>,
    pub select_next_worker: Option<FnRef>,
    /// Bytes after which a log is cut off; none: never.
    pub log_max_size: Option<u64>,
    /// Bytes of the end that are kept of a log that was cut off.
    pub log_max_tail_size: Option<u64>,
    pub limits: LuaLimits,
    /// Who is told when a reload fails.
    pub notify_on_reload_failure: Vec<String>,
    /// Who is told of a machine that can't be stopped.
    pub notify_on_leak: Vec<String>,
    /// What the file said, for the difference to another one.
    pub said: Said,
    /// Asked in this order.
    pub secrets_providers: Vec<Arc<SecretProviderSpec>>,
    /// Who tells others of builds and workers.
    pub reporters: Vec<Arc<ReporterSpec>>,
    pub warnings: Vec<Mistake>,
}

/// A password, or the name of the secret that is one: looked up when it is needed, never kept in the configuration.
#[derive(Clone, PartialEq, Debug)]
pub enum Password {
    Plain(Secret),
    Named(String),
}

/// One of `c.secretsProviders`.
#[derive(Clone, PartialEq, Debug)]
pub struct SecretProviderSpec {
    /// `SecretInAFile`, or the name that `extend` gave.
    pub class: String,
    pub kind: SecretProviderKind,
    pub place: Place,
}

#[derive(Clone, PartialEq, Debug)]
pub enum SecretProviderKind {
    File {
        /// Relative to the configuration's folder.
        dirname: PathBuf,
        suffixes: Vec<String>,
        strip: bool,
    },
    Pass {
        passphrase: Option<Secret>,
        dirname: Option<PathBuf>,
    },
    Command {
        command: Vec<String>,
        timeout: Duration,
        strip: bool,
    },
    Environment {
        prefix: String,
    },
    /// The method `get` of a class of the file, bound to its instance.
    Call(FnRef),
}

/// `c.lua`.
#[derive(Clone, PartialEq, Debug)]
pub struct LuaLimits {
    /// For callbacks; none: the default of the kind.
    pub callback_timeout: Option<Duration>,
    pub memory_bytes: usize,
    /// The longest that `run` of a step may compute without waiting for anything.
    pub step_stretch: Duration,
}

impl Default for LuaLimits {
    fn default() -> Self {
        LuaLimits { callback_timeout: None, memory_bytes: 256 << 20, step_stretch: Duration::from_secs(60) }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Listen {
    Tcp {
        interface: Option<String>,
        port: u16,
    },
    /// `mode`: who may connect, as permissions of a file.
    Unix {
        path: PathBuf,
        mode: u32,
    },
}

#[derive(Clone, PartialEq, Debug, Default)]
pub enum Collapse {
    #[default]
    /// As the level above says; at the top: yes.
    Inherit,
    Always(bool),
    Call(FnRef),
}

#[derive(Clone, PartialEq, Debug)]
pub struct WorkerSpec {
    pub name: String,
    /// None: it can't log in.
    pub password: Option<Password>,
    pub kind: WorkerKind,
    /// Builds at the same time over all builders; none: no limit.
    pub max_builds: Option<u32>,
    pub properties: Map<String, Json>,
    pub default_properties: Map<String, Json>,
    /// How often an idle connection is asked for a sign of life; none: never.
    pub keepalive_interval: Option<Duration>,
    pub notify_on_missing: Vec<String>,
    pub notify_on_return: bool,
    /// Addresses of those whose machine it is.
    pub owners: Vec<String>,
    pub missing_timeout: Option<Duration>,
    pub machine_name: Option<String>,
    pub quarantine_initial_timeout: Duration,
    pub quarantine_max_timeout: Duration,
    pub place: Place,
}

#[derive(Clone, PartialEq, Debug)]
pub enum WorkerKind {
    /// Connects by itself.
    Remote,
    /// Its machine is started when a build wants it.
    Latent(Arc<LatentSpec>),
    /// Runs in the master; `workdir` is relative to the base folder (default: `workers/NAME`).
    Local { workdir: Option<PathBuf> },
}

impl WorkerKind {
    /// The class that makes such workers.
    pub fn class(&self) -> &str {
        match self {
            WorkerKind::Remote => "Worker",
            WorkerKind::Local { .. } => "LocalWorker",
            WorkerKind::Latent(latent) => match &latent.backend {
                BackendSpec::Ec2(_) => "EC2LatentWorker",
                BackendSpec::Lua(spec) => &spec.class,
            },
        }
    }
}

#[derive(Clone, PartialEq, Debug)]
pub struct BuilderSpec {
    pub name: String,
    pub workers: Vec<String>,
    pub factory: Arc<FactorySpec>,
    /// The name as it may stand in a path.
    pub builddir: String,
    pub workerbuilddir: String,
    pub tags: Vec<String>,
    pub properties: Map<String, Json>,
    pub default_properties: Map<String, Json>,
    /// Added to each command's environment.
    pub env: Arg<Env>,
    pub next_worker: Option<FnRef>,
    pub next_build: Option<FnRef>,
    pub can_start_build: Option<FnRef>,
    pub collapse_requests: Collapse,
    pub description: Option<String>,
    pub description_format: Option<String>,
    pub place: Place,
}

/// Environment variables; a list is joined with the worker's path separator; none removes the variable.
pub type Env = BTreeMap<String, EnvValue>;

#[derive(Clone, PartialEq, Debug)]
pub enum EnvValue {
    Set(String),
    Path(Vec<String>),
    Remove,
}

#[derive(Clone, PartialEq, Debug, Default)]
pub struct FactorySpec {
    /// `BuildFactory`, or the name that `extend` gave.
    pub class: String,
    pub steps: Vec<Arc<StepSpec>>,
    /// Below the builder's folder; `build`.
    pub workdir: String,
    pub place: Place,
}

#[derive(Clone, PartialEq, Debug)]
pub struct StepSpec {
    /// `ShellCommand`, or the name that `extend` gave.
    pub class: String,
    pub name: Arg<String>,
    pub halt_on_failure: bool,
    pub flunk_on_failure: bool,
    pub flunk_on_warnings: bool,
    pub warn_on_failure: bool,
    pub warn_on_warnings: bool,
    pub always_run: bool,
    pub do_step_if: Condition,
    pub hide_step_if: Condition,
    pub description: Arg<Option<Words>>,
    pub description_done: Arg<Option<Words>>,
    pub description_suffix: Arg<Option<Words>>,
    /// None: the factory's.
    pub workdir: Arg<Option<String>>,
    pub log_encoding: LogEncoding,
    pub kind: StepKind,
    /// Its class has methods of its own that are asked while it runs.
    pub script: Option<StepScript>,
    pub place: Place,
}

/// What of a step is written in Lua.
#[derive(Clone, PartialEq, Debug)]
pub struct StepScript {
    /// The instance that is made anew for each build.
    pub object: u64,
    /// It has an `init` of its own, so each build reads its arguments anew.
    pub init: bool,
    pub methods: BTreeSet<String>,
}

/// How output is encoded that is no UTF-8; none: as UTF-8 with mistakes.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct LogEncoding(pub Option<&'static encoding_rs::Encoding>);

/// `doStepIf`, `hideStepIf`.
#[derive(Clone, PartialEq, Debug)]
pub enum Condition {
    Always(bool),
    /// A predicate: never rendered, called with the step (and, for hiding, the results first).
    Call(FnRef),
    /// Something to render, true or not.
    Render(Template),
}

/// A text, or a list of words that are joined by blanks.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Words(pub String);

#[derive(Clone, PartialEq, Debug)]
pub enum StepKind {
    Shell(Box<ShellSpec>),
    Sequence(Box<SequenceSpec>),
    SetProperty {
        property: Arg<String>,
        value: Template,
    },
    SetProperties(Template),
    SetPropertyFromCommand(Box<SetPropertyFromCommandSpec>),
    /// Only what its `run` does.
    Scripted,
}

/// A command line: text for a shell, or words.
#[derive(Clone, PartialEq, Debug)]
pub enum CommandLine {
    Shell(String),
    Words(Vec<String>),
}

/// What every step that runs a command takes.
#[derive(Clone, PartialEq, Debug)]
pub struct CommandOptions {
    pub env: Arg<Env>,
    /// Seconds without output; default 1200, none: no limit.
    pub timeout: Arg<Option<f64>>,
    /// Seconds in all.
    pub max_time: Arg<Option<f64>>,
    pub max_lines: Arg<Option<i64>>,
    pub sigterm_time: Arg<Option<f64>>,
    pub interrupt_signal: Arg<String>,
    pub use_pty: Arg<Option<bool>>,
    pub initial_stdin: Arg<Option<String>>,
    pub want_stdout: Arg<bool>,
    pub want_stderr: Arg<bool>,
    pub log_environ: Arg<bool>,
    pub logfiles: Arg<BTreeMap<String, LogFile>>,
    pub lazylogfiles: Arg<bool>,
    pub decode_rc: Arg<BTreeMap<i64, Results>>,
}

#[derive(Clone, PartialEq, Debug)]
pub struct LogFile {
    pub filename: String,
    pub follow: bool,
}

#[derive(Clone, PartialEq, Debug)]
pub struct ShellSpec {
    pub command: Arg<CommandLine>,
    pub options: CommandOptions,
    /// Warnings in its output are counted (`Compile`, `WarningCountingShellCommand`).
    pub warnings: Option<WarningSpec>,
}

#[derive(Clone, PartialEq, Debug)]
pub struct SequenceSpec {
    pub commands: SequenceCommands,
    pub options: CommandOptions,
}

#[derive(Clone, PartialEq, Debug)]
pub enum SequenceCommands {
    List(Vec<ShellArgSpec>),
    /// Command lines; a function may make `ShellArg`s, too.
    Render(Template),
}

/// `util.ShellArg`: one command of a sequence.
#[derive(Clone, PartialEq, Debug)]
pub struct ShellArgSpec {
    pub command: Arg<MaybeCommand>,
    pub logname: Arg<Option<String>>,
    pub halt_on_failure: Arg<bool>,
    pub flunk_on_failure: Arg<bool>,
    pub flunk_on_warnings: Arg<bool>,
    pub warn_on_failure: Arg<bool>,
    pub warn_on_warnings: Arg<bool>,
}

#[derive(Clone, PartialEq, Debug)]
pub struct SetPropertyFromCommandSpec {
    pub shell: ShellSpec,
    /// Either this …
    pub property: Option<Arg<String>>,
    /// … or a function of `(rc, stdout, stderr)` to a table of properties.
    pub extract_fn: Option<FnRef>,
    pub strip: bool,
    pub include_stdout: bool,
    pub include_stderr: bool,
}

#[derive(Clone, PartialEq, Debug)]
pub struct SchedulerSpec {
    pub name: String,
    pub builders: Vec<String>,
    pub properties: Map<String, Json>,
    pub priority: i64,
    pub kind: SchedulerKind,
    pub place: Place,
}

#[derive(Clone, PartialEq, Debug)]
pub enum SchedulerKind {
    Force(Box<ForceSpec>),
}

#[derive(Clone, PartialEq, Debug)]
pub struct ForceSpec {
    pub label: String,
    pub button_name: String,
    /// With `%(owner)s` and `%(reason)s`.
    pub reason_string: String,
    pub username: Parameter,
    pub reason: Parameter,
    pub priority: Parameter,
    /// `CodebaseParameter`s; one with the empty name by default.
    pub codebases: Vec<Parameter>,
    pub properties: Vec<Parameter>,
}

/// A parameter of a force form.
#[derive(Clone, PartialEq, Debug)]
pub struct Parameter {
    /// `StringParameter` …
    pub class: String,
    pub name: String,
    pub label: String,
    pub tablabel: String,
    pub tooltip: String,
    pub regex: Option<String>,
    pub default: Json,
    pub required: bool,
    pub multiple: bool,
    pub hide: bool,
    /// Text: the size of the box; numbers for the form only.
    pub size: Option<i64>,
    pub cols: Option<i64>,
    pub rows: Option<i64>,
    /// What makes its value of what is entered; none: its kind does.
    pub parse: Option<ParseWith>,
    pub kind: ParameterKind,
}

/// A function of the file that reads what was entered, and raises to refuse it.
#[derive(Clone, PartialEq, Debug)]
pub enum ParseWith {
    /// `parse_from_arg`, for each text.
    Each(FnRef),
    /// `parse_from_args`, for all of them.
    All(FnRef),
}

/// What can be chosen.
#[derive(Clone, PartialEq, Debug)]
pub enum Choices {
    List(Vec<String>),
    /// A function that gives the list.
    Call(FnRef),
}

#[derive(Clone, PartialEq, Debug)]
pub enum ParameterKind {
    Fixed,
    Text,
    Int,
    Bool,
    UserName {
        need_email: bool,
    },
    Choice {
        choices: Choices,
        strict: bool,
    },
    /// Which worker is to be used; its value becomes the property `workername` if it is not empty.
    Worker,
    File {
        max_bytes: u64,
    },
    /// Any property: a name and a value.
    AnyProperty,
    /// `branch`, `revision`, `repository`, `project` of one codebase.
    Codebase {
        codebase: String,
        fields: Vec<Parameter>,
    },
    Nested {
        fields: Vec<Parameter>,
        columns: Option<i64>,
        layout: String,
    },
}
