//! A cloud of the test's own: answers as Keystone, Nova, Glance and Neutron do, with the shapes of their public API references. Servers take
//! their time to build and to go away, lists come in pages, tokens end, answers are lost, servers fail. What runs on a server is started
//! from its user data, as cloud-init would. A master that is killed does not touch it.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

/// What runs on a server; it dies when it is dropped.
pub type Machine = Box<dyn Any + Send>;
type Boot = Arc<dyn Fn(&str) -> Machine + Send + Sync>;

pub const IMAGE: &str = "70a599e0-31e7-49b7-b260-868f441e862b";
const PROJECT: &str = "6f70656e737461636b20342065766572";
/// The most that Nova gives in one page.
const PAGE: usize = 2;

/// What goes wrong with the next request of that kind.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It is refused, and nothing is done.
    Status(u16, Value),
    /// It is done, and nobody hears of it.
    LostAnswer,
    /// The server that it makes ends in ERROR, for this reason.
    Error(&'static str),
}

struct Server {
    id: String,
    name: String,
    metadata: Value,
    request: Value,
    active_at: Instant,
    /// Told to go away: then it is gone.
    gone_at: Option<Instant>,
    fault: Option<&'static str>,
    machine: Option<Machine>,
    booted: bool,
}

impl Server {
    fn is_there(&self) -> bool {
        self.gone_at.is_none_or(|at| Instant::now() < at)
    }

    fn status(&self) -> &'static str {
        match (self.fault, Instant::now() >= self.active_at) {
            (_, false) => "BUILD",
            (Some(_), true) => "ERROR",
            (None, true) => "ACTIVE",
        }
    }

    fn json(&self) -> Value {
        let mut server = json!({
            "id": self.id, "name": self.name, "status": self.status(), "tenant_id": PROJECT, "user_id": "fake", "metadata": self.metadata,
            "created": "2026-09-03T04:01:32Z", "updated": "2026-09-03T04:01:33Z", "hostId": "92154fab69d5883ba2c8622b7e65f745",
            "addresses": { "private": [{ "addr": "192.168.0.3", "OS-EXT-IPS:type": "fixed", "version": 4 }] }, "key_name": null,
            "OS-EXT-STS:task_state": if self.gone_at.is_some() { json!("deleting") } else { Value::Null },
            "links": [{ "href": format!("http://openstack.example.com/v2.1/servers/{}", self.id), "rel": "self" }],
        });
        if let (Some(fault), "ERROR") = (self.fault, self.status()) {
            server["fault"] = json!({ "code": 500, "created": "2026-09-03T04:01:33Z", "message": fault });
        }
        server
    }
}

#[derive(Default)]
struct State {
    servers: Vec<Server>,
    tokens: Vec<String>,
    logins: usize,
    calls: Vec<String>,
    faults: BTreeMap<&'static str, VecDeque<Fault>>,
    high_water: usize,
    build_time: Duration,
    delete_time: Duration,
}

impl State {
    fn live(&self) -> usize {
        self.servers.iter().filter(|s| s.is_there()).count()
    }
}

