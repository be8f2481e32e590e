//! What does a query string ask for? A pure function of the text and the fields of the resource.

use serde_json::Value;

use super::kinds::{Holds, Schema};
use crate::base::suggest;
use crate::model::Query;
use crate::model::query::{Filter, Op};

/// More than this in one query string is nobody's honest question.
const MAX_PARTS: usize = 1000;

const OPERATORS: &[(&str, Op)] = &[
    ("eq", Op::Eq),
    ("ne", Op::Ne),
    ("lt", Op::Lt),
    ("le", Op::Le),
    ("gt", Op::Gt),
    ("ge", Op::Ge),
    ("contains", Op::Contains),
    ("in", Op::In),
    ("notin", Op::NotIn),
];

/// Reads a query string, or says what is wrong with it.
pub fn parse(text: &str, schema: &Schema<'_>) -> Result<Query, String> {
    let mut query = Query::default();
    for (count, part) in text.split('&').filter(|part| !part.is_empty()).enumerate() {
        if count >= MAX_PARTS {
            return Err(format!("the query string has more than {MAX_PARTS} parts"));
        }
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let (name, value) = (decode(name, true)?, decode(value, true)?);
        match name.as_str() {
            "field" => query.fields.push(known(&value, schema)?),
            "order" => {
                let (field, descending) = value.strip_prefix('-').map_or((value.as_str(), false), |field| (field, true));
                query.order.push((known(field, schema)?, descending));
            }
            "limit" => query.limit = Some(count_of("limit", &value)?),
            "offset" => query.offset = count_of("offset", &value)?,
            "property" => query.properties.push(value),
            _ => filter(&mut query.filters, &name, &value, schema)?,
        }
    }
    Ok(query)
}

fn filter(filters: &mut Vec<Filter>, name: &str, value: &str, schema: &Schema<'_>) -> Result<(), String> {
    let (field, op) = match name.rsplit_once("__") {
        None => (name, Op::Eq),
        Some((field, op)) => match OPERATORS.iter().find(|(known, _)| *known == op) {
            Some((_, op)) => (field, *op),
            None => {
                let hint = suggest::hint(op, OPERATORS.iter().map(|(name, _)| *name));
                return Err(format!("unknown operator '{op}' in '{name}'{hint}; there are eq, ne, lt, le, gt, ge, contains, in and notin"));
            }
        },
    };
    let Some(holds) = schema.holds(field) else {
        let words = ["field", "order", "limit", "offset", "property"];
        let hint = suggest::hint(field, schema.names().chain(words));
        return Err(format!("unknown field '{field}' of {}{hint}", schema.of));
    };
    let value = read(field, value, holds)?;
    match filters.iter_mut().find(|f| f.field == field && f.op == op) {
        Some(same) => same.values.push(value),
        None => filters.push(Filter { field: field.into(), op, values: vec![value] }),
    }
    Ok(())
}

fn known(field: &str, schema: &Schema<'_>) -> Result<String, String> {
    match schema.holds(field) {
        Some(_) => Ok(field.into()),
        None => Err(format!("unknown field '{field}' of {}{}", schema.of, suggest::hint(field, schema.names()))),
    }
}

fn count_of(what: &str, value: &str) -> Result<usize, String> {
    // the database counts in signed numbers
    value.parse().ok().filter(|n| i64::try_from(*n).is_ok()).ok_or_else(|| format!("{what}={value}: a number from 0 up is needed"))
}

fn read(field: &str, value: &str, holds: Holds) -> Result<Value, String> {
    let nothing = matches!(value, "null" | "none" | "None");
    match holds {
        Holds::Text | Holds::Texts => Ok(value.into()),
        _ if nothing => Ok(Value::Null),
        Holds::Int | Holds::Ints => value.parse::<i64>().map(Value::from).map_err(|_| format!("{field}: '{value}' is no whole number")),
        Holds::Time => number(value).ok_or_else(|| format!("{field}: '{value}' is no time (seconds since 1970)")),
        Holds::Bool => truth(value).map(Value::Bool).ok_or_else(|| format!("{field}: '{value}' is neither true nor false")),
        Holds::Json => {
            Ok(number(value).or_else(|| matches!(value, "true" | "false").then(|| (value == "true").into())).unwrap_or(value.into()))
        }
    }
}

