//! A message as services and reporters of the file's own get it: plain data in the shape of the API. Pure.

use serde_json::{Map, Value as Json, json};

use super::about::{About, Setting};
use super::compose::{Composed, build_data};
use super::context::{context, worst};
use crate::config::{FormatterSpec, Wants};

/// What a formatter sees of its subject, without the words around it.
pub fn data(about: &About<'_>, formatter: Option<&FormatterSpec>, setting: &Setting<'_>) -> Json {
    let standard = Wants::default();
    let wants = formatter.map_or(&standard, |f| &f.wants);
    match about {
        About::Started(_) | About::Finished(_) => build_data(about, wants, setting),
        About::Leak(_) | About::ReloadFailed(_) => Json::Null,
        _ => {
            let mut all = context(about, wants, setting);
            let kept = ["build", "builds", "buildset", "buildrequest", "worker", "state", "results"];
            let found = kept.into_iter().filter_map(|name| Some((name.to_owned(), all.remove(name)?)));
            found.filter(|(_, value)| !value.is_null()).collect::<Map<String, Json>>().into()
        }
    }
}

/// The body of `HttpStatusPush`: data if the formatter made any, else its text, else the build itself.
pub fn pushed(composed: &Composed, own_text: bool, data: Json) -> Json {
    match (&composed.json, &composed.text, &composed.html) {
        (Some(json), ..) => json.clone(),
        (None, Some(text), _) | (None, None, Some(text)) if own_text => text.clone().into(),
        _ => data,
    }
}

/// One of the `reports` that `sendMessage` is called with.
pub fn report(about: &About<'_>, composed: &Composed, users: &[String], data: Json) -> Json {
    let builds = about.builds();
    let (body, kind) = match (&composed.json, &composed.text, &composed.html) {
        (Some(json), ..) => (json.clone(), "json"),
        (None, Some(text), _) => (text.clone().into(), "plain"),
        (None, None, Some(html)) => (html.clone().into(), "html"),
        (None, None, None) => (Json::Null, "plain"),
    };
    let results = match about {
        About::Set { set, .. } => set.results.or_else(|| worst(&builds)),
        About::Finished(build) => build.build.results,
        About::Cancelled(request) => request.results,
        _ => None,
    };
    let mut report = json!({
        "subject": composed.subject, "body": body, "type": kind, "results": results, "users": users, "extra_info": composed.extra_info,
        "event": event(about),
    });
    if composed.text.is_some() && composed.html.is_some() {
        report["html"] = composed.html.clone().into();
    }
    match data {
        Json::Object(parts) if !matches!(about, About::Started(_) | About::Finished(_)) => {
            for (name, value) in parts {
                report[name] = value;
            }
        }
        build @ Json::Object(_) => report["builds"] = json!([build]),
        _ => {}
    }
    report
}

fn event(about: &About<'_>) -> &'static str {
    match about {
        About::Started(_) => "started",
        About::Finished(_) => "finished",
        About::Set { .. } => "set",
        About::Pending(_) => "pending",
        About::Cancelled(_) => "cancelled",
        About::Missing(_) => "missing",
        About::Returned(_) => "returned",
        About::Leak(_) => "leak",
        About::ReloadFailed(_) => "reload failed",
    }
}
