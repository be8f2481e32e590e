//! What the workers of one account and region share: the line to the provider, one question for all, and where there was no room.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value as Json;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::answers::Answers;
use super::api::{ApiError, Class, Ec2Api, InstanceState};
use super::choices::Choice;
use super::describe::Describer;
use super::image::Image;
use super::query::Query;
use crate::latent::lifecycle::Failure;
use crate::workers::BoxFuture;

/// Denied calls are not repeated sooner.
const DENIED_REST: Duration = Duration::from_secs(600);
/// Keys of a role are renewed at any time.
const KEYS_REST: Duration = Duration::from_secs(60);

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
    /// Images by owners, and by id.
    listings: Answers<Arc<Vec<Image>>>,
    images: Answers<Option<Image>>,
    /// Is it there? Many workers are checked for the same.
    looks: Answers<bool>,
    /// Whose keys these are, once that is known.
    account: OnceCell<String>,
    pub(super) pace: Pace,
}

/// What a launch takes besides an image.
#[derive(Debug)]
pub(super) enum Needed {
    KeyPair(String),
    GroupNamed(String),
    Group(String),
    Subnet(String),
    Address(String),
}

/// How long things take at this provider. A test against one that is quicker says so.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Questions of so long a time go together.
    pub ask: Duration,
    /// An instance may not be visible for so long after its launch.
    pub settling: Duration,
    /// What is known of images serves for so long.
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
        Arc::new(Region {
            describer,
            api,
            name,
            cooling: Mutex::default(),
            groups: Mutex::default(),
            listings: Answers::new(pace.image_kept),
            images: Answers::new(pace.image_kept),
            looks: Answers::new(pace.ask),
            account: OnceCell::new(),
            pace,
        })
    }

    /// Available images of these owners.
    pub(super) async fn images(&self, owners: &[String]) -> Result<Arc<Vec<Image>>, ApiError> {
        let (api, question, owners) = (self.api.clone(), format!("{owners:?}"), owners.to_vec());
        let call = || Box::pin(async move { api.images(owners).await.map(Arc::new) }) as BoxFuture<'static, _>;
        self.listings.ask(question, call).await
    }

    pub(super) async fn image(&self, id: &str) -> Result<Option<Image>, ApiError> {
        let (api, named) = (self.api.clone(), id.to_owned());
        self.images.ask(id.to_owned(), || Box::pin(async move { api.image(named).await })).await
    }

    /// None of them fits, or one of them is gone: the next question goes to the provider.
    pub(super) fn forget_images(&self) {
        self.listings.forget();
        self.images.forget();
    }

    /// Has the provider that? Asked once for all who ask for the same within a few seconds.
    pub(super) async fn has(&self, what: Needed) -> Result<bool, ApiError> {
        let api = self.api.clone();
        let question = format!("{what:?}");
        let call = async move {
            match what {
                Needed::KeyPair(name) => api.has_key_pair(name).await,
                Needed::GroupNamed(name) => api.security_group(name).await.map(|id| id.is_some()),
                Needed::Group(id) => api.has_security_group(id).await,
                Needed::Subnet(id) => api.has_subnet(id).await,
                Needed::Address(address) => api.has_address(address).await,
            }
        };
        self.looks.ask(question, || Box::pin(call)).await
    }

    /// Before the first launch into a security group it is looked for, and made if it is missing. Keys that may not look may still
    /// launch: the provider says then whether it is there.
    pub(super) async fn has_group(&self, name: &str) -> Result<(), ApiError> {
        let looked = self.groups.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).entry(name.to_owned()).or_default().clone();
        let look = async || match self.has(Needed::GroupNamed(name.to_owned())).await {
            Ok(false) => self.make_group(name).await,
            Ok(true) | Err(_) => Ok(()),
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

    /// The number of the account whose keys these are.
    pub(super) async fn account(&self) -> Result<&str, ApiError> {
        let asked = self.account.get_or_try_init(|| async {
            let query = Query { service: "sts".into(), action: "GetCallerIdentity".into(), params: Json::Null };
            let answer = self.api.query(query).await?;
            let account = answer["GetCallerIdentityResult"]["Account"].as_str();
            account.map(str::to_owned).ok_or_else(|| ApiError { code: None, message: "the answer names no account".into() })
        });
        asked.await.map(String::as_str)
    }

    /// What is missing in the listing of another account is not gone; an empty one does not tell whose it is.
    pub(super) async fn learn_account(&self, listed: &[InstanceState]) {
        match listed.iter().find_map(|i| i.account.clone()) {
            // It may be known already.
            Some(account) => drop(self.account.set(account)),
            None => {
                if let Err(e) = self.account().await {
                    tracing::debug!(region = self.name, "whose keys these are is not known: {e}");
                }
            }
        }
    }

    pub(super) fn known_account(&self) -> Option<&str> {
        self.account.get().map(String::as_str)
    }

    /// A failed call before anything can have been started.
    pub(super) fn failure(&self, what: &str, e: &ApiError) -> Failure {
        let text = format!("{what}: {e}");
        match e.class() {
            Class::Permission => Failure::Retry(text, DENIED_REST),
            Class::Keys => Failure::Retry(text, KEYS_REST),
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
