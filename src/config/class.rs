//! Which classes a configuration may use, and with which arguments. One declaration gives the parser, the messages, the
//! reference and what editors know; the classes' own files declare, this one collects.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::arguments::{Arguments, Preset, Reader};
use super::assemble::{Assembly, Parsed};
use super::lua_type::LuaType;
use super::value::Object;

pub use super::names::known_names_hint;

/// What a class is, and so where an instance of it may stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Worker,
    Builder,
    Factory,
    Step,
    ShellArg,
    Scheduler,
    Parameter,
    /// Gives a value for each build.
    Renderable,
    SecretProvider,
    /// Tells of builds and workers.
    Reporter,
    /// Makes a reporter's messages of events.
    Generator,
    /// Makes what a message says.
    Formatter,
}

impl Kind {
    pub const ALL: [Kind; 12] = [
        Kind::Worker,
        Kind::Builder,
        Kind::Factory,
        Kind::Step,
        Kind::ShellArg,
        Kind::Scheduler,
        Kind::Parameter,
        Kind::Renderable,
        Kind::SecretProvider,
        Kind::Reporter,
        Kind::Generator,
        Kind::Formatter,
    ];

    /// What editors call any instance of the kind; the only class of a kind has that name itself.
    pub const fn type_name(self) -> &'static str {
        match self {
            Kind::Worker => "AnyWorker",
            Kind::Builder => "BuilderConfig",
            Kind::Factory => "BuildFactory",
            Kind::Step => "Step",
            Kind::ShellArg => "ShellArg",
            Kind::Scheduler => "Scheduler",
            Kind::Parameter => "Parameter",
            Kind::Renderable => "RenderableObject",
            Kind::SecretProvider => "SecretProvider",
            Kind::Reporter => "Reporter",
            Kind::Generator => "Generator",
            Kind::Formatter => "Formatter",
        }
    }
}

/// What the list holds that a class takes first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holds {
    Steps,
    ShellArgs,
    /// Names and values of any kind; none of the names is that of an argument.
    Names,
}

impl Holds {
    /// Is an instance of this declared class one of them?
    pub fn fits(self, class: &str) -> bool {
        let kind = match self {
            Holds::Steps => Kind::Step,
            Holds::ShellArgs => Kind::ShellArg,
            Holds::Names => return false,
        };
        class_named(class).is_some_and(|c| c.kind == kind)
    }
}

/// One argument as declared.
#[derive(Clone, PartialEq, Debug)]
pub struct ArgDecl {
    pub name: &'static str,
    /// Counts from 1.
    pub position: Option<usize>,
    /// In people's words: `a whole number ≥ 1 or None`.
    pub kind: String,
    /// The same for editors.
    pub lua_type: LuaType,
    pub required: bool,
    /// As it would be written; empty if required.
    pub default: String,
    pub doc: &'static str,
    /// Older spellings.
    pub aliases: &'static [&'static str],
    /// What a reload does when it is different; none in no declared class.
    pub reload: Option<Reload>,
    /// Its value is never shown.
    pub secret: bool,
}

/// What becomes of a changed argument when the configuration is reloaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reload {
    /// From now on, without a stop.
    AtOnce,
    /// Running builds end as they began.
    NextBuild,
    /// The worker gets no more builds, is disconnected when it has none, and attaches anew.
    Drain,
    /// Machines that run go on as they are.
    NextLaunch,
    /// The new port is open before the old one is closed; connections stay.
    Reopen,
    /// What has another name is another object.
    Identity,
    /// The reload is refused.
    Restart,
    /// It has none.
    NoEffect,
}

impl Reload {
    pub fn text(self) -> &'static str {
        match self {
            Reload::AtOnce => "at once",
            Reload::NextBuild => "for builds that start from now on",
            Reload::Drain => "the worker finishes its builds, then it has to attach anew",
            Reload::NextLaunch => "for machines that start from now on",
            Reload::Reopen => "the new port is opened before the old one is closed; connections stay",
            Reload::Identity => "another name is another object",
            Reload::Restart => "refused: the master must be started again",
            Reload::NoEffect => "no effect",
        }
    }

    /// Where an argument of such a class does not state its own. Workers' arguments state each their own.
    fn of_kind(kind: Kind) -> Option<Reload> {
        match kind {
            Kind::Worker => None,
            Kind::Builder | Kind::Factory | Kind::Step | Kind::ShellArg | Kind::Renderable => Some(Reload::NextBuild),
            Kind::Scheduler | Kind::Parameter | Kind::SecretProvider | Kind::Reporter | Kind::Generator | Kind::Formatter => {
                Some(Reload::AtOnce)
            }
        }
    }
}

