//! `url` and `util.giturlparse`: the parts of addresses. Asks no server.

use mlua::{Lua, Table, Value};
use url::Url;

use super::args;

pub(super) fn register(lua: &Lua, into: &Table) -> mlua::Result<()> {
    let url = lua.create_table()?;
    url.raw_set(
        "quote",
        lua.create_function(|_, (s, safe): (Value, Value)| {
            let s = args::bytes("url.quote", "s", &s)?;
            let safe = args::optional_text("url.quote", "safe", &safe)?;
            Ok(quote(&s.as_bytes(), safe.as_deref().unwrap_or("/").as_bytes()))
        })?,
    )?;
    url.raw_set(
        "unquote",
        lua.create_function(|lua, s: Value| {
            let s = args::bytes("url.unquote", "s", &s)?;
            let bytes: Vec<u8> = percent_encoding::percent_decode(&s.as_bytes()).collect();
            lua.create_string(bytes)
        })?,
    )?;
    url.raw_set("encode", lua.create_function(|_, params: Value| encode(&args::table("url.encode", "params", &params)?))?)?;
    url.raw_set("parse", lua.create_function(parse)?)?;
    url.raw_set(
        "join",
        lua.create_function(|_, (base, relative): (Value, Value)| {
            let (base, relative) = (args::text("url.join", "base", &base)?, args::text("url.join", "relative", &relative)?);
            let joined = absolute("url.join", &base)?.join(&relative);
            joined.map(String::from).or_else(|e| args::fail("url.join", format!("{}: {e}", args::quoted(&relative))))
        })?,
    )?;
    into.raw_set("url", url)
}

pub(super) fn util(lua: &Lua, util: &Table) -> mlua::Result<()> {
    let f = lua.create_function(|lua, text: Value| {
        let Some(found) = git(&args::text("util.giturlparse", "url", &text)?) else { return Ok(None) };
        let parts = lua.create_table()?;
        parts.raw_set("proto", found.proto)?;
        parts.raw_set("user", found.user)?;
        parts.raw_set("domain", found.domain)?;
        parts.raw_set("port", found.port)?;
        parts.raw_set("owner", found.owner)?;
        parts.raw_set("repo", found.repo)?;
        Ok(Some(parts))
    })?;
    util.raw_set("giturlparse", f)
}

