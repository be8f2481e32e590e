//! What editors and the reference are told of objects is there.

use super::super::api::objects::{FIELDS, OBJECTS};
use super::see;

#[tokio::test]
async fn every_member_of_what_calls_return_is_there() {
    let made = [
        ("Regex", "regex.compile('x')"),
        ("RegexMatch", "regex.search('x', 'x')"),
        ("Template", "template.compile('x')"),
        ("Properties", "util.Properties{ a = 1 }"),
    ];
    for (object, source) in made {
        let (_, members) = OBJECTS.iter().find(|(name, _)| *name == object).unwrap();
        for (member, _) in members.iter().filter(|(member, _)| !member.starts_with('[')) {
            let name = member.split(['(', ':']).next().unwrap();
            see(&format!("assert(({source}).{name} ~= nil, '{object} has no {name}')")).await;
        }
    }
}

#[tokio::test]
async fn every_field_of_a_namespace_is_there() {
    for (of, name, _) in FIELDS {
        see(&format!("assert(type({of}.{name}) == 'table', '{of} has no {name}')")).await;
    }
}
