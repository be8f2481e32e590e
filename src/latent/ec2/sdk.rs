//! The real EC2 through `aws-sdk-ec2`: the only file that names the SDK. Translates; decides nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::config::interceptors::InterceptorContext;
use aws_sdk_ec2::config::retry::{ClassifyRetry, RetryAction, RetryConfig};
use aws_sdk_ec2::config::timeout::TimeoutConfig;
use aws_sdk_ec2::config::{Credentials, Region};
use aws_sdk_ec2::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::operation::run_instances::RunInstancesError;
use aws_sdk_ec2::types as sdk;
use aws_smithy_http_client::tls;
use aws_smithy_types::DateTime;
use base64::Engine as _;
use serde_json::Value as Json;
use tokio::sync::OnceCell;

use super::api::{ApiError, BlockDevice, Class, Ec2Api, InstanceState, RunInstance};
use super::credentials::Keys;
use super::image::Image;
use super::query::{self, Caller, Query};
use crate::base::{Clock, Secret, SystemClock};
use crate::workers::link::BoxFuture;

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Pages of one listing; an endless one is a fault of the provider.
const MOST_PAGES: usize = 1000;

/// Whom to speak to, and as whom.
#[derive(Clone, Debug, Default)]
pub struct Connect {
    pub region: String,
    pub endpoint_url: Option<String>,
    pub profile: Option<String>,
    /// None: the chain of environment, profile, SSO, role.
    pub keys: Option<Keys>,
}

/// How long one call goes on.
#[derive(Clone, Debug)]
pub struct Patience {
    /// Throttling and failures of transport are tried again so often within one call.
    pub attempts: u32,
    /// Before the second attempt, at most; each one more doubles it.
    pub backoff: Duration,
    pub answer_within: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { attempts: 4, backoff: Duration::from_secs(1), answer_within: Duration::from_secs(60) }
    }
}

pub struct Ec2 {
    client: Client,
    /// For the calls that the SDK does not make.
    config: SdkConfig,
    endpoint_url: Option<String>,
    http: OnceCell<reqwest::Client>,
}

impl Ec2 {
    pub async fn connect(to: Connect) -> Ec2 {
        Ec2::connect_with(to, Patience::default()).await
    }

    pub async fn connect_with(to: Connect, patience: Patience) -> Ec2 {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
            .build_https();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .region(Region::new(to.region))
            .retry_config(RetryConfig::standard().with_max_attempts(patience.attempts).with_initial_backoff(patience.backoff))
            .timeout_config(
                TimeoutConfig::builder().connect_timeout(CONNECT_WITHIN).operation_attempt_timeout(patience.answer_within).build(),
            );
        if let Some(profile) = to.profile {
            loader = loader.profile_name(profile);
        }
        let endpoint_url = to.endpoint_url;
        if let Some(url) = &endpoint_url {
            loader = loader.endpoint_url(url);
        }
        if let Some(keys) = to.keys {
            loader = loader.credentials_provider(Credentials::new(keys.identifier.reveal(), keys.secret.reveal(), None, None, "buildmoon"));
        }
        let config = loader.load().await;
        Ec2 { client: Client::new(&config), config, endpoint_url, http: OnceCell::new() }
    }

    async fn caller(&self) -> Result<Caller, ApiError> {
        let provider = self.config.credentials_provider().ok_or_else(|| ApiError::no_keys("there are no keys".into()))?;
        let keys = provider.provide_credentials().await.map_err(|e| no_keys(&e))?;
        Ok(Caller {
            keys: Keys { identifier: Secret::new(keys.access_key_id()), secret: Secret::new(keys.secret_access_key()) },
            token: keys.session_token().map(Secret::new),
            region: self.config.region().map(ToString::to_string).unwrap_or_default(),
            endpoint_url: self.endpoint_url.clone(),
        })
    }
}

fn error<E: ProvideErrorMetadata + std::error::Error + 'static>(e: SdkError<E, HttpResponse>) -> ApiError {
    match &e {
        SdkError::ServiceError(service) => {
            let meta = service.err();
            let status = || format!("HTTP status {} and no message", service.raw().status().as_u16());
            let message = meta.message().map_or_else(status, str::to_owned);
            ApiError { code: meta.code().map(str::to_owned), message }
        }
        // Nothing was sent.
        SdkError::ConstructionFailure(_) => ApiError::not_sent(DisplayErrorContext(&e).to_string()),
        _ if is_keyless(&e) => no_keys(&e),
        _ => ApiError { code: None, message: DisplayErrorContext(&e).to_string() },
    }
}

