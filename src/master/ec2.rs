//! The backends of `EC2LatentWorker`s: keys are found, user data is rendered, workers of one account and region share what they can.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use crate::base::Secret;
use crate::builds::render::Renderer;
use crate::config::lua_type::LuaType;
use crate::config::user_data::LONGEST;
use crate::config::{Arg, Ec2Spec, FnRef, FromValue, Password, Place, Template, Value, WorkerSpec, Wrong};
use crate::latent::backend::{Backend, Start};
use crate::latent::ec2::api::Ec2Api;
use crate::latent::ec2::backend::{Ec2Backend, Elsewhere};
use crate::latent::ec2::credentials::{self, Keys};
use crate::latent::ec2::handle;
use crate::latent::ec2::keyless::Keyless;
use crate::latent::ec2::region::Region;
use crate::latent::ec2::sdk;
use crate::latent::ec2::settings::{MadeSettings, MadeUserData, Settings};
use crate::lua::{BuildInput, Generation, Loaded};
use crate::model::{Properties, WorkerInfo};
use crate::secrets::{BuildSecrets, SecretSource};
use crate::workers::BoxFuture;
use crate::workers::registry::Registry;

/// Who has this file needs no setting.
const USUAL_FILE: &str = ".ec2/aws_id";

type Regions = Arc<Mutex<HashMap<String, Arc<Region>>>>;

pub struct Ec2 {
    master_id: String,
    folder: PathBuf,
    registry: Weak<Registry>,
    /// By account, region and address.
    regions: Regions,
}

impl Ec2 {
    pub fn new(master_id: String, folder: PathBuf, registry: Weak<Registry>) -> Ec2 {
        Ec2 { master_id, folder, registry, regions: Arc::default() }
    }

    /// The backend of a worker. One whose keys can't be had looks for them before each call, says why there are none, and keeps no other
    /// worker from running.
    pub async fn backend(&self, worker: &WorkerSpec, spec: &Ec2Spec, loaded: &Loaded, source: &SecretSource) -> Arc<dyn Backend> {
        let made = self.user_data(spec, loaded, source);
        let settings = Settings { made: self.made(spec, made.clone(), loaded, source), ..Settings::of(spec, made) };
        let elsewhere = self.elsewhere(spec, source);
        let region = match self.region(spec, source).await {
            Ok(region) => region,
            Err(why) => {
                tracing::error!(worker = worker.name, "no machine can be started for the worker, nor ended, before there are keys: {why}");
                let here = handle::Place { region: spec.region.clone(), endpoint_url: spec.endpoint_url.clone() };
                let find = elsewhere.clone();
                let find = move || -> BoxFuture<'static, Result<Arc<dyn Ec2Api>, String>> {
                    let region = find(here.clone());
                    Box::pin(async move { region.await.map(|region| region.api.clone()) })
                };
                let name = format!("{} {} of {}", spec.region, spec.endpoint_url.as_deref().unwrap_or_default(), worker.name);
                Region::new(name, Arc::new(Keyless::new(worker.name.clone(), why, Arc::new(find))))
            }
        };
        Arc::new(Ec2Backend::reaching(self.master_id.clone(), settings, region, Some(elsewhere)))
    }

    /// Other places, with the worker's keys.
    fn elsewhere(&self, spec: &Ec2Spec, source: &SecretSource) -> Elsewhere {
        let (folder, regions, spec, source) = (self.folder.clone(), self.regions.clone(), spec.clone(), source.clone());
        Arc::new(move |handle::Place { region, endpoint_url }| {
            let (folder, regions, source) = (folder.clone(), regions.clone(), source.clone());
            let spec = Ec2Spec { region, endpoint_url, ..spec.clone() };
            Box::pin(async move { region_of(&folder, &regions, &spec, &source).await })
        })
    }

    async fn region(&self, spec: &Ec2Spec, source: &SecretSource) -> Result<Arc<Region>, String> {
        region_of(&self.folder, &self.regions, spec, source).await
    }

    fn user_data(&self, spec: &Ec2Spec, loaded: &Loaded, source: &SecretSource) -> Option<MadeUserData> {
        let Arg::Dynamic(template) = &spec.user_data else { return None };
        let (generation, source, registry) = (loaded.generation.clone(), source.clone(), self.registry.clone());
        let (of, arg) = (written(template, loaded), spec.user_data.clone());
        let make = move |start: Start| -> BoxFuture<'static, Result<Option<String>, String>> {
            let (generation, source, registry, arg) = (generation.clone(), source.clone(), registry.clone(), arg.clone());
            Box::pin(async move {
                let named = [("user_data", arg)];
                let made = rendered(&start, &generation, source, &registry, &named).await?.pop().flatten();
                match made.as_ref().map_or(0, String::len) {
                    0..=LONGEST => Ok(made),
                    long => Err(format!("it is {long} bytes long, and must not be longer than {LONGEST}")),
                }
            })
        };
        Some(MadeUserData { of, make: Arc::new(make) })
    }

    /// Arguments that differ from build to build.
    fn made(&self, spec: &Ec2Spec, user_data: Option<MadeUserData>, loaded: &Loaded, source: &SecretSource) -> Option<MadeSettings> {
        if spec.rendered.is_empty() {
            return None;
        }
        let of = spec.rendered.iter().map(|(name, template)| format!("{name} = {}\n", written(template, loaded))).collect();
        let (spec, generation, source, registry) = (spec.clone(), loaded.generation.clone(), source.clone(), self.registry.clone());
        let named: Vec<(&'static str, Arg<Anything>)> =
            spec.rendered.iter().map(|(name, template)| (*name, Arg::Dynamic(Box::new(template.clone())))).collect();
        let make = move |start: Start| -> BoxFuture<'static, Result<Settings, String>> {
            let (spec, generation, source, registry) = (spec.clone(), generation.clone(), source.clone(), registry.clone());
            let (named, user_data) = (named.clone(), user_data.clone());
            Box::pin(async move {
                let values = rendered(&start, &generation, source, &registry, &named).await?;
                let values = named.iter().zip(values).map(|((name, _), value)| ((*name).to_owned(), value.0)).collect();
                Ok(Settings::of(&spec.for_build(&values)?, user_data))
            })
        };
        Some(MadeSettings { of, make: Arc::new(make) })
    }
}

