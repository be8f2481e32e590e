//! Questions about single instances, answered together: one call of the provider per tick, whatever their number.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;

use super::api::{ApiError, Ec2Api, InstanceState};

/// The most values that one filter takes.
const MOST: usize = 200;

type Answer = Result<Option<InstanceState>, ApiError>;

/// One for all workers of a region and an account.
pub struct Describer {
    api: Arc<dyn Ec2Api>,
    /// Questions of so long a time go together.
    tick: Duration,
    waiting: Arc<Mutex<HashMap<String, Vec<oneshot::Sender<Answer>>>>>,
}

impl Describer {
    pub fn new(api: Arc<dyn Ec2Api>, tick: Duration) -> Describer {
        Describer { api, tick, waiting: Arc::default() }
    }

    /// None: the provider does not know it, or does not know it yet.
    pub async fn ask(&self, id: &str) -> Answer {
        let (reply, answer) = oneshot::channel();
        let first = {
            let mut waiting = self.waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let first = waiting.is_empty();
            waiting.entry(id.to_owned()).or_default().push(reply);
            first
        };
        if first {
            let (api, tick, waiting) = (self.api.clone(), self.tick, self.waiting.clone());
            tokio::spawn(async move {
                tokio::time::sleep(tick).await;
                let asked = std::mem::take(&mut *waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
                answer_all(&*api, asked).await;
            });
        }
        answer.await.unwrap_or_else(|_| Err(ApiError { code: None, message: "the question was dropped".into() }))
    }
}

async fn answer_all(api: &dyn Ec2Api, asked: HashMap<String, Vec<oneshot::Sender<Answer>>>) {
    let mut asked: Vec<_> = asked.into_iter().collect();
    while !asked.is_empty() {
        let some: Vec<_> = asked.drain(..asked.len().min(MOST)).collect();
        let found = api.describe(some.iter().map(|(id, _)| id.clone()).collect()).await;
        for (id, replies) in some {
            let answer = match &found {
                Ok(all) => Ok(all.iter().find(|i| i.id == id).cloned()),
                Err(e) => Err(e.clone()),
            };
            for reply in replies {
                // Whoever asked may have gone.
                let _ = reply.send(answer.clone());
            }
        }
    }
}
