//! Why a request waits: one sentence and its parts for machines. Pure.

use std::collections::HashMap;

use serde_json::{Value as Json, json};

use crate::base::Timestamp;
use crate::latent::State as Machine;
use crate::workers::registry::Availability;

/// Requests that go first are counted up to that, so that a long queue can be listed.
pub const COUNTED: usize = 1000;

/// What is known of a request that waits.
#[derive(Clone, PartialEq, Debug)]
pub struct Waits<'a> {
    pub builder: &'a str,
    /// Nothing of its builder is configured any more.
    pub builder_removed: bool,
    pub shutting_down: bool,
    /// Requests of its builder that go first.
    pub ahead: usize,
    /// What a callback or the store said last.
    pub verdict: Option<&'a str>,
    /// The machine that it asks for.
    pub wished: Option<Wished>,
    /// Why latent workers can't be asked for now, by their names.
    pub closed: HashMap<&'a str, String>,
    /// The builder's workers; with the build that they run for this builder, if they do.
    pub workers: Vec<(&'a str, Availability, Option<i64>)>,
}

/// The machine of a latent worker that a request asks for.
#[derive(Clone, PartialEq, Debug)]
pub struct Wished {
    pub worker: String,
    pub state: Machine,
    /// None: it has not begun to start.
    pub launch: Option<String>,
    pub since: Timestamp,
    /// The last lines of its console.
    pub console: Vec<String>,
}

/// `{"text": …, "code": …, …}`.
pub fn why(waits: &Waits, now: Timestamp) -> Json {
    let builder = waits.builder;
    if waits.shutting_down {
        return json!({ "code": "master_stopping", "text": "the master is stopping and starts no builds" });
    }
    if waits.builder_removed {
        return json!({ "code": "builder_removed", "builder": builder, "text": format!("builder {builder} is not in the configuration any more") });
    }
    if let Some(wished) = &waits.wished {
        return machine_reason(wished, now);
    }
    let reason = |(name, availability, building): &(&str, Availability, Option<i64>)| match waits.closed.get(name) {
        Some(why) => {
            json!({ "code": "worker_starts_no_machine", "worker": name, "reason": why, "text": format!("worker {name} starts no machine now: {why}") })
        }
        None => worker_reason(builder, name, availability, *building, now),
    };
    let reasons: Vec<Json> = waits.workers.iter().map(reason).collect();
    let any_free = reasons.iter().any(|r| r["code"] == "worker_free");
    if let Some(verdict) = waits.verdict.filter(|_| any_free) {
        return json!({ "code": "not_started", "builder": builder, "text": verdict });
    }
    if waits.ahead > 0 {
        let text = match waits.ahead {
            1 => format!("one request of {builder} goes first"),
            COUNTED => format!("{COUNTED} or more requests of {builder} go first"),
            n => format!("{n} requests of {builder} go first"),
        };
        return json!({ "code": "behind_others", "builder": builder, "ahead": waits.ahead, "text": text, "workers": reasons });
    }
    match reasons.as_slice() {
        [] => json!({ "code": "no_worker", "builder": builder, "text": format!("builder {builder} has no worker") }),
        [one] => one.clone(),
        many => {
            let texts: Vec<&str> = many.iter().take(5).filter_map(|r| r["text"].as_str()).collect();
            let more = if many.len() > 5 { format!("; and {} more workers", many.len() - 5) } else { String::new() };
            let same = many.iter().all(|r| r["code"] == many[0]["code"]);
            let code = if same { many[0]["code"].clone() } else { "no_free_worker".into() };
            json!({ "code": code, "builder": builder, "text": texts.join("; ") + &more, "workers": many })
        }
    }
}

fn machine_reason(wished: &Wished, now: Timestamp) -> Json {
    let Wished { worker, state, launch, since, console } = wished;
    let what = match state {
        Machine::Idle | Machine::Quarantined => "is about to start",
        Machine::Starting => "is starting",
        Machine::Waiting => "runs, and the worker on it has not attached yet",
        Machine::Ready => "is ready",
        Machine::Stopping => "is being stopped; a new one starts afterwards",
    };
    let last = console.last().map(|line| format!("; its console ends with \"{line}\"")).unwrap_or_default();
    let text = format!("the machine of worker {worker} {what} (for {}){last}", crate::base::duration::human(now.since(*since)));
    json!({
        "code": "worker_machine", "worker": worker, "state": state, "launch_id": launch, "since": since.seconds(), "console": console,
        "text": text,
    })
}

