//! What there is at this EC2: instances, volumes, addresses, images, and what they cost. Time goes on by itself, or is set ahead.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant as Moment};

use super::Call;
use super::faults::{Act, Faults};

pub type Params = BTreeMap<String, String>;

/// From and until when something cost.
#[derive(Clone, Debug, Default)]
pub struct Meter(Vec<(Duration, Option<Duration>)>);

impl Meter {
    fn on(&mut self, now: Duration) {
        if !self.runs() {
            self.0.push((now, None));
        }
    }

    fn off(&mut self, now: Duration) {
        if let Some((_, end @ None)) = self.0.last_mut() {
            *end = Some(now);
        }
    }

    pub fn runs(&self) -> bool {
        matches!(self.0.last(), Some((_, None)))
    }

    fn seconds(&self, now: Duration) -> f64 {
        self.0.iter().map(|(from, to)| to.unwrap_or(now).saturating_sub(*from).as_secs_f64()).sum()
    }
}

#[derive(Clone, Debug)]
pub struct Instance {
    pub id: String,
    pub tags: BTreeMap<String, String>,
    /// Of the launch.
    pub params: Params,
    pub launched: Duration,
    pub visible_from: Duration,
    dies: Option<(Duration, String)>,
    /// When and why it ended.
    pub ended: Option<(Duration, String)>,
    pub protected: bool,
    meter: Meter,
}

impl Instance {
    /// It costs.
    pub fn lives(&self) -> bool {
        self.ended.is_none()
    }

    pub fn worker(&self) -> &str {
        self.tags.get("buildmoon:worker").map_or("", String::as_str)
    }
}

#[derive(Clone, Debug)]
pub struct Image {
    pub id: String,
    pub owner: String,
    pub location: String,
    pub state: &'static str,
    /// Its root volume stays when the instance ends, if the launch says nothing else.
    pub keeps_root: bool,
}

impl Image {
    pub fn new(id: &str, owner: &str, location: &str) -> Image {
        Image { id: id.into(), owner: owner.into(), location: location.into(), state: "available", keeps_root: false }
    }
}

#[derive(Clone, Debug)]
pub struct Volume {
    pub id: String,
    /// Instance and device.
    pub attached: Option<(String, String)>,
    delete_on_termination: bool,
    /// It was there before, and costs this test only while it is attached.
    lent: bool,
    pub meter: Meter,
}

#[derive(Clone, Debug)]
pub struct Address {
    pub ip: String,
    pub instance: Option<String>,
    pub meter: Meter,
}

/// In seconds, since the server started.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Bill {
    pub instances: f64,
    pub volumes: f64,
    pub addresses: f64,
}

/// A call that is refused.
#[derive(Debug)]
pub struct Refused {
    pub code: String,
    pub message: String,
}

pub fn refuse<T>(code: &str, message: impl Into<String>) -> Result<T, Refused> {
    Err(Refused { code: code.to_owned(), message: message.into() })
}

pub struct World {
    began: Moment,
    /// Added to the time that has passed.
    pub ahead: Duration,
    pub instances: Vec<Instance>,
    pub images: Vec<Image>,
    pub volumes: Vec<Volume>,
    pub addresses: Vec<Address>,
    pub key_pairs: Vec<String>,
    /// Name and id.
    pub groups: Vec<(String, String)>,
    pub subnets: Vec<String>,
    pub spot_prices: Vec<f64>,
    /// What every console says.
    pub console: String,
    pub faults: Faults,
    pub journal: Vec<Call>,
    pub high_water: usize,
    /// The most instances of one page, and the most images where pages are asked for.
    pub page: usize,
    pub image_page: usize,
    /// From pending to running, and from shutting-down to terminated.
    pub boot_time: Duration,
    pub end_time: Duration,
    /// What each client token stands for.
    tokens: HashMap<String, (Params, usize)>,
    made: usize,
}

