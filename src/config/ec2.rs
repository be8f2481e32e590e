//! `EC2LatentWorker`: what it is told and what can be said of that without asking Amazon.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use regex::Regex;
use serde_json::{Map, Value as Json};

use super::arguments::{Arguments, Preset, Reader, arguments};
use super::assemble::{Assembly, Parsed};
use super::backends::LuaBackendSpec;
use super::class::{ClassDecl, Kind};
use super::convert::{FromValue, OneOrMany, Pattern, Settings, Whole, Wrong, item};
use super::latent::{self, BackendSpec, LatentCommon};
use super::lua_type::LuaType;
use super::spec::{Password, WorkerKind};
use super::template::{Arg, Template};
use super::user_data::LONGEST as LONGEST_USER_DATA;
use super::value::{Object, Value};
use super::workers::{self, WorkerName};

const KEY_PAIR: &str = "latent_buildbot_worker";
const OLD_KEY_PAIR: &str = "latent_buildbot_slave";

arguments! {
    Ec2Args {
        include latent: LatentCommon;
        [1] "name" | "slavename" name: WorkerName, "The name it logs in with.", Identity;
        [2] "password" password: Option<Password> = None => "None", "The password it logs in with; None: each machine gets one of its own.", Drain;
        [3] "instance_type" instance_type: Arg<OneOrMany<Word>>, "The type of the instance; of a list the first for which there is room.", NextLaunch;
        "ami" ami: Arg<Option<Word>> = Arg::default() => "None", "The image. Either this or the two filters that follow.", NextLaunch;
        "valid_ami_owners" owners: OneOrMany<Account> = OneOrMany(Vec::new()) => "{}", "Account numbers whose images may be taken.", NextLaunch;
        "valid_ami_location_regex" location: Option<Pattern> = None => "None", "What the image's location begins with; of the images that match, the one that sorts last by the first group (as a number where each is one) is taken.", NextLaunch;
        "elastic_ip" elastic_ip: Option<Word> = None => "None", "An address that the instance gets.", NextLaunch;
        "identifier" identifier: Option<Password> = None => "None", "The access key's id; with secret_identifier.", AtOnce;
        "secret_identifier" secret_identifier: Option<Password> = None => "None", "The secret key.", AtOnce;
        "aws_id_file_path" aws_id_file_path: Option<Word> = None => "None", "A file with the access key's id in its first line and the secret key in its second; default: ~/.ec2/aws_id, if it is there.", AtOnce;
        "user_data" user_data: Arg<Option<String>> = Arg::default() => "None", "What the instance is told when it starts. Rendered for each instance: `%(worker:name)s`, `%(worker:password)s`, `%(worker:launch_id)s`, and properties of the build that waits.", NextLaunch;
        "region" region: Word = Word("us-east-1".into()) => "\"us-east-1\"", "The region.", NextLaunch;
        "keypair_name" | "keypair" keypair_name: Named = Named::Default => "\"latent_buildbot_worker\"", "The key pair for logins on the instance; None: none.", NextLaunch;
        "security_name" security_name: Named = Named::Default => "\"latent_buildbot_worker\"", "The security group, made without open ports if there is none; not with subnet_id.", NextLaunch;
        "spot_instance" spot_instance: bool = false => "false", "Started at the spot market.", NextLaunch;
        "max_spot_price" max_spot_price: Option<Price> = Some(Price(1.6)) => "1.6", "The highest price an hour; None: that of an instance on demand.", NextLaunch;
        "price_multiplier" price_multiplier: Option<Price> = Some(Price(1.2)) => "1.2", "The price is the average of the last day times this, if that is less than max_spot_price; None: it is max_spot_price.", NextLaunch;
        "product_description" product_description: Word = Word("Linux/UNIX".into()) => "\"Linux/UNIX\"", "Of which prices the average is taken.", NextLaunch;
        "volumes" volumes: Arg<Vec<Volume>> = Arg::default() => "{}", "Volumes that are attached: `{ { \"vol-1234\", \"/dev/xvdb\" } }`.", NextLaunch;
        "placement" placement: OneOrMany<Word> = OneOrMany(Vec::new()) => "{}", "The letter of the zone; of a list the first where there is room.", NextLaunch;
        "tags" tags: Arg<BTreeMap<String, String>> = Arg::default() => "{}", "Tags of the instance and its volumes.", NextLaunch;
        "subnet_id" subnet_id: OneOrMany<Word> = OneOrMany(Vec::new()) => "{}", "The subnet; of a list the first where there is room.", NextLaunch;
        "security_group_ids" security_group_ids: OneOrMany<Word> = OneOrMany(Vec::new()) => "{}", "Security groups by id.", NextLaunch;
        "associate_public_ip" associate_public_ip: Option<bool> = None => "None", "Does it get a public address? None: as the subnet says.", NextLaunch;
        "instance_profile_name" instance_profile_name: Option<Word> = None => "None", "The profile with the instance's role.", NextLaunch;
        "block_device_map" block_device_map: Vec<Settings> = Vec::new() => "{}", "Devices: `{ { DeviceName = \"/dev/xvda\", Ebs = { VolumeSize = 50 } } }`.", NextLaunch;
        "price_per_hour" price: Option<Price> = None => "None", "What an instance on demand costs an hour, so that its cost can be shown; at the spot market the price is known from there.", NextLaunch;
        "endpoint_url" endpoint_url: Option<Word> = None => "None", "Where the API is, if it is not Amazon's.", NextLaunch;
        "profile" profile: Option<Word> = None => "None", "The profile of the AWS configuration files that has the keys.", AtOnce;
    }
}

