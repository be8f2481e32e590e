//! Could the machines of these workers be started as they are configured? Asks the providers, each question once; starts nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::timeout;

use super::backend::{Backend, Finding};
use crate::base::duration::human;

/// Providers that are asked at the same time, and how long each has.
const AT_A_TIME: usize = 8;
const WITHIN: Duration = Duration::from_secs(120);

/// Workers that are the same to their provider, such as those of a pool.
pub struct Alike {
    pub workers: Vec<Arc<str>>,
    backend: Arc<dyn Backend>,
}

impl Alike {
    /// What the same answer holds for.
    pub fn key(&self) -> String {
        format!("{} {}", self.backend.group(), self.backend.settings())
    }

    /// `a, b and 18 more`
    pub fn names(&self) -> String {
        match self.workers.as_slice() {
            [a, b, rest @ ..] if rest.len() > 1 => format!("{a}, {b} and {} more", rest.len()),
            few => few.join(", "),
        }
    }
}

pub fn alike(workers: impl IntoIterator<Item = (Arc<str>, Arc<dyn Backend>)>) -> Vec<Alike> {
    let mut all: Vec<Alike> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for (name, backend) in workers {
        let one = Alike { workers: vec![name.clone()], backend };
        match known.get(&one.key()) {
            Some(at) => all[*at].workers.push(name),
            None => {
                known.insert(one.key(), all.len());
                all.push(one);
            }
        }
    }
    all
}

/// `told` hears of each as its answers come, in any order.
pub async fn ask(all: Vec<Alike>, mut told: impl FnMut(Alike, Vec<Finding>)) {
    let asking = all.into_iter().map(|one| async move {
        let found = match timeout(WITHIN, one.backend.preflight()).await {
            Ok(found) => found,
            Err(_) => vec![Finding::Wrong(format!("the provider did not answer within {}", human(WITHIN)))],
        };
        (one, found)
    });
    let mut answers = stream::iter(asking).buffer_unordered(AT_A_TIME);
    while let Some((one, found)) = answers.next().await {
        told(one, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latent::backend::Unusable;

    #[tokio::test]
    async fn the_same_is_asked_once() {
        let backend = |why: &str| -> Arc<dyn Backend> { Arc::new(Unusable { class: "X", why: why.into() }) };
        let pool = (1..=5).map(|n| (format!("bot-{n}").into(), backend("no keys")));
        let all = alike(pool.chain([("other".into(), backend("no region"))]));
        let mut heard = Vec::new();
        ask(all, |one, found| heard.push((one.names(), found))).await;
        heard.sort_by(|a, b| a.0.cmp(&b.0));
        let wrong = |why: &str| vec![Finding::Wrong(why.to_owned())];
        assert_eq!(heard, [("bot-1, bot-2 and 3 more".to_owned(), wrong("no keys")), ("other".to_owned(), wrong("no region"))]);
    }
}
