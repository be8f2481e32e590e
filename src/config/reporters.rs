//! Reporters as declared: `MailNotifier` in both of its spellings, `HttpStatusPush`, and those of the file's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use md5::{Digest, Md5};

use super::arguments::{Arguments, Reader, arguments};
use super::assemble::{Assembly, Parsed};
use super::class::{ClassDecl, Kind};
use super::formatters::WantedLogs;
use super::generators::{self, MissingWorkers};
use super::instance::{FormatterRef, GeneratorRef};
use super::reports::*;
use super::spec::Password;
use super::template::{Arg, Template};
use super::value::{FnRef, Object};
use super::without_effect::NotUsed;

mod values;

pub(super) use values::{Address, addresses};
use values::{ClientCertificate, Credential, Login, Port};

arguments! {
    /// What every reporter takes.
    CommonArgs {
        "name" name: Option<String> = None => "None", "What it is called in logs and messages; needed where several of one class select the same.", Identity;
        "generators" generators: Option<Vec<GeneratorRef>> = None => "None", "Which events make a message; None: the usual ones of the class.";
        "sendMessage" send_message: Option<FnRef> = None => "None", "A method of a class of one's own: `sendMessage(self, reports)` sends; what it raises is tried again later.";
    }
}

arguments! {
    MailArgs {
        include common: CommonArgs;
        include old: OldArgs;
        [1] "fromaddr" fromaddr: Address, "Who sends.";
        [2] "relayhost" relayhost: String = "localhost".into() => "\"localhost\"", "The server that takes the mails.";
        "smtpPort" smtp_port: Port = Port(25) => "25", "Its port.";
        "useTls" use_tls: bool = false => "false", "STARTTLS is demanded.";
        "useSmtps" use_smtps: bool = false => "false", "TLS from the first byte.";
        "smtpCaFile" ca_file: Option<String> = None => "None", "A file in PEM of the authorities that may have signed the server's certificate, in place of the system's.";
        "smtpUser" smtp_user: Option<Credential> = None => "None", "The login of the server; with `smtpPassword`.";
        "smtpPassword" smtp_password: Option<Credential> = None => "None", "Its password.";
        "lookup" lookup: Lookup = Lookup::AsItIs => "None", "How the name of an author or owner becomes an address: a domain, or `function(name)` that gives an address or nil; it may wait.";
        "extraRecipients" extra_recipients: Vec<Address> = Vec::new() => "{}", "Who gets every mail; as a copy, where interested users get it, too.";
        "sendToInterestedUsers" send_to_interested: bool = true => "true", "Authors of changes and owners of the build get it.";
        "sendToWorkerOwners" send_to_owners: bool = false => "false", "The `owner` of a worker is told of failures on it, and of its absence.";
        "workers" workers: Option<Vec<String>> = None => "None", "Only builds on these workers, and only their absence.";
        "extraHeaders" extra_headers: BTreeMap<String, Arg<String>> = BTreeMap::new() => "{}", "Further headers; rendered with the properties that the builds share.";
        "dumpMailsToLog" dump: bool = false => "false", "Each mail is written to the log as well.";
    }
}

arguments! {
    /// What stood in the arguments of `MailNotifier` before there were generators.
    OldArgs {
        "mode" mode: Option<Modes> = None => "None", "Of old files: of a BuildStatusGenerator.";
        "builders" builders: Option<Vec<String>> = None => "None", "Of old files: of a BuildStatusGenerator; `{}` tells of missing workers only.";
        "tags" | "categories" tags: Option<Vec<String>> = None => "None", "Of old files: of a BuildStatusGenerator.";
        "schedulers" schedulers: Option<Vec<String>> = None => "None", "Of old files: of a BuildStatusGenerator.";
        "branches" branches: Option<Vec<Option<String>>> = None => "None", "Of old files: of a BuildStatusGenerator.";
        "subject" subject: Option<String> = None => "None", "Of old files: the subject, with `%(result)s`, `%(title)s`, `%(builder)s`, `%(projectName)s`.";
        "addLogs" add_logs: Option<WantedLogs> = None => "None", "Of old files: `add_logs` of a BuildStatusGenerator.";
        "addPatch" _add_patch: NotUsed = NotUsed => "true", "Of old files: `add_patch` of a BuildStatusGenerator.";
        "buildSetSummary" set_summary: Option<bool> = None => "None", "Of old files: a BuildSetStatusGenerator.";
        "messageFormatter" formatter: Option<FormatterRef> = None => "None", "Of old files: `message_formatter` of a BuildStatusGenerator.";
        "messageFormatterMissingWorker" missing_formatter: Option<FormatterRef> = None => "None", "Of old files: `message_formatter` of a WorkerMissingGenerator.";
        "watchedWorkers" watched: Option<MissingWorkers> = None => "None", "Of old files: `workers` of a WorkerMissingGenerator.";
    }
}