fn worker_reason(builder: &str, worker: &str, availability: &Availability, building: Option<i64>, now: Timestamp) -> Json {
    let ago = |t: Timestamp| crate::base::duration::human(now.since(t));
    match (availability, building) {
        (Availability::NotConfigured, _) => {
            json!({ "code": "worker_unknown", "worker": worker, "text": format!("worker {worker} is not configured") })
        }
        (Availability::NotAttached { last_seen, error }, _) => {
            let text = match (error, last_seen) {
                (Some(why), _) => format!("worker {worker} can't be attached: {why}"),
                (None, Some(seen)) => format!("worker {worker} is not attached (last seen {} ago)", ago(*seen)),
                (None, None) => format!("worker {worker} has never attached"),
            };
            json!({ "code": "worker_not_attached", "worker": worker, "last_seen": last_seen.map(Timestamp::seconds), "text": text })
        }
        (Availability::Paused { reason }, _) => {
            let why = reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default();
            json!({ "code": "worker_paused", "worker": worker, "reason": reason, "text": format!("worker {worker} is paused{why}") })
        }
        (Availability::Stopping, _) => {
            json!({ "code": "worker_stopping", "worker": worker, "text": format!("worker {worker} is stopping") })
        }
        (Availability::Leaving { why }, _) => {
            json!({ "code": "worker_leaving", "worker": worker, "text": format!("worker {worker} finishes its builds and is then disconnected: {why}") })
        }
        (Availability::Untold { refused: None }, _) => {
            json!({ "code": "worker_untold", "worker": worker, "builder": builder, "text": format!("worker {worker} is just being told of builder {builder}") })
        }
        (Availability::Untold { refused: Some(why) }, _) => {
            json!({ "code": "worker_refuses", "worker": worker, "builder": builder, "text": format!("worker {worker} does not take builder {builder}: {why}") })
        }
        (Availability::Quarantined { until }, _) => {
            let text = format!("worker {worker} gets no build for {} after a failure", crate::base::duration::human(until.since(now)));
            json!({ "code": "worker_quarantined", "worker": worker, "until": until.seconds(), "text": text })
        }
        (_, Some(number)) => {
            json!({ "code": "worker_busy", "worker": worker, "builder": builder, "number": number, "text": format!("worker {worker} is busy with build {number} of {builder}") })
        }
        (Availability::Full { running }, None) => {
            json!({ "code": "worker_full", "worker": worker, "running": running, "text": format!("worker {worker} runs {running} builds and takes no more") })
        }
        (Availability::Free { .. }, None) => {
            json!({ "code": "worker_free", "worker": worker, "text": format!("worker {worker} is free; the request starts in a moment") })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits<'a>(workers: Vec<(&'a str, Availability, Option<i64>)>) -> Waits<'a> {
        Waits {
            builder: "runtests",
            builder_removed: false,
            shutting_down: false,
            ahead: 0,
            verdict: None,
            wished: None,
            closed: HashMap::new(),
            workers,
        }
    }

    #[test]
    fn tells_the_reason() {
        let now = Timestamp(100_000);
        let free = Availability::Free { more: None, running: 1 };
        for (workers, code, text) in [
            (vec![("bot1", free.clone(), Some(12))], "worker_busy", "worker bot1 is busy with build 12 of runtests"),
            (
                vec![("bot1", Availability::NotAttached { last_seen: Some(Timestamp(40_000)), error: None }, None)],
                "worker_not_attached",
                "worker bot1 is not attached (last seen 1 min 0 s ago)",
            ),
            (vec![("bot1", Availability::Paused { reason: Some("disk".into()) }, None)], "worker_paused", "worker bot1 is paused: disk"),
            (
                vec![("a", Availability::Stopping, None), ("b", Availability::Full { running: 2 }, None)],
                "no_free_worker",
                "worker a is stopping; worker b runs 2 builds and takes no more",
            ),
            (vec![], "no_worker", "builder runtests has no worker"),
        ] {
            let why = why(&waits(workers), now);
            assert_eq!((why["code"].as_str(), why["text"].as_str()), (Some(code), Some(text)));
        }
    }

    #[test]
    fn tells_of_a_machine() {
        let wished = Wished {
            worker: "bot".into(),
            state: Machine::Waiting,
            launch: Some("ab".into()),
            since: Timestamp(40_000),
            console: Vec::new(),
        };
        let off = Availability::NotAttached { last_seen: None, error: None };
        let waiting = Waits { wished: Some(wished), ..waits(vec![("bot", off.clone(), None)]) };
        let told = why(&waiting, Timestamp(100_000));
        let text = "the machine of worker bot runs, and the worker on it has not attached yet (for 1 min 0 s)";
        assert_eq!((told["text"].as_str(), told["launch_id"].as_str(), told["state"].as_str()), (Some(text), Some("ab"), Some("waiting")));
        let talks =
            Waits { wished: waiting.wished.clone().map(|w| Wished { console: vec!["a".into(), "no route".into()], ..w }), ..waiting };
        let told = why(&talks, Timestamp(100_000));
        assert!(told["text"].as_str().is_some_and(|t| t.ends_with("; its console ends with \"no route\"")), "{told}");
        assert_eq!(told["console"], json!(["a", "no route"]));
        let closed = Waits { closed: HashMap::from([("bot", "no room".to_owned())]), ..waits(vec![("bot", off, None)]) };
        assert_eq!(why(&closed, Timestamp(0))["text"], "worker bot starts no machine now: no room");
    }

    #[test]
    fn a_verdict_counts_only_beside_a_free_worker() {
        let free = Availability::Free { more: None, running: 0 };
        let said = Waits { verdict: Some("canStartBuild said no"), ..waits(vec![("a", free, None)]) };
        assert_eq!(why(&said, Timestamp(0))["text"], "canStartBuild said no");
        let busy = Waits { workers: vec![("a", Availability::Stopping, None)], ..said };
        assert_eq!(why(&busy, Timestamp(0))["code"], "worker_stopping");
    }
}
