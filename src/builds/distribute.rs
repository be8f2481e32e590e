//! Which waiting request starts on which worker. Pure: a [`Situation`] in, [`Start`]s out; the engine acts on them.
//!
//! Builders go in the order of their most urgent request (priority, then age, then name) or as the configuration
//! orders them; a builder runs at most one build on a worker at a time, since they would share a folder.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use crate::base::{BuilderId, RequestId, Timestamp};

/// What a worker has left.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Room {
    /// Builds that it may take more; none: any number.
    pub more: Option<u32>,
    pub running: u32,
}

/// A latent worker that a request may ask for.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Askable {
    /// Requests that may ask for it besides those that do; none: any number.
    pub more: Option<u32>,
    /// Builds that it runs, and requests that ask for it.
    pub load: u32,
    /// 2: its machine is ready, 1: it is on its way, 0: it would have to start.
    pub near: u8,
}

/// A builder with requests that wait.
#[derive(Clone, PartialEq, Debug)]
pub struct Waiting {
    pub builder: BuilderId,
    pub name: String,
    /// The priority and time of its first request.
    pub priority: i64,
    pub since: Timestamp,
    /// In the order in which they are to start.
    pub requests: Vec<RequestId>,
    /// Workers that may build it and do not build it now.
    pub workers: Vec<String>,
    /// The latent workers that its requests ask for.
    pub wishes: Vec<(RequestId, String)>,
}

#[derive(Clone, PartialEq, Debug, Default)]
pub struct Situation {
    pub builders: Vec<Waiting>,
    /// The workers that may take a build.
    pub rooms: HashMap<String, Room>,
    pub askable: HashMap<String, Askable>,
}

/// What is to be done now.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Plan {
    pub starts: Vec<Start>,
    /// Requests that are to ask for a latent worker.
    pub asks: Vec<Start>,
}

#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct Start {
    pub builder: BuilderId,
    pub request: RequestId,
    pub worker: String,
}

/// The order of builders where the configuration gives none.
pub fn urgency(w: &Waiting) -> (Reverse<i64>, Timestamp, &str) {
    (Reverse(w.priority), w.since, &w.name)
}

/// Put the builders in the order of `names`; those that it leaves out come last, by urgency.
pub fn order(builders: &mut [Waiting], names: Option<&[String]>) {
    builders.sort_by(|a, b| urgency(a).cmp(&urgency(b)));
    if let Some(names) = names {
        let rank: HashMap<&str, usize> = names.iter().enumerate().map(|(i, n)| (n.as_str(), i)).collect();
        builders.sort_by_key(|w| rank.get(w.name.as_str()).copied().unwrap_or(usize::MAX));
    }
}

/// All that can start now, builders in the order given; what can't then asks for latent workers. A request that asks already goes on
/// doing so unless it starts, and its worker is nobody else's of the same builder.
pub fn plan(situation: &mut Situation, random: &mut fastrand::Rng) -> Plan {
    let starts = starts(situation, random);
    let mut asks = Vec::new();
    let started: HashSet<RequestId> = starts.iter().map(|s| s.request).collect();
    for waiting in &mut situation.builders {
        for (request, worker) in &waiting.wishes {
            if let Some(askable) = situation.askable.get_mut(worker).filter(|_| started.contains(request)) {
                askable.load = askable.load.saturating_sub(1);
                askable.more = askable.more.map(|more| more + 1);
            }
        }
        waiting.wishes.retain(|(request, _)| !started.contains(request));
        waiting.workers.retain(|w| waiting.wishes.iter().all(|(_, wished)| wished != w));
    }
    for waiting in &mut situation.builders {
        for request in &waiting.requests {
            if started.contains(request) || waiting.wishes.iter().any(|(wisher, _)| wisher == request) {
                continue;
            }
            let Some(index) = choose_askable(&waiting.workers, &situation.askable, random) else { break };
            let worker = waiting.workers.swap_remove(index);
            if let Some(askable) = situation.askable.get_mut(&worker) {
                askable.load += 1;
                askable.more = askable.more.map(|more| more.saturating_sub(1));
            }
            asks.push(Start { builder: waiting.builder, request: *request, worker });
        }
    }
    Plan { starts, asks }
}

fn starts(situation: &mut Situation, random: &mut fastrand::Rng) -> Vec<Start> {
    let mut starts = Vec::new();
    for waiting in &mut situation.builders {
        for request in &waiting.requests {
            let Some(index) = choose(&waiting.workers, &situation.rooms, random) else { break };
            let worker = waiting.workers.swap_remove(index);
            if let Some(room) = situation.rooms.get_mut(&worker) {
                room.running += 1;
                room.more = room.more.map(|more| more.saturating_sub(1));
            }
            starts.push(Start { builder: waiting.builder, request: *request, worker });
        }
    }
    starts
}

