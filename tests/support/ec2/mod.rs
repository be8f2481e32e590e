//! An EC2 of the test's own: an HTTP server in the test's process that speaks the Query protocol, does what it is told to do wrong,
//! writes down every call and keeps the bill. Instances can be real processes; a master that is killed does not touch it.
//!
//! Knows nothing of Buildmoon. What there is and how it changes is in [`world`], how it is asked and answers in [`protocol`].

pub mod faults;
mod protocol;
pub mod world;

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant as Moment};

pub use faults::{Act, When};
use world::World;
pub use world::{Bill, Image, Instance};

/// What runs on an instance; it dies when it is dropped.
pub type Machine = Box<dyn Any + Send>;
type Boot = Arc<dyn Fn(&Instance) -> Machine + Send + Sync>;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Call {
    /// Since the server started.
    pub at: Duration,
    pub action: String,
    pub params: BTreeMap<String, String>,
    /// The header `Authorization`.
    pub signed: String,
    /// `ok`, the code of the error, `cut`, or empty while it is not answered.
    pub outcome: String,
}

pub struct FakeEc2 {
    pub port: u16,
    world: Arc<Mutex<World>>,
    boot: Arc<Mutex<Option<Boot>>>,
    over: Arc<AtomicBool>,
    keeper: Option<std::thread::JoinHandle<()>>,
    server: Option<tokio::runtime::Runtime>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl FakeEc2 {
    pub fn start() -> FakeEc2 {
        let server = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let world = Arc::new(Mutex::new(World::new()));
        let listener = server.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let port = listener.local_addr().expect("its address").port();
        server.spawn(protocol::serve(listener, world.clone()));
        let mut fake = FakeEc2 { port, world, boot: Arc::default(), over: Arc::default(), keeper: None, server: Some(server) };
        fake.keeper = Some(fake.keep_time());
        fake
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Boots machines and ends them, when their time has come.
    fn keep_time(&self) -> std::thread::JoinHandle<()> {
        let (world, boot, over) = (self.world.clone(), self.boot.clone(), self.over.clone());
        std::thread::spawn(move || {
            let mut machines: BTreeMap<String, Machine> = BTreeMap::new();
            let mut ends = Vec::new();
            while !over.load(Ordering::SeqCst) {
                let running = {
                    let mut world = lock(&world);
                    world.settle();
                    world.running()
                };
                // Each in a thread of its own: an orderly end takes time.
                let ended: Vec<String> = machines.keys().filter(|id| running.iter().all(|i| i.id != **id)).cloned().collect();
                for machine in ended.iter().filter_map(|id| machines.remove(id)) {
                    ends.push(std::thread::spawn(move || drop(machine)));
                }
                let boot = lock(&boot).clone();
                if let Some(boot) = boot {
                    for instance in running {
                        machines.entry(instance.id.clone()).or_insert_with(|| boot(&instance));
                    }
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            ends.extend(machines.into_values().map(|machine| std::thread::spawn(move || drop(machine))));
            for end in ends {
                let _ = end.join();
            }
        })
    }

    /// What is started on every instance once it runs.
    pub fn machines(&self, boot: impl Fn(&Instance) -> Machine + Send + Sync + 'static) {
        *lock(&self.boot) = Some(Arc::new(boot));
    }

    /// From now on nothing is booted.
    pub fn boots_nothing(&self) {
        *lock(&self.boot) = None;
    }

    /// A look at the state, or a change of it.
    pub fn with<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        let mut world = lock(&self.world);
        world.settle();
        look(&mut world)
    }

    /// From now on calls of this action (`*`: of any) go wrong, as `when` counts them.
    pub fn fault(&self, on: &str, when: When, act: Act) {
        self.with(|w| w.faults.add(on, when, act));
    }

    pub fn no_faults(&self) {
        self.with(|w| w.faults.clear());
    }

    pub fn calls(&self, action: &str) -> Vec<Call> {
        self.with(|w| w.journal.iter().filter(|c| c.action == action).cloned().collect())
    }

    /// The calls that name this instance, volume or whatever else.
    pub fn calls_naming(&self, id: &str) -> Vec<Call> {
        self.with(|w| w.journal.iter().filter(|c| c.params.values().any(|v| v == id)).cloned().collect())
    }

    /// Instances that cost something now.
    pub fn live(&self) -> Vec<Instance> {
        self.with(|w| w.instances.iter().filter(|i| i.lives()).cloned().collect())
    }

    /// The most that ever lived at one time.
    pub fn high_water(&self) -> usize {
        self.with(|w| w.high_water)
    }

    /// An instance ends by itself, or the provider ends it.
    pub fn kill(&self, id: &str, reason: &str) {
        self.with(|w| w.end(id, reason));
    }

    pub fn bill(&self) -> Bill {
        self.with(|w| w.bill())
    }

    /// Nothing that was started for the master costs anything any more: soon, and a day later.
    pub fn assert_bill_stops(&self) {
        let end = Moment::now() + crate::support::DEADLINE;
        loop {
            let costs = self.with(|w| w.costs());
            if costs.is_empty() {
                break;
            }
            assert!(Moment::now() < end, "the bill does not stop: {costs:?}\n{}", self.story());
            std::thread::sleep(Duration::from_millis(20));
        }
        let bill = self.bill();
        self.with(|w| w.ahead += Duration::from_secs(24 * 3600));
        assert_eq!(self.bill(), bill, "the bill goes on\n{}", self.story());
    }

    /// The journal for people: the last calls.
    pub fn story(&self) -> String {
        self.with(|w| {
            let from = w.journal.len().saturating_sub(60);
            let line = |c: &Call| {
                let of_interest = ["ClientToken", "InstanceId", "InstanceId.1", "NextToken", "Filter.1.Value.1"];
                let what: Vec<&str> = of_interest.iter().filter_map(|k| c.params.get(*k)).map(String::as_str).collect();
                format!("{:>9.3} {} {} -> {}\n", c.at.as_secs_f64(), c.action, what.join(" "), c.outcome)
            };
            w.journal[from..].iter().map(line).collect()
        })
    }
}

impl Drop for FakeEc2 {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // No process is left behind.
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
        if let Some(server) = self.server.take() {
            server.shutdown_background();
        }
    }
}
