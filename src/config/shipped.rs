//! Workers whose backends ship with the program, written in Lua: what a file may tell them. Their methods are below `lua/backends/`; what
//! an argument may hold beyond its kind, `check_config` there says.

use super::arguments::{Arguments, Preset, Reader, arguments};
use super::assemble::{Assembly, Parsed};
use super::backends::{self, LatentWorkerArgs};
use super::class::{ClassDecl, Kind};
use super::convert::{Dict, OneOrMany, Settings, Whole};
use super::template::Arg;
use super::value::Object;

arguments! {
    DockerArgs {
        include worker: LatentWorkerArgs;
        [3] "docker_host" docker_host: Arg<String>, "The engine: `unix:///var/run/docker.sock`, `tcp://HOST:2375`, `https://HOST:2376`.", NextLaunch;
        [4] "image" image: Arg<Option<String>> = Arg::default() => "None", "The image of its container. Without one it is built from `dockerfile`.", NextLaunch;
        [5] "command" command: Arg<OneOrMany<String>> = Arg::Const(OneOrMany(Vec::new())) => "{}", "What runs in the container; none: what the image says.", NextLaunch;
        [6] "volumes" volumes: Arg<OneOrMany<String>> = Arg::Const(OneOrMany(Vec::new())) => "{}", "Folders of the engine's machine as `/there:/in/the/container`, with `:ro` for those that are only read; `/in/the/container` alone is a volume that ends with it.", NextLaunch;
        [7] "dockerfile" dockerfile: Arg<Option<String>> = Arg::default() => "None", "The text of a Dockerfile; the image is built where the engine does not have it. With `custom_context` the name of an archive or a folder.", NextLaunch;
        [8] "version" version: Option<String> = None => "None", "The version of the engine's interface, such as `1.41`; None: the engine's own.", NextLaunch;
        [9] "tls" tls: Settings = Settings::default() => "None", "Certificates for an engine that is asked over TLS: `{ client_cert = { CERT, KEY }, ca_cert = FILE, verify = true }`.", NextLaunch;
        [10] "followStartupLogs" follow: bool = false => "false", "What the container writes until its worker attaches is shown in the master's log.", NextLaunch;
        [11] "masterFQDN" master_fqdn: Arg<Option<String>> = Arg::default() => "None", "The name of this machine as containers know it, with `:PORT` if that is another one, too; None: the master's own.", NextLaunch;
        [12] "hostconfig" hostconfig: Arg<Dict> = Arg::default() => "{}", "How the container runs: `network_mode`, `extra_hosts`, `cap_add`, `init`, `mem_limit` and whatever else the engine's HostConfig has, in these words or in its own.", NextLaunch;
        [13] "autopull" autopull: bool = false => "false", "An image that the engine does not have is pulled.", NextLaunch;
        [14] "alwaysPull" always_pull: bool = false => "false", "The image is pulled before each start, so that it is the newest.", NextLaunch;
        [15] "custom_context" custom_context: Arg<bool> = Arg::Const(false) => "false", "`dockerfile` names what the image is built from.", NextLaunch;
        [16] "encoding" encoding: Option<String> = Some("gzip".into()) => "\"gzip\"", "How an archive is packed. Engines find that out by themselves.", NoEffect;
        [17] "target" target: Arg<Option<String>> = Arg::default() => "None", "The stage of the Dockerfile that is built.", NextLaunch;
        [18] "buildargs" buildargs: Arg<Dict> = Arg::default() => "{}", "Values for the `ARG`s of the Dockerfile.", NextLaunch;
        [19] "hostname" hostname: Arg<Option<String>> = Arg::default() => "None", "The container's name in its own eyes.", NextLaunch;
        "master_protocol" protocol: Option<String> = None => "\"pb\"", "How the worker is to talk to the master, told as `BUILDMASTER_PROTOCOL`; only `pb`.", NextLaunch;
    }
}

