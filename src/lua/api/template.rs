//! `template`: the texts with holes of [`crate::base::jinja`], filled from tables. Rendering happens on the Lua thread at once, and a
//! function of Lua that it calls can't wait.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr, ValueKind};
use minijinja::{Error, ErrorKind, State, Value as Filled};
use mlua::{Function, Lua, LuaString, Table, UserData, UserDataMethods, Value};

use super::args::describe;
use crate::base::jinja::{Jinja, Options};
use crate::base::suggest;

/// How deep tables of the context may lie in each other.
const DEEPEST: usize = 64;
const MOST_VALUES: usize = 1_000_000;
const OPTIONS: [&str; 2] = ["strict", "html"];

thread_local! {
    /// The functions that the templates now being rendered on this thread may call: the engine wants values that can be sent to other
    /// threads, which functions of Lua can't, so it gets their numbers.
    static RENDERING: RefCell<Vec<(Lua, Vec<Function>)>> = const { RefCell::new(Vec::new()) };
}

pub(super) fn register(lua: &Lua, into: &Table) -> mlua::Result<()> {
    let template = lua.create_table()?;
    template.raw_set(
        "render",
        lua.create_function(|lua, (text, context, options): (LuaString, Option<Table>, Option<Table>)| {
            let fail = |text: String| mlua::Error::runtime(format!("template.render: {text}"));
            Template::new(&text, options.as_ref()).and_then(|t| t.render(lua, context.as_ref())).map_err(fail)
        })?,
    )?;
    template.raw_set(
        "compile",
        lua.create_function(|_, (text, options): (LuaString, Option<Table>)| {
            Template::new(&text, options.as_ref()).map_err(|text| mlua::Error::runtime(format!("template.compile: {text}")))
        })?,
    )?;
    into.raw_set("template", template)
}

struct Template(Jinja);

impl UserData for Template {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("render", |lua, this, context: Option<Table>| {
            this.render(lua, context.as_ref()).map_err(|text| mlua::Error::runtime(format!("template:render: {text}")))
        });
    }
}

impl Template {
    fn new(text: &LuaString, options: Option<&Table>) -> Result<Template, String> {
        let text = text.to_str().map_err(|_| "the text is not UTF-8")?;
        let mut read = Options::default();
        for pair in options.into_iter().flat_map(|o| o.pairs::<String, bool>()) {
            let (name, value) = pair.map_err(|_| "the options are strict and html, each true or false")?;
            match name.as_str() {
                "strict" => read.strict = value,
                "html" => read.html = value,
                _ => return Err(format!("unknown option '{name}'{}", suggest::hint(&name, OPTIONS))),
            }
        }
        Jinja::new(&text, read).map(Template)
    }

    fn render(&self, lua: &Lua, context: Option<&Table>) -> Result<String, String> {
        let mut reader = ContextReader::default();
        let context = match context {
            Some(table) => reader.value(&Value::Table(table.clone()), 0).map_err(|e| format!("the context: {e}"))?,
            None => Filled::from(()),
        };
        let _rendering = Rendering::begin(lua, reader.functions);
        self.0.render(context)
    }
}

/// Ends with the rendering, whichever way that ends.
struct Rendering;

impl Rendering {
    fn begin(lua: &Lua, functions: Vec<Function>) -> Rendering {
        RENDERING.with_borrow_mut(|all| all.push((lua.clone(), functions)));
        Rendering
    }
}

impl Drop for Rendering {
    fn drop(&mut self) {
        RENDERING.with_borrow_mut(|all| all.pop());
    }
}

/// Values of Lua as the engine takes them: each table once, objects as text, functions by number.
#[derive(Default)]
struct ContextReader {
    functions: Vec<Function>,
    known: HashMap<*const c_void, Option<Filled>>,
    values: usize,
}

impl ContextReader {
    fn value(&mut self, value: &Value, depth: usize) -> Result<Filled, String> {
        self.values += 1;
        if self.values > MOST_VALUES {
            return Err(format!("has more than {MOST_VALUES} values"));
        }
        Ok(match value {
            Value::Nil => Filled::from(()),
            v if v.is_null() => Filled::from(()),
            Value::Boolean(b) => Filled::from(*b),
            Value::Integer(i) => Filled::from(*i),
            Value::Number(x) => Filled::from(*x),
            Value::String(text) => Filled::from(text.to_string_lossy()),
            Value::Function(f) => {
                self.functions.push(f.clone());
                Filled::from_object(Callable(self.functions.len() - 1))
            }
            Value::Table(table) if table.has_metatable() => Filled::from(value.to_string().map_err(|e| first_line(&e.to_string()))?),
            Value::Table(table) => self.table(table, depth)?,
            other => Filled::from(other.to_string().map_err(|e| first_line(&e.to_string()))?),
        })
    }

