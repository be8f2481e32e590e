//! `Worker` and `LocalWorker`: what they are told, and what they are by default.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::arguments::{Arguments, Reader, arguments};
use super::assemble::{Assembly, Parsed};
use super::class::{ClassDecl, Kind};
use super::convert::{Dict, FromValue, OneOrMany, Whole, Wrong};
use super::lua_type::LuaType;
use super::names::is_identifier;
use super::reporters::{Address, addresses};
use super::spec::{Password, WorkerKind, WorkerSpec};
use super::value::{Object, Value};
use super::without_effect::Locks;

const LONGEST_NAME: usize = 50;

/// Names that Buildbot keeps for other logins on the same port.
const RESERVED: [&str; 3] = ["debug", "change", "status"];

arguments! {
    /// What every kind of worker takes.
    WorkerCommon {
        "max_builds" max_builds: Option<Whole<1>> = None => "None", "Builds at the same time over all builders; None: no limit.", AtOnce;
        "notify_on_missing" notify_on_missing: OneOrMany<Address> = OneOrMany(Vec::new()) => "{}", "Who is told by mail when it is missing.", AtOnce;
        "notify_on_return" notify_on_return: bool = false => "false", "Those who were told that it is missing are told when it is back.", AtOnce;
        "owner" owner: OneOrMany<Address> = OneOrMany(Vec::new()) => "{}", "Whose machine it is: told of failures there and of its absence by a MailNotifier with sendToWorkerOwners.", AtOnce;
        "missing_timeout" missing_timeout: Option<Duration> = Some(Duration::from_secs(3600)) => "3600", "How long it may be away before it is called missing.", AtOnce;
        "properties" properties: Dict = Dict::default() => "{}", "Properties of the builds that run on it.", NextBuild;
        "defaultProperties" default_properties: Dict = Dict::default() => "{}", "The same, where a build has no such property yet.", NextBuild;
        "locks" _locks: Locks = Locks => "None", "Locks that each build on it takes.";
        "keepalive_interval" keepalive_interval: Option<Duration> = Some(Duration::from_secs(3600)) => "3600", "How often an idle connection is asked for a sign of life; None: never.", AtOnce;
        "machine_name" machine_name: Option<String> = None => "None", "The machine that it runs on.", AtOnce;
        "quarantine_initial_timeout" quarantine_initial_timeout: Duration = Duration::from_secs(10) => "10", "How long it rests after a build that could not start; doubles each time.", AtOnce;
        "quarantine_max_timeout" quarantine_max_timeout: Duration = Duration::from_secs(3600) => "3600", "The longest such rest.", AtOnce;
    }
}

arguments! {
    WorkerArgs {
        include common: WorkerCommon;
        [1] "name" | "slavename" name: WorkerName, "The name it logs in with.", Identity;
        [2] "password" password: Option<Password>, "The password it logs in with; None: it can't. One that is a util.Secret is fetched when the master starts, again when the worker comes if that failed, and hidden in builds if it has at least four characters; one that is written here is not.", Drain;
    }
}

arguments! {
    LocalWorkerArgs {
        include common: WorkerCommon;
        [1] "name" | "slavename" name: WorkerName, "Its name.", Identity;
        [2] "workdir" workdir: Option<String> = None => "None", "Its folder, below the master's; default: workers/NAME.", Drain;
    }
}

pub(super) fn declare(list: &mut Vec<ClassDecl>) {
    list.push(ClassDecl::new::<WorkerArgs>("Worker", Kind::Worker, worker, "A worker that connects by itself.").old(&["BuildSlave"]));
    list.push(
        ClassDecl::new::<LocalWorkerArgs>("LocalWorker", Kind::Worker, local_worker, "A worker inside the master. What its commands leave running when the master is killed is ended at the next start; a program whose environment lacks `BUILDMOON_OWNER` is not.")
            .old(&["LocalBuildSlave"]),
    );
}

fn worker(reader: &mut Reader, object: &Object, _: &mut Assembly) -> Option<Parsed> {
    let args = WorkerArgs::read(reader)?;
    Some(spec(reader, object, args.common, args.name, args.password, WorkerKind::Remote))
}

fn local_worker(reader: &mut Reader, object: &Object, _: &mut Assembly) -> Option<Parsed> {
    let args = LocalWorkerArgs::read(reader)?;
    Some(spec(reader, object, args.common, args.name, None, WorkerKind::Local { workdir: args.workdir.map(PathBuf::from) }))
}

pub(super) fn spec(
    reader: &mut Reader,
    object: &Object,
    common: WorkerCommon,
    name: WorkerName,
    password: Option<Password>,
    kind: WorkerKind,
) -> Parsed {
    // Said, since a setting without effect is worse than none.
    if let Some(machine) = &common.machine_name {
        reader.wrong(format!("machine_name names '{machine}', which is no machine (machines are not supported yet)"));
    }
    if matches!(kind, WorkerKind::Local { .. }) && !common.notify_on_missing.0.is_empty() {
        reader.warn("'notify_on_missing' has no effect: a worker inside the master is never missing");
    }
    if let WorkerKind::Latent(latent) = &kind
        && let Some(pool) = latent.pool
    {
        let last = format!("{}-{}", name.0, pool.max);
        if last.chars().count() > LONGEST_NAME {
            reader.wrong(format!("pool: the name of its last worker, '{last}', is longer than {LONGEST_NAME} characters"));
        }
    }
    let some = |d: Option<Duration>| d.filter(|d| !d.is_zero());
    Parsed::Worker(Arc::new(WorkerSpec {
        name: name.0,
        password,
        kind,
        max_builds: common.max_builds.map(|n| u32::try_from(n.0).unwrap_or(u32::MAX)),
        properties: common.properties.0,
        default_properties: common.default_properties.0,
        keepalive_interval: some(common.keepalive_interval),
        notify_on_missing: addresses(common.notify_on_missing),
        notify_on_return: common.notify_on_return,
        owners: addresses(common.owner),
        missing_timeout: some(common.missing_timeout),
        machine_name: common.machine_name,
        quarantine_initial_timeout: common.quarantine_initial_timeout,
        quarantine_max_timeout: common.quarantine_max_timeout,
        place: object.place.clone(),
    }))
}

/// A name that a worker may have.
#[derive(Clone, Debug)]
pub(super) struct WorkerName(String);

impl FromValue for WorkerName {
    fn expected() -> String {
        "text".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("string")
    }

    fn from_value(value: &Value) -> Result<WorkerName, Wrong> {
        let name = String::from_value(value)?;
        if RESERVED.contains(&name.as_str()) {
            return Err(Wrong::says(format!("can't be \"{name}\": that name is reserved")));
        }
        is_identifier(&name, LONGEST_NAME)?;
        Ok(WorkerName(name))
    }
}
