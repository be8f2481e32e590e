//! Workers whose backends ship with the program, written in Lua: what a file may tell them. Their methods are below `lua/backends/`; what
//! an argument may hold beyond its kind, `check_config` there says.

use super::arguments::{Arguments, Preset, Reader, arguments};
use super::assemble::{Assembly, Parsed};
use super::backends::{self, LatentWorkerArgs};
use super::class::{ClassDecl, Kind};
use super::convert::{Dict, FromValue, OneOrMany, Settings, Whole, Wrong};
use super::lua_type::LuaType;
use super::spec::Password;
use super::template::Arg;
use super::value::{Object, Value};

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
        [6] "xml" xml: Arg<Option<String>> = Arg::default() => "None", "The domain as libvirt describes it, started for each launch under a name of its own. None: the domain that libvirt knows by the worker's name, or if there is none, a plain one made of the arguments below.", NextLaunch;
        [7] "masterFQDN" master_fqdn: Arg<Option<String>> = Arg::default() => "None", "The name of this machine as guests know it, for the domain's metadata.", NextLaunch;
        "cheap_copy" cheap_copy: bool = true => "true", "The disk refers to `base_image` and holds only what differs; false: it is a whole copy.", NextLaunch;
        "graceful_shutdown" graceful_shutdown: bool = false => "false", "The guest is asked to shut down, and switched off when it has not done so within a minute.", NextLaunch;
        "memory" memory: Whole<1> = Whole(1024) => "1024", "MiB of a domain that is made here.", NextLaunch;
        "vcpus" vcpus: Whole<1> = Whole(1) => "1", "Processors of a domain that is made here.", NextLaunch;
        "network" network: Option<String> = Some("default".into()) => "\"default\"", "The libvirt network of a domain that is made here; None: it has no network.", NextLaunch;
        "domain_type" domain_type: String = "kvm".into() => "\"kvm\"", "What runs a domain that is made here: `kvm`, or `qemu` where the processor does not help.", NextLaunch;
    }
}

arguments! {
    OpenStackArgs {
        include worker: LatentWorkerArgs;
        [3] "flavor" flavor: Arg<String>, "The flavor of its server, by name or id.", NextLaunch;
        [4] "os_username" username: Option<String> = None => "None", "Who logs in to Keystone.", NextLaunch;
        [5] "os_password" os_password: Option<Password> = None => "None", "The password for Keystone.", NextLaunch;
        [6] "os_tenant_name" tenant: Option<String> = None => "None", "The project.", NextLaunch;
        [7] "os_auth_url" auth_url: Option<String> = None => "None", "Where Keystone is: `https://cloud.example:5000/v3`.", NextLaunch;
        [8] "os_user_domain" user_domain: Option<String> = None => "None", "The domain of the user by name; None: the one with the id `default`.", NextLaunch;
        [9] "os_project_domain" project_domain: Option<String> = None => "None", "The domain of the project by name; None: the one with the id `default`.", NextLaunch;
        [10] "os_auth_args" auth_args: LoginArgs = LoginArgs::default() => "{}", "What Keystone is told instead of all of the above: `auth_url`, `username`, `password`, `project_name`, `user_domain_name` …, or `application_credential_id` and `application_credential_secret`, or a `token`.", NextLaunch;
        [11] "block_devices" devices: Arg<Vec<Dict>> = Arg::default() => "{}", "Its disks: tables of `uuid` (of an image also its name), `source_type`, `destination_type`, `volume_size` in GiB, `boot_index`, `delete_on_termination`, `device_name`.", NextLaunch;
        [12] "region" region: Option<String> = None => "None", "The region of the services; None: the first one.", NextLaunch;
        [13] "image" image: ImageChoice = ImageChoice::default() => "None", "Its image by name (the newest of that name) or id, or a function that is given all images and gives one.", NextLaunch;
        [14] "meta" meta: Arg<Dict> = Arg::default() => "{}", "Metadata of the server.", NextLaunch;
        [15] "nova_args" nova_args: Arg<Dict> = Arg::default() => "{}", "What else Nova is told: `key_name`, `security_groups`, `availability_zone`, `nics`, `userdata`, `config_drive` …", NextLaunch;
        [16] "client_version" client_version: String = "2".into() => "\"2\"", "The version of Nova's interface, such as `2.72`.", NextLaunch;
        "networks" networks: Arg<OneOrMany<Network>> = Arg::Const(OneOrMany(Vec::new())) => "{}", "Its networks by name or id, or tables as Nova takes them; `\"auto\"` and `\"none\"` leave it to Nova.", NextLaunch;
        "user_data" user_data: Arg<Option<String>> = Arg::default() => "None", "What cloud-init finds. The properties `workername`, `workerpassword`, `master_host` and `master_port` are those of the launch.", NextLaunch;
        "interface" interface: Option<String> = None => "\"public\"", "Which of the services' addresses are used: `public`, `internal` or `admin`.", NextLaunch;
        "os_cacert" cacert: Option<String> = None => "None", "A file with certificates that the cloud's are signed with.", NextLaunch;
    }
}

