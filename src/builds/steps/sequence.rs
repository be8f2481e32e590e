//! `ShellSequence`: several commands in one step.

use std::borrow::Cow;

use super::command::Observe;
use super::{StepError, command, shell, suffix};
use crate::builds::render::{RenderError, of_function};
use crate::builds::rules::{Flags, Progress};
use crate::builds::run::{Run, StepEnd};
use crate::config::{SequenceCommands, SequenceSpec, ShellArgSpec, StepSpec, Template, Value, sequence_commands};
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
        let shown = shell::shorten(&line, &run.secrets.mask());
        run.show_state(step, format!("running {shown}"));
        last = Some(shown);
        let stdio = match (logname, index) {
            (Some(name), _) => name,
            (None, 0) => "stdio".to_owned(),
            (None, n) => format!("stdio_{n}"),
        };
        let mut logs = options.logs(run, step, Some(&stdio));
        let ended = command::run(run, step, options.command(run, &line), &mut logs, observe).await;
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
    let template = match commands {
        SequenceCommands::List(list) => return Ok(Cow::Borrowed(list)),
        SequenceCommands::Render(template) => template,
    };
    let value = rendered(run, template).await?;
    let list = sequence_commands(&value).map_err(|wrong| {
        // A mistake may be told with a part of the value.
        let hidden = value.to_json().ok().and_then(|json| sequence_commands(&Value::from_json(&run.secrets.mask().json(json))).err());
        RenderError(format!("{}{}", hidden.unwrap_or(wrong).inside("commands"), of_function(template)))
    })?;
    Ok(Cow::Owned(list))
}

/// What a function gives may hold `ShellArg`s; it may also be a `Property` or another function.
async fn rendered(run: &Run, template: &Template) -> Result<Value, StepError> {
    let mut template = Cow::Borrowed(template);
    for _ in 0..DEEPEST {
        let r = run.renderer();
        template = match r.called(&template).await? {
            None => return Ok(Value::from_json(&r.value(&template).await?)),
            Some(value @ (Value::Object(_) | Value::Function(_))) => {
                let read = Template::read_for(&value, "a list of util.ShellArg or command lines");
                Cow::Owned(read.map_err(|wrong| RenderError(format!("{}{}", wrong.inside("commands"), of_function(&template))))?)
            }
            Some(value) => return Ok(value),
        }
    }
    Err(RenderError(format!("commands: more than {DEEPEST} functions within each other{}", of_function(&template))).into())
}