/// One of the workers with room: an idle one if there is one, else any; among those by chance.
pub fn choose(workers: &[String], rooms: &HashMap<String, Room>, random: &mut fastrand::Rng) -> Option<usize> {
    let mut best: Option<(bool, usize)> = None;
    let mut seen = 0;
    for (index, worker) in workers.iter().enumerate() {
        let Some(room) = rooms.get(worker).filter(|r| r.more != Some(0)) else { continue };
        let busy = room.running > 0;
        match best {
            Some((best_busy, _)) if busy && !best_busy => continue,
            Some((best_busy, _)) if busy == best_busy => {
                seen += 1;
                if random.usize(0..seen) == 0 {
                    best = Some((busy, index));
                }
            }
            _ => {
                seen = 1;
                best = Some((busy, index));
            }
        }
    }
    best.map(|(_, index)| index)
}

/// One of the latent workers that can be asked for: one that nobody uses if there is one, the nearest of those; among equals by chance.
pub fn choose_askable(workers: &[String], askable: &HashMap<String, Askable>, random: &mut fastrand::Rng) -> Option<usize> {
    let key = |a: &Askable| (a.load > 0, Reverse(a.near));
    let able = |w: &String| askable.get(w).filter(|a| a.more != Some(0)).map(key);
    let best = workers.iter().filter_map(able).min()?;
    let equals: Vec<usize> = (0..workers.len()).filter(|i| able(&workers[*i]) == Some(best)).collect();
    equals.get(random.usize(0..equals.len())).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random_situation(random: &mut fastrand::Rng) -> Situation {
        let workers: Vec<String> = (0..random.usize(0..6)).map(|i| format!("w{i}")).collect();
        let latent: Vec<String> = (0..random.usize(0..5)).map(|i| format!("l{i}")).collect();
        let mut rooms = HashMap::new();
        for worker in workers.iter().filter(|w| w.as_str() != "w3") {
            rooms.insert(worker.clone(), Room { more: [None, Some(random.u32(0..4))][random.usize(0..2)], running: random.u32(0..3) });
        }
        let mut next = 0;
        let mut builders: Vec<Waiting> = (0..random.usize(0..6))
            .map(|b| Waiting {
                builder: BuilderId(b as i64),
                name: format!("b{b}"),
                priority: random.i64(-1..2),
                since: Timestamp(random.i64(0..5)),
                requests: (0..random.usize(0..5))
                    .map(|_| {
                        next += 1;
                        RequestId(next)
                    })
                    .collect(),
                workers: workers.iter().chain(&latent).filter(|_| random.bool()).cloned().collect(),
                wishes: Vec::new(),
            })
            .collect();
        for waiting in &mut builders {
            let mut free: Vec<String> = waiting.workers.iter().filter(|w| latent.contains(w)).cloned().collect();
            for request in waiting.requests.iter().filter(|_| random.bool()) {
                if let Some(worker) = free.pop() {
                    waiting.wishes.push((*request, worker));
                }
            }
        }
        let wished = |worker: &String| builders.iter().flat_map(|b| &b.wishes).filter(|(_, w)| w == worker).count() as u32;
        let mut askable = HashMap::new();
        for worker in latent.iter().filter(|w| w.as_str() != "l3") {
            let load = wished(worker) + random.u32(0..2);
            let more = [None, Some(random.u32(0..3))][random.usize(0..2)];
            askable.insert(worker.clone(), Askable { more, load, near: random.u8(0..3) });
        }
        order(&mut builders, None);
        Situation { builders, rooms, askable }
    }

    /// The rules that must never break, through many random situations.
    #[test]
    fn simulated() {
        let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
        let rounds: u64 = std::env::var("ROUNDS").ok().and_then(|s| s.parse().ok()).unwrap_or(50_000);
        println!("SEED={seed} ROUNDS={rounds}");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..rounds {
            let before = random_situation(&mut random);
            let mut after = before.clone();
            let Plan { starts, asks } = plan(&mut after, &mut random);
            let pairs: HashSet<_> = starts.iter().map(|s| (s.builder, &s.worker)).collect();
            assert_eq!(pairs.len(), starts.len(), "a builder twice on one worker: {before:?}");
            let requests: HashSet<_> = starts.iter().map(|s| s.request).collect();
            assert_eq!(requests.len(), starts.len(), "a request twice: {before:?}");
            for (worker, askable) in &before.askable {
                let taken = asks.iter().filter(|s| &s.worker == worker).count() as u32;
                let freed =
                    before.builders.iter().flat_map(|b| &b.wishes).filter(|(r, w)| w == worker && starts.iter().any(|s| s.request == *r));
                assert!(
                    askable.more.is_none_or(|more| taken <= more + freed.count() as u32),
                    "{worker} is asked for too often: {before:?}"
                );
            }
            for (worker, room) in &before.rooms {
                let taken = starts.iter().filter(|s| &s.worker == worker).count() as u32;
                assert!(room.more.is_none_or(|more| taken <= more), "{worker} got too much: {before:?}");
            }
            for waiting in &before.builders {
                let mine: Vec<_> = starts.iter().filter(|s| s.builder == waiting.builder).collect();
                assert!(mine.iter().all(|s| before.rooms.contains_key(&s.worker) && waiting.workers.contains(&s.worker)));
                let asked: Vec<_> = asks.iter().filter(|s| s.builder == waiting.builder).collect();
                let kept: Vec<_> = waiting.wishes.iter().filter(|(r, _)| mine.iter().all(|s| s.request != *r)).collect();
                for ask in &asked {
                    assert!(before.askable.contains_key(&ask.worker) && waiting.workers.contains(&ask.worker), "{before:?}");
                    assert!(mine.iter().all(|s| s.request != ask.request), "it starts and asks: {before:?}");
                    assert!(kept.iter().all(|(r, w)| *r != ask.request && *w != ask.worker), "two for one: {before:?}");
                }
                let mut places: Vec<&str> = asked.iter().map(|a| a.worker.as_str()).chain(kept.iter().map(|(_, w)| w.as_str())).collect();
                places.sort_unstable();
                places.dedup();
                assert_eq!(places.len(), asked.len() + kept.len(), "two requests of a builder ask for one worker: {before:?}");
                // Nobody waits without asking beside a latent worker that could be asked for.
                let idle = waiting.requests.len() - mine.len() - asked.len() - kept.len();
                let after_asking = after.builders.iter().find(|w| w.builder == waiting.builder).expect("same builders");
                if idle > 0 {
                    assert_eq!(choose_askable(&after_asking.workers, &after.askable, &mut random), None, "{before:?}");
                }
                // In order, without gaps …
                assert!(mine.iter().map(|s| s.request).eq(waiting.requests.iter().copied().take(mine.len())), "{before:?}");
                // … and nothing waits beside a worker that could take it.
                let left = &after.builders.iter().find(|w| w.builder == waiting.builder).expect("same builders").workers;
                if mine.len() < waiting.requests.len() {
                    assert_eq!(choose(left, &after.rooms, &mut random), None, "{before:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_near_and_unused_is_asked_for() {
        let askable = |load, near| Askable { more: None, load, near };
        let all = HashMap::from([
            ("used".to_owned(), askable(1, 2)),
            ("far".to_owned(), askable(0, 0)),
            ("near".to_owned(), askable(0, 1)),
            ("full".to_owned(), Askable { more: Some(0), load: 0, near: 2 }),
        ]);
        let workers = ["used", "far", "full", "near"].map(str::to_owned);
        assert_eq!(choose_askable(&workers, &all, &mut fastrand::Rng::with_seed(1)), Some(3));
        assert_eq!(choose_askable(&workers[..3], &all, &mut fastrand::Rng::with_seed(1)), Some(1));
        assert_eq!(choose_askable(&workers[..1], &all, &mut fastrand::Rng::with_seed(1)), Some(0));
    }

    #[test]
    fn idle_workers_come_first() {
        let rooms = HashMap::from([
            ("busy".to_owned(), Room { more: None, running: 1 }),
            ("idle".to_owned(), Room { more: None, running: 0 }),
            ("full".to_owned(), Room { more: Some(0), running: 4 }),
        ]);
        let workers = ["full", "busy", "idle"].map(str::to_owned);
        for seed in 0..20 {
            assert_eq!(choose(&workers, &rooms, &mut fastrand::Rng::with_seed(seed)), Some(2));
        }
    }

    #[test]
    fn the_choice_among_equals_is_even() {
        let workers: Vec<String> = (0..4).map(|i| format!("w{i}")).collect();
        let rooms: HashMap<_, _> = workers.iter().map(|w| (w.clone(), Room { more: None, running: 0 })).collect();
        let mut random = fastrand::Rng::with_seed(7);
        let mut counts = [0; 4];
        for _ in 0..4000 {
            counts[choose(&workers, &rooms, &mut random).expect("all are free")] += 1;
        }
        assert!(counts.iter().all(|n| (850..1150).contains(n)), "{counts:?}");
    }

    #[test]
    fn configured_order_comes_before_urgency() {
        let waiting = |name: &str, priority| Waiting {
            builder: BuilderId(0),
            name: name.into(),
            priority,
            since: Timestamp(0),
            requests: vec![],
            workers: vec![],
            wishes: vec![],
        };
        let mut builders = vec![waiting("a", 0), waiting("b", 5), waiting("c", 1)];
        order(&mut builders, Some(&["c".into()]));
        assert_eq!(builders.iter().map(|w| w.name.as_str()).collect::<Vec<_>>(), ["c", "b", "a"]);
    }
}