pub struct Cloud {
    pub port: u16,
    state: Arc<Mutex<State>>,
    boot: Arc<Mutex<Option<Boot>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Cloud {
    pub fn start() -> Cloud {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let cloud = Cloud { port, state: Arc::default(), boot: Arc::default() };
        cloud.takes(Duration::from_millis(300), Duration::from_millis(300));
        let (state, boot) = (Arc::downgrade(&cloud.state), cloud.boot.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Some(state) = state.upgrade() else { return };
                let boot = boot.clone();
                std::thread::spawn(move || {
                    let _ = serve(stream, port, &state, &boot);
                });
            }
        });
        cloud
    }

    /// How long servers build, and how long they take to go away.
    pub fn takes(&self, build: Duration, delete: Duration) {
        let mut state = lock(&self.state);
        (state.build_time, state.delete_time) = (build, delete);
    }

    /// Called with the user data of each server that runs.
    pub fn machines(&self, boot: impl Fn(&str) -> Machine + Send + Sync + 'static) {
        *lock(&self.boot) = Some(Arc::new(boot));
    }

    pub fn auth_url(&self) -> String {
        format!("http://127.0.0.1:{}/identity/v3", self.port)
    }

    /// The next requests of that kind (`POST /servers`) go wrong like that.
    pub fn fault(&self, what: &'static str, fault: Fault) {
        lock(&self.state).faults.entry(what).or_default().push_back(fault);
    }

    /// All tokens end.
    pub fn end_tokens(&self) {
        lock(&self.state).tokens.clear();
    }

    pub fn live(&self) -> usize {
        lock(&self.state).live()
    }

    pub fn high_water(&self) -> usize {
        lock(&self.state).high_water
    }

    pub fn logins(&self) -> usize {
        lock(&self.state).logins
    }

    pub fn calls(&self, beginning: &str) -> usize {
        lock(&self.state).calls.iter().filter(|c| c.starts_with(beginning)).count()
    }

    /// What Nova was asked for, of each server that it made.
    pub fn requests(&self) -> Vec<Value> {
        lock(&self.state).servers.iter().map(|s| s.request.clone()).collect()
    }

    /// A server that somebody else made.
    pub fn add(&self, metadata: Value) {
        let mut state = lock(&self.state);
        let server = new_server(&state, json!({ "name": "stray", "metadata": metadata }), None);
        state.servers.push(server);
    }

    pub fn wait_live(&self, count: usize) {
        super::wait_for(&format!("{count} servers"), || (self.live() == count).then_some(()));
    }
}

fn new_server(state: &State, request: Value, fault: Option<&'static str>) -> Server {
    Server {
        id: format!("{:08x}-6804-445a-a6d8-c705dad5b5eb", state.servers.len() + 1),
        name: request["name"].as_str().unwrap_or_default().to_owned(),
        metadata: request["metadata"].clone(),
        request,
        active_at: Instant::now() + state.build_time,
        gone_at: None,
        fault,
        machine: None,
        booted: false,
    }
}

struct Request {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    token: String,
    body: Value,
}

fn read(stream: &TcpStream) -> std::io::Result<Request> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let (mut length, mut token) = (0, String::new());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap_or(0),
            "x-auth-token" => token = value.to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut words = first.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default());
    let address = url::Url::parse(&format!("http://x{target}")).map_err(std::io::Error::other)?;
    let query = address.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    Ok(Request { method, path: address.path().to_owned(), query, token, body: serde_json::from_slice(&body).unwrap_or_default() })
}

struct Answer {
    status: u16,
    body: Value,
    headers: String,
}

fn says(status: u16, body: Value) -> Answer {
    Answer { status, body, headers: String::new() }
}

fn error(status: u16, kind: &str, message: &str) -> Answer {
    let mut body = json!({});
    body[kind] = json!({ "code": status, "message": message });
    says(status, body)
}

fn serve(stream: TcpStream, port: u16, state: &Arc<Mutex<State>>, boot: &Arc<Mutex<Option<Boot>>>) -> std::io::Result<()> {
    let request = read(&stream)?;
    let service = request.path.trim_start_matches("/compute/v2.1").to_owned();
    let kind = format!("{} {}", request.method, service);
    let fault = {
        let mut state = lock(state);
        state.calls.push(kind.clone());
        let known = state.faults.keys().find(|known| kind.starts_with(**known)).copied();
        known.and_then(|known| state.faults.get_mut(known)).and_then(VecDeque::pop_front)
    };
    let answer = match &fault {
        Some(Fault::Status(status, body)) => says(*status, body.clone()),
        other => answer(&request, port, state, boot, if let Some(Fault::Error(why)) = other { Some(why) } else { None }),
    };
    if matches!(fault, Some(Fault::LostAnswer)) {
        return Ok(());
    }
    let text = if answer.body.is_null() { String::new() } else { answer.body.to_string() };
    let Answer { status, headers, .. } = answer;
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    )
}

