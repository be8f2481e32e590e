//! EC2 for a worker whose keys could not be had when its configuration was put to work, as of a vault that was away: they are looked for
//! before a call, until they are there. A call that is made without them is none.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::api::{ApiError, Ec2Api, InstanceState, RunInstance};
use super::image::Image;
use super::query::Query;
use crate::workers::BoxFuture;

/// Who has no keys is not asked sooner again.
const REST: Duration = Duration::from_secs(10);

/// Finds the keys, and whom they open.
pub type Find = Arc<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn Ec2Api>, String>> + Send + Sync>;

pub struct Keyless {
    worker: String,
    find: Find,
    state: Mutex<State>,
}

enum State {
    Found(Arc<dyn Ec2Api>),
    Missing { why: String, since: Instant },
}

impl Keyless {
    /// `why` they could not be had just now.
    pub fn new(worker: String, why: String, find: Find) -> Keyless {
        Keyless { worker, find, state: Mutex::new(State::Missing { why, since: Instant::now() }) }
    }

    async fn api(&self) -> Result<Arc<dyn Ec2Api>, ApiError> {
        let mut state = self.state.lock().await;
        match &*state {
            State::Found(api) => return Ok(api.clone()),
            State::Missing { why, since } if since.elapsed() < REST => return Err(ApiError::no_keys(why.clone())),
            State::Missing { .. } => {}
        }
        match (self.find)().await {
            Ok(api) => {
                tracing::info!(worker = self.worker, "its keys are there now");
                *state = State::Found(api.clone());
                Ok(api)
            }
            Err(why) => {
                *state = State::Missing { why: why.clone(), since: Instant::now() };
                Err(ApiError::no_keys(why))
            }
        }
    }
}

macro_rules! with_keys {
    ($(fn $name:ident($($arg:ident: $kind:ty),*) -> $answer:ty;)*) => {
        impl Ec2Api for Keyless {
            $(fn $name(&self, $($arg: $kind),*) -> BoxFuture<'_, Result<$answer, ApiError>> {
                Box::pin(async move { self.api().await?.$name($($arg),*).await })
            })*
        }
    };
}

with_keys! {
    fn run_instance(run: RunInstance) -> InstanceState;
    fn describe(ids: Vec<String>) -> Vec<InstanceState>;
    fn list(tag: &'static str, value: String) -> Vec<InstanceState>;
    fn terminate(id: String) -> ();
    fn unprotect(id: String) -> ();
    fn images(owners: Vec<String>) -> Vec<Image>;
    fn image(id: String) -> Option<Image>;
    fn spot_prices(instance_type: String, product: String, zone: Option<String>, last: Duration) -> Vec<f64>;
    fn associate_address(address: String, instance: String) -> ();
    fn disassociate_address(address: String, instance: String) -> ();
    fn attach_volume(volume: String, device: String, instance: String) -> ();
    fn detach_volume(volume: String, instance: String) -> ();
    fn has_key_pair(name: String) -> bool;
    fn security_group(name: String) -> Option<String>;
    fn has_security_group(id: String) -> bool;
    fn create_security_group(name: String) -> String;
    fn has_subnet(id: String) -> bool;
    fn has_address(address: String) -> bool;
    fn console_tail(id: String) -> String;
    fn query(query: Query) -> Json;
}