arguments! {
    LibVirtArgs {
        include worker: LatentWorkerArgs;
        [3] "hd_image" hd_image: Arg<Option<String>> = Arg::default() => "None", "The disk that its domain starts from; made from `base_image` for each start where that is given. A folder: a disk of its own for each start is made there.", NextLaunch;
        [4] "base_image" base_image: Arg<Option<String>> = Arg::default() => "None", "The image that disks are made from; it is never written to.", NextLaunch;
        [5] "uri" uri: String = "qemu:///system".into() => "\"qemu:///system\"", "The hypervisor, as libvirt names it.", NextLaunch;
        [6] "xml" xml: Arg<Option<String>> = Arg::default() => "None", "The domain as libvirt describes it, started for each launch under a name and a UUID of its own; `{name}`, `{password}`, `{master}` and `{hd_image}` in it are filled in. None: the domain that libvirt knows by the worker's name, or if there is none, a plain one made of the arguments below.", NextLaunch;
        [7] "masterFQDN" master_fqdn: Arg<Option<String>> = Arg::default() => "None", "The name of this machine as guests know it, for the domain's metadata.", NextLaunch;
        "cheap_copy" cheap_copy: bool = true => "true", "The disk refers to `base_image` and holds only what differs; false: it is a whole copy.", NextLaunch;
        "graceful_shutdown" graceful_shutdown: bool = false => "false", "The guest is asked to shut down, and switched off when it has not done so within a minute.", NextLaunch;
        "memory" memory: Whole<1> = Whole(1024) => "1024", "MiB of a domain that is made here.", NextLaunch;
        "vcpus" vcpus: Whole<1> = Whole(1) => "1", "Processors of a domain that is made here.", NextLaunch;
        "network" network: Option<String> = Some("default".into()) => "\"default\"", "The libvirt network of a domain that is made here; None: it has no network.", NextLaunch;
        "domain_type" domain_type: String = "kvm".into() => "\"kvm\"", "What runs a domain that is made here: `kvm`, or `qemu` where the processor does not help.", NextLaunch;
    }
}

pub(super) fn declare(list: &mut Vec<ClassDecl>) {
    let doc = "A worker in a container that a Docker engine runs. It finds `BUILDMASTER`, `BUILDMASTER_PORT`, `WORKERNAME`, `WORKERPASS` and \
        `BUILDMASTER_PROTOCOL` in its environment. A class of your own may write `container_spec(self, build)`: it changes and returns what \
        `Class.super.container_spec(self, build)` made, the body of the engine's `POST /containers/create`.";
    let docker = ClassDecl::new::<DockerArgs>("DockerLatentWorker", Kind::Worker, docker, doc);
    // A container costs little, and a fresh one is what people want of it.
    let presets = &[("missing_timeout", Preset::Int(1200)), ("build_wait_timeout", Preset::Int(0))];
    list.push(docker.old(&["DockerLatentBuildSlave"]).presets(presets));
    let doc = "A worker in a virtual machine that libvirt runs, by the programs `virsh` and `qemu-img` of the master's machine. The domain's metadata \
        has its login: `<auth username= password= master=/>` of the namespace `http://buildbot.net/`. Disks that were made for a launch are \
        removed with it.";
    let libvirt = ClassDecl::new::<LibVirtArgs>("LibVirtWorker", Kind::Worker, libvirt, doc);
    list.push(libvirt.old(&["LibVirtSlave"]).presets(&[("missing_timeout", Preset::Int(1200))]));
}

fn docker(reader: &mut Reader, object: &Object, _: &mut Assembly) -> Option<Parsed> {
    let args = DockerArgs::read(reader)?;
    if args.image == Arg::Const(None) && args.dockerfile == Arg::Const(None) {
        reader.wrong("needs an 'image' or a 'dockerfile'");
    }
    if args.protocol.as_deref().is_some_and(|name| name != "pb") {
        reader.wrong("'master_protocol' must be \"pb\": workers of other protocols are not supported");
    }
    let LatentWorkerArgs { latent, name, password } = args.worker;
    backends::worker(reader, object, latent, name, password)
}

fn libvirt(reader: &mut Reader, object: &Object, _: &mut Assembly) -> Option<Parsed> {
    let args = LibVirtArgs::read(reader)?;
    let whole = args.hd_image == Arg::Const(None) && args.xml == Arg::Const(None);
    if whole && args.base_image != Arg::Const(None) && matches!(args.base_image, Arg::Const(_)) && args.uri.contains("+ssh") {
        reader.warn("'base_image' is copied on this machine, and the hypervisor is on another one: both must see the same folder");
    }
    let LatentWorkerArgs { latent, name, password } = args.worker;
    backends::worker(reader, object, latent, name, password)
}
