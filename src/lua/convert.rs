//! Values across the border: Lua to [`config::Value`](crate::config::Value) and JSON to Lua. Functions stay behind and get a number.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::ffi::c_void;
use std::sync::Arc;

use mlua::{Function, Lua, Table as LuaTable, Value as LuaValue};
use serde_json::Value as Json;

use super::api;
use super::vm::Vm;
use crate::config::{FnRef, Object, OwnClass, Place, Table, Value};

const DEEPEST: usize = 100;
/// Values in one table with all that is below it, shared parts counted each time.
const LARGEST: usize = 2_000_000;
/// Functions that callbacks gave back and that may still be called.
const TEMPORARY: u32 = 4096;

/// The functions that the rest of the program knows by number.
pub(super) struct Functions {
    by_id: LuaTable,
    ids: LuaTable,
    next: Cell<u32>,
    /// Numbers below belong to the configuration and stay; above, only the newest do.
    permanent: Cell<Option<u32>>,
}

impl Functions {
    pub fn new(lua: &Lua) -> mlua::Result<Functions> {
        Ok(Functions { by_id: lua.create_table()?, ids: lua.create_table()?, next: Cell::new(1), permanent: Cell::new(None) })
    }

    /// From now on new functions are temporary.
    pub fn close(&self) {
        self.permanent.set(Some(self.next.get()));
    }

    /// Those of the configuration, by their numbers.
    pub fn all(&self) -> impl Iterator<Item = (u32, Function)> + '_ {
        (1..self.next.get()).filter_map(|id| Some((id, self.get(id)?)))
    }

    pub fn get(&self, id: u32) -> Option<Function> {
        self.by_id.raw_get(id).ok()
    }

    fn keep(&self, f: &Function) -> mlua::Result<u32> {
        if let Some(id) = self.ids.raw_get::<Option<u32>>(f)? {
            return Ok(id);
        }
        let id = self.next.get();
        self.next.set(id.checked_add(1).ok_or_else(|| mlua::Error::runtime("too many functions"))?);
        if let Some(permanent) = self.permanent.get()
            && let Some(old) = id.checked_sub(TEMPORARY)
            && old >= permanent
            && let Some(gone) = self.by_id.raw_get::<Option<Function>>(old)?
        {
            self.ids.raw_set(gone, LuaValue::Nil)?;
            self.by_id.raw_set(old, LuaValue::Nil)?;
        }
        self.by_id.raw_set(id, f)?;
        self.ids.raw_set(f, id)?;
        Ok(id)
    }
}

/// Reads values of one state; each instance and each table once.
pub(super) struct Reader<'a> {
    vm: &'a Vm,
    records: LuaTable,
    /// What stands for which function of the file.
    origins: LuaTable,
    /// The values of objects that hold nothing else.
    plain: LuaTable,
    poison: *const c_void,
    objects: HashMap<u64, Arc<Object>>,
    tables: HashMap<*const c_void, (Arc<Table>, usize)>,
    open: HashSet<*const c_void>,
    depth: usize,
    met_poison: bool,
    size: usize,
    /// Objects whose arguments hold a name that is not defined.
    pub tainted: HashSet<Place>,
}

