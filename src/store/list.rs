//! Answers a question of the API from the tables: the same answer as [`Query::apply`] gives on the same rows, without
//! reading them all. Never shows a field that [`fields`](super::fields) does not declare.

use std::fmt::Write;

use serde_json::Value;

use super::fields::{Field, Kind, Resource, Table};
use super::sql::{Param, Result, Sql, first, json};
use super::{Store, StoreError};
use crate::model::query::{Filter, Op, Page, Query, Row};

/// The most rows in one answer, so that a careless question cannot fill the memory; `total` still counts all.
const MAX_ROWS: usize = 50_000;
/// The most values of all filters of a question together; databases have a limit too, and say so less clearly.
const MAX_VALUES: usize = 500;

impl Store {
    /// The rows of a resource that pass `scope` and the query's filters. `total` is how many there are without paging.
    pub async fn list(&self, what: Resource, scope: Vec<Filter>, query: Query) -> Result<Page> {
        let question = Question::new(what.table(), &scope, &query)?;
        self.engine.read(what.table().name, move |sql| question.ask(sql)).await
    }
}

/// A statement and what is needed to read its rows.
#[derive(Debug)]
struct Question {
    fields: Vec<&'static Field>,
    properties: Vec<String>,
    select: String,
    count: String,
    values: Vec<Param<'static>>,
    offset: usize,
    limit: usize,
}

impl Question {
    fn new(table: &'static Table, scope: &[Filter], query: &Query) -> Result<Question> {
        let fields: Vec<&'static Field> = if query.fields.is_empty() {
            table.fields.iter().collect()
        } else {
            let mut wanted = query.fields.iter().map(|name| table.field(name)).collect::<Result<Vec<_>>>()?;
            wanted.sort_by_key(|field| field.name);
            wanted.dedup_by_key(|field| field.name);
            wanted
        };
        if scope.iter().chain(&query.filters).map(|filter| filter.values.len().max(1)).sum::<usize>() > MAX_VALUES {
            return Err(StoreError::Query(format!("more than {MAX_VALUES} values to filter {} with", table.name)));
        }
        let mut condition = Condition::default();
        for filter in scope.iter().chain(&query.filters) {
            condition.add(table, filter)?;
        }
        let Condition { text: condition, values } = condition;
        let columns: Vec<&str> =
            fields.iter().map(|field| if field.kind == Kind::Props && query.properties.is_empty() { "NULL" } else { field.sql }).collect();
        let limit = query.limit.unwrap_or(MAX_ROWS).min(MAX_ROWS);
        let (from, order) = (table.from, order(table, &query.order)?);
        let columns = columns.join(", ");
        let offset = query.offset.min(i64::MAX as usize);
        let select = format!("SELECT {columns} FROM {from}{condition} ORDER BY {order} LIMIT {limit} OFFSET {offset}");
        let count = format!("SELECT COUNT(*) FROM {from}{condition}");
        Ok(Question { fields, properties: query.properties.clone(), select, count, values, offset, limit })
    }

    fn ask(&self, sql: &mut dyn Sql) -> Result<Page> {
        let mut rows: Vec<Row> = Vec::new();
        sql.query(&self.select, &self.values, &mut |found| {
            let mut row = Row::new();
            for (column, field) in self.fields.iter().enumerate() {
                row.insert(field.name.to_owned(), field.show(found, column, &self.properties)?);
            }
            rows.push(row);
            Ok(())
        })?;
        // A page that is not full is the last one: counting would tell nothing new.
        let last = rows.len() < self.limit && (self.offset == 0 || !rows.is_empty());
        let total = if last {
            self.offset.saturating_add(rows.len())
        } else {
            let count = first(sql, &self.count, &self.values, |row| row.int(0))?.unwrap_or(0);
            usize::try_from(count).unwrap_or(0)
        };
        Ok(Page { rows, total })
    }
}

/// Nothing before something, as [`crate::model::query::compare`] has it; the id decides between equals.
fn order(table: &'static Table, wanted: &[(String, bool)]) -> Result<String> {
    let mut text = String::new();
    for (name, descending) in wanted {
        let field = table.field(name)?;
        // A number here would mean a column's position.
        if field.sql == "NULL" || field.sql.parse::<i64>().is_ok() {
            continue;
        }
        let direction = match (field.sql, descending) {
            ("id", false) => return Ok(text + "id"),
            ("id", true) => return Ok(text + "id DESC"),
            (_, false) => "NULLS FIRST",
            (_, true) => "DESC NULLS LAST",
        };
        let _ = write!(text, "{} {direction}, ", field.sql);
    }
    Ok(text + "id")
}

/// The part after `FROM`, with its values.
#[derive(Default)]
struct Condition {
    text: String,
    values: Vec<Param<'static>>,
}

impl Condition {
    fn add(&mut self, table: &'static Table, filter: &Filter) -> Result<()> {
        let field = table.field(&filter.field)?;
        self.text.push_str(if self.text.is_empty() { " WHERE " } else { " AND " });
        match filter.op {
            Op::Eq | Op::In => self.equal(field, filter),
            Op::Ne | Op::NotIn => self.unequal(field, filter),
            Op::Lt => self.ordered(field, filter, "<"),
            Op::Le => self.ordered(field, filter, "<="),
            Op::Gt => self.ordered(field, filter, ">"),
            Op::Ge => self.ordered(field, filter, ">="),
            Op::Contains => self.contains(field, filter),
        }
    }

