//! Who gets a mail: interested users, fixed recipients, owners of workers. Pure; a function that looks names up is called elsewhere.

use std::collections::HashSet;

use serde_json::Value as Json;

use super::about::About;
use super::facts::BuildFacts;
use crate::base::MailAddress;
use crate::config::MailSpec;
use crate::model::{Properties, Results};

/// Beyond these a mail has no further recipients: a property may hold anything.
pub const MOST_USERS: usize = 200;

/// To whom a mail goes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recipients {
    pub to: Vec<MailAddress>,
    pub cc: Vec<MailAddress>,
}

impl Recipients {
    pub fn is_empty(&self) -> bool {
        self.to.is_empty() && self.cc.is_empty()
    }
}

/// Who is responsible for what a message is about, by name: owners of the builds or of the request, each once, in their order.
pub fn users<'a>(message: impl IntoIterator<Item = &'a About<'a>>) -> Vec<String> {
    let properties = |about: &'a About<'a>| match about {
        About::Pending(request) | About::Cancelled(request) => vec![&request.request.buildset.properties],
        other => other.builds().into_iter().map(|build| &build.properties).collect(),
    };
    responsible(message.into_iter().flat_map(properties))
}

fn responsible<'a>(all: impl IntoIterator<Item = &'a Properties>) -> Vec<String> {
    let mut users: Vec<String> = Vec::new();
    let mut known = HashSet::new();
    let mut add = |user: &Json| {
        if let Some(user) = user.as_str().map(str::trim).filter(|u| !u.is_empty())
            && users.len() < MOST_USERS
            && known.insert(user.to_owned())
        {
            users.push(user.to_owned());
        }
    };
    for properties in all {
        for name in ["owner", "owners"] {
            match properties.get(name) {
                Some(Json::Array(list)) => list.iter().for_each(&mut add),
                Some(one) => add(one),
                None => {}
            }
        }
    }
    users
}

/// The address of a name that was looked up, or none: of `a@b@c` the part before the last `@` counts.
pub fn address(name: &str) -> Option<MailAddress> {
    MailAddress::parse(name).or_else(|| {
        let (before, _) = name.rsplit_once('@').filter(|(before, _)| before.contains('@'))?;
        MailAddress::parse(before)
    })
}

/// Of a name that has no `@` the address in that domain.
pub fn in_domain(name: &str, domain: &str) -> String {
    if name.contains('@') { name.to_owned() } else { format!("{name}@{domain}") }
}

/// Owners of the workers on which one of the builds failed. `owners` knows those of a worker.
pub fn worker_owners<'a>(mail: &MailSpec, builds: &[&BuildFacts], owners: impl Fn(&str) -> &'a [String]) -> Vec<MailAddress> {
    if !mail.send_to_worker_owners {
        return Vec::new();
    }
    let failed = builds.iter().filter(|b| matches!(b.build.results, Some(Results::Failure | Results::Exception)));
    failed.filter_map(|b| b.worker.as_deref()).flat_map(owners).filter_map(|owner| address(owner)).collect()
}

/// Interested users and owners first; with any of them the fixed recipients get a copy.
pub fn recipients(mail: &MailSpec, interested: Vec<MailAddress>, owners: Vec<MailAddress>) -> Recipients {
    let interested = if mail.send_to_interested_users { interested } else { Vec::new() };
    let direct: Vec<MailAddress> = interested.into_iter().chain(owners).collect();
    let extra = mail.extra_recipients.clone();
    let (to, cc) = if direct.is_empty() { (extra, Vec::new()) } else { (direct, extra) };
    once(to, cc)
}

/// Those who wait for a worker, then its owners; nobody else.
pub fn of_absence(mail: &MailSpec, notify: &[String], owners: &[String]) -> Recipients {
    let owners = if mail.send_to_worker_owners { owners } else { &[] };
    once(notify.iter().chain(owners).filter_map(|text| address(text)).collect(), Vec::new())
}