/// What Keystone is told; passwords are among it.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct LoginArgs(Arg<Dict>);

impl FromValue for LoginArgs {
    const SECRET: bool = true;

    fn expected() -> String {
        Arg::<Dict>::expected()
    }

    fn lua_type() -> LuaType {
        Arg::<Dict>::lua_type()
    }

    fn from_value(value: &Value) -> Result<LoginArgs, Wrong> {
        Arg::from_value(value).map(LoginArgs)
    }
}

/// An image's name or id, or who chooses one.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) enum ImageChoice {
    #[default]
    None,
    Given,
}

impl FromValue for ImageChoice {
    fn expected() -> String {
        "text, a function of the images, None, or something to render".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("string").rendered().or(LuaType::Name("function"))
    }

    fn from_value(value: &Value) -> Result<ImageChoice, Wrong> {
        match value {
            Value::None => Ok(ImageChoice::None),
            Value::Function(_) => Ok(ImageChoice::Given),
            other => Arg::<String>::from_value(other)
                .map(|_| ImageChoice::Given)
                .map_err(|wrong| if matches!(other, Value::Object(_)) { wrong } else { Wrong::must(ImageChoice::expected(), other) }),
        }
    }
}

/// A network by name or id, or in Nova's own words.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Network;

impl FromValue for Network {
    fn expected() -> String {
        "a name or a table".into()
    }

    fn plural() -> String {
        "names or tables".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("string").or(LuaType::table(LuaType::Name("any")))
    }

    fn from_value(value: &Value) -> Result<Network, Wrong> {
        match value {
            Value::Text(_) => Ok(Network),
            Value::Table(_) => Dict::from_value(value).map(|_| Network),
            other => Err(Wrong::must(Network::expected(), other)),
        }
    }
}

pub(super) fn declare(list: &mut Vec<ClassDecl>) {
    let docker =
        ClassDecl::new::<DockerArgs>("DockerLatentWorker", Kind::Worker, docker, "A worker in a container that a Docker engine runs.");
    // A container costs little, and a fresh one is what people want of it.
    let presets = &[("missing_timeout", Preset::Int(1200)), ("build_wait_timeout", Preset::Int(0))];
    list.push(docker.old(&["DockerLatentBuildSlave"]).presets(presets));
    let libvirt = ClassDecl::new::<LibVirtArgs>("LibVirtWorker", Kind::Worker, libvirt, "A worker in a virtual machine that libvirt runs.");
    list.push(libvirt.old(&["LibVirtSlave"]).presets(&[("missing_timeout", Preset::Int(1200))]));
    let doc = "A worker on a server of an OpenStack cloud.";
    let openstack = ClassDecl::new::<OpenStackArgs>("OpenStackLatentWorker", Kind::Worker, openstack, doc);
    list.push(openstack.old(&["OpenStackLatentBuildSlave"]).presets(&[("missing_timeout", Preset::Int(1200))]));
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

fn openstack(reader: &mut Reader, object: &Object, _: &mut Assembly) -> Option<Parsed> {
    let args = OpenStackArgs::read(reader)?;
    if args.image == ImageChoice::None && args.devices == Arg::Const(Vec::new()) {
        reader.wrong("needs an 'image' or 'block_devices'");
    }
    if args.auth_args == LoginArgs::default() {
        let missing = [
            (args.auth_url.is_none(), "os_auth_url"),
            (args.username.is_none(), "os_username"),
            (args.os_password.is_none(), "os_password"),
        ];
        for (_, name) in missing.iter().filter(|(missing, _)| *missing) {
            reader.wrong(format!("needs '{name}', or all that Keystone is told in 'os_auth_args'"));
        }
    }
    if args.interface.as_deref().is_some_and(|name| !matches!(name, "public" | "internal" | "admin")) {
        reader.wrong("'interface' must be \"public\", \"internal\" or \"admin\"");
    }
    let (major, minor) = args.client_version.split_once('.').unwrap_or((&args.client_version, "1"));
    if major != "2" || minor.is_empty() || !minor.bytes().all(|b| b.is_ascii_digit()) {
        reader.wrong("'client_version' must be \"2\" or as \"2.72\"");
    }
    let LatentWorkerArgs { latent, name, password } = args.worker;
    backends::worker(reader, object, latent, name, password)
}
