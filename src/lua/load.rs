//! From a file to a configuration: a fresh state on a thread of its own evaluates `master.lua`, its values are read when it has
//! ended, `config` makes sense of them. All mistakes come together; a failed load leaves nothing behind.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use mlua::{Table as LuaTable, Value as LuaValue};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::convert::Reader;
use super::exposed::exposed;
use super::failure::Caught;
use super::generation::{self, Generation};
use super::host::{Host, Ports, ReadFile};
use super::modules;
use super::outside::OutsideWorld;
use super::scan;
use super::steps::StepJob;
use super::surroundings::Surroundings;
use super::vm::Vm;
use super::watch::Watch;
use crate::base::duration::human;
use crate::config::assemble::assemble;
use crate::config::{MasterConfig, Mistake, Object, Place, SaidAt, Table};

/// What a file that took all its time has for its end, so that its other mistakes are told as well.
const TIME_TO_FINISH: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// `master.lua`, or the folder it is in.
    pub path: PathBuf,
    /// For the evaluation as a whole.
    pub timeout: Duration,
    /// `checkconfig`: the file is told, so that it changes nothing.
    pub checking: bool,
}

impl LoadOptions {
    pub fn new(path: impl Into<PathBuf>) -> LoadOptions {
        LoadOptions { path: path.into(), timeout: Duration::from_secs(600), checking: false }
    }
}

#[derive(Debug)]
pub struct Loaded {
    pub config: Arc<MasterConfig>,
    pub generation: Arc<Generation>,
    /// Every file that the configuration was made of.
    pub files: Vec<ReadFile>,
}

/// A configuration that was evaluated for a person to read about.
#[derive(Debug)]
pub struct Checked {
    pub outcome: Result<Loaded, Vec<Mistake>>,
    /// Told by a file that has mistakes, too; those of a good one are in its configuration.
    pub warnings: Vec<Mistake>,
    pub surroundings: Surroundings,
}

/// What goes with an evaluation.
#[derive(Clone, Default)]
struct Beside {
    /// What it leaves for [`Checked`], however it ends.
    told: Arc<OnceLock<(Vec<Mistake>, Surroundings)>>,
    world: Option<Arc<OutsideWorld>>,
}

type Outcome = Result<(MasterConfig, Vec<ReadFile>, Ports), Vec<Mistake>>;

/// Makes sense of the values: `config`'s part, or a test's.
pub(super) type Understand = Box<dyn FnOnce(&Table, &Place, &[Arc<Object>], SaidAt) -> Result<MasterConfig, Vec<Mistake>> + Send>;

/// Evaluate a configuration. Dropping the future ends the evaluation.
pub async fn load(options: LoadOptions) -> Result<Loaded, Vec<Mistake>> {
    load_with(options, Box::new(assemble)).await
}

/// The same, with what is shown beside mistakes.
pub async fn check(options: LoadOptions) -> Checked {
    check_beside(options, Beside::default()).await
}

/// The same in a world whose answers somebody else decides on, then and later.
pub async fn load_within(options: LoadOptions, world: Arc<OutsideWorld>) -> Checked {
    check_beside(options, Beside { world: Some(world), ..Beside::default() }).await
}

async fn check_beside(options: LoadOptions, beside: Beside) -> Checked {
    let outcome = load_beside(options, Box::new(assemble), beside.clone()).await;
    let (warnings, surroundings) = beside.told.get().cloned().unwrap_or_default();
    Checked { outcome, warnings, surroundings }
}

pub(super) async fn load_with(options: LoadOptions, understand: Understand) -> Result<Loaded, Vec<Mistake>> {
    load_beside(options, understand, Beside::default()).await
}

async fn load_beside(options: LoadOptions, understand: Understand, beside: Beside) -> Result<Loaded, Vec<Mistake>> {
    // Only names threads and generations apart in logs.
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let shown = options.path.display().to_string();
    let broken = |text: String| vec![Mistake { place: at_file(&shown), subject: String::new(), text }];

    let folder = locate(&options.path).map(|(_, folder)| folder).unwrap_or_default();
    let watch = Watch::new();
    Watch::guard(&watch, format!("lua-watch-{number}")).map_err(|e| broken(format!("no thread could be started: {e}")))?;
    let (jobs, queue) = generation::channel();
    let (steps, step_queue) = mpsc::unbounded_channel();
    let thread_steps = steps.downgrade();
    let (done, outcome) = oneshot::channel::<Outcome>();
    let thread_watch = watch.clone();
    let main = Handle::current();
    std::thread::Builder::new()
        .name(format!("lua-gen-{number}"))
        .spawn(move || thread(options, understand, beside, (thread_watch, main), done, (queue, thread_steps, step_queue)))
        .map_err(|e| broken(format!("no thread could be started: {e}")))?;
    let (config, files, ports) = tokio::select! {
        biased;
        outcome = outcome => outcome.unwrap_or_else(|_| Err(broken("the Lua thread ended without an answer".into())))?,
        () = watch.stuck() => return Err(broken("the evaluation is held by a single library call and can't be stopped".into())),
    };
    let generation = Arc::new(Generation::new(number, jobs, steps, watch, config.limits.clone(), folder, ports));
    Ok(Loaded { config: Arc::new(config), generation, files })
}

