//! One latent worker's machine at EC2: how it is started, found, checked and stopped. Makes single attempts; the engine repeats.

use std::sync::Arc;
use std::time::Duration;

use md5::{Digest, Md5};
use serde_json::{Value as Json, json};
use tokio::time::Instant;

use super::afar::Afar;
use super::api::{ApiError, BlockDevice, Class, InstanceState, LAUNCH_TAG, MASTER_TAG, RunInstance, Spot, WORKER_TAG};
use super::choices::{self, Choice};
use super::handle::{Handle, Place};
use super::image::{self, Image};
use super::preflight;
use super::query::Query;
use super::region::Region;
use super::settings::{Settings, SpotSettings};
use crate::base::{Clock, SystemClock};
use crate::latent::backend::{Ask, Backend, Finding, Instance, Start, Started};
use crate::latent::lifecycle::Failure;
use crate::model::LaunchId;
use crate::workers::link::BoxFuture;

/// Until what could not be rendered is tried again.
const RENDER_REST: Duration = Duration::from_secs(60);
/// Images come and go by themselves: where none fits, it is looked again after that.
const IMAGE_REST: Duration = Duration::from_secs(600);
/// Until an instance that gets an address or volumes must run.
const RUNNING_WITHIN: Duration = Duration::from_secs(600);
/// A group that was just made may not be known everywhere: the launch is asked for again so often.
const GROUP_LOOKS: u32 = 6;
const PRICES_OF: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone)]
pub struct Ec2Backend {
    parts: Arc<Parts>,
}

/// Finds another place, with the same keys.
pub type Elsewhere = Arc<dyn Fn(Place) -> BoxFuture<'static, Result<Arc<Region>, String>> + Send + Sync>;

struct Parts {
    master_id: String,
    settings: Settings,
    region: Arc<Region>,
    elsewhere: Option<Elsewhere>,
    clock: Arc<dyn Clock>,
}

impl Ec2Backend {
    pub fn new(master_id: String, settings: Settings, region: Arc<Region>) -> Ec2Backend {
        Ec2Backend::reaching(master_id, settings, region, None)
    }

    /// One that can also end what was started elsewhere, before the configuration changed.
    pub fn reaching(master_id: String, settings: Settings, region: Arc<Region>, elsewhere: Option<Elsewhere>) -> Ec2Backend {
        let clock = Arc::new(SystemClock);
        Ec2Backend { parts: Arc::new(Parts { master_id, settings, region, elsewhere, clock }) }
    }
}

impl Backend for Ec2Backend {
    fn class(&self) -> &str {
        "EC2LatentWorker"
    }

    fn group(&self) -> String {
        self.parts.region.name.clone()
    }

    fn knows(&self, handle: &Json) -> bool {
        self.parts.elsewhere.is_some() || Handle::read(handle).is_ok_and(|handle| self.parts.is_here(&handle))
    }

    fn lists(&self, handle: &Json, _: &str) -> bool {
        let parts = &self.parts;
        let foreign = |account: &String| parts.region.known_account().is_some_and(|ours| ours != account);
        Handle::read(handle).is_ok_and(|handle| parts.is_here(&handle) && !handle.account.as_ref().is_some_and(foreign))
    }

