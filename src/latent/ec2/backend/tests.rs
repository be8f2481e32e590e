//! The backend against a provider in memory: what is asked of it, and what its answers mean.

mod gone;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::base::Secret;
use crate::latent::ec2::api::Ec2Api;
use crate::latent::ec2::image::{Filters, Image};
use crate::latent::ec2::keyless::Keyless;
use crate::latent::ec2::settings::{MadeSettings, MadeUserData, MakeUserData, Price};

/// A provider in memory. `refuse` holds the codes of the next starts, the last first.
#[derive(Default)]
struct Provider {
    /// The number of the account.
    account: Option<&'static str>,
    runs: Mutex<Vec<RunInstance>>,
    refuse: Mutex<Vec<&'static str>>,
    instances: Mutex<Vec<InstanceState>>,
    describes: AtomicUsize,
    /// `associate_address` fails with that.
    no_address: Mutex<Option<&'static str>>,
    terminate_refuses: Mutex<Vec<&'static str>>,
    /// What a look at these things comes to: nothing is there, or that code.
    looks: Mutex<Vec<(&'static str, Option<&'static str>)>>,
    groups_made: AtomicUsize,
    images_listed: AtomicUsize,
    /// Of the next attempts to attach a volume, the last first.
    attach_refuses: Mutex<Vec<&'static str>>,
    /// Addresses and volumes that instances were given, and those that were taken back.
    lent: Mutex<Vec<String>>,
    taken_back: Mutex<Vec<String>>,
}

impl Provider {
    fn there(&self, what: &str) -> Result<bool, ApiError> {
        match self.looks.lock().unwrap().iter().find(|(name, _)| *name == what || *name == "*") {
            Some((_, None)) => Ok(false),
            Some((_, Some(""))) => Err(ApiError { code: None, message: "no address".into() }),
            Some((_, Some(code))) => Err(error(code)),
            None => Ok(true),
        }
    }
}

fn error(code: &str) -> ApiError {
    ApiError { code: Some(code.into()), message: "as told".into() }
}

fn done<T: Send + 'static>(value: T) -> BoxFuture<'static, T> {
    Box::pin(async move { value })
}

