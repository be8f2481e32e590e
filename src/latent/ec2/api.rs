//! What is asked of EC2, in plain types. One file below speaks to the real thing; whoever decides speaks to this.

use std::time::Duration;

use serde_json::Value as Json;

use super::image::Image;
use super::query::Query;
pub use crate::config::BlockDevice;
use crate::workers::link::BoxFuture;

/// Tags that mark an instance and its volumes from their birth.
pub const MASTER_TAG: &str = "buildmoon:master";
pub const WORKER_TAG: &str = "buildmoon:worker";
pub const LAUNCH_TAG: &str = "buildmoon:launch";

/// One attempt to start one instance.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RunInstance {
    /// A repeated call with the same token starts nothing more.
    pub client_token: String,
    pub image_id: String,
    pub instance_type: String,
    pub key_name: Option<String>,
    pub security_groups: Vec<String>,
    pub security_group_ids: Vec<String>,
    pub subnet_id: Option<String>,
    pub associate_public_ip: Option<bool>,
    pub availability_zone: Option<String>,
    pub instance_profile_name: Option<String>,
    pub user_data: Option<String>,
    pub block_devices: Vec<BlockDevice>,
    pub tags: Vec<(String, String)>,
    /// At the spot market, for at most that price an hour (none: the on-demand price).
    pub spot: Option<Spot>,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Spot {
    pub max_price: Option<f64>,
}

/// An instance as the provider tells of it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct InstanceState {
    pub id: String,
    /// `pending`, `running`, `shutting-down`, `terminated`, `stopping`, `stopped`, or a word of the future.
    pub state: String,
    /// Why it came to that: `Server.SpotInstanceTermination: …`.
    pub reason: Option<String>,
    pub tags: Vec<(String, String)>,
    /// The number of the account that has it.
    pub account: Option<String>,
    pub price_per_hour: Option<f64>,
}

impl InstanceState {
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.tags.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// It costs nothing any more, or soon won't.
    pub fn over(&self) -> bool {
        matches!(self.state.as_str(), "terminated" | "shutting-down")
    }
}