arguments! {
    DeviceArgs {
        "DeviceName" name: Word, "Its name on the instance.", NextLaunch;
        "VirtualName" virtual_name: Option<Word> = None => "None", "`ephemeral0` and so on.", NextLaunch;
        "NoDevice" no_device: Option<NoDevice> = None => "None", "The image's device of this name is left out.", NextLaunch;
        "Ebs" ebs: Settings = Settings::default() => "{}", "The volume.", NextLaunch;
    }
}

arguments! {
    EbsArgs {
        "SnapshotId" snapshot_id: Option<Word> = None => "None", "What it is made of.", NextLaunch;
        "VolumeSize" size: Option<Whole<1>> = None => "None", "Its size in GiB.", NextLaunch;
        "VolumeType" volume_type: Option<Word> = None => "None", "`gp3` and so on.", NextLaunch;
        "Iops" iops: Option<Whole<1>> = None => "None", "Operations a second.", NextLaunch;
        "Throughput" throughput: Option<Whole<1>> = None => "None", "MiB a second.", NextLaunch;
        "Encrypted" encrypted: Option<bool> = None => "None", "Is it encrypted?", NextLaunch;
        "KmsKeyId" kms_key_id: Option<Word> = None => "None", "With which key.", NextLaunch;
        "DeleteOnTermination" delete: Option<bool> = None => "true", "Does it go with the instance?", NextLaunch;
    }
}

pub(super) fn declare(list: &mut Vec<ClassDecl>) {
    let doc = "A worker on an instance of Amazon EC2 that is started when a build wants it and stopped afterwards. Where `instance_type`, `ami`, `volumes` or `tags` differ from build to build, each build gets an instance of its own. A class of your own may write `launch_choices(self, build)`: the list of `{ instance_type = …, subnet_id = …, placement = …, ami = …, spot_price = … }` that are tried in turn, of which `Class.super.launch_choices(self, build)` is the usual one; what a choice leaves out is as configured. It may override `start_instance`, `stop_instance`, `check_instance` and `list_instances` and call `Class.super.start_instance(self, build)`, whose result it returns: an error after that stops the instance. `self:aws(\"ec2\", \"CreateTags\", { … })` calls Amazon with the worker's keys.";
    // The time until its worker must have attached.
    const WITHIN: (&str, Preset) = ("missing_timeout", Preset::Int(1200));
    list.push(ClassDecl::new::<Ec2Args>("EC2LatentWorker", Kind::Worker, build, doc).presets(&[WITHIN]));
    // A class of its own, since its defaults are others.
    let old = ClassDecl::new::<Ec2Args>("EC2LatentBuildSlave", Kind::Worker, build, "The old spelling of `EC2LatentWorker`.");
    list.push(old.presets(&[WITHIN, ("keypair_name", Preset::Text(OLD_KEY_PAIR))]));
}

