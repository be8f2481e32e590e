//! `random`: from the system's generator, fit for secrets. `math.random` is the quick one that may be seeded.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mlua::{Lua, Table, Value};

use super::args;
use super::codec::hex;

/// As in Python.
const USUAL_BYTES: usize = 32;
const MOST_BYTES: usize = 1 << 20;

type Shown = fn(&[u8]) -> String;

pub(super) fn register(lua: &Lua, into: &Table) -> mlua::Result<()> {
    let random = lua.create_table()?;
    let texts: [(&str, Shown); 2] = [("token_urlsafe", |b| URL_SAFE_NO_PAD.encode(b)), ("hex", hex)];
    for (name, text) in texts {
        let function = format!("random.{name}");
        random.raw_set(name, lua.create_function(move |_, n: Value| Ok(text(&bytes(&function, &n)?)))?)?;
    }
    random.raw_set(
        "integer",
        lua.create_function(|_, (from, to): (Value, Value)| {
            let (from, to) = (args::integer("random.integer", "from", &from)?, args::integer("random.integer", "to", &to)?);
            if from > to {
                return args::fail("random.integer", format!("there is no number from {from} to {to}"));
            }
            let offset = below("random.integer", (to.wrapping_sub(from) as u64).wrapping_add(1))?;
            Ok(from.wrapping_add(offset as i64))
        })?,
    )?;
    random.raw_set(
        "choice",
        lua.create_function(|_, list: Value| {
            let list = args::table("random.choice", "list", &list)?;
            match list.raw_len() {
                0 => args::fail("random.choice", "the list is empty"),
                n => list.raw_get::<Value>(below("random.choice", n as u64)? + 1),
            }
        })?,
    )?;
    random.raw_set(
        "shuffle",
        lua.create_function(|lua, list: Value| {
            let list = args::table("random.shuffle", "list", &list)?;
            let mut items: Vec<Value> = (1..=list.raw_len()).map(|i| list.raw_get(i)).collect::<mlua::Result<_>>()?;
            for i in (1..items.len()).rev() {
                items.swap(i, below("random.shuffle", i as u64 + 1)? as usize);
            }
            lua.create_sequence_from(items)
        })?,
    )?;
    into.raw_set("random", random)
}

fn bytes(function: &str, n: &Value) -> mlua::Result<Vec<u8>> {
    let n = if args::absent(n) { USUAL_BYTES as i64 } else { args::integer(function, "n", n)? };
    match usize::try_from(n) {
        Ok(n) if (1..=MOST_BYTES).contains(&n) => {
            let mut bytes = vec![0; n];
            getrandom::fill(&mut bytes).or_else(|e| args::fail(function, e))?;
            Ok(bytes)
        }
        _ => args::fail(function, format!("'n' is a number of bytes from 1 to {MOST_BYTES}, got {n}")),
    }
}

/// Each number below the bound equally often; 0 stands for 2^64.
fn below(function: &str, bound: u64) -> mlua::Result<u64> {
    loop {
        let drawn = getrandom::u64().or_else(|e| args::fail(function, e))?;
        if bound == 0 {
            return Ok(drawn);
        }
        // The last, incomplete round of numbers would favour the small ones.
        if drawn < u64::MAX - u64::MAX % bound {
            return Ok(drawn % bound);
        }
    }
}
