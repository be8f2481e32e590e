//! Every backend that ships keeps the promises that the engine relies on, with what it really starts: processes, containers, domains.
//! OpenStack's is in `openstack_workers.rs`. Where an engine can't be had, one line says so.

mod support;

use std::path::PathBuf;

use support::conformance::assert_conforms;
use support::docker::{Docker, IMAGE};
use support::libvirt::Libvirt;
use support::{free_port, peers};
use tempfile::TempDir;

/// A configuration with that worker. Nobody listens where its machines look for a master.
fn file(worker: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("backend.lua");
    let port = free_port();
    let text = format!(
        "BuildmasterConfig.protocols = {{ pb = {{ port = 'tcp:{port}:interface=127.0.0.1' }} }}\nBuildmasterConfig.workers = {{ {worker} }}\n"
    );
    std::fs::write(&path, text).expect("a file");
    (dir, path)
}

fn program() -> String {
    peers::worker_bin("4.3.0").join("buildbot-worker").display().to_string()
}

#[test]
fn processes() {
    let (_dir, path) = file(&format!("ProcessLatentWorker{{ 'bot', program = {:?} }}", program()));
    assert_conforms(&path, &["--timeout", "60"], &[], &[]);
}

#[test]
fn fake_machines() {
    let (_dir, path) = file(&format!("FakeLatentWorker{{ 'bot', program = {:?} }}", program()));
    assert_conforms(&path, &["--timeout", "60"], &[], &[]);
}

#[test]
fn containers() {
    let Some(docker) = Docker::shared() else { return };
    let (_dir, path) = file(&format!(
        "DockerLatentWorker{{ 'bot', None, {:?}, image = {IMAGE:?}, hostconfig = {{ network_mode = 'host' }} }}",
        docker.host()
    ));
    assert_conforms(&path, &["--timeout", "120"], &[], &[]);
    assert!(docker.containers("buildmoon.launch").is_empty(), "containers are left");
}

#[test]
fn domains() {
    let Some(libvirt) = Libvirt::start() else { return };
    let folder = libvirt.folder().join("images");
    std::fs::create_dir_all(&folder).expect("a folder");
    let image = folder.join("base.qcow2");
    libvirt.qemu_img(&["create", "-q", "-f", "qcow2", &image.display().to_string(), "1M"]);
    let (_dir, path) =
        file(&format!("LibVirtWorker{{ 'bot', None, uri = {:?}, domain_type = 'test', base_image = {:?} }}", libvirt.uri(), image));
    let programs = format!("{}:{}", libvirt.bin().display(), std::env::var("PATH").unwrap_or_default());
    assert_conforms(&path, &["--timeout", "120"], &[("PATH", &programs)], &[]);
    assert!(libvirt.domains().is_empty(), "domains are left: {:?}", libvirt.domains());
}
