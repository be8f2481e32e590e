//! What the backend needs to know, from what the configuration says. Pure.

use std::sync::Arc;

use super::api::BlockDevice;
use super::image::Filters;
use crate::config::{Arg, Ec2Spec};
use crate::latent::backend::Start;
use crate::workers::link::BoxFuture;

/// What `EC2LatentWorker` says.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub region: String,
    /// None: Amazon's.
    pub endpoint_url: Option<String>,
    pub instance_types: Vec<String>,
    /// Either this …
    pub ami: Option<String>,
    /// … or these.
    pub filters: Filters,
    pub key_name: Option<String>,
    pub security_name: Option<String>,
    pub security_group_ids: Vec<String>,
    pub subnet_ids: Vec<String>,
    /// Letters of zones: `a`.
    pub placements: Vec<String>,
    pub associate_public_ip: Option<bool>,
    pub instance_profile_name: Option<String>,
    pub user_data: Option<String>,
    /// In place of it, made for each instance.
    pub made_user_data: Option<MadeUserData>,
    pub block_devices: Vec<BlockDevice>,
    pub tags: Vec<(String, String)>,
    pub spot: Option<SpotSettings>,
    /// Of an instance on demand.
    pub price_per_hour: Price,
    pub elastic_ip: Option<String>,
    /// Volume and device.
    pub volumes: Vec<(String, String)>,
    /// In place of all of these.
    pub made: Option<MadeSettings>,
}

/// Settings that differ from build to build, made when its machine starts.
#[derive(Clone)]
pub struct MadeSettings {
    /// What they are made of: an instance of other settings is another.
    pub of: String,
    pub make: Arc<dyn Fn(Start) -> BoxFuture<'static, Result<Settings, String>> + Send + Sync>,
}

impl std::fmt::Debug for MadeSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.of)
    }
}

pub type MakeUserData = Arc<dyn Fn(Start) -> BoxFuture<'static, Result<Option<String>, String>> + Send + Sync>;

/// What an instance is told when it starts, made when it does.
#[derive(Clone)]
pub struct MadeUserData {
    /// What it is made of: an instance that was told something else has other settings.
    pub of: String,
    pub make: MakeUserData,
}

impl std::fmt::Debug for MadeUserData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.of)
    }
}

/// What is told of cost only: another price is no reason for another instance.
#[derive(Clone, Copy, PartialEq, Default)]
pub struct Price(pub Option<f64>);

impl std::fmt::Debug for Price {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("price")
    }
}

#[derive(Clone, PartialEq, Debug)]
pub struct SpotSettings {
    pub max_price: Option<f64>,
    /// Of the average of the last day; none: the highest price is `max_price`.
    pub multiplier: Option<f64>,
    /// `Linux/UNIX`
    pub product: String,
}

impl Settings {
    /// `made` is for user data that has to be rendered.
    pub fn of(spec: &Ec2Spec, made: Option<MadeUserData>) -> Settings {
        Settings {
            region: spec.region.clone(),
            endpoint_url: spec.endpoint_url.clone(),
            instance_types: spec.instance_types.clone(),
            ami: spec.ami.clone(),
            filters: Filters { owners: spec.owners.clone(), location: spec.location.clone() },
            key_name: spec.keypair_name.clone(),
            security_name: spec.security_name.clone(),
            security_group_ids: spec.security_group_ids.clone(),
            subnet_ids: spec.subnet_ids.clone(),
            placements: spec.placements.clone(),
            associate_public_ip: spec.associate_public_ip,
            instance_profile_name: spec.instance_profile_name.clone(),
            user_data: match &spec.user_data {
                Arg::Const(text) => text.clone(),
                Arg::Dynamic(_) => None,
            },
            made_user_data: made,
            block_devices: spec.block_devices.clone(),
            tags: spec.tags.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            spot: spec.spot.as_ref().map(|spot| SpotSettings {
                max_price: spot.max_price,
                multiplier: spot.multiplier,
                product: spot.product.clone(),
            }),
            price_per_hour: Price(spec.price_per_hour),
            elastic_ip: spec.elastic_ip.clone(),
            volumes: spec.volumes.clone(),
            made: None,
        }
    }
}
