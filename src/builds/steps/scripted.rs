//! A step that is written in Lua, from its start to its end: waits for its `run`, passes orders to stop on, and says how it ended.
//!
//! What `run` does meanwhile goes through [`stage`](super::stage).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::StepError;
use super::stage::Stage;
use crate::builds::run::{Run, StepEnd};
use crate::config::StepSpec;
use crate::lua::{StepAnswer, StepInstance};
use crate::model::{Results, Step};

/// After an order to stop, and the end of what ran on the worker: so long `run` may go on to clean up.
const GRACE: Duration = Duration::from_secs(5);
/// How often a summary that changes all the time is shown, and logs are made visible.
const TICK: Duration = Duration::from_millis(500);

pub(super) async fn run(run: &Arc<Run>, spec: &Arc<StepSpec>, instance: &StepInstance, step: &mut Step) -> Result<StepEnd, StepError> {
    let stage = Stage::new(run, spec, step).await;
    let mut orders = run.orders();
    let interruptible = spec.script.as_ref().is_some_and(|s| s.methods.contains("interrupt"));
    let mut trouble = None;
    let mut order = None;
    let mut open = true;
    let mut give_up: Option<Instant> = None;
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let answer = {
        let running = instance.run(Arc::new(stage.clone()));
        tokio::pin!(running);
        loop {
            tokio::select! {
                biased;
                answer = &mut running => break Some(answer),
                changed = orders.changed(), if open => {
                    open = changed.is_ok();
                    let latest = orders.borrow_and_update().clone();
                    if let Some(latest) = latest.filter(|_| open) {
                        let waits = !stage.is_idle();
                        let first = stage.stop(&latest.reason);
                        let reason = latest.reason.clone();
                        order = Some(latest);
                        if first && interruptible {
                            // Beside `run`, which waits for what is interrupted now.
                            tokio::select! {
                                answer = &mut running => break Some(answer),
                                told = instance.interrupt(&reason) => if let Err(failure) = told {
                                    tracing::warn!(step = step.name, "{failure}");
                                },
                            }
                        } else if first && !waits {
                            break None;
                        }
                    }
                }
                _ = ticks.tick() => {
                    if let Err(e) = stage.tick() {
                        trouble = Some(e);
                        break None;
                    }
                    if stage.wants_summary() {
                        let summary = tokio::select! {
                            answer = &mut running => break Some(answer),
                            summary = instance.current_summary() => summary,
                        };
                        stage.show(summary.unwrap_or_else(|failure| Some(failure.to_string())));
                    }
                    if order.is_some() && stage.is_idle() {
                        give_up.get_or_insert_with(|| Instant::now() + GRACE);
                    }
                }
                () = async { sleep_until(give_up.unwrap_or_else(Instant::now)).await }, if give_up.is_some() => break None,
            }
        }
    };
    // Whatever still runs on the worker was left behind by `run`.
    let finished = stage.end().await;
    let (lost, built_in) = stage.outcome();
    let end = |results, state: Option<String>, build| StepEnd {
        results,
        state: state.unwrap_or_else(|| stage.final_state(results, &built_in)),
        lost: lost.clone(),
        build,
    };
    if let Some(order) = order {
        if let Some(Err(failure)) = &answer {
            tracing::debug!(step = step.name, "the stopped step ended with: {failure}");
        }
        return Ok(end(order.results, None, None));
    }
    if lost.is_some() {
        return Ok(end(Results::Retry, None, None));
    }
    if let Some(trouble) = trouble {
        return Err(trouble);
    }
    finished?;
    match answer {
        Some(Ok(StepAnswer { results, step_summary, build_summary })) => Ok(end(results, step_summary, build_summary)),
        Some(Err(failure)) => Err(StepError::Lua(failure)),
        None => Err(StepError::Other("run() was ended".into())),
    }
}