    fn console(&self, handle: Json) -> BoxFuture<'static, Result<Option<String>, String>> {
        let parts = self.parts.clone();
        Box::pin(async move {
            let handle = Handle::read(&handle)?;
            let region = parts.region_of(&handle).await?;
            region.api.console_tail(handle.instance).await.map(Some).map_err(|e| e.to_string())
        })
    }

    fn preflight(&self) -> BoxFuture<'static, Vec<Finding>> {
        let parts = self.parts.clone();
        Box::pin(async move { preflight::ask(&parts.settings, &parts.region).await })
    }

    fn settings(&self) -> String {
        // Without the keys: a new key is no reason for another instance.
        let digest = Md5::digest(format!("{:?}", self.parts.settings));
        digest.iter().map(|b| format!("{b:02x}")).collect()
    }

    fn can_check(&self) -> bool {
        true
    }

    fn can_list(&self) -> bool {
        true
    }

    fn start(&self, start: Start) -> BoxFuture<'static, Result<Started, Failure>> {
        let parts = self.parts.clone();
        Box::pin(async move { parts.start(start, None).await })
    }

    fn ask(&self, ask: Ask) -> BoxFuture<'static, Result<Json, Failure>> {
        let parts = self.parts.clone();
        Box::pin(async move {
            match ask {
                Ask::Choices(start) => {
                    let made = parts.made(&start).await?;
                    Ok(choices::shown(&choices::configured(&made.as_ref().unwrap_or(&parts).settings)))
                }
                Ask::Call { service, action, params } => {
                    let named = format!("{service} {action}");
                    let answer = parts.region.api.query(Query { service, action, params }).await;
                    answer.map_err(|e| Failure::Unknown(format!("{named}: {e}")))
                }
            }
        })
    }

    fn start_with(&self, start: Start, choices: Json) -> BoxFuture<'static, Result<Started, Failure>> {
        let parts = self.parts.clone();
        Box::pin(async move { parts.start(start, Some(choices)).await })
    }

    fn stop(&self, _: LaunchId, handle: Json, fast: bool) -> BoxFuture<'static, Result<(), String>> {
        let parts = self.parts.clone();
        Box::pin(async move { parts.stop(&handle, fast).await })
    }

    fn check(&self, _: LaunchId, handle: Json) -> BoxFuture<'static, Result<Result<(), String>, String>> {
        let parts = self.parts.clone();
        Box::pin(async move { parts.check(&handle).await })
    }

    fn list(&self) -> BoxFuture<'static, Result<Vec<Instance>, String>> {
        let parts = self.parts.clone();
        Box::pin(async move { parts.list(&parts.settings, &parts.region).await })
    }

    fn place(&self) -> Option<String> {
        Some(Place::of(&self.parts.settings).to_string())
    }

    fn at(&self, place: &str) -> Option<Arc<dyn Backend>> {
        self.parts.elsewhere.as_ref().map(|_| Arc::new(Afar::new(self.clone(), place.to_owned())) as Arc<dyn Backend>)
    }
}

impl Ec2Backend {
    /// As `list`, at another place.
    pub(super) fn list_at(&self, place: String) -> BoxFuture<'static, Result<Vec<Instance>, String>> {
        let parts = self.parts.clone();
        Box::pin(async move {
            let place = Place::read(&place);
            let elsewhere = parts.elsewhere.as_ref().ok_or_else(|| format!("{place} can't be asked"))?;
            let settings = Settings { region: place.region.clone(), endpoint_url: place.endpoint_url.clone(), ..parts.settings.clone() };
            let there = elsewhere(place).await?;
            parts.list(&settings, &there).await
        })
    }
}

/// Those of the configuration, and what it takes that no volume of the image stays when the instance goes.
fn devices(image: &Image, configured: &[BlockDevice]) -> Vec<BlockDevice> {
    let left = image.keeps.iter().filter(|(name, _)| configured.iter().all(|d| d.device_name != *name));
    let ended = left.map(|(name, size)| BlockDevice {
        device_name: name.clone(),
        volume_size_gib: *size,
        delete_on_termination: Some(true),
        ..BlockDevice::default()
    });
    configured.iter().cloned().chain(ended).collect()
}

impl Parts {
    /// Those with the master's mark in a region; with settings that name it.
    async fn list(&self, settings: &Settings, region: &Region) -> Result<Vec<Instance>, String> {
        let all = region.api.list(MASTER_TAG, self.master_id.clone()).await.map_err(|e| e.to_string())?;
        region.learn_account(&all).await;
        // One look knows it; the next may not.
        let seen_at = self.clock.now();
        let ours = all.iter().filter(|i| !i.over()).filter_map(|i| {
            let launch = LaunchId(i.tag(LAUNCH_TAG)?.into());
            Some(Instance { launch, handle: json!(Handle::new(i, settings, seen_at)) })
        });
        Ok(ours.collect())
    }

