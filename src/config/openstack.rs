//! `OpenStackLatentWorker`: what a file may tell of a worker on a server of an OpenStack cloud. Its methods are in
//! `lua/backends/openstack.lua`.

use super::arguments::{Arguments, Preset, Reader, arguments};
use super::assemble::{Assembly, Parsed};
use super::backends::{self, LatentWorkerArgs};
use super::class::{ClassDecl, Kind};
use super::convert::{Dict, FromValue, OneOrMany, Wrong};
use super::lua_type::LuaType;
use super::spec::Password;
use super::template::Arg;
use super::value::{Object, Value};

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
    let doc = "A worker on a server of an OpenStack cloud, over Keystone v3, Nova, Glance and Neutron.";
    let class = ClassDecl::new::<OpenStackArgs>("OpenStackLatentWorker", Kind::Worker, openstack, doc);
    list.push(class.old(&["OpenStackLatentBuildSlave"]).presets(&[("missing_timeout", Preset::Int(1200))]));
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
    if args.auth_args != LoginArgs::default() {
        let given = [
            (args.auth_url.is_some(), "os_auth_url"),
            (args.username.is_some(), "os_username"),
            (args.os_password.is_some(), "os_password"),
            (args.tenant.is_some(), "os_tenant_name"),
            (args.user_domain.is_some(), "os_user_domain"),
            (args.project_domain.is_some(), "os_project_domain"),
        ];
        for (_, name) in given.iter().filter(|(given, _)| *given) {
            reader.warn_of(name, format!("'{name}' has no effect beside 'os_auth_args'"));
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
