//! `yaml`, `toml`, `ini`: decode, encode, load_file, as `json` has them. Dates stay text, YAML is that of version 1.2 (`yes` and
//! `on` are text), and an error tells the line but not what the file says.

use std::fmt;
use std::rc::Rc;

use mlua::{IntoLuaMulti, Lua, LuaString, Table, Value};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::super::host::Host;
use super::json::MOST_VALUES;
use super::offer::{offer, reading};
use super::{ini, json};

const LARGEST: usize = 16 << 20;
const DEEPEST: usize = 100;
const MOST_DOCUMENTS: usize = 10_000;

#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Format {
    Json,
    Yaml,
    Toml,
    Ini,
}

impl Format {
    pub fn of_file(name: &str) -> Option<Format> {
        Some(match name.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
            "json" => Format::Json,
            "yaml" | "yml" => Format::Yaml,
            "toml" => Format::Toml,
            "ini" | "cfg" | "conf" => Format::Ini,
            _ => return None,
        })
    }
}

/// What a file of any format says.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Data {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Data>),
    Map(Vec<(Data, Data)>),
}

pub(super) fn register(lua: &Lua, host: &Rc<Host>, into: &Table) -> mlua::Result<()> {
    for (name, file_call, format) in
        [("yaml", "yaml.load_file", Format::Yaml), ("toml", "toml.load_file", Format::Toml), ("ini", "ini.load_file", Format::Ini)]
    {
        let table = lua.create_table()?;
        table.raw_set(
            "decode",
            lua.create_function(move |lua, (text, options): (LuaString, Option<Table>)| {
                let data = decode(format, &text.as_bytes()).map_err(|e| mlua::Error::runtime(format!("{name}.decode: {e}")))?;
                data.to_lua(lua, &null(options)?)
            })?,
        )?;
        offer(lua, host, &table, file_call, move |_, h, (file, options): (String, Option<Table>)| {
            let null = null(options)?;
            Ok(reading(h, file, move |content| decode(format, content), move |lua, data, _| data.to_lua(lua, &null)?.into_lua_multi(lua)))
        })?;
        table.raw_set(
            "encode",
            lua.create_function(move |_, value: Value| {
                encode(format, &value).map_err(|e| mlua::Error::runtime(format!("{name}.encode: {e}")))
            })?,
        )?;
        if format == Format::Yaml {
            table.raw_set("decode_all", lua.create_function(decode_all)?)?;
        }
        into.raw_set(name, table)?;
    }
    Ok(())
}

fn null(options: Option<Table>) -> mlua::Result<Value> {
    Ok(options.map(|o| o.raw_get("null")).transpose()?.unwrap_or(Value::Nil))
}

pub(super) fn decode(format: Format, content: &[u8]) -> Result<Data, String> {
    if content.len() > LARGEST {
        return Err(format!("more than {} MiB", LARGEST >> 20));
    }
    let text = std::str::from_utf8(content).map_err(|e| {
        let line = content[..e.valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
        format!("line {line}: not UTF-8")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match format {
        Format::Json => serde_json::from_str(text).map_err(|e| e.to_string()),
        Format::Yaml => {
            let all = serde_saphyr::from_multiple_with_options::<Option<Data>>(text, yaml_options()).map_err(|e| yaml_error(&e))?;
            match all.len() {
                0 | 1 => Ok(all.into_iter().next().flatten().unwrap_or(Data::Null)),
                n => Err(format!("{n} documents in one text: use yaml.decode_all")),
            }
        }
        Format::Toml => {
            let table: toml::Table = toml::from_str(text).map_err(|e| {
                let line = e.span().map_or(0, |span| text.as_bytes().iter().take(span.start).filter(|b| **b == b'\n').count() + 1);
                format!("line {line}: {}", e.message().lines().next().unwrap_or_default())
            })?;
            Ok(from_toml(toml::Value::Table(table)))
        }
        Format::Ini => ini::parse(text),
    }
}

fn decode_all(lua: &Lua, (text, options): (LuaString, Option<Table>)) -> mlua::Result<Table> {
    let fail = |e: String| mlua::Error::runtime(format!("yaml.decode_all: {e}"));
    let null = null(options)?;
    let bytes = text.as_bytes();
    let text = std::str::from_utf8(&bytes).map_err(|_| fail("not UTF-8".into()))?;
    let all = serde_saphyr::from_multiple_with_options::<Option<Data>>(text, yaml_options()).map_err(|e| fail(yaml_error(&e)))?;
    let table = lua.create_table()?;
    for (i, data) in all.into_iter().enumerate() {
        table.raw_set(i + 1, data.unwrap_or(Data::Null).to_lua(lua, &null)?)?;
    }
    Ok(table)
}

fn yaml_options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEEPEST,
            max_nodes: MOST_VALUES,
            max_events: 4 * MOST_VALUES,
            max_documents: MOST_DOCUMENTS,
            max_total_scalar_bytes: LARGEST,
        },
        strict_booleans: true,
        with_snippet: false,
    }
}

