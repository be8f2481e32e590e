//! Calls of Amazon's Query API that a class of the file makes: parameters as the form has them, the XML of an answer as plain data, and
//! the one request between them. Repeats nothing, and says no key in what it complains of.

use std::time::Duration;

use serde_json::{Map, Value as Json};
use url::Url;
use xmlparser::{ElementEnd, Token, Tokenizer};

use super::api::ApiError;
use super::credentials::Keys;
use super::sigv4::{self, Scope};
use crate::base::{Secret, Timestamp};
use crate::secrets::Mask;

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
const LARGEST_ANSWER: usize = 16 << 20;
const MOST_ELEMENTS: usize = 500_000;
const MOST_PARAMETERS: usize = 2000;
const DEEPEST: usize = 64;
const LONGEST_MESSAGE: usize = 1000;
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// The version of a service's API where the caller names none.
const VERSIONS: &[(&str, &str)] = &[
    ("autoscaling", "2011-01-01"),
    ("cloudformation", "2010-05-15"),
    ("ec2", "2016-11-15"),
    ("monitoring", "2010-08-01"),
    ("rds", "2014-10-31"),
    ("sns", "2010-03-31"),
    ("sts", "2011-06-15"),
];

#[derive(Clone, PartialEq, Debug, Default)]
pub struct Query {
    /// `ec2`
    pub service: String,
    pub action: String,
    /// By name; lists are numbered.
    pub params: Json,
}

/// As whom, and where.
pub struct Caller {
    pub keys: Keys,
    /// Of keys for a time.
    pub token: Option<Secret>,
    pub region: String,
    /// None: Amazon's.
    pub endpoint_url: Option<String>,
}

impl Caller {
    /// What must not be in a message: Amazon repeats what was signed.
    fn mask(&self) -> Mask {
        let keys =
            [("identifier", Some(&self.keys.identifier)), ("secret_identifier", Some(&self.keys.secret)), ("token", self.token.as_ref())];
        Mask::new(keys.into_iter().filter_map(|(name, secret)| Some((name.to_owned(), secret?.clone()))).collect())
    }
}

pub fn client() -> Result<reqwest::Client, String> {
    // Refused if there is one already, which does as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).connect_timeout(CONNECT_WITHIN);
    client.timeout(ANSWER_WITHIN).build().map_err(|e| innermost(&e))
}

pub async fn call(client: &reqwest::Client, caller: &Caller, query: &Query, now: Timestamp) -> Result<Json, ApiError> {
    let mask = caller.mask();
    let answer = call_openly(client, caller, query, now).await;
    answer.map_err(|e| ApiError { code: e.code, message: mask.owned(e.message).chars().take(LONGEST_MESSAGE).collect() })
}

async fn call_openly(client: &reqwest::Client, caller: &Caller, query: &Query, now: Timestamp) -> Result<Json, ApiError> {
    let url = endpoint(&query.service, caller).map_err(ApiError::not_sent)?;
    let body = form(query).map_err(ApiError::not_sent)?;
    let at = jiff::Timestamp::from_millisecond(now.0).map_err(|e| ApiError::not_sent(e.to_string()))?;
    let at = at.strftime("%Y%m%dT%H%M%SZ").to_string();
    let host = match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (host, _) => host.unwrap_or_default().to_owned(),
    };
    let mut headers = vec![("content-type", FORM), ("host", &host), ("x-amz-date", &at)];
    headers.extend(caller.token.as_ref().map(|token| ("x-amz-security-token", token.reveal())));
    let scope = Scope { at: &at, region: &caller.region, service: &query.service };
    let signature = sigv4::authorization(&caller.keys, &scope, url.path(), &headers, body.as_bytes());
    let mut request = client.post(url.clone()).header("authorization", signature);
    for (name, value) in headers.into_iter().filter(|(name, _)| *name != "host") {
        request = request.header(name, value);
    }
    let lost = |e: reqwest::Error| {
        let why = if e.is_timeout() { "no answer in time".to_owned() } else { innermost(&e) };
        ApiError { code: None, message: format!("{host}: {why}") }
    };
    let mut response = request.body(body).send().await.map_err(lost)?;
    let status = response.status().as_u16();
    let mut content = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(lost)? {
        if content.len() + chunk.len() > LARGEST_ANSWER {
            return Err(ApiError { code: None, message: format!("{host}: the answer is larger than {} MiB", LARGEST_ANSWER >> 20) });
        }
        content.extend_from_slice(&chunk);
    }
    answer(status, &content)
}

