//! Which methods classes of a file may override, so that a slip in a name is told. It calls none of them.

use super::class::Kind;

impl Kind {
    /// Is a method of an instance the argument of its name?
    pub fn binds_methods(self) -> bool {
        matches!(self, Kind::Reporter | Kind::Generator)
    }

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
                "worker_command",
                "launch_choices",
            ],
            Kind::Factory => &["init", "addStep", "addSteps"],
            Kind::Step => &["init", "run", "interrupt", "evaluateCommand", "createSummary", "getCurrentSummary", "getResultSummary"],
            Kind::Scheduler => &["init", "startBuild", "gotChange", "addBuildsetForSourceStamps", "getNextBuildTime"],
            Kind::Reporter => &["init", "sendMessage", "lookup"],
            Kind::Generator => &["init", "is_message_needed_by_props", "is_message_needed_by_results"],
            Kind::Formatter => {
                &["init", "format", "buildAdditionalContext", "render_message_body", "render_message_subject", "render_message_extra_info"]
            }
            _ => &["init"],
        }
    }
}
