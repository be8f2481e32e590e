//! Do the things that a path names exist, and under which ids? Asks the [`Backend`] and changes nothing.

use std::ops::Deref;
use std::sync::Arc;

use serde_json::Value;

use super::backend::{ApiError, Backend, Resource};
use super::kinds::{Home, Kind};
use super::route::Hop;
use crate::model::Query;
use crate::model::query::{Filter, Row};

/// A row that a path goes through.
#[derive(Clone, Debug)]
pub struct Place {
    pub kind: Kind,
    pub id: Value,
    /// Known for what is in memory.
    pub name: String,
}

impl Place {
    /// The id, where it is a number.
    pub fn number(&self) -> Result<i64, ApiError> {
        self.id.as_i64().ok_or_else(|| ApiError::Failed(format!("a {} without a number", self.kind.singular())))
    }
}

/// Rows in memory: shared, or made for this question.
pub enum Rows {
    Shared(Arc<Vec<Row>>),
    Own(Vec<Row>),
}

impl Deref for Rows {
    type Target = [Row];

    fn deref(&self) -> &[Row] {
        match self {
            Rows::Shared(rows) => rows,
            Rows::Own(rows) => rows,
        }
    }
}

/// The rows of a kind that lives in memory; none of another.
pub fn in_memory(backend: &dyn Backend, kind: Kind) -> Rows {
    match kind {
        Kind::Builders => Rows::Shared(backend.builders()),
        Kind::Workers => Rows::Shared(backend.workers()),
        Kind::Masters => Rows::Own(backend.masters()),
        Kind::Schedulers => Rows::Own(backend.schedulers()),
        Kind::Forceschedulers => Rows::Own(backend.forceschedulers()),
        _ => Rows::Own(vec![]),
    }
}

/// Does this row of a kind in memory lie below `parent`?
///
/// There is one master, and all is its own.
pub fn is_below(row: &Row, kind: Kind, parent: Option<&Place>) -> bool {
    let Some(parent) = parent else { return true };
    let holds =
        |field: &str, test: &dyn Fn(&Value) -> bool| row.get(field).and_then(Value::as_array).is_some_and(|items| items.iter().any(test));
    match (parent.kind, kind) {
        (Kind::Builders, Kind::Workers) => holds("configured_on", &|on| on.get("builderid") == Some(&parent.id)),
        (Kind::Builders, Kind::Forceschedulers) => holds("builder_names", &|name| name == parent.name.as_str()),
        _ => true,
    }
}

/// Which rows of a table lie below `parent`.
pub fn scope(parent: Option<&Place>) -> Vec<Filter> {
    // one master: it narrows nothing
    parent
        .filter(|parent| parent.kind != Kind::Masters)
        .map(|parent| Filter::eq(parent.kind.key(), parent.id.clone()))
        .into_iter()
        .collect()
}

pub fn missing(hop: &Hop, parent: Option<&Place>) -> ApiError {
    let below = parent.map(|parent| format!(" of {} {}", parent.kind.singular(), parent.id)).unwrap_or_default();
    ApiError::NotFound(format!("there is no {} {}{below}", hop.kind.singular(), hop.value))
}

/// Follows all hops. A row that is named by its own id is not looked for: what is asked of it finds nothing.
pub async fn follow(backend: &dyn Backend, hops: &[Hop]) -> Result<Option<Place>, ApiError> {
    let mut place: Option<Place> = None;
    for hop in hops {
        let wanted = hop.value.value();
        let key = hop.kind.key();
        place = Some(match hop.kind.home() {
            Home::Memory => {
                let rows = in_memory(backend, hop.kind);
                let row = rows.iter().find(|row| row.get(hop.field) == Some(&wanted) && is_below(row, hop.kind, place.as_ref()));
                let row = row.ok_or_else(|| missing(hop, place.as_ref()))?;
                let name = row.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
                Place { kind: hop.kind, id: row.get(key).cloned().unwrap_or_default(), name }
            }
            Home::Table(_) if hop.field == key && place.is_none() => Place { kind: hop.kind, id: wanted, name: String::new() },
            Home::Table(table) => {
                let row = one(backend, table, hop, place.as_ref(), vec![key.to_owned()], vec![]).await?;
                Place { kind: hop.kind, id: row.get(key).cloned().unwrap_or_default(), name: String::new() }
            }
        });
    }
    Ok(place)
}

/// The one row of a table that a hop names.
pub async fn one(
    backend: &dyn Backend,
    table: Resource,
    hop: &Hop,
    parent: Option<&Place>,
    fields: Vec<String>,
    properties: Vec<String>,
) -> Result<Row, ApiError> {
    let mut scope = scope(parent);
    scope.push(Filter::eq(hop.field, hop.value.value()));
    let query = Query { limit: Some(1), fields, properties, ..Query::default() };
    let page = backend.list(table, scope, query).await?;
    page.rows.into_iter().next().ok_or_else(|| missing(hop, parent))
}
