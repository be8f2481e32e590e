//! What the backend needs to know, from what the configuration says. Pure.

use super::backend::{MadeUserData, Price, Settings, SpotSettings};
use super::image::Filters;
use crate::config::{Arg, Ec2Spec};

impl Settings {
    /// `made` is for user data that has to be rendered.
    pub fn of(spec: &Ec2Spec, made: Option<MadeUserData>) -> Settings {
        Settings {
            region: spec.region.clone(),
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
