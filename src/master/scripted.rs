//! The backends that the configuration brings along: they get their generation, their master's name and what renders their arguments.

use std::sync::{Arc, Weak};
use std::time::Duration;

use serde_json::{Map, Value as Json};

use crate::builds::render::Renderer;
use crate::config::{Listen, LuaBackendSpec, MasterConfig, WorkerSpec};
use crate::latent::backend::WantedBuild;
use crate::latent::scripted::{MasterFacts, Render, Rendered, ScriptedBackend};
use crate::lua::{BuildInput, Loaded};
use crate::model::{Properties, WorkerInfo};
use crate::secrets::{BuildSecrets, SecretSource};
use crate::workers::registry::Registry;

pub struct Scripted {
    master_id: String,
    registry: Weak<Registry>,
}

impl Scripted {
    pub fn new(master_id: String, registry: &Arc<Registry>) -> Scripted {
        Scripted { master_id, registry: Arc::downgrade(registry) }
    }

    /// For a test without a master.
    pub fn alone(master_id: String) -> Scripted {
        Scripted { master_id, registry: Weak::new() }
    }

    pub fn backend(
        &self,
        worker: &WorkerSpec,
        spec: &Arc<LuaBackendSpec>,
        missing_timeout: Duration,
        loaded: &Loaded,
        source: &SecretSource,
    ) -> ScriptedBackend {
        let config = &loaded.config;
        let (host, port) = address(config);
        let facts = MasterFacts { id: self.master_id.clone(), host, port };
        let render = (!spec.rendered.is_empty()).then(|| self.render(worker, spec, loaded, source));
        let generation = loaded.generation.clone();
        let worker = (spec.clone(), worker.name.as_str().into(), missing_timeout);
        ScriptedBackend::new(worker, generation, facts, render, &|id| config.said.functions.get(&id).copied())
    }

    fn render(&self, worker: &WorkerSpec, spec: &Arc<LuaBackendSpec>, loaded: &Loaded, source: &SecretSource) -> Render {
        let (generation, source, registry) = (loaded.generation.clone(), source.clone(), self.registry.clone());
        let (spec, name) = (spec.clone(), worker.name.clone());
        Arc::new(move |given: Map<String, Json>, wanted: WantedBuild| {
            let (generation, source, registry) = (generation.clone(), source.clone(), registry.clone());
            let (spec, name) = (spec.clone(), name.clone());
            Box::pin(async move {
                let known = registry.upgrade().map(|r| r.password_mask()).unwrap_or_default();
                let secrets = BuildSecrets::new(source, known);
                let mut info = WorkerInfo::default();
                info.files.insert("name".to_owned(), name.clone());
                let mut properties = Properties::default();
                for (name, value) in given {
                    properties.set(&name, value, "Build");
                }
                properties.set("workername", name.as_str(), "Worker");
                let WantedBuild { builder, reason, sources } = wanted;
                let build = BuildInput { workername: name, builder, reason, sources: sources.clone(), ..BuildInput::default() };
                let renderer = Renderer {
                    properties: Arc::new(properties),
                    sourcestamps: &sources,
                    worker: &info,
                    generation: &generation,
                    build,
                    secrets: &secrets,
                };
                let mut rendered = Rendered::default();
                for (name, template) in &spec.rendered {
                    match renderer.value(template).await {
                        Ok(value) => rendered.values.insert(name.clone(), value),
                        Err(why) => rendered.failed.insert(name.clone(), format!("'{name}' can't be rendered: {why}").into()),
                    };
                }
                rendered.mask = secrets.mask();
                rendered
            })
        })
    }
}

/// Where workers on other machines find the master, as far as the configuration says.
fn address(config: &MasterConfig) -> (Option<String>, Option<u16>) {
    let tcp = config.pb.iter().find_map(|listen| match listen {
        Listen::Tcp { interface, port } => Some((interface.as_deref(), *port)),
        Listen::Unix { .. } => None,
    });
    let Some((interface, port)) = tcp else { return (None, None) };
    let host = match interface {
        Some(interface) if !matches!(interface, "0.0.0.0" | "::" | "") => Some(interface.to_owned()),
        _ => crate::lua::full_host_name(),
    };
    (host, Some(port))
}
