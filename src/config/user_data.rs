//! `util.UserData`: what a machine is told when it starts, so that a plain image becomes a worker. Makes text; runs nothing.
//!
//! The script installs a stock worker, starts it as a service, and arms a switch that powers the machine off when its master is out of
//! reach for too long or the setup fails: with the shutdown behaviour `terminate` the bill ends though nobody is there to stop it.
//! `tests/user_data.rs` runs it.

use std::time::Duration;

use serde_json::json;

use super::arguments::{Arguments, Reader, arguments};
use super::class::{ClassDecl, Kind};
use super::convert::{FromValue, OneOrMany, Wrong};
use super::lua_type::LuaType;
use super::template::{Arg, Template};
use super::value::Value;

/// AWS takes no longer user data.
pub const LONGEST: usize = 16 << 10;
const PORT: u16 = 9989;
const SHORTEST: Duration = Duration::from_secs(10);
const LONGEST_TIME: Duration = Duration::from_secs(30 * 24 * 3600);

arguments! {
    UserDataArgs {
        [1] "master" master: Address, "Where the worker finds the master: `ci.example.org`, `ci.example.org:9989`, `[2001:db8::1]:9989`.";
        "install" install: Install = Install::Pip => "\"pip\"", "Where the worker comes from: `\"pip\"`, into a virtual environment; `\"package\"`, the distribution's; `\"image\"`, it is there.";
        "requirements" requirements: OneOrMany<Line> = OneOrMany(vec![Line("buildbot-worker".into())]) => "{ \"buildbot-worker\" }", "What pip installs: `{ \"buildbot-worker==4.3.0\" }`.";
        "index_url" index_url: Option<Line> = None => "None", "pip's index, if it is not PyPI.";
        "python" python: Program = Program("python3".into()) => "\"python3\"", "The Python that it runs with.";
        "packages" packages: OneOrMany<Package> = OneOrMany(Vec::new()) => "{}", "Packages of the distribution that builds need.";
        "prepare" prepare: Arg<Option<String>> = Arg::Const(None) => "None", "Lines of shell that root runs before the worker starts; if one fails, the machine powers off.";
        "user" user: User = User("buildbot".into()) => "\"buildbot\"", "The user who runs builds; made if there is none.";
        "basedir" basedir: Folder = Folder("/var/lib/buildbot-worker".into()) => "\"/var/lib/buildbot-worker\"", "The worker's folder; beside it, in a folder named `….root`, stands what only root may change.";
        "power_off_after" power_off_after: Duration = Duration::from_secs(1800) => "1800", "The machine powers off when its worker had no connection to a master that answers for so long.";
        "setup_timeout" setup_timeout: Duration = Duration::from_secs(1800) => "1800", "It powers off when the worker is not set up within that time.";
        "metadata_url" metadata_url: Option<Line> = Some(Line("http://169.254.169.254".into())) => "\"http://169.254.169.254\"", "Where the machine asks whether the spot market takes it back, so that its worker takes no more builds then; None: it does not ask.";
    }
}

pub(super) fn declare(list: &mut Vec<ClassDecl>, build: super::class::Build) {
    list.push(ClassDecl::new::<UserDataArgs>(
        "UserData",
        Kind::Renderable,
        build,
        "User data that makes a worker of a plain Linux image: a script for cloud-init that installs buildbot-worker, gives it the worker's name and its password for this launch, starts it, and powers the machine off when the setup fails or the master stays out of reach. A place for it is `user_data`.",
    ));
}

