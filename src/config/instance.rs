//! Arguments that are instances of declared classes: a builder's factory, a factory's steps. They are looked at when the
//! object that holds them is built, and each is understood once however often it is used.

use std::sync::Arc;

use super::class::{Kind, class_named};
use super::convert::{FromValue, Wrong};
use super::lua_type::LuaType;
use super::value::{Object, Value};

macro_rules! instances {
    ($($(#[$doc:meta])* $name:ident: $kind:path, $one:literal, $many:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub(super) struct $name(pub Arc<Object>);

        impl FromValue for $name {
            fn expected() -> String {
                $one.into()
            }

            fn lua_type() -> LuaType {
                LuaType::Name($kind.type_name())
            }

            fn plural() -> String {
                $many.into()
            }

            fn from_value(value: &Value) -> Result<$name, Wrong> {
                match value {
                    Value::Object(o) if class_named(&o.class).is_some_and(|c| c.kind == $kind) => Ok($name(o.clone())),
                    other => Err(Wrong::must($one, other)),
                }
            }
        }
    )*};
}

instances! {
    WorkerRef: Kind::Worker, "a Worker", "workers";
    FactoryRef: Kind::Factory, "a BuildFactory", "factories";
    StepRef: Kind::Step, "a step", "steps";
    ShellArgRef: Kind::ShellArg, "a util.ShellArg", "util.ShellArg";
    SchedulerRef: Kind::Scheduler, "a scheduler", "schedulers";
    ReporterRef: Kind::Reporter, "a reporter such as MailNotifier", "reporters";
    GeneratorRef: Kind::Generator, "a generator such as reporters.BuildStatusGenerator", "generators";
    SecretProviderRef: Kind::SecretProvider, "a provider of secrets such as secrets.SecretInAFile", "providers of secrets";
    FormatterRef: Kind::Formatter, "a formatter such as reporters.MessageFormatter", "formatters";
    ParameterRef: Kind::Parameter, "a parameter such as util.StringParameter", "parameters";
}