/// What is asked of EC2 for one worker.
#[derive(Clone, Debug)]
pub struct Ec2Spec {
    pub credentials: Ec2Credentials,
    pub region: String,
    pub endpoint_url: Option<String>,
    pub instance_types: Vec<String>,
    /// None: the newest of those that the filters let through.
    pub ami: Option<String>,
    pub owners: Vec<String>,
    /// It holds from the location's start.
    pub location: Option<Regex>,
    pub elastic_ip: Option<String>,
    pub user_data: Arg<Option<String>>,
    pub keypair_name: Option<String>,
    pub security_name: Option<String>,
    pub spot: Option<Ec2Spot>,
    /// Of an instance on demand.
    pub price_per_hour: Option<f64>,
    /// Volume and device.
    pub volumes: Vec<(String, String)>,
    pub placements: Vec<String>,
    pub tags: BTreeMap<String, String>,
    pub subnet_ids: Vec<String>,
    pub security_group_ids: Vec<String>,
    pub associate_public_ip: Option<bool>,
    pub instance_profile_name: Option<String>,
    pub block_devices: Vec<BlockDevice>,
    /// Arguments that differ from build to build, by name; above they are empty.
    pub rendered: Vec<(&'static str, Template)>,
    /// What a class of the file changes.
    pub own: Option<Arc<LuaBackendSpec>>,
}

impl PartialEq for Ec2Spec {
    fn eq(&self, other: &Ec2Spec) -> bool {
        // A pattern is its text; everything else prints as what it is, but for keys.
        self.credentials == other.credentials && format!("{self:?}") == format!("{other:?}")
    }
}

#[derive(Clone, PartialEq, Debug)]
pub struct Ec2Credentials {
    /// The access key's id and the secret key.
    pub keys: Option<(Password, Password)>,
    /// Relative to the configuration's folder.
    pub file: Option<PathBuf>,
    pub profile: Option<String>,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Ec2Spot {
    pub max_price: Option<f64>,
    pub multiplier: Option<f64>,
    pub product: String,
}

#[derive(Clone, PartialEq, Debug, Default)]
pub struct BlockDevice {
    pub device_name: String,
    pub virtual_name: Option<String>,
    pub no_device: bool,
    pub snapshot_id: Option<String>,
    pub volume_size_gib: Option<i32>,
    pub volume_type: Option<String>,
    pub iops: Option<i32>,
    pub throughput: Option<i32>,
    pub encrypted: Option<bool>,
    pub kms_key_id: Option<String>,
    pub delete_on_termination: Option<bool>,
}

/// The constant, or none and one more argument to render.
fn constant<T: FromValue>(name: &'static str, arg: Arg<T>, rendered: &mut Vec<(&'static str, Template)>) -> Option<T> {
    match arg {
        Arg::Const(value) => Some(value),
        Arg::Dynamic(template) => {
            rendered.push((name, *template));
            None
        }
    }
}

/// What begins so is not for the file.
fn reserved(tag: &str) -> bool {
    tag.starts_with("buildmoon:") || tag.starts_with("aws:")
}

impl Ec2Spec {
    /// As it is for one build, with what was rendered for it.
    pub fn for_build(&self, values: &Map<String, Json>) -> Result<Ec2Spec, String> {
        fn take<T: FromValue>(values: &Map<String, Json>, name: &str) -> Result<Option<T>, String> {
            let Some(value) = values.get(name) else { return Ok(None) };
            T::from_value(&Value::from_json(value)).map(Some).map_err(|wrong| format!("'{name}' {wrong}"))
        }
        let mut spec = Ec2Spec { rendered: Vec::new(), ..self.clone() };
        if let Some(types) = take::<OneOrMany<Word>>(values, "instance_type")? {
            spec.instance_types = types.0.into_iter().map(|t| t.0).collect();
        }
        if spec.instance_types.is_empty() {
            return Err("'instance_type' must name at least one type".into());
        }
        if values.contains_key("ami") {
            let ami = take::<Option<Word>>(values, "ami")?.flatten();
            spec.ami = Some(ami.ok_or("'ami' must name an image")?.0);
        }
        if let Some(volumes) = take::<Vec<Volume>>(values, "volumes")? {
            spec.volumes = volumes.into_iter().map(|v| (v.id, v.device)).collect();
        }
        if let Some(tags) = take::<BTreeMap<String, String>>(values, "tags")? {
            if let Some(tag) = tags.keys().find(|t| reserved(t)) {
                return Err(format!("the tag '{tag}' can't be set: what begins so is not for you"));
            }
            spec.tags = tags;
        }
        Ok(spec)
    }
}

fn build(reader: &mut Reader, object: &Object, assembly: &mut Assembly) -> Option<Parsed> {
    let args = Ec2Args::read(reader)?;
    let old = object.class == "EC2LatentBuildSlave";
    if old {
        reader.warn_once("'EC2LatentBuildSlave' is the old spelling of 'EC2LatentWorker'");
    }
    // Those who build the program without the SDK are told at load, not by the first build.
    if !cfg!(feature = "ec2") && !cfg!(test) {
        reader.wrong("this buildmoon was built without Amazon EC2: build it with the feature 'ec2'");
    }
    let own = match &object.own {
        Some(own) => Some(Arc::new(super::backends::spec(reader, object, own)?)),
        None => None,
    };
    let mut rendered = Vec::new();
    let instance_types = constant("instance_type", args.instance_type, &mut rendered).map(|types| {
        if types.0.is_empty() {
            reader.wrong("'instance_type' must name at least one type");
        }
        types.0.into_iter().map(|t| t.0).collect()
    });
    let is_named = !matches!(args.ami, Arg::Const(None));
    let ami = constant("ami", args.ami, &mut rendered).flatten().map(|ami| ami.0);
    let volumes = constant("volumes", args.volumes, &mut rendered).unwrap_or_default();
    let tags = constant("tags", args.tags, &mut rendered).unwrap_or_default();
    let filters = !args.owners.0.is_empty() || args.location.is_some();
    match (is_named, filters) {
        (true, true) => reader.wrong("'ami' names the image: 'valid_ami_owners' and 'valid_ami_location_regex' would have no effect"),
        (false, false) => reader.wrong("one of 'ami', 'valid_ami_owners' and 'valid_ami_location_regex' must say which image is started"),
        _ => {}
    }
    let keys = match (args.identifier, args.secret_identifier) {
        (Some(id), Some(secret)) => Some((id, secret)),
        (None, None) => None,
        (Some(_), None) => {
            reader.wrong("'identifier' is given without 'secret_identifier'");
            None
        }
        (None, Some(_)) => {
            reader.wrong("'secret_identifier' is given without 'identifier'");
            None
        }
    };
    if keys.is_some() && args.aws_id_file_path.is_some() {
        reader.wrong("both 'identifier' and 'aws_id_file_path' are given: only one can hold the keys");
    }
    if args.profile.is_some() && (keys.is_some() || args.aws_id_file_path.is_some()) {
        let other = if keys.is_some() { "identifier" } else { "aws_id_file_path" };
        reader.wrong(format!("both '{other}' and 'profile' are given: only one can hold the keys"));
    }
    let by_id = !args.subnet_id.0.is_empty() || !args.security_group_ids.0.is_empty();
    let default_name = if old { OLD_KEY_PAIR } else { KEY_PAIR };
    let security_name = match args.security_name {
        Named::Name(_) if !args.subnet_id.0.is_empty() => {
            reader.wrong("'security_name' has no meaning in a subnet: with 'subnet_id' write security_group_ids = { \"sg-…\" }");
            None
        }
        Named::Name(name) => Some(name),
        Named::Default if !by_id => Some(default_name.to_owned()),
        Named::Default | Named::None => None,
    };
    if args.associate_public_ip.is_some() && security_name.is_some() {
        reader.wrong(
            "'associate_public_ip' needs 'security_group_ids', 'subnet_id' or security_name = None: Amazon takes no group's name beside it",
        );
    }
    if !args.subnet_id.0.is_empty() && !args.placement.0.is_empty() {
        reader.wrong("'placement' has no meaning with 'subnet_id': a subnet lies in one zone");
    }
    let location = match &args.location {
        Some(Pattern(pattern)) => match assembly.regex("valid_ami_location_regex", pattern) {
            Ok(regex) => Some(regex),
            Err(why) => {
                reader.wrong(why);
                None
            }
        },
        None => None,
    };
    for zone in &args.placement.0 {
        if zone.0.len() != 1 || !zone.0.chars().all(|c| c.is_ascii_lowercase()) {
            reader.wrong(format!("'placement' must be the letter of a zone, such as \"a\", got {:?}", zone.0));
        }
    }
    if let Some(tag) = tags.keys().find(|t| reserved(t)) {
        reader.wrong(format!("the tag '{tag}' can't be set: what begins so is not for you"));
    }
    if let Arg::Const(Some(text)) = &args.user_data
        && text.len() > LONGEST_USER_DATA
    {
        reader.wrong(format!("'user_data' must not be longer than {LONGEST_USER_DATA} bytes, got {}", text.len()));
    }
    let block_devices = devices(reader, &args.block_device_map);
    let texts = |words: OneOrMany<Word>| words.0.into_iter().map(|w| w.0).collect::<Vec<_>>();
    let text = |word: Option<Word>| word.map(|w| w.0);
    let spec = Ec2Spec {
        credentials: Ec2Credentials { keys, file: text(args.aws_id_file_path).map(PathBuf::from), profile: text(args.profile) },
        region: args.region.0,
        endpoint_url: text(args.endpoint_url),
        instance_types: instance_types.unwrap_or_default(),
        ami,
        owners: args.owners.0.into_iter().map(|a| a.0).collect(),
        location,
        elastic_ip: text(args.elastic_ip),
        user_data: args.user_data,
        keypair_name: match args.keypair_name {
            Named::Default => Some(default_name.to_owned()),
            Named::None => None,
            Named::Name(name) => Some(name),
        },
        security_name,
        spot: args.spot_instance.then(|| Ec2Spot {
            max_price: args.max_spot_price.map(|p| p.0),
            multiplier: args.price_multiplier.map(|p| p.0),
            product: args.product_description.0,
        }),
        price_per_hour: args.price.map(|p| p.0),
        volumes: volumes.into_iter().map(|v| (v.id, v.device)).collect(),
        placements: texts(args.placement),
        tags,
        subnet_ids: texts(args.subnet_id),
        security_group_ids: texts(args.security_group_ids),
        associate_public_ip: args.associate_public_ip,
        instance_profile_name: text(args.instance_profile_name),
        block_devices: block_devices?,
        rendered,
        own,
    };
    let differs = spec.rendered.iter().find(|(_, template)| template.differs()).map(|(name, _)| (*name).to_owned());
    let differs = differs.or_else(|| spec.own.as_ref().and_then(|own| own.differs()));
    let (mut latent, mut common) = latent::read(reader, args.latent, BackendSpec::Ec2(Arc::new(spec)))?;
    if let Some(name) = differs {
        super::backends::one_build_each(reader, object, &name, &mut latent, &mut common);
    }
    Some(workers::spec(reader, object, common, args.name, args.password, WorkerKind::Latent(Arc::new(latent))))
}

fn devices(reader: &mut Reader, list: &[Settings]) -> Option<Vec<BlockDevice>> {
    let small = |n: Option<Whole<1>>| n.map(|n| i32::try_from(n.0).unwrap_or(i32::MAX));
    let text = |word: Option<Word>| word.map(|w| w.0);
    let mut devices = Vec::new();
    for (i, settings) in list.iter().enumerate() {
        let path = format!("block_device_map{}", item(i));
        let device: DeviceArgs = inner(reader, &path, settings)?;
        let ebs: EbsArgs = inner(reader, &format!("{path}.Ebs"), &device.ebs)?;
        devices.push(BlockDevice {
            device_name: device.name.0,
            virtual_name: text(device.virtual_name),
            no_device: device.no_device.is_some_and(|n| n.0),
            snapshot_id: text(ebs.snapshot_id),
            volume_size_gib: small(ebs.size),
            volume_type: text(ebs.volume_type),
            iops: small(ebs.iops),
            throughput: small(ebs.throughput),
            encrypted: ebs.encrypted,
            kms_key_id: text(ebs.kms_key_id),
            delete_on_termination: ebs.delete,
        });
    }
    Some(devices)
}

/// A table within an argument; its mistakes are told with the path to it.
fn inner<A: Arguments>(reader: &mut Reader, path: &str, settings: &Settings) -> Option<A> {
    let mut read = Reader::of_settings(&A::declared(), &settings.0);
    let args = A::read(&mut read);
    let whole = read.mistakes.is_empty();
    reader.mistakes.extend(read.mistakes.into_iter().map(|mut fault| {
        fault.text = format!("{path}: {}", fault.text);
        fault
    }));
    args.filter(|_| whole)
}

/// A text that is not empty.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Word(String);

impl FromValue for Word {
    fn expected() -> String {
        "text".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("string")
    }

