//! What can go wrong with machines at EC2, one scenario each: through driver, backend and SDK against a server that does wrong on order.
//! Whatever happens, each build runs in the end, no worker has two instances, every row is closed and the bill stops.
#![cfg(feature = "ec2")]

#[path = "ec2_faults/site.rs"]
mod site;
mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use buildmoon::latent::ec2::settings::SpotSettings;
use buildmoon::latent::{Event, Shutdown, State};
use site::{Site, ms};
use support::ec2::{Act, Call, When};

fn tokens(calls: &[Call]) -> Vec<String> {
    calls.iter().map(|c| c.params["ClientToken"].clone()).collect()
}

/// The other master's, or what no ledger knows.
const NOBODYS: &str = "00000000000000000000000000000000";

#[test]
fn scenario_00_nothing_goes_wrong() {
    let mut site = Site::new(2);
    site.start();
    let (a, b) = (site.build(0, ms(100)), site.build(1, ms(100)));
    site.wait_done(a);
    site.wait_done(b);
    assert_eq!(site.ec2.calls("RunInstances").len(), 2);
    assert!(site.ec2.bill().instances > 0.1 && site.request(a).refusals.is_empty());
    site.finish();
}

#[test]
fn scenario_01_killed_before_the_launch_is_carried_out() {
    let mut site = Site::new(1);
    // The provider is slow: it carries out the launch when the master that asked is long gone.
    site.ec2.fault("RunInstances", When::Nth(1), Act::CommitAfter(ms(600)));
    site.start();
    let build = site.build(0, ms(50));
    site.wait("the launch is asked for", |s| !s.ec2.calls("RunInstances").is_empty());
    assert_eq!(site.open_rows().len(), 1, "the row comes before the call");
    site.crash();
    assert!(site.ec2.live().is_empty());
    site.start();
    site.wait_done(build);
    assert_eq!(site.ec2.high_water(), 1);
    site.finish();
}

#[test]
fn scenario_01_killed_and_the_launch_never_arrives() {
    let mut site = Site::new(1);
    site.ec2.fault("RunInstances", When::First(4), Act::DropBefore);
    site.patience.backoff = ms(5000);
    site.start();
    let build = site.build(0, ms(50));
    site.wait("the launch is asked for", |s| !s.ec2.calls("RunInstances").is_empty());
    site.crash();
    site.ec2.no_faults();
    site.start();
    site.wait_done(build);
    let rows = site.rows();
    assert!(rows.iter().any(|r| r.handle.is_none() && r.gone.as_ref().is_some_and(|(why, _)| why.contains("never"))), "{rows:?}");
    assert_eq!(site.ec2.high_water(), 1);
    site.finish();
}

#[test]
fn scenario_02_killed_after_the_launch_was_carried_out() {
    let mut site = Site::new(1);
    site.ec2.fault("RunInstances", When::Nth(1), Act::Delay(ms(60_000)));
    site.patience.answer_within = ms(60_000);
    site.start();
    let build = site.build(0, ms(50));
    site.wait("the instance is there", |s| s.ec2.live().len() == 1);
    assert!(site.open_rows()[0].handle.is_none());
    site.crash();
    site.start();
    site.wait_done(build);
    // It was found by its tag and the build ran on it.
    assert_eq!((site.ec2.high_water(), site.ec2.calls("RunInstances").len()), (1, 1));
    assert!(site.rows()[0].handle.is_some());
    site.finish();
}

#[test]
fn scenario_03_the_answer_of_a_launch_is_lost() {
    let mut site = Site::new(1);
    site.ec2.fault("RunInstances", When::Nth(1), Act::CommitThenDrop);
    site.start();
    let build = site.build(0, ms(50));
    site.wait_done(build);
    let asked = tokens(&site.ec2.calls("RunInstances"));
    assert!(asked.len() == 2 && asked[0] == asked[1], "{asked:?}");
    assert_eq!(site.ec2.with(|w| w.instances.len()), 1);
    assert!(site.request(build).refusals.is_empty());
    site.finish();
}

