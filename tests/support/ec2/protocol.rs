//! The Query protocol: a form in, XML out. Says what [`World`] holds; decides nothing but the form.

use std::fmt::Write;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::faults::Act;
use super::world::{Instance, Params, Refused, Volume, World, list, refuse};
use super::{Call, lock};

/// Whose everything here is.
const ACCOUNT: &str = "111111111111";
/// The most values of one filter.
const MOST_VALUES: usize = 200;

pub async fn serve(listener: TcpListener, world: Arc<Mutex<World>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let world = world.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, world.clone()));
            // An error is a connection that was cut, here or there.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(request: Request<Incoming>, world: Arc<Mutex<World>>) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let cut = || std::io::Error::from(std::io::ErrorKind::ConnectionAborted);
    let signed = request.headers().get("authorization").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let body = request.into_body().collect().await.map_err(|_| cut())?.to_bytes();
    let params: Params = url::form_urlencoded::parse(&body).into_owned().collect();
    let action = params.get("Action").cloned().unwrap_or_default();
    let (number, act) = {
        let mut world = lock(&world);
        let act = world.faults.due(&action, &params);
        let at = world.now();
        world.journal.push(Call { at, action: action.clone(), params: params.clone(), signed: signed.clone(), outcome: String::new() });
        (world.journal.len() - 1, act)
    };
    let note = |outcome: &str| lock(&world).journal[number].outcome = outcome.to_owned();
    let result = match &act {
        Some(Act::Error(code)) => refuse(code, "as the test wants it"),
        Some(Act::DropBefore) => {
            note("cut before");
            return Err(cut());
        }
        Some(Act::CommitAfter(time)) => {
            let (world, time, action) = (world.clone(), *time, action.clone());
            let late = tokio::spawn(async move {
                tokio::time::sleep(time).await;
                perform(&mut lock(&world), &action, &params, None)
            });
            late.await.map_err(|_| cut())?
        }
        _ if !is_signature(&signed) => refuse("AuthFailure", format!("'{signed}' is no signature")),
        act => perform(&mut lock(&world), &action, &params, act.as_ref()),
    };
    match act {
        Some(Act::CommitThenDrop) => {
            note("cut");
            return Err(cut());
        }
        Some(Act::Delay(time)) => tokio::time::sleep(time).await,
        _ => {}
    }
    let (status, text) = match result {
        Ok(inner) => {
            note("ok");
            (
                200,
                format!(
                    "<{action}Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>r-{number}</requestId>{inner}</{action}Response>"
                ),
            )
        }
        Err(Refused { code, message }) => {
            note(&code);
            let error = format!("<Error><Code>{code}</Code><Message>{}</Message></Error>", text(&message));
            (status(&code), format!("<Response><Errors>{error}</Errors><RequestID>r-{number}</RequestID></Response>"))
        }
    };
    Response::builder().status(status).header("content-type", "text/xml;charset=UTF-8").body(Full::new(text.into())).map_err(|_| cut())
}

/// Only its form: that it is the right one shows elsewhere.
fn is_signature(text: &str) -> bool {
    let part = |name: &str| text.split([' ', ',']).find_map(|part| part.strip_prefix(name));
    let (Some(scope), Some(headers), Some(signature)) = (part("Credential="), part("SignedHeaders="), part("Signature=")) else {
        return false;
    };
    let scope: Vec<&str> = scope.split('/').collect();
    text.starts_with("AWS4-HMAC-SHA256 ")
        && matches!(scope.as_slice(), [key, day, region, service, "aws4_request"]
            if !key.is_empty() && day.len() == 8 && !region.is_empty() && !service.is_empty())
        && ["host", "x-amz-date"].iter().all(|name| headers.split(';').any(|h| h == *name))
        && headers.split(';').is_sorted()
        && signature.len() == 64
        && signature.bytes().all(|b| b.is_ascii_hexdigit())
}

fn status(code: &str) -> u16 {
    match code {
        "InsufficientInstanceCapacity" | "InternalError" => 500,
        "RequestLimitExceeded" | "Unavailable" => 503,
        "UnauthorizedOperation" | "AuthFailure" => 403,
        _ => 400,
    }
}

