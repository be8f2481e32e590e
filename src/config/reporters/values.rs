//! What arguments of reporters take: addresses of mail, ports, logins, texts with secrets, certificates. Looks nothing up.

use crate::base::MailAddress;
use crate::config::convert::{self, FromValue, OneOrMany, Whole, Wrong};
use crate::config::lua_type::LuaType;
use crate::config::reports::{Lookup, SecretPart, SecretText, Verify};
use crate::config::spec::Password;
use crate::config::template::{Form, Part, Source, Template};
use crate::config::value::Value;

/// An address of mail that can be sent to.
#[derive(Clone, Debug)]
pub(in crate::config) struct Address(pub MailAddress);

impl FromValue for Address {
    fn expected() -> String {
        "an address of mail such as \"ann@example.org\" or \"Ann <ann@example.org>\"".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("string")
    }

    fn plural() -> String {
        "addresses of mail".into()
    }

    fn from_value(value: &Value) -> Result<Address, Wrong> {
        let Value::Text(text) = value else { return Err(Wrong::must(Self::expected(), value)) };
        MailAddress::parse(text).map(Address).ok_or_else(|| Wrong::must(Self::expected(), value))
    }
}

/// These as they are written to.
pub(in crate::config) fn addresses(list: OneOrMany<Address>) -> Vec<String> {
    list.0.into_iter().map(|address| address.0.to_string()).collect()
}

/// A number of a port.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Port(pub u16);

impl FromValue for Port {
    fn expected() -> String {
        "a port number from 1 to 65535".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("integer")
    }

    fn from_value(value: &Value) -> Result<Port, Wrong> {
        let number = Whole::<1>::from_value(value).ok().and_then(|n| u16::try_from(n.0).ok());
        number.map(Port).ok_or_else(|| Wrong::must(Self::expected(), value))
    }
}

impl FromValue for Lookup {
    fn expected() -> String {
        "a domain such as \"example.org\", a function or None".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("string").or(LuaType::Function).or(LuaType::Name("None"))
    }

    fn from_value(value: &Value) -> Result<Lookup, Wrong> {
        match value {
            Value::None => Ok(Lookup::AsItIs),
            Value::Function(f) => Ok(Lookup::Call(f.clone())),
            Value::Text(text) => {
                let domain = text.trim_start_matches('@');
                let fits = MailAddress::parse(&format!("x@{domain}")).is_some_and(|a| a.name.is_none());
                if fits { Ok(Lookup::Domain(domain.to_owned())) } else { Err(Wrong::must(Self::expected(), value)) }
            }
            other => Err(Wrong::must(Self::expected(), other)),
        }
    }
}

/// Text, a `util.Secret`, or an `Interpolate` of nothing but one secret.
#[derive(Clone, Debug)]
pub(in crate::config) struct Credential(pub Password);

impl FromValue for Credential {
    const SECRET: bool = true;

    fn expected() -> String {
        "text, a util.Secret or an Interpolate of one secret".into()
    }

    fn lua_type() -> LuaType {
        Password::lua_type().or(LuaType::Name("Interpolate"))
    }

    fn from_value(value: &Value) -> Result<Credential, Wrong> {
        match value {
            Value::Object(object) if object.class == "Interpolate" => match SecretText::from_value(value)?.0.as_slice() {
                [SecretPart::Secret(name)] => Ok(Credential(Password::Named(name.clone()))),
                _ => Err(Wrong::says(format!("must be {}, such as \"%(secret:smtp)s\"", Self::expected()))),
            },
            other => Password::from_value(other).map(Credential),
        }
    }
}

/// `{ "user", "password" }`
#[derive(Clone, Debug)]
pub(in crate::config) struct Login(pub Password, pub Password);

impl FromValue for Login {
    const SECRET: bool = true;

    fn expected() -> String {
        format!("a list of a user and a password, each {}", Credential::expected())
    }

    fn lua_type() -> LuaType {
        LuaType::list(Credential::lua_type())
    }