#[test]
fn scenario_04_the_repetition_is_refused_for_other_parameters() {
    let mut site = Site::new(1);
    site.ec2.fault("RunInstances", When::Nth(1), Act::CommitThenDrop);
    site.ec2.fault("RunInstances", When::Nth(2), Act::Error("IdempotentParameterMismatch"));
    site.start();
    let build = site.build(0, ms(50));
    site.wait("it is told of", |s| s.request(build).refusals.iter().any(|why| why.contains("IdempotentParameterMismatch")));
    site.wait_done(build);
    let asked = tokens(&site.ec2.calls("RunInstances"));
    assert!(asked[0] == asked[1] && asked[1] != asked[2], "the first was found before there was another: {asked:?}");
    assert_eq!(site.ec2.high_water(), 1);
    site.finish();
}

/// The last answer is a definite no, but the first attempt had done it.
#[test]
fn scenario_04_a_refusal_after_an_unclear_attempt_is_not_believed() {
    for refusal in ["RequestLimitExceeded", "InsufficientInstanceCapacity", "UnauthorizedOperation"] {
        let mut site = Site::new(1);
        site.ec2.fault("RunInstances", When::Nth(1), Act::CommitThenDrop);
        site.ec2.fault("RunInstances", When::First(5), Act::Error(refusal));
        (site.policy.quarantine_initial, site.policy.quarantine_max) = (ms(1500), ms(1500));
        site.start();
        let build = site.build(0, ms(50));
        site.wait("it is refused", |s| !s.request(build).refusals.is_empty());
        site.ec2.no_faults();
        site.wait("the instance is found and stopped", |s| s.ec2.with(|w| w.instances.iter().all(|i| !i.lives())));
        let first = site.rows().into_iter().min_by_key(|r| r.created_at).expect("a row");
        assert!(first.handle.is_some(), "{refusal}: the row did not learn of its instance: {first:?}");
        site.wait_done(build);
        site.finish();
    }
}

#[test]
fn scenario_05_a_new_instance_is_not_shown_at_first() {
    let mut site = Site::new(1);
    site.ec2.fault("RunInstances", When::Nth(1), Act::NotVisibleFor(ms(1200)));
    site.ec2.with(|w| w.boot_time = ms(1500));
    site.start();
    let build = site.build(0, ms(50));
    site.wait("it was looked for in vain", |s| s.ec2.calls("DescribeInstances").len() >= 3);
    assert_eq!((site.state(0), site.reap()), (State::Waiting, 0));
    site.wait_done(build);
    assert_eq!(site.ec2.with(|w| w.instances.len()), 1);
    assert!(site.request(build).refusals.is_empty());
    site.finish();
}

#[test]
fn scenario_05_a_stop_that_does_not_find_it_yet_is_repeated() {
    let mut site = Site::new(1);
    site.ec2.fault("RunInstances", When::Nth(1), Act::NotVisibleFor(ms(1000)));
    site.start();
    let build = site.build(0, ms(10));
    site.wait_done(build);
    site.wait("a stop did not find it", |s| s.ec2.calls("TerminateInstances").iter().any(|c| c.outcome == "InvalidInstanceID.NotFound"));
    assert_eq!(site.open_rows().len(), 1, "not found is not gone");
    site.finish();
}

#[test]
fn scenario_06_a_page_of_the_listing_fails() {
    let mut site = Site::new(1);
    let lost: Vec<String> =
        site.ec2.with(|w| (0..7).map(|_| w.found(&[("buildmoon:master", "master-1"), ("buildmoon:launch", NOBODYS)])).collect());
    site.ec2.fault("DescribeInstances", When::Page(2), Act::Error("InternalError"));
    site.start();
    assert_eq!(site.reap(), 0);
    assert!(site.ec2.calls("TerminateInstances").is_empty(), "half a listing is no reason to stop anything");
    site.ec2.no_faults();
    assert_eq!(site.reap(), 7);
    assert!(lost.iter().all(|id| !site.ec2.calls_naming(id).is_empty()));
    site.finish();
}