    fn is_here(&self, handle: &Handle) -> bool {
        handle.place(&self.settings) == Place::of(&self.settings)
    }

    /// Where it is to be asked for: that an id is unknown elsewhere must not look as if the instance were gone.
    async fn region_of(&self, handle: &Handle) -> Result<Arc<Region>, String> {
        if self.is_here(handle) {
            return Ok(self.region.clone());
        }
        let Place { region, endpoint_url } = handle.place(&self.settings);
        match &self.elsewhere {
            Some(elsewhere) => elsewhere(Place { region, endpoint_url }).await,
            None => Err(format!("instance {} is in region {region}, which can't be asked", handle.instance)),
        }
    }

    async fn image(&self) -> Result<Image, Failure> {
        if let Some(ami) = &self.settings.ami {
            return self.named_image(ami).await;
        }
        let filters = &self.settings.filters;
        let images = self.region.images(&filters.owners).await.map_err(|e| self.region.failure("the images can't be listed", &e))?;
        let image = image::choose(images.iter(), filters).map_err(|none| {
            self.region.forget();
            Failure::Retry(none.to_string(), IMAGE_REST)
        })?;
        tracing::info!(image = image.id, location = image.location, "image chosen of {}", images.len());
        Ok(image.clone())
    }

    async fn named_image(&self, ami: &str) -> Result<Image, Failure> {
        let bare = || Image { id: ami.to_owned(), ..Image::default() };
        match self.region.image(ami).await {
            Ok(Some(image)) => Ok(image),
            // The launch itself will tell.
            Ok(None) => {
                self.region.forget();
                Ok(bare())
            }
            // Keys that may start instances need not be allowed more than that.
            Err(e) if matches!(e.class(), Class::Permission | Class::Keys) => {
                tracing::warn!(image = ami, "what volumes the image leaves behind can't be found out: {e}");
                Ok(bare())
            }
            Err(e) => Err(self.region.failure("the image can't be looked up", &e)),
        }
    }

    /// The same with settings for that build; none if they are the same for all.
    async fn made(&self, start: &Start) -> Result<Option<Parts>, Failure> {
        let Some(made) = &self.settings.made else { return Ok(None) };
        let settings = (made.make)(start.clone()).await.map_err(|why| Failure::Retry(why, RENDER_REST))?;
        Ok(Some(Parts {
            master_id: self.master_id.clone(),
            settings,
            region: self.region.clone(),
            elsewhere: self.elsewhere.clone(),
            clock: self.clock.clone(),
        }))
    }

    /// With the choices of a class of the file, if it has some.
    async fn start(&self, start: Start, given: Option<Json>) -> Result<Started, Failure> {
        let made = self.made(&start).await?;
        let parts = made.as_ref().unwrap_or(self);
        let choices = match given {
            Some(given) => choices::given(&given, &parts.settings).map_err(Failure::Configuration)?,
            None => choices::configured(&parts.settings),
        };
        parts.launch(start, choices).await
    }

    async fn launch(&self, start: Start, choices: Vec<Choice>) -> Result<Started, Failure> {
        let user_data = match &self.settings.made_user_data {
            Some(made) => (made.make)(start.clone()).await.map_err(|why| Failure::Retry(format!("user_data: {why}"), RENDER_REST))?,
            None => self.settings.user_data.clone(),
        };
        let mut told = Vec::new();
        for (number, choice) in choices.iter().enumerate() {
            if self.region.is_cool(choice) {
                told.push(format!("{}: there was no room a short while ago", choice.key()));
                continue;
            }
            let image = match &choice.ami {
                Some(ami) => self.named_image(ami).await?,
                None => self.image().await?,
            };
            let (mut run, market) = self.run_instance(&start, &image, choice, number).await?;
            run.user_data = user_data.clone();
            for group in &run.security_groups {
                self.region.has_group(group).await.map_err(|e| self.region.failure("its security group", &e))?;
            }
            let launched_at = self.clock.now();
            match self.run(run).await {
                Ok(instance) => {
                    self.region.warm(choice);
                    self.furnish(&instance).await?;
                    let status = vec![instance.id.clone(), choice.key(), image.id];
                    let price_per_hour = instance.price_per_hour.or(market).or(self.settings.price_per_hour.0);
                    let handle = Handle::new(&instance, &self.settings, launched_at).launched(choice, &self.settings);
                    return Ok(Started { handle: json!(handle), status, price_per_hour });
                }
                Err(e) => match e.class() {
                    Class::Capacity => {
                        tracing::warn!(worker = %start.worker, "no room for {}: {e}", choice.key());
                        self.region.cool(choice.key());
                        told.push(format!("{}: {e}", choice.key()));
                    }
                    Class::Ambiguous => return Err(Failure::Unknown(e.to_string())),
                    _ => return Err(self.refused(&e, choice)),
                },
            }
        }
        Err(Failure::Capacity(format!("no room: {}", told.join("; "))))
    }

