//! What does a path of the API name? A pure function of its segments and the tables in `kinds`; whether the things
//! exist is found out later.

use serde_json::{Value, json};

use super::kinds::{Holds, Kind, TOP, Tail};
use crate::base::suggest;

/// One row on the way: `builders/fast` or `builds/12`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hop {
    pub kind: Kind,
    /// The field that `value` is of.
    pub field: &'static str,
    pub value: Id,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Id {
    Number(i64),
    Name(String),
}

impl Id {
    pub fn value(&self) -> Value {
        match self {
            Id::Number(n) => (*n).into(),
            Id::Name(name) => name.as_str().into(),
        }
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Id::Number(n) => n.fmt(f),
            Id::Name(name) => write!(f, "'{name}'"),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leaf {
    /// The rows of a kind, below the last hop if there is one.
    List(Kind),
    /// The last hop itself.
    Row,
    /// Something that belongs to the last hop.
    Tail(Tail),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    pub hops: Vec<Hop>,
    pub leaf: Leaf,
}

/// Follows the segments after `/api/v2`, which are already decoded; the error is for a person.
pub fn parse(segments: &[String]) -> Result<Route, String> {
    let mut hops: Vec<Hop> = vec![];
    let mut rest = segments;
    loop {
        let parent = hops.last().map(|hop| hop.kind);
        let Some((word, after)) = rest.split_first() else {
            return Ok(Route { hops, leaf: Leaf::Row });
        };
        if let Some(parent) = parent
            && let Some((_, tail)) = parent.tails().iter().find(|(name, _)| name == word)
        {
            return if after.is_empty() { Ok(Route { hops, leaf: Leaf::Tail(*tail) }) } else { Err(format!("nothing is below '{word}'")) };
        }
        let below = parent.map_or(TOP, Kind::children);
        // a kind comes once, or a path could go round in circles
        let Some(kind) = below.iter().copied().find(|kind| kind.plural() == word && !hops.iter().any(|hop| hop.kind == *kind)) else {
            return Err(unknown(word, parent));
        };
        let Some((id, after)) = after.split_first() else {
            return Ok(Route { hops, leaf: Leaf::List(kind) });
        };
        hops.push(hop(kind, parent, id)?);
        rest = after;
    }
}

fn hop(kind: Kind, parent: Option<Kind>, id: &str) -> Result<Hop, String> {
    let (by_number, by_name) = kind.path_keys(parent);
    // "+5" and "-0" are names, if anything
    let number = id.parse().ok().filter(|_| id.bytes().all(|b| b.is_ascii_digit()));
    match (by_number, by_name, number) {
        (Some(field), _, Some(n)) => Ok(Hop { kind, field, value: Id::Number(n) }),
        (_, Some(field), _) => Ok(Hop { kind, field, value: Id::Name(id.into()) }),
        (Some(field), None, None) => Err(format!("'{id}' is no {field} of a {}", kind.singular())),
        (None, None, _) => Err(format!("'{id}': there is no single {} here; ask /api/v2/{}", kind.singular(), kind.plural())),
    }
}

fn unknown(word: &str, parent: Option<Kind>) -> String {
    let mut known: Vec<&str> = parent.map_or(TOP, Kind::children).iter().map(|kind| kind.plural()).collect();
    known.extend(parent.map_or(&[][..], Kind::tails).iter().map(|(name, _)| *name));
    let hint = suggest::hint(word, known.iter().copied());
    match parent {
        None => format!("there is no resource '{word}'{hint}"),
        Some(parent) => format!("a {} has no '{word}'{hint}", parent.singular()),
    }
}

/// The rows of `application.spec`: every path, with the fields of what it answers.
pub fn spec() -> Vec<Value> {
    let mut rows = vec![];
    walk("", &mut vec![], &mut rows);
    rows
}

fn walk(prefix: &str, above: &mut Vec<Kind>, rows: &mut Vec<Value>) {
    let parent = above.last().copied();
    for kind in parent.map_or(TOP, Kind::children).iter().copied().filter(|kind| !above.contains(kind)).collect::<Vec<_>>() {
        let list = format!("{prefix}/{}", kind.plural());
        rows.push(row(&list, kind));
        let (by_number, by_name) = kind.path_keys(parent);
        let paths = [by_number.map(|field| format!("{list}/n:{field}")), by_name.map(|field| format!("{list}/i:{field}"))];
        for path in paths.into_iter().flatten() {
            rows.push(row(&path, kind));
            for (name, tail) in kind.tails() {
                let plural = match tail {
                    Tail::Properties => "properties",
                    Tail::PropertyList => "_properties",
                    Tail::Contents | Tail::Raw | Tail::RawInline => "logchunks",
                    Tail::Nothing(plural) => plural,
                };
                rows.push(json!({"path": format!("{path}/{name}"), "plural": plural, "type": plural.trim_end_matches('s'), "type_spec": {"fields": []}}));
            }
            above.push(kind);
            walk(&path, above, rows);
            above.pop();
        }
    }
}

fn row(path: &str, kind: Kind) -> Value {
    let fields: Vec<Value> = kind.fields().iter().map(|(name, holds)| json!({"name": name, "type": type_of(*holds)})).collect();
    json!({"path": path, "plural": kind.plural(), "type": kind.singular(), "type_spec": {"fields": fields}})
}

fn type_of(holds: Holds) -> &'static str {
    match holds {
        Holds::Int => "integer",
        Holds::Time => "datetime",
        Holds::Bool => "boolean",
        Holds::Text => "string",
        Holds::Ints => "list of integer",
        Holds::Texts => "list of string",
        Holds::Json => "json",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(path: &str) -> Result<Route, String> {
        parse(&path.split('/').map(String::from).collect::<Vec<_>>())
    }

    #[test]
    fn follows_the_nesting() {
        let route = follow("builders/fast/builds/7/steps/compile/logs/stdio/contents").unwrap();
        let hops: Vec<(&str, &str, String)> = route.hops.iter().map(|hop| (hop.kind.plural(), hop.field, hop.value.to_string())).collect();
        assert_eq!(
            hops,
            [
                ("builders", "name", "'fast'".into()),
                ("builds", "number", "7".into()),
                ("steps", "name", "'compile'".into()),
                ("logs", "slug", "'stdio'".into())
            ]
        );
        assert_eq!(route.leaf, Leaf::Tail(Tail::Contents));
        assert_eq!(follow("builds/7").unwrap().hops[0].field, "buildid");
        assert_eq!(follow("masters/1/builders/2/workers").unwrap().leaf, Leaf::List(Kind::Workers));
        // a slug of digits stays a slug
        assert_eq!(follow("steps/1/logs/12").unwrap().hops[1].value, Id::Name("12".into()));
    }

    #[test]
    fn says_what_is_not_there() {
        for (path, why) in [
            ("builder", "no resource 'builder' (did you mean 'builders'?)"),
            ("builds/x", "'x' is no buildid of a build"),
            ("builds/99999999999999999999", "is no buildid"),
            ("builds/1/step", "a build has no 'step' (did you mean 'steps'?)"),
            ("builds/1/properties/x", "nothing is below 'properties'"),
            ("builders/1/masters/1/builders", "a master has no 'builders'"),
            ("builders/1/buildrequests/4", "ask /api/v2/buildrequests"),
            ("builders/", "no resource ''"),
            ("", "no resource ''"),
        ] {
            match follow(path) {
                Err(said) => assert!(said.contains(why), "{path}: {said}"),
                // an empty name is looked for and not found
                Ok(route) => assert_eq!((path, &route.hops[0].value), ("builders/", &Id::Name(String::new()))),
            }
        }
    }

    #[test]
    fn every_path_of_the_spec_leads_somewhere() {
        let rows = spec();
        assert!(rows.len() > 60 && rows.len() < 1000, "{}", rows.len());
        for row in &rows {
            let path = row["path"].as_str().unwrap();
            let real: Vec<String> =
                path[1..].split('/').map(|s| if s.starts_with("n:") { "1".into() } else { s.replace("i:", "x") }).collect();
            assert!(parse(&real).is_ok(), "{path}");
        }
    }
}