fn login(request: &Request, port: u16, state: &mut State) -> Answer {
    let user = &request.body["auth"]["identity"]["password"]["user"];
    let good = user["name"] == "ci" && user["password"] == "cloud-password" && user["domain"]["id"] == "default";
    let project = &request.body["auth"]["scope"]["project"];
    if !good || project["name"] != "builds" {
        let message = "The request you have made requires authentication.";
        return says(401, json!({ "error": { "code": 401, "title": "Unauthorized", "message": message } }));
    }
    state.logins += 1;
    let token = format!("gAAAAAB-{}", state.logins);
    state.tokens.push(token.clone());
    let endpoint = |path: &str| {
        json!([
            { "id": "a", "interface": "admin", "region": "RegionOne", "region_id": "RegionOne", "url": format!("http://127.0.0.1:1{path}") },
            { "id": "p", "interface": "public", "region": "RegionOne", "region_id": "RegionOne", "url": format!("http://127.0.0.1:{port}{path}") },
        ])
    };
    let catalog = json!([
        { "id": "k", "type": "identity", "name": "keystone", "endpoints": endpoint("/identity") },
        { "id": "n", "type": "compute", "name": "nova", "endpoints": endpoint("/compute/v2.1") },
        { "id": "g", "type": "image", "name": "glance", "endpoints": endpoint("/image") },
        { "id": "q", "type": "network", "name": "neutron", "endpoints": endpoint("/network/") },
    ]);
    let body = json!({ "token": {
        "methods": ["password"], "expires_at": "2099-11-07T02:58:43.578887Z", "issued_at": "2026-11-07T01:58:43.578929Z", "catalog": catalog,
        "user": { "domain": { "id": "default", "name": "Default" }, "id": "ee4dfb6e5540447cb3741905149d9b6e", "name": "ci" },
        "project": { "id": PROJECT, "name": "builds", "domain": { "id": "default", "name": "Default" } },
        "audit_ids": ["3T2dc1CGQxyJsHdDu1xkcw"], "roles": [{ "id": "51cc68287d524c759f47c811e6463340", "name": "member" }],
    } });
    Answer { status: 201, body, headers: format!("X-Subject-Token: {token}\r\n") }
}

/// A page of a list of Nova, with the link to the next one.
fn page(name: &str, all: &[Value], query: &BTreeMap<String, String>) -> Answer {
    let start = match query.get("marker") {
        None => 0,
        Some(marker) => match all.iter().position(|item| item["id"] == marker.as_str()) {
            Some(at) => at + 1,
            None => return error(400, "badRequest", &format!("marker [{marker}] not found")),
        },
    };
    let limit = query.get("limit").and_then(|l| l.parse().ok()).unwrap_or(1000).min(PAGE);
    let items: Vec<Value> = all.iter().skip(start).take(limit).cloned().collect();
    let mut body = json!({});
    if start + items.len() < all.len() {
        let marker = items.last().map(|item| item["id"].as_str().unwrap_or_default()).unwrap_or_default();
        body[format!("{name}_links")] =
            json!([{ "rel": "next", "href": format!("http://openstack.example.com/v2.1/{name}?limit={limit}&marker={marker}") }]);
    }
    body[name] = items.into();
    says(200, body)
}

