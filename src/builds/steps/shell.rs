//! `ShellCommand` and its relatives: a command, its exit code, warnings in its output.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::command::{Ended, Logs, Observe, beside};
use super::warnings::Warnings;
use super::{StepError, command, complete_log, suffix};
use crate::builds::run::{Run, StepEnd};
use crate::config::{Arg, CommandLine, CommandOptions, Env, EnvValue, LogEncoding, ShellSpec, StepSpec, WarningSpec};
use crate::lua::{StepInput, WarningFound};
use crate::model::{Results, Step};
use crate::secrets::Mask;
use crate::wire::Command;
use crate::wire::commands::{CommandArg, EnvArg, ShellArgs};

/// Warnings that a function of the configuration is asked about at once.
const ASKED: usize = 500;

/// The options of a command, rendered.
pub(super) struct Options {
    env: Env,
    timeout: Option<f64>,
    max_time: Option<f64>,
    max_lines: Option<i64>,
    sigterm_time: Option<f64>,
    interrupt_signal: String,
    use_pty: bool,
    initial_stdin: Option<String>,
    pub want_stdout: bool,
    pub want_stderr: bool,
    log_environ: bool,
    logfiles: BTreeMap<String, crate::config::LogFile>,
    lazylogfiles: bool,
    pub decode_rc: BTreeMap<i64, Results>,
    workdir: String,
    encoding: LogEncoding,
}

impl Options {
    pub async fn render(run: &Run, workdir: &Arg<Option<String>>, encoding: LogEncoding, o: &CommandOptions) -> Result<Options, StepError> {
        let r = run.renderer();
        let mut env = r.arg("the builder's env", &run.job.builder.env).await?;
        env.extend(r.arg("env", &o.env).await?);
        let workdir = r.arg("workdir", workdir).await?;
        Ok(Options {
            env,
            timeout: r.arg("timeout", &o.timeout).await?,
            max_time: r.arg("maxTime", &o.max_time).await?,
            max_lines: r.arg("max_lines", &o.max_lines).await?,
            sigterm_time: r.arg("sigtermTime", &o.sigterm_time).await?,
            interrupt_signal: r.arg("interruptSignal", &o.interrupt_signal).await?,
            use_pty: r.arg("usePTY", &o.use_pty).await?.unwrap_or(false),
            initial_stdin: r.arg("initialStdin", &o.initial_stdin).await?,
            want_stdout: r.arg("want_stdout", &o.want_stdout).await?,
            want_stderr: r.arg("want_stderr", &o.want_stderr).await?,
            log_environ: r.arg("logEnviron", &o.log_environ).await?,
            logfiles: r.arg("logfiles", &o.logfiles).await?,
            lazylogfiles: r.arg("lazylogfiles", &o.lazylogfiles).await?,
            decode_rc: r.arg("decodeRC", &o.decode_rc).await?,
            workdir: workdir.unwrap_or_else(|| run.job.builder.factory.workdir.clone()),
            encoding,
        })
    }

    pub fn command(&self, run: &Run, line: &CommandLine) -> Command {
        ShellArgs {
            command: command_arg(line, &run.secrets.mask(), run.job.worker.system == "nt"),
            workdir: self.workdir.clone(),
            env: self.env.iter().map(|(name, value)| (name.clone(), env_arg(value))).collect(),
            want_stdout: self.want_stdout,
            want_stderr: self.want_stderr,
            timeout: self.timeout,
            max_time: self.max_time,
            max_lines: self.max_lines,
            sigterm_time: self.sigterm_time,
            interrupt_signal: self.interrupt_signal.clone(),
            use_pty: self.use_pty,
            log_environ: self.log_environ,
            initial_stdin: self.initial_stdin.clone(),
            logfiles: self.logfiles.iter().map(|(name, file)| (name.clone(), file.filename.clone(), file.follow)).collect(),
        }
        .into_command()
    }

    pub fn logs(&self, run: &Run, step: &Step, stdio: Option<&str>) -> Logs {
        let names = self.logfiles.keys().filter(|_| !self.lazylogfiles).cloned();
        Logs::new(run, step, stdio, names, self.encoding)
    }
}

