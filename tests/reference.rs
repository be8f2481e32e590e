//! `lua/reference.md` is what the declarations of the classes say. `UPDATE=1 cargo test --test reference` rewrites it.

use std::path::Path;

#[test]
fn the_reference_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("lua/reference.md");
    let wanted = format!("{}\n{}", buildmoon::config::reference::markdown(), buildmoon::lua::callbacks::markdown());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &wanted).expect("lua/reference.md can be written");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == wanted, "lua/reference.md is not what the declarations say; UPDATE=1 cargo test --test reference rewrites it");
}