#[test]
fn scenario_07_an_instance_that_no_row_knows() {
    let mut site = Site::new(1);
    let lost = site.ec2.with(|w| w.found(&[("buildmoon:master", "master-1"), ("buildmoon:launch", NOBODYS)]));
    site.start();
    let build = site.build(0, ms(2000));
    site.wait("the build runs", |s| s.builds(build));
    assert_eq!(site.reap(), 1);
    assert!(site.ec2.live().iter().all(|i| i.id != lost) && site.builds(build), "the known one runs on");
    site.wait_done(build);
    site.finish();
}

#[test]
fn scenario_08_an_instance_of_another_master() {
    let mut site = Site::new(1);
    let foreign = site.ec2.with(|w| w.found(&[("buildmoon:master", "master-2"), ("buildmoon:launch", NOBODYS)]));
    site.start();
    let build = site.build(0, ms(10));
    site.wait_done(build);
    site.wait("ours is gone", |s| s.open_rows().is_empty());
    assert_eq!(site.reap(), 0);
    assert!(site.ec2.calls_naming(&foreign).is_empty(), "{}", site.ec2.story());
    assert_eq!(site.ec2.live().len(), 1);
    site.ec2.kill(&foreign, "Client.UserInitiatedShutdown");
    site.finish();
}

/// There is no lease: another master's machines are never ended here, however long that master is gone. Their own switch ends them.
#[test]
fn scenario_09_the_other_master_is_gone_for_good() {
    let mut site = Site::new(1);
    let foreign = site.ec2.with(|w| w.found(&[("buildmoon:master", "master-2"), ("buildmoon:launch", NOBODYS)]));
    site.start();
    site.ec2.with(|w| w.ahead += Duration::from_secs(24 * 3600));
    for _ in 0..3 {
        assert_eq!(site.reap(), 0);
    }
    assert!(site.ec2.calls_naming(&foreign).is_empty() && site.ec2.live().len() == 1, "{}", site.ec2.story());
    site.ec2.kill(&foreign, "Client.InstanceInitiatedShutdown: its switch");
    site.finish();
}

#[test]
fn scenario_10_stopping_fails_for_a_long_time() {
    let mut site = Site::new(1);
    site.ec2.fault("TerminateInstances", When::Always, Act::Error("InternalError"));
    site.start();
    let build = site.build(0, ms(10));
    site.wait_done(build);
    site.wait("it was tried often", |s| s.view(0).tries >= 6);
    assert_eq!((site.state(0), site.open_rows().len(), site.ec2.live().len()), (State::Stopping, 1, 1));
    // A kill of the master loses nothing.
    site.crash();
    site.start();
    site.wait("it is tried again", |s| s.view(0).tries >= 2);
    // The first attempts of two tries are as far apart as the backoff says.
    let calls = site.ec2.calls("TerminateInstances").len();
    assert!(calls < 80, "{calls} calls");
    site.ec2.no_faults();
    site.finish();
}

#[test]
fn scenario_10_people_are_told_once_of_what_can_t_be_stopped() {
    let mut site = Site::new(1);
    site.policy.timing.leak_after = ms(600);
    site.ec2.fault("TerminateInstances", When::Always, Act::Error("UnauthorizedOperation"));
    site.start();
    let build = site.build(0, ms(10));
    site.wait_done(build);
    site.wait("they are told", |s| s.open_rows().iter().any(|r| r.leak_told_at.is_some()));
    site.crash();
    site.start();
    site.wait("it is tried again", |s| s.view(0).tries >= 3);
    assert_eq!(site.leaks().len(), 1);
    assert!(site.leaks()[0].contains("UnauthorizedOperation") && site.leaks()[0].contains("may still cost money"), "{:?}", site.leaks());
    site.ec2.no_faults();
    site.finish();
}