arguments! {
    HttpArgs {
        include common: CommonArgs;
        [1] "serverUrl" server_url: String, "Where each report is posted as JSON.";
        [2] "auth" auth: Option<Login> = None => "None", "The login of the server: `{ \"user\", \"password\" }`; each may be a util.Secret.";
        [3] "headers" headers: BTreeMap<String, SecretText> = BTreeMap::new() => "{}", "Further headers; a value may be a util.Secret or an Interpolate with secrets.";
        "debug" debug: bool = false => "false", "Requests and answers are written to the log.";
        "verify" verify: Verify = Verify::System => "None", "Certificates are checked: true, false, or a file in PEM of the authorities.";
        "cert" cert: Option<ClientCertificate> = None => "None", "The client's certificate: a file in PEM, or a list of it and its key.";
        "skip_encoding" skip_encoding: bool = false => "false", "Has no effect: what is posted is never compressed.";
    }
}

arguments! {
    OwnArgs {
        include common: CommonArgs;
    }
}

pub(super) fn declare(list: &mut Vec<ClassDecl>) {
    let mail = "Sends mail about builds and missing workers; nothing is lost while the server is away.";
    list.push(ClassDecl::new::<MailArgs>("MailNotifier", Kind::Reporter, mail_notifier, mail).top().old(&["mail.MailNotifier"]));
    let http = "Posts each report as JSON; tried again while the server is away.";
    list.push(ClassDecl::new::<HttpArgs>("HttpStatusPush", Kind::Reporter, http_push, http));
    let own =
        "The base of reporters of one's own: their `sendMessage(self, reports)` is called with each report, again later if it raises.";
    list.push(ClassDecl::new::<OwnArgs>("ReporterBase", Kind::Reporter, own_reporter, own));
}

