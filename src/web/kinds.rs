//! Which resources there are, which fields each has, and which lies below which. Paths, query strings and
//! `application.spec` all follow from these tables.

use super::backend::Resource;

/// A kind of resource.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Masters,
    Builders,
    Workers,
    Schedulers,
    Forceschedulers,
    Builds,
    Buildrequests,
    Buildsets,
    Steps,
    Logs,
    Changes,
    Sourcestamps,
}

/// What a field holds: how its values in a query string are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holds {
    Int,
    /// Seconds since the epoch.
    Time,
    Bool,
    Text,
    Ints,
    Texts,
    /// Anything else; a filter's value is a number or truth value if it reads as one.
    Json,
}

pub type Field = (&'static str, Holds);

/// Where rows come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Home {
    Memory,
    Table(Resource),
}

use Holds::{Bool, Int, Ints, Json, Text, Texts, Time};
use Kind::{Builders, Buildrequests, Builds, Buildsets, Changes, Forceschedulers, Logs, Masters, Schedulers, Sourcestamps, Steps, Workers};

/// The kinds that a path may begin with.
pub const TOP: &[Kind] =
    &[Builders, Buildrequests, Builds, Buildsets, Changes, Forceschedulers, Logs, Masters, Schedulers, Sourcestamps, Steps, Workers];

/// What else may end a path, below the row it belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tail {
    /// `{name: [value, source]}`, as one row.
    Properties,
    /// One row per property.
    PropertyList,
    Contents,
    Raw,
    RawInline,
    /// A list that is known to be empty: what no part of this master makes.
    Nothing(&'static str),
}