/// It failed for want of keys, before anything was sent.
fn is_keyless(e: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(e), |e| e.source()).any(|e| e.is::<CredentialsError>())
}

/// The last of the causes tells most.
fn no_keys(e: &(dyn std::error::Error + 'static)) -> ApiError {
    ApiError::no_keys(format!("there are no keys: {}", query::innermost(e)))
}

/// The attempts of one launch. Where there is no room a repetition only takes time; and after an attempt of which nobody knows whether
/// it started something, a refusal of the next one does not say that nothing was started.
#[derive(Clone, Debug, Default)]
struct Attempts {
    unclear: Arc<AtomicBool>,
}

impl ClassifyRetry for Attempts {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let Some(Err(failed)) = context.output_or_error() else { return RetryAction::NoActionIndicated };
        if is_keyless(failed) {
            return RetryAction::NoActionIndicated;
        }
        let answer = failed.as_operation_error().and_then(|e| e.downcast_ref::<RunInstancesError>());
        let known = answer.map(|e| ApiError { code: e.code().map(str::to_owned), message: String::new() });
        match known.map_or(Class::Ambiguous, |e| e.class()) {
            Class::Capacity => RetryAction::RetryForbidden,
            Class::Ambiguous => {
                self.unclear.store(true, Ordering::SeqCst);
                RetryAction::NoActionIndicated
            }
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "attempts of a launch"
    }
}

fn nothing<T>(what: &str) -> Result<T, ApiError> {
    Err(ApiError { code: None, message: format!("the answer has no {what}") })
}

fn tags(pairs: &[(String, String)]) -> Vec<sdk::Tag> {
    pairs.iter().map(|(key, value)| sdk::Tag::builder().key(key).value(value).build()).collect()
}

fn state(i: &sdk::Instance, account: Option<&str>) -> Option<InstanceState> {
    let reason = i.state_reason().and_then(|r| match (r.code(), r.message()) {
        (Some(code), Some(message)) if !message.starts_with(code) => Some(format!("{code}: {message}")),
        (code, message) => message.or(code).map(str::to_owned),
    });
    Some(InstanceState {
        id: i.instance_id()?.to_owned(),
        state: i.state().and_then(|s| s.name()).map(|n| n.as_str().to_owned()).unwrap_or_default(),
        reason: reason.filter(|r| !r.is_empty()),
        tags: i.tags().iter().filter_map(|t| Some((t.key()?.to_owned(), t.value().unwrap_or_default().to_owned()))).collect(),
        account: account.map(str::to_owned),
        price_per_hour: None,
    })
}

fn image(i: &sdk::Image) -> Option<Image> {
    Some(Image {
        id: i.image_id()?.to_owned(),
        location: i.image_location().map(str::to_owned),
        owner: i.owner_id().unwrap_or_default().to_owned(),
        state: i.state().map(|s| s.as_str().to_owned()).unwrap_or_default(),
        keeps: i
            .block_device_mappings()
            .iter()
            .filter(|d| d.ebs().and_then(|e| e.delete_on_termination()) == Some(false))
            .filter_map(|d| Some((d.device_name()?.to_owned(), d.ebs().and_then(|e| e.volume_size()))))
            .collect(),
    })
}

fn device(d: &BlockDevice) -> sdk::BlockDeviceMapping {
    let ebs = sdk::EbsBlockDevice::builder()
        .set_snapshot_id(d.snapshot_id.clone())
        .set_volume_size(d.volume_size_gib)
        .set_volume_type(d.volume_type.as_deref().map(sdk::VolumeType::from))
        .set_iops(d.iops)
        .set_throughput(d.throughput)
        .set_encrypted(d.encrypted)
        .set_kms_key_id(d.kms_key_id.clone())
        // Nothing is to stay when the instance goes, unless the configuration says so.
        .delete_on_termination(d.delete_on_termination.unwrap_or(true))
        .build();
    let plain = d.virtual_name.is_some() || d.no_device;
    sdk::BlockDeviceMapping::builder()
        .device_name(&d.device_name)
        .set_virtual_name(d.virtual_name.clone())
        .set_no_device(d.no_device.then(String::new))
        .set_ebs((!plain).then_some(ebs))
        .build()
}

fn filter(name: &str, values: impl IntoIterator<Item = String>) -> sdk::Filter {
    sdk::Filter::builder().name(name).set_values(Some(values.into_iter().collect())).build()
}

impl Ec2 {
    async fn run(&self, run: RunInstance) -> Result<InstanceState, ApiError> {
        let marked = [sdk::ResourceType::Instance, sdk::ResourceType::Volume]
            .map(|kind| sdk::TagSpecification::builder().resource_type(kind).set_tags(Some(tags(&run.tags))).build());
        let mut call = self
            .client
            .run_instances()
            .client_token(run.client_token)
            .image_id(run.image_id)
            .instance_type(sdk::InstanceType::from(run.instance_type.as_str()))
            .min_count(1)
            .max_count(1)
            .set_key_name(run.key_name)
            .set_tag_specifications(Some(marked.to_vec()))
            .instance_initiated_shutdown_behavior(sdk::ShutdownBehavior::Terminate)
            .metadata_options(sdk::InstanceMetadataOptionsRequest::builder().http_tokens(sdk::HttpTokensState::Required).build());
        if !run.block_devices.is_empty() {
            call = call.set_block_device_mappings(Some(run.block_devices.iter().map(device).collect()));
        }
        if let Some(zone) = run.availability_zone {
            call = call.placement(sdk::Placement::builder().availability_zone(zone).build());
        }
        if let Some(name) = run.instance_profile_name {
            call = call.iam_instance_profile(sdk::IamInstanceProfileSpecification::builder().name(name).build());
        }
        if let Some(data) = run.user_data {
            call = call.user_data(base64::engine::general_purpose::STANDARD.encode(data));
        }
        if let Some(spot) = run.spot {
            let options = sdk::SpotMarketOptions::builder()
                .spot_instance_type(sdk::SpotInstanceType::OneTime)
                .instance_interruption_behavior(sdk::InstanceInterruptionBehavior::Terminate)
                .set_max_price(spot.max_price.map(|p| format!("{p:.6}")))
                .build();
            call = call.instance_market_options(
                sdk::InstanceMarketOptionsRequest::builder().market_type(sdk::MarketType::Spot).spot_options(options).build(),
            );
        }
        let ids = (!run.security_group_ids.is_empty()).then_some(run.security_group_ids);
        let names = (!run.security_groups.is_empty()).then_some(run.security_groups);
        // Where a public address is asked for, subnet and groups belong to the interface.
        call = match run.associate_public_ip {
            Some(public) => call.network_interfaces(
                sdk::InstanceNetworkInterfaceSpecification::builder()
                    .device_index(0)
                    .associate_public_ip_address(public)
                    .set_subnet_id(run.subnet_id)
                    .set_groups(ids)
                    .build(),
            ),
            None => call.set_subnet_id(run.subnet_id).set_security_group_ids(ids).set_security_groups(names),
        };
        let attempts = Attempts::default();
        let how = aws_sdk_ec2::Config::builder().retry_classifier(attempts.clone());
        let answer = call.customize().config_override(how).send().await.map_err(|e| match error(e) {
            e if attempts.unclear.load(Ordering::SeqCst) => {
                ApiError { code: None, message: format!("an attempt may have started it, and was answered in the end: {e}") }
            }
            e => e,
        })?;
        match answer.instances().iter().find_map(|i| state(i, answer.owner_id())) {
            Some(instance) => Ok(instance),
            None => nothing("instance"),
        }
    }

    async fn instances(&self, filters: Vec<sdk::Filter>) -> Result<Vec<InstanceState>, ApiError> {
        let mut found = Vec::new();
        let mut pages = self.client.describe_instances().set_filters(Some(filters)).into_paginator().page_size(1000).send();
        let mut count = 0;
        while let Some(page) = pages.next().await {
            let page = page.map_err(error)?;
            let of = |r: &sdk::Reservation| r.instances().iter().filter_map(|i| state(i, r.owner_id())).collect::<Vec<_>>();
            found.extend(page.reservations().iter().flat_map(of));
            count += 1;
            if count >= MOST_PAGES {
                return Err(ApiError { code: None, message: format!("the listing does not end after {MOST_PAGES} pages") });
            }
        }
        Ok(found)
    }

    async fn all_images(&self, owners: Vec<String>) -> Result<Vec<Image>, ApiError> {
        let mut found = Vec::new();
        let call = self.client.describe_images().filters(filter("state", ["available".to_owned()]));
        let mut pages = call.set_owners((!owners.is_empty()).then_some(owners)).into_paginator().page_size(1000).send();
        let mut count = 0;
        while let Some(page) = pages.next().await {
            found.extend(page.map_err(error)?.images().iter().filter_map(image));
            count += 1;
            if count >= MOST_PAGES {
                return Err(ApiError { code: None, message: format!("the listing does not end after {MOST_PAGES} pages") });
            }
        }
        Ok(found)
    }

    async fn has_volume(&self, instance: &str, volume: String) -> Result<bool, ApiError> {
        let answer = self.client.describe_volumes().volume_ids(volume).send().await.map_err(error)?;
        let attached = |a: &sdk::VolumeAttachment| {
            let state = a.state().map(|s| s.as_str()).unwrap_or_default();
            a.instance_id() == Some(instance) && ["attaching", "attached"].contains(&state)
        };
        Ok(answer.volumes().iter().flat_map(|v| v.attachments()).any(attached))
    }

    /// The address with what it takes to give it away.
    async fn address(&self, address: &str) -> Result<Option<sdk::Address>, ApiError> {
        let answer = self.client.describe_addresses().filters(filter("public-ip", [address.to_owned()])).send().await.map_err(error)?;
        Ok(answer.addresses().first().cloned())
    }
}

impl Ec2Api for Ec2 {
    fn run_instance(&self, run: RunInstance) -> BoxFuture<'_, Result<InstanceState, ApiError>> {
        Box::pin(self.run(run))
    }

    fn describe(&self, ids: Vec<String>) -> BoxFuture<'_, Result<Vec<InstanceState>, ApiError>> {
        // By a filter: an id that is not known is no error then.
        Box::pin(self.instances(vec![filter("instance-id", ids)]))
    }

    fn list(&self, tag: &'static str, value: String) -> BoxFuture<'_, Result<Vec<InstanceState>, ApiError>> {
        let alive = ["pending", "running", "stopping", "stopped"].map(str::to_owned);
        Box::pin(self.instances(vec![filter(&format!("tag:{tag}"), [value]), filter("instance-state-name", alive)]))
    }

    fn terminate(&self, id: String) -> BoxFuture<'_, Result<(), ApiError>> {
        Box::pin(async move { self.client.terminate_instances().instance_ids(id).send().await.map(drop).map_err(error) })
    }

    fn unprotect(&self, id: String) -> BoxFuture<'_, Result<(), ApiError>> {
        let off = sdk::AttributeBooleanValue::builder().value(false).build();
        let call = self.client.modify_instance_attribute().instance_id(id).disable_api_termination(off);
        Box::pin(async move { call.send().await.map(drop).map_err(error) })
    }

    fn images(&self, owners: Vec<String>) -> BoxFuture<'_, Result<Vec<Image>, ApiError>> {
        Box::pin(self.all_images(owners))
    }

    fn image(&self, id: String) -> BoxFuture<'_, Result<Option<Image>, ApiError>> {
        Box::pin(async move {
            match self.client.describe_images().image_ids(id).send().await.map_err(error) {
                Ok(answer) => Ok(answer.images().first().and_then(image)),
                Err(e) if e.code.as_deref().is_some_and(|c| c.starts_with("InvalidAMIID")) => Ok(None),
                Err(e) => Err(e),
            }
        })
    }

    fn spot_prices(
        &self,
        instance_type: String,
        product: String,
        zone: Option<String>,
        last: Duration,
    ) -> BoxFuture<'_, Result<Vec<f64>, ApiError>> {
        let since = SystemClock.now().seconds() - last.as_secs_f64();
        let call = self
            .client
            .describe_spot_price_history()
            .start_time(DateTime::from_secs_f64(since))
            .instance_types(sdk::InstanceType::from(instance_type.as_str()))
            .product_descriptions(product)
            .set_availability_zone(zone);
        Box::pin(async move {
            let mut prices = Vec::new();
            // A page may be empty and not be the last.
            let mut pages = call.into_paginator().page_size(1000).send();
            for _ in 0..MOST_PAGES {
                let Some(page) = pages.next().await else { break };
                let page = page.map_err(error)?;
                prices.extend(page.spot_price_history().iter().filter_map(|p| p.spot_price()?.parse::<f64>().ok()));
            }
            Ok(prices)
        })
    }

    fn associate_address(&self, address: String, instance: String) -> BoxFuture<'_, Result<(), ApiError>> {
        Box::pin(async move {
            let known = self.address(&address).await?;
            let call = self.client.associate_address().instance_id(instance);
            let call = match known.as_ref().and_then(|a| a.allocation_id()) {
                Some(id) => call.allocation_id(id).allow_reassociation(false),
                None => call.public_ip(address),
            };
            call.send().await.map(drop).map_err(error)
        })
    }

    fn disassociate_address(&self, address: String, instance: String) -> BoxFuture<'_, Result<(), ApiError>> {
        Box::pin(async move {
            let known = self.address(&address).await?;
            let Some(known) = known.filter(|a| a.instance_id() == Some(&instance)) else { return Ok(()) };
            let call = self.client.disassociate_address();
            let call = match known.association_id() {
                Some(id) => call.association_id(id),
                None => call.public_ip(address),
            };
            call.send().await.map(drop).map_err(error)
        })
    }

    fn attach_volume(&self, volume: String, device: String, instance: String) -> BoxFuture<'_, Result<(), ApiError>> {
        Box::pin(async move {
            let call = self.client.attach_volume().volume_id(&volume).device(device).instance_id(&instance);
            match call.send().await.map_err(error) {
                // An earlier attempt may have done it.
                Err(e) if e.class() == Class::Taken && self.has_volume(&instance, volume).await.unwrap_or(false) => Ok(()),
                answer => answer.map(drop),
            }
        })
    }

    fn detach_volume(&self, volume: String, instance: String) -> BoxFuture<'_, Result<(), ApiError>> {
        let call = self.client.detach_volume().volume_id(volume).instance_id(instance);
        Box::pin(async move { call.send().await.map(drop).map_err(error) })
    }

    fn has_key_pair(&self, name: String) -> BoxFuture<'_, Result<bool, ApiError>> {
        let call = self.client.describe_key_pairs().filters(filter("key-name", [name]));
        Box::pin(async move { Ok(!call.send().await.map_err(error)?.key_pairs().is_empty()) })
    }

    fn security_group(&self, name: String) -> BoxFuture<'_, Result<Option<String>, ApiError>> {
        let call = self.client.describe_security_groups().filters(filter("group-name", [name]));
        Box::pin(async move {
            let answer = call.send().await.map_err(error)?;
            Ok(answer.security_groups().first().and_then(|g| g.group_id()).map(str::to_owned))
        })
    }

    fn has_security_group(&self, id: String) -> BoxFuture<'_, Result<bool, ApiError>> {
        let call = self.client.describe_security_groups().filters(filter("group-id", [id]));
        Box::pin(async move { Ok(!call.send().await.map_err(error)?.security_groups().is_empty()) })
    }

    fn create_security_group(&self, name: String) -> BoxFuture<'_, Result<String, ApiError>> {
        let call = self.client.create_security_group().group_name(name).description("Buildmoon's latent workers; no port is open");
        Box::pin(async move {
            match call.send().await.map_err(error)?.group_id() {
                Some(id) => Ok(id.to_owned()),
                None => nothing("id of the group"),
            }
        })
    }

    fn has_subnet(&self, id: String) -> BoxFuture<'_, Result<bool, ApiError>> {
        let call = self.client.describe_subnets().filters(filter("subnet-id", [id]));
        Box::pin(async move { Ok(!call.send().await.map_err(error)?.subnets().is_empty()) })
    }

    fn has_address(&self, address: String) -> BoxFuture<'_, Result<bool, ApiError>> {
        Box::pin(async move { Ok(self.address(&address).await?.is_some()) })
    }

    fn console_tail(&self, id: String) -> BoxFuture<'_, Result<String, ApiError>> {
        let call = self.client.get_console_output().instance_id(id);
        Box::pin(async move {
            let answer = call.send().await.map_err(error)?;
            let packed = answer.output().unwrap_or_default().trim().to_owned();
            let bytes = base64::engine::general_purpose::STANDARD.decode(packed).unwrap_or_default();
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        })
    }

    fn query(&self, query: Query) -> BoxFuture<'_, Result<Json, ApiError>> {
        Box::pin(async move {
            let caller = self.caller().await?;
            // The system's roots are read from files, once.
            let made = self.http.get_or_try_init(|| async { tokio::task::spawn_blocking(query::client).await.map_err(|e| e.to_string())? });
            query::call(made.await.map_err(ApiError::not_sent)?, &caller, &query, SystemClock.now()).await
        })
    }
}