/// How a machine becomes a worker.
#[derive(Clone, PartialEq, Debug)]
pub struct UserData {
    pub host: String,
    pub port: u16,
    pub install: Install,
    pub requirements: Vec<String>,
    pub index_url: Option<String>,
    pub python: String,
    pub packages: Vec<String>,
    pub prepare: Option<Template>,
    pub user: String,
    pub basedir: String,
    pub power_off_after: Duration,
    pub setup_timeout: Duration,
    pub metadata_url: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Install {
    Pip,
    Package,
    Image,
}

/// The class's arguments.
pub(super) fn read(reader: &mut Reader) -> Option<UserData> {
    let args = UserDataArgs::read(reader)?;
    for (name, time) in [("power_off_after", args.power_off_after), ("setup_timeout", args.setup_timeout)] {
        if !(SHORTEST..=LONGEST_TIME).contains(&time) {
            reader.wrong(format!("'{name}' must be 10 seconds or more and at most 30 days"));
        }
    }
    if args.install == Install::Pip && args.requirements.0.is_empty() {
        reader.wrong("'requirements' must name what pip installs: { \"buildbot-worker\" }");
    }
    Some(UserData {
        host: args.master.host,
        port: args.master.port,
        install: args.install,
        requirements: args.requirements.0.into_iter().map(|r| r.0).collect(),
        index_url: args.index_url.map(|url| url.0),
        python: args.python.0,
        packages: args.packages.0.into_iter().map(|p| p.0).collect(),
        prepare: match args.prepare {
            Arg::Const(text) => text.map(|text| Template::Const(text.into())),
            Arg::Dynamic(template) => Some(*template),
        },
        user: args.user.0,
        basedir: args.basedir.0,
        power_off_after: args.power_off_after,
        setup_timeout: args.setup_timeout,
        metadata_url: args.metadata_url.map(|url| url.0.trim_end_matches('/').to_owned()),
    })
}

impl UserData {
    /// For this worker, with the password of this launch; `prepare` is rendered already.
    pub fn script(&self, name: &str, password: &str, prepare: &str) -> Result<String, String> {
        let seconds = |time: Duration| time.as_secs().max(1);
        let login = json!({ "host": self.host, "port": self.port, "name": name, "password": password });
        let watched = json!({
            "host": self.host, "port": self.port, "basedir": self.basedir, "power_off_after": seconds(self.power_off_after),
            "metadata_url": self.metadata_url,
        });
        let install = match self.install {
            Install::Pip => "pip",
            Install::Package => "package",
            Install::Image => "image",
        };
        let variables = [
            ("basedir", self.basedir.clone()),
            ("user", self.user.clone()),
            ("install", install.to_owned()),
            ("python", self.python.clone()),
            ("packages", self.packages.join(" ")),
            ("requirements", self.requirements.join("\n")),
            ("index_url", self.index_url.clone().unwrap_or_default()),
            ("setup_timeout", seconds(self.setup_timeout).to_string()),
            ("prepare", prepare.to_owned()),
            ("login", login.to_string()),
            ("watched", watched.to_string()),
            ("off", include_str!("user_data/off.sh").to_owned()),
            ("watch", include_str!("user_data/watch.py").to_owned()),
            ("tac", include_str!("user_data/worker.tac").to_owned()),
        ];
        let mut script = String::from("#!/bin/sh\n");
        for (name, value) in variables {
            // No shell can hold it.
            if value.contains('\0') {
                return Err(format!("{name} has a zero byte in it"));
            }
            script += &format!("{name}={}\n", quoted(&value));
        }
        script += include_str!("user_data/setup.sh");
        if script.len() > LONGEST {
            return Err(format!(
                "the script is {} bytes long, and user data must not be longer than {LONGEST}: make 'prepare' shorter",
                script.len()
            ));
        }
        Ok(script)
    }
}

/// As one word of a shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// `HOST`, `HOST:PORT`, `[IPv6]:PORT`.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Address {
    host: String,
    port: u16,
}

impl FromValue for Address {
    fn expected() -> String {
        "an address such as \"ci.example.org:9989\"".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("string")
    }

    fn from_value(value: &Value) -> Result<Address, Wrong> {
        let wrong = || Wrong::must(Self::expected(), value);
        let Value::Text(text) = value else { return Err(wrong()) };
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or_else(wrong)?)),
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text.as_str(), None),
            },
        };
        let bracketed = text.starts_with('[');
        let fits = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c) || (bracketed && ":%".contains(c));
        if host.is_empty() || host.starts_with('-') || !host.chars().all(fits) {
            return Err(wrong());
        }
        let port = match port {
            Some(port) => port.parse().ok().filter(|p| *p > 0).ok_or_else(wrong)?,
            None => PORT,
        };
        Ok(Address { host: host.to_owned(), port })
    }
}

impl FromValue for Install {
    fn expected() -> String {
        "\"pip\", \"package\" or \"image\"".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("\"pip\"").or(LuaType::Name("\"package\"")).or(LuaType::Name("\"image\""))
    }

    fn from_value(value: &Value) -> Result<Install, Wrong> {
        match value {
            Value::Text(text) if text == "pip" => Ok(Install::Pip),
            Value::Text(text) if text == "package" => Ok(Install::Package),
            Value::Text(text) if text == "image" => Ok(Install::Image),
            other => Err(Wrong::must(Self::expected(), other)),
        }
    }
}

