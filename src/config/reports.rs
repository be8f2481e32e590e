//! Reporters as they were understood: whom they tell, how, and which events make a message. Decides nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::template::Template;
use super::value::{FnRef, Place};
use super::{FormatterSpec, Password, WantedLogs, convert};
use crate::base::MailAddress;
use crate::model::Results;

/// One of `c.services` that tells of builds and workers.
#[derive(Clone, PartialEq, Debug)]
pub struct ReporterSpec {
    /// As given, else made of its class and what its generators select; unique.
    pub name: String,
    /// `MailNotifier`, or the name that `extend` gave.
    pub class: String,
    pub kind: ReporterKind,
    pub generators: Vec<Arc<GeneratorSpec>>,
    /// `sendMessage` of a class of the file: it sends instead of the host.
    pub send_message: Option<FnRef>,
    pub place: Place,
}

#[derive(Clone, PartialEq, Debug)]
pub enum ReporterKind {
    Mail(Box<MailSpec>),
    Http(Box<HttpPushSpec>),
    /// Only what its `sendMessage` does.
    Own,
}

impl ReporterSpec {
    pub fn mail(&self) -> Option<&MailSpec> {
        match &self.kind {
            ReporterKind::Mail(mail) => Some(mail),
            _ => None,
        }
    }

    pub fn http(&self) -> Option<&HttpPushSpec> {
        match &self.kind {
            ReporterKind::Http(http) => Some(http),
            _ => None,
        }
    }

    /// The generator that tells of that worker's absence, if there is one.
    pub fn missing_generator(&self, worker: &str) -> Option<&Arc<GeneratorSpec>> {
        self.generators.iter().find(|g| match &g.kind {
            GeneratorKind::WorkerMissing { workers: None } => true,
            GeneratorKind::WorkerMissing { workers: Some(names) } => names.iter().any(|n| n == worker),
            _ => false,
        })
    }
}

/// `MailNotifier`: who is told, through which server.
#[derive(Clone, PartialEq, Debug)]
pub struct MailSpec {
    pub fromaddr: MailAddress,
    pub relayhost: String,
    pub smtp_port: u16,
    /// STARTTLS is demanded.
    pub use_tls: bool,
    /// TLS from the first byte.
    pub use_smtps: bool,
    /// A file of authorities in PEM that certificates are checked by instead of the system's; relative to the configuration's folder.
    pub ca_file: Option<String>,
    /// Both or neither.
    pub login: Option<(Password, Password)>,
    pub lookup: Lookup,
    pub extra_recipients: Vec<MailAddress>,
    pub send_to_interested_users: bool,
    /// Owners of workers are told of failures on them.
    pub send_to_worker_owners: bool,
    /// Only builds on these workers, and only their absence; none: all.
    pub workers: Option<Vec<String>>,
    /// Rendered with the properties that all builds of the message share.
    pub extra_headers: Vec<(String, Template)>,
    pub dump_mails_to_log: bool,
}

/// Headers that say how a mail is made and how it travels: `extraHeaders` can't set them.
pub const OWN_HEADERS: [&str; 16] = [
    "From",
    "Sender",
    "To",
    "Cc",
    "Bcc",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Return-Path",
    "Received",
    "Auto-Submitted",
];

impl Default for MailSpec {
    fn default() -> Self {
        MailSpec {
            fromaddr: MailAddress { name: None, bare: "buildbot@localhost".into() },
            relayhost: "localhost".into(),
            smtp_port: 25,
            use_tls: false,
            use_smtps: false,
            ca_file: None,
            login: None,
            lookup: Lookup::AsItIs,
            extra_recipients: Vec::new(),
            send_to_interested_users: true,
            send_to_worker_owners: false,
            workers: None,
            extra_headers: Vec::new(),
            dump_mails_to_log: false,
        }
    }
}

/// How the name of an author or owner becomes an address.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Lookup {
    #[default]
    AsItIs,
    /// What has no `@` gets this domain.
    Domain(String),
    /// `function(name)`: an address or nil.
    Call(FnRef),
}

/// `HttpStatusPush`.
#[derive(Clone, PartialEq, Debug)]
pub struct HttpPushSpec {
    pub server_url: String,
    pub auth: Option<(Password, Password)>,
    pub headers: Vec<(String, SecretText)>,
    pub debug: bool,
    pub verify: Verify,
    /// The client's certificate and its key, in PEM.
    pub cert: Option<(String, Option<String>)>,
}

#[derive(Clone, PartialEq, Debug, Default)]
pub enum Verify {
    #[default]
    System,
    /// A file of authorities in PEM.
    File(String),
    Off,
}

/// A text with secrets in it, which are looked up when it is used and stand in no database.
#[derive(Clone, PartialEq, Debug)]
pub struct SecretText(pub Vec<SecretPart>);

#[derive(Clone, PartialEq, Debug)]
pub enum SecretPart {
    Text(String),
    Secret(String),
}

impl SecretText {
    /// The names of its secrets.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| if let SecretPart::Secret(name) = part { Some(name.as_str()) } else { None })
    }
}

