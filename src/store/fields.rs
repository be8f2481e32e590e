//! Which fields each resource of the API has, and where each comes from: one table per resource, from which selection,
//! filters, order, paging and the row as JSON follow. Never runs a statement.

use serde_json::{Map, Number, Value};

use super::StoreError;
use super::sql::{Result, RowRef, from_json};
use crate::base::suggest;
use crate::model::{Properties, Property};

/// What can be listed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Resource {
    Builders,
    Builds,
    Buildrequests,
    Buildsets,
    /// None yet: answers an empty list.
    Changes,
    Logs,
    Schedulers,
    Sourcestamps,
    Steps,
    /// What is remembered of workers; who is attached is known elsewhere.
    Workers,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Int,
    Bool,
    Text,
    /// Milliseconds in the table, seconds in the API.
    Time,
    /// JSON as it is; no filter but `null`.
    Json,
    /// JSON array of texts.
    List,
    /// Properties as the API shows them; only those that are asked for.
    Props,
}

#[derive(Debug)]
pub(super) struct Field {
    pub name: &'static str,
    pub sql: &'static str,
    pub kind: Kind,
}

const fn field(name: &'static str, sql: &'static str, kind: Kind) -> Field {
    Field { name, sql, kind }
}

pub(super) struct Table {
    /// The resource's name, as messages have it.
    pub name: &'static str,
    pub from: &'static str,
    pub fields: &'static [Field],
}

use Kind::*;

static BUILDERS: Table = Table {
    name: "builders",
    from: "builders",
    fields: &[
        field("builderid", "id", Int),
        field("name", "name", Text),
        field("description", "description", Text),
        field("description_format", "description_format", Text),
        field("description_html", "NULL", Text),
        field("masterids", "'[1]'", Json),
        field("projectid", "NULL", Int),
        field("tags", "tags", List),
    ],
};

static BUILDS: Table = Table {
    name: "builds",
    from: "builds",
    fields: &[
        field("buildid", "id", Int),
        field("number", "number", Int),
        field("builderid", "builder_id", Int),
        field("buildrequestid", "request_id", Int),
        field("workerid", "worker_id", Int),
        field("masterid", "1", Int),
        field("started_at", "started_at", Time),
        field("complete", "complete", Bool),
        field("complete_at", "complete_at", Time),
        field("locks_duration_s", "0", Int),
        field("state_string", "state", Text),
        field("results", "results", Int),
        field("properties", "properties", Props),
    ],
};

static BUILDREQUESTS: Table = Table {
    name: "buildrequests",
    from: "requests",
    fields: &[
        field("buildrequestid", "id", Int),
        field("buildsetid", "buildset_id", Int),
        field("builderid", "builder_id", Int),
        field("priority", "priority", Int),
        field("claimed", "(claimed_at IS NOT NULL)", Bool),
        field("claimed_at", "claimed_at", Time),
        field("claimed_by_masterid", "(CASE WHEN claimed_at IS NULL THEN NULL ELSE 1 END)", Int),
        field("complete", "complete", Bool),
        field("complete_at", "complete_at", Time),
        field("results", "results", Int),
        field("submitted_at", "submitted_at", Time),
        field("waited_for", "0", Bool),
        field("properties", "(SELECT properties FROM buildsets WHERE buildsets.id = requests.buildset_id)", Props),
    ],
};

static BUILDSETS: Table = Table {
    name: "buildsets",
    from: "buildsets",
    fields: &[
        field("bsid", "id", Int),
        field("external_idstring", "external_idstring", Text),
        field("submitted_at", "submitted_at", Time),
        field("complete", "complete", Bool),
        field("complete_at", "complete_at", Time),
        field("results", "results", Int),
        field("reason", "reason", Text),
        field("rebuilt_buildid", "rebuilt_buildid", Int),
        field("parent_buildid", "NULL", Int),
        field("parent_relationship", "NULL", Text),
        field("sourcestamps", "sourcestamps", Json),
    ],
};

static CHANGES: Table = Table {
    name: "changes",
    from: "(SELECT 0 AS id WHERE 1 = 0) AS none_yet",
    fields: &[
        field("changeid", "id", Int),
        field("author", "NULL", Text),
        field("committer", "NULL", Text),
        field("branch", "NULL", Text),
        field("category", "NULL", Text),
        field("codebase", "NULL", Text),
        field("comments", "NULL", Text),
        field("files", "NULL", List),
        field("parent_changeids", "NULL", Json),
        field("project", "NULL", Text),
        field("properties", "NULL", Props),
        field("repository", "NULL", Text),
        field("revision", "NULL", Text),
        field("revlink", "NULL", Text),
        field("sourcestamp", "NULL", Json),
        field("when_timestamp", "NULL", Time),
    ],
};

