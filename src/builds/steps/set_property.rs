//! `SetProperty`, `SetProperties`, `SetPropertyFromCommand`.

use serde_json::Value as Json;

use super::command::{Observe, beside};
use super::{StepError, complete_log, shell, suffix};
use crate::builds::render::of_function;
use crate::builds::run::{Run, StepEnd};
use crate::config::{Arg, SetPropertyFromCommandSpec, StepSpec, Template};
use crate::model::build::Stream;
use crate::model::{Results, Step};

/// Output beyond that can't become a property.
const LARGEST_OUTPUT: usize = 16 << 20;

pub(super) async fn one(run: &Run, spec: &StepSpec, property: &Arg<String>, value: &Template, step: &Step) -> Result<StepEnd, StepError> {
    let name = run.renderer().arg("property", property).await?;
    let value = run.renderer().value(value).await?;
    run.set_property(&name, value, &step.name);
    let what = run.describe(spec, false).await.unwrap_or_else(|| format!("property '{name}' set"));
    Ok(StepEnd { results: Results::Success, state: what, lost: None, build: None })
}

pub(super) async fn many(run: &Run, template: &Template, step: &Step) -> Result<StepEnd, StepError> {
    let state = match run.renderer().value(template).await? {
        Json::Object(values) => {
            let n = values.len();
            for (name, value) in values {
                run.set_property(&name, value, &step.name);
            }
            format!("{n} {} set", if n == 1 { "property" } else { "properties" })
        }
        // An empty table of Lua is an empty list.
        Json::Null => "no properties set".to_owned(),
        Json::Array(items) if items.is_empty() => "no properties set".to_owned(),
        other => {
            return Err(StepError::Other(format!("properties must be a table of names and values, got {other}{}", of_function(template))));
        }
    };
    Ok(StepEnd { results: Results::Success, state, lost: None, build: None })
}

pub(super) async fn from_command(
    run: &Run,
    spec: &StepSpec,
    from: &SetPropertyFromCommandSpec,
    step: &mut Step,
    observe: &mut dyn Observe,
) -> Result<StepEnd, StepError> {
    let mut stdout = Vec::new();
    let mut stderr = Vec::new();
    let (end, rc) = shell::carry_out(
        run,
        spec,
        &from.shell,
        step,
        &mut beside(observe, |stream, text| {
            let (wanted, kept) = match stream {
                Stream::Stdout => (from.include_stdout || from.extract_fn.is_some(), &mut stdout),
                _ => (from.include_stderr || from.extract_fn.is_some(), &mut stderr),
            };
            if wanted {
                if kept.len() + text.len() > LARGEST_OUTPUT {
                    return Err(StepError::Other(format!("more than {} MiB of output can't become a property", LARGEST_OUTPUT >> 20)));
                }
                kept.extend_from_slice(text);
            }
            Ok(())
        }),
    )
    .await?;
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));

    let mut set: Vec<(String, Json)> = Vec::new();
    if let Some(function) = &from.extract_fn {
        // Also after a failure: the function gets the exit status and decides.
        if end.lost.is_none() && end.results != Results::Cancelled {
            let values = run.job.generation.extract(function, rc.unwrap_or(-1), &stdout, &stderr).await?;
            set.extend(values);
        }
    } else if let Some(property) = &from.property
        && matches!(end.results, Results::Success | Results::Warnings)
    {
        let name = run.renderer().arg("property", property).await?;
        let mut text = String::new();
        if from.include_stdout {
            text.push_str(&stdout);
        }
        if from.include_stderr {
            text.push_str(&stderr);
        }
        let text = if from.strip { text.trim() } else { &text };
        set.push((name, text.into()));
    }
    if set.is_empty() {
        return Ok(end);
    }
    let mut report = String::new();
    for (name, value) in &set {
        report.push_str(&format!("{name}: {value}\n"));
        run.set_property(name, value.clone(), &step.name);
    }
    complete_log(run, step, "property changes", &report)?;
    let state = match (run.describe(spec, false).await, set.as_slice()) {
        (Some(text), _) => text + &suffix(end.results),
        (None, [(name, _)]) => format!("property '{name}' set{}", suffix(end.results)),
        (None, many) => format!("{} properties set{}", many.len(), suffix(end.results)),
    };
    Ok(StepEnd { state, ..end })
}