    fn from_value(value: &Value) -> Result<Login, Wrong> {
        match value {
            Value::Table(t) if t.items.len() == 2 && t.named.is_empty() => {
                let part = |i: usize| Credential::from_value(&t.items[i]).map(|c| c.0).map_err(|w| w.inside(convert::item(i)));
                Ok(Login(part(0)?, part(1)?))
            }
            other => Err(Wrong::says(format!("must be {}, got {}", Self::expected(), kind_of(other)))),
        }
    }
}

/// What it is, without a word of it.
fn kind_of(value: &Value) -> String {
    match value {
        Value::Text(_) => "text".into(),
        Value::Int(_) | Value::Float(_) => "a number".into(),
        other => other.describe(),
    }
}

impl FromValue for SecretText {
    const SECRET: bool = true;

    fn expected() -> String {
        "text, a util.Secret, or an Interpolate with secrets".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("string").or(LuaType::Name("Secret")).or(LuaType::Name("Interpolate"))
    }

    fn plural() -> String {
        "values, each text, a util.Secret, or an Interpolate with secrets".into()
    }

    fn from_value(value: &Value) -> Result<SecretText, Wrong> {
        let text = match value {
            Value::Text(text) => SecretText(vec![SecretPart::Text(text.clone())]),
            Value::Object(_) => match Template::read(value)? {
                Template::Secret(name) => SecretText(vec![SecretPart::Secret(name)]),
                Template::Const(serde_json::Value::String(text)) => SecretText(vec![SecretPart::Text(text)]),
                Template::Interpolate(parts) => SecretText(parts.into_iter().map(part).collect::<Result<_, _>>()?),
                _ => return Err(Wrong::must(Self::expected(), value)),
            },
            other => return Err(Wrong::says(format!("must be {}, got {}", Self::expected(), kind_of(other)))),
        };
        let breaks = |part: &SecretPart| matches!(part, SecretPart::Text(t) if t.chars().any(char::is_control));
        if text.0.iter().any(breaks) {
            return Err(Wrong::says("must be one line without control characters"));
        }
        Ok(text)
    }
}

fn part(part: Part) -> Result<SecretPart, Wrong> {
    match part {
        Part::Text(text) => Ok(SecretPart::Text(text)),
        Part::Substitute { source: Source::Secret(name), form: Form::Plain } => Ok(SecretPart::Secret(name)),
        Part::Substitute { .. } => Err(Wrong::says("may hold %(secret:…)s only: there is no build whose properties it could have")),
    }
}

impl FromValue for Verify {
    fn expected() -> String {
        "true, false or the name of a file in PEM".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("boolean").or(LuaType::Name("string")).or(LuaType::Name("None"))
    }

    fn from_value(value: &Value) -> Result<Verify, Wrong> {
        match value {
            Value::None | Value::Bool(true) => Ok(Verify::System),
            Value::Bool(false) => Ok(Verify::Off),
            Value::Text(file) if !file.is_empty() => Ok(Verify::File(file.clone())),
            other => Err(Wrong::must(Self::expected(), other)),
        }
    }
}

/// A file of a certificate, and one of its key.
#[derive(Clone, Debug)]
pub(in crate::config) struct ClientCertificate(pub String, pub Option<String>);

impl FromValue for ClientCertificate {
    fn expected() -> String {
        "the name of a file in PEM, or a list of a certificate's and its key's".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("string").or(LuaType::list(LuaType::Name("string")))
    }

    fn from_value(value: &Value) -> Result<ClientCertificate, Wrong> {
        let files = OneOrMany::<String>::from_value(value).map_err(|_| Wrong::must(Self::expected(), value))?.0;
        match <[String; 2]>::try_from(files) {
            Ok([certificate, key]) => Ok(ClientCertificate(certificate, Some(key))),
            Err(files) => match <[String; 1]>::try_from(files) {
                Ok([one]) => Ok(ClientCertificate(one, None)),
                Err(_) => Err(Wrong::must(Self::expected(), value)),
            },
        }
    }
}
