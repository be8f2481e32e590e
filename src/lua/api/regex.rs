//! `regex`: what Lua sees of a [`Pattern`]. Iterating over the matches for a function that makes the replacement is done in
//! `lua/regex.lua`, since such a function may wait.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use mlua::{Function, Lua, LuaString, Table, UserData, Value};

use super::args;
use super::pattern::{self, Part, Pattern, Spans};

/// Patterns that are made anew for every call would fill the memory otherwise.
const MOST_KEPT: usize = 100;

/// The registry's name of the function that gives the text of a compiled pattern.
const TEXT_OF: &str = "buildmoon text of a pattern";

/// The text of a compiled pattern, if the table is one.
pub(in super::super) fn text_of(lua: &Lua, table: &Table) -> mlua::Result<Option<String>> {
    lua.named_registry_value::<Function>(TEXT_OF)?.call(table)
}

struct Compiled(Rc<Pattern>);

impl UserData for Compiled {}

/// An error on its way to Lua.
struct Failed(mlua::Error);

impl From<String> for Failed {
    fn from(text: String) -> Failed {
        Failed(mlua::Error::runtime(text))
    }
}

impl From<mlua::Error> for Failed {
    fn from(error: mlua::Error) -> Failed {
        Failed(error)
    }
}

type Compiling = mlua::UserDataRef<Compiled>;

type Search = fn(&Pattern, &[u8]) -> Result<Option<Spans>, String>;

pub(super) fn register(lua: &Lua, check: &Table, into: &Table) -> mlua::Result<()> {
    let native = lua.create_table()?;
    let kept: RefCell<HashMap<(String, String), Rc<Pattern>>> = RefCell::default();
    native.raw_set(
        "compile",
        lua.create_function(move |lua, (function, source, flags): (String, Value, Value)| {
            let source = args::text(&function, "pattern", &source)?;
            let flags = args::optional_text(&function, "flags", &flags)?.unwrap_or_default();
            let key = (source, flags);
            let mut kept = kept.borrow_mut();
            if let Some(known) = kept.get(&key) {
                return lua.create_userdata(Compiled(known.clone()));
            }
            let pattern = Pattern::new(&key.0, &key.1)
                .or_else(|why| args::fail(&function, format!("{} is no regular expression: {why}", args::quoted(&key.0))))?;
            let pattern = Rc::new(pattern);
            if kept.len() >= MOST_KEPT {
                kept.clear();
            }
            kept.insert(key, pattern.clone());
            lua.create_userdata(Compiled(pattern))
        })?,
    )?;
    let once: [(&str, Search); 3] = [("match", Pattern::starting), ("search", Pattern::search), ("fullmatch", Pattern::whole)];
    for (name, search) in once {
        let f = lua.create_function(move |lua, (function, compiled, subject): (String, Compiling, Value)| {
            let subject = args::bytes(&function, "subject", &subject)?;
            let subject = subject.as_bytes();
            match search(&compiled.0, &subject).or_else(|e| args::fail(&function, e))? {
                Some(spans) => match_table(lua, &compiled.0, &subject, &spans).map(Some),
                None => Ok(None),
            }
        })?;
        native.raw_set(name, f)?;
    }
    native.raw_set(
        "find_all",
        lua.create_function(|lua, (function, compiled, subject, most): (String, Compiling, Value, Value)| {
            let subject = args::bytes(&function, "subject", &subject)?;
            let subject = subject.as_bytes();
            let (all, places) = (lua.create_table()?, lua.create_table()?);
            each(&function, &compiled.0, &subject, &most, |spans| {
                let (first, last) = spans[0].unwrap_or_default();
                places.raw_push(first + 1)?;
                places.raw_push(last)?;
                all.raw_push(match_table(lua, &compiled.0, &subject, &spans)?)
            })?;
            Ok((all, places))
        })?,
    )?;
    native.raw_set("replace", lua.create_function(replace)?)?;
    native.raw_set("split", lua.create_function(split)?)?;
    native.raw_set("escape", lua.create_function(|_, value: Value| Ok(pattern::escape(&args::text("regex.escape", "s", &value)?)))?)?;
    let regex: Table = lua.load(include_str!("../../../lua/regex.lua")).set_name("=[builtin regex]").call((&native, check))?;
    lua.set_named_registry_value(TEXT_OF, native.raw_get::<Function>("text_of")?)?;
    into.raw_set("regex", regex)
}