fn mail_notifier(reader: &mut Reader, object: &Object, assembly: &mut Assembly) -> Option<Parsed> {
    let args = MailArgs::read(reader)?;
    let old: Vec<&str> = OldArgs::declared()
        .iter()
        .flat_map(|arg| arg.aliases.iter().copied().chain([arg.name]))
        .filter(|name| object.args.named.contains_key(name))
        .collect();
    if let (Some(_), Some(name)) = (&args.common.generators, old.first()) {
        reader.wrong(format!("'{name}' belongs in one of its generators: give either generators or the arguments of old files"));
    }
    // `builders = {}` is how one says that only missing workers are told.
    let only_missing = old == ["builders"] && args.old.builders.as_ref().is_some_and(Vec::is_empty);
    if let Some(name) = old.first().filter(|_| !only_missing && args.common.generators.is_none()) {
        let today = "in generators = { reporters.BuildStatusGenerator{ … }, reporters.WorkerMissingGenerator{} }";
        reader.warnings.push(super::arguments::Warning {
            text: format!("'{name}' and the like stand {today} today"),
            about: Some("old arguments of MailNotifier".into()),
            name: Some((*name).to_owned()),
        });
    }
    if args.use_tls && args.use_smtps {
        reader.wrong("'useTls' and 'useSmtps' exclude each other: STARTTLS begins without TLS");
    }
    if args.ca_file.is_some() && !args.use_tls && !args.use_smtps && args.smtp_user.is_none() {
        reader.warn_of("smtpCaFile", "'smtpCaFile' has no effect without 'useTls', 'useSmtps' or a login: nothing is encrypted");
    }
    if args.relayhost.is_empty() || args.relayhost.chars().any(|c| c.is_whitespace() || c.is_control()) {
        reader.wrong(format!("'relayhost' must be the name of a host, got {:?}", args.relayhost));
    }
    let login = match (args.smtp_user, args.smtp_password) {
        (Some(user), Some(password)) => Some((user.0, password.0)),
        (None, None) => None,
        (Some(_), None) => return wrong(reader, "'smtpUser' needs 'smtpPassword'"),
        (None, Some(_)) => return wrong(reader, "'smtpPassword' needs 'smtpUser'"),
    };
    let mut extra_headers = Vec::new();
    for (name, value) in args.extra_headers {
        if !header_name(&name) {
            reader.wrong(format!("extraHeaders[{name:?}] is no name of a header"));
        } else if OWN_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(&name)) {
            reader.warn_of("extraHeaders", format!("extraHeaders.{name} is left out: each mail has its own"));
        } else {
            extra_headers.push((name, template(value)));
        }
    }
    let generators = match &args.common.generators {
        Some(_) => given(reader, assembly, args.common.generators)?,
        None => {
            generators::check_filter(
                reader,
                &FilterSpec { builders: args.old.builders.clone(), tags: args.old.tags.clone(), ..Default::default() },
            );
            old_generators(reader, object, assembly, args.old)?
        }
    };
    let mail = MailSpec {
        fromaddr: args.fromaddr.0,
        relayhost: args.relayhost,
        smtp_port: args.smtp_port.0,
        use_tls: args.use_tls,
        use_smtps: args.use_smtps,
        ca_file: args.ca_file,
        login,
        lookup: args.lookup,
        extra_recipients: args.extra_recipients.into_iter().map(|a| a.0).collect(),
        send_to_interested_users: args.send_to_interested,
        send_to_worker_owners: args.send_to_owners,
        workers: args.workers,
        extra_headers,
        dump_mails_to_log: args.dump,
    };
    let kind = ReporterKind::Mail(Box::new(mail));
    reporter(reader, object, args.common.name, args.common.send_message, kind, generators)
}

fn http_push(reader: &mut Reader, object: &Object, assembly: &mut Assembly) -> Option<Parsed> {
    let args = HttpArgs::read(reader)?;
    let address = args.server_url.split_once("://").filter(|(scheme, rest)| ["http", "https"].contains(scheme) && !rest.is_empty());
    if address.is_none() || args.server_url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        reader.wrong(format!("'serverUrl' must be an address such as \"https://example.org/report\", got {:?}", args.server_url));
    }
    for name in args.headers.keys().filter(|name| !header_name(name)) {
        reader.wrong(format!("headers[{name:?}] is no name of a header"));
    }
    let generators = match args.common.generators {
        Some(_) => given(reader, assembly, args.common.generators)?,
        None => vec![Arc::new(generators::plain(object, GeneratorKind::StartEnd { start_formatter: None }))],
    };
    let http = HttpPushSpec {
        server_url: args.server_url,
        auth: args.auth.map(|login| (login.0, login.1)),
        headers: args.headers.into_iter().collect(),
        debug: args.debug,
        verify: args.verify,
        cert: args.cert.map(|c| (c.0, c.1)),
    };
    let kind = ReporterKind::Http(Box::new(http));
    reporter(reader, object, args.common.name, args.common.send_message, kind, generators)
}

fn own_reporter(reader: &mut Reader, object: &Object, assembly: &mut Assembly) -> Option<Parsed> {
    let args = OwnArgs::read(reader)?;
    if args.common.send_message.is_none() {
        reader.wrong(
            "has no method 'sendMessage(self, reports)': write reporters.ReporterBase:extend(\"Name\", { sendMessage = function(self, reports) … end })",
        );
    }
    let generators = match args.common.generators {
        Some(_) => given(reader, assembly, args.common.generators)?,
        None => vec![Arc::new(generators::plain(object, GeneratorKind::Build { mode: Modes::default(), report_new: false }))],
    };
    reporter(reader, object, args.common.name, args.common.send_message, ReporterKind::Own, generators)
}