fn at_file(file: &str) -> Place {
    Place { file: file.into(), line: 0, from: Vec::new() }
}

/// What is asked of the thread: calls of functions, and of steps with the way back for what they leave behind.
type Queues = (mpsc::Receiver<generation::Job>, mpsc::WeakUnboundedSender<StepJob>, mpsc::UnboundedReceiver<StepJob>);

/// The whole life of a generation's thread.
fn thread(
    options: LoadOptions,
    understand: Understand,
    beside: Beside,
    outside: (Arc<Watch>, Handle),
    mut done: oneshot::Sender<Outcome>,
    (queue, steps, step_queue): Queues,
) {
    let shown = options.path.display().to_string();
    let broken = |text: String| Err(vec![Mistake { place: at_file(&shown), subject: String::new(), text }]);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            let _ = done.send(broken(format!("no Lua thread: {e}")));
            return;
        }
    };
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        let evaluated = tokio::select! {
            biased;
            () = done.closed() => return,
            evaluated = evaluate(&options, understand, beside, outside) => evaluated,
        };
        let (vm, outcome) = match evaluated {
            Ok(good) => good,
            Err(mistakes) => {
                let _ = done.send(Err(mistakes));
                return;
            }
        };
        vm.host.stretch.set(outcome.0.limits.step_stretch);
        if done.send(Ok(outcome)).is_ok() {
            vm.set_step_jobs(steps);
            tokio::task::spawn_local(super::steps::serve(vm.clone(), step_queue));
            generation::serve(vm, queue).await;
        }
    });
}

/// The configuration's file and folder.
pub(super) fn locate(path: &Path) -> Result<(PathBuf, PathBuf), String> {
    let file = if path.is_dir() { path.join("master.lua") } else { path.to_owned() };
    let file = file.canonicalize().map_err(|e| format!("{}: {e}", file.display()))?;
    let folder = file.parent().map(Path::to_owned).ok_or("has no folder")?;
    Ok((file, folder))
}

async fn evaluate(
    options: &LoadOptions,
    understand: Understand,
    beside: Beside,
    (watch, main): (Arc<Watch>, Handle),
) -> Result<(Rc<Vm>, (MasterConfig, Vec<ReadFile>, Ports)), Vec<Mistake>> {
    let name = |path: &Path| path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let alone = |place: Place, text: String| vec![Mistake { place, subject: String::new(), text }];
    let (file, folder) = locate(&options.path).map_err(|e| alone(Place::default(), e))?;
    // A link may lead to a file of another name; its folder is the configuration's, its own name is what a person knows.
    let name = if options.path.is_dir() { "master.lua".to_owned() } else { name(&options.path) };
    let source = modules::read(&file).map_err(|e| alone(at_file(&name), e))?;

    let host = Host::new(folder, options.checking, watch, main);
    host.outside.replace(beside.world);
    host.file_read(&file, &source);
    let vm = Vm::new(host.clone()).map_err(|e| alone(at_file(&name), format!("the host's own Lua failed: {e}")))?;
    let vm = Rc::new(vm);

    let run = async {
        let chunk = vm.compile(&name, &source)?;
        vm.call(&chunk, ()).await
    };
    let root_place = at_file(&name);
    let late = || Mistake {
        place: host.last_seen().unwrap_or_else(|| root_place.clone()),
        subject: String::new(),
        text: format!("the evaluation did not end within {}", human(options.timeout)),
    };
    let began = Instant::now();
    let ended = match tokio::time::timeout(options.timeout, run).await {
        Ok(ended) => ended.map_err(Caught::into_mistake),
        Err(_) => Err(late()),
    };
    // Methods of the file are called at its end, too.
    let left = options.timeout.saturating_sub(began.elapsed()).max(TIME_TO_FINISH);
    let finish = async {
        let finish = vm.internal("finish")?;
        vm.call(&finish, ()).await
    };
    let finished = match tokio::time::timeout(left, finish).await {
        Ok(finished) => finished.map(drop).map_err(Caught::into_mistake),
        Err(_) => Err(late()),
    };
    let mut config = read(&vm, ended, finished, &root_place, understand);
    let warnings = host.take_warnings();
    if let Ok(config) = &mut config {
        config.warnings.splice(0..0, warnings.iter().cloned());
    }
    let _ = beside.told.set((warnings, host.take_surroundings()));
    let config = config?;
    check_memory(&vm, &config).map_err(|text| alone(root_place, text))?;
    tell_master(&vm, &config).map_err(|e| alone(at_file(&name), e.to_string()))?;
    host.loaded();
    Ok((vm, (config, host.files(), host.ports())))
}

