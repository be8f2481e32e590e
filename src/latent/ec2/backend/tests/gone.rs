//! When an instance counts as gone, and where one is ended that was started elsewhere.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_was_started_in_another_region_is_ended_there() {
    let (here, there) = (Arc::new(Provider::default()), Arc::new(Provider::default()));
    let settings =
        |region: &str| Settings { region: region.into(), instance_types: types(&["m5"]), ami: Some("ami-1".into()), ..Settings::default() };
    let old = Ec2Backend::new("m-1".into(), settings("eu-west-1"), Region::new("1 eu-west-1".into(), there.clone()));
    let handle = old.start(start("a")).await.unwrap().handle;
    let launch = LaunchId("a".into());

    let region = Region::new("1 us-east-1".into(), here.clone());
    let blind = Ec2Backend::new("m-1".into(), settings("us-east-1"), region.clone());
    assert!(!blind.knows(&handle) && blind.stop(launch.clone(), handle.clone(), false).await.is_err_and(|e| e.contains("eu-west-1")));

    let far = there.clone();
    let elsewhere: Elsewhere = Arc::new(move |Place { region, .. }| {
        let found = Region::new(format!("1 {region}"), far.clone());
        Box::pin(async move { if region == "eu-west-1" { Ok(found) } else { Err("no such region".into()) } })
    });
    let new = Ec2Backend::reaching("m-1".into(), settings("us-east-1"), region, Some(elsewhere));
    assert!(new.knows(&handle) && !new.lists(&handle, ""), "that it is not listed here says nothing");
    assert_eq!(new.check(launch.clone(), handle.clone()).await, Ok(Ok(())));
    assert_eq!(new.console(handle.clone()).await, Ok(Some("i-0 boots".into())));
    assert_eq!(new.stop(launch, handle, false).await, Ok(()));
    assert!(there.instances.lock().unwrap()[0].over() && here.describes.load(Ordering::SeqCst) == 0);

    // One of which nothing is known but the region.
    old.start(start("b")).await.unwrap();
    let afar = new.at(&old.place().unwrap()).unwrap();
    let found = afar.list().await.unwrap();
    assert_eq!((found.len(), &found[0].launch, &found[0].handle["region"]), (1, &LaunchId("b".into()), &json!("eu-west-1")));
    assert_eq!(afar.stop(found[0].launch.clone(), found[0].handle.clone(), false).await, Ok(()));
    assert_eq!(afar.list().await, Ok(vec![]));
    assert!(blind.at("eu-west-1").is_none() && new.at("mars").unwrap().list().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn that_it_is_not_found_once_is_no_proof() {
    let provider = Arc::new(Provider::default());
    let backend = backend(&provider, plain());
    backend.start(start("a")).await.unwrap();
    let launch = LaunchId("a".into());
    // It is old enough, and one look does not know it: another one does.
    *provider.terminate_refuses.lock().unwrap() = vec!["InvalidInstanceID.NotFound"];
    let old = json!({ "instance": "i-0", "launched_at": 1000 });
    let told = backend.stop(launch.clone(), old.clone(), false).await;
    assert!(told.as_ref().is_err_and(|why| why.contains("i-0")), "{told:?}");
    assert!(!provider.instances.lock().unwrap()[0].over());
    assert_eq!(backend.stop(launch.clone(), old, false).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn what_was_listed_a_moment_ago_is_not_gone_for_not_being_found() {
    let provider = Arc::new(Provider::default());
    let backend = backend(&provider, plain());
    backend.start(start("a")).await.unwrap();
    let handle = backend.list().await.unwrap().remove(0).handle;
    provider.instances.lock().unwrap().clear();
    let launch = LaunchId("a".into());
    assert_eq!(backend.stop(launch.clone(), handle.clone(), false).await, Err("the provider does not show it yet".into()));
    assert_eq!(backend.check(launch, handle).await, Ok(Ok(())));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_ahead_keeps_nothing_young() {
    let provider = Arc::new(Provider::default());
    let ahead = json!({ "instance": "i-0", "launched_at": SystemClock.now().plus(Duration::from_secs(86_400)) });
    assert_eq!(backend(&provider, plain()).stop(LaunchId("a".into()), ahead, false).await, Ok(()));
}

/// As it is when the clock has gone on.
fn aged(mut handle: Json) -> Json {
    handle["launched_at"] = json!(1000);
    handle
}

#[tokio::test(start_paused = true)]
async fn what_is_of_another_account_is_not_gone() {
    let provider = |account| Arc::new(Provider { account: Some(account), ..Provider::default() });
    let (before, now) = (provider("111111111111"), provider("222222222222"));
    let handle = aged(backend(&before, plain()).start(start("a")).await.unwrap().handle);
    assert_eq!(handle["account"], "111111111111");
    // The keys are others now, and the settings the same.
    let (launch, changed) = (LaunchId("a".into()), backend(&now, plain()));
    let told = changed.stop(launch.clone(), handle.clone(), false).await.unwrap_err();
    assert!(told.contains("i-0 is of account 111111111111, and the keys are of account 222222222222"), "{told}");
    let fresh = backend(&now, plain());
    assert_eq!(fresh.list().await, Ok(vec![]));
    assert!(!fresh.lists(&handle, "") && fresh.knows(&handle), "that it is not listed says nothing");
    let busy = backend(&now, plain());
    busy.start(start("b")).await.unwrap();
    assert!(busy.list().await.unwrap().len() == 1 && !busy.lists(&handle, ""));
    // New keys of the same account do.
    assert_eq!(backend(&before, plain()).stop(launch.clone(), handle.clone(), false).await, Ok(()));
    before.instances.lock().unwrap().clear();
    assert_eq!(backend(&before, plain()).stop(launch.clone(), handle.clone(), false).await, Ok(()));
    // Where nobody tells whose they are it counts as gone.
    assert_eq!(backend(&Arc::default(), plain()).stop(launch, handle, false).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn what_was_started_at_another_address_is_ended_there() {
    let (here, there) = (Arc::new(Provider::default()), Arc::new(Provider::default()));
    let at = |url: Option<&str>| Settings { endpoint_url: url.map(str::to_owned), ..plain() };
    let old = backend(&there, at(Some("http://cloud.example.org")));
    let handle = old.start(start("a")).await.unwrap().handle;
    let far = there.clone();
    let elsewhere: Elsewhere = Arc::new(move |place: Place| {
        assert_eq!(place, Place { region: "us-east-1".into(), endpoint_url: Some("http://cloud.example.org".into()) });
        done(Ok(Region::new("far".into(), far.clone())))
    });
    let settings = Settings { region: "us-east-1".into(), ..at(None) };
    assert_ne!(old.settings(), backend(&here, at(None)).settings());
    let new = Ec2Backend::reaching("m-1".into(), settings, Region::new("near".into(), here.clone()), Some(elsewhere));
    assert!(new.knows(&handle) && !new.lists(&handle, ""));
    assert_eq!(new.stop(LaunchId("a".into()), handle, false).await, Ok(()));
    assert!(there.instances.lock().unwrap()[0].over());
}