    /// The value's place in the statement. Truth values stand there themselves, so that an index with a condition is used.
    fn place(&mut self, value: Param<'static>, kind: Kind) -> String {
        match (kind, value) {
            (Kind::Bool, Param::Int(value)) => value.to_string(),
            (_, value) => {
                self.values.push(value);
                format!("${}", self.values.len())
            }
        }
    }

    /// The places of all values that are something, and whether nothing is among them.
    fn places(&mut self, field: &Field, filter: &Filter) -> Result<(Vec<String>, bool)> {
        let mut places = Vec::new();
        let mut null = false;
        for value in &filter.values {
            match param(field, value)? {
                Param::Null => null = true,
                value => places.push(self.place(value, field.kind)),
            }
        }
        Ok((places, null))
    }

    fn equal(&mut self, field: &Field, filter: &Filter) -> Result<()> {
        let (places, null) = self.places(field, filter)?;
        let sql = field.sql;
        let mut ways = Vec::new();
        match &places[..] {
            [] => {}
            [one] => ways.push(format!("{sql} = {one}")),
            more => ways.push(format!("{sql} IN ({})", more.join(", "))),
        }
        if null {
            ways.push(format!("{sql} IS NULL"));
        }
        self.any(&ways);
        Ok(())
    }

    fn unequal(&mut self, field: &Field, filter: &Filter) -> Result<()> {
        let (places, null) = self.places(field, filter)?;
        let sql = field.sql;
        let differs = if places.is_empty() { "1 = 1".to_owned() } else { format!("{sql} NOT IN ({})", places.join(", ")) };
        let _ = match null {
            true => write!(self.text, "({sql} IS NOT NULL AND {differs})"),
            false => write!(self.text, "({sql} IS NULL OR {differs})"),
        };
        Ok(())
    }

    /// Nothing is less than everything, but passes no comparison itself.
    fn ordered(&mut self, field: &Field, filter: &Filter, sign: &str) -> Result<()> {
        let (places, null) = self.places(field, filter)?;
        let sql = field.sql;
        let mut ways: Vec<String> = places.iter().map(|place| format!("{sql} {sign} {place}")).collect();
        if null && sign.starts_with('>') {
            ways.push(format!("{sql} IS NOT NULL"));
        }
        self.any(&ways);
        Ok(())
    }

    fn contains(&mut self, field: &Field, filter: &Filter) -> Result<()> {
        let sql = field.sql;
        let mut ways = Vec::new();
        for value in &filter.values {
            // `REPLACE` tells whether a text is in another in every dialect, with regard to case.
            let mut holds = |condition: &mut Condition, part: String| {
                let place = condition.place(Param::Text(part.into()), Kind::Text);
                ways.push(format!("REPLACE({sql}, {place}, '') <> {sql}"));
            };
            match (field.kind, value) {
                (Kind::Text, Value::String(part)) if part.is_empty() => ways.push(format!("{sql} IS NOT NULL")),
                (Kind::Text, Value::String(part)) => holds(self, part.clone()),
                // Within a JSON text a quotation mark never follows a bracket or a comma bare, so this finds whole items.
                (Kind::List, value @ Value::String(_)) => {
                    let item = json(value)?;
                    holds(self, format!("[{item}"));
                    holds(self, format!(",{item}"));
                }
                _ => return Err(StoreError::Query(format!("'{}' cannot be filtered with contains", field.name))),
            }
        }
        self.any(&ways);
        Ok(())
    }

    fn any(&mut self, ways: &[String]) {
        let _ = match ways {
            [] => write!(self.text, "1 = 0"),
            [one] => write!(self.text, "{one}"),
            more => write!(self.text, "({})", more.join(" OR ")),
        };
    }
}

/// A filter's value as the column has it.
fn param(field: &Field, value: &Value) -> Result<Param<'static>> {
    let wrong = |wanted: &str| StoreError::Query(format!("field '{}' is {wanted}, {value} is not", field.name));
    let number = || match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    Ok(match (field.kind, value) {
        (_, Value::Null) => Param::Null,
        (Kind::Int, value) => match value.as_i64().or_else(|| value.as_str()?.parse().ok()) {
            Some(whole) => Param::Int(whole),
            None => Param::Real(number().ok_or_else(|| wrong("a number"))?),
        },
        (Kind::Time, _) => Param::Int((number().ok_or_else(|| wrong("a time in seconds"))? * 1000.0).round() as i64),
        (Kind::Bool, Value::Bool(value)) => Param::Int((*value).into()),
        (Kind::Bool, Value::Number(_)) => Param::Int((number() != Some(0.0)).into()),
        (Kind::Bool, Value::String(text)) => match text.to_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Param::Int(1),
            "false" | "no" | "off" | "0" => Param::Int(0),
            _ => return Err(wrong("true or false")),
        },
        (Kind::Bool, _) => return Err(wrong("true or false")),
        (Kind::Text, Value::String(text)) => Param::Text(text.clone().into()),
        (Kind::Text, Value::Number(_) | Value::Bool(_)) => Param::Text(value.to_string().into()),
        (Kind::Text, _) => return Err(wrong("text")),
        (Kind::List, _) => return Err(StoreError::Query(format!("field '{}' is a list: filter it with contains", field.name))),
        (Kind::Json | Kind::Props, _) => return Err(StoreError::Query(format!("field '{}' cannot be filtered", field.name))),
    })
}