/// Read what the file left, and understand it.
fn read(
    vm: &Vm,
    ended: Result<LuaValue, Mistake>,
    finished: Result<(), Mistake>,
    root_place: &Place,
    understand: Understand,
) -> Result<MasterConfig, Vec<Mistake>> {
    let mut broken: Vec<Mistake> = finished.err().into_iter().collect();
    let mut tainted = Default::default();
    let mut read_all = || -> mlua::Result<(Table, Vec<Arc<Object>>, SaidAt)> {
        let mut reader = Reader::new(vm)?;
        let records: LuaTable = vm.prelude.raw_get("records")?;
        let mut objects = Vec::new();
        let mut said_at = SaidAt::default();
        let before = broken.len();
        for instance in vm.prelude.raw_get::<LuaTable>("objects")?.sequence_values::<LuaTable>() {
            let record: LuaTable = records.raw_get(instance?)?;
            match reader.object(&record) {
                Ok(Some(object)) => {
                    if let Some(places) = record.raw_get::<Option<LuaTable>>("places")? {
                        said_at.arguments.insert(object.id, kept_places(vm, &places)?);
                    }
                    objects.push(object);
                }
                Ok(None) => {}
                Err(e) => {
                    let place = vm.host.kept_place(record.raw_get("place")?);
                    let subject = vm.prelude.raw_get::<mlua::Function>("subject_of")?.call(record)?;
                    broken.push(unreadable(vm, e, place, subject)?);
                }
            }
        }
        let root = match &ended {
            Ok(LuaValue::Table(root)) => Some(root.clone()),
            _ => vm.lua.globals().raw_get::<Option<LuaTable>>("BuildmasterConfig")?,
        };
        said_at.keys = kept_places(vm, &vm.prelude.raw_get("key_places")?)?;
        let mut named = root.iter().flat_map(|root| root.pairs::<String, LuaValue>()).filter_map(Result::ok).collect::<Vec<_>>();
        named.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (key, value) in named {
            if let Err(e) = reader.value(&value) {
                let place = said_at.keys.get(&key).unwrap_or(root_place).clone();
                broken.push(unreadable(vm, e, place, format!("BuildmasterConfig.{key}"))?);
            }
        }
        // Where a part can't be read, nothing can be said of the whole.
        let root = root.filter(|_| broken.len() == before);
        let mut root = root.map(|root| reader.table(&root)).transpose()?.map(Arc::unwrap_or_clone).unwrap_or_default();
        if ended.is_err() {
            // What objects say of each other can't be judged by a part of them.
            root.named.retain(|_, value| value.to_json().is_ok());
        }
        tainted = std::mem::take(&mut reader.tainted);
        for key in root.named.keys() {
            if !said_at.keys.contains_key(key)
                && let Some(line) = vm.host.only_line_of(&root_place.file, key)
            {
                said_at.keys.insert(key.clone(), Place { line, ..root_place.clone() });
            }
        }
        Ok((root, objects, said_at))
    };
    let (root, objects, said_at) = read_all().unwrap_or_else(|e| {
        broken.push(Caught::outside(&vm.host, &e).into_mistake_at(root_place));
        Default::default()
    });
    // The instances themselves are not needed any more, only what callbacks hold.
    let cleared = vm.lua.create_table().and_then(|empty| vm.prelude.raw_set("objects", empty)).and_then(|()| vm.lua.gc_collect());
    vm.functions.close();

    let mut mistakes = vm.host.take_mistakes();
    let findings = scan::findings(vm).unwrap_or_else(|e| {
        tracing::debug!("names are not looked at: {e}");
        Vec::new()
    });
    match &ended {
        Ok(LuaValue::Table(_) | LuaValue::Nil) => {}
        Ok(other) => mistakes.push(Mistake {
            place: root_place.clone(),
            subject: String::new(),
            text: format!("the file may return a table or nothing, got {}", described(other)),
        }),
        Err(mistake) => mistakes.push(mistake.clone()),
    }
    for warning in scan::merge(findings, &mut mistakes) {
        vm.host.warn_once(&warning);
    }
    mistakes.append(&mut broken);
    if let Err(e) = cleared {
        mistakes.push(Caught::outside(&vm.host, &e).into_mistake_at(root_place));
    }
    for warning in exposed(&vm.host, &objects) {
        vm.host.warn(warning.place, warning.text);
    }
    let assigned: Vec<Place> = said_at.arguments.values().flat_map(HashMap::values).chain(said_at.keys.values()).cloned().collect();
    match understand(&root, root_place, &objects, said_at) {
        Ok(mut config) if mistakes.is_empty() => {
            config.said.functions = Arc::new(function_texts(vm));
            Ok(config)
        }
        Ok(_) => Err(mistakes),
        Err(found) => {
            // After an error the rest of the file is missing, so only what was complete by then is judged; and an argument that was
            // an undefined name has been told already.
            let partial = ended.is_err();
            let judged = |m: &Mistake| {
                !tainted.contains(&m.place) && (!partial || assigned.contains(&m.place) || objects.iter().any(|o| o.place == m.place))
            };
            // Each of these is there once: only the host may have told it, too.
            let told = mistakes.len();
            for mistake in found.into_iter().filter(judged) {
                if !mistakes[..told].contains(&mistake) {
                    mistakes.push(mistake);
                }
            }
            if mistakes.is_empty() {
                mistakes.push(Mistake {
                    place: root_place.clone(),
                    subject: String::new(),
                    text: "the configuration is not usable".into(),
                });
            }
            Err(mistakes)
        }
    }
}