fn yaml_error(e: &serde_saphyr::Error) -> String {
    let text = e.without_snippet().to_string();
    let text = text.lines().next().unwrap_or_default();
    match e.location() {
        Some(at) if !text.contains("line ") => format!("line {}: {text}", at.line()),
        _ => text.to_owned(),
    }
}

fn from_toml(value: toml::Value) -> Data {
    match value {
        toml::Value::String(text) => Data::Text(text),
        toml::Value::Integer(i) => Data::Int(i),
        toml::Value::Float(x) => Data::Float(x),
        toml::Value::Boolean(b) => Data::Bool(b),
        toml::Value::Datetime(date) => Data::Text(date.to_string()),
        toml::Value::Array(items) => Data::List(items.into_iter().map(from_toml).collect()),
        toml::Value::Table(table) => Data::Map(table.into_iter().map(|(name, value)| (Data::Text(name), from_toml(value))).collect()),
    }
}

fn encode(format: Format, value: &Value) -> Result<String, String> {
    let json = json::encode(value)?;
    match format {
        Format::Json => serde_json::to_string(&json).map_err(|e| e.to_string()),
        Format::Yaml => serde_saphyr::to_string(&json).map_err(|e| e.to_string()),
        Format::Toml => {
            let empty = json.as_array().is_some_and(Vec::is_empty);
            if !json.is_object() && !empty {
                return Err("needs a table with names".into());
            }
            if empty {
                return Ok(String::new());
            }
            // By way of its own values, so that plain ones stand before tables.
            let table = toml::Value::try_from(&json).map_err(|e| e.to_string())?;
            toml::to_string(&table).map_err(|e| e.to_string())
        }
        Format::Ini => ini::encode(&json),
    }
}

impl Data {
    pub fn to_lua(&self, lua: &Lua, null: &Value) -> mlua::Result<Value> {
        Ok(match self {
            Data::Null => null.clone(),
            Data::Bool(b) => Value::Boolean(*b),
            Data::Int(i) => Value::Integer(*i),
            Data::Float(x) => Value::Number(*x),
            Data::Text(text) => Value::String(lua.create_string(text)?),
            Data::List(items) => {
                let table = lua.create_table_with_capacity(items.len(), 0)?;
                for (i, item) in items.iter().enumerate() {
                    table.raw_set(i + 1, item.to_lua(lua, null)?)?;
                }
                Value::Table(table)
            }
            Data::Map(pairs) => {
                let table = lua.create_table_with_capacity(0, pairs.len())?;
                for (key, value) in pairs {
                    table.raw_set(key.as_key(lua)?, value.to_lua(lua, null)?)?;
                }
                Value::Table(table)
            }
        })
    }
}

