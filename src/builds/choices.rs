//! What functions of a force form say: what can be chosen, and what becomes of what was entered. [`force`](super::force) judges
//! it. Answers about choices are kept for a while, since forms are shown often and such a function may ask a slow service.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Map, Value as Json};
use tokio::time::Instant;

use super::engine::{Active, Engine};
use super::force::{self, Told};
use crate::config::{Choices, FnRef, ForceSpec, ParameterKind, ParseWith, SchedulerKind};
use crate::lua::{Generation, LuaFailure};

/// How long an answer counts.
const KEPT: Duration = Duration::from_secs(30);
/// A failure is told to several who ask at once, but does not last.
const FAILURE_KEPT: Duration = Duration::from_secs(3);
/// Values of one parameter, each of which is a call.
const MOST_VALUES: usize = 1000;

type Answer = Result<Vec<String>, String>;

/// The newest answers, of the newest configuration that was asked.
#[derive(Default)]
pub(super) struct Kept(Mutex<Answers>);

#[derive(Default)]
struct Answers {
    generation: u64,
    /// By the function's number: the answer, and until when it counts.
    by_function: HashMap<u32, (Instant, Answer)>,
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn get(&self, generation: u64, f: &FnRef) -> Option<Answer> {
        let kept = self.lock();
        let (until, answer) = kept.by_function.get(&f.id).filter(|_| kept.generation == generation)?;
        (*until > Instant::now()).then(|| answer.clone())
    }

    fn put(&self, generation: u64, f: &FnRef, answer: &Answer) {
        let mut kept = self.lock();
        if kept.generation > generation {
            return;
        }
        if kept.generation < generation {
            *kept = Answers { generation, by_function: HashMap::new() };
        }
        let lasts = if answer.is_ok() { KEPT } else { FAILURE_KEPT };
        kept.by_function.insert(f.id, (Instant::now() + lasts, answer.clone()));
    }
}

impl Engine {
    async fn choices(&self, generation: &Generation, f: &FnRef) -> Answer {
        if let Some(answer) = self.kept.get(generation.number(), f) {
            return answer;
        }
        let answer = generation.choices(f).await.map_err(|failure| {
            tracing::error!("{failure}");
            failure.to_string()
        });
        self.kept.put(generation.number(), f, &answer);
        answer
    }

    /// The choices that were last told; see [`Engine::ask_choices`].
    pub fn known_choices(&self, choices: &Choices) -> Answer {
        match choices {
            Choices::List(list) => Ok(list.clone()),
            Choices::Call(f) => {
                let known = self.active().and_then(|active| self.kept.get(active.generation.number(), f));
                known.unwrap_or_else(|| Err("the function has not been asked yet".into()))
            }
        }
    }

    /// Ask every form's functions for their choices whose answers are too old.
    pub async fn ask_choices(&self) {
        let Some(active) = self.active() else { return };
        let mut functions = Vec::new();
        for scheduler in &active.config.schedulers {
            let SchedulerKind::Force(form) = &scheduler.kind;
            for (_, parameter) in force::fields(form) {
                if let ParameterKind::Choice { choices: Choices::Call(f), .. } = &parameter.kind {
                    functions.push(f.clone());
                }
            }
        }
        join_all(functions.iter().map(|f| self.choices(&active.generation, f))).await;
    }

    /// What the form's functions say of these parameters.
    pub(super) async fn told(&self, form: &ForceSpec, params: &Map<String, Json>, active: &Active) -> Told {
        let (mut choices, mut values) = (BTreeMap::new(), BTreeMap::new());
        for (name, parameter) in force::fields(form) {
            if let ParameterKind::Choice { choices: Choices::Call(f), strict: true } = &parameter.kind {
                choices.insert(name.clone(), self.choices(&active.generation, f).await);
            }
            let Some(parse) = &parameter.parse else { continue };
            let given = force::given(parameter, &name, params);
            let value = match (parse, given) {
                (ParseWith::All(f), given) => {
                    let all = match given {
                        Json::Array(items) => items.iter().map(force::text_of).collect(),
                        one => vec![force::text_of(&one)],
                    };
                    parsed(&active.generation, f, &all.into()).await
                }
                (ParseWith::Each(_), Json::Array(items)) if items.len() > MOST_VALUES => {
                    Err(format!("{} values are too many; there may be {MOST_VALUES}", items.len()))
                }
                (ParseWith::Each(f), Json::Array(items)) => {
                    let mut list = Ok(Vec::with_capacity(items.len()));
                    for item in &items {
                        let one = parsed(&active.generation, f, &force::text_of(item).into()).await;
                        list = list.and_then(|mut list| {
                            list.push(one?);
                            Ok(list)
                        });
                        if list.is_err() {
                            break;
                        }
                    }
                    list.map(Json::from)
                }
                (ParseWith::Each(f), one) => parsed(&active.generation, f, &force::text_of(&one).into()).await,
            };
            values.insert(name, value);
        }
        Told { choices, values }
    }
}

/// The value, or why it is refused: what was raised first, for the person at the form, then where.
async fn parsed(generation: &Generation, f: &FnRef, entered: &Json) -> Result<Json, String> {
    generation.parse_parameter(f, entered).await.map_err(|failure| {
        tracing::warn!("{failure}");
        let LuaFailure { message, at, callback, .. } = failure;
        let place = at.map(|place| format!(", {place}")).unwrap_or_default();
        format!("{message} ({callback}{place})")
    })
}