fn each(
    function: &str,
    pattern: &Pattern,
    subject: &[u8],
    most: &Value,
    mut found: impl FnMut(Spans) -> mlua::Result<()>,
) -> mlua::Result<()> {
    let most = if args::absent(most) { 0 } else { args::integer(function, "count", most)? };
    // As in Python, 0 is no limit.
    let most = usize::try_from(most).ok().filter(|most| *most > 0);
    pattern.each(subject, most, |spans| found(spans).map_err(Failed)).map_err(|Failed(error)| match error {
        mlua::Error::RuntimeError(text) => mlua::Error::runtime(format!("{function}: {text}")),
        other => other,
    })
}

/// `m[0]`, `m[1]`, …, the named groups, and where it is, as `string.sub` counts. A group called `first` or `last` hides the place.
fn match_table(lua: &Lua, pattern: &Pattern, subject: &[u8], spans: &Spans) -> mlua::Result<Table> {
    let m = lua.create_table()?;
    let (first, last) = spans[0].unwrap_or_default();
    m.raw_set("first", first + 1)?;
    m.raw_set("last", last)?;
    for (i, span) in spans.iter().enumerate() {
        let Some((from, to)) = *span else { continue };
        let text = lua.create_string(&subject[from..to])?;
        if let Some(Some(name)) = pattern.names.get(i) {
            m.raw_set(name.as_str(), &text)?;
        }
        m.raw_set(i, text)?;
    }
    for (name, span) in pattern.names.iter().zip(spans) {
        if let (Some(name), None) = (name, span) {
            m.raw_set(name.as_str(), Value::Nil)?;
        }
    }
    Ok(m)
}

/// With a template; functions are called from Lua.
fn replace(
    lua: &Lua,
    (function, compiled, template, subject, most): (String, Compiling, Value, Value, Value),
) -> mlua::Result<(LuaString, usize)> {
    let pattern = &compiled.0;
    let template = args::bytes(&function, "replacement", &template)?;
    let subject = args::bytes(&function, "subject", &subject)?;
    let subject = subject.as_bytes();
    let parts = pattern::replacement(&template.as_bytes(), &pattern.names).or_else(|e| args::fail(&function, e))?;
    let largest = super::super::vm::LOADING_MEMORY;
    let (mut out, mut from, mut count) = (Vec::with_capacity(subject.len()), 0, 0);
    each(&function, pattern, &subject, &most, |spans| {
        let (first, last) = spans[0].unwrap_or_default();
        out.extend_from_slice(&subject[from..first]);
        for part in &parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Group(i) => {
                    if let Some(Some((first, last))) = spans.get(*i) {
                        out.extend_from_slice(&subject[*first..*last]);
                    }
                }
            }
        }
        (from, count) = (last, count + 1);
        if out.len() > largest { Err(mlua::Error::runtime("the result takes too much memory")) } else { Ok(()) }
    })?;
    out.extend_from_slice(&subject[from..]);
    Ok((lua.create_string(out)?, count))
}

/// The parts between the matches and, as in Python, the groups of the matches; a group that took no part is "".
fn split(lua: &Lua, (function, compiled, subject, most): (String, Compiling, Value, Value)) -> mlua::Result<Table> {
    let subject = args::bytes(&function, "subject", &subject)?;
    let subject = subject.as_bytes();
    let parts = lua.create_table()?;
    let mut from = 0;
    each(&function, &compiled.0, &subject, &most, |spans| {
        let (first, last) = spans[0].unwrap_or_default();
        parts.raw_push(lua.create_string(&subject[from..first])?)?;
        for span in &spans[1..] {
            let (first, last) = span.unwrap_or_default();
            parts.raw_push(lua.create_string(&subject[first..last])?)?;
        }
        from = last;
        Ok(())
    })?;
    parts.raw_push(lua.create_string(&subject[from..])?)?;
    Ok(parts)
}