/// Words that hold secrets go with what is shown in their place, so that the worker's own log does not have them either.
fn command_arg(line: &CommandLine, mask: &Mask, windows: bool) -> CommandArg {
    let with_shown = |words: &[&str]| words.iter().map(|w| ((*w).to_owned(), mask.text(w).into_owned())).collect();
    let holds = |text: &str| matches!(mask.text(text), Cow::Owned(_));
    match line {
        // A text can't be sent so. Elsewhere the shell that workers use is known; on Windows it depends.
        CommandLine::Shell(text) if !windows && holds(text) => CommandArg::Obfuscated(with_shown(&["/bin/sh", "-c", text])),
        CommandLine::Shell(text) => CommandArg::Shell(text.clone()),
        CommandLine::Words(words) if words.iter().any(|w| holds(w)) => {
            CommandArg::Obfuscated(with_shown(&words.iter().map(String::as_str).collect::<Vec<_>>()))
        }
        CommandLine::Words(words) => CommandArg::Words(words.clone()),
    }
}

fn env_arg(value: &EnvValue) -> EnvArg {
    match value {
        EnvValue::Set(text) => EnvArg::Set(text.clone()),
        EnvValue::Path(parts) => EnvArg::Path(parts.clone()),
        EnvValue::Remove => EnvArg::Remove,
    }
}

pub(super) async fn run(
    run: &Run,
    spec: &StepSpec,
    shell: &ShellSpec,
    step: &mut Step,
    observe: &mut dyn Observe,
) -> Result<StepEnd, StepError> {
    carry_out(run, spec, shell, step, observe).await.map(|(end, _)| end)
}

/// Run it, judge it. Also what the exit status was.
pub(super) async fn carry_out(
    run: &Run,
    spec: &StepSpec,
    shell: &ShellSpec,
    step: &mut Step,
    observe: &mut dyn Observe,
) -> Result<(StepEnd, Option<i64>), StepError> {
    let options = Options::render(run, &spec.workdir, spec.log_encoding, &shell.options).await?;
    let line = run.renderer().arg("command", &shell.command).await?;
    if spec.description == Default::default() {
        run.show_state(step, format!("running {}", shorten(&line, &run.secrets.mask())));
    }
    let warning_spec = match &shell.warnings {
        Some(spec) => Some(with_file(run, &options, spec).await?),
        None => None,
    };
    let mut logs = options.logs(run, step, Some("stdio"));
    let mut warnings = warning_spec.as_ref().map(Warnings::new);
    let mut observe = beside(observe, |stream, text| {
        if let Some(warnings) = &mut warnings {
            warnings.look(stream, text);
        }
        Ok(())
    });
    let ended = command::run(run, step, options.command(run, &line), &mut logs, &mut observe).await;
    logs.finish()?;
    let ended = ended?;
    let mut results = judge(&ended, &options.decode_rc);

    let count = match warnings {
        Some(warnings) => count_warnings(run, step, warnings, warning_spec.as_ref(), &ended).await?,
        None => 0,
    };
    let max = warning_spec.as_ref().and_then(|w| w.max);
    if count > 0 && matches!(results, Results::Success | Results::Warnings) {
        results = if max.is_some_and(|max| count > max) { Results::Failure } else { Results::Warnings };
    }
    let what = match run.describe(spec, false).await {
        Some(text) => text,
        None => shorten(&line, &run.secrets.mask()),
    };
    let rc = ended.rc;
    let mut state = what + &detail(&ended) + &suffix(results);
    if count > 0 {
        state.push_str(&format!(" {count} warning{}", if count == 1 { "" } else { "s" }));
    }
    Ok((StepEnd { results, state, lost: ended.lost, build: None }, rc))
}

