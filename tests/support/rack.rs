//! A rack of the test's own: an HTTP server whose units are started, listed and switched off, each with what really runs on it. It
//! writes down every call and which units are on; a master that is killed does not touch it.

use std::any::Any;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

/// What runs on a unit; it dies when it is dropped.
pub type Machine = Box<dyn Any + Send>;
type Boot = Arc<dyn Fn(&str, &str) -> Machine + Send + Sync>;

#[derive(Default)]
struct State {
    units: Vec<Unit>,
    calls: Vec<String>,
    high_water: usize,
}

struct Unit {
    id: String,
    name: String,
    launch: String,
    owner: String,
    machine: Option<Machine>,
    on: bool,
}

pub struct Rack {
    pub port: u16,
    state: Arc<Mutex<State>>,
    boot: Arc<Mutex<Option<Boot>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Rack {
    pub fn start() -> Rack {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let rack =
            Rack { port: listener.local_addr().expect("an address").port(), state: Arc::default(), boot: Arc::new(Mutex::new(None)) };
        let (state, boot) = (Arc::downgrade(&rack.state), rack.boot.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Some(state) = state.upgrade() else { return };
                let boot = boot.clone();
                std::thread::spawn(move || {
                    let _ = serve(stream, &state, &boot);
                });
            }
        });
        rack
    }

    /// Called with name and password for each unit that is switched on.
    pub fn machines(&self, boot: impl Fn(&str, &str) -> Machine + Send + Sync + 'static) {
        *lock(&self.boot) = Some(Arc::new(boot));
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The ids of the units that are on.
    pub fn live(&self) -> Vec<String> {
        lock(&self.state).units.iter().filter(|u| u.on).map(|u| u.id.clone()).collect()
    }

    pub fn high_water(&self) -> usize {
        lock(&self.state).high_water
    }

    /// `POST /boot` and so on, of this beginning.
    pub fn calls(&self, beginning: &str) -> Vec<String> {
        lock(&self.state).calls.iter().filter(|c| c.starts_with(beginning)).cloned().collect()
    }

    /// A unit that somebody else switched on.
    pub fn add(&self, launch: &str, owner: &str) -> String {
        let mut state = lock(&self.state);
        let id = format!("u{}", state.units.len() + 1);
        let (name, launch, owner) = ("stray".to_owned(), launch.to_owned(), owner.to_owned());
        state.units.push(Unit { id: id.clone(), name, launch, owner, machine: None, on: true });
        id
    }

    /// Whose mark a unit carries.
    pub fn owner(&self, id: &str) -> String {
        lock(&self.state).units.iter().find(|u| u.id == id).map(|u| u.owner.clone()).expect("the unit")
    }

    pub fn wait_live(&self, count: usize) {
        super::wait_for(&format!("{count} units are on"), || (self.live().len() == count).then_some(()));
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>, boot: &Mutex<Option<Boot>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(n) = line.strip_prefix("content-length:") {
            length = n.trim().parse().unwrap_or(0);
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut words = first.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (status, answer) = answer(method, path, &body, state, boot);
    let text = answer.to_string();
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    )
}

fn answer(method: &str, path: &str, body: &Value, rack: &Mutex<State>, boot: &Mutex<Option<Boot>>) -> (u16, Value) {
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    lock(rack).calls.push(format!("{method} {path}"));
    match (method, path.split('?').next().unwrap_or_default().trim_start_matches('/').split('/').collect::<Vec<_>>().as_slice()) {
        ("POST", ["boot"]) => {
            let mut state = lock(rack);
            if let Some(unit) = state.units.iter().find(|u| u.on && u.launch == text("launch_id")) {
                return (200, json!({ "id": unit.id }));
            }
            let id = format!("u{}", state.units.len() + 1);
            let unit =
                Unit { id: id.clone(), name: text("name"), launch: text("launch_id"), owner: text("owner"), machine: None, on: true };
            state.units.push(unit);
            state.high_water = state.high_water.max(state.units.iter().filter(|u| u.on).count());
            drop(state);
            // A machine takes its time to come up.
            let (boot, name, password) = (lock(boot).clone(), text("name"), text("password"));
            let machine = boot.map(|boot| boot(&name, &password));
            if let Some(unit) = lock(rack).units.iter_mut().find(|u| u.id == id && u.on) {
                unit.machine = machine;
            }
            (201, json!({ "id": id }))
        }
        ("DELETE", ["units", id]) => {
            let mut state = lock(rack);
            let Some(unit) = state.units.iter_mut().find(|u| u.id == *id && u.on) else { return (404, json!({})) };
            unit.on = false;
            let machine = unit.machine.take();
            drop(state);
            drop(machine);
            (204, Value::Null)
        }
        ("GET", ["units", id]) => match lock(rack).units.iter().find(|u| u.id == *id && u.on) {
            Some(unit) => (200, json!({ "id": unit.id, "name": unit.name })),
            None => (404, json!({})),
        },
        ("GET", ["units"]) => {
            let owner = path.split("owner=").nth(1).unwrap_or_default();
            let state = lock(rack);
            let ours = state.units.iter().filter(|u| u.on && u.owner == owner);
            (200, ours.map(|u| json!({ "handle": u.id, "launch_id": u.launch })).collect())
        }
        _ => (404, json!({})),
    }
}
