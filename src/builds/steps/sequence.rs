//! `ShellSequence`: several commands in one step.

use std::borrow::Cow;

use super::command::Observe;
use super::{StepError, command, shell, suffix};
use crate::builds::render::RenderError;
use crate::builds::rules::{Flags, Progress};
use crate::builds::run::{Run, StepEnd};
use crate::config::{FnRef, SequenceCommands, SequenceSpec, ShellArgSpec, StepSpec, Template, Value, sequence_commands};
use crate::lua::RenderInput;
use crate::model::{Results, Step};

/// Functions that give functions: more is taken for a loop.
const DEEPEST: usize = 32;

pub(super) async fn run(
    run: &Run,
    spec: &StepSpec,
    sequence: &SequenceSpec,
    step: &mut Step,
    observe: &mut dyn Observe,
) -> Result<StepEnd, StepError> {
    let commands = commands(run, &sequence.commands).await?;
    let options = shell::Options::render(run, &spec.workdir, spec.log_encoding, &sequence.options).await?;
    let mut progress = Progress::default();
    let mut lost = None;
    let mut last = None;
    for (index, one) in commands.iter().enumerate() {
        let r = run.renderer();
        let place = format!("commands[{}]", index + 1);
        let Some(line) = r.arg(&place, &one.command).await?.0 else { continue };
        let logname = r.arg(&format!("{place}.logname"), &one.logname).await?;
        let flags = Flags {
            halt_on_failure: r.arg(&format!("{place}.haltOnFailure"), &one.halt_on_failure).await?,
            flunk_on_failure: r.arg(&format!("{place}.flunkOnFailure"), &one.flunk_on_failure).await?,
            flunk_on_warnings: r.arg(&format!("{place}.flunkOnWarnings"), &one.flunk_on_warnings).await?,
            warn_on_failure: r.arg(&format!("{place}.warnOnFailure"), &one.warn_on_failure).await?,
            warn_on_warnings: r.arg(&format!("{place}.warnOnWarnings"), &one.warn_on_warnings).await?,
            always_run: false,
        };
        last = Some(shell::shorten(&line));
        run.show_state(step, format!("running {}", shell::shorten(&line)));
        let stdio = match (logname, index) {
            (Some(name), _) => name,
            (None, 0) => "stdio".to_owned(),
            (None, n) => format!("stdio_{n}"),
        };
        let mut logs = options.logs(run, step, Some(&stdio));
        let ended = command::run(run, step, options.command(&line), &mut logs, observe).await;
        logs.finish()?;
        let ended = ended?;
        let results = shell::judge(&ended, &options.decode_rc);
        progress = progress.after(flags, results);
        lost = lost.or(ended.lost);
        if progress.halted {
            break;
        }
    }
    let results = if last.is_none() { Results::Skipped } else { progress.results };
    let what = run.describe(spec, false).await.or(last).unwrap_or_else(|| step.name.clone());
    Ok(StepEnd { results, state: what + &suffix(results), lost, build: None })
}

/// The commands of this build.
async fn commands<'a>(run: &Run, commands: &'a SequenceCommands) -> Result<Cow<'a, [ShellArgSpec]>, StepError> {
    let value = match commands {
        SequenceCommands::List(list) => return Ok(Cow::Borrowed(list)),
        SequenceCommands::Render(template) => Value::from_json(&run.renderer().value(template).await?),
        SequenceCommands::Call(function) => called(run, function).await?,
    };
    let list = sequence_commands(&value).map_err(|wrong| RenderError(wrong.inside("commands").to_string()))?;
    Ok(Cow::Owned(list))
}

/// What a function gives; it may be a `Property` or another function.
async fn called(run: &Run, function: &FnRef) -> Result<Value, StepError> {
    let mut function = function.clone();
    for _ in 0..DEEPEST {
        let r = run.renderer();
        let input = RenderInput { properties: (*run.properties()).clone(), build: Some(r.build.clone()) };
        match run.job.generation.render(&function, &input).await? {
            Value::Function(next) => function = next,
            value @ Value::Object(_) => {
                let template = Template::read_for(&value, "a list of util.ShellArg or command lines");
                let template = template.map_err(|wrong| RenderError(wrong.inside("commands").to_string()))?;
                return Ok(Value::from_json(&r.value(&template).await?));
            }
            value => return Ok(value),
        }
    }
    Err(RenderError(format!("commands: more than {DEEPEST} functions within each other")).into())
}
