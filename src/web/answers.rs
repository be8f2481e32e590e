//! Every question by GET, and the way of each request to its answer.
//!
//! Rows in memory are written from where they are; tables are read a page at a time, so that a list of a million
//! builds needs no more memory than a short one. Changes are in `control`, logs in `logs`.

use std::cmp::Ordering;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::{any, get};
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Map, Value, json};

use super::backend::{ApiError, Backend, Resource};
use super::control::Apart;
use super::kinds::{self, Holds, Home, Kind, Schema, Tail};
use super::lookup::{self, Place};
use super::route::{Hop, Leaf, Route};
use super::{ask, control, logs, reply, route};
use crate::model::Query;
use crate::model::query::{Filter, Page, Row, compare};

/// Rows read from a table at once. More of them means fewer looks into the table for a long list, and more memory for
/// each of the clients that ask for one and read slowly.
const PAGE: usize = 2000;

/// Paths of one word that are no kind of resource with rows of its own.
pub(super) const FIXED: [&str; 5] = ["application.spec", "config", "instances", "outbox", "reporters"];

pub type Master = Arc<dyn Backend>;

/// The whole web. Requests that [`super::serve_tcp`] and [`super::serve_unix`] bring know where they come from; any
/// other may read only.
pub fn router(backend: Master) -> Router {
    Router::new()
        .route("/healthz", get(|| async { reply::answer(StatusCode::OK, reply::TEXT, "ok\n") }))
        .route("/readyz", get(ready))
        .route("/api/v2", any(api))
        .route("/api/v2/", any(api))
        .route("/api/v2/{*path}", any(api))
        .fallback(|| async { reply::error(StatusCode::NOT_FOUND, "there is nothing at this path; the API is at /api/v2") })
        .method_not_allowed_fallback(|| async { reply::not_allowed("GET, HEAD") })
        .with_state(backend)
}

async fn ready(State(backend): State<Master>) -> Response {
    match backend.ready() {
        Ok(()) => reply::answer(StatusCode::OK, reply::TEXT, "ready\n"),
        Err(why) => reply::answer(StatusCode::SERVICE_UNAVAILABLE, reply::TEXT, format!("{why}\n")),
    }
}

pub(super) async fn api(State(backend): State<Master>, request: Request) -> Response {
    let path = request.uri().path().strip_prefix("/api/v2").unwrap_or_default().trim_start_matches('/');
    let path = path.strip_suffix('/').unwrap_or(path);
    let reading = matches!(*request.method(), Method::GET | Method::HEAD);
    let fixed = match path {
        "" => Some(root as fn(&dyn Backend, &str) -> Response),
        "application.spec" => Some(spec as _),
        "config" => Some(config as _),
        _ => None,
    };
    let apart = match path {
        "config" => Some(Apart::Config),
        "instances" => Some(Apart::Instances),
        "outbox" => Some(Apart::Outbox),
        _ => None,
    };
    if let Some(apart) = apart.filter(|_| request.method() == Method::POST) {
        return control::post_apart(&*backend, apart, request).await;
    }
    let allowed = if apart.is_some() { "GET, HEAD, POST" } else { "GET, HEAD" };
    if let "instances" | "outbox" | "reporters" = path {
        let query = request.uri().query().unwrap_or_default();
        return match path {
            _ if !reading => reply::not_allowed(allowed),
            "instances" => instances(&*backend, query).await,
            "outbox" => outbox(&*backend, query).await,
            _ => reporters(&*backend, query).await,
        };
    }
    if let Some(fixed) = fixed {
        return if reading { fixed(&*backend, request.uri().query().unwrap_or_default()) } else { reply::not_allowed(allowed) };
    }
    // segments are split before they are decoded: a name may hold a slash
    let segments: Vec<String> = match path.split('/').map(|segment| ask::decode(segment, false)).collect() {
        Ok(segments) => segments,
        Err(why) => return reply::error(StatusCode::BAD_REQUEST, &why),
    };
    let route = match route::parse(&segments) {
        Ok(route) => route,
        Err(why) => return reply::error(StatusCode::NOT_FOUND, &why),
    };
    let controls = matches!((&route.leaf, route.hops.last()), (Leaf::Row, Some(hop)) if !hop.kind.methods().is_empty());
    if reading {
        let query = request.uri().query().unwrap_or_default();
        read(backend, &route, query).await.unwrap_or_else(|why| reply::failure(&why))
    } else if controls && request.method() == Method::POST {
        control::post(&*backend, &route, request).await
    } else {
        reply::not_allowed(if controls { "GET, HEAD, POST" } else { "GET, HEAD" })
    }
}

