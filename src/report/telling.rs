//! From one occurrence to the messages of one reporter: which of its generators tell of it, what they say, and to whom. It queues
//! and sends nothing.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;
use serde_json::Value as Json;

use super::about::{About, Setting};
use super::compose::{Composed, merge, wishes};
use super::facts::{BuildFacts, RequestFacts, SetFacts};
use super::filters::{self, Filtered};
use super::format::{self, Callable};
use super::recipients::{self, Recipients};
use super::sending::mail::Mail;
use super::{modes, payload, read_logs};
use crate::base::{MailAddress, Timestamp};
use crate::builds::render::Renderer;
use crate::config::{
    Arg, FormatterSpec, GeneratorKind, GeneratorSpec, Lookup, MailSpec, MasterConfig, ReporterKind, ReporterSpec, Template, WantedLogs,
};
use crate::lua::{BuildInput, Generation};
use crate::model::report::What;
use crate::model::{NewOutboxItem, Properties, Results, WorkerInfo};
use crate::secrets::BuildSecrets;
use crate::store::Store;
use crate::workers::BoxFuture;

/// Names that are looked up at the same time.
const LOOKUPS: usize = 16;

/// What happened, with all that is known of it.
#[derive(Clone, Debug)]
pub enum Happened {
    Started(Box<BuildFacts>),
    Finished(Box<BuildFacts>),
    Pending(Box<RequestFacts>),
    Cancelled(Box<RequestFacts>),
    Set(Box<SetFacts>),
}

impl Happened {
    /// Messages about the same builder are sent in their order.
    pub fn lane(&self) -> String {
        match self {
            Happened::Started(build) | Happened::Finished(build) => build.builder.name.to_string(),
            Happened::Pending(request) | Happened::Cancelled(request) => request.builder.name.to_string(),
            Happened::Set(set) => one_builder(&set.builds).unwrap_or("build sets").to_owned(),
        }
    }

    fn thread(&self) -> Option<String> {
        match self {
            Happened::Set(set) => one_builder(&set.builds).map(str::to_owned),
            _ => Some(self.lane()),
        }
    }

    fn builds(&self) -> Vec<&BuildFacts> {
        match self {
            Happened::Started(build) | Happened::Finished(build) => vec![build],
            Happened::Pending(_) | Happened::Cancelled(_) => Vec::new(),
            Happened::Set(set) => set.builds.iter().collect(),
        }
    }
}

fn one_builder(builds: &[BuildFacts]) -> Option<&str> {
    let first = &builds.first()?.builder.name;
    builds.iter().all(|b| b.builder.name == *first).then_some(first)
}

/// May a generator of this kind tell of it at all? Where no generator may, nothing is read.
pub fn concerns(kind: &GeneratorKind, what: What) -> bool {
    match what {
        What::BuildStarted(_) => matches!(kind, GeneratorKind::StartEnd { .. } | GeneratorKind::Build { report_new: true, .. }),
        What::BuildFinished(_) => matches!(kind, GeneratorKind::StartEnd { .. } | GeneratorKind::Build { .. }),
        What::RequestAdded(_) | What::RequestCancelled(_) => matches!(kind, GeneratorKind::Request),
        What::SetComplete(_) => matches!(kind, GeneratorKind::Set { .. } | GeneratorKind::SetCombined),
    }
}

/// The configuration that tells, and what it tells with.
#[derive(Clone, Copy)]
pub struct Teller<'a> {
    pub store: &'a Store,
    pub config: &'a MasterConfig,
    pub generation: &'a Generation,
    pub secrets: &'a BuildSecrets,
    pub now: Timestamp,
}

/// One generator's part of a message.
struct Part<'a> {
    about: About<'a>,
    formatter: Option<&'a FormatterSpec>,
    composed: Composed,
    data: Json,
}

