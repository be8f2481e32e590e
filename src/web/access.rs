//! May this request change anything? A pure function of where it comes from and what its head says.
//!
//! Without a configured authorization only programs on this machine may. A web page that somebody on this machine
//! looks at is a stranger: its browser sends an `Origin`, and a name that was pointed at 127.0.0.1 shows in `Host`. A
//! proxy on this machine speaks for strangers too; it is known by the headers it adds.

use axum::http::{HeaderMap, header};

use super::backend::Caller;

const PROXY: &[&str] = &["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"];

/// The caller, or a sentence that says why not and what to do.
pub fn control(peer: Option<Caller>, headers: &HeaderMap) -> Result<Caller, String> {
    let refuse = |why: &str| {
        Err(format!(
            "{why}. Calls that change anything are accepted from this machine only, because master.lua configures no `authz`: \
             send them from the master's machine to http://127.0.0.1 or http://localhost, or use the buildmoon program there"
        ))
    };
    let address = match peer {
        Some(Caller::Socket) => return Ok(Caller::Socket),
        Some(Caller::WebSocket) => return refuse("this call comes over the web's Unix socket, where a proxy speaks for strangers"),
        Some(Caller::Tcp(address)) => address,
        None => return refuse("it is not known where this call comes from"),
    };
    if !address.ip().to_canonical().is_loopback() {
        return refuse("this call comes from another machine");
    }
    if PROXY.iter().any(|name| headers.contains_key(*name)) {
        return refuse("this call comes through a proxy");
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(Ok(host)), None) = (hosts.next().map(|host| host.to_str()), hosts.next()) else {
        return refuse("this call has no Host that could be read");
    };
    if !is_local(host) {
        return refuse("the Host of this call is not this machine");
    }
    for origin in headers.get_all(header::ORIGIN) {
        let origin = origin.to_str().unwrap_or("null");
        let (scheme, of) = origin.split_once("://").unwrap_or(("", ""));
        if !matches!(scheme, "http" | "https") || !of.eq_ignore_ascii_case(host) {
            return refuse("this call comes from a web page of another origin");
        }
    }
    if let Some(site) = headers.get("sec-fetch-site")
        && site != "same-origin"
        && site != "none"
    {
        return refuse("this call comes from a web page of another site");
    }
    Ok(Caller::Tcp(address))
}

/// `localhost`, `127.0.0.1` or `[::1]`, with any port.
fn is_local(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, rest)) => (name, rest.strip_prefix(':').or(rest.is_empty().then_some("0"))),
        None => host.split_once(':').map_or((host, Some("0")), |(name, port)| (name, Some(port))),
    };
    let bracketed = host.starts_with('[');
    let known = if bracketed { name == "::1" } else { name.eq_ignore_ascii_case("localhost") || name == "127.0.0.1" };
    known && port.is_some_and(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(peer: &str, headers: &[(&'static str, &str)]) -> Result<Caller, String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        control(Some(Caller::Tcp(peer.parse().unwrap())), &map)
    }

    #[test]
    fn programs_on_this_machine_may() {
        for host in ["localhost", "LocalHost:8010", "127.0.0.1:1", "[::1]", "[::1]:8010"] {
            assert!(ask("127.0.0.1:5", &[("host", host)]).is_ok(), "{host}");
            assert!(ask("[::ffff:127.0.0.1]:5", &[("host", host)]).is_ok(), "{host}");
        }
        assert!(
            ask("[::1]:5", &[("host", "localhost:8010"), ("origin", "http://localhost:8010"), ("sec-fetch-site", "same-origin")]).is_ok()
        );
        assert_eq!(control(Some(Caller::Socket), &HeaderMap::new()), Ok(Caller::Socket));
        assert!(control(Some(Caller::WebSocket), &HeaderMap::new()).is_err_and(|why| why.contains("Unix socket")));
    }

    #[test]
    fn strangers_may_not() {
        let local = ("host", "localhost:8010");
        for (peer, headers, why) in [
            ("10.0.0.1:5", vec![local], "another machine"),
            ("127.0.0.1:5", vec![("host", "evil.example:8010")], "not this machine"),
            ("127.0.0.1:5", vec![("host", "localhost.evil.example")], "not this machine"),
            ("127.0.0.1:5", vec![("host", "localhost:80@evil")], "not this machine"),
            ("127.0.0.1:5", vec![("host", "[::1]evil")], "not this machine"),
            ("127.0.0.1:5", vec![], "no Host"),
            ("127.0.0.1:5", vec![local, ("host", "evil.example")], "no Host"),
            ("127.0.0.1:5", vec![local, ("origin", "http://evil.example")], "another origin"),
            ("127.0.0.1:5", vec![local, ("origin", "http://localhost:3000")], "another origin"),
            ("127.0.0.1:5", vec![local, ("origin", "null")], "another origin"),
            ("127.0.0.1:5", vec![local, ("sec-fetch-site", "cross-site")], "another site"),
            ("127.0.0.1:5", vec![local, ("x-forwarded-for", "10.0.0.1")], "proxy"),
        ] {
            let said = ask(peer, &headers).unwrap_err();
            assert!(said.contains(why) && said.contains("`authz`"), "{headers:?}: {said}");
        }
        assert!(control(None, &HeaderMap::new()).is_err());
    }
}