    /// The launch itself was refused.
    fn refused(&self, e: &ApiError, choice: &Choice) -> Failure {
        match (&e.code, &self.settings.key_name) {
            // It was there when it was chosen; now another one is.
            (Some(code), _) if code.starts_with("InvalidAMIID") && choice.ami.is_none() && self.settings.ami.is_none() => {
                self.region.forget();
                Failure::Retry(format!("the image that was chosen can't be used: {e}"), self.region.pace.throttled_rest)
            }
            (Some(code), Some(name)) if code == "InvalidKeyPair.NotFound" => {
                Failure::Configuration(preflight::no_key_pair(name, &self.settings.region))
            }
            _ => self.region.failure("the instance was refused", e),
        }
    }

    /// A group that was deleted since is made again; nothing was started then, and the same launch is asked for again.
    async fn run(&self, run: RunInstance) -> Result<InstanceState, ApiError> {
        let [group] = run.security_groups.as_slice() else { return self.region.api.run_instance(run).await };
        let missing = match self.region.api.run_instance(run.clone()).await {
            Err(e) if no_group(&e) => e,
            answer => return answer,
        };
        self.region.make_group(group).await?;
        let mut answer = Err(missing);
        for _ in 0..GROUP_LOOKS {
            answer = self.region.api.run_instance(run.clone()).await;
            if !answer.as_ref().is_err_and(no_group) {
                break;
            }
            tokio::time::sleep(self.region.pace.ask).await;
        }
        answer
    }

    /// And what it costs an hour at the spot market, as far as that is known.
    async fn run_instance(
        &self,
        start: &Start,
        image: &Image,
        choice: &Choice,
        number: usize,
    ) -> Result<(RunInstance, Option<f64>), Failure> {
        let s = &self.settings;
        let (spot, market) = match &s.spot {
            _ if choice.spot_price.is_some() => (Some(Spot { max_price: choice.spot_price }), None),
            Some(spot) => {
                let (max_price, market) = self.spot_price(spot, choice).await?;
                (Some(Spot { max_price }), market)
            }
            None => (None, None),
        };
        let mut tags = vec![
            (MASTER_TAG.to_owned(), self.master_id.clone()),
            (WORKER_TAG.to_owned(), start.worker.to_string()),
            (LAUNCH_TAG.to_owned(), start.launch.to_string()),
            ("Name".to_owned(), start.worker.to_string()),
        ];
        for (key, value) in &s.tags {
            tags.retain(|(known, _)| known != key || known.starts_with("buildmoon:"));
            if !key.starts_with("buildmoon:") {
                tags.push((key.clone(), value.clone()));
            }
        }
        let run = RunInstance {
            // Another choice is another request; the same choice again is the same.
            client_token: format!("{}-{number}", start.launch),
            image_id: image.id.clone(),
            instance_type: choice.instance_type.clone(),
            key_name: s.key_name.clone(),
            security_groups: if s.security_group_ids.is_empty() && choice.subnet_id.is_none() {
                s.security_name.iter().cloned().collect()
            } else {
                Vec::new()
            },
            security_group_ids: s.security_group_ids.clone(),
            subnet_id: choice.subnet_id.clone(),
            associate_public_ip: s.associate_public_ip,
            availability_zone: choice.placement.as_ref().map(|letter| format!("{}{letter}", s.region)),
            instance_profile_name: s.instance_profile_name.clone(),
            user_data: None,
            block_devices: devices(image, &s.block_devices),
            tags,
            spot,
        };
        Ok((run, market))
    }

