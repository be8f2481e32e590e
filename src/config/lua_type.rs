//! The type of an argument as language servers of Lua write it; the sentence for people is beside it in `FromValue`.

use std::fmt;

/// What an argument takes.
#[derive(Clone, PartialEq, Debug)]
pub enum LuaType {
    /// `string`, `Step`, `"markdown"`.
    Name(&'static str),
    /// Which parameters it has is known by the argument's name.
    Function,
    /// A table with keys of its own; which ones is known by the argument's name.
    Settings,
    List(Box<LuaType>),
    Map(Box<LuaType>, Box<LuaType>),
    Union(Vec<LuaType>),
}

/// What is rendered for each build: an object of the host, or a function of the properties.
const RENDERABLE: LuaType = LuaType::Name("Renderable");

impl LuaType {
    pub fn list(of: LuaType) -> LuaType {
        LuaType::List(Box::new(of))
    }

    pub fn table(of: LuaType) -> LuaType {
        LuaType::Map(Box::new(LuaType::Name("string")), Box::new(of))
    }

    /// This or that, each once.
    pub fn or(self, other: LuaType) -> LuaType {
        let mut all = Vec::new();
        for one in [self, other] {
            match one {
                LuaType::Union(many) => all.extend(many),
                one => all.push(one),
            }
        }
        let mut kept: Vec<LuaType> = Vec::with_capacity(all.len());
        for one in all {
            if !kept.contains(&one) {
                kept.push(one);
            }
        }
        LuaType::Union(kept)
    }

    /// The same where each value, at any depth, may be something to render.
    pub fn rendered(self) -> LuaType {
        if self == LuaType::Name("any") { self } else { self.within_rendered().or(RENDERABLE) }
    }

    fn within_rendered(self) -> LuaType {
        match self {
            LuaType::List(of) => LuaType::list(of.rendered()),
            LuaType::Map(key, of) => LuaType::Map(key, Box::new(of.rendered())),
            LuaType::Union(many) => LuaType::Union(many.into_iter().map(LuaType::within_rendered).collect()),
            one => one,
        }
    }

    /// As it is written, where a function is this and a table of settings that.
    pub fn written(&self, function: &str, settings: &str) -> String {
        let of = |one: &LuaType| one.written(function, settings);
        match self {
            LuaType::Name(name) => (*name).to_owned(),
            LuaType::Function => function.to_owned(),
            LuaType::Settings => settings.to_owned(),
            // What a function returns would swallow what follows.
            LuaType::List(one) if matches!(**one, LuaType::Union(_) | LuaType::Function) => format!("({})[]", of(one)),
            LuaType::List(one) => format!("{}[]", of(one)),
            LuaType::Map(key, one) => format!("table<{}, {}>", of(key), of(one)),
            LuaType::Union(many) => {
                let part = |one: &LuaType| if matches!(one, LuaType::Function) { format!("({})", of(one)) } else { of(one) };
                many.iter().map(part).collect::<Vec<_>>().join("|")
            }
        }
    }
}

impl fmt::Display for LuaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written("function", "table"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use crate::config::{Arg, CommandLine, EnvValue, FnRef, FromValue};

    #[test]
    fn types_are_written_as_language_servers_read_them() {
        assert_eq!(<Option<Vec<String>>>::lua_type().to_string(), "string[]|None");
        assert_eq!(<Arg<Option<Duration>>>::lua_type().to_string(), "number|string|None|Renderable");
        assert_eq!(<Arg<CommandLine>>::lua_type().to_string(), "string|(string|integer|any[]|Renderable)[]|Renderable");
        assert_eq!(<BTreeMap<String, EnvValue>>::lua_type().to_string(), "table<string, string|string[]|None>");
        assert_eq!(<Option<FnRef>>::lua_type().written("fun(): string", "table"), "(fun(): string)|None");
        assert_eq!(<Vec<FnRef>>::lua_type().written("fun(): string", "table"), "(fun(): string)[]");
    }
}