fn perform(world: &mut World, action: &str, params: &Params, act: Option<&Act>) -> Result<String, Refused> {
    world.settle();
    let get = |name: &str| params.get(name).map_or("", String::as_str);
    match action {
        "RunInstances" => {
            let at = world.run(params, act)?;
            Ok(format!(
                "<reservationId>r-1</reservationId><ownerId>{ACCOUNT}</ownerId><instancesSet>{}</instancesSet>",
                instance(world, &world.instances[at])
            ))
        }
        "DescribeInstances" => describe(world, params),
        "TerminateInstances" => {
            let ids = list(params, "InstanceId", "");
            for (_, id) in &ids {
                world.terminate(id)?;
            }
            let items: String = ids.iter().map(|(_, id)| format!("<item><instanceId>{id}</instanceId></item>")).collect();
            Ok(format!("<instancesSet>{items}</instancesSet>"))
        }
        "ModifyInstanceAttribute" if get("DisableApiTermination.Value") == "false" => {
            world.unprotect(get("InstanceId")).map(|()| "<return>true</return>".into())
        }
        "DescribeImages" => images(world, params),
        "DescribeSpotPriceHistory" => {
            let items: String = world.spot_prices.iter().map(|p| format!("<item><spotPrice>{p}</spotPrice></item>")).collect();
            Ok(format!("<spotPriceHistorySet>{items}</spotPriceHistorySet>"))
        }
        "DescribeAddresses" => {
            let wanted = filter(params, "public-ip")?;
            let mut items = String::new();
            for a in world.addresses.iter().filter(|a| wanted.as_ref().is_none_or(|w| w.contains(&a.ip))) {
                let held =
                    a.instance.as_ref().map(|i| format!("<associationId>eipassoc-{}</associationId><instanceId>{i}</instanceId>", a.ip));
                let held = held.unwrap_or_default();
                let _ = write!(items, "<item><publicIp>{0}</publicIp><allocationId>eipalloc-{0}</allocationId>{held}</item>", a.ip);
            }
            Ok(format!("<addressesSet>{items}</addressesSet>"))
        }
        "AssociateAddress" => {
            let ip = params.get("PublicIp").map_or_else(|| get("AllocationId").trim_start_matches("eipalloc-"), String::as_str).to_owned();
            world.associate(&ip, get("InstanceId")).map(|()| "<return>true</return>".into())
        }
        "DisassociateAddress" => {
            let ip = params.get("PublicIp").map_or_else(|| get("AssociationId").trim_start_matches("eipassoc-"), String::as_str).to_owned();
            world.disassociate(&ip).map(|()| "<return>true</return>".into())
        }
        "AttachVolume" => world.attach(get("VolumeId"), get("InstanceId"), get("Device")).map(|()| "<status>attaching</status>".into()),
        "DescribeVolumes" => {
            let wanted: Vec<String> = list(params, "VolumeId", "").into_iter().map(|(_, id)| id).collect();
            let held = |(instance, device): &(String, String)| {
                format!("<item><instanceId>{instance}</instanceId><device>{device}</device><status>attached</status></item>")
            };
            let volumes = world.volumes.iter().filter(|v| wanted.is_empty() || wanted.contains(&v.id));
            let item = |v: &Volume| {
                let held = v.attached.iter().map(held).collect::<String>();
                format!("<item><volumeId>{}</volumeId><attachmentSet>{held}</attachmentSet></item>", v.id)
            };
            Ok(format!("<volumeSet>{}</volumeSet>", volumes.map(item).collect::<String>()))
        }
        "DetachVolume" => world.detach(get("VolumeId"), get("InstanceId")).map(|()| "<status>detaching</status>".into()),
        "DescribeKeyPairs" => {
            let wanted = filter(params, "key-name")?;
            let fits = world.key_pairs.iter().filter(|k| wanted.as_ref().is_none_or(|w| w.contains(k)));
            let items: String = fits.map(|k| format!("<item><keyName>{}</keyName></item>", text(k))).collect();
            Ok(format!("<keySet>{items}</keySet>"))
        }
        "DescribeSecurityGroups" => {
            let (names, ids) = (filter(params, "group-name")?, filter(params, "group-id")?);
            let fits = |(name, id): &&(String, String)| {
                names.as_ref().is_none_or(|w| w.contains(name)) && ids.as_ref().is_none_or(|w| w.contains(id))
            };
            let item = |(name, id): &(String, String)| format!("<item><groupName>{}</groupName><groupId>{id}</groupId></item>", text(name));
            let items: String = world.groups.iter().filter(fits).map(item).collect();
            Ok(format!("<securityGroupInfo>{items}</securityGroupInfo>"))
        }
        "CreateSecurityGroup" => world.create_group(get("GroupName")).map(|id| format!("<groupId>{id}</groupId>")),
        "DescribeSubnets" => {
            let wanted = filter(params, "subnet-id")?;
            let fits = world.subnets.iter().filter(|s| wanted.as_ref().is_none_or(|w| w.contains(s)));
            let items: String = fits.map(|s| format!("<item><subnetId>{s}</subnetId></item>")).collect();
            Ok(format!("<subnetSet>{items}</subnetSet>"))
        }
        "CreateTags" => {
            let tags: Vec<(String, String)> = list(params, "Tag", "Key")
                .into_iter()
                .map(|(at, key)| (key, params.get(&format!("{at}.Value")).cloned().unwrap_or_default()))
                .collect();
            list(params, "ResourceId", "").iter().try_for_each(|(_, id)| world.tag(id, &tags))?;
            Ok("<return>true</return>".into())
        }
        "GetCallerIdentity" => Ok(format!("<GetCallerIdentityResult><Account>{ACCOUNT}</Account></GetCallerIdentityResult>")),
        "DescribeRegions" => Ok("<regionInfo><item><regionName>us-east-1</regionName></item></regionInfo>".into()),
        "GetConsoleOutput" => {
            let output = base64::engine::general_purpose::STANDARD.encode(&world.console);
            Ok(format!("<instanceId>{}</instanceId><output>{output}</output>", get("InstanceId")))
        }
        _ => refuse("InvalidAction", format!("The action {action} is not valid for this web service.")),
    }
}