#[test]
fn scenario_11_the_instance_is_protected() {
    let mut site = Site::new(1);
    site.ec2.fault("RunInstances", When::Always, Act::RefuseTerminate);
    site.ec2.fault("ModifyInstanceAttribute", When::First(2), Act::Error("UnauthorizedOperation"));
    site.start();
    let build = site.build(0, ms(10));
    site.wait_done(build);
    site.wait("the protection could not be lifted", |s| s.view(0).tries >= 2);
    assert_eq!((site.state(0), site.open_rows().len()), (State::Stopping, 1));
    site.wait("it is gone", |s| s.open_rows().is_empty());
    assert_eq!(site.ec2.calls("ModifyInstanceAttribute").len(), 3);
    site.finish();
}

#[test]
fn scenario_12_there_is_room_at_the_third_choice() {
    let mut site = Site::new(1);
    site.settings.subnet_ids = ["subnet-a", "subnet-b", "subnet-c"].map(str::to_owned).to_vec();
    site.ec2.fault("RunInstances", When::First(2), Act::Error("InsufficientInstanceCapacity"));
    site.start();
    let build = site.build(0, ms(10));
    site.wait_done(build);
    let calls = site.ec2.calls("RunInstances");
    let distinct: BTreeSet<String> = tokens(&calls).into_iter().collect();
    assert!(calls.len() == 3 && distinct.len() == 3, "each choice is asked once, with its own token: {}", site.ec2.story());
    assert!(site.request(build).refusals.is_empty());
    assert!(calls[2].at - calls[0].at < Duration::from_secs(5));
    site.finish();
}

#[test]
fn scenario_13_there_is_no_room_anywhere() {
    let mut site = Site::new(1);
    site.settings.subnet_ids = ["subnet-a", "subnet-b"].map(str::to_owned).to_vec();
    site.ec2.fault("RunInstances", When::Always, Act::Error("InsufficientInstanceCapacity"));
    site.start();
    let build = site.build(0, ms(10));
    site.wait("it was refused many times", |s| s.request(build).refusals.len() >= 12);
    assert!(site.request(build).refusals.iter().all(|why| why.contains("no room")), "{:?}", site.request(build));
    // Cooling doubles from half a second to two: far fewer calls than refusals.
    let calls = site.ec2.calls("RunInstances").len();
    assert!(calls <= 12, "{calls} calls");
    assert_eq!(site.view(0).quarantine.failures, 0, "it is nobody's fault");
    site.ec2.no_faults();
    site.wait_done(build);
    site.finish();
}

#[test]
fn scenario_14_every_second_call_is_throttled() {
    const WORKERS: usize = 60;
    let mut site = Site::new(WORKERS);
    site.ec2.with(|w| w.page = 1000);
    site.ec2.fault("*", When::Every(2), Act::Error("RequestLimitExceeded"));
    site.start();
    let builds: Vec<i64> = (0..WORKERS).map(|n| site.build(n, ms(10))).collect();
    for build in builds {
        site.wait_done(build);
    }
    site.ec2.no_faults();
    site.wait("all are gone", |s| s.open_rows().is_empty());
    // One listing for all that ask in a tick: not one for each.
    let (launches, looks) = (site.ec2.calls("RunInstances").len(), site.ec2.calls("DescribeInstances").len());
    assert!(launches < WORKERS * 6, "{launches} launches");
    assert!(looks < 2500, "{looks} listings");
    site.finish();
}

#[test]
fn scenario_15_no_worker_ever_attaches() {
    let mut site = Site::new(1);
    site.ec2.boots_nothing();
    site.policy.missing_timeout = ms(800);
    site.policy.quarantine_initial = ms(300);
    site.start();
    let build = site.build(0, ms(10));
    site.wait("it is missed", |s| !s.missing().is_empty());
    site.wait("its instance is stopped", |s| s.ec2.live().is_empty());
    assert!(site.missing()[0].contains("was not attached within"), "{:?}", site.missing());
    assert_eq!(site.view(0).quarantine.failures, 1);
    site.boots();
    site.wait_done(build);
    site.wait("a build that ends lifts the quarantine", |s| s.view(0).quarantine.failures == 0);
    site.finish();
}