/// What makes messages of events.
#[derive(Clone, PartialEq, Debug)]
pub struct GeneratorSpec {
    /// `BuildStatusGenerator`, or the name that `extend` gave.
    pub class: String,
    pub kind: GeneratorKind,
    pub filter: FilterSpec,
    /// `is_message_needed_by_props` and `is_message_needed_by_results` of a class of the file: they decide instead of filter and mode.
    pub needed_by_props: Option<FnRef>,
    pub needed_by_results: Option<FnRef>,
    /// None: the standard one of its kind.
    pub formatter: Option<Arc<FormatterSpec>>,
    /// The old template of a subject: `%(result)s`, `%(title)s`, `%(builder)s`, `%(projectName)s`.
    pub subject: Option<String>,
    /// None: as the formatter says.
    pub add_logs: Option<WantedLogs>,
    pub place: Place,
}

#[derive(Clone, PartialEq, Debug)]
pub enum GeneratorKind {
    /// `BuildStatusGenerator`
    Build {
        mode: Modes,
        /// The start of a build is told, too.
        report_new: bool,
    },
    /// `BuildSetStatusGenerator`: one message for the builds of a set that pass.
    Set { mode: Modes },
    /// `BuildSetCombinedStatusGenerator`: one message for the set as it is.
    SetCombined,
    /// `BuildStartEndStatusGenerator`; `formatter` is that of the end.
    StartEnd { start_formatter: Option<Arc<FormatterSpec>> },
    /// `BuildRequestGenerator`
    Request,
    /// `WorkerMissingGenerator`; none: every worker.
    WorkerMissing { workers: Option<Vec<String>> },
}

/// Which builds are told of; all that are given must hold.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct FilterSpec {
    pub builders: Option<Vec<String>>,
    pub tags: Option<Vec<String>>,
    pub schedulers: Option<Vec<String>>,
    /// None among them is a build without a branch.
    pub branches: Option<Vec<Option<String>>>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Mode {
    /// The result is another one than that of the build before.
    Change,
    Failing,
    Passing,
    /// A failure after something else.
    Problem,
    Warnings,
    Exception,
    Cancelled,
}

impl Mode {
    pub const ALL: [(&'static str, Mode); 7] = [
        ("change", Mode::Change),
        ("failing", Mode::Failing),
        ("passing", Mode::Passing),
        ("problem", Mode::Problem),
        ("warnings", Mode::Warnings),
        ("exception", Mode::Exception),
        ("cancelled", Mode::Cancelled),
    ];

    pub fn name(self) -> &'static str {
        Mode::ALL.iter().find(|(_, mode)| *mode == self).map_or("", |(name, _)| *name)
    }

    /// The result that it stands for by itself.
    pub fn result(self) -> Option<Results> {
        match self {
            Mode::Failing => Some(Results::Failure),
            Mode::Passing => Some(Results::Success),
            Mode::Warnings => Some(Results::Warnings),
            Mode::Exception => Some(Results::Exception),
            Mode::Cancelled => Some(Results::Cancelled),
            Mode::Change | Mode::Problem => None,
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Modes(pub BTreeSet<Mode>);

impl Default for Modes {
    fn default() -> Self {
        Modes([Mode::Failing, Mode::Passing, Mode::Warnings].into())
    }
}

impl std::fmt::Display for Modes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.0.iter().map(|mode| mode.name()).collect();
        f.write_str(&names.join("+"))
    }
}

impl convert::FromValue for Modes {
    fn expected() -> String {
        let names: Vec<String> = Mode::ALL.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        format!("\"all\", or one or more of {}", names.join(", "))
    }

    fn lua_type() -> super::lua_type::LuaType {
        use super::lua_type::LuaType;
        LuaType::Name("string").or(LuaType::list(LuaType::Name("string")))
    }

    fn from_value(value: &super::Value) -> Result<Modes, convert::Wrong> {
        use super::{Value, Wrong};
        let words = |list: &[Mode]| Ok(Modes(list.iter().copied().collect()));
        match value {
            Value::Text(text) if text == "all" => words(&[Mode::Failing, Mode::Passing, Mode::Warnings, Mode::Exception, Mode::Cancelled]),
            Value::Text(text) if text == "warnings" => words(&[Mode::Failing, Mode::Warnings]),
            Value::Text(text) => words(&[mode(text)?]),
            Value::Table(t) if t.named.is_empty() && t.strange_key.is_none() => {
                let items = t.items.iter().enumerate();
                let modes = items.map(|(i, item)| {
                    match item {
                        Value::Text(text) if text == "all" => {
                            Err(Wrong::says("can't be \"all\": that word stands alone, as in mode = \"all\""))
                        }
                        Value::Text(text) => mode(text),
                        other => Err(Wrong::must("the name of a mode", other)),
                    }
                    .map_err(|wrong| wrong.inside(convert::item(i)))
                });
                modes.collect::<Result<_, _>>().map(Modes)
            }
            other => Err(Wrong::must(Modes::expected(), other)),
        }
    }
}

fn mode(text: &str) -> Result<Mode, convert::Wrong> {
    let known = Mode::ALL.iter().find(|(name, _)| *name == text);
    known.map(|(_, mode)| *mode).ok_or_else(|| {
        let hint = crate::base::suggest::hint(text, Mode::ALL.iter().map(|(name, _)| *name));
        let names: Vec<&str> = Mode::ALL.iter().map(|(name, _)| *name).collect();
        convert::Wrong::says(format!("is \"{text}\", which is no mode{hint}; there are {}, and all", names.join(", ")))
    })
}