impl Teller<'_> {
    /// The message of one reporter about it; none: it tells nobody.
    pub async fn message(&self, reporter: &ReporterSpec, what: What, happened: &Happened) -> Option<NewOutboxItem> {
        let mut parts = Vec::new();
        for generator in reporter.generators.iter().filter(|g| concerns(&g.kind, what)) {
            let Some((about, formatter)) = self.wanted(reporter, generator, happened).await else { continue };
            parts.push(self.part(generator, formatter, about).await);
        }
        let first = parts.first()?;
        let users = users(&first.about);
        let payload = if reporter.send_message.is_some() || matches!(reporter.kind, ReporterKind::Own) {
            let reports = parts.iter().map(|p| payload::report(&p.about, &p.composed, &users, p.data.clone()));
            Json::Array(reports.collect()).to_string()
        } else if let Some(mail) = reporter.mail() {
            let all = parts.iter().flat_map(|p| p.about.builds()).collect::<Vec<_>>();
            let owners = recipients::worker_owners(mail, &all, |worker| owners_of(self.config, worker));
            let interested = self.interested(reporter, mail, &users).await;
            let to = recipients::recipients(mail, interested, owners);
            if to.is_empty() {
                tracing::debug!(reporter = reporter.name, about = %what, "nobody to mail to");
                return None;
            }
            let headers = self.headers(reporter, mail, happened).await;
            let composed = merge(parts.into_iter().map(|p| p.composed).collect(), "");
            write(reporter, mail_of(mail, composed, &to, headers, happened.thread()))?
        } else {
            let bodies: Vec<Json> = parts.iter().map(|p| payload::pushed(&p.composed, p.formatter.is_some(), p.data.clone())).collect();
            <[Json; 1]>::try_from(bodies).map_or_else(Json::Array, |[one]| one).to_string()
        };
        Some(NewOutboxItem { reporter: reporter.name.clone(), key: what.to_string(), lane: happened.lane(), payload })
    }

    /// Does the generator tell of it? What exactly, and through which formatter.
    async fn wanted<'a>(
        &self,
        reporter: &ReporterSpec,
        generator: &'a GeneratorSpec,
        happened: &'a Happened,
    ) -> Option<(About<'a>, Option<&'a FormatterSpec>)> {
        let formatter = generator.formatter.as_deref();
        match (&generator.kind, happened) {
            (GeneratorKind::Build { mode, .. }, Happened::Finished(build)) => {
                let told = self.by_props(reporter, generator, build).await && self.by_results(generator, mode, build).await;
                told.then_some((About::Finished(build), formatter))
            }
            (GeneratorKind::Build { .. }, Happened::Started(build)) => {
                self.by_props(reporter, generator, build).await.then_some((About::Started(build), formatter))
            }
            (GeneratorKind::StartEnd { start_formatter }, Happened::Started(build)) => {
                self.by_props(reporter, generator, build).await.then_some((About::Started(build), start_formatter.as_deref()))
            }
            (GeneratorKind::StartEnd { .. }, Happened::Finished(build)) => {
                self.by_props(reporter, generator, build).await.then_some((About::Finished(build), formatter))
            }
            (GeneratorKind::Set { mode }, Happened::Set(set)) => {
                let mut builds = Vec::new();
                for build in &set.builds {
                    if self.by_props(reporter, generator, build).await && self.by_results(generator, mode, build).await {
                        builds.push(build);
                    }
                }
                (!builds.is_empty()).then_some((About::Set { set, builds, combined: false }, formatter))
            }
            (GeneratorKind::SetCombined, Happened::Set(set)) => {
                let builds: Vec<&BuildFacts> = set.builds.iter().filter(|b| worker_passes(reporter, b.worker.as_deref())).collect();
                let passes = !builds.is_empty() || (set.builds.is_empty() && worker_passes(reporter, None));
                passes.then_some((About::Set { set, builds, combined: true }, formatter))
            }
            (GeneratorKind::Request, Happened::Pending(request)) => {
                self.request(reporter, generator, request).then_some((About::Pending(request), formatter))
            }
            (GeneratorKind::Request, Happened::Cancelled(request)) => {
                // One that a newer request answers as well was not taken back.
                let cancelled = request.results == Some(Results::Cancelled);
                (cancelled && self.request(reporter, generator, request)).then_some((About::Cancelled(request), formatter))
            }
            _ => None,
        }
    }

    async fn by_props(&self, reporter: &ReporterSpec, generator: &GeneratorSpec, build: &BuildFacts) -> bool {
        worker_passes(reporter, build.worker.as_deref())
            && match &generator.needed_by_props {
                Some(function) => self.ask(function, false, build).await,
                None => filters::passes(&generator.filter, Filtered::build(build)),
            }
    }

    async fn by_results(&self, generator: &GeneratorSpec, mode: &crate::config::Modes, build: &BuildFacts) -> bool {
        match (&generator.needed_by_results, build.build.results) {
            (Some(function), _) => self.ask(function, true, build).await,
            (None, Some(results)) => modes::tells(mode, results, build.previous),
            (None, None) => false,
        }
    }

    fn request(&self, reporter: &ReporterSpec, generator: &GeneratorSpec, request: &RequestFacts) -> bool {
        worker_passes(reporter, None) && filters::passes(&generator.filter, Filtered::request(request))
    }

    /// A function that fails lets it through: a message too many is better than one too few.
    async fn ask(&self, function: &crate::config::FnRef, by_results: bool, build: &BuildFacts) -> bool {
        let nothing = HashMap::new();
        let setting = self.setting(&[], &[], None, &WantedLogs::None, &nothing);
        let data = payload::data(&About::Finished(build), None, &setting);
        self.generation.message_needed(function, by_results, data).await.unwrap_or_else(|failure| {
            tracing::error!("{failure}; the message is sent");
            true
        })
    }

    async fn part<'a>(&self, generator: &GeneratorSpec, formatter: Option<&'a FormatterSpec>, about: About<'a>) -> Part<'a> {
        let mode: Vec<String> = match &generator.kind {
            GeneratorKind::Build { mode, .. } | GeneratorKind::Set { mode } => mode.0.iter().map(|m| m.name().to_owned()).collect(),
            _ => Vec::new(),
        };
        let users = users(&about);
        let add_logs = generator.add_logs.clone().unwrap_or_default();
        let logs = read_logs(self.store, &wishes(formatter, &about, &add_logs)).await;
        let setting = self.setting(&mode, &users, generator.subject.as_deref(), &add_logs, &logs);
        let callable = Callable { generation: self.generation, secrets: self.secrets };
        let composed = format::message(callable, formatter, &about, &setting).await;
        let data = payload::data(&about, formatter, &setting);
        Part { about, formatter, composed, data }
    }

    fn setting<'a>(
        &'a self,
        mode: &'a [String],
        blamelist: &'a [String],
        subject: Option<&'a str>,
        add_logs: &'a WantedLogs,
        logs: &'a super::about::LogTexts,
    ) -> Setting<'a> {
        Setting {
            title: &self.config.title,
            buildbot_url: &self.config.buildbot_url,
            mode,
            blamelist,
            subject,
            add_logs,
            logs,
            now: self.now,
        }
    }

    /// A message of another kind about which its caller knows who gets it: an absence, a leak.
    pub async fn compose(&self, formatter: Option<&FormatterSpec>, about: &About<'_>) -> Composed {
        let nothing = HashMap::new();
        let setting = self.setting(&[], &[], None, &WantedLogs::None, &nothing);
        format::message(Callable { generation: self.generation, secrets: self.secrets }, formatter, about, &setting).await
    }

    /// The same as `sendMessage` and services get it.
    pub async fn reported(
        &self,
        reporter: &ReporterSpec,
        formatter: Option<&FormatterSpec>,
        about: &About<'_>,
        users: &[String],
    ) -> String {
        let composed = self.compose(formatter, about).await;
        let nothing = HashMap::new();
        let setting = self.setting(&[], &[], None, &WantedLogs::None, &nothing);
        let data = payload::data(about, formatter, &setting);
        match reporter.http().filter(|_| reporter.send_message.is_none()) {
            Some(_) => payload::pushed(&composed, formatter.is_some(), data).to_string(),
            None => Json::Array(vec![payload::report(about, &composed, users, data)]).to_string(),
        }
    }

    /// The addresses of these names; who has none is left out, and told to the log.
    async fn interested(&self, reporter: &ReporterSpec, mail: &MailSpec, users: &[String]) -> Vec<MailAddress> {
        if !mail.send_to_interested_users {
            return Vec::new();
        }
        let asked = users.iter().map(|name| Box::pin(self.look_up(reporter, mail, name)) as BoxFuture<'_, _>).collect::<Vec<_>>();
        let found = stream::iter(asked).buffered(LOOKUPS).collect::<Vec<_>>().await;
        found.into_iter().flatten().collect()
    }

    async fn look_up(&self, reporter: &ReporterSpec, mail: &MailSpec, name: &str) -> Option<MailAddress> {
        let text = match &mail.lookup {
            Lookup::AsItIs => name.to_owned(),
            Lookup::Domain(domain) => recipients::in_domain(name, domain),
            Lookup::Call(function) => match self.generation.lookup(function, name).await {
                Ok(found) => found?,
                Err(failure) => {
                    tracing::error!(reporter = reporter.name, user = name, "{failure}; this user gets no mail");
                    return None;
                }
            },
        };
        let address = recipients::address(&text);
        if address.is_none() {
            tracing::info!(reporter = reporter.name, user = name, "{text:?} is no address of mail: this user gets none");
        }
        address
    }

    /// `extraHeaders`, rendered; one that can't be is left out.
    async fn headers(&self, reporter: &ReporterSpec, mail: &MailSpec, happened: &Happened) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        let properties = Arc::new(shared_properties(happened));
        for (name, template) in &mail.extra_headers {
            let renderer = Renderer {
                properties: properties.clone(),
                sourcestamps: &[],
                worker: &WorkerInfo::default(),
                generation: self.generation,
                build: BuildInput::default(),
                secrets: self.secrets,
            };
            let what = format!("extraHeaders.{name}");
            let text = match template {
                Template::Const(Json::String(text)) => Ok(text.clone()),
                other => renderer.arg::<String>(&what, &Arg::Dynamic(Box::new(other.clone()))).await,
            };
            match text {
                Ok(text) => headers.push((name.clone(), self.secrets.mask().owned(text))),
                Err(e) => tracing::error!(reporter = reporter.name, "{what} of a mail is left out: {e}"),
            }
        }
        headers
    }
}