impl Ec2Api for Provider {
    fn run_instance(&self, run: RunInstance) -> BoxFuture<'_, Result<InstanceState, ApiError>> {
        self.runs.lock().unwrap().push(run.clone());
        if let Some(code) = self.refuse.lock().unwrap().pop() {
            return done(Err(error(code)));
        }
        let mut instances = self.instances.lock().unwrap();
        let id = format!("i-{}", instances.len());
        let account = self.account.map(str::to_owned);
        let instance = InstanceState { id, state: "running".into(), tags: run.tags, account, ..InstanceState::default() };
        instances.push(instance.clone());
        done(Ok(instance))
    }
    fn describe(&self, ids: Vec<String>) -> BoxFuture<'_, Result<Vec<InstanceState>, ApiError>> {
        self.describes.fetch_add(1, Ordering::SeqCst);
        done(Ok(self.instances.lock().unwrap().iter().filter(|i| ids.contains(&i.id)).cloned().collect()))
    }
    fn list(&self, tag: &'static str, value: String) -> BoxFuture<'_, Result<Vec<InstanceState>, ApiError>> {
        done(Ok(self.instances.lock().unwrap().iter().filter(|i| i.tag(tag) == Some(&value)).cloned().collect()))
    }
    fn terminate(&self, id: String) -> BoxFuture<'_, Result<(), ApiError>> {
        if let Some(code) = self.terminate_refuses.lock().unwrap().pop() {
            return done(Err(error(code)));
        }
        let mut instances = self.instances.lock().unwrap();
        match instances.iter_mut().find(|i| i.id == id) {
            Some(instance) => instance.state = "shutting-down".into(),
            None => return done(Err(error("InvalidInstanceID.NotFound"))),
        }
        done(Ok(()))
    }
    fn unprotect(&self, _: String) -> BoxFuture<'_, Result<(), ApiError>> {
        done(Ok(()))
    }
    fn images(&self, _: Vec<String>) -> BoxFuture<'_, Result<Vec<Image>, ApiError>> {
        let image = |n: u32| Image {
            id: format!("ami-{n}"),
            location: Some(format!("ci-{n}/x")),
            owner: "1".into(),
            state: "available".into(),
            ..Image::default()
        };
        self.images_listed.fetch_add(1, Ordering::SeqCst);
        done(Ok((1..=12).map(image).collect()))
    }
    fn image(&self, id: String) -> BoxFuture<'_, Result<Option<Image>, ApiError>> {
        let state = if id == "ami-pending" { "pending" } else { "available" };
        done(self.there("image").map(|there| there.then(|| Image { id, state: state.into(), ..Image::default() })))
    }
    fn spot_prices(&self, _: String, _: String, _: Option<String>, _: Duration) -> BoxFuture<'_, Result<Vec<f64>, ApiError>> {
        done(Ok(vec![0.1, 0.3]))
    }
    fn associate_address(&self, _: String, _: String) -> BoxFuture<'_, Result<(), ApiError>> {
        done(self.no_address.lock().unwrap().map_or(Ok(()), |code| Err(error(code))))
    }
    fn disassociate_address(&self, address: String, id: String) -> BoxFuture<'_, Result<(), ApiError>> {
        self.taken_back.lock().unwrap().push(format!("{address} of {id}"));
        done(Ok(()))
    }
    fn attach_volume(&self, volume: String, device: String, id: String) -> BoxFuture<'_, Result<(), ApiError>> {
        if let Some(code) = self.attach_refuses.lock().unwrap().pop() {
            return done(Err(error(code)));
        }
        self.lent.lock().unwrap().push(format!("{volume} to {id} as {device}"));
        done(Ok(()))
    }
    fn detach_volume(&self, volume: String, id: String) -> BoxFuture<'_, Result<(), ApiError>> {
        self.taken_back.lock().unwrap().push(format!("{volume} of {id}"));
        done(Ok(()))
    }
    fn has_key_pair(&self, _: String) -> BoxFuture<'_, Result<bool, ApiError>> {
        done(self.there("key pair"))
    }
    fn security_group(&self, _: String) -> BoxFuture<'_, Result<Option<String>, ApiError>> {
        done(self.there("group").map(|there| there.then(|| "sg-1".into())))
    }
    fn has_security_group(&self, _: String) -> BoxFuture<'_, Result<bool, ApiError>> {
        done(self.there("group"))
    }
    fn create_security_group(&self, _: String) -> BoxFuture<'_, Result<String, ApiError>> {
        done(match self.groups_made.fetch_add(1, Ordering::SeqCst) {
            0 => Ok("sg-1".into()),
            _ => Err(error("InvalidGroup.Duplicate")),
        })
    }
    fn has_subnet(&self, _: String) -> BoxFuture<'_, Result<bool, ApiError>> {
        done(self.there("subnet"))
    }
    fn has_address(&self, _: String) -> BoxFuture<'_, Result<bool, ApiError>> {
        done(self.there("address"))
    }
    fn console_tail(&self, id: String) -> BoxFuture<'_, Result<String, ApiError>> {
        done(Ok(format!("{id} boots")))
    }
    fn query(&self, query: Query) -> BoxFuture<'_, Result<Json, ApiError>> {
        done(match (query.action.as_str(), self.account) {
            ("GetCallerIdentity", Some(account)) => Ok(json!({ "GetCallerIdentityResult": { "Account": account } })),
            _ => Err(error("InvalidAction")),
        })
    }
}

#[tokio::test(start_paused = true)]
async fn volumes_of_a_build_are_lent_to_its_instance_and_taken_back() {
    let provider = Arc::new(Provider::default());
    let plain = Settings { instance_types: types(&["m5"]), ami: Some("ami-1".into()), ..Settings::default() };
    let lends = Settings { region: "us-east-1".into(), ..plain.clone() };
    let make = move |start: Start| -> BoxFuture<'static, Result<Settings, String>> {
        let volume = start.properties["volume"].as_str().unwrap_or_default().to_owned();
        let settings = Settings { volumes: vec![(volume, "/dev/sdf".into())], elastic_ip: Some("1.2.3.4".into()), ..lends.clone() };
        done(Ok(settings))
    };
    let made = Some(MadeSettings { of: "volumes".into(), make: Arc::new(make) });
    let backend = backend(&provider, Settings { made, ..plain });
    let wanted = Start { properties: serde_json::Map::from_iter([("volume".to_owned(), json!("vol-7"))]), ..start("a") };
    let handle = backend.start(wanted).await.unwrap().handle;
    assert_eq!(*provider.lent.lock().unwrap(), ["vol-7 to i-0 as /dev/sdf"]);
    assert_eq!(backend.stop(LaunchId("a".into()), handle, true).await, Ok(()));
    assert_eq!(*provider.taken_back.lock().unwrap(), ["1.2.3.4 of i-0", "vol-7 of i-0"]);
}