fn answer(
    request: &Request,
    port: u16,
    shared: &Arc<Mutex<State>>,
    boot: &Arc<Mutex<Option<Boot>>>,
    fault: Option<&'static str>,
) -> Answer {
    let mut state = lock(shared);
    let parts: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    if request.method == "POST" && parts == ["identity", "v3", "auth", "tokens"] {
        return login(request, port, &mut state);
    }
    if !state.tokens.contains(&request.token) {
        return says(
            401,
            json!({ "error": { "code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication." } }),
        );
    }
    let flavors =
        [json!({ "id": "1", "name": "m1.tiny" }), json!({ "id": "2", "name": "m1.small" }), json!({ "id": "3", "name": "m1.medium" })];
    match (request.method.as_str(), parts.as_slice()) {
        ("GET", ["compute", "v2.1", "flavors"]) => page("flavors", &flavors, &request.query),
        ("GET", ["compute", "v2.1", "flavors", id]) => match flavors.iter().find(|f| f["id"] == *id) {
            Some(flavor) => says(200, json!({ "flavor": flavor })),
            None => error(404, "itemNotFound", &format!("Flavor {id} could not be found.")),
        },
        ("GET", ["image", "v2", "images"]) => {
            let image = json!({ "id": IMAGE, "name": "debian-13", "status": "active", "created_at": "2026-01-07T17:07:06Z", "size": 13167616, "min_disk": 0 });
            let found = request.query.get("name").is_none_or(|name| name == "debian-13");
            says(200, json!({ "images": if found { vec![image] } else { vec![] }, "schema": "/v2/schemas/images", "first": "/v2/images" }))
        }
        ("GET", ["compute", "v2.1", "servers", "detail"]) => {
            // A name is a regular expression; these tests look for whole names.
            let name = request.query.get("name").map(|n| n.trim_start_matches('^').trim_end_matches('$').replace('\\', ""));
            let all: Vec<Value> =
                state.servers.iter().filter(|s| s.is_there() && name.as_ref().is_none_or(|n| s.name == *n)).map(Server::json).collect();
            page("servers", &all, &request.query)
        }
        ("GET", ["compute", "v2.1", "servers", id]) => match state.servers.iter().find(|s| s.id == *id && s.is_there()) {
            Some(server) => says(200, json!({ "server": server.json() })),
            None => error(404, "itemNotFound", &format!("Instance {id} could not be found.")),
        },
        ("DELETE", ["compute", "v2.1", "servers", id]) => {
            let delete_time = state.delete_time;
            let Some(server) = state.servers.iter_mut().find(|s| s.id == *id && s.is_there()) else {
                return error(404, "itemNotFound", &format!("Instance {id} could not be found."));
            };
            server.gone_at.get_or_insert(Instant::now() + delete_time);
            let machine = server.machine.take();
            drop(state);
            drop(machine);
            says(204, Value::Null)
        }
        ("POST", ["compute", "v2.1", "servers"]) => {
            let wanted = request.body["server"].clone();
            if wanted["flavorRef"] != "2" || wanted["imageRef"] != IMAGE {
                return error(400, "badRequest", "Can not find requested image or flavor.");
            }
            let server = new_server(&state, wanted, fault);
            let (id, data) = (server.id.clone(), server.request["user_data"].as_str().unwrap_or_default().to_owned());
            state.servers.push(server);
            state.high_water = state.high_water.max(state.live());
            let build_time = state.build_time;
            drop(state);
            if fault.is_none() {
                let (shared, boot, id) = (Arc::downgrade(shared), boot.clone(), id.clone());
                std::thread::spawn(move || {
                    std::thread::sleep(build_time);
                    let data = BASE64_STANDARD.decode(data).unwrap_or_default();
                    let Some(boot) = lock(&boot).clone() else { return };
                    let machine = boot(&String::from_utf8_lossy(&data));
                    let Some(shared) = shared.upgrade() else { return };
                    let mut state = lock(&shared);
                    if let Some(server) = state.servers.iter_mut().find(|s| s.id == id && s.gone_at.is_none()) {
                        server.machine = Some(machine);
                        server.booted = true;
                    }
                });
            }
            says(
                202,
                json!({ "server": { "OS-DCF:diskConfig": "AUTO", "adminPass": "6NpUwoz2QDRN", "id": id, "links": [], "security_groups": [{ "name": "default" }] } }),
            )
        }
        _ => error(404, "itemNotFound", "The resource could not be found."),
    }
}