fn root(_: &dyn Backend, query: &str) -> Response {
    let mut names: Vec<&str> = super::kinds::TOP.iter().map(|kind| kind.plural()).collect();
    names.extend(FIXED);
    made("rootlinks", names.into_iter().map(|name| json!({"name": name})), query)
}

fn spec(_: &dyn Backend, query: &str) -> Response {
    made("specs", route::spec().into_iter(), query)
}

async fn instances(backend: &dyn Backend, query: &str) -> Response {
    let fields = [
        ("launch_id", Holds::Text),
        ("workername", Holds::Text),
        ("backend", Holds::Text),
        ("state", Holds::Text),
        ("handle", Holds::Json),
        ("generation", Holds::Int),
        ("created_at", Holds::Time),
        ("attached_at", Holds::Time),
        ("stop_wanted_at", Holds::Time),
        ("gone_at", Holds::Time),
        ("reason", Holds::Text),
        ("price_per_hour", Holds::Json),
        ("cost", Holds::Json),
        ("stop_tries", Holds::Int),
        ("stop_error", Holds::Text),
        ("leak_told_at", Holds::Time),
    ];
    flat("instances", &fields, backend.instances().await, query)
}

async fn outbox(backend: &dyn Backend, query: &str) -> Response {
    let fields = [
        ("messageid", Holds::Int),
        ("reporter", Holds::Text),
        ("about", Holds::Text),
        ("lane", Holds::Text),
        ("state", Holds::Text),
        ("attempts", Holds::Int),
        ("created_at", Holds::Time),
        ("next_try", Holds::Time),
        ("settled_at", Holds::Time),
        ("error", Holds::Text),
    ];
    flat("outbox", &fields, backend.outbox().await, query)
}

async fn reporters(backend: &dyn Backend, query: &str) -> Response {
    let fields = [
        ("name", Holds::Text),
        ("class", Holds::Text),
        ("waiting", Holds::Int),
        ("failing", Holds::Int),
        ("given_up", Holds::Int),
        ("oldest", Holds::Time),
        ("error", Holds::Text),
    ];
    flat("reporters", &fields, backend.reporters().await, query)
}

/// Rows that have no place below others.
fn flat(of: &'static str, fields: &[kinds::Field], rows: Result<Vec<Row>, ApiError>, query: &str) -> Response {
    let rows = match rows {
        Ok(rows) => rows,
        Err(why) => return reply::failure(&why),
    };
    let schema = Schema { of, fields: fields.to_vec(), more: vec![], open: false };
    match ask::parse(query, &schema) {
        Ok(query) => from_memory(of, &rows, &query, |_| true),
        Err(why) => reply::error(StatusCode::BAD_REQUEST, &why),
    }
}

fn config(backend: &dyn Backend, _: &str) -> Response {
    reply::json(StatusCode::OK, &json!({"config": backend.config()}))
}

/// A list that is made for this question.
fn made(plural: &str, rows: impl Iterator<Item = Value>, query: &str) -> Response {
    let rows: Vec<Row> = rows.filter_map(|row| if let Value::Object(row) = row { Some(row) } else { None }).collect();
    let mut schema = Schema::open(plural);
    if let Some(row) = rows.first() {
        schema.open = false;
        schema.more = row.keys().map(String::as_str).collect();
    }
    match ask::parse(query, &schema) {
        Ok(query) => from_memory(plural, &rows, &query, |_| true),
        Err(why) => reply::error(StatusCode::BAD_REQUEST, &why),
    }
}

async fn read(backend: Master, route: &Route, query: &str) -> Result<Response, ApiError> {
    if route.leaf == Leaf::List(Kind::Forceschedulers) || route.hops.iter().any(|hop| hop.kind == Kind::Forceschedulers) {
        backend.prepare_forms().await;
    }
    match (route.leaf, route.hops.as_slice()) {
        (Leaf::List(kind), hops) => list(backend, kind, hops, query).await,
        (Leaf::Row, [above @ .., hop]) => row(&*backend, above, hop, query).await,
        (Leaf::Tail(tail), [above @ .., hop]) => match tail {
            Tail::Contents | Tail::Raw | Tail::RawInline => logs::read(backend, above, hop, tail, query).await,
            Tail::Properties | Tail::PropertyList => properties(&*backend, &route.hops, tail, query).await,
            Tail::Nothing(plural) => {
                lookup::follow(&*backend, &route.hops).await?;
                Ok(reply::list(plural, [], &[], Some(0)))
            }
        },
        (_, []) => Err(ApiError::NotFound("there is nothing at this path".into())),
    }
}