pub(super) fn innermost(e: &dyn std::error::Error) -> String {
    let mut e = e;
    while let Some(source) = e.source() {
        e = source;
    }
    e.to_string()
}

fn endpoint(service: &str, caller: &Caller) -> Result<Url, String> {
    let is_name = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !is_name(service) {
        return Err(format!("the service must be a name such as \"ec2\", got {service:?}"));
    }
    if let Some(url) = &caller.endpoint_url {
        return Url::parse(url).map_err(|e| format!("endpoint_url {url:?}: {e}"));
    }
    let region = &caller.region;
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    Url::parse(&format!("https://{service}.{region}.{domain}/")).map_err(|e| format!("the region {region:?}: {e}"))
}

/// The body of the request.
fn form(query: &Query) -> Result<String, String> {
    let Query { service, action, params } = query;
    if action.is_empty() || !action.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(format!("the action must be a name such as \"DescribeInstances\", got {action:?}"));
    }
    let mut pairs = vec![("Action".to_owned(), action.clone())];
    match params {
        Json::Object(named) => {
            if named.contains_key("Action") {
                return Err("the parameters must not name the action once more".into());
            }
            flatten("", params, 0, &mut pairs)?;
        }
        Json::Null => {}
        Json::Array(list) if list.is_empty() => {}
        _ => return Err("the parameters must be a table of names".into()),
    }
    if pairs.iter().all(|(name, _)| name != "Version") {
        let known = VERSIONS.iter().find(|(name, _)| name == service);
        let (_, version) =
            known.ok_or_else(|| format!("the version of {service}'s API must be among the parameters: Version = \"2012-11-05\""))?;
        pairs.push(("Version".into(), (*version).into()));
    }
    Ok(url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish())
}

/// `Filter = { { Name = "a", Value = { "b" } } }` is `Filter.1.Name=a` and `Filter.1.Value.1=b`.
fn flatten(name: &str, value: &Json, depth: usize, pairs: &mut Vec<(String, String)>) -> Result<(), String> {
    if depth > DEEPEST || pairs.len() > MOST_PARAMETERS {
        return Err(format!("more than {MOST_PARAMETERS} parameters, or tables in more than {DEEPEST} tables"));
    }
    let below = |part: &str| if name.is_empty() { part.to_owned() } else { format!("{name}.{part}") };
    match value {
        Json::Null => {}
        Json::Object(named) => named.iter().try_for_each(|(part, value)| flatten(&below(part), value, depth + 1, pairs))?,
        Json::Array(items) => {
            (1..).zip(items).try_for_each(|(n, item): (usize, _)| flatten(&below(&n.to_string()), item, depth + 1, pairs))?;
        }
        Json::String(text) => pairs.push((name.to_owned(), text.clone())),
        Json::Bool(_) | Json::Number(_) => pairs.push((name.to_owned(), value.to_string())),
    }
    Ok(())
}

fn answer(status: u16, content: &[u8]) -> Result<Json, ApiError> {
    let good = (200..300).contains(&status);
    let root = std::str::from_utf8(content).map_err(|e| e.to_string()).and_then(tree);
    match root {
        Ok(root) => match root.error() {
            Some(error) => Err(error),
            None if good => Ok(match root.value() {
                Json::Object(fields) => Json::Object(fields),
                Json::Array(items) => Json::Array(items),
                _ => Json::Object(Map::new()),
            }),
            None => Err(ApiError { code: None, message: format!("answered {status}, and no error in it") }),
        },
        Err(why) if good => Err(ApiError { code: None, message: format!("the answer can't be read: {why}") }),
        Err(_) => {
            let shown: String = String::from_utf8_lossy(content).split_whitespace().collect::<Vec<_>>().join(" ");
            let shown: String = shown.chars().take(200).collect();
            Err(ApiError { code: None, message: format!("answered {status}: {shown}") })
        }
    }
}