impl World {
    pub fn new() -> World {
        World {
            began: Moment::now(),
            ahead: Duration::ZERO,
            instances: Vec::new(),
            images: vec![Image::new("ami-1", "111111111111", "ci-1/image")],
            volumes: Vec::new(),
            addresses: Vec::new(),
            key_pairs: vec!["latent_buildbot_worker".into()],
            groups: vec![("latent_buildbot_worker".into(), "sg-1".into())],
            subnets: vec!["subnet-a".into(), "subnet-b".into(), "subnet-c".into()],
            spot_prices: vec![0.1, 0.3],
            console: "cloud-init: no worker could be started\n".into(),
            faults: Faults::default(),
            journal: Vec::new(),
            high_water: 0,
            page: 3,
            image_page: 1000,
            boot_time: Duration::from_millis(100),
            end_time: Duration::from_millis(100),
            tokens: HashMap::new(),
            made: 0,
        }
    }

    pub fn now(&self) -> Duration {
        self.began.elapsed() + self.ahead
    }

    fn new_id(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{kind}-{:017x}", self.made)
    }

    /// What has become due.
    pub fn settle(&mut self) {
        let now = self.now();
        let due = |i: &Instance| i.dies.clone().filter(|(at, _)| i.lives() && *at <= now).map(|(_, why)| (i.id.clone(), why));
        let dead: Vec<_> = self.instances.iter().filter_map(due).collect();
        for (id, why) in dead {
            self.end(&id, &why);
        }
    }