async fn list(backend: Master, kind: Kind, hops: &[Hop], query: &str) -> Result<Response, ApiError> {
    let parent = lookup::follow(&*backend, hops).await?;
    match kind.home() {
        Home::Memory => {
            let rows = lookup::in_memory(&*backend, kind);
            let query = ask_of(kind, &rows, query)?;
            Ok(from_memory(kind.plural(), &rows, &query, |row| lookup::is_below(row, kind, parent.as_ref())))
        }
        Home::Table(table) => {
            let query = ask_of(kind, &[], query)?;
            from_table(backend, table, kind.plural(), lookup::scope(parent.as_ref()), query).await
        }
    }
}

/// Reads the query string; rows in memory may have more fields than are declared.
fn ask_of(kind: Kind, rows: &[Row], query: &str) -> Result<Query, ApiError> {
    if query.is_empty() {
        return Ok(Query::default());
    }
    let mut schema = Schema::of(kind);
    schema.more = rows.first().map(|row| row.keys().map(String::as_str).collect()).unwrap_or_default();
    ask::parse(query, &schema).map_err(ApiError::BadQuery)
}

/// Filters, orders, pages and cuts without copying a row.
fn from_memory(plural: &str, rows: &[Row], query: &Query, below: impl Fn(&Row) -> bool) -> Response {
    let passes = |row: &&Row| below(row) && query.filters.iter().all(|f| f.passes(row.get(&f.field).unwrap_or(&Value::Null)));
    let mut rows: Vec<&Row> = rows.iter().filter(passes).collect();
    if !query.order.is_empty() {
        rows.sort_by(|a, b| {
            query.order.iter().fold(Ordering::Equal, |so_far, (field, descending)| {
                so_far.then_with(|| {
                    let by = compare(a.get(field).unwrap_or(&Value::Null), b.get(field).unwrap_or(&Value::Null));
                    if *descending { by.reverse() } else { by }
                })
            })
        });
    }
    let total = rows.len();
    let page = rows.into_iter().skip(query.offset).take(query.limit.unwrap_or(usize::MAX));
    reply::list(plural, page, &query.fields, Some(total))
}

/// A list from a table: at once if it is short, else page by page as the client reads.
async fn from_table(backend: Master, table: Resource, plural: &str, scope: Vec<Filter>, query: Query) -> Result<Response, ApiError> {
    let wanted = query.limit.unwrap_or(usize::MAX);
    let page = one_page(&*backend, table, &scope, &query, 0).await?;
    let (count, total) = (page.rows.len(), page.total);
    if count < PAGE || count >= wanted {
        return Ok(reply::list(plural, &page.rows, &[], Some(total)));
    }
    let mut start = vec![];
    reply::open(&mut start, plural);
    reply::rows(&mut start, &page.rows, &[], true);
    drop(page);
    let pages = stream::unfold(Some(count), move |sent| {
        let (backend, scope, query) = (backend.clone(), scope.clone(), query.clone());
        async move {
            let sent = sent?;
            // an error breaks the connection off: the client sees that the list is not whole
            let page = match one_page(&*backend, table, &scope, &query, sent).await {
                Ok(page) => page,
                Err(why) => return Some((Err(io::Error::other(why)), None)),
            };
            let mut out = vec![];
            reply::rows(&mut out, &page.rows, &[], false);
            let sent = sent + page.rows.len();
            let more = page.rows.len() == PAGE && sent < wanted;
            if !more {
                reply::close(&mut out, Some(total));
            }
            Some((Ok(Bytes::from(out)), more.then_some(sent)))
        }
    });
    let first = stream::iter([Ok(Bytes::from(start))]);
    Ok(reply::answer(StatusCode::OK, reply::JSON, Body::from_stream(futures_util::StreamExt::chain(first, pages))))
}