impl Data {
    /// As the key of a table.
    pub fn as_key(&self, lua: &Lua) -> mlua::Result<Value> {
        match self {
            Data::Float(x) if x.is_nan() => Err(mlua::Error::runtime("nan can't be a key")),
            Data::Null | Data::List(_) | Data::Map(_) => Err(mlua::Error::runtime("null, a list or a mapping can't be a key")),
            plain => plain.to_lua(lua, &Value::Nil),
        }
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Data, D::Error> {
        deserializer.deserialize_any(Anything)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Data;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Data, E> {
        Ok(Data::Null)
    }

    fn visit_none<E>(self) -> Result<Data, E> {
        Ok(Data::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Data, D::Error> {
        Data::deserialize(deserializer)
    }

    fn visit_bool<E>(self, b: bool) -> Result<Data, E> {
        Ok(Data::Bool(b))
    }

    fn visit_i64<E>(self, i: i64) -> Result<Data, E> {
        Ok(Data::Int(i))
    }

    fn visit_u64<E>(self, i: u64) -> Result<Data, E> {
        Ok(i64::try_from(i).map_or(Data::Float(i as f64), Data::Int))
    }

    fn visit_i128<E>(self, i: i128) -> Result<Data, E> {
        Ok(i64::try_from(i).map_or(Data::Float(i as f64), Data::Int))
    }

    fn visit_u128<E>(self, i: u128) -> Result<Data, E> {
        Ok(i64::try_from(i).map_or(Data::Float(i as f64), Data::Int))
    }

    fn visit_f64<E>(self, x: f64) -> Result<Data, E> {
        Ok(Data::Float(x))
    }

    fn visit_str<E>(self, text: &str) -> Result<Data, E> {
        Ok(Data::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Data, E> {
        Ok(Data::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Data, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Data::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Data, A::Error> {
        let mut map = Vec::new();
        while let Some(pair) = pairs.next_entry()? {
            map.push(pair);
        }
        Ok(Data::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yaml(text: &str) -> Result<Data, String> {
        decode(Format::Yaml, text.as_bytes())
    }

    fn value(text: &str) -> Data {
        yaml(text).unwrap()
    }

    #[test]
    fn plain_values_of_yaml_are_those_of_version_1_2() {
        for word in ["yes", "no", "on", "off", "y", "2024-01-31", "12:30:45", "1.2.3", "0o", "'5'", "\"true\""] {
            assert_eq!(value(word), Data::Text(word.trim_matches(['\'', '"']).into()), "{word}");
        }
        for (text, data) in [
            ("5", Data::Int(5)),
            ("-7", Data::Int(-7)),
            ("0x1f", Data::Int(31)),
            ("9223372036854775807", Data::Int(i64::MAX)),
            ("18446744073709551615", Data::Float(18_446_744_073_709_551_615.0)),
            ("1e3", Data::Float(1000.0)),
            ("1.50", Data::Float(1.5)),
            ("true", Data::Bool(true)),
            ("~", Data::Null),
            ("null", Data::Null),
            ("", Data::Null),
            ("# only a comment", Data::Null),
        ] {
            assert_eq!(value(text), data, "{text}");
        }
    }

    #[test]
    fn bombs_are_refused_with_a_line() {
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
        for i in 1..12 {
            let one = format!("*a{}", i - 1);
            bomb.push_str(&format!("a{i}: &a{i} [{}]\n", [one.as_str(); 9].join(",")));
        }
        let told = yaml(&bomb).unwrap_err();
        assert!(told.contains("line "), "{told}");
        assert!(yaml(&"[".repeat(100_000)).is_err());
        assert!(yaml(&format!("{}1{}", "[".repeat(2000), "]".repeat(2000))).is_err());
        assert!(decode(Format::Toml, format!("a = {}1{}", "[".repeat(5000), "]".repeat(5000)).as_bytes()).is_err());
        assert!(decode(Format::Json, "[".repeat(100_000).as_bytes()).is_err());
        assert!(decode(Format::Yaml, &vec![b'#'; LARGEST + 1]).unwrap_err().contains("16 MiB"));
    }

    #[test]
    fn errors_have_a_line_and_keep_the_secret() {
        let cases = [
            (Format::Yaml, "a: 1\nb: [hunter2\nc: }\n"),
            (Format::Yaml, "a: 1\nb: hunter2: x\n"),
            (Format::Yaml, "a: 1\nb: \"hunter2\n"),
            (Format::Yaml, "a: 1\nb: !!int hunter2\n"),
            (Format::Toml, "a = 1\nb = hunter2\n"),
            (Format::Toml, "a = 1\nb = \"hunter2\n"),
            (Format::Json, "{\"a\": 1,\n\"b\": hunter2}"),
            (Format::Ini, "[a]\nhunter2\n"),
            (Format::Ini, "hunter2 = 1\n"),
        ];
        for (format, text) in cases {
            let told = decode(format, text.as_bytes()).unwrap_err();
            assert!(told.contains("line ") && !told.contains("hunter2") && !told.contains('\n'), "{text}: {told}");
        }
        assert!(decode(Format::Yaml, b"a: 1\n\xff").unwrap_err().contains("line 2: not UTF-8"));
    }

    #[test]
    fn hostile_text_makes_no_panic() {
        proptest::proptest!(|(text in "[\\[\\]{}:&*a1<~!|>\\n \"'#=.-]{0,60}")| {
            for format in [Format::Json, Format::Yaml, Format::Toml, Format::Ini] {
                let _ = decode(format, text.as_bytes());
            }
        });
    }
}
