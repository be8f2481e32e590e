//! Which methods classes of a file may override, so that a slip in a name is told. It calls none of them.

use super::class::Kind;

impl Kind {
    /// Methods with a meaning for the host; others are the file's own.
    pub fn overridable(self) -> &'static [&'static str] {
        match self {
            Kind::Worker => &[
                "init",
                "start_instance",
                "stop_instance",
                "check_instance",
                "list_instances",
                "canStartBuild",
                "isCompatibleWithBuild",
                "container_spec",
                "check_config",
                "launch_choices",
            ],
            Kind::Factory => &["init", "addStep", "addSteps"],
            Kind::Step => &["init", "run", "interrupt", "evaluateCommand", "createSummary", "getCurrentSummary", "getResultSummary"],
            Kind::Scheduler => &["init", "startBuild", "gotChange", "addBuildsetForSourceStamps", "getNextBuildTime"],
            _ => &["init"],
        }
    }
}
