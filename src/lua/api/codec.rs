//! `hash` and `base64`: of any bytes.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_PAD_INDIFFERENT, URL_SAFE_NO_PAD, URL_SAFE_PAD_INDIFFERENT};
use hmac::{Hmac, KeyInit, Mac};
use mlua::{Lua, LuaString, Table, Value};
use sha2::Digest;

use super::args::{self, Options};

type Digesting = fn(&[u8]) -> Vec<u8>;

pub(super) fn register(lua: &Lua, into: &Table) -> mlua::Result<()> {
    let hash = lua.create_table()?;
    let digests: [(&str, Digesting); 4] = [
        ("sha256", |b| sha2::Sha256::digest(b).to_vec()),
        ("sha512", |b| sha2::Sha512::digest(b).to_vec()),
        ("sha1", |b| sha1::Sha1::digest(b).to_vec()),
        ("md5", |b| md5::Md5::digest(b).to_vec()),
    ];
    for (name, digest) in digests {
        let function = format!("hash.{name}");
        let f = lua.create_function(move |lua, (content, options): (Value, Value)| {
            let content = args::bytes(&function, "content", &content)?;
            shown(lua, &function, &options, digest(&content.as_bytes()))
        })?;
        hash.raw_set(name, f)?;
    }
    hash.raw_set(
        "hmac_sha256",
        lua.create_function(|lua, (key, content, options): (Value, Value, Value)| {
            let function = "hash.hmac_sha256";
            let (key, content) = (args::bytes(function, "key", &key)?, args::bytes(function, "content", &content)?);
            let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key.as_bytes()).or_else(|e| args::fail(function, e))?;
            mac.update(&content.as_bytes());
            shown(lua, function, &options, mac.finalize().into_bytes().to_vec())
        })?,
    )?;
    into.raw_set("hash", hash)?;

    let base64 = lua.create_table()?;
    base64.raw_set(
        "encode",
        lua.create_function(|_, (content, options): (Value, Value)| {
            let content = args::bytes("base64.encode", "content", &content)?;
            let url_safe = Options::new("base64.encode", &options, &["url_safe"])?.flag("url_safe")?;
            let content = content.as_bytes();
            Ok(if url_safe { URL_SAFE_NO_PAD.encode(content) } else { STANDARD_PAD_INDIFFERENT.encode(content) })
        })?,
    )?;
    base64.raw_set(
        "decode",
        lua.create_function(|lua, (text, options): (Value, Value)| {
            let text = args::bytes("base64.decode", "text", &text)?;
            let url_safe = Options::new("base64.decode", &options, &["url_safe"])?.flag("url_safe")?;
            // Mail and PEM break it into lines.
            let text: Vec<u8> = text.as_bytes().iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
            let bytes = if url_safe { URL_SAFE_PAD_INDIFFERENT.decode(text) } else { STANDARD_PAD_INDIFFERENT.decode(text) };
            lua.create_string(bytes.or_else(|e| args::fail("base64.decode", e.to_string().to_lowercase()))?)
        })?,
    )?;
    into.raw_set("base64", base64)
}

fn shown(lua: &Lua, function: &str, options: &Value, digest: Vec<u8>) -> mlua::Result<LuaString> {
    if Options::new(function, options, &["raw"])?.flag("raw")? { lua.create_string(digest) } else { lua.create_string(hex(&digest)) }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]).map(char::from).collect()
}