#[test]
fn scenario_15_the_console_tells_why() {
    let mut site = Site::new(1);
    site.ec2.boots_nothing();
    site.policy.missing_timeout = ms(1500);
    site.start();
    let build = site.build(0, ms(10));
    site.wait("its console is shown", |s| s.view(0).console == ["cloud-init: no worker could be started"]);
    site.wait("it is missed", |s| !s.missing().is_empty());
    let told = "; its console ends with \"cloud-init: no worker could be started\"";
    assert!(site.missing()[0].ends_with(told), "{:?}", site.missing());
    assert!(site.request(build).refusals[0].ends_with(told), "{:?}", site.request(build));
    site.boots();
    site.wait_done(build);
    site.finish();
}

#[test]
fn scenario_16_the_instance_dies_during_a_build() {
    let mut site = Site::new(1);
    site.start();
    let build = site.build(0, ms(400));
    site.wait("it builds", |s| s.builds(build));
    let id = site.ec2.live()[0].id.clone();
    site.ec2.kill(&id, "Server.InternalError: the host died");
    site.wait_done(build);
    assert_eq!((site.request(build).lost, site.ec2.calls("RunInstances").len()), (1, 2));
    let rows = site.rows();
    assert!(rows.iter().any(|r| r.gone.as_ref().is_some_and(|(why, _)| why.contains("the host died"))), "{rows:?}");
    site.finish();
}

#[test]
fn scenario_17_the_spot_market_takes_it_back() {
    let mut site = Site::new(1);
    site.settings.subnet_ids = ["subnet-a", "subnet-b"].map(str::to_owned).to_vec();
    site.cooling = ms(20_000);
    site.settings.spot = Some(SpotSettings { max_price: Some(1.0), multiplier: Some(1.5), product: "Linux/UNIX".into() });
    let notice = Act::DieAfter(ms(700), "Server.SpotInstanceTermination: taken back");
    site.ec2.fault("RunInstances", When::Nth(1), notice);
    site.start();
    let build = site.build(0, ms(900));
    site.wait_done(build);
    assert_eq!(site.request(build).lost, 1);
    let options = &site.ec2.calls("RunInstances")[0].params;
    assert_eq!(options["InstanceMarketOptions.SpotOptions.SpotInstanceType"], "one-time", "no request outlives its instance");
    assert_eq!(options["InstanceMarketOptions.SpotOptions.MaxPrice"], "0.300000");
    let places: Vec<String> = site.ec2.calls("RunInstances").iter().map(|c| c.params["SubnetId"].clone()).collect();
    assert_eq!(places, ["subnet-a", "subnet-b"], "where it was taken back there is no room now");
    let rows = site.rows();
    assert!(rows.iter().any(|r| r.gone.as_ref().is_some_and(|(why, _)| why.starts_with("the spot market took instance"))), "{rows:?}");
    assert!(rows.iter().all(|r| r.price_per_hour == Some(0.2)), "the market's price: {rows:?}");
    site.finish();
}

#[test]
fn scenario_18_the_instance_shuts_itself_down_while_the_master_is_away() {
    let mut site = Site::new(1);
    site.start();
    let build = site.build(0, ms(300));
    site.wait("it builds", |s| s.builds(build));
    let launched = site.ec2.calls("RunInstances").pop().expect("a launch");
    assert_eq!(launched.params["InstanceInitiatedShutdownBehavior"], "terminate");
    site.crash();
    let id = site.ec2.live()[0].id.clone();
    site.ec2.kill(&id, "Client.InstanceInitiatedShutdown: by itself");
    site.start();
    site.wait_done(build);
    let rows = site.rows();
    assert!(rows.len() == 2 && rows.iter().any(|r| r.gone.as_ref().is_some_and(|(why, _)| why.contains("by itself"))), "{rows:?}");
    site.finish();
}

