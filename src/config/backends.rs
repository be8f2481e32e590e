//! `LatentWorker`: a worker whose machine a class of the file starts and stops. Calls none of its methods.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::arguments::{Arguments, Preset, Reader, arguments};
use super::assemble::{Assembly, Parsed};
use super::class::{ClassDecl, Kind};
use super::convert::{FromValue, Whole};
use super::latent::{self, BackendSpec, LatentCommon, LatentSpec};
use super::spec::{Password, WorkerKind};
use super::template::Template;
use super::value::{FnRef, Object, OwnClass, Value};
use super::workers::{self, WorkerCommon, WorkerName};

arguments! {
    LatentWorkerArgs {
        include latent: LatentCommon;
        [1] "name" | "slavename" name: WorkerName, "The name it logs in with.", Identity;
        [2] "password" password: Option<Password> = None => "None", "The password it logs in with; None: a fresh one for each machine.", Drain;
    }
}

pub(super) fn declare(list: &mut Vec<ClassDecl>) {
    let doc = "A worker on a machine that methods of a class of your own start and stop: `LatentWorker:extend(\"Name\")`.";
    let class = ClassDecl::new::<LatentWorkerArgs>("LatentWorker", Kind::Worker, build, doc);
    let class = class.old(&["AbstractLatentWorker", "AbstractLatentBuildSlave"]);
    // The time until its worker must have attached.
    list.push(class.presets(&[("missing_timeout", Preset::Int(1200))]));
}

/// What starts and stops machines in the words of a file: its methods, and what they are told.
#[derive(Clone, PartialEq, Debug)]
pub struct LuaBackendSpec {
    /// The class of the file.
    pub class: String,
    pub start: FnRef,
    pub stop: FnRef,
    pub check: Option<FnRef>,
    pub list: Option<FnRef>,
    /// What the arguments that the class declares were given.
    pub args: BTreeMap<String, Value>,
    /// Those of them that differ from build to build.
    pub rendered: BTreeMap<String, Template>,
    /// A handle says where its machine is, whatever the arguments are.
    pub stops_by_handle: bool,
}

impl LuaBackendSpec {
    /// An argument that differs from build to build.
    pub(super) fn differs(&self) -> Option<String> {
        self.rendered.iter().find(|(_, template)| template.differs()).map(|(name, _)| name.clone())
    }
}

fn build(reader: &mut Reader, object: &Object, _: &mut Assembly) -> Option<Parsed> {
    let args = LatentWorkerArgs::read(reader)?;
    worker(reader, object, args.latent, args.name, args.password)
}

/// A latent worker whose methods are written in Lua, in a class of the file or of the host.
pub(super) fn worker(
    reader: &mut Reader,
    object: &Object,
    latent: LatentCommon,
    name: WorkerName,
    password: Option<Password>,
) -> Option<Parsed> {
    let backend = backend(reader, object)?;
    let differs = backend.differs();
    let (mut latent, mut common) = latent::read(reader, latent, BackendSpec::Lua(Arc::new(backend)))?;
    if let Some(name) = differs {
        one_build_each(reader, object, &name, &mut latent, &mut common);
    }
    Some(workers::spec(reader, object, common, name, password, WorkerKind::Latent(Arc::new(latent))))
}

/// A build would otherwise run on a machine that was made for another one: `name` is an argument that differs from build to build.
pub(super) fn one_build_each(reader: &mut Reader, object: &Object, name: &str, latent: &mut LatentSpec, common: &mut WorkerCommon) {
    let given = |name: &str| object.args.named.contains_key(name);
    let kept = given("build_wait_timeout") && latent.build_wait_timeout != Some(Duration::ZERO);
    let shared = common.max_builds.is_some_and(|n| n.0 > 1);
    for (said, _) in [("build_wait_timeout", kept), ("max_builds", shared)].iter().filter(|(_, without_effect)| *without_effect) {
        reader.warn(format!("'{said}' has no effect: '{name}' differs from build to build, so that each gets a machine of its own"));
    }
    if latent.pool.is_some_and(|pool| pool.min > 0) {
        reader.wrong(format!("pool: 'min' keeps machines that no build asked for, and '{name}' differs from build to build"));
    }
    latent.build_wait_timeout = Some(Duration::ZERO);
    common.max_builds = Some(Whole(1));
}

fn backend(reader: &mut Reader, object: &Object) -> Option<LuaBackendSpec> {
    let Some(own) = &object.own else {
        reader.wrong(
            "starts nothing by itself: write LatentWorker:extend(\"Name\") with start_instance and stop_instance, and use that class",
        );
        return None;
    };
    spec(reader, object, own)
}

/// What a class says of itself, or every mistake in it.
pub(super) fn spec(reader: &mut Reader, object: &Object, own: &OwnClass) -> Option<LuaBackendSpec> {
    let class = object.custom_class.as_ref().unwrap_or(&object.class);
    let method = |name: &str| own.methods.get(name).cloned();
    let (start, stop, list) = (method("start_instance"), method("stop_instance"), method("list_instances"));
    if start.is_none() {
        reader.wrong(format!("has no start_instance: write function {class}:start_instance(build) … return {{ handle = … }} end"));
    }
    if stop.is_none() {
        reader.wrong(format!("has no stop_instance: write function {class}:stop_instance(handle, fast) … end"));
    }
    if list.is_none() && start.is_some() && stop.is_some() {
        reader.warn_once(format!(
            "{class} has no list_instances: a machine whose start was interrupted (the master died, the call failed half way) can't be \
             found again, so start_instance is called again with the same self.launch_id, and what is left over is never stopped"
        ));
    }
    let mut rendered = BTreeMap::new();
    for name in &own.rendered {
        let Some(value) = own.args.named.get(name) else { continue };
        match Template::from_value(value) {
            Ok(template) => rendered.insert(name.clone(), template).map_or((), drop),
            Err(wrong) => reader.wrong(format!("'{name}' {wrong}")),
        }
    }
    Some(LuaBackendSpec {
        class: class.clone(),
        start: start?,
        stop: stop?,
        check: method("check_instance"),
        list,
        args: own.args.named.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        rendered,
        stops_by_handle: own.stops_by_handle,
    })
}