fn number(value: &str) -> Option<Value> {
    if let Ok(whole) = value.parse::<i64>() {
        return Some(whole.into());
    }
    // no infinities: they are no JSON
    value.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map(Value::Number)
}

fn truth(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => Some(true),
        "off" | "false" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// Undoes percent-encoding; in query strings `+` is a blank.
pub fn decode(text: &str, plus: bool) -> Result<String, String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'%' => {
                let hex = |i: usize| bytes.get(i).and_then(|b| char::from(*b).to_digit(16));
                let (Some(high), Some(low)) = (hex(at + 1), hex(at + 2)) else {
                    return Err(format!("'{text}': a '%' needs two hexadecimal digits"));
                };
                out.push((high * 16 + low) as u8);
                at += 2;
            }
            b'+' if plus => out.push(b' '),
            _ => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8(out).map_err(|_| format!("'{text}' is no UTF-8"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::web::kinds::Kind;

    fn ask(text: &str, kind: Kind) -> Result<Query, String> {
        parse(text, &Schema::of(kind))
    }

    #[test]
    fn reads_every_part() {
        let q = ask("field=name&field=results&order=-buildid&order=number&limit=5&offset=2&property=*", Kind::Builds);
        assert_eq!(q, Err("unknown field 'name' of builds".into()));
        let q = ask("field=number&field=results&order=-buildid&order=number&limit=5&offset=2&property=*", Kind::Builds).unwrap();
        assert_eq!(q.fields, ["number", "results"]);
        assert_eq!(q.order, [("buildid".into(), true), ("number".into(), false)]);
        assert_eq!((q.limit, q.offset), (Some(5), 2));
        assert_eq!(q.properties, ["*"]);
    }

    #[test]
    fn filters_follow_the_kind_of_the_field() {
        let q = ask(
            "complete=off&results__in=0&results__in=2&state_string__contains=a+b%26c&started_at__ge=1.5&results__ne=null",
            Kind::Builds,
        );
        let want = |field: &str, op, values: Value| Filter { field: field.into(), op, values: values.as_array().unwrap().clone() };
        assert_eq!(
            q.unwrap().filters,
            [
                want("complete", Op::Eq, json!([false])),
                want("results", Op::In, json!([0, 2])),
                want("state_string", Op::Contains, json!(["a b&c"])),
                want("started_at", Op::Ge, json!([1.5])),
                want("results", Op::Ne, json!([null])),
            ]
        );
        // a builder may be called 12, and a tag too
        let q = ask("name=12&tags__contains=7&masterids__contains=1", Kind::Builders).unwrap();
        assert_eq!(q.filters.iter().map(|f| f.values[0].clone()).collect::<Vec<_>>(), [json!("12"), json!("7"), json!(1)]);
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, why) in [
            ("complet=1", "unknown field 'complet' of builds (did you mean 'complete'?)"),
            ("limt=1", "unknown field 'limt' of builds (did you mean 'limit'?)"),
            ("number__gte=1", "unknown operator 'gte' in 'number__gte' (did you mean 'ge'?)"),
            ("number=one", "number: 'one' is no whole number"),
            ("complete=perhaps", "complete: 'perhaps' is neither true nor false"),
            ("limit=-1", "limit=-1: a number from 0 up is needed"),
            ("offset=18446744073709551615", "a number from 0 up"),
            ("order=-colour", "unknown field 'colour' of builds"),
            ("started_at=inf", "is no time"),
            ("state_string=%f", "needs two hexadecimal digits"),
            ("state_string=%ff", "is no UTF-8"),
        ] {
            let said = ask(text, Kind::Builds).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
        assert!(ask(&"number=1&".repeat(1001), Kind::Builds).is_err());
    }
}