#[test]
fn scenario_19_the_master_is_away_for_a_day() {
    let mut site = Site::new(5);
    site.policy.build_wait = None;
    site.start();
    let builds: Vec<i64> = (0..5).map(|n| site.build(n, ms(10))).collect();
    for build in builds {
        site.wait_done(build);
    }
    assert_eq!(site.ec2.live().len(), 5);
    site.crash();
    for instance in site.ec2.live() {
        site.ec2.kill(&instance.id, "Client.InstanceInitiatedShutdown");
    }
    let bill = site.ec2.bill();
    site.ec2.with(|w| w.ahead += Duration::from_secs(24 * 3600));
    assert_eq!(site.ec2.bill(), bill);
    site.start();
    site.wait("five rows are closed", |s| s.open_rows().is_empty());
    assert_eq!(site.rows().iter().filter(|r| r.gone.is_some()).count(), 5);
    assert_eq!(site.ec2.calls("RunInstances").len(), 5, "a start of the master starts nothing");
    site.finish();
}

#[test]
fn scenario_20_the_worker_is_removed_while_it_builds() {
    let mut site = Site::new(1);
    site.policy.build_wait = None;
    site.start();
    let build = site.build(0, ms(600));
    site.wait("it builds", |s| s.builds(build));
    site.configure(0);
    assert_eq!(site.state(0), State::Ready);
    site.wait_done(build);
    assert_eq!(site.request(build).lost, 0);
    site.wait("its instance is gone", |s| s.open_rows().is_empty() && s.ec2.live().is_empty());
    site.finish();
}

#[test]
fn scenario_21_other_settings_while_it_boots() {
    let mut site = Site::new(1);
    site.ec2.with(|w| w.boot_time = ms(600));
    site.start();
    let build = site.build(0, ms(10));
    site.wait("it boots", |s| s.state(0) == State::Waiting);
    site.settings.instance_types = vec!["m7.large".into()];
    site.configure(1);
    site.wait_done(build);
    assert_eq!(site.ec2.with(|w| w.instances.len()), 1, "the same one serves the build");
    site.wait("it is gone", |s| s.open_rows().is_empty());
    let again = site.build(0, ms(10));
    site.wait_done(again);
    let types: Vec<String> = site.ec2.calls("RunInstances").iter().map(|c| c.params["InstanceType"].clone()).collect();
    assert_eq!(types, ["m5.large", "m7.large"]);
    let generations: BTreeSet<i64> = site.rows().iter().map(|r| r.generation).collect();
    assert_eq!(generations, BTreeSet::from([1, 2]));
    site.finish();
}

#[test]
fn scenario_23_fifty_requests_and_room_for_ten() {
    let mut site = Site::new(10);
    site.ec2.fault("RunInstances", When::Every(3), Act::NotVisibleFor(ms(500)));
    site.start();
    let builds: Vec<i64> = (0..50).map(|n| site.build(n % 10, ms(30))).collect();
    for build in builds {
        site.wait_done(build);
    }
    assert!(site.ec2.high_water() <= 10, "{}", site.ec2.high_water());
    site.finish();
}

#[test]
fn scenario_25_nothing_is_left_over() {
    let mut site = Site::new(1);
    site.ec2.with(|w| {
        w.images[0].keeps_root = true;
        w.lend_address("203.0.113.9");
        w.lend_volume("vol-lent");
    });
    site.settings.elastic_ip = Some("203.0.113.9".into());
    site.settings.volumes = vec![("vol-lent".into(), "/dev/sdf".into())];
    site.start();
    let build = site.build(0, ms(700));
    site.wait("it builds", |s| s.builds(build));
    site.wait("it has address and volume", |s| {
        s.ec2.with(|w| w.addresses[0].instance.is_some() && w.volumes.iter().any(|v| v.id == "vol-lent" && v.attached.is_some()))
    });
    // An instance that is stopped for somebody else takes nothing from the one that runs.
    site.ec2.with(|w| w.found(&[("buildmoon:master", "master-1"), ("buildmoon:launch", NOBODYS)]));
    assert_eq!(site.reap(), 1);
    assert!(site.ec2.with(|w| w.addresses[0].instance.is_some()), "{}", site.ec2.story());
    // The wall clock is set back by two hours over a restart.
    site.crash();
    site.clock_behind = Duration::from_secs(7200);
    site.start();
    site.wait_done(build);
    assert_eq!(site.ec2.calls("RunInstances").len(), 1, "the same instance serves");
    site.finish();
}