/// A call that failed.
#[derive(Clone, PartialEq, Debug)]
pub struct ApiError {
    /// `InsufficientInstanceCapacity`; none: no answer that could be understood.
    pub code: Option<String>,
    /// Without any key.
    pub message: String,
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.code {
            Some(code) => write!(f, "{code}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// What an error means for an attempt to start something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// There is no room for this choice: the next one.
    Capacity,
    /// Too many calls: later.
    Throttle,
    /// Nobody knows whether it was done.
    Ambiguous,
    /// The keys may not do that.
    Permission,
    /// There are no keys, or nobody knows these, or not any more.
    Keys,
    /// The configuration is wrong.
    Configuration,
    /// There is no such thing, or not yet.
    NotFound,
    /// It is protected from being stopped.
    Protected,
    /// Another instance has it.
    Taken,
}

/// The code of a call that was not made.
const NOT_SENT: &str = "Client.NotSent";
pub(super) const NO_KEYS: &str = "Client.NoKeys";

/// Codes by what they begin with, the first that fits.
const CLASSES: &[(&str, Class)] = &[
    ("Insufficient", Class::Capacity),
    ("ReservationCapacityExceeded", Class::Capacity),
    ("UnfulfillableCapacity", Class::Capacity),
    ("SpotMaxPriceTooLow", Class::Capacity),
    ("MaxSpotInstanceCountExceeded", Class::Capacity),
    ("VcpuLimitExceeded", Class::Capacity),
    ("InstanceLimitExceeded", Class::Capacity),
    ("Unsupported", Class::Capacity),
    ("Server.InsufficientInstanceCapacity", Class::Capacity),
    ("Server.SpotInstanceTermination", Class::Capacity),
    ("Server.SpotInstanceShutdown", Class::Capacity),
    ("RequestLimitExceeded", Class::Throttle),
    ("Throttl", Class::Throttle),
    ("EC2ThrottledException", Class::Throttle),
    ("InternalError", Class::Ambiguous),
    ("InternalFailure", Class::Ambiguous),
    ("Unavailable", Class::Ambiguous),
    ("ServiceUnavailable", Class::Ambiguous),
    ("RequestTimeout", Class::Ambiguous),
    // The token was used with other parameters before: something of that name was started.
    ("IdempotentParameterMismatch", Class::Ambiguous),
    ("UnauthorizedOperation", Class::Permission),
    (NO_KEYS, Class::Keys),
    ("AuthFailure", Class::Keys),
    ("ExpiredToken", Class::Keys),
    ("RequestExpired", Class::Keys),
    ("InvalidClientTokenId", Class::Keys),
    ("InvalidAccessKeyId", Class::Keys),
    ("InvalidSignature", Class::Keys),
    ("IncompleteSignature", Class::Keys),
    ("SignatureDoesNotMatch", Class::Keys),
    ("MissingAuthenticationToken", Class::Keys),
    ("UnrecognizedClient", Class::Keys),
    ("AccessDenied", Class::Permission),
    ("OptInRequired", Class::Permission),
    ("PendingVerification", Class::Permission),
    ("Blocked", Class::Permission),
    ("InvalidInstanceID.NotFound", Class::NotFound),
    ("InvalidVolume.NotFound", Class::NotFound),
    ("InvalidAllocationID.NotFound", Class::NotFound),
    ("InvalidAssociationID.NotFound", Class::NotFound),
    ("OperationNotPermitted", Class::Protected),
    ("VolumeInUse", Class::Taken),
    ("IncorrectState", Class::Taken),
    ("Resource.AlreadyAssociated", Class::Taken),
    ("InvalidIPAddress.InUse", Class::Taken),
    ("Invalid", Class::Configuration),
    ("Missing", Class::Configuration),
    ("Malformed", Class::Configuration),
    ("Unknown", Class::Configuration),
    ("VPC", Class::Configuration),
    ("MarketplaceVerification", Class::Configuration),
    ("Client.", Class::Configuration),
];

impl ApiError {
    /// The call could not be made.
    pub fn not_sent(message: String) -> ApiError {
        ApiError { code: Some(NOT_SENT.into()), message }
    }

    /// It was not made for want of keys.
    pub fn no_keys(message: String) -> ApiError {
        ApiError { code: Some(NO_KEYS.into()), message }
    }

    pub fn class(&self) -> Class {
        match &self.code {
            None => Class::Ambiguous,
            Some(code) => CLASSES.iter().find(|(begin, _)| code.starts_with(begin)).map_or(Class::Ambiguous, |(_, class)| *class),
        }
    }
}

/// The provider. Retries of throttling and of failures of transport are its own affair.
pub trait Ec2Api: Send + Sync + 'static {
    fn run_instance(&self, run: RunInstance) -> BoxFuture<'_, Result<InstanceState, ApiError>>;

    /// Those of the ids that there are; one call for up to two hundred.
    fn describe(&self, ids: Vec<String>) -> BoxFuture<'_, Result<Vec<InstanceState>, ApiError>>;

    /// Every instance that carries the tag with this value and is not over; all pages.
    fn list(&self, tag: &'static str, value: String) -> BoxFuture<'_, Result<Vec<InstanceState>, ApiError>>;

    fn terminate(&self, id: String) -> BoxFuture<'_, Result<(), ApiError>>;

    /// Lifts the protection from termination.
    fn unprotect(&self, id: String) -> BoxFuture<'_, Result<(), ApiError>>;

    /// Available images of these owners; all pages.
    fn images(&self, owners: Vec<String>) -> BoxFuture<'_, Result<Vec<Image>, ApiError>>;

    fn image(&self, id: String) -> BoxFuture<'_, Result<Option<Image>, ApiError>>;

    /// Prices an hour at the spot market, of the time that ends now.
    fn spot_prices(
        &self,
        instance_type: String,
        product: String,
        zone: Option<String>,
        last: Duration,
    ) -> BoxFuture<'_, Result<Vec<f64>, ApiError>>;

    fn associate_address(&self, address: String, instance: String) -> BoxFuture<'_, Result<(), ApiError>>;

    /// Takes the address from this instance; nothing if it belongs to another or to none.
    fn disassociate_address(&self, address: String, instance: String) -> BoxFuture<'_, Result<(), ApiError>>;

    fn attach_volume(&self, volume: String, device: String, instance: String) -> BoxFuture<'_, Result<(), ApiError>>;

    fn detach_volume(&self, volume: String, instance: String) -> BoxFuture<'_, Result<(), ApiError>>;

    fn has_key_pair(&self, name: String) -> BoxFuture<'_, Result<bool, ApiError>>;

    /// The id of the group of that name.
    fn security_group(&self, name: String) -> BoxFuture<'_, Result<Option<String>, ApiError>>;

    fn has_security_group(&self, id: String) -> BoxFuture<'_, Result<bool, ApiError>>;

    /// A group with no open port.
    fn create_security_group(&self, name: String) -> BoxFuture<'_, Result<String, ApiError>>;

    fn has_subnet(&self, id: String) -> BoxFuture<'_, Result<bool, ApiError>>;

    /// Does this account have the address?
    fn has_address(&self, address: String) -> BoxFuture<'_, Result<bool, ApiError>>;

    /// The last of what the instance wrote to its console.
    fn console_tail(&self, id: String) -> BoxFuture<'_, Result<String, ApiError>>;

    /// A call of whatever service, with these keys, made once.
    fn query(&self, query: Query) -> BoxFuture<'_, Result<Json, ApiError>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sorted() {
        for (code, class) in [
            ("InsufficientInstanceCapacity", Class::Capacity),
            ("Server.InsufficientInstanceCapacity: no room", Class::Capacity),
            ("Throttling", Class::Throttle),
            ("RequestLimitExceeded", Class::Throttle),
            ("InternalError", Class::Ambiguous),
            ("SomethingOfTheFuture", Class::Ambiguous),
            ("UnauthorizedOperation", Class::Permission),
            ("InvalidClientTokenId", Class::Keys),
            ("SignatureDoesNotMatch", Class::Keys),
            ("InvalidAccessKeyId", Class::Keys),
            ("InsufficientVolumeCapacity", Class::Capacity),
            ("InvalidAMIID.NotFound", Class::Configuration),
            ("InvalidUserData.Malformed", Class::Configuration),
            ("InvalidInstanceID.NotFound", Class::NotFound),
            ("OperationNotPermitted", Class::Protected),
            ("VolumeInUse", Class::Taken),
            ("IncorrectState", Class::Taken),
            ("Resource.AlreadyAssociated", Class::Taken),
            ("InvalidIPAddress.InUse", Class::Taken),
        ] {
            assert_eq!(ApiError { code: Some(code.into()), message: String::new() }.class(), class, "{code}");
        }
        assert_eq!(ApiError { code: None, message: "connection reset".into() }.class(), Class::Ambiguous);
    }
}