/// Texts that are told apart by what may stand in them.
macro_rules! texts {
    ($($(#[$meta:meta])* $name:ident $expected:literal $plural:literal $fits:expr;)*) => {
        $(
            $(#[$meta])*
            #[derive(Clone, PartialEq, Debug)]
            pub(super) struct $name(String);

            impl FromValue for $name {
                fn expected() -> String {
                    $expected.into()
                }

                fn lua_type() -> LuaType {
                    LuaType::Name("string")
                }

                fn plural() -> String {
                    $plural.into()
                }

                fn from_value(value: &Value) -> Result<$name, Wrong> {
                    let fits: fn(&str) -> bool = $fits;
                    match value {
                        Value::Text(text) if fits(text) => Ok($name(text.clone())),
                        other => Err(Wrong::must(Self::expected(), other)),
                    }
                }
            }
        )*
    };
}

texts! {
    /// Of text that stands in a file of lines.
    Line "a line of text" "lines of text" |t| !t.trim().is_empty() && !t.contains(char::is_control);
    Program "the name or path of a program" "programs" |t| !t.is_empty() && !t.starts_with('-') && only(t, "/._+-");
    Package "the name of a package" "names of packages" |t| !t.is_empty() && !t.starts_with('-') && only(t, ".+_:~=-");
    User "the name of a user" "names of users" |t| {
        t.len() <= 32 && t.starts_with(|c: char| c.is_ascii_lowercase() || c == '_') && only(t, "_-")
    };
    Folder "an absolute path of letters, digits and ._-" "paths" |t| {
        t.len() > 1 && t.len() <= 200 && t.starts_with('/') && !t.ends_with('/') && only(t, "/._-") && t.split('/').all(|part| part != "..")
    };
}

/// ASCII letters and digits, and these.
fn only(text: &str, besides: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || besides.contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{mistakes_of, object, table};

    fn plain() -> UserData {
        let object = object("UserData", 3, table!["ci.example.org:9990"]);
        match super::super::renderables::template(&object) {
            Some(Ok(Template::UserData(data))) => *data,
            other => panic!("{other:?}"),
        }
    }

    /// What a shell makes of the script's variables.
    fn variable(script: &str, name: &str) -> String {
        let head = &script[..script.find("# Runs once").expect("the static part")];
        let shown = std::process::Command::new("sh").arg("-c").arg(format!("{head}\nprintf '%s' \"${name}\"")).output().expect("a shell");
        String::from_utf8(shown.stdout).expect("text")
    }

    #[test]
    fn hostile_texts_are_only_text() {
        let hostile = "a'b\"c$(touch /tmp/x)`id`\\ \n%s\nEND ü";
        let script = plain().script("bot", hostile, "echo 'it''s'\nfalse").expect("a script");
        let login: serde_json::Value = serde_json::from_str(&variable(&script, "login")).expect("JSON");
        assert_eq!(login, json!({ "host": "ci.example.org", "port": 9990, "name": "bot", "password": hostile }));
        assert_eq!(variable(&script, "prepare"), "echo 'it''s'\nfalse");
        assert!(!variable(&script, "watched").contains("touch"));
        assert!(script.len() < LONGEST * 3 / 4, "{} bytes leave no room for 'prepare'", script.len());
        assert!(plain().script("bot", "a", "\0").is_err_and(|e| e.contains("prepare has a zero byte")));
        assert!(plain().script("bot", "a", &"x".repeat(LONGEST)).is_err_and(|e| e.contains("must not be longer than 16384")));
    }

    #[test]
    fn a_password_is_in_one_place() {
        let script = plain().script("bot", "hunter2", "").expect("a script");
        assert_eq!(script.matches("hunter2").count(), 1);
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (name, value, expected) in [
            ("master", Value::from("ci example"), "'master' must be an address"),
            ("master", "ci:0".into(), "'master' must be an address"),
            ("master", "::1".into(), "'master' must be an address"),
            ("master", "$(id)".into(), "'master' must be an address"),
            ("install", "conda".into(), "'install' must be \"pip\", \"package\" or \"image\""),
            ("packages", table!["git", "-o APT::x=y"].into(), "packages[2] must be the name of a package"),
            ("requirements", "a\nb".into(), "'requirements' must be a line of text"),
            ("requirements", table![].into(), "'requirements' must name what pip installs"),
            ("user", "Robert'; DROP".into(), "'user' must be the name of a user"),
            ("basedir", "/var/../etc".into(), "'basedir' must be an absolute path"),
            ("power_off_after", 5.into(), "'power_off_after' must be 10 seconds or more"),
            ("setup_timeout", "90d".into(), "'setup_timeout' must be 10 seconds or more and at most 30 days"),
        ] {
            let mut args = table![; master = "ci.example.org"];
            args.named.insert(name.into(), value);
            let told = mistakes_of(&object("UserData", 3, args)).join("\n");
            assert!(told.contains(expected), "{expected}: {told}");
        }
    }

    #[test]
    fn addresses() {
        for (text, host, port) in
            [("ci", "ci", 9989), ("10.0.0.1:99", "10.0.0.1", 99), ("[2001:db8::1]:99", "2001:db8::1", 99), ("[::1]", "::1", 9989)]
        {
            let address = Address::from_value(&text.into()).expect(text);
            assert_eq!((address.host.as_str(), address.port), (host, port));
        }
    }
}