fn wrong(reader: &mut Reader, text: &str) -> Option<Parsed> {
    reader.wrong(text);
    None
}

fn reporter(
    reader: &mut Reader,
    object: &Object,
    name: Option<String>,
    send_message: Option<FnRef>,
    kind: ReporterKind,
    generators: Vec<Arc<GeneratorSpec>>,
) -> Option<Parsed> {
    let class = object.custom_class.clone().unwrap_or_else(|| object.class.clone());
    let name = match name {
        Some(name) if name.trim().is_empty() || name.chars().any(char::is_control) => {
            return wrong(reader, &format!("'name' must be a name, got {name:?}"));
        }
        Some(name) => name,
        None => derived_name(&class, &kind, &generators),
    };
    let place = object.place.clone();
    Some(Parsed::Reporter(Arc::new(ReporterSpec { name, class, kind, generators, send_message, place })))
}

/// The generators that it was given; none if one of them has mistakes.
fn given(reader: &mut Reader, assembly: &mut Assembly, list: Option<Vec<GeneratorRef>>) -> Option<Vec<Arc<GeneratorSpec>>> {
    let list = list.unwrap_or_default();
    if list.is_empty() {
        reader.warn_of("generators", "'generators' is empty: it never tells anything");
    }
    let parsed = |object: &GeneratorRef| match assembly.parsed(&object.0) {
        Some(Parsed::Generator(generator)) => Some(generator),
        _ => None,
    };
    list.iter().map(parsed).collect()
}

/// What the arguments of an old file say; without any the usual ones.
fn old_generators(reader: &mut Reader, object: &Object, assembly: &mut Assembly, old: OldArgs) -> Option<Vec<Arc<GeneratorSpec>>> {
    let mode = old.mode.unwrap_or_default();
    let kind = if old.set_summary == Some(true) { GeneratorKind::Set { mode } } else { GeneratorKind::Build { mode, report_new: false } };
    let builds = GeneratorSpec {
        filter: FilterSpec { builders: old.builders, tags: old.tags, schedulers: old.schedulers, branches: old.branches },
        formatter: generators::of_builds(reader, assembly, old.formatter)?,
        subject: old.subject,
        add_logs: old.add_logs,
        ..generators::plain(object, kind)
    };
    let workers = old.watched.and_then(|watched| watched.0);
    let missing = GeneratorSpec {
        formatter: generators::formatter(assembly, old.missing_formatter)?,
        ..generators::plain(object, GeneratorKind::WorkerMissing { workers })
    };
    Some(vec![Arc::new(builds), Arc::new(missing)])
}

/// The names of the secrets that it uses.
pub(super) fn secrets(reporter: &ReporterSpec) -> Vec<String> {
    let login = match &reporter.kind {
        ReporterKind::Mail(mail) => &mail.login,
        ReporterKind::Http(http) => &http.auth,
        ReporterKind::Own => &None,
    };
    let passwords = login.iter().flat_map(|(user, password)| [user, password]);
    let mut names: Vec<String> = passwords.filter_map(|p| if let Password::Named(name) = p { Some(name.clone()) } else { None }).collect();
    if let ReporterKind::Http(http) = &reporter.kind {
        names.extend(http.headers.iter().flat_map(|(_, value)| value.secrets().map(str::to_owned)));
    }
    names
}

/// What it names: the argument, the names, and what they are names of.
pub(super) fn named(reporter: &ReporterSpec) -> Vec<(&'static str, &[String], &'static str)> {
    let mut named: Vec<(&str, &[String], &str)> = Vec::new();
    if let Some(workers) = reporter.mail().and_then(|mail| mail.workers.as_deref()) {
        named.push(("workers", workers, "worker"));
    }
    for generator in &reporter.generators {
        if let GeneratorKind::WorkerMissing { workers: Some(workers) } = &generator.kind {
            named.push(("workers", workers, "worker"));
        }
        let filter = &generator.filter;
        named.extend(filter.builders.as_deref().map(|names| ("builders", names, "builder")));
        named.extend(filter.schedulers.as_deref().map(|names| ("schedulers", names, "scheduler")));
    }
    named
}