    /// The highest price (the average of the last day times the multiplier, at most what the configuration says), and that average.
    async fn spot_price(&self, spot: &SpotSettings, choice: &Choice) -> Result<(Option<f64>, Option<f64>), Failure> {
        let Some(multiplier) = spot.multiplier else { return Ok((spot.max_price, None)) };
        let zone = choice.placement.as_ref().map(|letter| format!("{}{letter}", self.settings.region));
        let prices = self.region.api.spot_prices(choice.instance_type.clone(), spot.product.clone(), zone, PRICES_OF).await;
        let prices = prices.map_err(|e| self.region.failure("the prices of the spot market can't be read", &e))?;
        let average = average(&prices);
        Ok((price(average, multiplier, spot.max_price), average))
    }

    /// Address and volumes. A failure leaves it to be found and stopped.
    async fn furnish(&self, instance: &InstanceState) -> Result<(), Failure> {
        let s = &self.settings;
        if s.elastic_ip.is_none() && s.volumes.is_empty() {
            return Ok(());
        }
        let by = Instant::now() + RUNNING_WITHIN;
        loop {
            let seen = self.region.describer.ask(&instance.id).await;
            match seen.as_ref().ok().and_then(|i| i.as_ref()).map(|i| i.state.as_str()) {
                Some("running") => break,
                Some("pending") | None if Instant::now() < by => {}
                state => return Err(Failure::Unknown(format!("{} did not run: it is {}", instance.id, state.unwrap_or("unknown")))),
            }
        }
        if let Some(address) = &s.elastic_ip {
            let done = self.given(|| self.region.api.associate_address(address.clone(), instance.id.clone()));
            done.await.map_err(|e| Failure::Unknown(format!("the address {address} could not be given to {}: {e}", instance.id)))?;
        }
        for (volume, device) in &s.volumes {
            let done = self.given(|| self.region.api.attach_volume(volume.clone(), device.clone(), instance.id.clone()));
            done.await.map_err(|e| Failure::Unknown(format!("the volume {volume} could not be attached to {}: {e}", instance.id)))?;
        }
        Ok(())
    }

