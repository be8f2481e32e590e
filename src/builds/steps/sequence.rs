//! `ShellSequence`: several commands in one step.

use super::{StepError, command, shell, suffix};
use crate::builds::rules::{Flags, Progress};
use crate::builds::run::{Run, StepEnd};
use crate::config::{SequenceSpec, StepSpec};
use crate::model::{Results, Step};

pub(super) async fn run(run: &mut Run, spec: &StepSpec, sequence: &SequenceSpec, step: &mut Step) -> Result<StepEnd, StepError> {
    let options = shell::Options::render(run, spec, &sequence.options).await?;
    let mut progress = Progress::default();
    let mut lost = None;
    let mut last = None;
    for (index, one) in sequence.commands.iter().enumerate() {
        let line = run.renderer().arg(&format!("commands[{}]", index + 1), &one.command).await?;
        last = Some(shell::shorten(&line));
        run.show_state(step, format!("running {}", shell::shorten(&line)));
        let stdio = match (&one.logname, index) {
            (Some(name), _) => name.clone(),
            (None, 0) => "stdio".to_owned(),
            (None, n) => format!("stdio_{n}"),
        };
        let mut logs = options.logs(run, step, &stdio);
        let ended = command::run(run, step, options.command(&line), &mut logs, &mut |_, _| Ok(())).await;
        logs.finish()?;
        let ended = ended?;
        let results = shell::judge(&ended, &options.decode_rc);
        let flags = Flags {
            halt_on_failure: one.halt_on_failure,
            flunk_on_failure: one.flunk_on_failure,
            flunk_on_warnings: one.flunk_on_warnings,
            warn_on_failure: one.warn_on_failure,
            warn_on_warnings: one.warn_on_warnings,
            always_run: false,
        };
        progress = progress.after(flags, results);
        lost = lost.or(ended.lost);
        if progress.halted {
            break;
        }
    }
    let results = if sequence.commands.is_empty() { Results::Skipped } else { progress.results };
    let what = run.describe(spec, false).await.or(last).unwrap_or_else(|| step.name.clone());
    Ok(StepEnd { results, state: what + &suffix(results), lost })
}
