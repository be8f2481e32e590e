//! The same question of many workers is one call of the provider, and its answer serves for a while. A failure serves those who wait for
//! it and nobody after them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::Shared;
use tokio::time::Instant;

use super::api::ApiError;
use crate::workers::BoxFuture;

/// Beyond that an answer is not waited for by others.
const LONGEST_CALL: Duration = Duration::from_secs(120);

type Answer<T> = Result<T, ApiError>;

/// Answers to questions of one kind.
pub struct Answers<T: Clone> {
    kept: Duration,
    asked: Mutex<HashMap<String, Asked<T>>>,
}

struct Asked<T: Clone> {
    at: Instant,
    answer: Shared<BoxFuture<'static, Answer<T>>>,
}

impl<T: Clone + Send + Sync + 'static> Answers<T> {
    /// An answer serves for so long from the question on.
    pub fn new(kept: Duration) -> Answers<T> {
        Answers { kept, asked: Mutex::default() }
    }

    pub async fn ask(&self, question: String, call: impl FnOnce() -> BoxFuture<'static, Answer<T>>) -> Answer<T> {
        let answer = {
            let mut asked = self.asked();
            let now = Instant::now();
            asked.retain(|_, old| match old.answer.peek() {
                Some(Ok(_)) => now.duration_since(old.at) < self.kept,
                Some(Err(_)) => false,
                // Long ago whoever asked gave up, and the call rests half done.
                None => now.duration_since(old.at) < LONGEST_CALL,
            });
            asked.entry(question).or_insert_with(|| Asked { at: now, answer: call().shared() }).answer.clone()
        };
        answer.await
    }

    /// Nothing that was answered serves any more.
    pub fn forget(&self) {
        self.asked().clear();
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<String, Asked<T>>> {
        self.asked.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_question_is_asked_once_for_all_and_again_after_a_while_or_a_failure() {
        let answers = Answers::new(Duration::from_secs(60));
        let calls = Arc::new(AtomicU32::new(0));
        let ask = |question: &str, good: bool| {
            let calls = calls.clone();
            let call = move || -> BoxFuture<'static, Answer<u32>> {
                Box::pin(async move {
                    let number = calls.fetch_add(1, Ordering::SeqCst) + 1;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    good.then_some(number).ok_or(ApiError { code: None, message: "away".into() })
                })
            };
            answers.ask(question.to_owned(), call)
        };
        let all = futures_util::future::join_all((0..200).map(|_| ask("a", true))).await;
        assert!(all.iter().all(|answer| *answer == Ok(1)));
        assert_eq!((ask("a", true).await, ask("b", true).await), (Ok(1), Ok(2)));
        tokio::time::sleep(Duration::from_secs(60)).await;
        let all = futures_util::future::join_all([ask("a", false), ask("a", true)]).await;
        assert!(all.iter().all(Result::is_err), "one call answers both: {all:?}");
        assert_eq!(ask("a", true).await, Ok(4));
        answers.forget();
        assert_eq!(ask("a", true).await, Ok(5));
        // Who asked first may give up; the others get their answer.
        let given_up = tokio::time::timeout(Duration::from_millis(10), ask("c", true)).await;
        assert_eq!((given_up.is_err(), ask("c", false).await), (true, Ok(6)));
        let given_up = tokio::time::timeout(Duration::from_millis(10), ask("d", true)).await;
        tokio::time::sleep(LONGEST_CALL).await;
        assert_eq!((given_up.is_err(), ask("d", true).await), (true, Ok(8)), "a call of long ago is not resumed");
    }
}
