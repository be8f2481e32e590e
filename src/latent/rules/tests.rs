//! Single rules, event by event; what holds over all of them is in `simulation`.

use serde_json::json;

use super::*;
use crate::base::{BuildId, RequestId};
use crate::latent::State;
use crate::latent::lifecycle::Timing;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn policy() -> Policy {
    Policy {
        configured: true,
        build_wait: Some(Duration::ZERO),
        missing_timeout: seconds(1200),
        check_interval: seconds(10),
        max_lifetime: None,
        warm: false,
        quarantine_initial: seconds(10),
        quarantine_max: seconds(3600),
        can_check: false,
        can_list: true,
        stop_timeout: seconds(600),
        timing: Timing::default(),
    }
}

struct Told {
    life: Lifecycle,
    now: Timestamp,
    policy: Policy,
    launches: u32,
}

impl Told {
    fn new(policy: Policy) -> Told {
        Told { life: Lifecycle::default(), now: Timestamp(0), policy, launches: 0 }
    }

    /// What is done when that happens so many seconds later.
    fn after(&mut self, later: u64, event: Event) -> Actions {
        self.now = self.now.plus(seconds(later));
        let launches = &mut self.launches;
        let mut new_id = || {
            *launches += 1;
            id(*launches)
        };
        let (life, actions) = std::mem::take(&mut self.life).step(event, self.now, &self.policy, &mut new_id);
        self.life = life;
        actions
    }

    fn state(&self) -> State {
        self.life.state(self.now)
    }
}

fn id(number: u32) -> LaunchId {
    LaunchId(number.to_string().into())
}

fn again(why: &str) -> Failure {
    Failure::Retry(why.into(), seconds(10))
}

#[test]
fn what_a_second_start_does_not_say_is_asked_again() {
    let mut told = Told::new(Policy { can_list: false, ..policy() });
    told.after(0, Event::Wanted(RequestId(1)));
    let asked = told.after(1, Event::StartFailed(id(1), Failure::Unknown("connection reset".into())));
    assert!(asked.contains(&Action::Start(id(1))), "{asked:?}");
    // That this call started nothing says nothing of the first one.
    for failure in [again("the engine is away"), Failure::Unknown("connection reset".into()), Failure::Capacity("none left".into())] {
        assert_eq!(told.after(1, Event::StartFailed(id(1), failure)), []);
        assert_eq!(told.after(40, Event::Tick), [Action::Start(id(1))]);
    }
    told.after(1, Event::Started(id(1), json!("i-1")));
    let actions = told.after(1, Event::Stopped(id(1)));
    assert!(matches!(&actions[..], [Action::Close(..)]), "{actions:?}");
}

#[test]
fn a_machine_that_no_start_tells_of_is_given_up_in_the_end() {
    let mut told = Told::new(Policy { can_list: false, ..policy() });
    told.after(0, Event::Wanted(RequestId(1)));
    told.after(1, Event::StartFailed(id(1), Failure::Unknown("connection reset".into())));
    let mut starts = 1;
    while told.life.launch.is_some() {
        starts += told.after(1, Event::StartFailed(id(1), again("away"))).len();
        starts += told.after(40, Event::Tick).len();
        assert!(starts < 20, "for ever");
    }
    assert!(starts > 3, "{starts}");
}

#[test]
fn a_build_of_an_earlier_machine_ends_late() {
    let mut told = Told::new(policy());
    for machine in 1..=2 {
        let build = i64::from(machine);
        told.after(1, Event::Wanted(RequestId(build)));
        told.after(1, Event::Started(id(machine), json!(machine)));
        told.after(1, Event::Attached);
        told.after(0, Event::BuildStarted(RequestId(build), BuildId(build)));
        if machine == 1 {
            told.after(1, Event::Detached);
            told.after(1200, Event::Tick);
            told.after(1, Event::Stopped(id(1)));
            told.after(10, Event::Tick);
        }
    }
    told.after(1, Event::BuildEnded { build: BuildId(1), lost: true });
    assert_eq!(told.state(), State::Ready, "stopped under a build");
    told.after(1, Event::BuildEnded { build: BuildId(2), lost: false });
    assert_eq!(told.state(), State::Stopping);
}

#[test]
fn who_attached_was_there() {
    let mut told = Told::new(Policy { build_wait: None, ..policy() });
    told.after(0, Event::Wanted(RequestId(1)));
    told.after(1, Event::Started(id(1), json!("i-1")));
    told.after(1, Event::Listed(id(1), None));
    told.after(200, Event::Attached);
    told.after(1, Event::Detached);
    // The first listing without it since then; one is not believed.
    told.after(1, Event::Listed(id(1), None));
    assert_eq!(told.state(), State::Waiting);
    told.after(60, Event::Listed(id(1), None));
    assert_ne!(told.state(), State::Waiting);
}

#[test]
fn what_a_slow_start_left_is_given_time_to_show() {
    let mut told = Told::new(policy());
    told.after(0, Event::Wanted(RequestId(1)));
    told.after(300, Event::StartFailed(id(1), Failure::Unknown("connection reset".into())));
    told.after(1, Event::Listed(id(1), None));
    told.after(30, Event::Tick);
    assert_eq!(told.after(70, Event::Listed(id(1), None)), [], "it may have been created a moment before the answer was lost");
    told.after(30, Event::Tick);
    let closed = told.after(20, Event::Listed(id(1), None));
    assert!(matches!(&closed[..], [Action::Close(..), ..]), "{closed:?}");
}

#[test]
fn who_waits_asks_after_a_restart_before_a_machine_counts_as_idle() {
    let recovered = |attached_at: Option<Timestamp>| {
        let row = Row { id: id(1), created_at: Timestamp(0), handle: Some(json!("i-1")), attached_at, stop: None, leak_told_at: None };
        let mut told = Told::new(policy());
        told.life = Lifecycle::recovered(row, Quarantine::default(), told.now, &told.policy);
        told
    };
    // Its build was killed with the master, and is to be done again.
    let mut told = recovered(Some(Timestamp(0)));
    assert_eq!(told.after(0, Event::Tick), []);
    assert_eq!(told.after(1, Event::Wanted(RequestId(1))), []);
    assert_eq!(told.after(60, Event::Tick), []);
    assert_eq!(told.after(0, Event::Attached), [Action::Answer(RequestId(1), Ok(()))]);
    // Nobody asks.
    let mut told = recovered(Some(Timestamp(0)));
    assert_eq!(told.after(9, Event::Tick), []);
    assert!(matches!(told.after(1, Event::Tick)[..], [Action::Stop { .. }]));
    // Its worker was still to come; who asked for it is cancelled.
    let mut told = recovered(None);
    assert_eq!(told.after(60, Event::Tick), []);
    told.after(0, Event::Wanted(RequestId(1)));
    let actions = told.after(1, Event::Unwanted(RequestId(1)));
    assert!(matches!(&actions[..], [Action::Answer(..), Action::Stop { .. }]), "{actions:?}");
}

#[test]
fn a_clock_that_was_ahead_closes_no_worker_for_years() {
    let now = Timestamp(1_000_000);
    let ahead = Quarantine { failures: 1, until: Some(now.plus(seconds(400 * 86_400))), reason: Some("no room".into()) };
    let row = Row { id: id(1), created_at: now, handle: None, attached_at: None, stop: None, leak_told_at: None };
    for life in [Lifecycle::idle(ahead.clone(), now, &policy()), Lifecycle::recovered(row, ahead, now, &policy())] {
        assert!(holds(&life.quarantine, now.plus(seconds(60))));
        assert!(!holds(&life.quarantine, now.plus(seconds(86_401))));
    }
}
