//! What an interrupted launch may have left in a region that is not the worker's any more: found there, and ended with the worker's keys.
//! Starts nothing.

use serde_json::Value as Json;

use super::backend::Ec2Backend;
use crate::latent::backend::{Backend, Instance, Start, Started};
use crate::latent::lifecycle::Failure;
use crate::model::LaunchId;
use crate::workers::link::BoxFuture;

pub struct Afar {
    /// What the worker is now.
    now: Ec2Backend,
    region: String,
}

impl Afar {
    pub fn new(now: Ec2Backend, region: String) -> Afar {
        Afar { now, region }
    }
}

impl Backend for Afar {
    fn class(&self) -> &str {
        self.now.class()
    }

    fn group(&self) -> String {
        format!("{} by {}", self.region, self.now.group())
    }

    /// None that a configured worker has: a new configuration does not put itself in its place.
    fn settings(&self) -> String {
        String::new()
    }

    fn can_check(&self) -> bool {
        self.now.can_check()
    }

    fn can_list(&self) -> bool {
        true
    }

    fn place(&self) -> Option<String> {
        Some(self.region.clone())
    }

    fn console(&self, handle: Json) -> BoxFuture<'static, Result<Option<String>, String>> {
        self.now.console(handle)
    }

    fn start(&self, _: Start) -> BoxFuture<'static, Result<Started, Failure>> {
        let why = format!("nothing is started in {} any more: the worker's region is another now", self.region);
        Box::pin(async move { Err(Failure::Configuration(why)) })
    }

    fn stop(&self, launch: LaunchId, handle: Json, fast: bool) -> BoxFuture<'static, Result<(), String>> {
        self.now.stop(launch, handle, fast)
    }

    fn check(&self, launch: LaunchId, handle: Json) -> BoxFuture<'static, Result<Result<(), String>, String>> {
        self.now.check(launch, handle)
    }

    fn list(&self) -> BoxFuture<'static, Result<Vec<Instance>, String>> {
        self.now.list_at(self.region.clone())
    }
}
