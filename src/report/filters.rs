//! Does a generator's filter let a build or a request through? Pure.

use serde_json::Value as Json;

use super::facts::{BuildFacts, RequestFacts};
use crate::config::{FilterSpec, MailSpec};

/// What filters look at.
#[derive(Clone, Copy, Debug)]
pub struct Filtered<'a> {
    pub builder: &'a str,
    pub tags: &'a [String],
    pub scheduler: Option<&'a str>,
    pub branch: Option<&'a str>,
}

impl<'a> Filtered<'a> {
    pub fn build(facts: &'a BuildFacts) -> Filtered<'a> {
        Filtered {
            builder: &facts.builder.name,
            tags: &facts.builder.tags,
            scheduler: facts.properties.text("scheduler"),
            branch: facts.properties.text("branch"),
        }
    }

    pub fn request(facts: &'a RequestFacts) -> Filtered<'a> {
        let set = &facts.request.buildset;
        let branch = match set.properties.get("branch") {
            Some(Json::String(branch)) => Some(branch.as_str()),
            _ => set.sourcestamps.first().and_then(|(_, stamp)| stamp.branch.as_deref()),
        };
        Filtered { builder: &facts.builder.name, tags: &facts.builder.tags, scheduler: set.properties.text("scheduler"), branch }
    }
}

/// All that are given must hold.
pub fn passes(filter: &FilterSpec, of: Filtered<'_>) -> bool {
    let listed = |list: &Option<Vec<String>>, name: Option<&str>| list.as_ref().is_none_or(|l| l.iter().any(|one| Some(&**one) == name));
    listed(&filter.builders, Some(of.builder))
        && listed(&filter.schedulers, of.scheduler)
        && filter.tags.as_ref().is_none_or(|tags| tags.iter().any(|tag| of.tags.contains(tag)))
        && filter.branches.as_ref().is_none_or(|list| list.iter().any(|one| one.as_deref() == of.branch))
}

/// `workers` of a `MailNotifier`; what has run on no worker passes only without it.
pub fn worker_passes(mail: &MailSpec, worker: Option<&str>) -> bool {
    mail.workers.as_ref().is_none_or(|list| list.iter().any(|name| Some(name.as_str()) == worker))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Option<Vec<String>> {
        Some(names.iter().map(|n| (*n).to_owned()).collect())
    }

    #[test]
    fn each_filter_by_itself_and_all_of_them() {
        let tags = ["nightly".to_owned(), "linux".to_owned()];
        let of = Filtered { builder: "docs", tags: &tags, scheduler: Some("force"), branch: Some("main") };
        let bare = Filtered { builder: "docs", tags: &[], scheduler: None, branch: None };
        let none = FilterSpec::default();
        // The filter, and whether it lets the one and the other through.
        let table = [
            (none.clone(), true, true),
            (FilterSpec { builders: list(&["docs"]), ..none.clone() }, true, true),
            (FilterSpec { builders: list(&["doc", "docs2"]), ..none.clone() }, false, false),
            (FilterSpec { builders: list(&[]), ..none.clone() }, false, false),
            (FilterSpec { tags: list(&["mac", "linux"]), ..none.clone() }, true, false),
            (FilterSpec { tags: list(&["mac"]), ..none.clone() }, false, false),
            (FilterSpec { tags: list(&[]), ..none.clone() }, false, false),
            (FilterSpec { schedulers: list(&["force", "x"]), ..none.clone() }, true, false),
            (FilterSpec { schedulers: list(&["x"]), ..none.clone() }, false, false),
            (FilterSpec { branches: Some(vec![Some("main".into())]), ..none.clone() }, true, false),
            (FilterSpec { branches: Some(vec![None]), ..none.clone() }, false, true),
            (FilterSpec { branches: Some(vec![None, Some("main".into())]), ..none.clone() }, true, true),
            (FilterSpec { builders: list(&["docs"]), schedulers: list(&["x"]), ..none.clone() }, false, false),
            (
                FilterSpec {
                    tags: list(&["linux"]),
                    branches: Some(vec![Some("main".into())]),
                    schedulers: list(&["force"]),
                    builders: None,
                },
                true,
                false,
            ),
        ];
        for (filter, full, empty) in table {
            assert_eq!((passes(&filter, of), passes(&filter, bare)), (full, empty), "{filter:?}");
        }
    }

    #[test]
    fn workers_of_a_notifier() {
        let all = MailSpec::default();
        let some = MailSpec { workers: list(&["a", "b"]), ..MailSpec::default() };
        assert!(worker_passes(&all, Some("x")) && worker_passes(&all, None));
        assert!(worker_passes(&some, Some("b")) && !worker_passes(&some, Some("x")) && !worker_passes(&some, None));
    }
}