fn quote(s: &[u8], safe: &[u8]) -> String {
    let mut out = String::with_capacity(s.len());
    for b in s {
        if b.is_ascii_alphanumeric() || b"_.-~".contains(b) || (b.is_ascii() && safe.contains(b)) {
            out.push(char::from(*b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

/// A query: a name with a list of values comes once for each.
fn encode(params: &Table) -> mlua::Result<String> {
    let function = "url.encode";
    let mut all: Vec<(String, Vec<String>)> = Vec::new();
    for pair in params.pairs::<Value, Value>() {
        let (name, value) = pair?;
        let name = args::text(function, "a name", &name)?;
        let values = match &value {
            Value::Table(list) if list.metatable().is_none() => {
                (1..=list.raw_len()).map(|i| plain(function, &name, &list.raw_get(i)?)).collect::<mlua::Result<_>>()?
            }
            other => vec![plain(function, &name, other)?],
        };
        all.push((name, values));
    }
    all.sort();
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, values) in &all {
        for value in values {
            query.append_pair(name, value);
        }
    }
    Ok(query.finish())
}

fn plain(function: &str, name: &str, value: &Value) -> mlua::Result<String> {
    match value {
        Value::Integer(i) => Ok(i.to_string()),
        Value::Number(x) => Ok(x.to_string()),
        Value::Boolean(b) => Ok(b.to_string()),
        text => args::text(function, name, text),
    }
}

fn absolute(function: &str, text: &str) -> mlua::Result<Url> {
    Url::parse(text).or_else(|e| args::fail(function, format!("{} is no URL: {e}", args::quoted(text))))
}

fn parse(lua: &Lua, text: Value) -> mlua::Result<Table> {
    let url = absolute("url.parse", &args::text("url.parse", "url", &text)?)?;
    let decoded = |s: &str| -> mlua::Result<mlua::LuaString> {
        let bytes: Vec<u8> = percent_encoding::percent_decode_str(s).collect();
        lua.create_string(bytes)
    };
    let parts = lua.create_table()?;
    parts.raw_set("scheme", url.scheme())?;
    parts.raw_set("host", url.host_str())?;
    parts.raw_set("port", url.port_or_known_default())?;
    parts.raw_set("path", url.path())?;
    parts.raw_set("query", url.query())?;
    parts.raw_set("fragment", url.fragment())?;
    if !url.username().is_empty() {
        parts.raw_set("username", decoded(url.username())?)?;
    }
    if let Some(password) = url.password() {
        parts.raw_set("password", decoded(password)?)?;
    }
    let params = lua.create_table()?;
    for (name, value) in url.query_pairs() {
        params.raw_set(&*name, &*value)?;
    }
    parts.raw_set("params", params)?;
    Ok(parts)
}

/// What a git URL names. `user@host:owner/repo` is how git writes ssh.
#[derive(PartialEq, Debug)]
struct GitUrl {
    proto: String,
    user: Option<String>,
    domain: String,
    port: Option<u16>,
    owner: Option<String>,
    repo: String,
}

fn git(text: &str) -> Option<GitUrl> {
    if text.contains(char::is_whitespace) {
        return None;
    }
    let (proto, rest) = text.split_once("://").unwrap_or(("ssh", text));
    if !["ssh", "git", "http", "https", "git+ssh"].contains(&proto) {
        return None;
    }
    let end = rest.find(['/', ':']).filter(|end| !rest[..*end].is_empty())?;
    // A name and a password may stand before the host.
    let end = match rest.split_once('/').map_or(rest, |(host, _)| host).rfind('@') {
        Some(at) if at > end => at + 1 + rest[at + 1..].find(['/', ':'])?,
        _ => end,
    };
    let (user, domain) = match rest[..end].rsplit_once('@') {
        Some((user, domain)) => (Some(user.split(':').next().unwrap_or(user).to_owned()), domain),
        None => (None, &rest[..end]),
    };
    let scp_like = rest[end..].starts_with(':');
    if !scp_like && !text.contains("://") {
        return None;
    }
    let path = &rest[end + 1..];
    let (port, path) = match path.split_once('/').map(|(port, path)| (port.parse::<u16>(), path)) {
        Some((Ok(port), path)) if scp_like => (Some(port), path),
        _ => (None, path),
    };
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let (owner, repo) = path.rsplit_once('/').map_or((None, path), |(owner, repo)| (Some(owner.to_owned()), repo));
    if repo.is_empty() || domain.is_empty() {
        return None;
    }
    Some(GitUrl { proto: proto.to_owned(), user, domain: domain.to_owned(), port, owner, repo: repo.to_owned() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> String {
        git(text).map_or("none".into(), |g| {
            let (user, owner) = (g.user.unwrap_or_default(), g.owner.unwrap_or_default());
            format!("{} {user} {} {} {owner} {}", g.proto, g.domain, g.port.unwrap_or_default(), g.repo)
        })
    }

    #[test]
    fn git_urls() {
        for (text, parts) in [
            ("git@github.com:buildbot/buildbot.git", "ssh git github.com 0 buildbot buildbot"),
            ("https://github.com/a/b", "https  github.com 0 a b"),
            ("https://me:pw@git.example.org:8443/a/sub/b.git/", "https me git.example.org 8443 a/sub b"),
            ("ssh://git@host:2222/repo.git", "ssh git host 2222  repo"),
            ("host:a/b", "ssh  host 0 a b"),
            ("no url", "none"),
            ("a/b", "none"),
            ("file:///srv/git", "none"),
            ("https://host", "none"),
            ("https://host/", "none"),
        ] {
            assert_eq!(shown(text), parts, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in ".{0,40}", joined in "[a@:/.]{0,12}") {
            let _ = (git(&text), git(&joined), git(&format!("ssh://{joined}")));
        }

        #[test]
        fn what_is_quoted_is_unquoted(bytes in any::<Vec<u8>>(), safe in "[/:% ]{0,2}") {
            prop_assume!(!safe.contains('%'));
            let quoted = quote(&bytes, safe.as_bytes());
            prop_assert_eq!(percent_encoding::percent_decode_str(&quoted).collect::<Vec<u8>>(), bytes);
        }
    }
}
