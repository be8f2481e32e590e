//! What the workers of one account and region share: the line to the provider, one question for all, and where there was no room.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::api::{ApiError, Class, Ec2Api};
use super::choices::Choice;
use super::describe::Describer;
use crate::latent::lifecycle::Failure;

/// Denied calls are not repeated sooner.
const DENIED_REST: Duration = Duration::from_secs(600);

/// What workers of one account and region share.
pub struct Region {
    pub api: Arc<dyn Ec2Api>,
    pub describer: Describer,
    /// The account and the region, so that one listing serves all of them.
    pub name: String,
    /// Choices for which there was no room, until when, and how often in a row.
    cooling: Mutex<HashMap<String, (Instant, u32)>>,
    /// Security groups by name, once they were looked for.
    groups: Mutex<HashMap<String, Arc<OnceCell<()>>>>,
    pub(super) pace: Pace,
}

/// How long things take at this provider. A test against one that is quicker says so.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Questions of so long a time go together.
    pub ask: Duration,
    /// An instance may not be visible for so long after its launch.
    pub settling: Duration,
    /// An image that was chosen is chosen again without a look for so long.
    pub image_kept: Duration,
    /// A choice for which there was no room is left alone for so long; each time more doubles it.
    pub first_cooling: Duration,
    pub longest_cooling: Duration,
    /// After a launch that was throttled.
    pub throttled_rest: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            ask: Duration::from_secs(5),
            settling: Duration::from_secs(120),
            image_kept: Duration::from_secs(60),
            first_cooling: Duration::from_secs(180),
            longest_cooling: Duration::from_secs(1800),
            throttled_rest: Duration::from_secs(30),
        }
    }
}

impl Region {
    pub fn new(name: String, api: Arc<dyn Ec2Api>) -> Arc<Region> {
        Region::at_pace(name, api, Pace::default())
    }

    pub fn at_pace(name: String, api: Arc<dyn Ec2Api>, pace: Pace) -> Arc<Region> {
        let describer = Describer::new(api.clone(), pace.ask);
        Arc::new(Region { describer, api, name, cooling: Mutex::default(), groups: Mutex::default(), pace })
    }

    /// Before the first launch into a security group it is looked for, and made if it is missing. Keys that may not look may still
    /// launch: the provider says then whether it is there.
    pub(super) async fn has_group(&self, name: &str) -> Result<(), ApiError> {
        let looked = self.groups.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).entry(name.to_owned()).or_default().clone();
        let look = async || match self.api.security_group(name.to_owned()).await {
            Ok(None) => self.make_group(name).await,
            Ok(Some(_)) | Err(_) => Ok(()),
        };
        looked.get_or_try_init(look).await.map(drop)
    }

    /// With no open port.
    pub(super) async fn make_group(&self, name: &str) -> Result<(), ApiError> {
        match self.api.create_security_group(name.to_owned()).await {
            Ok(id) => tracing::info!(group = name, id, "there was no such security group: one with no open port is made"),
            // Another worker of the same group was quicker.
            Err(e) if e.code.as_deref() == Some("InvalidGroup.Duplicate") => {}
            Err(e) => {
                return Err(ApiError { message: format!("security group {name:?} is missing and can't be made: {}", e.message), ..e });
            }
        }
        Ok(())
    }

    /// A failed call before anything can have been started.
    pub(super) fn failure(&self, what: &str, e: &ApiError) -> Failure {
        let text = format!("{what}: {e}");
        match e.class() {
            Class::Permission => Failure::Retry(text, DENIED_REST),
            Class::Configuration | Class::NotFound | Class::Protected => Failure::Configuration(text),
            Class::Capacity => Failure::Capacity(text),
            Class::Throttle | Class::Taken | Class::Ambiguous => Failure::Retry(text, self.pace.throttled_rest),
        }
    }

    pub(super) fn cool(&self, choice: String) {
        let mut cooling = self.cooling.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let (until, times) = cooling.entry(choice).or_insert((Instant::now(), 0));
        let rest = self.pace.first_cooling.saturating_mul(1 << (*times).min(8)).min(self.pace.longest_cooling);
        *times += 1;
        *until = Instant::now() + rest;
    }

    pub(super) fn warm(&self, choice: &Choice) {
        self.cooling.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).remove(&choice.key());
    }

    pub(super) fn is_cool(&self, choice: &Choice) -> bool {
        let cooling = self.cooling.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        cooling.get(&choice.key()).is_some_and(|(until, _)| *until > Instant::now())
    }
}