pub type Build = fn(&mut Reader, &Object, &mut Assembly) -> Option<Parsed>;

/// A class as declared.
#[derive(Clone, Debug)]
pub struct ClassDecl {
    pub name: &'static str,
    /// The global tables that have it: `steps`, `util` …
    pub namespaces: &'static [&'static str],
    /// It is a global itself, too.
    pub top_level: bool,
    pub old_names: &'static [&'static str],
    pub extensible: bool,
    /// The first argument is a list of these, and a lone table of them is that list.
    pub holds: Option<Holds>,
    pub args: Vec<ArgDecl>,
    pub doc: &'static str,
    pub kind: Kind,
    /// Takes any further arguments (`Interpolate`) and reads them itself.
    pub open: bool,
    /// Defaults for arguments of shared lists.
    pub presets: &'static [(&'static str, Preset)],
    pub build: Build,
}

impl ClassDecl {
    pub(super) fn new<A: Arguments>(name: &'static str, kind: Kind, build: Build, doc: &'static str) -> ClassDecl {
        let namespaces: &[&str] = match kind {
            Kind::Worker => &["worker"],
            Kind::Builder | Kind::Factory | Kind::ShellArg | Kind::Renderable => &["util"],
            Kind::Step => &["steps"],
            Kind::Scheduler => &["schedulers"],
            Kind::Parameter => &["util", "schedulers"],
            Kind::SecretProvider => &["secrets"],
            Kind::Reporter | Kind::Generator | Kind::Formatter => &["reporters"],
        };
        let mut args = A::declared();
        for arg in &mut args {
            arg.reload = arg.reload.or(Reload::of_kind(kind));
        }
        ClassDecl {
            name,
            namespaces,
            top_level: matches!(kind, Kind::Worker),
            old_names: &[],
            extensible: !matches!(kind, Kind::Renderable | Kind::ShellArg),
            holds: None,
            args,
            doc,
            kind,
            open: false,
            presets: &[],
            build,
        }
    }

    pub(super) fn presets(mut self, presets: &'static [(&'static str, Preset)]) -> ClassDecl {
        for (name, preset) in presets {
            for arg in self.args.iter_mut().filter(|a| a.name == *name) {
                arg.required = false;
                arg.default = preset.shown();
            }
        }
        self.presets = presets;
        self
    }

    pub(super) fn old(mut self, names: &'static [&'static str]) -> ClassDecl {
        self.old_names = names;
        self
    }

    pub(super) fn holding(mut self, holds: Holds) -> ClassDecl {
        self.holds = Some(holds);
        self
    }

    pub(super) fn top(mut self) -> ClassDecl {
        self.top_level = true;
        self
    }

    pub(super) fn open(mut self) -> ClassDecl {
        self.open = true;
        self
    }
}

/// Every class that there is, in the order of the reference.
pub fn classes() -> &'static [ClassDecl] {
    static CLASSES: LazyLock<Vec<ClassDecl>> = LazyLock::new(|| {
        let mut list = Vec::new();
        super::workers::declare(&mut list);
        super::backends::declare(&mut list);
        super::shipped::declare(&mut list);
        super::openstack::declare(&mut list);
        super::processes::declare(&mut list);
        super::ec2::declare(&mut list);
        super::builders::declare(&mut list);
        super::steps::declare(&mut list);
        super::schedulers::declare(&mut list);
        super::parameters::declare(&mut list);
        super::renderables::declare(&mut list);
        super::secrets::declare(&mut list);
        super::reporters::declare(&mut list);
        super::generators::declare(&mut list);
        super::formatters::declare(&mut list);
        list
    });
    &CLASSES
}

/// The class of that declared name.
pub fn class_named(name: &str) -> Option<&'static ClassDecl> {
    static BY_NAME: LazyLock<HashMap<&'static str, &'static ClassDecl>> = LazyLock::new(|| classes().iter().map(|c| (c.name, c)).collect());
    BY_NAME.get(name).copied()
}
