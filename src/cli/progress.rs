//! A build on the terminal: a line per step, the log as it comes, the result.

use std::io::{IsTerminal, Write};
use std::time::Instant;

use crate::base::duration::human;
use crate::model::build::Stream;
use crate::model::{Event, Results, Step};

pub struct Progress {
    quiet: bool,
    colour: bool,
    begun: Instant,
    /// The terminal's cursor is not at the start of a line.
    open_line: bool,
}

impl Progress {
    pub fn new(quiet: bool) -> Progress {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Progress { quiet, colour, begun: Instant::now(), open_line: false }
    }

    pub fn show(&mut self, event: &Event) {
        // A reader that goes away (`| head`) is no failure of the build.
        let _ = self.write(event);
    }

    fn write(&mut self, event: &Event) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        match event {
            // A step that says only that it runs says more in a moment, or is over.
            Event::StepStarted(step) if step.state == "running" => {}
            Event::StepStarted(step) | Event::StepState(step) => {
                self.end_line(&mut out)?;
                writeln!(out, "{}", self.paint("1", &format!("→ {}: {}", step.name, step.state)))?;
            }
            Event::LogLines { stream, lines, log, .. } if !self.quiet && &**log == "stdio" => {
                match stream {
                    Stream::Stdout => out.write_all(lines)?,
                    Stream::Stderr => out.write_all(self.paint("33", &String::from_utf8_lossy(lines)).as_bytes())?,
                    Stream::Header => return Ok(()),
                }
                self.open_line = !lines.ends_with(b"\n");
            }
            Event::LogLines { lines, log, .. } if &**log == "err.text" => {
                self.end_line(&mut out)?;
                out.write_all(lines)?;
            }
            Event::StepFinished(step) => {
                self.end_line(&mut out)?;
                writeln!(out, "{}", self.step_line(step))?;
            }
            Event::BuildFinished { build, .. } => {
                let results = build.results.unwrap_or(Results::Exception);
                writeln!(
                    out,
                    "{} ({})",
                    self.paint(colour(results), &format!("{}: {}", results, build.state)),
                    human(self.begun.elapsed())
                )?;
            }
            _ => {}
        }
        out.flush()
    }

    fn end_line(&mut self, out: &mut impl Write) -> std::io::Result<()> {
        if std::mem::take(&mut self.open_line) {
            writeln!(out)?;
        }
        Ok(())
    }

    fn step_line(&self, step: &Step) -> String {
        let results = step.results.unwrap_or(Results::Exception);
        let took = match (step.started_at, step.complete_at) {
            (Some(start), Some(end)) => format!(" ({})", human(end.since(start))),
            _ => String::new(),
        };
        let mark = match results {
            Results::Success => "✓",
            Results::Skipped => "-",
            Results::Warnings => "!",
            _ => "✗",
        };
        self.paint(colour(results), &format!("{mark} {}: {}{took}", step.name, step.state))
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn colour(results: Results) -> &'static str {
    match results {
        Results::Success => "32",
        Results::Warnings => "33",
        Results::Skipped => "2",
        Results::Failure => "31",
        _ => "35",
    }
}
