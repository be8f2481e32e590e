//! What the ledger has of an instance at EC2: written when it is launched or listed, read when it is looked after. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::api::InstanceState;
use super::choices::Choice;
use super::settings::Settings;
use crate::base::Timestamp;

/// Fields that an earlier program, or a class of the file that makes handles of its own, left out say nothing.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Handle {
    pub instance: String,
    region: Option<String>,
    /// Of the API; empty: Amazon's own.
    endpoint: Option<String>,
    /// Whose it is: to the keys of another account it does not exist.
    pub account: Option<String>,
    /// Since when it is known to be there.
    launched_at: Option<Timestamp>,
    pub choice: Option<String>,
    address: Option<String>,
    /// With the address, if it was started here.
    volumes: Option<Vec<String>>,
}

/// Where an API is asked: elsewhere an instance's id means nothing.
#[derive(Clone, PartialEq, Debug)]
pub struct Place {
    pub region: String,
    pub endpoint_url: Option<String>,
}

impl Handle {
    pub fn new(instance: &InstanceState, s: &Settings, seen_at: Timestamp) -> Handle {
        Handle {
            instance: instance.id.clone(),
            region: Some(s.region.clone()),
            endpoint: Some(s.endpoint_url.clone().unwrap_or_default()),
            account: instance.account.clone(),
            launched_at: Some(seen_at),
            ..Handle::default()
        }
    }

    /// With what it got at its launch.
    pub fn launched(self, choice: &Choice, s: &Settings) -> Handle {
        let volumes = s.volumes.iter().map(|(volume, _)| volume.clone()).collect();
        Handle { choice: Some(choice.key()), address: s.elastic_ip.clone(), volumes: Some(volumes), ..self }
    }

    pub fn read(handle: &Json) -> Result<Handle, String> {
        let read = Handle::deserialize(handle).ok().filter(|h| !h.instance.is_empty());
        read.ok_or_else(|| format!("{handle} is no handle of an instance"))
    }

    pub fn place(&self, s: &Settings) -> Place {
        let endpoint_url = match &self.endpoint {
            Some(url) => Some(url.clone()).filter(|url| !url.is_empty()),
            None => s.endpoint_url.clone(),
        };
        Place { region: self.region.clone().unwrap_or_else(|| s.region.clone()), endpoint_url }
    }

    /// The address and the volumes that it got when it was started, which may be others than those of now.
    pub fn furniture(self, s: &Settings) -> (Option<String>, Vec<String>) {
        match self.volumes {
            Some(volumes) => (self.address, volumes),
            None => (s.elastic_ip.clone(), s.volumes.iter().map(|(volume, _)| volume.clone()).collect()),
        }
    }

    /// It may not be visible everywhere yet.
    pub fn is_young(&self, now: Timestamp, settling: Duration) -> bool {
        // The clock may have been ahead.
        self.launched_at.is_some_and(|at| now.since(at) < settling && at.since(now) < settling)
    }
}

impl Place {
    pub fn of(s: &Settings) -> Place {
        Place { region: s.region.clone(), endpoint_url: s.endpoint_url.clone() }
    }

    /// As it is written.
    pub fn read(text: &str) -> Place {
        let (region, url) = text.split_once(' ').map_or((text, None), |(region, url)| (region, Some(url)));
        Place { region: region.to_owned(), endpoint_url: url.map(str::to_owned) }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.endpoint_url {
            Some(url) => write!(f, "{} {url}", self.region),
            None => f.write_str(&self.region),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_handle_leaves_out_is_as_configured() {
        let now = Settings {
            region: "eu-west-1".into(),
            endpoint_url: Some("http://x".into()),
            elastic_ip: Some("1.2.3.4".into()),
            ..Settings::default()
        };
        let read = |handle: Json| Handle::read(&handle).unwrap();
        let bare = read(json!({ "instance": "i-1", "launched_at": null, "of": "a class of the file" }));
        assert_eq!((bare.place(&now), bare.furniture(&now)), (Place::of(&now), (Some("1.2.3.4".into()), vec![])));
        let full = read(json!({ "instance": "i-1", "region": "us-east-1", "endpoint": "", "volumes": ["vol-1"], "address": null }));
        assert_eq!(full.place(&now), Place { region: "us-east-1".into(), endpoint_url: None });
        assert_eq!(full.furniture(&now), (None, vec!["vol-1".into()]));
        for wrong in [json!(7), json!({}), json!({ "instance": 7 }), Json::Null] {
            assert!(Handle::read(&wrong).unwrap_err().ends_with("is no handle of an instance"), "{wrong}");
        }
    }

    #[test]
    fn youth_ends_whatever_the_clock_was() {
        let (hour, settling) = (3_600_000, Duration::from_secs(120));
        let young = |at: i64| Handle { launched_at: Some(Timestamp(at)), ..Handle::default() }.is_young(Timestamp(hour), settling);
        assert!(young(hour) && young(hour - 119_999) && young(hour + 119_999));
        assert!(!young(hour - 120_000) && !young(2 * hour) && !Handle::default().is_young(Timestamp(hour), settling));
    }
}
