//! What a step's result means for its build, and which step runs next. Pure.

use crate::config::StepSpec;
use crate::model::Results;

/// The flags of a step that decide what its result does to the build.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Flags {
    pub halt_on_failure: bool,
    pub flunk_on_failure: bool,
    pub flunk_on_warnings: bool,
    pub warn_on_failure: bool,
    pub warn_on_warnings: bool,
    pub always_run: bool,
}

impl From<&StepSpec> for Flags {
    fn from(s: &StepSpec) -> Flags {
        Flags {
            halt_on_failure: s.halt_on_failure,
            flunk_on_failure: s.flunk_on_failure,
            flunk_on_warnings: s.flunk_on_warnings,
            warn_on_failure: s.warn_on_failure,
            warn_on_warnings: s.warn_on_warnings,
            always_run: s.always_run,
        }
    }
}

/// A build under way: its result so far, and whether only `alwaysRun` steps are left to run.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Progress {
    pub results: Results,
    pub halted: bool,
}

impl Default for Progress {
    fn default() -> Self {
        Progress { results: Results::Success, halted: false }
    }
}

impl Progress {
    /// A step has ended.
    pub fn after(self, step: Flags, ended: Results) -> Progress {
        let contribution = match ended {
            Results::Failure if step.flunk_on_failure => Results::Failure,
            Results::Failure if step.warn_on_failure => Results::Warnings,
            Results::Warnings if step.flunk_on_warnings => Results::Failure,
            Results::Warnings if step.warn_on_warnings => Results::Warnings,
            Results::Exception | Results::Retry | Results::Cancelled => ended,
            _ => Results::Success,
        };
        let halts = match ended {
            Results::Failure => step.halt_on_failure,
            Results::Exception | Results::Retry | Results::Cancelled => true,
            _ => false,
        };
        Progress { results: self.results.worst(contribution), halted: self.halted || halts }
    }

    /// May this step run? After a halt only `alwaysRun` steps do, and none once the worker is lost.
    pub fn runs(self, step: Flags) -> bool {
        !self.halted || (step.always_run && self.results != Results::Retry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Flags = Flags {
        halt_on_failure: false,
        flunk_on_failure: true,
        flunk_on_warnings: false,
        warn_on_failure: false,
        warn_on_warnings: false,
        always_run: false,
    };

    #[test]
    fn a_failure_flunks_and_goes_on() {
        let p = Progress::default().after(PLAIN, Results::Failure);
        assert_eq!(p, Progress { results: Results::Failure, halted: false });
        assert!(p.runs(PLAIN));
    }

    #[test]
    fn a_halt_leaves_always_run_steps() {
        let p = Progress::default().after(Flags { halt_on_failure: true, ..PLAIN }, Results::Failure);
        assert!(!p.runs(PLAIN));
        assert!(p.runs(Flags { always_run: true, ..PLAIN }));
    }

    #[test]
    fn a_lost_worker_runs_nothing_more() {
        let p = Progress::default().after(PLAIN, Results::Retry);
        assert!(!p.runs(Flags { always_run: true, ..PLAIN }));
    }

    #[test]
    fn warnings_count_only_where_said() {
        assert_eq!(Progress::default().after(PLAIN, Results::Warnings).results, Results::Success);
        assert_eq!(Progress::default().after(Flags { warn_on_warnings: true, ..PLAIN }, Results::Warnings).results, Results::Warnings);
        assert_eq!(Progress::default().after(Flags { flunk_on_warnings: true, ..PLAIN }, Results::Warnings).results, Results::Failure);
        let tolerant = Flags { flunk_on_failure: false, warn_on_failure: true, ..PLAIN };
        assert_eq!(Progress::default().after(tolerant, Results::Failure).results, Results::Warnings);
    }

    #[test]
    fn skipped_steps_leave_the_build_green() {
        assert_eq!(Progress::default().after(PLAIN, Results::Skipped).results, Results::Success);
    }
}