fn backend(provider: &Arc<Provider>, settings: Settings) -> Ec2Backend {
    let region = Region::new("1 us-east-1".into(), provider.clone());
    Ec2Backend::new("m-1".into(), Settings { region: "us-east-1".into(), ..settings }, region)
}

fn start(launch: &str) -> Start {
    Start {
        launch: LaunchId(launch.into()),
        worker: "bot".into(),
        password: Secret::new("x"),
        properties: Default::default(),
        build: Default::default(),
    }
}

fn types(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn choices_are_tried_in_turn_each_with_a_token_of_its_own() {
    let provider = Arc::new(Provider::default());
    *provider.refuse.lock().unwrap() = vec!["InsufficientInstanceCapacity", "InsufficientInstanceCapacity"];
    let settings = Settings {
        instance_types: types(&["m5", "m6"]),
        subnet_ids: types(&["s-a", "s-b"]),
        filters: Filters { owners: vec![], location: image::anchored(r"ci-(\d+)/").ok() },
        ..Settings::default()
    };
    let backend = backend(&provider, settings);
    let started = backend.start(start("abc")).await.unwrap();
    assert_eq!(started.handle["instance"], "i-0");
    {
        let runs = provider.runs.lock().unwrap();
        let tried: Vec<_> = runs.iter().map(|r| (r.client_token.as_str(), r.instance_type.as_str(), r.subnet_id.as_deref())).collect();
        assert_eq!(tried, [("abc-0", "m5", Some("s-a")), ("abc-1", "m5", Some("s-b")), ("abc-2", "m6", Some("s-a"))]);
        assert!(runs.iter().all(|r| r.image_id == "ami-12"), "{runs:?}");
        assert!(runs[2].tags.contains(&(LAUNCH_TAG.into(), "abc".into())) && runs[2].tags.contains(&(MASTER_TAG.into(), "m-1".into())));
    }
    // What had no room is left alone for a while.
    backend.start(start("def")).await.unwrap();
    assert_eq!(provider.runs.lock().unwrap()[3].client_token, "def-2");
    assert_eq!(backend.list().await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn errors_mean_what_they_say() {
    let provider = Arc::new(Provider::default());
    let settings = Settings { instance_types: types(&["m5"]), ami: Some("ami-1".into()), ..Settings::default() };
    let mut failures = Vec::new();
    for code in ["InvalidAMIID.NotFound", "InsufficientInstanceCapacity", "UnauthorizedOperation", "InternalError"] {
        provider.refuse.lock().unwrap().push(code);
        failures.push(backend(&provider, settings.clone()).start(start("a")).await.unwrap_err());
    }
    assert!(
        matches!(failures.as_slice(), [Failure::Configuration(_), Failure::Capacity(_), Failure::Retry(..), Failure::Unknown(_)]),
        "{failures:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_price_is_the_average_times_the_multiplier_and_no_more_than_allowed() {
    assert_eq!(price(average(&[0.1, 0.3]), 1.5, Some(1.0)), Some(0.30000000000000004));
    assert_eq!(price(average(&[0.1, 0.3]), 1.5, Some(0.25)), Some(0.25));
    assert_eq!(price(average(&[]), 1.5, Some(0.25)), Some(0.25));
    let provider = Arc::new(Provider::default());
    let spot = SpotSettings { max_price: Some(0.25), multiplier: Some(2.0), product: "Linux/UNIX".into() };
    let settings = Settings { instance_types: types(&["m5"]), ami: Some("ami-1".into()), spot: Some(spot), ..Settings::default() };
    backend(&provider, settings).start(start("a")).await.unwrap();
    assert_eq!(provider.runs.lock().unwrap()[0].spot, Some(Spot { max_price: Some(0.25) }));
}

#[tokio::test(start_paused = true)]
async fn two_hundred_questions_are_one_call() {
    let provider = Arc::new(Provider::default());
    let settings = Settings { instance_types: types(&["m5"]), ami: Some("ami-1".into()), ..Settings::default() };
    let backend = Arc::new(backend(&provider, settings));
    let mut handles = Vec::new();
    for i in 0..200 {
        handles.push(backend.start(start(&i.to_string())).await.unwrap().handle);
    }
    let checks: Vec<_> = handles.into_iter().map(|handle| tokio::spawn(backend.check(LaunchId("a".into()), handle))).collect();
    for check in checks {
        assert_eq!(check.await.unwrap(), Ok(Ok(())));
    }
    assert_eq!(provider.describes.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_done_when_the_instance_is_gone() {
    let provider = Arc::new(Provider::default());
    let settings = Settings { instance_types: types(&["m5"]), ami: Some("ami-1".into()), ..Settings::default() };
    let backend = backend(&provider, settings);
    let handle = backend.start(start("a")).await.unwrap().handle;
    let launch = LaunchId("a".into());
    *provider.terminate_refuses.lock().unwrap() = vec!["OperationNotPermitted"];
    assert_eq!(backend.stop(launch.clone(), handle.clone(), false).await, Ok(()));
    assert!(provider.instances.lock().unwrap()[0].over());
    // What the provider does not know is gone, unless it is too young to be seen.
    provider.instances.lock().unwrap().clear();
    assert!(backend.stop(launch.clone(), handle.clone(), false).await.is_err());
    let old = json!({ "instance": "i-0", "launched_at": 1000 });
    assert_eq!(backend.stop(launch.clone(), old.clone(), false).await, Ok(()));
    assert_eq!(backend.check(launch.clone(), old).await, Ok(Err("instance i-0 is not there any more".into())));
    assert_eq!(backend.check(LaunchId("a".into()), handle).await, Ok(Ok(())));
}

#[tokio::test(start_paused = true)]
async fn an_address_that_can_t_be_had_leaves_it_to_be_stopped() {
    let provider = Arc::new(Provider::default());
    *provider.no_address.lock().unwrap() = Some("InvalidAddress.NotFound");
    let settings = Settings {
        instance_types: types(&["m5"]),
        ami: Some("ami-1".into()),
        elastic_ip: Some("208.77.188.166".into()),
        ..Settings::default()
    };
    let failed = backend(&provider, settings).start(start("a")).await.unwrap_err();
    assert!(matches!(&failed, Failure::Unknown(why) if why.contains("208.77.188.166")), "{failed:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_known_of_the_price() {
    let provider = Arc::new(Provider::default());
    let plain = Settings { instance_types: types(&["m5"]), ami: Some("ami-1".into()), ..Settings::default() };
    let spot = |multiplier| Some(SpotSettings { max_price: Some(0.25), multiplier, product: "Linux/UNIX".into() });
    for (settings, price) in [
        (plain.clone(), None),
        (Settings { price_per_hour: Price(Some(0.096)), ..plain.clone() }, Some(0.096)),
        (Settings { price_per_hour: Price(Some(0.096)), spot: spot(Some(2.0)), ..plain.clone() }, Some(0.2)),
        (Settings { spot: spot(None), ..plain.clone() }, None),
    ] {
        assert_eq!(backend(&provider, settings).start(start("a")).await.unwrap().price_per_hour, price);
    }
    let other = backend(&provider, Settings { price_per_hour: Price(Some(1.0)), ..plain.clone() });
    assert_eq!(other.settings(), backend(&provider, plain).settings(), "a machine of another price is the same machine");
}

#[tokio::test(start_paused = true)]
async fn a_missing_group_is_made_before_the_first_launch() {
    let provider = Arc::new(Provider::default());
    provider.looks.lock().unwrap().push(("group", None));
    let named = |group: &str| Settings {
        instance_types: types(&["m5"]),
        ami: Some("ami-1".into()),
        security_name: Some(group.into()),
        ..Settings::default()
    };
    let backend = backend(&provider, named("ci"));
    let all = ["a", "b", "c"].map(|launch| backend.start(start(launch)));
    assert!(futures_util::future::join_all(all).await.iter().all(Result::is_ok));
    assert_eq!((provider.groups_made.load(Ordering::SeqCst), provider.runs.lock().unwrap().len()), (1, 3));
    // Keys that may not look leave it to the launch.
    *provider.looks.lock().unwrap() = vec![("group", Some("UnauthorizedOperation"))];
    super::tests::backend(&provider, named("other")).start(start("d")).await.unwrap();
    assert_eq!(provider.groups_made.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_gone_is_made_again_and_the_launch_asked_for_again() {
    let provider = Arc::new(Provider::default());
    let settings =
        Settings { instance_types: types(&["m5"]), ami: Some("ami-1".into()), security_name: Some("ci".into()), ..Settings::default() };
    let backend = backend(&provider, settings);
    for launch in ["a", "b"] {
        provider.refuse.lock().unwrap().push("InvalidGroup.NotFound");
        backend.start(start(launch)).await.unwrap();
    }
    let tokens: Vec<String> = provider.runs.lock().unwrap().iter().map(|r| r.client_token.clone()).collect();
    assert_eq!(tokens, ["a-0", "a-0", "b-0", "b-0"]);
    // One that is not found by id is nobody's to make.
    let by_id = Settings { security_group_ids: types(&["sg-1"]), security_name: None, ..backend.parts.settings.clone() };
    provider.refuse.lock().unwrap().push("InvalidGroup.NotFound");
    let failed = super::tests::backend(&provider, by_id).start(start("c")).await.unwrap_err();
    assert!(matches!(failed, Failure::Configuration(_)) && provider.groups_made.load(Ordering::SeqCst) == 2);
}

#[tokio::test(start_paused = true)]
async fn a_missing_key_pair_is_told_with_what_to_do() {
    let provider = Arc::new(Provider::default());
    provider.refuse.lock().unwrap().push("InvalidKeyPair.NotFound");
    let settings =
        Settings { instance_types: types(&["m5"]), ami: Some("ami-1".into()), key_name: Some("mine".into()), ..Settings::default() };
    let failed = backend(&provider, settings).start(start("a")).await.unwrap_err();
    assert!(
        matches!(&failed, Failure::Configuration(why) if why.contains("no key pair \"mine\" in us-east-1") && why.contains("keypair_name = None")),
        "{failed:?}"
    );
}

#[test]
fn who_ended_an_instance_is_told() {
    let told = |reason: Option<&str>| {
        ended_text(&InstanceState {
            id: "i-1".into(),
            state: "terminated".into(),
            reason: reason.map(str::to_owned),
            ..InstanceState::default()
        })
    };
    assert_eq!(told(None), "instance i-1 is terminated");
    assert!(told(Some("Server.SpotInstanceTermination: no room")).starts_with("the spot market took instance i-1 back"));
    assert!(told(Some("Client.InstanceInitiatedShutdown: by itself")).starts_with("instance i-1 shut itself down"));
}

#[tokio::test]
async fn a_preflight_tells_all_that_is_wrong_at_once() {
    let settings = Settings {
        instance_types: types(&["m5"]),
        ami: Some("ami-1".into()),
        key_name: Some("mine".into()),
        security_name: Some("ci".into()),
        elastic_ip: Some("203.0.113.9".into()),
        ..Settings::default()
    };
    let inside = Settings { security_group_ids: types(&["sg-1"]), subnet_ids: types(&["subnet-1", "subnet-2"]), ..settings.clone() };
    let pending = Settings { ami: Some("ami-pending".into()), ..settings.clone() };
    let none = Filters { owners: vec!["2".into()], location: None };
    let chosen = Settings { ami: None, filters: none, ..settings.clone() };
    let all = ["image", "key pair", "group", "subnet", "address"];
    for (settings, looks, expected) in [
        (&settings, vec![], vec![]),
        (&pending, vec![], vec!["wrong: the image ami-pending is pending"]),
        (&chosen, vec![], vec!["wrong: no image fits: 12 seen, 12 of them available, 0 of these of the valid owners"]),
        (
            &settings,
            all.map(|what| (what, None)).to_vec(),
            vec![
                "wrong: there is no image ami-1 in us-east-1",
                "wrong: there is no key pair \"mine\"",
                "note: there is no security group \"ci\" in us-east-1: the first launch makes it, with no open port",
                "wrong: this account has no address 203.0.113.9",
            ],
        ),
        (
            &inside,
            all.map(|what| (what, None)).to_vec(),
            vec![
                "wrong: there is no image",
                "wrong: there is no key pair",
                "wrong: there is no security group sg-1",
                "wrong: there is no subnet subnet-1",
                "wrong: there is no subnet subnet-2",
                "wrong: this account has no address",
            ],
        ),
        (
            &settings,
            vec![("key pair", Some("UnauthorizedOperation"))],
            vec!["note: not checked, since these keys may not look at key pairs: UnauthorizedOperation"],
        ),
        (&settings, vec![("image", None), ("key pair", Some("AuthFailure"))], vec!["wrong: the keys are refused: AuthFailure: as told"]),
        (&settings, vec![("*", Some(""))], vec!["wrong: region us-east-1 does not answer (is its name right?): no address"]),
    ] {
        let provider = Arc::new(Provider::default());
        *provider.looks.lock().unwrap() = looks;
        let found = backend(&provider, settings.clone()).preflight().await;
        let found: Vec<String> = found
            .into_iter()
            .map(|finding| match finding {
                Finding::Wrong(text) => format!("wrong: {text}"),
                Finding::Note(text) => format!("note: {text}"),
            })
            .collect();
        assert!(found.len() == expected.len() && found.iter().zip(&expected).all(|(f, e)| f.starts_with(e)), "{found:#?}");
        assert!(provider.runs.lock().unwrap().is_empty() && provider.groups_made.load(Ordering::SeqCst) == 0);
    }
}

fn plain() -> Settings {
    Settings { instance_types: types(&["m5"]), ami: Some("ami-1".into()), ..Settings::default() }
}

#[tokio::test(start_paused = true)]
async fn an_image_that_is_deregistered_is_replaced_by_another() {
    let provider = Arc::new(Provider::default());
    let filters = Filters { owners: vec![], location: image::anchored(r"ci-(\d+)/").ok() };
    let backend = backend(&provider, Settings { ami: None, filters, ..plain() });
    backend.start(start("a")).await.unwrap();
    provider.refuse.lock().unwrap().push("InvalidAMIID.NotFound");
    let failed = backend.start(start("b")).await.unwrap_err();
    assert!(matches!(failed, Failure::Retry(..)), "{failed:?}");
    backend.start(start("c")).await.unwrap();
    assert_eq!(provider.images_listed.load(Ordering::SeqCst), 2, "it is chosen anew");
}

#[tokio::test(start_paused = true)]
async fn an_image_that_fits_may_come_later() {
    let provider = Arc::new(Provider::default());
    let filters = Filters { owners: vec!["2".into()], location: None };
    let failed = backend(&provider, Settings { ami: None, filters, ..plain() }).start(start("a")).await.unwrap_err();
    assert!(matches!(&failed, Failure::Retry(why, _) if why.contains("no image fits: 12 seen")), "{failed:?}");
}

#[tokio::test(start_paused = true)]
async fn user_data_that_can_t_be_rendered_now_is_rendered_later() {
    let provider = Arc::new(Provider::default());
    let make: MakeUserData = Arc::new(|_| done(Err("the vault is sealed".to_owned())));
    let made_user_data = Some(MadeUserData { of: "vault".into(), make });
    let failed = backend(&provider, Settings { made_user_data, ..plain() }).start(start("a")).await.unwrap_err();
    assert!(matches!(&failed, Failure::Retry(why, _) if why == "user_data: the vault is sealed"), "{failed:?}");
    assert!(provider.runs.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_group_that_was_made_may_not_be_known_everywhere_at_once() {
    let provider = Arc::new(Provider::default());
    *provider.refuse.lock().unwrap() = vec!["InvalidGroup.NotFound"; 4];
    backend(&provider, Settings { security_name: Some("ci".into()), ..plain() }).start(start("a")).await.unwrap();
    assert_eq!((provider.runs.lock().unwrap().len(), provider.groups_made.load(Ordering::SeqCst)), (5, 1));
}

#[tokio::test(start_paused = true)]
async fn a_volume_on_its_way_back_is_waited_for() {
    let provider = Arc::new(Provider::default());
    let lends = Settings { volumes: vec![("vol-7".into(), "/dev/sdf".into())], ..plain() };
    *provider.attach_refuses.lock().unwrap() = vec!["VolumeInUse", "IncorrectState"];
    backend(&provider, lends.clone()).start(start("a")).await.unwrap();
    assert_eq!(*provider.lent.lock().unwrap(), ["vol-7 to i-0 as /dev/sdf"]);
    // Not for ever: somebody else may have it.
    *provider.attach_refuses.lock().unwrap() = vec!["VolumeInUse"; 1000];
    let failed = backend(&provider, lends).start(start("b")).await.unwrap_err();
    assert!(matches!(&failed, Failure::Unknown(why) if why.contains("vol-7") && why.contains("VolumeInUse")), "{failed:?}");
    assert!(provider.attach_refuses.lock().unwrap().len() > 900);
}

#[tokio::test(start_paused = true)]
async fn a_price_that_is_too_low_says_nothing_of_a_higher_one() {
    let provider = Arc::new(Provider::default());
    provider.refuse.lock().unwrap().push("SpotMaxPriceTooLow");
    let choices = json!([{ "spot_price": 0.1 }, { "spot_price": 0.2 }]);
    let started = backend(&provider, plain()).start_with(start("a"), choices).await.unwrap();
    assert_eq!(provider.runs.lock().unwrap()[1].spot, Some(Spot { max_price: Some(0.2) }));
    assert_eq!(started.status[1], "spot at 0.2 m5");
}

#[tokio::test]
async fn an_image_that_differs_from_build_to_build_is_not_looked_for_before() {
    let provider = Arc::new(Provider::default());
    let make = |_: Start| -> BoxFuture<'static, Result<Settings, String>> { done(Err("no build".into())) };
    let made = Some(MadeSettings { of: "ami".into(), make: Arc::new(make) });
    let found = backend(&provider, Settings { ami: None, made, ..plain() }).preflight().await;
    assert_eq!((found, provider.images_listed.load(Ordering::SeqCst)), (vec![], 0), "every image there is would be listed");
}

#[tokio::test(start_paused = true)]
async fn keys_that_come_later_start_and_end_machines_then() {
    let provider = Arc::new(Provider::default());
    let there = Arc::new(Mutex::new(None::<Arc<dyn Ec2Api>>));
    let asked = Arc::new(AtomicUsize::new(0));
    let (found, count) = (there.clone(), asked.clone());
    let find = move || -> BoxFuture<'static, Result<Arc<dyn Ec2Api>, String>> {
        count.fetch_add(1, Ordering::SeqCst);
        done(found.lock().unwrap().clone().ok_or_else(|| "the vault is away".to_owned()))
    };
    let keyless = Keyless::new("bot".into(), "the vault is away".into(), Arc::new(find));
    let settings = Settings { instance_types: types(&["m5"]), ami: Some("ami-1".into()), ..Settings::default() };
    let backend = Ec2Backend::new("m-1".into(), settings, Region::new("1 us-east-1".into(), Arc::new(keyless)));
    let failed = backend.start(start("a")).await.unwrap_err();
    assert!(matches!(&failed, Failure::Retry(why, _) if why.contains("the vault is away")), "{failed:?}");
    assert!(backend.list().await.is_err_and(|why| why.contains("the vault is away")));
    assert_eq!(backend.preflight().await, [Finding::Wrong("the vault is away".into())]);
    assert_eq!(asked.load(Ordering::SeqCst), 0, "it was asked a moment ago");

    *there.lock().unwrap() = Some(provider.clone());
    tokio::time::advance(Duration::from_secs(10)).await;
    let handle = backend.start(start("b")).await.unwrap().handle;
    backend.stop(LaunchId("b".into()), handle, true).await.unwrap();
    assert_eq!((provider.runs.lock().unwrap().len(), asked.load(Ordering::SeqCst)), (1, 1));
}