    pub fn state(&self, i: &Instance) -> &'static str {
        match &i.ended {
            Some((at, _)) if *at + self.end_time > self.now() => "shutting-down",
            Some(_) => "terminated",
            None if i.launched + self.boot_time > self.now() => "pending",
            None => "running",
        }
    }

    pub fn running(&self) -> Vec<Instance> {
        self.instances.iter().filter(|i| self.state(i) == "running").cloned().collect()
    }

    /// The position of one that callers may know of.
    fn known(&self, id: &str) -> Result<usize, Refused> {
        let now = self.now();
        match self.instances.iter().position(|i| i.id == id && i.visible_from <= now) {
            Some(at) => Ok(at),
            None => refuse("InvalidInstanceID.NotFound", format!("The instance ID '{id}' does not exist")),
        }
    }

    /// One more that belongs to somebody, started by nobody here.
    pub fn found(&mut self, tags: &[(&str, &str)]) -> String {
        let tags = tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let at = self.add(Params::new(), tags, None);
        self.instances[at].id.clone()
    }

    fn add(&mut self, params: Params, tags: BTreeMap<String, String>, act: Option<&Act>) -> usize {
        let (id, now) = (self.new_id("i"), self.now());
        let mut meter = Meter::default();
        meter.on(now);
        let hidden = if let Some(Act::NotVisibleFor(time)) = act { *time } else { Duration::ZERO };
        let dies = if let Some(Act::DieAfter(time, why)) = act { Some((now + *time, (*why).to_owned())) } else { None };
        self.volume_for(&id, &params, now);
        self.instances.push(Instance {
            id,
            tags,
            params,
            launched: now,
            visible_from: now + hidden,
            dies,
            ended: None,
            protected: act == Some(&Act::RefuseTerminate),
            meter,
        });
        self.high_water = self.high_water.max(self.instances.iter().filter(|i| i.lives()).count());
        self.instances.len() - 1
    }

    /// The root volume, which ends with the instance as the launch says or else the image.
    fn volume_for(&mut self, instance: &str, params: &Params, now: Duration) {
        let kept = params.get("ImageId").and_then(|id| self.images.iter().find(|i| i.id == *id)).is_some_and(|i| i.keeps_root);
        let said = (1..).map_while(|n| Some((n, params.get(&format!("BlockDeviceMapping.{n}.DeviceName"))?)));
        let said = said.filter(|(_, device)| *device == "/dev/sda1").last();
        let said = said.and_then(|(n, _)| params.get(&format!("BlockDeviceMapping.{n}.Ebs.DeleteOnTermination")));
        let mut meter = Meter::default();
        meter.on(now);
        let id = self.new_id("vol");
        self.volumes.push(Volume {
            id,
            attached: Some((instance.to_owned(), "/dev/sda1".into())),
            delete_on_termination: said.map_or(!kept, |s| s == "true"),
            lent: false,
            meter,
        });
    }

    pub fn run(&mut self, params: &Params, act: Option<&Act>) -> Result<usize, Refused> {
        if let Some((before, at)) = params.get("ClientToken").and_then(|t| self.tokens.get(t)) {
            return if before == params { Ok(*at) } else { refuse("IdempotentParameterMismatch", "other parameters than before") };
        }
        let image = params.get("ImageId").cloned().unwrap_or_default();
        if self.images.iter().all(|i| i.id != image) {
            return refuse("InvalidAMIID.NotFound", format!("The image id '[{image}]' does not exist"));
        }
        let unknown = |(_, name): &(String, String)| self.groups.iter().all(|(known, _)| known != name);
        if let Some((_, name)) = list(params, "SecurityGroup", "").into_iter().find(unknown) {
            return refuse("InvalidGroup.NotFound", format!("The security group '{name}' does not exist in default VPC"));
        }
        if let Some(key) = params.get("KeyName").filter(|k| !self.key_pairs.contains(k)) {
            return refuse("InvalidKeyPair.NotFound", format!("The key pair '{key}' does not exist"));
        }
        let tags = list(params, "TagSpecification", "ResourceType")
            .into_iter()
            .filter(|(_, kind)| kind == "instance")
            .flat_map(|(prefix, _)| {
                let pairs = list(params, &format!("{prefix}.Tag"), "Key");
                pairs.into_iter().map(|(p, key)| (key, params.get(&format!("{p}.Value")).cloned().unwrap_or_default()))
            })
            .collect();
        let at = self.add(params.clone(), tags, act);
        if let Some(token) = params.get("ClientToken") {
            self.tokens.insert(token.clone(), (params.clone(), at));
        }
        Ok(at)
    }

    /// Known ones in the order of their launch.
    pub fn visible(&self) -> impl Iterator<Item = &Instance> {
        let now = self.now();
        self.instances.iter().filter(move |i| i.visible_from <= now)
    }

    pub fn terminate(&mut self, id: &str) -> Result<(), Refused> {
        let at = self.known(id)?;
        if self.instances[at].protected {
            return refuse("OperationNotPermitted", format!("The instance '{id}' may not be terminated"));
        }
        self.end(id, "Client.UserInitiatedShutdown");
        Ok(())
    }

    pub fn end(&mut self, id: &str, reason: &str) {
        let now = self.now();
        let Some(instance) = self.instances.iter_mut().find(|i| i.id == id && i.lives()) else { return };
        instance.ended = Some((now, reason.to_owned()));
        instance.meter.off(now);
        for volume in self.volumes.iter_mut().filter(|v| v.attached.as_ref().is_some_and(|(i, _)| i == id)) {
            volume.attached = None;
            if volume.delete_on_termination || volume.lent {
                volume.meter.off(now);
            }
        }
        for address in self.addresses.iter_mut().filter(|a| a.instance.as_deref() == Some(id)) {
            address.instance = None;
            address.meter.off(now);
        }
    }

    pub fn tag(&mut self, id: &str, tags: &[(String, String)]) -> Result<(), Refused> {
        let at = self.known(id)?;
        self.instances[at].tags.extend(tags.iter().cloned());
        Ok(())
    }

    pub fn unprotect(&mut self, id: &str) -> Result<(), Refused> {
        let at = self.known(id)?;
        self.instances[at].protected = false;
        Ok(())
    }

    pub fn lend_address(&mut self, ip: &str) {
        self.addresses.push(Address { ip: ip.to_owned(), instance: None, meter: Meter::default() });
    }

    pub fn lend_volume(&mut self, id: &str) {
        self.volumes.push(Volume { id: id.to_owned(), attached: None, delete_on_termination: false, lent: true, meter: Meter::default() });
    }

    pub fn associate(&mut self, ip: &str, instance: &str) -> Result<(), Refused> {
        let at = self.known(instance)?;
        if self.state(&self.instances[at]) != "running" {
            return refuse("InvalidInstanceID", format!("The instance '{instance}' is not in a valid state for this operation"));
        }
        let now = self.now();
        let Some(address) = self.addresses.iter_mut().find(|a| a.ip == ip) else {
            return refuse("InvalidAddress.NotFound", format!("Address '{ip}' not found"));
        };
        if address.instance.as_deref().is_some_and(|i| i != instance) {
            return refuse("Resource.AlreadyAssociated", format!("{ip} is already associated"));
        }
        address.instance = Some(instance.to_owned());
        address.meter.on(now);
        Ok(())
    }

    pub fn disassociate(&mut self, ip: &str) -> Result<(), Refused> {
        let now = self.now();
        match self.addresses.iter_mut().find(|a| a.ip == ip && a.instance.is_some()) {
            Some(address) => {
                address.instance = None;
                address.meter.off(now);
                Ok(())
            }
            None => refuse("InvalidAssociationID.NotFound", format!("{ip} is associated with nothing")),
        }
    }

    pub fn attach(&mut self, volume: &str, instance: &str, device: &str) -> Result<(), Refused> {
        let at = self.known(instance)?;
        if self.state(&self.instances[at]) != "running" {
            return refuse("IncorrectState", format!("Instance '{instance}' is not 'running'"));
        }
        let now = self.now();
        let Some(volume) = self.volumes.iter_mut().find(|v| v.id == volume) else {
            return refuse("InvalidVolume.NotFound", format!("The volume '{volume}' does not exist."));
        };
        if volume.attached.is_some() {
            return refuse("VolumeInUse", format!("{} is already attached to an instance", volume.id));
        }
        volume.attached = Some((instance.to_owned(), device.to_owned()));
        volume.meter.on(now);
        Ok(())
    }

    pub fn detach(&mut self, volume: &str, instance: &str) -> Result<(), Refused> {
        let now = self.now();
        let of = |v: &&mut Volume| v.id == volume && v.attached.as_ref().is_some_and(|(i, _)| i == instance);
        match self.volumes.iter_mut().find(of) {
            Some(volume) => {
                volume.attached = None;
                volume.meter.off(now);
                Ok(())
            }
            None => refuse("IncorrectState", format!("Volume '{volume}' is not attached to '{instance}'")),
        }
    }

    pub fn create_group(&mut self, name: &str) -> Result<String, Refused> {
        if self.groups.iter().any(|(n, _)| n == name) {
            return refuse("InvalidGroup.Duplicate", format!("The security group '{name}' already exists"));
        }
        let id = self.new_id("sg");
        self.groups.push((name.to_owned(), id.clone()));
        Ok(id)
    }

    pub fn bill(&self) -> Bill {
        let now = self.now();
        Bill {
            instances: self.instances.iter().map(|i| i.meter.seconds(now)).sum(),
            volumes: self.volumes.iter().map(|v| v.meter.seconds(now)).sum(),
            addresses: self.addresses.iter().map(|a| a.meter.seconds(now)).sum(),
        }
    }

    /// What costs something now.
    pub fn costs(&self) -> Vec<String> {
        let instances = self.instances.iter().filter(|i| i.meter.runs()).map(|i| format!("{} {}", i.id, self.state(i)));
        let volumes = self.volumes.iter().filter(|v| v.meter.runs()).map(|v| format!("{} {:?}", v.id, v.attached));
        let addresses = self.addresses.iter().filter(|a| a.meter.runs()).map(|a| format!("{} {:?}", a.ip, a.instance));
        instances.chain(volumes).chain(addresses).collect()
    }
}

/// The items `PREFIX.1`, `PREFIX.2` … with their field of that name; without a name, the values themselves.
pub fn list(params: &Params, prefix: &str, field: &str) -> Vec<(String, String)> {
    let item = |n: usize| {
        let at = format!("{prefix}.{n}");
        let value = params.get(&if field.is_empty() { at.clone() } else { format!("{at}.{field}") })?;
        Some((at, value.clone()))
    };
    (1..).map_while(item).collect()
}
