//! A checked configuration as a test looks at it: tables that can be read and not changed, with the arguments of each object, given
//! or default, and with functions that can be called with plain data. Secrets are not in it.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use mlua::{Function, Lua, MultiValue, Table as LuaTable, UserData, Value as LuaValue};

use super::super::api;
use super::super::convert::to_lua;
use super::super::generation::Generation;
use super::super::host::Host;
use super::super::load::{LoadOptions, Loaded, check};
use super::super::vm::default_value;
use crate::base::suggest;
use crate::config::class::{ArgDecl, ClassDecl, Kind, class_named};
use crate::config::{FnRef, Mistake, Object, Table, Value, given_arguments, root_keys};

/// Deeper there is no table of a configuration.
const DEEPEST: usize = 120;

/// What `load_master` calls: the configuration in that file, or an error with all its mistakes.
pub(super) async fn load(lua: &Lua, host: &Rc<Host>, name: &str) -> mlua::Result<LuaTable> {
    let options = LoadOptions { checking: true, ..LoadOptions::new(host.folder.join(name)) };
    let checked = api::wait::on_main(lua.clone(), host.clone(), "load_master", async move { Ok(check(options).await) }).await?;
    let loaded = checked.outcome.map_err(|mistakes| mlua::Error::runtime(refused(name, &mistakes)))?;
    Builder::new(lua, &loaded)?.root(&loaded)
}

fn refused(name: &str, mistakes: &[Mistake]) -> String {
    let lines: Vec<String> = mistakes.iter().map(|mistake| mistake.to_string().lines().next().unwrap_or_default().to_owned()).collect();
    match lines.as_slice() {
        [one] => format!("load_master: {one}"),
        _ => format!("load_master: {name} has {} mistakes: {}", lines.len(), lines.join("; ")),
    }
}

struct Builder<'a> {
    lua: &'a Lua,
    generation: Arc<Generation>,
    /// Of the prelude: makes a Lua function of a [`Made`].
    wrap: Function,
    objects: HashMap<u64, LuaTable>,
    tables: HashMap<*const Table, LuaTable>,
    depth: usize,
}