    fn plural() -> String {
        "texts".into()
    }

    fn from_value(value: &Value) -> Result<Word, Wrong> {
        match value {
            Value::Text(text) if text.trim().is_empty() => Err(Wrong::says("must not be empty")),
            other => String::from_value(other).map(Word),
        }
    }
}

/// The default, none at all, or a name.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Named {
    Default,
    None,
    Name(String),
}

impl FromValue for Named {
    fn expected() -> String {
        "text or None".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("string").or(LuaType::Name("None"))
    }

    fn from_value(value: &Value) -> Result<Named, Wrong> {
        match value {
            Value::None => Ok(Named::None),
            Value::Text(text) if !text.trim().is_empty() => Ok(Named::Name(text.clone())),
            other => Err(Wrong::must(Self::expected(), other)),
        }
    }
}

/// The number of an account, which has twelve digits; one that is written as a number may have lost leading zeros.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Account(String);

impl FromValue for Account {
    fn expected() -> String {
        "an account number".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("integer").or(LuaType::Name("string"))
    }

    fn plural() -> String {
        "account numbers".into()
    }

    fn from_value(value: &Value) -> Result<Account, Wrong> {
        let number = match value {
            Value::Int(_) | Value::Float(_) => {
                i64::from_value(value).ok().filter(|n| (0..1_000_000_000_000).contains(n)).map(|n| format!("{n:012}"))
            }
            Value::Text(text) if !text.is_empty() && text.len() <= 12 && text.bytes().all(|b| b.is_ascii_digit()) => {
                Some(format!("{text:0>12}"))
            }
            _ => None,
        };
        number.map(Account).ok_or_else(|| Wrong::must(Self::expected(), value))
    }
}

