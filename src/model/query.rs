//! A question to the API: filters, order, paging, fields. Parsed in `web`, answered from tables by `store` and from
//! memory by [`Query::apply`].

use std::cmp::Ordering;

use serde_json::{Map, Value};

/// One row as the API shows it.
pub type Row = Map<String, Value>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Contains,
    In,
    NotIn,
}

/// `field__op=value`; several values of one field are alternatives.
#[derive(Clone, PartialEq, Debug)]
pub struct Filter {
    pub field: String,
    pub op: Op,
    pub values: Vec<Value>,
}

#[derive(Clone, PartialEq, Debug, Default)]
pub struct Query {
    pub filters: Vec<Filter>,
    /// Field, descending?
    pub order: Vec<(String, bool)>,
    pub offset: usize,
    pub limit: Option<usize>,
    /// The fields wanted; all if empty.
    pub fields: Vec<String>,
    /// Properties wanted with builds; `*` is all.
    pub properties: Vec<String>,
}

/// A page of rows and how many there were before paging.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Page {
    pub rows: Vec<Row>,
    pub total: usize,
}

impl Filter {
    pub fn eq(field: &str, value: impl Into<Value>) -> Filter {
        Filter { field: field.into(), op: Op::Eq, values: vec![value.into()] }
    }

    /// Does the row's value pass? A list passes `contains` if it holds the value.
    pub fn passes(&self, value: &Value) -> bool {
        let any = |test: &dyn Fn(&Value) -> bool| self.values.iter().any(test);
        let ordered = |wanted: &dyn Fn(Ordering) -> bool| any(&|v| !value.is_null() && wanted(compare(value, v)));
        match self.op {
            Op::Eq | Op::In => any(&|v| same(value, v)),
            Op::Ne | Op::NotIn => !any(&|v| same(value, v)),
            Op::Lt => ordered(&Ordering::is_lt),
            Op::Le => ordered(&Ordering::is_le),
            Op::Gt => ordered(&Ordering::is_gt),
            Op::Ge => ordered(&Ordering::is_ge),
            Op::Contains => any(&|v| match (value, v) {
                (Value::Array(items), v) => items.iter().any(|item| same(item, v)),
                (Value::String(text), Value::String(part)) => text.contains(part.as_str()),
                _ => false,
            }),
        }
    }
}

/// Equal as the API sees it: `1` and `1.0` and, for a text field, `"1"` are.
fn same(a: &Value, b: &Value) -> bool {
    a == b || (a.is_number() && b.is_number() && compare(a, b).is_eq())
}

/// Nothing before numbers and truth values before text before the rest.
pub fn compare(a: &Value, b: &Value) -> Ordering {
    fn rank(v: &Value) -> u8 {
        match v {
            Value::Null => 0,
            Value::Bool(_) | Value::Number(_) => 1,
            Value::String(_) => 2,
            _ => 3,
        }
    }
    fn number(v: &Value) -> f64 {
        v.as_f64().unwrap_or(if v == &Value::Bool(true) { 1.0 } else { 0.0 })
    }
    match (a, b) {
        (Value::Number(x), Value::Number(y)) if x.is_i64() && y.is_i64() => x.as_i64().cmp(&y.as_i64()),
        (Value::String(x), Value::String(y)) => x.cmp(y),
        _ if rank(a) == 1 && rank(b) == 1 => number(a).total_cmp(&number(b)),
        _ => rank(a).cmp(&rank(b)),
    }
}

impl Query {
    pub fn filter(mut self, filter: Filter) -> Query {
        self.filters.push(filter);
        self
    }

    /// Filter, order, page and cut rows that are in memory.
    pub fn apply(&self, mut rows: Vec<Row>) -> Page {
        rows.retain(|row| self.filters.iter().all(|f| f.passes(row.get(&f.field).unwrap_or(&Value::Null))));
        if !self.order.is_empty() {
            rows.sort_by(|a, b| {
                self.order.iter().fold(Ordering::Equal, |so_far, (field, descending)| {
                    so_far.then_with(|| {
                        let by = compare(a.get(field).unwrap_or(&Value::Null), b.get(field).unwrap_or(&Value::Null));
                        if *descending { by.reverse() } else { by }
                    })
                })
            });
        }
        let total = rows.len();
        let mut rows: Vec<Row> = rows.into_iter().skip(self.offset).take(self.limit.unwrap_or(usize::MAX)).collect();
        rows.iter_mut().for_each(|row| self.cut(row));
        Page { rows, total }
    }

    /// Leave only the wanted fields.
    pub fn cut(&self, row: &mut Row) {
        if !self.fields.is_empty() {
            row.retain(|name, _| self.fields.iter().any(|f| f == name));
        }
    }
}