/// The values of a filter, if it is given.
fn filter(params: &Params, name: &str) -> Result<Option<Vec<String>>, Refused> {
    let Some((at, _)) = list(params, "Filter", "Name").into_iter().find(|(_, n)| n == name) else { return Ok(None) };
    let values: Vec<String> = list(params, &format!("{at}.Value"), "").into_iter().map(|(_, v)| v).collect();
    if values.len() > MOST_VALUES {
        return refuse("FilterLimitExceeded", format!("The maximum number of filter values specified on a single call is {MOST_VALUES}"));
    }
    Ok(Some(values))
}

fn describe(world: &World, params: &Params) -> Result<String, Refused> {
    let (ids, states) = (filter(params, "instance-id")?, filter(params, "instance-state-name")?);
    let mut tags = Vec::new();
    for (_, name) in list(params, "Filter", "Name") {
        if let Some(tag) = name.strip_prefix("tag:") {
            tags.push((tag.to_owned(), filter(params, &name)?.unwrap_or_default()));
        } else if !["instance-id", "instance-state-name"].contains(&name.as_str()) {
            return refuse("InvalidParameterValue", format!("The filter '{name}' is invalid"));
        }
    }
    let named = list(params, "InstanceId", "");
    for (_, id) in &named {
        if world.visible().all(|i| i.id != *id) {
            return refuse("InvalidInstanceID.NotFound", format!("The instance ID '{id}' does not exist"));
        }
    }
    let fits = |i: &&Instance| {
        ids.as_ref().is_none_or(|ids| ids.contains(&i.id))
            && states.as_ref().is_none_or(|states| states.iter().any(|s| s == world.state(i)))
            && tags.iter().all(|(key, values)| i.tags.get(key).is_some_and(|v| values.contains(v)))
            && (named.is_empty() || named.iter().any(|(_, id)| *id == i.id))
    };
    let all: Vec<&Instance> = world.visible().filter(fits).collect();
    let (some, next) = page(&all, params, world.page)?;
    let items: String = some
        .iter()
        .map(|i| format!("<item><ownerId>{ACCOUNT}</ownerId><instancesSet>{}</instancesSet></item>", instance(world, i)))
        .collect();
    Ok(format!("<reservationSet>{items}</reservationSet>{next}"))
}