    /// What an earlier instance had may still be on its way back from there: it is asked for again for a while.
    async fn given<'a>(&self, ask: impl Fn() -> BoxFuture<'a, Result<(), ApiError>>) -> Result<(), ApiError> {
        let by = Instant::now() + self.region.pace.settling;
        loop {
            match ask().await {
                Err(e) if e.class() == Class::Taken && Instant::now() < by => tokio::time::sleep(self.region.pace.ask).await,
                answer => return answer,
            }
        }
    }

    async fn stop(&self, handle: &Json, fast: bool) -> Result<(), String> {
        let handle = Handle::read(handle)?;
        let region = self.region_of(&handle).await?;
        let (api, id) = (&region.api, handle.instance.as_str());
        let (address, volumes) = handle.clone().furniture(&self.settings);
        if let Some(address) = &address
            && let Err(e) = api.disassociate_address(address.clone(), id.to_owned()).await
        {
            tracing::warn!(instance = id, "its address {address} could not be taken back: {e}");
        }
        for volume in &volumes {
            if let Err(e) = api.detach_volume(volume.clone(), id.to_owned()).await {
                tracing::warn!(instance = id, "the volume {volume} could not be detached: {e}");
            }
        }
        let mut found = true;
        match api.terminate(id.to_owned()).await {
            Ok(()) if fast => return Ok(()),
            Ok(()) => {}
            Err(e) if e.class() == Class::NotFound => found = false,
            Err(e) if e.class() == Class::Protected => {
                tracing::warn!(instance = id, "it is protected from termination; the protection is lifted: {e}");
                api.unprotect(id.to_owned()).await.map_err(|e| e.to_string())?;
                api.terminate(id.to_owned()).await.map_err(|e| e.to_string())?;
            }
            Err(e) => return Err(e.to_string()),
        }
        // The call is no proof, whatever it answers.
        loop {
            match region.describer.ask(id).await {
                Ok(Some(instance)) if instance.over() => return Ok(()),
                Ok(Some(_)) if found => {}
                Ok(Some(instance)) => return Err(format!("instance {id} is {} and was not found when it was to be ended", instance.state)),
                Ok(None) => return self.absent(&handle, &region).await,
                Err(e) if e.class() == Class::Throttle => {}
                Err(e) => return Err(e.to_string()),
            }
        }
    }

    /// It is not known to the provider: gone, unless it is so young that it may not be visible, or can't be visible with these keys.
    async fn absent(&self, handle: &Handle, region: &Region) -> Result<(), String> {
        if self.is_young(handle) {
            return Err("the provider does not show it yet".into());
        }
        let Handle { instance, account: Some(account), .. } = handle else { return Ok(()) };
        match region.account().await {
            Ok(ours) if ours != account => Err(format!(
                "instance {instance} is of account {account}, and the keys are of account {ours} now: configure keys of account {account} to end it"
            )),
            Ok(_) => Ok(()),
            Err(e) => {
                tracing::warn!(instance, account, "whose keys these are can't be found out, and the instance counts as gone: {e}");
                Ok(())
            }
        }
    }

    fn is_young(&self, handle: &Handle) -> bool {
        handle.is_young(self.clock.now(), self.region.pace.settling)
    }

    async fn check(&self, handle: &Json) -> Result<Result<(), String>, String> {
        let handle = Handle::read(handle)?;
        let region = self.region_of(&handle).await?;
        let id = handle.instance.as_str();
        match region.describer.ask(id).await {
            Ok(Some(instance)) if matches!(instance.state.as_str(), "pending" | "running") => Ok(Ok(())),
            Ok(Some(instance)) => {
                let ended = ApiError { code: instance.reason.clone(), message: String::new() };
                if ended.class() == Class::Capacity
                    && let Some(choice) = &handle.choice
                {
                    region.cool(choice.clone());
                }
                Ok(Err(ended_text(&instance)))
            }
            Ok(None) if self.is_young(&handle) => Ok(Ok(())),
            Ok(None) => Ok(Err(format!("instance {id} is not there any more"))),
            Err(e) => Err(e.to_string()),
        }
    }
}

fn no_group(e: &ApiError) -> bool {
    e.code.as_deref() == Some("InvalidGroup.NotFound")
}

/// That it does not run any more, and who ended it.
fn ended_text(instance: &InstanceState) -> String {
    let (id, state) = (&instance.id, &instance.state);
    match instance.reason.as_deref() {
        Some(reason) if reason.starts_with("Server.SpotInstanceTermination") || reason.starts_with("Server.SpotInstanceShutdown") => {
            format!("the spot market took instance {id} back, which is {state} ({reason})")
        }
        Some(reason) if reason.starts_with("Client.InstanceInitiatedShutdown") => {
            format!("instance {id} shut itself down and is {state} ({reason})")
        }
        Some(reason) => format!("instance {id} is {state} ({reason})"),
        None => format!("instance {id} is {state}"),
    }
}

fn average(prices: &[f64]) -> Option<f64> {
    (!prices.is_empty()).then(|| prices.iter().sum::<f64>() / prices.len() as f64)
}

/// The average times the multiplier, at most `max`; without prices `max`.
fn price(average: Option<f64>, multiplier: f64, max: Option<f64>) -> Option<f64> {
    let Some(average) = average else { return max };
    let wanted = average * multiplier;
    Some(max.map_or(wanted, |max| wanted.min(max)))
}

#[cfg(test)]
mod tests;