async fn one_page(backend: &dyn Backend, table: Resource, scope: &[Filter], query: &Query, sent: usize) -> Result<Page, ApiError> {
    let left = query.limit.map_or(PAGE, |limit| limit.saturating_sub(sent).min(PAGE));
    let mut query = query.clone();
    query.offset = query.offset.saturating_add(sent).min(i64::MAX as usize);
    query.limit = Some(left);
    backend.list(table, scope.to_vec(), query).await
}

async fn row(backend: &dyn Backend, above: &[Hop], hop: &Hop, query: &str) -> Result<Response, ApiError> {
    let parent = lookup::follow(backend, above).await?;
    let plural = hop.kind.plural();
    match hop.kind.home() {
        Home::Memory => {
            let rows = lookup::in_memory(backend, hop.kind);
            let query = single(ask_of(hop.kind, &rows, query)?)?;
            let wanted = hop.value.value();
            let row = rows.iter().find(|row| row.get(hop.field) == Some(&wanted) && lookup::is_below(row, hop.kind, parent.as_ref()));
            Ok(reply::list(plural, [row.ok_or_else(|| lookup::missing(hop, parent.as_ref()))?], &query.fields, None))
        }
        Home::Table(table) => {
            let row = table_row(backend, table, parent.as_ref(), hop, query).await?;
            Ok(reply::list(plural, [&row], &[], None))
        }
    }
}

/// One row of a table; a build request says besides what it waits for.
async fn table_row(backend: &dyn Backend, table: Resource, parent: Option<&Place>, hop: &Hop, query: &str) -> Result<Row, ApiError> {
    const WAITING: &str = "waiting_for";
    let mut schema = Schema::of(hop.kind);
    if table == Resource::Buildrequests {
        schema.more.push(WAITING);
    }
    let query = single(ask::parse(query, &schema).map_err(ApiError::BadQuery)?)?;
    let waiting = table == Resource::Buildrequests && (query.fields.is_empty() || query.fields.iter().any(|field| field == WAITING));
    let mut fields = query.fields.clone();
    if waiting && !fields.is_empty() {
        fields.retain(|field| field != WAITING);
        fields.push(hop.kind.key().into());
    }
    let mut row = lookup::one(backend, table, hop, parent, fields, query.properties.clone()).await?;
    if waiting && let Some(id) = row.get(hop.kind.key()).and_then(Value::as_i64) {
        row.insert(WAITING.into(), backend.waiting_for(id).unwrap_or_default());
        query.cut(&mut row);
    }
    Ok(row)
}

/// One row can't be filtered, ordered or paged; to ignore that would answer another question.
fn single(query: Query) -> Result<Query, ApiError> {
    if query.filters.is_empty() && query.order.is_empty() && query.offset == 0 && query.limit.is_none() {
        return Ok(query);
    }
    Err(ApiError::BadQuery("this is a single resource: filters, order, limit and offset are for lists".into()))
}

async fn properties(backend: &dyn Backend, hops: &[Hop], tail: Tail, query: &str) -> Result<Response, ApiError> {
    let place = lookup::follow(backend, hops).await?.ok_or_else(|| ApiError::NotFound("there is nothing at this path".into()))?;
    let id = place.number()?;
    let map = match place.kind {
        Kind::Builds => backend.build_properties(id).await?,
        Kind::Buildsets => backend.buildset_properties(id).await?,
        _ => of_change(backend, &place, id).await?,
    };
    if tail == Tail::Properties {
        let query = single(ask::parse(query, &Schema::open("properties")).map_err(ApiError::BadQuery)?)?;
        return Ok(reply::list("properties", [&map], &query.fields, None));
    }
    let each = map.into_iter().map(|(name, pair)| {
        let part = |index: usize| pair.get(index).cloned().unwrap_or_default();
        // here values are JSON within text
        json!({"name": name, "value": part(0).to_string(), "source": part(1)})
    });
    Ok(made("_properties", each, query))
}

async fn of_change(backend: &dyn Backend, place: &Place, id: i64) -> Result<Map<String, Value>, ApiError> {
    let query = Query { limit: Some(1), fields: vec!["properties".into()], ..Query::default() };
    let page = backend.list(Resource::Changes, lookup::scope(Some(place)), query).await?;
    let mut row = page.rows.into_iter().next().ok_or_else(|| ApiError::NotFound(format!("there is no change {id}")))?;
    Ok(match row.remove("properties") {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    })
}