fn images(world: &World, params: &Params) -> Result<String, Refused> {
    let states = filter(params, "state")?;
    let owners: Vec<String> = list(params, "Owner", "").into_iter().map(|(_, o)| o).collect();
    let ids: Vec<String> = list(params, "ImageId", "").into_iter().map(|(_, i)| i).collect();
    if let Some(id) = ids.iter().find(|id| world.images.iter().all(|i| i.id != **id)) {
        return refuse("InvalidAMIID.NotFound", format!("The image id '[{id}]' does not exist"));
    }
    let all: Vec<_> = world
        .images
        .iter()
        .filter(|i| states.as_ref().is_none_or(|s| s.iter().any(|s| s == i.state)))
        .filter(|i| owners.is_empty() || owners.contains(&i.owner))
        .filter(|i| ids.is_empty() || ids.contains(&i.id))
        .collect();
    // Without a size everything comes in one answer.
    let most = if params.contains_key("MaxResults") { world.image_page } else { usize::MAX };
    let (some, next) = page(&all, params, most)?;
    let mut items = String::new();
    for i in some {
        let (id, location, state, owner, deleted) = (&i.id, text(&i.location), i.state, &i.owner, !i.keeps_root);
        let _ = write!(
            items,
            "<item><imageId>{id}</imageId><imageLocation>{location}</imageLocation><imageState>{state}</imageState>\
             <imageOwnerId>{owner}</imageOwnerId><rootDeviceName>/dev/sda1</rootDeviceName><blockDeviceMapping><item>\
             <deviceName>/dev/sda1</deviceName><ebs><deleteOnTermination>{deleted}</deleteOnTermination>\
             <volumeSize>8</volumeSize></ebs></item></blockDeviceMapping></item>"
        );
    }
    Ok(format!("<imagesSet>{items}</imagesSet>{next}"))
}

/// The page that is asked for, and the element that tells of the next.
fn page<'a, T>(all: &'a [T], params: &Params, most: usize) -> Result<(&'a [T], String), Refused> {
    let asked = params.get("MaxResults").and_then(|n| n.parse().ok()).unwrap_or(usize::MAX);
    let (number, from) = match params.get("NextToken") {
        None => (1, 0),
        Some(token) => match token.split_once('-').and_then(|(n, from)| Some((n.parse::<u64>().ok()?, from.parse::<usize>().ok()?))) {
            Some(at) => at,
            None => return refuse("InvalidNextToken", "no such page"),
        },
    };
    let from = from.min(all.len());
    let to = from.saturating_add(most.min(asked)).min(all.len());
    let next = if to < all.len() { format!("<nextToken>{}-{to}</nextToken>", number + 1) } else { String::new() };
    Ok((&all[from..to], next))
}

fn instance(world: &World, i: &Instance) -> String {
    let tags: String = i.tags.iter().map(|(k, v)| format!("<item><key>{}</key><value>{}</value></item>", text(k), text(v))).collect();
    let reason = i.ended.as_ref().map(|(_, why)| {
        let code = why.split(':').next().unwrap_or_default();
        format!("<stateReason><code>{}</code><message>{}</message></stateReason>", text(code), text(why))
    });
    format!(
        "<item><instanceId>{}</instanceId><instanceState><code>0</code><name>{}</name></instanceState>\
         <imageId>{}</imageId><tagSet>{tags}</tagSet>{}</item>",
        i.id,
        world.state(i),
        text(i.params.get("ImageId").map_or("", String::as_str)),
        reason.unwrap_or_default()
    )
}

fn text(plain: &str) -> String {
    plain.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
