//! Builders, workers and schedulers: which id belongs to which name, for ever. Never forgets a name, configured or not.

use std::collections::HashMap;

use super::sql::{Result, Sql, from_json, json, params, rows};
use super::{Store, Ticket};
use crate::base::{BuilderId, SchedulerId, Timestamp, WorkerId};
use crate::model::WorkerInfo;

/// A builder as the configuration has it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct BuilderRow {
    pub name: String,
    pub description: Option<String>,
    pub description_format: Option<String>,
    pub tags: Vec<String>,
}

/// What is remembered of a worker.
#[derive(Clone, PartialEq, Debug)]
pub struct StoredWorker {
    pub id: WorkerId,
    pub paused: bool,
    pub pause_reason: Option<String>,
    pub last_seen: Option<Timestamp>,
    pub info: WorkerInfo,
}

impl Store {
    /// Writes down the configured builders; the ids of these by name.
    pub async fn sync_builders(&self, builders: &[BuilderRow]) -> Result<HashMap<String, BuilderId>> {
        let builders = builders.to_vec();
        self.engine.write("keeping the builders", move |sql| sync_builders(sql, &builders)).await
    }

    /// Gives new workers an id; what is remembered of each.
    pub async fn sync_workers(&self, names: &[String]) -> Result<HashMap<String, StoredWorker>> {
        let names = names.to_vec();
        self.engine.write("keeping the workers", move |sql| sync_workers(sql, &names)).await
    }

    pub async fn sync_schedulers(&self, names: &[String]) -> Result<HashMap<String, SchedulerId>> {
        let names = names.to_vec();
        let work = move |sql: &mut dyn Sql| {
            let known = rows(sql, "SELECT name, id FROM schedulers", &[], |row| Ok((row.string(0)?, row.int(1)?)))?;
            let mut ids = Known::new(known);
            for name in &names {
                if let (id, true) = ids.id(name) {
                    sql.execute("INSERT INTO schedulers (id, name) VALUES ($1, $2)", params![id, name])?;
                }
            }
            Ok(ids.only(&names).map(|(name, id)| (name, SchedulerId(id))).collect())
        };
        self.engine.write("keeping the schedulers", work).await
    }

    pub fn worker_attached(&self, id: WorkerId, info: &WorkerInfo, now: Timestamp) -> Ticket {
        // The environment is not kept: it may hold secrets, and the worker tells it again when it attaches.
        let info = json(&WorkerInfo { environ: Default::default(), ..info.clone() });
        let work = move |sql: &mut dyn Sql| {
            let info = info.as_ref().map_err(Clone::clone)?;
            sql.execute("UPDATE workers SET last_seen = $1, info = $2 WHERE id = $3", params![now, info, id]).map(drop)
        };
        self.engine.queue(format!("worker {id} attached"), work, None)
    }

    pub fn worker_seen(&self, id: WorkerId, now: Timestamp) -> Ticket {
        let work = move |sql: &mut dyn Sql| sql.execute("UPDATE workers SET last_seen = $1 WHERE id = $2", params![now, id]).map(drop);
        self.engine.queue(format!("worker {id} seen"), work, None)
    }

    pub fn set_worker_paused(&self, id: WorkerId, paused: bool, reason: Option<&str>) -> Ticket {
        let reason = reason.filter(|_| paused).map(str::to_owned);
        let work = move |sql: &mut dyn Sql| {
            let values = params![paused, reason.as_deref(), id];
            sql.execute("UPDATE workers SET paused = $1, pause_reason = $2 WHERE id = $3", values).map(drop)
        };
        self.engine.queue(format!("pausing worker {id}"), work, None)
    }
}

/// Ids by name, and the next free one.
struct Known {
    ids: HashMap<String, i64>,
    next: i64,
}

impl Known {
    fn new(known: Vec<(String, i64)>) -> Known {
        let next = known.iter().map(|(_, id)| id + 1).max().unwrap_or(1);
        Known { ids: known.into_iter().collect(), next }
    }

    /// The id of a name; whether it is new.
    fn id(&mut self, name: &str) -> (i64, bool) {
        if let Some(&id) = self.ids.get(name) {
            return (id, false);
        }
        let id = self.next;
        self.next += 1;
        self.ids.insert(name.to_owned(), id);
        (id, true)
    }

    fn only<'a>(&'a self, names: &'a [String]) -> impl Iterator<Item = (String, i64)> + 'a {
        names.iter().filter_map(|name| self.ids.get(name).map(|&id| (name.clone(), id)))
    }
}

fn sync_builders(sql: &mut dyn Sql, builders: &[BuilderRow]) -> Result<HashMap<String, BuilderId>> {
    let mut known = HashMap::new();
    sql.query("SELECT id, name, description, description_format, tags FROM builders", &[], &mut |row| {
        let builder = (row.opt_text(2)?.map(str::to_owned), row.opt_text(3)?.map(str::to_owned), row.string(4)?);
        known.insert(row.string(1)?, (row.int(0)?, builder));
        Ok(())
    })?;
    let mut ids = Known::new(known.iter().map(|(name, (id, _))| (name.clone(), *id)).collect());
    let mut answer = HashMap::with_capacity(builders.len());
    for builder in builders {
        let (id, _) = ids.id(&builder.name);
        answer.insert(builder.name.clone(), BuilderId(id));
        let wanted = (builder.description.clone(), builder.description_format.clone(), json(&builder.tags)?);
        if known.get(&builder.name).is_some_and(|(_, stored)| *stored == wanted) {
            continue;
        }
        let (description, format, tags) = wanted;
        sql.execute(
            "INSERT INTO builders (id, name, description, description_format, tags) VALUES ($1, $2, $3, $4, $5)
                ON CONFLICT (id) DO UPDATE SET description = excluded.description,
                description_format = excluded.description_format, tags = excluded.tags",
            params![id, &builder.name, description, format, tags],
        )?;
    }
    Ok(answer)
}

fn sync_workers(sql: &mut dyn Sql, names: &[String]) -> Result<HashMap<String, StoredWorker>> {
    let known = rows(sql, "SELECT name, id, paused, pause_reason, last_seen, info FROM workers", &[], |row| {
        let worker = StoredWorker {
            id: WorkerId(row.int(1)?),
            paused: row.int(2)? != 0,
            pause_reason: row.opt_text(3)?.map(str::to_owned),
            last_seen: row.time(4)?,
            info: from_json(row.text(5)?)?,
        };
        Ok((row.string(0)?, worker))
    })?;
    let mut ids = Known::new(known.iter().map(|(name, worker)| (name.clone(), worker.id.0)).collect());
    let mut known: HashMap<String, StoredWorker> = known.into_iter().collect();
    let mut answer = HashMap::with_capacity(names.len());
    for name in names {
        let (id, new) = ids.id(name);
        if new {
            let info = WorkerInfo::default();
            let values = params![id, name, false, json(&info)?];
            sql.execute("INSERT INTO workers (id, name, paused, info) VALUES ($1, $2, $3, $4)", values)?;
            let worker = StoredWorker { id: WorkerId(id), paused: false, pause_reason: None, last_seen: None, info };
            answer.insert(name.clone(), worker);
        } else if let Some(worker) = known.remove(name) {
            answer.insert(name.clone(), worker);
        }
    }
    Ok(answer)
}