impl Kind {
    /// The name in paths and answers.
    pub fn plural(self) -> &'static str {
        match self {
            Masters => "masters",
            Builders => "builders",
            Workers => "workers",
            Schedulers => "schedulers",
            Forceschedulers => "forceschedulers",
            Builds => "builds",
            Buildrequests => "buildrequests",
            Buildsets => "buildsets",
            Steps => "steps",
            Logs => "logs",
            Changes => "changes",
            Sourcestamps => "sourcestamps",
        }
    }

    /// One of them, for people and for `application.spec`.
    pub fn singular(self) -> &'static str {
        self.plural().trim_end_matches('s')
    }

    /// The field that tells rows apart.
    pub fn key(self) -> &'static str {
        match self {
            Masters => "masterid",
            Builders => "builderid",
            Workers => "workerid",
            Schedulers => "schedulerid",
            Forceschedulers => "name",
            Builds => "buildid",
            Buildrequests => "buildrequestid",
            Buildsets => "bsid",
            Steps => "stepid",
            Logs => "logid",
            Changes => "changeid",
            Sourcestamps => "ssid",
        }
    }

    /// The fields that may stand in a path below `parent`: the first for a number, the second for a name.
    pub fn path_keys(self, parent: Option<Kind>) -> (Option<&'static str>, Option<&'static str>) {
        match (self, parent) {
            (Builds, Some(Builders)) => (Some("number"), None),
            (Steps, Some(Builds)) => (Some("number"), Some("name")),
            (Logs, Some(Steps)) => (None, Some("slug")),
            // a list only: the row is found under its own name
            (Builds | Buildrequests | Changes | Forceschedulers, Some(_)) => (None, None),
            (Builders | Workers, _) => (Some(self.key()), Some("name")),
            (Forceschedulers, None) => (None, Some("name")),
            _ => (Some(self.key()), None),
        }
    }

    pub fn home(self) -> Home {
        match self {
            Masters | Builders | Workers | Schedulers | Forceschedulers => Home::Memory,
            Builds => Home::Table(Resource::Builds),
            Buildrequests => Home::Table(Resource::Buildrequests),
            Buildsets => Home::Table(Resource::Buildsets),
            Steps => Home::Table(Resource::Steps),
            Logs => Home::Table(Resource::Logs),
            Changes => Home::Table(Resource::Changes),
            Sourcestamps => Home::Table(Resource::Sourcestamps),
        }
    }

    /// The kinds whose rows are listed below a row of this kind.
    pub fn children(self) -> &'static [Kind] {
        match self {
            Masters => &[Builders, Workers, Schedulers],
            Builders => &[Builds, Buildrequests, Forceschedulers, Masters, Workers],
            Workers | Buildrequests => &[Builds],
            Builds => &[Changes, Steps],
            Steps => &[Logs],
            Changes => &[Builds],
            Sourcestamps => &[Changes],
            Schedulers | Forceschedulers | Buildsets | Logs => &[],
        }
    }

    /// What else ends a path below a row of this kind.
    pub fn tails(self) -> &'static [(&'static str, Tail)] {
        match self {
            Builds => &[
                ("properties", Tail::Properties),
                ("property_list", Tail::PropertyList),
                ("data", Tail::Nothing("build_data")),
                ("triggered_builds", Tail::Nothing("builds")),
                ("test_result_sets", Tail::Nothing("test_result_sets")),
            ],
            Buildsets => &[("properties", Tail::Properties), ("properties_list", Tail::PropertyList)],
            Changes => &[("properties_list", Tail::PropertyList)],
            Logs => &[("contents", Tail::Contents), ("raw", Tail::Raw), ("raw_inline", Tail::RawInline)],
            _ => &[],
        }
    }

    /// The calls that a POST to one row may make.
    pub fn methods(self) -> &'static [&'static str] {
        match self {
            Builds => &["stop", "rebuild"],
            Buildrequests => &["cancel", "set_priority"],
            Forceschedulers => &["force"],
            Workers => &["pause", "unpause", "stop", "kill"],
            _ => &[],
        }
    }

    pub fn fields(self) -> &'static [Field] {
        match self {
            Masters => &[("masterid", Int), ("name", Text), ("active", Bool), ("last_active", Time)],
            Builders => &[
                ("builderid", Int),
                ("name", Text),
                ("masterids", Ints),
                ("tags", Texts),
                ("description", Text),
                ("description_format", Text),
                ("description_html", Text),
                ("projectid", Int),
            ],
            Workers => &[
                ("workerid", Int),
                ("name", Text),
                ("connected_to", Json),
                ("configured_on", Json),
                ("workerinfo", Json),
                ("paused", Bool),
                ("pause_reason", Text),
                ("attach_error", Text),
                ("graceful", Bool),
            ],
            Schedulers => &[("schedulerid", Int), ("name", Text), ("enabled", Bool), ("master", Json)],
            Forceschedulers => {
                &[("name", Text), ("button_name", Text), ("label", Text), ("builder_names", Texts), ("enabled", Bool), ("all_fields", Json)]
            }
            Builds => &[
                ("buildid", Int),
                ("number", Int),
                ("builderid", Int),
                ("buildrequestid", Int),
                ("workerid", Int),
                ("masterid", Int),
                ("started_at", Time),
                ("locks_duration_s", Int),
                ("complete", Bool),
                ("complete_at", Time),
                ("state_string", Text),
                ("results", Int),
                ("properties", Json),
            ],
            Buildrequests => &[
                ("buildrequestid", Int),
                ("buildsetid", Int),
                ("builderid", Int),
                ("priority", Int),
                ("claimed", Bool),
                ("claimed_at", Time),
                ("claimed_by_masterid", Int),
                ("complete", Bool),
                ("complete_at", Time),
                ("results", Int),
                ("submitted_at", Time),
                ("waited_for", Bool),
                ("properties", Json),
            ],
            Buildsets => &[
                ("bsid", Int),
                ("external_idstring", Text),
                ("submitted_at", Time),
                ("complete", Bool),
                ("complete_at", Time),
                ("results", Int),
                ("reason", Text),
                ("rebuilt_buildid", Int),
                ("parent_buildid", Int),
                ("parent_relationship", Text),
                ("sourcestamps", Json),
            ],
            Steps => &[
                ("stepid", Int),
                ("number", Int),
                ("name", Text),
                ("buildid", Int),
                ("started_at", Time),
                ("locks_acquired_at", Time),
                ("complete", Bool),
                ("complete_at", Time),
                ("state_string", Text),
                ("results", Int),
                ("urls", Json),
                ("hidden", Bool),
            ],
            Logs => {
                &[("logid", Int), ("name", Text), ("slug", Text), ("stepid", Int), ("complete", Bool), ("num_lines", Int), ("type", Text)]
            }
            Changes => &[
                ("changeid", Int),
                ("author", Text),
                ("committer", Text),
                ("comments", Text),
                ("branch", Text),
                ("category", Text),
                ("codebase", Text),
                ("files", Texts),
                ("parent_changeids", Ints),
                ("project", Text),
                ("properties", Json),
                ("repository", Text),
                ("revision", Text),
                ("revlink", Text),
                ("sourcestamp", Json),
                ("when_timestamp", Int),
            ],
            Sourcestamps => &[
                ("ssid", Int),
                ("branch", Text),
                ("revision", Text),
                ("project", Text),
                ("repository", Text),
                ("codebase", Text),
                ("patch", Json),
                ("created_at", Time),
            ],
        }
    }
}

/// What `field`, filters and order may name: the declared fields, and those that rows in memory have besides.
pub struct Schema<'a> {
    /// For messages.
    pub of: &'a str,
    pub fields: Vec<Field>,
    pub more: Vec<&'a str>,
    /// Any name will do.
    pub open: bool,
}

impl<'a> Schema<'a> {
    pub fn of(kind: Kind) -> Schema<'a> {
        Schema { of: kind.plural(), fields: kind.fields().to_vec(), more: vec![], open: false }
    }

    pub fn open(of: &'a str) -> Schema<'a> {
        Schema { of, fields: vec![], more: vec![], open: true }
    }

    pub fn holds(&self, name: &str) -> Option<Holds> {
        let declared = self.fields.iter().find(|(field, _)| *field == name).map(|(_, holds)| *holds);
        declared.or_else(|| (self.open || self.more.contains(&name)).then_some(Json))
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| *name).chain(self.more.iter().copied())
    }
}