impl<'a> Builder<'a> {
    fn new(lua: &'a Lua, loaded: &Loaded) -> mlua::Result<Builder<'a>> {
        let generation = loaded.generation.clone();
        let wrap = lua.named_registry_value::<LuaTable>(api::PRELUDE)?.raw_get::<LuaTable>("testing")?.raw_get("callable")?;
        Ok(Builder { lua, generation, wrap, objects: HashMap::new(), tables: HashMap::new(), depth: 0 })
    }

    fn root(&mut self, loaded: &Loaded) -> mlua::Result<LuaTable> {
        let config = &loaded.config;
        let model = self.lua.create_table()?;
        let mut known = vec!["warnings".to_owned()];
        for key in root_keys() {
            let said = config.said.root.named.get(key.name).or_else(|| key.aliases.iter().find_map(|a| config.said.root.named.get(a)));
            let value = match said {
                Some(value) => self.value(value)?,
                None => default_value(self.lua, &key.default)?,
            };
            model.raw_set(key.name, value)?;
            known.push(key.name.to_owned());
        }
        for (key, what) in [("workers", "worker"), ("builders", "builder"), ("schedulers", "scheduler")] {
            let listed = match model.raw_get::<LuaValue>(key)? {
                LuaValue::Table(list) => list,
                _ => self.lua.create_table()?,
            };
            model.raw_set(key, self.by_name(&listed, what)?)?;
        }
        let builders: LuaTable = model.raw_get("builders")?;
        for spec in &config.builders {
            let Ok(builder) = builders.raw_get::<LuaTable>(spec.name.as_str()) else { continue };
            builder.raw_set("workers", spec.workers.clone())?;
            builder.raw_set("tags", spec.tags.clone())?;
            let factory: Option<LuaTable> = builder.raw_get("factory").ok();
            if let Some(steps) = factory.and_then(|f| f.raw_get::<Option<LuaTable>>("steps").ok().flatten()) {
                builder.raw_set("steps", steps)?;
            }
        }
        model.raw_set("title", config.title.as_str())?;
        model.raw_set("titleURL", config.title_url.as_str())?;
        model.raw_set("buildbotURL", config.buildbot_url.as_str())?;
        let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
        model.raw_set("warnings", warnings)?;
        self.strict(&model, "key", known)?;
        Ok(model)
    }

    /// A list whose items stand under their names, too. A single object is a list of one.
    fn by_name(&self, given: &LuaTable, what: &'static str) -> mlua::Result<LuaTable> {
        let list = self.lua.create_table()?;
        let single = given.raw_get::<Option<LuaValue>>("name")?.is_some();
        let items: Vec<LuaTable> = if single { vec![given.clone()] } else { given.sequence_values().collect::<mlua::Result<_>>()? };
        let mut names = Vec::new();
        for item in items {
            list.raw_push(&item)?;
            if let Ok(name) = item.raw_get::<String>("name") {
                list.raw_set(name.as_str(), item)?;
                names.push(name);
            }
        }
        list.raw_set("names", names.clone())?;
        self.strict(&list, what, names)?;
        Ok(list)
    }

    /// Asking for what is not there is a slip of the test.
    fn strict(&self, table: &LuaTable, what: &'static str, known: Vec<String>) -> mlua::Result<()> {
        let meta = self.lua.create_table()?;
        let missing = move |_: &Lua, (_, key): (LuaTable, LuaValue)| -> mlua::Result<LuaValue> {
            let LuaValue::String(key) = key else { return Ok(LuaValue::Nil) };
            let key = key.to_string_lossy();
            Err(mlua::Error::runtime(format!("there is no {what} '{key}'{}", suggest::hint(&key, known.iter().map(String::as_str)))))
        };
        meta.raw_set("__index", self.lua.create_function(missing)?)?;
        meta.raw_set("__name", "model")?;
        meta.raw_set("__metatable", "model")?;
        table.set_metatable(Some(meta))
    }

    fn value(&mut self, value: &Value) -> mlua::Result<LuaValue> {
        if self.depth > DEEPEST {
            return Err(mlua::Error::runtime(format!("load_master: tables are nested deeper than {DEEPEST}")));
        }
        self.depth += 1;
        let made = self.deeper(value);
        self.depth -= 1;
        made
    }

    fn deeper(&mut self, value: &Value) -> mlua::Result<LuaValue> {
        Ok(match value {
            Value::None => LuaValue::NULL,
            Value::Bool(b) => LuaValue::Boolean(*b),
            Value::Int(i) => LuaValue::Integer(*i),
            Value::Float(x) => LuaValue::Number(*x),
            Value::Text(text) => LuaValue::String(self.lua.create_string(text)?),
            Value::Bytes(bytes) => LuaValue::String(self.lua.create_string(bytes)?),
            Value::Table(table) => LuaValue::Table(self.table(table)?),
            Value::Function(f) => LuaValue::Function(self.function(f)?),
            Value::Object(object) => LuaValue::Table(self.object(object)?),
            Value::Other(kind) => LuaValue::String(self.lua.create_string(format!("(a {kind})"))?),
        })
    }

    fn table(&mut self, table: &Arc<Table>) -> mlua::Result<LuaTable> {
        if let Some(made) = self.tables.get(&Arc::as_ptr(table)) {
            return Ok(made.clone());
        }
        let made = self.lua.create_table()?;
        for (i, item) in table.items.iter().enumerate() {
            made.raw_set(i + 1, self.value(item)?)?;
        }
        for (name, item) in table.named.iter() {
            made.raw_set(name.as_str(), self.value(item)?)?;
        }
        self.tables.insert(Arc::as_ptr(table), made.clone());
        Ok(made)
    }

    fn object(&mut self, object: &Arc<Object>) -> mlua::Result<LuaTable> {
        if let Some(made) = self.objects.get(&object.id) {
            return Ok(made.clone());
        }
        let made = self.lua.create_table()?;
        let class = object.custom_class.as_ref().unwrap_or(&object.class);
        made.raw_set("class", class.as_str())?;
        made.raw_set("file", &*object.place.file)?;
        made.raw_set("line", object.place.line)?;
        let mut known: Vec<String> = ["class", "file", "line"].map(str::to_owned).to_vec();
        if let Some(decl) = class_named(&object.class) {
            for (arg, value) in given_arguments(decl, object) {
                let value = match value {
                    Some(value) if hidden(decl, arg, &value) => LuaValue::String(self.lua.create_string("***")?),
                    Some(value) => self.value(&value)?,
                    None => default_value(self.lua, &arg.default)?,
                };
                made.raw_set(arg.name, value)?;
                known.push(arg.name.to_owned());
            }
        }
        // Among these are arguments of the host's class, too.
        for (name, value) in object.own.iter().flat_map(|own| own.args.named.iter()) {
            if !known.contains(name) {
                made.raw_set(name.as_str(), self.value(value)?)?;
                known.push(name.clone());
            }
        }
        self.strict(&made, "argument", known)?;
        self.objects.insert(object.id, made.clone());
        Ok(made)
    }

    fn function(&self, f: &FnRef) -> mlua::Result<Function> {
        let made = self.lua.create_userdata(Made { function: f.clone(), generation: self.generation.clone() })?;
        self.wrap.call(made)
    }
}

/// Environments of builds are secret elsewhere; what a test wants to know of them is what is in them.
fn hidden(class: &ClassDecl, arg: &ArgDecl, value: &Value) -> bool {
    arg.secret && *value != Value::None && !matches!(class.kind, Kind::Builder | Kind::Step)
}

/// A function of a configuration that was loaded.
struct Made {
    function: FnRef,
    generation: Arc<Generation>,
}

impl UserData for Made {}

/// Calls a function where it was loaded. What it is given and what it gives are copies.
pub(super) async fn call(lua: &Lua, host: &Rc<Host>, mut args: MultiValue) -> mlua::Result<LuaValue> {
    let Some(LuaValue::UserData(made)) = args.pop_front() else { return Err(mlua::Error::runtime("needs a function")) };
    let (f, generation) = made.borrow::<Made>().map(|made| (made.function.clone(), made.generation.clone()))?;
    let fail = |text: String| mlua::Error::runtime(format!("the function of {}: {text}", f.place));
    let args = args.iter().map(api::json::encode).collect::<Result<Vec<_>, _>>().map_err(|e| fail(format!("its arguments: {e}")))?;
    let asked = f.clone();
    let call = async move { generation.plain_call(&asked, args).await.map_err(|e| e.to_string()) };
    let answer = api::wait::on_main(lua.clone(), host.clone(), "a function of the configuration", call).await?;
    let answer = answer.to_json().map_err(|what| fail(format!("gave what is no plain data: {what}")))?;
    to_lua(lua, &answer, &LuaValue::Nil)
}