/// A value that can't be read as data, as a mistake of whatever holds it. Without memory nothing more is read.
fn unreadable(vm: &Vm, error: mlua::Error, place: Place, subject: String) -> mlua::Result<Mistake> {
    let caught = Caught::outside(&vm.host, &error);
    if caught.is_out_of_memory() {
        return Err(error);
    }
    Ok(Mistake { subject, ..caught.into_mistake_at(&place) })
}

/// A digest of the text of each function that callbacks may call.
fn function_texts(vm: &Vm) -> HashMap<u32, u64> {
    let origins = vm.prelude.raw_get::<LuaTable>("origins").ok();
    let wanted = vm.functions.all().filter_map(|(id, f)| {
        // One that is bound to its object is what the file wrote.
        let written = origins.as_ref().and_then(|origins| origins.raw_get::<Option<mlua::Function>>(&f).ok().flatten());
        let info = written.as_ref().unwrap_or(&f).info();
        let file = info.source.as_deref()?.strip_prefix('@')?.to_owned();
        Some((id, file, info.line_defined?, info.last_line_defined?))
    });
    vm.host.digests(wanted)
}

fn described(value: &LuaValue) -> String {
    match value {
        LuaValue::Integer(_) | LuaValue::Number(_) => "a number".to_owned(),
        other => format!("a {}", other.type_name()),
    }
}

/// Names and the numbers of their places.
fn kept_places(vm: &Vm, places: &LuaTable) -> mlua::Result<HashMap<String, Place>> {
    places.pairs::<String, usize>().map(|pair| pair.map(|(name, id)| (name, vm.host.kept_place(id)))).collect()
}

fn check_memory(vm: &Vm, config: &MasterConfig) -> Result<(), String> {
    let limit = config.limits.memory_bytes;
    vm.lua.gc_collect().map_err(|e| e.to_string())?;
    let used = vm.lua.used_memory();
    if used + (1 << 20) > limit {
        return Err(format!("c.lua: memory_limit is {} KiB, and the configuration alone takes {} KiB", limit >> 10, used >> 10));
    }
    vm.lua.set_memory_limit(limit).map_err(|e| e.to_string())?;
    Ok(())
}

/// What `master.config` shows to callbacks.
fn tell_master(vm: &Vm, config: &MasterConfig) -> mlua::Result<()> {
    let shown = vm.lua.create_table()?;
    shown.raw_set("title", config.title.as_str())?;
    shown.raw_set("titleURL", config.title_url.as_str())?;
    shown.raw_set("buildbotURL", config.buildbot_url.as_str())?;
    vm.prelude.raw_get::<mlua::Function>("set_master")?.call::<()>(shown)
}