/// A template as text: the same after a restart, and after the file has changed elsewhere. A function has its number and its line in one
/// generation only.
fn written(template: &Template, loaded: &Loaded) -> String {
    let (mut template, mut texts) = (template.clone(), Vec::new());
    template.functions(&mut |f| {
        texts.push(loaded.config.said.functions.get(&f.id).copied());
        *f = FnRef { id: 0, place: Place::default() };
    });
    format!("{template:?} {texts:?}")
}

/// A value as it was rendered; what it has to be is looked at where all of them are.
#[derive(Clone)]
struct Anything(Json);

impl FromValue for Anything {
    fn expected() -> String {
        "plain data".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("any")
    }

    fn from_value(value: &Value) -> Result<Anything, Wrong> {
        value.to_json().map(Anything).map_err(|_| Wrong::must(Self::expected(), value))
    }
}

/// Arguments as they are for the build that waits.
async fn rendered<T: FromValue + Clone + Sync>(
    start: &Start,
    generation: &Generation,
    source: SecretSource,
    registry: &Weak<Registry>,
    args: &[(&'static str, Arg<T>)],
) -> Result<Vec<T>, String> {
    let known = registry.upgrade().map(|r| r.password_mask()).unwrap_or_default();
    let secrets = BuildSecrets::new(source, known);
    let worker = of_machine(start);
    let mut properties = Properties::default();
    for (name, value) in &start.properties {
        properties.set(name, value.clone(), "Build");
    }
    properties.set("workername", &*start.worker, "Worker");
    let build = BuildInput {
        workername: start.worker.to_string(),
        builder: start.build.builder.clone(),
        reason: start.build.reason.clone(),
        sources: start.build.sources.clone(),
        ..BuildInput::default()
    };
    let renderer = Renderer {
        properties: Arc::new(properties),
        sourcestamps: &start.build.sources,
        worker: &worker,
        generation,
        build,
        secrets: &secrets,
    };
    let mut values = Vec::with_capacity(args.len());
    for (name, arg) in args {
        values.push(renderer.arg(name, arg).await.map_err(|e| secrets.mask().owned(e.0))?);
    }
    Ok(values)
}

/// Workers of one account, region and address share one.
async fn region_of(folder: &Path, regions: &Regions, spec: &Ec2Spec, source: &SecretSource) -> Result<Arc<Region>, String> {
    let (keys, warning) = keys_of(folder, spec, source).await?;
    let who = match &keys {
        Some(keys) => {
            let digest =
                Sha256::new().chain_update(keys.identifier.reveal()).chain_update([0]).chain_update(keys.secret.reveal()).finalize();
            digest.iter().take(8).map(|b| format!("{b:02x}")).collect()
        }
        None => spec.credentials.profile.clone().unwrap_or_default(),
    };
    let name = format!("{} {} {who}", spec.region, spec.endpoint_url.as_deref().unwrap_or_default());
    let mut known = regions.lock().await;
    if let Some(region) = known.get(&name) {
        return Ok(region.clone());
    }
    // Once, however many workers have them.
    if let Some(warning) = warning {
        tracing::warn!("{warning}");
    }
    let to = sdk::Connect {
        region: spec.region.clone(),
        endpoint_url: spec.endpoint_url.clone(),
        profile: spec.credentials.profile.clone(),
        keys,
    };
    let region = Region::new(name.clone(), Arc::new(sdk::Ec2::connect(to).await));
    known.insert(name, region.clone());
    Ok(region)
}

/// The first that is given: in the configuration, in its file, in the usual file; none: what the environment has. And a warning of the file.
async fn keys_of(folder: &Path, spec: &Ec2Spec, source: &SecretSource) -> Result<(Option<Keys>, Option<String>), String> {
    if let Some((identifier, secret)) = &spec.credentials.keys {
        let (identifier, secret) = (value(identifier, source).await?, value(secret, source).await?);
        return Ok((Some(Keys { identifier, secret }), None));
    }
    let usual = || dirs::home_dir().map(|home| home.join(USUAL_FILE)).filter(|path| path.exists());
    let file = match &spec.credentials.file {
        Some(path) => Some(folder.join(path)),
        None if spec.credentials.profile.is_none() => usual(),
        None => None,
    };
    let Some(file) = file else { return Ok((None, None)) };
    let (keys, warning) = credentials::read(&file).map_err(|e| e.to_string())?;
    Ok((Some(keys), warning))
}

/// What `%(worker:…)s` is in user data.
fn of_machine(start: &Start) -> WorkerInfo {
    let mut info = WorkerInfo::default();
    for (name, value) in [("name", &*start.worker), ("password", start.password.reveal()), ("launch_id", &*start.launch.0)] {
        info.files.insert(name.to_owned(), value.to_owned());
    }
    info
}

async fn value(password: &Password, source: &SecretSource) -> Result<Secret, String> {
    match password {
        Password::Plain(secret) => Ok(secret.clone()),
        Password::Named(name) => source.get(name).await.map_err(|e| e.to_string()),
    }
}