/// How warnings are counted, with what `suppressionFile` adds.
async fn with_file(run: &Run, options: &Options, spec: &WarningSpec) -> Result<WarningSpec, StepError> {
    let mut spec = spec.clone();
    if let Some(file) = run.renderer().arg("suppressionFile", &spec.suppression_file).await? {
        let words = match run.job.worker.system.as_str() {
            "nt" => ["cmd", "/c", "type", file.as_str()].map(str::to_owned).to_vec(),
            _ => ["cat", "--", file.as_str()].map(str::to_owned).to_vec(),
        };
        let quiet =
            ShellArgs { command: CommandArg::Words(words), workdir: options.workdir.clone(), timeout: Some(60.0), ..ShellArgs::default() };
        let text =
            command::output(run, quiet.into_command()).await.map_err(|e| StepError::Other(format!("suppressionFile {file}: {e}")))?;
        let told = crate::config::warnings::suppressions(&text).map_err(|e| StepError::Other(format!("suppressionFile {file}: {e}")))?;
        spec.suppressions.extend(told);
    }
    Ok(spec)
}

/// Keep and count the warnings.
async fn count_warnings(
    run: &Run,
    step: &Step,
    mut warnings: Warnings<'_>,
    spec: Option<&WarningSpec>,
    ended: &Ended,
) -> Result<u64, StepError> {
    warnings.ended();
    let waiting = warnings.take_waiting();
    let mut told = Vec::with_capacity(waiting.len());
    // What a build that is over anyway says of its warnings is not worth the wait.
    if let Some(function) = spec.and_then(|s| s.extractor.as_ref())
        && ended.lost.is_none()
        && ended.stopped.is_none()
    {
        let input = StepInput { name: step.name.clone(), properties: (*run.properties()).clone(), build: Some(run.renderer().build) };
        for some in waiting.chunks(ASKED) {
            let some: Vec<&WarningFound> = some.iter().map(|(found, _)| found).collect();
            told.extend(run.job.generation.extract_warnings(function, &input, &some).await?);
        }
    }
    let kept = warnings.finish(&waiting, &told);
    if kept.count > 0 {
        complete_log(run, step, &format!("warnings ({})", kept.count), &kept.text)?;
    }
    let before = run.properties().get("warnings-count").and_then(serde_json::Value::as_u64).unwrap_or(0);
    run.set_property("warnings-count", (before + kept.count).into(), "WarningCountingShellCommand");
    Ok(kept.count)
}

/// What a command's end means.
pub(super) fn judge(ended: &Ended, decode_rc: &BTreeMap<i64, Results>) -> Results {
    if let Some(stop) = &ended.stopped {
        return stop.results;
    }
    if ended.lost.is_some() {
        return Results::Retry;
    }
    if ended.failed.is_some() {
        return Results::Exception;
    }
    match ended.rc {
        // Killed for time or output: never what decodeRC says of -1.
        _ if ended.failure_reason.is_some() => Results::Failure,
        Some(rc) => decode_rc.get(&rc).copied().unwrap_or(Results::Failure),
        None => Results::Failure,
    }
}

/// Words that tell why a command was killed.
pub(super) fn detail(ended: &Ended) -> String {
    match ended.failure_reason.as_deref() {
        Some("timeout_without_output") => " timed out: no output".into(),
        Some("timeout") => " timed out".into(),
        Some("max_lines_failure") => " wrote too many lines".into(),
        _ if ended.lost.is_some() => " worker lost".into(),
        _ => String::new(),
    }
}

/// `'make check ...'`; secrets are hidden before anything is cut.
pub(super) fn shorten(line: &CommandLine, mask: &Mask) -> String {
    let shown: Vec<Cow<'_, str>> = match line {
        CommandLine::Shell(text) => vec![mask.text(text)],
        CommandLine::Words(words) => words.iter().take(3).map(|word| mask.text(word)).collect(),
    };
    let words: Vec<&str> = match line {
        CommandLine::Shell(_) => shown.iter().flat_map(|text| text.split_whitespace()).take(3).collect(),
        CommandLine::Words(_) => shown.iter().map(|word| &**word).collect(),
    };
    let mut text: String = words.iter().take(2).map(|w| w.chars().take(40).collect::<String>()).collect::<Vec<_>>().join(" ");
    if words.len() > 2 {
        text.push_str(" ...");
    }
    format!("'{text}'")
}