fn users(about: &About<'_>) -> Vec<String> {
    match about {
        About::Pending(request) | About::Cancelled(request) => recipients::users_of_request(request),
        other => recipients::users(other.builds()),
    }
}

fn worker_passes(reporter: &ReporterSpec, worker: Option<&str>) -> bool {
    reporter.mail().is_none_or(|mail| filters::worker_passes(mail, worker))
}

pub(super) fn owners_of<'a>(config: &'a MasterConfig, worker: &str) -> &'a [String] {
    config.workers.iter().find(|w| w.name == worker).map_or(&[], |w| w.owners.as_slice())
}

/// Those that have the same value in all builds.
fn shared_properties(happened: &Happened) -> Properties {
    match happened {
        Happened::Pending(request) | Happened::Cancelled(request) => request.request.buildset.properties.clone(),
        _ => {
            let builds = happened.builds();
            let Some((first, rest)) = builds.split_first() else { return Properties::default() };
            let mut shared = first.properties.clone();
            shared.0.retain(|name, property| rest.iter().all(|b| b.properties.get(name) == Some(&property.value)));
            shared
        }
    }
}

/// A message as a mail of that notifier.
pub fn mail_of(mail: &MailSpec, composed: Composed, to: &Recipients, headers: Vec<(String, String)>, thread: Option<String>) -> Mail {
    let list = |all: &[MailAddress]| all.iter().map(ToString::to_string).collect();
    // Services' data in a mail is shown as it is.
    let data = composed.json.as_ref().filter(|_| composed.text.is_none() && composed.html.is_none());
    Mail {
        from: mail.fromaddr.to_string(),
        to: list(&to.to),
        cc: list(&to.cc),
        subject: composed.subject,
        text: composed.text.or_else(|| data.map(|json| format!("{json:#}\n"))),
        html: composed.html,
        attachments: composed.attachments,
        extra_headers: headers,
        thread,
    }
}

/// A mail as the outbox keeps it.
pub fn write(reporter: &ReporterSpec, mail: Mail) -> Option<String> {
    mail.to_payload().inspect_err(|e| tracing::error!(reporter = reporter.name, "a mail is lost: {e}")).ok()
}