#[derive(Default)]
struct Element {
    name: String,
    text: String,
    inner: Vec<Element>,
}

impl Element {
    fn child(&self, name: &str) -> Option<&Element> {
        self.inner.iter().find(|e| e.name == name)
    }

    fn error(&self) -> Option<ApiError> {
        let error = self.child("Errors").and_then(|e| e.child("Error")).or_else(|| self.child("Error"));
        let text = |name: &str| error?.child(name).map(|e| e.text.trim().to_owned());
        Some(ApiError { code: Some(text("Code")?), message: text("Message").unwrap_or_default() })
    }

    /// Lists are of elements that are called `item` or `member`, or of one name again and again.
    fn value(self) -> Json {
        if self.inner.is_empty() {
            // Nothing else tells a list from a text, if it is empty.
            let list = self.text.trim().is_empty() && ["Set", "Info"].iter().any(|end| self.name.ends_with(end));
            return if list { Json::Array(Vec::new()) } else { Json::String(self.text) };
        }
        if self.inner.iter().all(|e| e.name == "item") || self.inner.iter().all(|e| e.name == "member") {
            return Json::Array(self.inner.into_iter().map(Element::value).collect());
        }
        let mut grouped: std::collections::BTreeMap<String, Vec<Json>> = std::collections::BTreeMap::new();
        for element in self.inner {
            grouped.entry(element.name.clone()).or_default().push(element.value());
        }
        let one = |mut values: Vec<Json>| if values.len() == 1 { values.remove(0) } else { Json::Array(values) };
        Json::Object(grouped.into_iter().map(|(name, values)| (name, one(values))).collect())
    }
}

/// Attributes and prefixes say nothing that is needed. No entity is declared: a small answer stays small.
fn tree(text: &str) -> Result<Element, String> {
    let (mut open, mut elements): (Vec<Element>, usize) = (Vec::new(), 0);
    for token in Tokenizer::from(text) {
        match token.map_err(|e| e.to_string())? {
            Token::ElementStart { local, .. } => {
                elements += 1;
                if open.len() >= DEEPEST || elements > MOST_ELEMENTS {
                    return Err(format!("more than {MOST_ELEMENTS} elements, or one in more than {DEEPEST}"));
                }
                open.push(Element { name: local.as_str().to_owned(), ..Element::default() });
            }
            Token::ElementEnd { end: ElementEnd::Open, .. } => {}
            Token::ElementEnd { end, .. } => {
                let done = open.pop().ok_or("an element ends that did not begin")?;
                if let ElementEnd::Close(_, local) = end
                    && local.as_str() != done.name
                {
                    return Err(format!("{} ends as {local}", done.name));
                }
                match open.last_mut() {
                    Some(outer) => outer.inner.push(done),
                    None => return Ok(done),
                }
            }
            Token::Text { text } => {
                if let Some(element) = open.last_mut() {
                    unescape(text.as_str(), &mut element.text)?;
                }
            }
            Token::Cdata { text, .. } => {
                if let Some(element) = open.last_mut() {
                    element.text.push_str(text.as_str());
                }
            }
            Token::DtdStart { .. } | Token::EmptyDtd { .. } => return Err("it has a document type".into()),
            _ => {}
        }
    }
    Err("it ends too early".into())
}

fn unescape(text: &str, into: &mut String) -> Result<(), String> {
    let mut parts = text.split('&');
    into.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (name, rest) = part.split_once(';').ok_or("a '&' that means nothing")?;
        let number = |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
        let found = match name {
            "lt" => Some('<'),
            "gt" => Some('>'),
            "amp" => Some('&'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            _ => match name.strip_prefix("#x") {
                Some(digits) => number(digits, 16),
                None => name.strip_prefix('#').and_then(|digits| number(digits, 10)),
            },
        };
        into.push(found.ok_or_else(|| format!("the unknown '&{};'", name.chars().take(20).collect::<String>()))?);
        into.push_str(rest);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