/// The reporter with other names of workers in place of its own.
pub(super) fn of_workers(reporter: &ReporterSpec, other: impl Fn(&[String]) -> Vec<String>) -> Arc<ReporterSpec> {
    let mut reporter = reporter.clone();
    if let ReporterKind::Mail(mail) = &mut reporter.kind {
        mail.workers = mail.workers.as_deref().map(&other);
    }
    for generator in &mut reporter.generators {
        if let GeneratorKind::WorkerMissing { workers: Some(names) } = &generator.kind {
            let kind = GeneratorKind::WorkerMissing { workers: Some(other(names)) };
            *generator = Arc::new(GeneratorSpec { kind, ..(**generator).clone() });
        }
    }
    Arc::new(reporter)
}

/// There are notifiers, and none of them tells of that worker's absence. Where there are none, one of the host's own does.
pub(super) fn nobody_mails(reporters: &[Arc<ReporterSpec>], worker: &str) -> bool {
    let mut notifiers = reporters.iter().filter_map(|r| Some((r, r.mail()?))).peekable();
    let tells = |(reporter, mail): (&Arc<ReporterSpec>, &MailSpec)| {
        reporter.missing_generator(worker).is_some() && mail.workers.as_ref().is_none_or(|names| names.iter().any(|name| name == worker))
    };
    notifiers.peek().is_some() && !notifiers.any(tells)
}

const LONGEST_NAME: usize = 100;

/// A name that stays the same while the reporter selects the same, so that what is queued for it is still its own after a restart.
fn derived_name(class: &str, kind: &ReporterKind, generators: &[Arc<GeneratorSpec>]) -> String {
    let mut parts = Vec::new();
    if let ReporterKind::Http(http) = kind {
        let (scheme, rest) = http.server_url.split_once("://").unwrap_or(("", &http.server_url));
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        // A login may stand before the host.
        let host = rest.split_once('/').map_or(rest, |(host, _)| host);
        let bare = &rest[host.rfind('@').map_or(0, |at| at + 1)..];
        parts.push(format!("{scheme}://{bare}"));
    }
    for generator in generators {
        let filter = &generator.filter;
        let mut list = |what: &str, names: Option<Vec<String>>| parts.extend(names.map(|names| format!("{what}={}", names.join(","))));
        list("builders", filter.builders.clone());
        list("tags", filter.tags.clone());
        list("schedulers", filter.schedulers.clone());
        list("branches", filter.branches.as_ref().map(|b| b.iter().map(|b| b.clone().unwrap_or_default()).collect()));
        match &generator.kind {
            GeneratorKind::Build { mode, .. } | GeneratorKind::Set { mode } if *mode != Modes::default() => {
                parts.push(format!("mode={mode}"))
            }
            GeneratorKind::WorkerMissing { workers: Some(names) } => parts.push(format!("workers={}", names.join(","))),
            _ => {}
        }
    }
    let mut name = class.to_owned();
    for part in parts {
        name.push(' ');
        name.push_str(&part);
    }
    if name.chars().count() > LONGEST_NAME {
        let digest: String = Md5::digest(&name).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        name = name.chars().take(LONGEST_NAME - 10).chain(['…']).collect::<String>() + &digest;
    }
    name.replace(char::is_control, " ")
}

fn header_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 76 && name.chars().all(|c| c.is_ascii_graphic() && !"()<>@,;:\\\"/[]?={}".contains(c))
}

fn template(value: Arg<String>) -> Template {
    match value {
        Arg::Const(text) => Template::Const(text.into()),
        Arg::Dynamic(template) => *template,
    }
}

#[cfg(test)]
mod tests;