/// Nobody twice, however the name or the letters of the address are written.
fn once(to: Vec<MailAddress>, cc: Vec<MailAddress>) -> Recipients {
    let mut known = HashSet::new();
    let mut unknown = |list: Vec<MailAddress>| list.into_iter().filter(|a| known.insert(a.bare.to_lowercase())).collect();
    Recipients { to: unknown(to), cc: unknown(cc) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn properties(list: &[(&str, Json)]) -> Properties {
        let mut properties = Properties::default();
        list.iter().for_each(|(name, value)| properties.set(*name, value.clone(), "test"));
        properties
    }

    fn addresses(list: &[&str]) -> Vec<MailAddress> {
        list.iter().map(|text| MailAddress::parse(text).unwrap()).collect()
    }

    fn shown(recipients: &Recipients) -> (String, String) {
        let list = |all: &[MailAddress]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        (list(&recipients.to), list(&recipients.cc))
    }

    #[test]
    fn owners_of_builds_each_once() {
        let one = properties(&[("owner", json!("ann")), ("owners", json!(["bob", " ann ", 5, null, ""]))]);
        let other = properties(&[("owners", json!("cid")), ("owner", json!({ "a": 1 }))]);
        assert_eq!(responsible([&one, &other, &Properties::default()]), ["ann", "bob", "cid"]);
        let many = properties(&[("owners", json!((0..1000).map(|i| format!("u{i}")).collect::<Vec<_>>()))]);
        assert_eq!(responsible([&many]).len(), MOST_USERS);
    }

    #[test]
    fn names_become_addresses() {
        assert_eq!(address("ann@b.example@weird").unwrap().bare, "ann@b.example");
        assert_eq!(address("Ann <ann@b.example>").unwrap().to_string(), "Ann <ann@b.example>");
        assert_eq!((address("ann"), address("ann@b\r\nBcc: x@y.example"), address("a@b@c@d")), (None, None, None));
        assert_eq!((in_domain("ann", "b.example"), in_domain("ann@c", "b.example")), ("ann@b.example".into(), "ann@c".into()));
    }

    #[test]
    fn extras_are_copies_only_beside_others() {
        let mail = MailSpec { extra_recipients: addresses(&["team@b.example", "Ann@b.example"]), ..MailSpec::default() };
        let quiet = MailSpec { send_to_interested_users: false, ..mail.clone() };
        let ann = || addresses(&["Ann Lee <ann@b.example>", "ann@B.example"]);
        let table = [
            (&mail, ann(), vec![], ("Ann Lee <ann@b.example>", "team@b.example")),
            (&mail, vec![], vec![], ("team@b.example Ann@b.example", "")),
            (&quiet, ann(), vec![], ("team@b.example Ann@b.example", "")),
            (&quiet, ann(), addresses(&["owner@c.example"]), ("owner@c.example", "team@b.example Ann@b.example")),
            (&MailSpec::default(), vec![], vec![], ("", "")),
        ];
        for (mail, interested, owners, (to, cc)) in table {
            assert_eq!(shown(&recipients(mail, interested, owners)), (to.to_owned(), cc.to_owned()));
        }
    }

    #[test]
    fn an_absence_is_told_to_those_who_wait_and_to_owners() {
        let extra = MailSpec { extra_recipients: addresses(&["team@b.example"]), ..MailSpec::default() };
        let owners = MailSpec { send_to_worker_owners: true, ..extra.clone() };
        let (notify, own) =
            (["ops@b.example".to_owned(), "nonsense".to_owned()], ["Owner <o@c.example>".to_owned(), "ops@b.example".to_owned()]);
        assert_eq!(shown(&of_absence(&extra, &notify, &own)), ("ops@b.example".into(), String::new()));
        assert_eq!(shown(&of_absence(&owners, &notify, &own)), ("ops@b.example Owner <o@c.example>".into(), String::new()));
    }
}
