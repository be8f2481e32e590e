//! What a message says: from what it is about to subject, text, HTML and attachments. Pure; what is made in Lua comes from
//! [`super::format`], which falls back to the built-in texts of here.

use std::sync::LazyLock;

use minijinja::Value;
use minijinja::value::Serde;
use serde_json::{Map, Value as Json, json};

use super::about::{About, LogWish, Setting};
use super::clean;
use super::context::{context, projects, stamps, worst};
use super::facts::BuildFacts;
use super::sending::mail::Attachment;
use super::tails;
use super::view;
use crate::base::jinja::{Jinja, Options};
use crate::config::{BodyType, FormatterKind, FormatterSpec, TemplateTexts, WantedLogs, Wants};

/// Bytes of a body that a template makes.
const LARGEST_BODY: usize = 1 << 20;
const LARGEST_MERGED: usize = 3 << 20;
const LARGEST_SUBJECT: usize = 64 << 10;

/// A message as it is said. With neither text nor HTML there is only how things stand.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Composed {
    /// One line.
    pub subject: String,
    pub text: Option<String>,
    /// Beside the text, or alone.
    pub html: Option<String>,
    /// The body for services that take data.
    pub json: Option<Json>,
    /// A table of tables for services, or null.
    pub extra_info: Json,
    pub attachments: Vec<Attachment>,
    /// Why the formatter could not be used: the built-in text stands here instead, and says so.
    pub failed: Option<String>,
}

/// The logs that must be in [`Setting::logs`] for this message.
pub fn wishes(formatter: Option<&FormatterSpec>, about: &About<'_>, add_logs: &WantedLogs) -> Vec<LogWish> {
    tails::wishes(about, &wanted(formatter, add_logs))
}

fn wanted<'a>(formatter: Option<&'a FormatterSpec>, add_logs: &'a WantedLogs) -> Vec<&'a WantedLogs> {
    formatter.map(|f| &f.wants.content).into_iter().chain([add_logs]).collect()
}

/// The whole message of a formatter that needs no Lua: by the built-in texts or by templates. [`super::format::message`] makes those
/// of the others.
pub fn compose(formatter: Option<&FormatterSpec>, about: &About<'_>, setting: &Setting<'_>) -> Composed {
    let made = match formatter.map(|f| (f, each(f, about))) {
        None => built_in(about, setting, None),
        Some((formatter, None)) => body(formatter, about, setting),
        Some((formatter, Some(parts))) => {
            let parts = parts.iter().map(|part| body(formatter, part, setting)).collect();
            merge(parts, &set_subject(formatter, about, setting))
        }
    };
    with_attachments(made, formatter, about, setting)
}

fn body(formatter: &FormatterSpec, about: &About<'_>, setting: &Setting<'_>) -> Composed {
    match &formatter.kind {
        FormatterKind::Template(texts) | FormatterKind::Worker(texts) => {
            from_templates(texts, formatter, about, setting).unwrap_or_else(|why| fallen_back(formatter, &why, about, setting))
        }
        FormatterKind::Empty => Composed { subject: subject(None, about, setting), ..Composed::default() },
        FormatterKind::Renderable { .. } | FormatterKind::Function | FormatterKind::FunctionRaw => built_in(about, setting, None),
    }
}

/// The messages of its builds, if a message about a build set is made of these.
pub(super) fn each<'a>(formatter: &FormatterSpec, about: &About<'a>) -> Option<Vec<About<'a>>> {
    let About::Set { builds, combined: false, .. } = about else { return None };
    let own = match &formatter.kind {
        FormatterKind::Template(texts) => texts.template.is_some() || formatter.call.is_some(),
        FormatterKind::Empty => false,
        _ => true,
    };
    (own && !builds.is_empty()).then(|| builds.iter().map(|b| About::Finished(b)).collect())
}

/// The subject of a message that is joined of several: nothing where the first one of them has its own.
pub(super) fn set_subject(formatter: &FormatterSpec, about: &About<'_>, setting: &Setting<'_>) -> String {
    let own = match &formatter.kind {
        FormatterKind::Template(texts) => texts.subject.is_some(),
        FormatterKind::Renderable { subject, .. } => *subject != crate::config::Arg::default(),
        _ => false,
    };
    if own || formatter.call.is_some() { String::new() } else { subject(None, about, setting) }
}

pub(super) fn with_attachments(made: Composed, formatter: Option<&FormatterSpec>, about: &About<'_>, setting: &Setting<'_>) -> Composed {
    let attachments = tails::attachments(&about.builds(), &wanted(formatter, setting.add_logs), setting.logs);
    Composed { attachments, ..made }
}

