//! What is in a log: some lines as JSON (`contents`), or the text as it was written (`raw`, `raw_inline`).
//!
//! Both are streamed: a log of any size is sent in constant memory, at the pace at which the client reads.

use std::io;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::Value;

use super::answers::Master;
use super::backend::{ApiError, Backend, LogLines, Resource};
use super::kinds::{Kind, Schema, Tail};
use super::route::Hop;
use super::{ask, lookup, reply};
use crate::model::query::Row;

/// Lines that are read at once.
const LINES: u64 = 2000;

pub async fn read(backend: Master, above: &[Hop], hop: &Hop, tail: Tail, query: &str) -> Result<Response, ApiError> {
    let parent = lookup::follow(&*backend, above).await?;
    let row = lookup::one(&*backend, Resource::Logs, hop, parent.as_ref(), vec![], vec![]).await?;
    let id = row.get(Kind::Logs.key()).and_then(Value::as_i64).ok_or_else(|| ApiError::Failed("a log without a number".into()))?;
    match tail {
        Tail::Contents => contents(backend, id, query).await,
        _ => raw(&*backend, id, &row, tail == Tail::RawInline).await,
    }
}

/// `offset` and `limit` count lines.
async fn contents(backend: Master, id: i64, query: &str) -> Result<Response, ApiError> {
    let mut schema = Schema::open("logchunks");
    (schema.open, schema.more) = (false, vec!["logid", "firstline", "content"]);
    let query = ask::parse(query, &schema).map_err(ApiError::BadQuery)?;
    if !(query.filters.is_empty() && query.order.is_empty() && query.fields.is_empty()) {
        return Err(ApiError::BadQuery("of a log's contents only offset and limit can be asked".into()));
    }
    let first = query.offset as u64;
    let end = query.limit.map_or(u64::MAX, |limit| first.saturating_add(limit as u64));
    // the first page is read before anything is said, so that an error still has its status
    let page = lines(&*backend, id, first, end).await?;
    let sent = count(&page.content);
    let start = format!("{{\"logchunks\":[{{\"firstline\":{first},\"logid\":{id},\"content\":\"");
    let mut out = start.into_bytes();
    escape(&mut out, &page.content);
    let next = first.saturating_add(sent);
    if page.content.is_empty() || next >= end || sent < LINES {
        // short of lines is the end, if one look further says so
        let more = sent > 0 && next < end && !lines(&*backend, id, next, next.saturating_add(1)).await?.content.is_empty();
        if !more {
            out.extend_from_slice(END);
            return Ok(reply::answer(StatusCode::OK, reply::JSON, Bytes::from(out)));
        }
    }
    let rest = stream::unfold(Some(next), move |next| {
        let backend = backend.clone();
        async move {
            let next = next?;
            // an error breaks the connection off: the client sees that the text is not whole
            let page = match lines(&*backend, id, next, end).await {
                Ok(page) => page,
                Err(why) => return Some((Err(io::Error::other(why)), None)),
            };
            let mut out = vec![];
            escape(&mut out, &page.content);
            let next = next.saturating_add(count(&page.content));
            let more = !page.content.is_empty() && next < end;
            if !more {
                out.extend_from_slice(END);
            }
            Some((Ok(Bytes::from(out)), more.then_some(next)))
        }
    });
    let body = Body::from_stream(stream::iter([Ok(Bytes::from(out))]).chain(rest));
    Ok(reply::answer(StatusCode::OK, reply::JSON, body))
}

const END: &[u8] = b"\"}],\"meta\":{}}";

async fn lines(backend: &dyn Backend, id: i64, first: u64, end: u64) -> Result<LogLines, ApiError> {
    match end.saturating_sub(first).min(LINES) {
        0 => Ok(LogLines::default()),
        limit => backend.log_lines(id, first, limit).await,
    }
}

/// Lines; one without its end, the last of a log that grows, counts.
fn count(content: &[u8]) -> u64 {
    let ends = memchr::memchr_iter(b'\n', content).count() as u64;
    ends + u64::from(content.last().is_some_and(|last| *last != b'\n'))
}

/// Text as the inside of a JSON string; what is no UTF-8 shows as replacement characters.
fn escape(out: &mut Vec<u8>, content: &[u8]) {
    let quoted = Value::from(String::from_utf8_lossy(content)).to_string();
    out.extend_from_slice(&quoted.as_bytes()[1..quoted.len() - 1]);
}

async fn raw(backend: &dyn Backend, id: i64, row: &Row, inline: bool) -> Result<Response, ApiError> {
    let text = |field: &str| row.get(field).and_then(Value::as_str).unwrap_or_default();
    let raw = backend.log_raw(id).await?;
    let html = text("type") == "h";
    let kind = if html { reply::HTML } else { reply::TEXT };
    let mut response = reply::answer(StatusCode::OK, kind, Body::from_stream(raw.stream));
    let headers = response.headers_mut();
    if let Some(bytes) = raw.bytes {
        headers.insert(header::CONTENT_LENGTH, bytes.into());
    }
    // what a build wrote must not act as a page of this master, which may be trusted with control
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"),
    );
    if !inline {
        let slug: String = text("slug").chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
        let ending = if html { "html" } else { "txt" };
        if let Ok(value) = HeaderValue::try_from(format!("attachment; filename=\"log_{id}_{slug}.{ending}\"")) {
            headers.insert(header::CONTENT_DISPOSITION, value);
        }
    }
    Ok(response)
}