/// Of money: finite and more than 0.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Price(f64);

impl FromValue for Price {
    fn expected() -> String {
        "a number above 0".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("number")
    }

    fn from_value(value: &Value) -> Result<Price, Wrong> {
        let number = match value {
            Value::Int(i) => *i as f64,
            Value::Float(x) => *x,
            other => return Err(Wrong::must(Self::expected(), other)),
        };
        if number.is_finite() && number > 0.0 { Ok(Price(number)) } else { Err(Wrong::must(Self::expected(), value)) }
    }
}

/// `{ "vol-1234", "/dev/xvdb" }`
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Volume {
    id: String,
    device: String,
}

impl FromValue for Volume {
    fn expected() -> String {
        "a pair such as { \"vol-1234\", \"/dev/xvdb\" }".into()
    }

    fn lua_type() -> LuaType {
        LuaType::list(LuaType::Name("string"))
    }

    fn plural() -> String {
        "pairs such as { \"vol-1234\", \"/dev/xvdb\" }".into()
    }

    fn from_value(value: &Value) -> Result<Volume, Wrong> {
        let wrong = || Wrong::must(Self::expected(), value);
        let pair = Vec::<Word>::from_value(value).map_err(|_| wrong())?;
        match pair.as_slice() {
            [id, device] => Ok(Volume { id: id.0.clone(), device: device.0.clone() }),
            _ => Err(wrong()),
        }
    }
}

/// `NoDevice = ""` as the API has it, or true.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct NoDevice(bool);

impl FromValue for NoDevice {
    fn expected() -> String {
        "true or an empty text".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("boolean").or(LuaType::Name("string"))
    }

    fn from_value(value: &Value) -> Result<NoDevice, Wrong> {
        match value {
            Value::Bool(b) => Ok(NoDevice(*b)),
            Value::Text(text) if text.is_empty() => Ok(NoDevice(true)),
            other => Err(Wrong::must(Self::expected(), other)),
        }
    }
}

#[cfg(test)]
mod tests;