/// Text and HTML of the host's own; with the note that says what went wrong with others.
pub fn built_in(about: &About<'_>, setting: &Setting<'_>, note: Option<&str>) -> Composed {
    static TEXT: LazyLock<Result<Jinja, String>> = LazyLock::new(|| Jinja::new(include_str!("templates/message.txt"), Options::default()));
    static HTML: LazyLock<Result<Jinja, String>> =
        LazyLock::new(|| Jinja::new(include_str!("templates/message.html"), Options { html: true, strict: false }));
    let mut view = view::view(about, setting);
    view.note = note.map(|note| clean::line(note, 2000));
    let colours = json!({ "good": "#2e8b57", "fair": "#d98e04", "bad": "#c62828", "plain": "#607d8b" });
    let mut shown = serde_json::to_value(&view).unwrap_or_default();
    shown["colours"] = colours;
    let filled = |template: &Result<Jinja, String>| match template {
        Ok(template) => template.render_within(Value::from(Serde(&shown)), LARGEST_BODY),
        Err(why) => Err(why.clone()),
    };
    // A test fills both; were they ever too large, the subject still says what happened.
    let told = |why: &String| tracing::error!("a built-in text can't be filled: {why}");
    Composed {
        subject: old_subject(about, setting).unwrap_or_else(|| view.subject.clone()),
        text: Some(filled(&TEXT).inspect_err(told).unwrap_or_else(|_| format!("{}\n", view.headline))),
        html: filled(&HTML).inspect_err(told).ok(),
        failed: note.map(str::to_owned),
        ..Composed::default()
    }
}

/// The built-in text in place of what a formatter could not make.
pub(super) fn fallen_back(formatter: &FormatterSpec, why: &str, about: &About<'_>, setting: &Setting<'_>) -> Composed {
    let note = format!("This is the built-in text, since {} ({}) failed: {why}", formatter.class, formatter.place);
    built_in(about, setting, Some(&note))
}

/// The context, with what the formatter adds to it.
pub(super) fn context_of(formatter: &FormatterSpec, about: &About<'_>, setting: &Setting<'_>) -> Map<String, Json> {
    let mut context = context(about, &formatter.wants, setting);
    context.extend(formatter.ctx.clone());
    context
}

fn from_templates(texts: &TemplateTexts, formatter: &FormatterSpec, about: &About<'_>, setting: &Setting<'_>) -> Result<Composed, String> {
    let mut made = match (&texts.template, texts.body) {
        (None, body) => {
            let made = built_in(about, setting, None);
            if body == Some(BodyType::Plain) { Composed { html: None, ..made } } else { made }
        }
        (Some(_), _) => Composed::default(),
    };
    if texts.template.is_none() && texts.subject.is_none() {
        return Ok(made);
    }
    let context = Value::from(Serde(context_of(formatter, about, setting)));
    let fill = |what: &str, text: &str, html: bool, largest: usize| {
        let template = Jinja::new(text, Options { html, strict: false });
        template.and_then(|t| t.render_within(context.clone(), largest)).map_err(|why| format!("{what}: {why}"))
    };
    if let Some(template) = &texts.template {
        let html = texts.body == Some(BodyType::Html);
        let body = fill("template", template, html, LARGEST_BODY)?;
        let body = Some(clean::block(&body));
        made = if html { Composed { html: body, ..made } } else { Composed { text: body, ..made } };
    }
    let said = texts.subject.as_deref().map(|text| fill("subject", text, false, LARGEST_SUBJECT)).transpose()?;
    made.subject = subject(said.as_deref(), about, setting);
    Ok(made)
}

/// The formatter's, else the older one of the reporter, else the built-in one; always one line.
pub(super) fn subject(said: Option<&str>, about: &About<'_>, setting: &Setting<'_>) -> String {
    let said = said.map(clean::subject).filter(|s| !s.is_empty());
    said.or_else(|| old_subject(about, setting)).unwrap_or_else(|| view::view(about, setting).subject)
}

/// `subject = "%(builder)s: %(result)s"` of a reporter, filled. It is about builds.
fn old_subject(about: &About<'_>, setting: &Setting<'_>) -> Option<String> {
    let format = setting.subject?;
    let builds = about.builds();
    let first: &BuildFacts = builds.first()?;
    let result = worst(&builds).map_or("started", |r| r.name());
    let mut names: Vec<&str> = Vec::new();
    for build in &builds {
        if !names.contains(&&*build.builder.name) {
            names.push(&build.builder.name);
        }
    }
    let builders = names.join(", ");
    let project = projects(&stamps(&first.request.buildset), setting.title);
    let values = [("result", result), ("title", setting.title), ("builder", &*builders), ("projectName", &*project)];
    let mut out = String::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let filled = values.iter().find_map(|(name, value)| {
            let after = after.strip_prefix('(')?.strip_prefix(name)?.strip_prefix(")s")?;
            Some((*value, after))
        });
        let (value, after) = filled.unwrap_or_else(|| ("%", after.strip_prefix('%').unwrap_or(after)));
        out.push_str(value);
        rest = after;
    }
    out.push_str(rest);
    Some(clean::subject(&out)).filter(|s| !s.is_empty())
}

