//! What `util` tells of the machine: its names and its processors. Asks no name server, so it never waits.

use mlua::{Lua, Table};

pub(super) fn util(lua: &Lua) -> mlua::Result<Table> {
    let util = lua.create_table()?;
    util.raw_set(
        "cpu_count",
        lua.create_function(|_, ()| Ok(std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)))?,
    )?;
    util.raw_set("hostname", lua.create_function(|_, ()| hostname())?)?;
    util.raw_set(
        "fqdn",
        lua.create_function(|_, ()| {
            let name = hostname()?;
            Ok(full_name(&name, &std::fs::read_to_string("/etc/hosts").unwrap_or_default()))
        })?,
    )?;
    Ok(util)
}

/// What `util.fqdn` says.
pub fn full_host_name() -> Option<String> {
    let name = hostname().ok()?;
    Some(full_name(&name, &std::fs::read_to_string("/etc/hosts").unwrap_or_default()))
}

fn hostname() -> mlua::Result<String> {
    let name = nix::unistd::gethostname().map_err(|e| mlua::Error::runtime(format!("the host's name is not known: {e}")))?;
    Ok(name.to_string_lossy().into_owned())
}

/// The name with its domain, as `/etc/hosts` has it; the name itself where that says nothing.
fn full_name(name: &str, hosts: &str) -> String {
    if name.contains('.') {
        return name.to_owned();
    }
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
    let names = |line: &'_ str| line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>();
    lines
        .map(names)
        .filter(|all| all.iter().any(|n| n == name))
        .find_map(|all| all.into_iter().find(|n| n.split('.').next() == Some(name) && n.contains('.')))
        .unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::full_name;

    #[test]
    fn a_full_name_comes_from_the_hosts_file() {
        let hosts = "127.0.0.1 localhost.localdomain localhost\n# 10.0.0.9 ci.wrong.org ci\n10.0.0.1 ci.example.org ci www.example.org\n";
        assert_eq!(full_name("ci", hosts), "ci.example.org");
        assert_eq!(full_name("localhost", hosts), "localhost.localdomain");
        assert_eq!(full_name("a.b", hosts), "a.b");
        assert_eq!(full_name("other", hosts), "other");
    }
}