static LOGS: Table = Table {
    name: "logs",
    from: "logs",
    fields: &[
        field("logid", "id", Int),
        field("name", "name", Text),
        field("slug", "slug", Text),
        field("stepid", "step_id", Int),
        field("complete", "complete", Bool),
        field("num_lines", "num_lines", Int),
        field("type", "kind", Text),
    ],
};

static SCHEDULERS: Table = Table {
    name: "schedulers",
    from: "schedulers",
    fields: &[field("schedulerid", "id", Int), field("name", "name", Text), field("enabled", "1", Bool), field("master", "NULL", Json)],
};

static SOURCESTAMPS: Table = Table {
    name: "sourcestamps",
    from: "sourcestamps",
    fields: &[
        field("ssid", "id", Int),
        field("branch", "branch", Text),
        field("revision", "revision", Text),
        field("project", "project", Text),
        field("repository", "repository", Text),
        field("codebase", "codebase", Text),
        field("patch", "NULL", Json),
        field("created_at", "created_at", Time),
    ],
};

static STEPS: Table = Table {
    name: "steps",
    from: "steps",
    fields: &[
        field("stepid", "id", Int),
        field("number", "number", Int),
        field("name", "name", Text),
        field("buildid", "build_id", Int),
        field("started_at", "started_at", Time),
        field("locks_acquired_at", "started_at", Time),
        field("complete", "complete", Bool),
        field("complete_at", "complete_at", Time),
        field("state_string", "state", Text),
        field("results", "results", Int),
        field("urls", "urls", Json),
        field("hidden", "hidden", Bool),
    ],
};

static WORKERS: Table = Table {
    name: "workers",
    from: "workers",
    fields: &[
        field("workerid", "id", Int),
        field("name", "name", Text),
        field("paused", "paused", Bool),
        field("pause_reason", "pause_reason", Text),
        field("last_seen", "last_seen", Time),
        field("workerinfo", "info", Json),
    ],
};

impl Resource {
    pub(super) fn table(self) -> &'static Table {
        match self {
            Resource::Builders => &BUILDERS,
            Resource::Builds => &BUILDS,
            Resource::Buildrequests => &BUILDREQUESTS,
            Resource::Buildsets => &BUILDSETS,
            Resource::Changes => &CHANGES,
            Resource::Logs => &LOGS,
            Resource::Schedulers => &SCHEDULERS,
            Resource::Sourcestamps => &SOURCESTAMPS,
            Resource::Steps => &STEPS,
            Resource::Workers => &WORKERS,
        }
    }

    /// The names of its fields, in the API's order.
    pub fn fields(self) -> impl Iterator<Item = &'static str> {
        self.table().fields.iter().map(|field| field.name)
    }
}

impl Table {
    pub fn field(&self, name: &str) -> Result<&'static Field>
    where
        Self: 'static,
    {
        let fields: &'static [Field] = self.fields;
        fields.iter().find(|field| field.name == name).ok_or_else(|| {
            let hint = suggest::hint(name, fields.iter().map(|field| field.name));
            StoreError::Query(format!("unknown field '{name}' of {}{hint}", self.name))
        })
    }
}

impl Field {
    /// A column of a row as the API shows it.
    pub fn show(&self, row: &dyn RowRef, column: usize, properties: &[String]) -> Result<Value> {
        Ok(match self.kind {
            Int => row.opt_int(column)?.map_or(Value::Null, Value::from),
            Bool => row.opt_int(column)?.map_or(Value::Null, |value| Value::Bool(value != 0)),
            Text => row.opt_text(column)?.map_or(Value::Null, Value::from),
            Time => row.opt_int(column)?.map_or(Value::Null, api_time),
            Json | List => row.opt_text(column)?.map(from_json).transpose()?.unwrap_or(Value::Null),
            Props => {
                let mut shown: Map<String, Value> = match row.opt_text(column)? {
                    Some(text) if !properties.is_empty() => from_json(text)?,
                    _ => Map::new(),
                };
                if !properties.iter().any(|name| name == "*") {
                    shown.retain(|name, _| properties.contains(name));
                }
                Value::Object(shown)
            }
        })
    }
}

/// Seconds since the epoch: whole ones as whole numbers.
pub(super) fn api_time(milliseconds: i64) -> Value {
    if milliseconds % 1000 == 0 {
        return Value::from(milliseconds / 1000);
    }
    Number::from_f64(milliseconds as f64 / 1000.0).map_or(Value::Null, Value::Number)
}

/// `{name: [value, source]}`, as properties are stored, to properties.
pub(super) fn properties_from_api(text: &str) -> Result<Properties> {
    let stored: std::collections::BTreeMap<String, (Value, String)> = from_json(text)?;
    Ok(Properties(stored.into_iter().map(|(name, (value, source))| (name, Property { value, source })).collect()))
}