impl<'a> Reader<'a> {
    pub fn new(vm: &'a Vm) -> mlua::Result<Reader<'a>> {
        Ok(Reader {
            vm,
            records: vm.prelude.raw_get("records")?,
            origins: vm.prelude.raw_get("origins")?,
            plain: vm.prelude.raw_get("plain")?,
            poison: vm.prelude.raw_get::<LuaTable>("poison")?.to_pointer(),
            objects: HashMap::new(),
            tables: HashMap::new(),
            open: HashSet::new(),
            depth: 0,
            met_poison: false,
            size: 0,
            tainted: HashSet::new(),
        })
    }

    pub fn value(&mut self, value: &LuaValue) -> mlua::Result<Value> {
        self.size += 1;
        Ok(match value {
            LuaValue::Nil => Value::None,
            v if v.is_null() => Value::None,
            LuaValue::Boolean(b) => Value::Bool(*b),
            LuaValue::Integer(i) => Value::Int(*i),
            LuaValue::Number(x) => Value::Float(*x),
            LuaValue::String(text) => match text.to_str() {
                Ok(text) => Value::Text(text.to_string()),
                Err(_) => Value::Bytes(text.as_bytes().to_vec()),
            },
            LuaValue::Function(f) => Value::Function(FnRef { id: self.vm.functions.keep(f)?, place: self.defined_at(f) }),
            LuaValue::Table(table) => self.table_or_object(table)?,
            LuaValue::UserData(_) | LuaValue::LightUserData(_) => Value::Other("userdata"),
            LuaValue::Thread(_) => Value::Other("coroutine"),
            _ => Value::Other("value of the host"),
        })
    }

    fn defined_at(&self, f: &Function) -> Place {
        let written = self.origins.raw_get::<Option<Function>>(f).ok().flatten();
        let info = written.as_ref().unwrap_or(f).info();
        match info.source.as_deref().and_then(|s| s.strip_prefix('@')) {
            Some(file) => Place { file: self.vm.host.file_name(file), line: info.line_defined.unwrap_or(0) as u32, from: Vec::new() },
            None => Place::default(),
        }
    }

    fn table_or_object(&mut self, table: &LuaTable) -> mlua::Result<Value> {
        if table.metatable().is_none() {
            return Ok(Value::Table(self.table(table)?));
        }
        match self.records.raw_get::<Option<LuaTable>>(table)? {
            Some(record) => Ok(self.object(&record)?.map_or(Value::Other("object that is not complete"), Value::Object)),
            None if is_class(table)? => Ok(Value::Other("class (call it)")),
            None => match self.plain.raw_get::<Option<LuaTable>>(table)? {
                Some(plain) => Ok(Value::Table(self.table(&plain)?)),
                None => Ok(api::regex::text_of(&self.vm.lua, table)?.map_or(Value::Other("table with a metatable"), Value::Text)),
            },
        }
    }

    /// An instance from its record; none if its `init` did not end well, or if it holds itself.
    pub fn object(&mut self, record: &LuaTable) -> mlua::Result<Option<Arc<Object>>> {
        let id: u64 = record.raw_get("id")?;
        if let Some(object) = self.objects.get(&id) {
            return Ok(Some(object.clone()));
        }
        let Some(class) = record.raw_get::<Option<String>>("class")? else { return Ok(None) };
        if !record.raw_get::<bool>("ready")? || !self.open.insert(record.to_pointer()) {
            return Ok(None);
        }
        let before = std::mem::take(&mut self.met_poison);
        let place = self.vm.host.kept_place(record.raw_get("place")?);
        let items = self.table(&record.raw_get("items")?)?;
        let named = self.table(&record.raw_get("named")?)?;
        self.open.remove(&record.to_pointer());
        if std::mem::replace(&mut self.met_poison, before) {
            self.tainted.insert(place.clone());
        }
        let mut args = Arc::unwrap_or_clone(items);
        let named = Arc::unwrap_or_clone(named);
        // Among arguments a number is a mistake, not a name.
        let number = |name: &str| named.strange_key.is_some() && name.parse::<i64>().is_ok();
        args.named.extend(named.named.into_iter().filter(|(name, _)| !number(name)));
        if let Some(bound) = record.raw_get::<Option<LuaTable>>("bound")? {
            args.named.extend(self.table(&bound)?.named.clone());
        }
        args.strange_key = args.strange_key.or(named.strange_key);
        let methods = record.raw_get::<Option<Vec<String>>>("methods")?.map(|list| list.into_iter().collect());
        let own = record.raw_get::<Option<LuaTable>>("own")?.map(|own| self.own_class(&own)).transpose()?;
        let code = record.raw_get::<Option<LuaTable>>("code")?.map(|code| self.table(&code)).transpose()?;
        let object = Arc::new(Object { id, class, custom_class: record.raw_get("custom")?, args, methods, code, own, place });
        self.objects.insert(id, object.clone());
        Ok(Some(object))
    }

    fn own_class(&mut self, own: &LuaTable) -> mlua::Result<Arc<OwnClass>> {
        let bound = self.table(&own.raw_get("methods")?)?;
        let functions = bound.named.iter().filter_map(|(name, value)| match value {
            Value::Function(f) => Some((name.clone(), f.clone())),
            _ => None,
        });
        let methods = functions.collect();
        let (args, rendered) = (self.table(&own.raw_get("args")?)?, own.raw_get("rendered")?);
        Ok(Arc::new(OwnClass { methods, args, rendered, stops_by_handle: own.raw_get("stops_by_handle")? }))
    }

    pub fn table(&mut self, table: &LuaTable) -> mlua::Result<Arc<Table>> {
        let pointer = table.to_pointer();
        if let Some((known, size)) = self.tables.get(&pointer) {
            self.size = self.size.saturating_add(*size);
            return if self.size > LARGEST { Err(too_large()) } else { Ok(known.clone()) };
        }
        if self.depth >= DEEPEST || !self.open.insert(pointer) {
            return Err(mlua::Error::runtime(format!("a table holds itself, or tables are nested deeper than {DEEPEST}")));
        }
        self.depth += 1;
        let before = std::mem::take(&mut self.size);
        let read = self.read_table(table);
        self.depth -= 1;
        self.open.remove(&pointer);
        let read = Arc::new(read?);
        if self.size > LARGEST {
            return Err(too_large());
        }
        self.tables.insert(pointer, (read.clone(), self.size));
        self.size = self.size.saturating_add(before);
        Ok(read)
    }

    fn read_table(&mut self, table: &LuaTable) -> mlua::Result<Table> {
        let mut out = Table::default();
        let mut count: i64 = 0;
        loop {
            let value: LuaValue = table.raw_get(count + 1)?;
            if value.is_nil() {
                break;
            }
            count += 1;
            if !self.is_poison(&value) {
                out.items.push(self.value(&value)?);
            }
        }
        let mut named = Vec::new();
        let mut strange: Option<(bool, String)> = None;
        for pair in table.pairs::<LuaValue, LuaValue>() {
            let (key, value) = pair?;
            if matches!(key, LuaValue::Integer(i) if (1..=count).contains(&i)) || self.is_poison(&value) {
                continue;
            }
            // A whole number is kept by its digits too: `decodeRC = { [0] = … }` is a table of numbers.
            let name = match &key {
                LuaValue::String(name) => name.to_str().ok().map(|n| n.to_string()),
                LuaValue::Integer(number) => Some(number.to_string()),
                _ => None,
            };
            if name.is_none() || key.is_integer() {
                // The smallest, so that the order of `pairs` does not show; a number that stands among the names only if no other does.
                let found = (key.is_integer(), show_key(&key));
                if strange.as_ref().is_none_or(|known| found < *known) {
                    strange = Some(found);
                }
            }
            if let Some(name) = name {
                named.push((name, value));
            }
        }
        out.strange_key = strange.map(|(_, shown)| shown);
        // By name, so that the numbers of functions do not depend on the order of `pairs` either.
        named.sort_by(|(a, _), (b, _)| a.cmp(b));
        out.named = named.into_iter().map(|(name, value)| Ok((name, self.value(&value)?))).collect::<mlua::Result<_>>()?;
        out.items.shrink_to_fit();
        Ok(out)
    }

    fn is_poison(&mut self, value: &LuaValue) -> bool {
        let is = matches!(value, LuaValue::Table(t) if t.to_pointer() == self.poison);
        self.met_poison |= is;
        is
    }
}

fn is_class(table: &LuaTable) -> mlua::Result<bool> {
    let Some(meta) = table.metatable() else { return Ok(false) };
    Ok(matches!(meta.raw_get::<LuaValue>("__name")?, LuaValue::String(name) if name.as_bytes() == b"class".as_slice()))
}

fn too_large() -> mlua::Error {
    mlua::Error::runtime(format!("a table with all that is in it has more than {LARGEST} values"))
}

fn show_key(key: &LuaValue) -> String {
    match key {
        LuaValue::Integer(i) => format!("[{i}]"),
        LuaValue::Number(x) => format!("[{x}]"),
        LuaValue::Boolean(b) => format!("[{b}]"),
        LuaValue::String(text) => format!("[{:?}]", text.to_string_lossy()),
        other => format!("[a {}]", other.type_name()),
    }
}

/// JSON as plain tables that count from 1. `null` stands for JSON's null: nil, or what the file asked for.
pub(super) fn to_lua(lua: &Lua, json: &Json, null: &LuaValue) -> mlua::Result<LuaValue> {
    Ok(match json {
        Json::Null => null.clone(),
        Json::Bool(b) => LuaValue::Boolean(*b),
        Json::Number(n) => match n.as_i64() {
            Some(i) => LuaValue::Integer(i),
            None => LuaValue::Number(n.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => LuaValue::String(lua.create_string(text)?),
        Json::Array(items) => {
            let table = lua.create_table_with_capacity(items.len(), 0)?;
            for (i, item) in items.iter().enumerate() {
                table.raw_set(i + 1, to_lua(lua, item, null)?)?;
            }
            LuaValue::Table(table)
        }
        Json::Object(map) => {
            let table = lua.create_table_with_capacity(0, map.len())?;
            for (name, item) in map {
                table.raw_set(name.as_str(), to_lua(lua, item, null)?)?;
            }
            LuaValue::Table(table)
        }
    })
}