#[test]
fn scenario_25_an_address_that_can_t_be_had_ends_it() {
    let mut site = Site::new(1);
    site.ec2.with(|w| w.lend_address("203.0.113.9"));
    site.settings.elastic_ip = Some("203.0.113.9".into());
    site.ec2.fault("AssociateAddress", When::Nth(1), Act::Error("AuthFailure"));
    site.ec2.boots_nothing();
    site.start();
    let build = site.build(0, ms(50));
    site.wait("it is refused", |s| s.request(build).refusals.iter().any(|why| why.contains("203.0.113.9")));
    site.boots();
    site.wait_done(build);
    assert_eq!(site.ec2.with(|w| w.instances.len()), 2);
    site.finish();
}

#[test]
fn a_fast_shutdown_ends_what_runs() {
    let mut site = Site::new(3);
    site.policy.build_wait = None;
    site.start();
    let builds: Vec<i64> = (0..3).map(|n| site.build(n, ms(10))).collect();
    for build in builds {
        site.wait_done(build);
    }
    for worker in 0..3 {
        site.tell(worker, Event::Shutdown(Shutdown::Fast));
    }
    site.wait("nothing runs", |s| s.ec2.live().is_empty() && s.open_rows().is_empty());
    site.finish();
}

/// `SEED=n` repeats one; the times differ all the same.
#[test]
fn anything_at_any_time() {
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| fastrand::u64(0..100_000));
    println!("SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut site = Site::new(8);
    site.settings.subnet_ids = ["subnet-a", "subnet-b"].map(str::to_owned).to_vec();
    site.policy.missing_timeout = ms(3000);
    site.ec2.with(|w| {
        w.faults.seed(seed);
        w.images[0].keeps_root = true;
    });
    let acts = [
        ("*", 4, Act::Error("RequestLimitExceeded")),
        ("*", 2, Act::Error("InternalError")),
        ("*", 2, Act::DropBefore),
        ("*", 4, Act::CommitThenDrop),
        ("*", 2, Act::Delay(ms(400))),
        ("RunInstances", 5, Act::CommitAfter(ms(300))),
        ("RunInstances", 8, Act::NotVisibleFor(ms(600))),
        ("RunInstances", 8, Act::DieAfter(ms(400), "Server.SpotInstanceTermination")),
        ("RunInstances", 8, Act::RefuseTerminate),
        ("RunInstances", 5, Act::Error("InsufficientInstanceCapacity")),
        ("TerminateInstances", 5, Act::Error("OperationNotPermitted")),
    ];
    for (on, percent, act) in acts {
        site.ec2.fault(on, When::Sometimes(percent), act);
    }
    site.start();
    let mut builds = Vec::new();
    for _ in 0..5 {
        for _ in 0..6 {
            let worker = random.usize(0..8);
            builds.push(site.build(worker, ms(random.u64(0..400))));
        }
        std::thread::sleep(ms(random.u64(200..1500)));
        match random.u8(0..4) {
            0 => {
                site.configure(random.usize(0..8));
                std::thread::sleep(ms(random.u64(0..300)));
                site.configure(8);
            }
            1 => {}
            _ => {
                site.crash();
                site.start();
            }
        }
        site.reap();
    }
    site.ec2.no_faults();
    for build in builds {
        site.wait_done(build);
    }
    site.finish();
}

#[test]
fn a_missing_security_group_is_made_by_the_first_launch() {
    let mut site = Site::new(2);
    site.settings.security_name = Some("ci".into());
    site.start();
    let builds = [site.build(0, ms(10)), site.build(1, ms(10))];
    for build in builds {
        site.wait_done(build);
        assert!(site.request(build).refusals.is_empty());
    }
    assert_eq!(site.ec2.with(|w| w.groups.iter().filter(|(name, _)| name == "ci").count()), 1);
    assert!(site.ec2.calls("AuthorizeSecurityGroupIngress").is_empty(), "no port is open");
    site.finish();
}