    fn table(&mut self, table: &Table, depth: usize) -> Result<Filled, String> {
        match self.known.insert(table.to_pointer(), None) {
            Some(Some(known)) => {
                self.known.insert(table.to_pointer(), Some(known.clone()));
                return Ok(known);
            }
            Some(None) => return Err("a table holds itself".into()),
            None if depth >= DEEPEST => return Err(format!("tables are nested deeper than {DEEPEST}")),
            None => {}
        }
        let items = table.raw_len();
        let mut list = Vec::new();
        let mut named = Vec::new();
        for pair in table.pairs::<Value, Value>() {
            let (key, item) = pair.map_err(|e| first_line(&e.to_string()))?;
            match &key {
                Value::Integer(i) if *i >= 1 && *i as usize <= items => list.push((*i, self.value(&item, depth + 1)?)),
                Value::String(name) => named.push((Filled::from(name.to_string_lossy()), self.value(&item, depth + 1)?)),
                Value::Integer(i) => named.push((Filled::from(*i), self.value(&item, depth + 1)?)),
                other => return Err(format!("a key is {}", describe(other))),
            }
        }
        let made = if named.is_empty() && (!list.is_empty() || depth > 0) {
            list.sort_by_key(|(i, _)| *i);
            list.into_iter().map(|(_, item)| item).collect::<Vec<Filled>>().into()
        } else {
            named.extend(list.into_iter().map(|(i, item)| (Filled::from(i), item)));
            named.sort();
            Filled::from_pairs(named)
        };
        self.known.insert(table.to_pointer(), Some(made.clone()));
        Ok(made)
    }
}

/// A function of Lua, by its number among those of the rendering.
#[derive(Debug)]
struct Callable(usize);

impl Object for Callable {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, args: &[Filled]) -> Result<Filled, Error> {
        let fail = |text: String| Error::new(ErrorKind::InvalidOperation, text);
        let found =
            RENDERING.with_borrow(|all| all.last().and_then(|(lua, functions)| Some((lua.clone(), functions.get(self.0)?.clone()))));
        let Some((lua, function)) = found else { return Err(fail("the function belongs to another rendering".into())) };
        let args = args.iter().map(|arg| to_lua(&lua, arg, 0)).collect::<Result<Vec<Value>, Error>>()?;
        let args = mlua::MultiValue::from_vec(args);
        let answer = function.call::<Value>(args).map_err(|e| {
            let text = e.to_string();
            fail(if text.contains("attempt to yield") {
                "a function of the context waits, which it can't while a template is rendered: call it before".into()
            } else {
                first_line(&text)
            })
        })?;
        let mut reader = ContextReader::default();
        let value = reader.value(&answer, 1).map_err(|e| fail(format!("what a function of the context returned {e}")))?;
        if reader.functions.is_empty() { Ok(value) } else { Err(fail("a function of the context returned a function".into())) }
    }
}

/// An argument of a template's call.
fn to_lua(lua: &Lua, value: &Filled, depth: usize) -> Result<Value, Error> {
    let fail = |text: String| Error::new(ErrorKind::InvalidOperation, text);
    let lua_error = |e: mlua::Error| fail(first_line(&e.to_string()));
    if depth > DEEPEST {
        return Err(fail(format!("an argument is nested deeper than {DEEPEST}")));
    }
    Ok(match value.kind() {
        ValueKind::Undefined | ValueKind::None => Value::Nil,
        ValueKind::Bool => Value::Boolean(value.is_true()),
        ValueKind::Number => match value.as_i64().filter(|_| value.is_integer()) {
            Some(i) => Value::Integer(i),
            None => Value::Number(f64::try_from(value.clone())?),
        },
        ValueKind::Seq | ValueKind::Iterable => {
            let list = lua.create_table().map_err(lua_error)?;
            for (i, item) in value.try_iter()?.take(MOST_VALUES).enumerate() {
                list.raw_set(i + 1, to_lua(lua, &item, depth + 1)?).map_err(lua_error)?;
            }
            Value::Table(list)
        }
        ValueKind::Map => {
            let map = lua.create_table().map_err(lua_error)?;
            for key in value.try_iter()? {
                let item = to_lua(lua, &value.get_item(&key)?, depth + 1)?;
                map.raw_set(to_lua(lua, &key, depth + 1)?, item).map_err(lua_error)?;
            }
            Value::Table(map)
        }
        _ => Value::String(lua.create_string(value.to_string()).map_err(lua_error)?),
    })
}

fn first_line(text: &str) -> String {
    let text = text.strip_prefix("runtime error: ").unwrap_or(text);
    text.lines().next().unwrap_or_default().to_owned()
}