/// Several messages as one: the bodies after each other, the first subject unless there is one for all of them. What no mail would
/// hold is left out, and counted.
pub fn merge(mut parts: Vec<Composed>, subject: &str) -> Composed {
    if subject.is_empty() && parts.len() == 1 {
        return parts.remove(0);
    }
    let mut size = 0;
    let fits = parts.iter().take_while(|p| {
        size += p.text.as_ref().map_or(0, String::len) + p.html.as_ref().map_or(0, String::len);
        size <= LARGEST_MERGED
    });
    let (all, shown) = (parts.len(), fits.count().max(1));
    if shown < all {
        parts.truncate(shown);
        let more = format!("{} more builds are left out: the message is too large with them.", all - shown);
        let html = parts.last().is_some_and(|p| p.html.is_some()).then(|| format!("<p>{more}</p>"));
        parts.push(Composed { text: Some(more), html, ..Composed::default() });
    }
    let mut whole = Composed { subject: subject.to_owned(), ..Composed::default() };
    let with_body = |p: &&Composed| p.text.is_some() || p.html.is_some();
    let all_text = parts.iter().filter(with_body).all(|p| p.text.is_some());
    let all_html = parts.iter().filter(with_body).all(|p| p.html.is_some());
    let some = parts.iter().any(|p| with_body(&p));
    if some && all_text {
        let texts: Vec<&str> = parts.iter().filter_map(|p| p.text.as_deref()).map(str::trim_end).collect();
        whole.text = Some(format!("{}\n", texts.join("\n\n\n")));
    }
    // Where some are text only and others HTML only, text can be shown as HTML, not the other way round.
    if some && (all_html || !all_text) {
        let bodies = parts.iter().filter_map(|p| match (&p.html, &p.text) {
            (Some(html), _) => Some(inner(html).to_owned()),
            (None, Some(text)) => Some(format!("<pre>{}</pre>", escape(text))),
            (None, None) => None,
        });
        let bodies = bodies.collect::<Vec<_>>().join("\n<hr>\n");
        whole.html = Some(format!("<!DOCTYPE html>\n<html>\n<head><meta charset=\"utf-8\"></head>\n<body>\n{bodies}\n</body>\n</html>\n"));
    }
    let mut data = Vec::new();
    for part in parts {
        if whole.subject.is_empty() {
            whole.subject = part.subject;
        }
        data.extend(part.json);
        for mut file in part.attachments {
            let (stem, mut count) = (file.name.clone(), 1);
            while whole.attachments.iter().any(|f| f.name == file.name && *f != file) {
                count += 1;
                file.name = format!("{stem}-{count}");
            }
            if !whole.attachments.contains(&file) {
                whole.attachments.push(file);
            }
        }
        unite(&mut whole.extra_info, part.extra_info);
        whole.failed = whole.failed.or(part.failed);
    }
    whole.json = match data.len() {
        0 => None,
        1 => data.pop(),
        _ => Some(Json::Array(data)),
    };
    whole
}

/// What is within the body of a page; all of what is no page.
fn inner(html: &str) -> &str {
    let start = html.find("<body").and_then(|at| Some(at + html[at..].find('>')? + 1));
    match (start, html.rfind("</body>")) {
        (Some(start), Some(end)) if start <= end => html[start..end].trim(),
        _ => html,
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Tables of tables: what is there stays.
fn unite(whole: &mut Json, more: Json) {
    match (whole, more) {
        (Json::Object(whole), Json::Object(more)) => {
            for (name, inner) in more {
                match whole.get_mut(&name) {
                    Some(known) => unite_inner(known, inner),
                    None => drop(whole.insert(name, inner)),
                }
            }
        }
        (whole @ Json::Null, more) => *whole = more,
        _ => {}
    }
}

fn unite_inner(known: &mut Json, more: Json) {
    if let (Json::Object(known), Json::Object(more)) = (known, more) {
        for (name, value) in more {
            known.entry(name).or_insert(value);
        }
    }
}

/// What templates see of a build without a formatter: as it is pushed to services.
pub fn build_data(build: &BuildFacts, wants: &Wants, setting: &Setting<'_>) -> Json {
    context(&About::Finished(build), wants, setting).remove("build").unwrap_or_default()
}
