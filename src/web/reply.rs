//! How answers look: status, headers, JSON. Never decides what to answer.

use std::io::Write as _;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use super::backend::ApiError;
use crate::model::query::Row;

pub const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
pub const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
pub const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// An answer whose body is `body`. A browser takes the type for what it is.
pub fn answer(status: StatusCode, kind: HeaderValue, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

pub fn json(status: StatusCode, value: &Value) -> Response {
    answer(status, JSON, value.to_string())
}

pub fn error(status: StatusCode, message: &str) -> Response {
    json(status, &json!({"error": message}))
}

pub fn failure(why: &ApiError) -> Response {
    let status = match why {
        ApiError::BadQuery(_) => StatusCode::BAD_REQUEST,
        ApiError::NotFound(_) => StatusCode::NOT_FOUND,
        ApiError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    error(status, &why.to_string())
}

pub fn not_allowed(allow: &'static str) -> Response {
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, &format!("only {allow} can be done here"));
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

/// A row with only the wanted fields, without copying it.
struct Cut<'a>(&'a Row, &'a [String]);

impl Serialize for Cut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.1.is_empty() {
            return self.0.serialize(serializer);
        }
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.0.iter().filter(|(name, _)| self.1.contains(name)) {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// The opening of a list: `{"builders":[`.
pub fn open(out: &mut Vec<u8>, plural: &str) {
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(plural.as_bytes());
    out.extend_from_slice(b"\":[");
}

/// Rows, with a comma before each but the first of the list.
pub fn rows<'a>(out: &mut Vec<u8>, rows: impl IntoIterator<Item = &'a Row>, fields: &[String], mut first: bool) {
    for row in rows {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        let start = out.len();
        // names are text and a vector takes every byte, so this does not fail; if it does, the row is `null`
        if serde_json::to_writer(&mut *out, &Cut(row, fields)).is_err() {
            out.truncate(start);
            out.extend_from_slice(b"null");
        }
    }
}

/// The end of a list, with the number of rows before paging.
pub fn close(out: &mut Vec<u8>, total: Option<usize>) {
    match total {
        // writing to a vector does not fail
        Some(total) => _ = write!(out, "],\"meta\":{{\"total\":{total}}}}}"),
        None => out.extend_from_slice(b"],\"meta\":{}}"),
    }
}

/// A whole list at once; one row of a single resource is a list without a total.
pub fn list<'a>(plural: &str, each: impl IntoIterator<Item = &'a Row>, fields: &[String], total: Option<usize>) -> Response {
    let mut out = Vec::with_capacity(4096);
    open(&mut out, plural);
    rows(&mut out, each, fields, true);
    close(&mut out, total);
    answer(StatusCode::OK, JSON, Bytes::from(out))
}
