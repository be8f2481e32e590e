//! What every latent worker is told besides a worker's own: when its machine is stopped, how many there are of it.

use std::sync::Arc;
use std::time::Duration;

use super::arguments::{Arguments, Reader, arguments};
use super::backends::LuaBackendSpec;
use super::convert::{FromValue, Settings, Whole, Wrong};
use super::ec2::Ec2Spec;
use super::lua_type::LuaType;
use super::spec::{WorkerKind, WorkerSpec};
use super::value::Value;
use super::workers::WorkerCommon;

/// A pool that is larger is a slip.
const LARGEST_POOL: i64 = 1000;

arguments! {
    /// What every latent worker takes.
    LatentCommon {
        include common: WorkerCommon;
        "build_wait_timeout" build_wait_timeout: Wait = Wait(Some(Duration::from_secs(600))) => "600", "How long its machine is kept after its last build; 0: it is stopped at once; below 0: it is never stopped for that.", AtOnce;
        "check_instance_interval" check_instance_interval: Duration = Duration::from_secs(10) => "10", "How often a machine whose worker has not attached yet is asked for.", AtOnce;
        "max_lifetime" max_lifetime: Option<Duration> = None => "None", "The age at which a machine takes no more builds and is stopped.", AtOnce;
        "pool" pool: Settings = Settings::default() => "None", "`{ max = 20, min = 2 }`: 20 workers NAME-1 to NAME-20 of this definition, 2 of which are kept running; `workernames` may name NAME.", AtOnce;
    }
}

arguments! {
    PoolArgs {
        "max" max: Whole<1>, "How many workers there are.", AtOnce;
        "min" min: Whole<0> = Whole(0) => "0", "How many of them are kept running without a build.", AtOnce;
    }
}

/// When the machine of a latent worker starts and stops, and which machine that is.
#[derive(Clone, PartialEq, Debug)]
pub struct LatentSpec {
    /// How long it is kept after its last build; none: it is never stopped for that.
    pub build_wait_timeout: Option<Duration>,
    pub check_instance_interval: Duration,
    pub max_lifetime: Option<Duration>,
    /// One of those that are kept running without a build.
    pub warm: bool,
    /// It stands for that many workers; none of the workers of a whole configuration does any more.
    pub pool: Option<Pool>,
    pub backend: BackendSpec,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pool {
    pub max: u32,
    pub min: u32,
}

/// What starts the machine.
#[derive(Clone, PartialEq, Debug)]
pub enum BackendSpec {
    Ec2(Arc<Ec2Spec>),
    /// Methods of a class of the file.
    Lua(Arc<LuaBackendSpec>),
}

/// The options of a latent worker, and those of a worker.
pub(super) fn read(reader: &mut Reader, common: LatentCommon, backend: BackendSpec) -> Option<(LatentSpec, WorkerCommon)> {
    if common.check_instance_interval < Duration::from_secs(1) {
        reader.wrong("'check_instance_interval' must be a second or more");
    }
    if common.max_lifetime.is_some_and(|d| d < Duration::from_secs(60)) {
        reader.wrong("'max_lifetime' must be a minute or more");
    }
    if common.common.missing_timeout.is_none_or(|d| d.is_zero()) {
        reader.wrong("'missing_timeout' must be longer than 0: a machine whose worker never attaches is to be stopped some time");
    }
    let pool = pool(reader, &common.pool)?;
    let spec = LatentSpec {
        build_wait_timeout: common.build_wait_timeout.0,
        check_instance_interval: common.check_instance_interval,
        max_lifetime: common.max_lifetime,
        warm: false,
        pool,
        backend,
    };
    Some((spec, common.common))
}

fn pool(reader: &mut Reader, settings: &Settings) -> Option<Option<Pool>> {
    if settings.0.items.is_empty() && settings.0.named.is_empty() {
        return Some(None);
    }
    let mut inner = Reader::of_settings(&PoolArgs::declared(), &settings.0);
    let args = PoolArgs::read(&mut inner);
    let whole = inner.mistakes.is_empty();
    reader.mistakes.extend(inner.mistakes.into_iter().map(|mut fault| {
        fault.text = format!("pool: {}", fault.text);
        fault
    }));
    let args = args.filter(|_| whole)?;
    if args.max.0 > LARGEST_POOL {
        reader.wrong(format!("pool: 'max' must not be more than {LARGEST_POOL}, got {}", args.max.0));
        return None;
    }
    if args.min.0 > args.max.0 {
        reader.wrong(format!("pool: 'min' ({}) must not be more than 'max' ({})", args.min.0, args.max.0));
        return None;
    }
    let small = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
    Some(Some(Pool { max: small(args.max.0), min: small(args.min.0) }))
}

/// The workers that a definition stands for: itself, or those of its pool.
pub(super) fn members(worker: &Arc<WorkerSpec>) -> Vec<Arc<WorkerSpec>> {
    let WorkerKind::Latent(latent) = &worker.kind else { return vec![worker.clone()] };
    let Some(pool) = latent.pool else { return vec![worker.clone()] };
    let member = |number: u32| {
        let latent = LatentSpec { pool: None, warm: number <= pool.min, ..(**latent).clone() };
        Arc::new(WorkerSpec { name: format!("{}-{number}", worker.name), kind: WorkerKind::Latent(Arc::new(latent)), ..(**worker).clone() })
    };
    (1..=pool.max).map(member).collect()
}

/// A time, or none where it is below 0.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Wait(Option<Duration>);

impl FromValue for Wait {
    fn expected() -> String {
        "a number of seconds or a duration such as \"10m\" (below 0: for ever)".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("number").or(LuaType::Name("string"))
    }

    fn from_value(value: &Value) -> Result<Wait, Wrong> {
        let forever = match value {
            Value::Int(i) => *i < 0,
            Value::Float(x) => *x < 0.0,
            _ => false,
        };
        if forever {
            return Ok(Wait(None));
        }
        Duration::from_value(value).map(|d| Wait(Some(d))).map_err(|_| Wrong::must(Self::expected(), value))
    }
}
