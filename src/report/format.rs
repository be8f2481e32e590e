//! A message by its formatter, whichever kind that is: templates are filled here and now, functions are called in Lua and renderables
//! rendered. A formatter that fails costs no message: the built-in text says what failed. It sends nothing.

use std::sync::Arc;

use super::about::{About, Setting};
use super::clean;
use super::compose::{
    Composed, LARGEST_BODY, built_in, compose, context_of, each, fallen_back, merge, set_subject, subject, with_attachments,
};
use super::context::worker_name;
use crate::builds::render::{RenderError, Renderer};
use crate::config::{Arg, FormatterKind, FormatterSpec};
use crate::lua::{Body, BuildInput, Formatted, Generation, SaidWithout};
use crate::model::{Properties, SourceStamp, WorkerInfo};
use crate::secrets::BuildSecrets;

/// Where functions of the file are called, and what hides secrets.
#[derive(Clone, Copy)]
pub struct Callable<'a> {
    pub generation: &'a Generation,
    pub secrets: &'a BuildSecrets,
}

/// The whole message, ready to be sent to whomever. Its logs are in the setting: see [`super::compose::wishes`].
pub async fn message(callable: Callable<'_>, formatter: Option<&FormatterSpec>, about: &About<'_>, setting: &Setting<'_>) -> Composed {
    let made = match formatter.filter(|f| needs_lua(f)) {
        Some(formatter) => by_lua(callable, formatter, about, setting).await,
        None => compose(formatter, about, setting),
    };
    if let Some(failed) = &made.failed {
        tracing::warn!("a message is not as the configuration has it. {failed}");
    }
    made
}

async fn by_lua(callable: Callable<'_>, formatter: &FormatterSpec, about: &About<'_>, setting: &Setting<'_>) -> Composed {
    let made = match each(formatter, about) {
        None => one(callable, formatter, about, setting).await,
        Some(parts) => {
            let mut made = Vec::with_capacity(parts.len());
            for part in &parts {
                made.push(one(callable, formatter, part, setting).await);
            }
            merge(made, &set_subject(formatter, about, setting))
        }
    };
    with_attachments(made, Some(formatter), about, setting)
}

fn needs_lua(formatter: &FormatterSpec) -> bool {
    formatter.call.is_some() || matches!(formatter.kind, FormatterKind::Renderable { .. })
}

async fn one(callable: Callable<'_>, formatter: &FormatterSpec, about: &About<'_>, setting: &Setting<'_>) -> Composed {
    made(callable, formatter, about, setting).await.unwrap_or_else(|why| fallen_back(formatter, &why, about, setting))
}

async fn made(callable: Callable<'_>, formatter: &FormatterSpec, about: &About<'_>, setting: &Setting<'_>) -> Result<Composed, String> {
    let said = match &formatter.kind {
        FormatterKind::Renderable { template, subject: given } => {
            let rendered = rendered(callable, template, given, about).await.map_err(|e| e.to_string())?;
            let (body, said) = rendered;
            if body.len() > LARGEST_BODY {
                return Err(format!("the body has {} bytes, it may have {LARGEST_BODY} at most", body.len()));
            }
            let mask = callable.secrets.mask();
            let said = said.map(|s| mask.owned(s));
            Composed {
                subject: subject(said.as_deref(), about, setting),
                text: Some(clean::block(&mask.owned(body))),
                ..Composed::default()
            }
        }
        _ => built_in(about, setting, None),
    };
    let Some(function) = &formatter.call else { return Ok(said) };
    let without = SaidWithout { subject: Some(said.subject), text: said.text, html: said.html };
    let context = context_of(formatter, about, setting);
    let formatted = callable.generation.format_message(function, &formatter.kind, &context.into(), &without).await;
    Ok(composed(formatted.map_err(|e| e.to_string())?, about, setting))
}

fn composed(formatted: Formatted, about: &About<'_>, setting: &Setting<'_>) -> Composed {
    let mut made = Composed {
        subject: subject(formatted.subject.as_deref(), about, setting),
        extra_info: formatted.extra_info,
        ..Composed::default()
    };
    match formatted.body {
        None => {}
        Some(Body::Plain { text, html }) => {
            (made.text, made.html) = (Some(clean::block(&text)), html.map(|html| clean::block(&html)));
        }
        Some(Body::Html(html)) => made.html = Some(clean::block(&html)),
        Some(Body::Json(json)) => made.json = Some(json),
    }
    made
}

/// What is rendered about a worker has its name.
pub(super) fn of_worker(name: &str) -> Properties {
    let mut properties = Properties::default();
    properties.set("workername", name, "Worker");
    properties
}

/// Body and subject, with the properties of the build or of what a request asks for.
async fn rendered(
    callable: Callable<'_>,
    template: &Arg<String>,
    subject: &Arg<Option<String>>,
    about: &About<'_>,
) -> Result<(String, Option<String>), RenderError> {
    let mut properties = Properties::default();
    let mut sourcestamps: Vec<SourceStamp> = Vec::new();
    let mut build = BuildInput::default();
    match about {
        About::Started(facts) | About::Finished(facts) => {
            properties = facts.properties.clone();
            build = BuildInput {
                buildid: facts.build.id.0,
                number: facts.build.number,
                builder: facts.builder.name.to_string(),
                workername: worker_name(facts).to_owned(),
                results: facts.build.results,
                reason: facts.request.buildset.reason.clone(),
                sources: Vec::new(),
            };
            sourcestamps = facts.request.buildset.sourcestamps.iter().map(|(_, s)| s.clone()).collect();
        }
        About::Pending(facts) | About::Cancelled(facts) => {
            properties = facts.request.buildset.properties.clone();
            properties.set("buildername", &*facts.builder.name, "Builder");
            build.builder = facts.builder.name.to_string();
            build.reason = facts.request.buildset.reason.clone();
            sourcestamps = facts.request.buildset.sourcestamps.iter().map(|(_, s)| s.clone()).collect();
        }
        About::Set { set, .. } => {
            properties = set.buildset.properties.clone();
            build.reason = set.buildset.reason.clone();
            sourcestamps = set.buildset.sourcestamps.iter().map(|(_, s)| s.clone()).collect();
        }
        About::Missing(worker) | About::Returned(worker) => properties = of_worker(&worker.absence.worker),
        About::Leak(_) | About::ReloadFailed(_) => {}
    }
    build.sources = sourcestamps.clone();
    let renderer = Renderer {
        properties: Arc::new(properties),
        sourcestamps: &sourcestamps,
        worker: &WorkerInfo::default(),
        generation: callable.generation,
        build,
        secrets: callable.secrets,
    };
    Ok((renderer.arg("template", template).await?, renderer.arg("subject", subject).await?))
}
