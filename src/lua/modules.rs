//! Where `require` finds a module: the configuration's folder, then what ships inside the binary. Never anywhere else.

use std::path::PathBuf;

use mlua::{Function, Lua, Table};

use super::api::PRELUDE;
use super::host::Host;
use super::vm::compile;

/// Far beyond any source that a person writes.
const LARGEST: u64 = 16 << 20;

/// Shipped modules by name.
pub(super) const BUNDLED: [(&str, &str); 4] = [
    ("buildmoon.list", include_str!("../../lua/list.lua")),
    ("buildmoon.dict", include_str!("../../lua/dict.lua")),
    ("buildmoon.text", include_str!("../../lua/text.lua")),
    ("buildmoon.path", include_str!("../../lua/path.lua")),
];

const PROCESS: (&str, &str) = ("backends.process", include_str!("../../lua/backends/process.lua"));

/// Backends that ship, by the class whose methods they are. Each file is called with what the one before it returned; the last returns the
/// methods.
pub(super) const BACKENDS: [(&str, &[(&str, &str)]); 5] = [
    (
        "DockerLatentWorker",
        &[
            ("backends.docker_spec", include_str!("../../lua/backends/docker_spec.lua")),
            ("backends.docker", include_str!("../../lua/backends/docker.lua")),
        ],
    ),
    ("LibVirtWorker", &[("backends.libvirt", include_str!("../../lua/backends/libvirt.lua"))]),
    (
        "OpenStackLatentWorker",
        &[
            ("backends.openstack_api", include_str!("../../lua/backends/openstack_api.lua")),
            ("backends.openstack", include_str!("../../lua/backends/openstack.lua")),
        ],
    ),
    ("ProcessLatentWorker", &[PROCESS]),
    ("FakeLatentWorker", &[PROCESS, ("backends.fake", include_str!("../../lua/backends/fake.lua"))]),
];

/// The chunk of a module.
pub(super) fn find(lua: &Lua, host: &Host, name: &str) -> mlua::Result<Function> {
    let mut parts = name.split('.');
    if !parts.all(|part| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-')) {
        return Err(mlua::Error::runtime(format!("require({name:?}): a module's name is words joined by dots, as in \"lib.workers\"")));
    }
    let base = name.replace('.', "/");
    for relative in [format!("{base}.lua"), format!("{base}/init.lua")] {
        let path = host.folder.join(&relative);
        if !path.is_file() {
            continue;
        }
        let source = read(&path).map_err(|e| mlua::Error::runtime(format!("require({name:?}): {relative}: {e}")))?;
        host.file_read(&path.canonicalize().unwrap_or_else(|_| path.clone()), &source);
        return compile(lua, host, &relative, &source);
    }
    if let Some((name, _)) = BUNDLED.iter().find(|(known, _)| *known == name) {
        let prelude: Table = lua.named_registry_value(PRELUDE)?;
        let offered: Table = prelude.raw_get("api")?;
        let module: Table = offered.raw_get(name.strip_prefix("buildmoon.").unwrap_or(name))?;
        return lua.create_function(move |_, ()| Ok(module.clone()));
    }
    let hint =
        if name.starts_with("buildmoon.") { "and no module of that name ships with Buildmoon" } else { "in the configuration's folder" };
    Err(mlua::Error::runtime(format!("require({name:?}): there is no {base}.lua and no {base}/init.lua {hint}")))
}

/// A file as a whole, if it is a plain one of bearable size.
pub(super) fn read(path: &PathBuf) -> Result<Vec<u8>, String> {
    let about = std::fs::metadata(path).map_err(|e| e.to_string())?;
    if !about.is_file() {
        return Err("is not a plain file".into());
    }
    if about.len() > LARGEST {
        return Err(format!("is larger than {} MiB", LARGEST >> 20));
    }
    std::fs::read(path).map_err(|e| e.to_string())
}
