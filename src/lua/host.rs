//! What one Lua state and the host share: places, mistakes, warnings and files met so far, and the watch over how long the
//! thread is held. Plain data behind an `Rc`; holds no Lua value, so it may be captured by host functions.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use md5::{Digest, Md5};
use mlua::Lua;
use mlua::debug::Debug;
use tokio::runtime::Handle;

use super::clock::Clock;
use super::data::{DataPort, KeptValues, Later, SuperBackends};
use super::hints::Lines;
use super::outside::OutsideWorld;
use super::surroundings::{Call, Surroundings};
use super::tasks::Scope;
use super::watch::Watch;
use crate::config::{Mistake, Place};

/// A call that can't be pre-empted (inside `table.sort` or `string.gsub`) is ended after this long; so long may other callbacks wait.
const SLICE_LIMIT: Duration = Duration::from_millis(500);
/// A machine under load may hold the thread still; a slice is only too long if Lua has also worked this often to the next hook.
const SLICE_HOOKS: u32 = 3;
/// More would fill memory with what nobody reads.
const MOST_MISTAKES: usize = 1000;
/// How far up the stack a place is looked for.
const STACK_DEPTH: usize = 400;
const MOST_CALLERS: usize = 20;

/// A file that the configuration is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadFile {
    pub path: PathBuf,
    pub bytes: u64,
    digest: [u8; 16],
}

impl ReadFile {
    fn new(path: &Path, content: &[u8]) -> ReadFile {
        ReadFile { path: path.to_owned(), bytes: content.len() as u64, digest: Md5::digest(content).into() }
    }

    /// Does the file still say what it said when it was read?
    pub fn is_current(&self) -> bool {
        std::fs::read(&self.path).is_ok_and(|now| ReadFile::new(&self.path, &now) == *self)
    }
}

/// What a generation and its thread share of the running master.
pub(super) struct Ports {
    pub data: DataPort,
    pub kept: Later<dyn KeptValues>,
    pub supers: Later<dyn SuperBackends>,
}

pub(super) struct Host {
    /// The configuration's folder.
    pub folder: PathBuf,
    pub checking: bool,
    pub watch: Arc<Watch>,
    pub data: DataPort,
    pub kept: Later<dyn KeptValues>,
    pub supers: Later<dyn SuperBackends>,
    /// Where host functions do what they wait for.
    pub main: Handle,
    loading: Cell<bool>,
    places: RefCell<Places>,
    mistakes: RefCell<Vec<Mistake>>,
    warnings: RefCell<Vec<Mistake>>,
    files: RefCell<Vec<ReadFile>>,
    ids: Cell<u64>,
    slice: Cell<Instant>,
    hooks: Cell<u32>,
    overrun: Cell<bool>,
    seen: RefCell<(String, u32)>,
    /// The longest that a call without a budget, or a task, may compute without waiting.
    pub stretch: Cell<Duration>,
    /// A file that is run for what it does: it prints to the standard output, and its first mistake ends it.
    pub script: Cell<bool>,
    /// What `print` said, where it is kept for whoever runs the file.
    pub printed: RefCell<Option<Vec<u8>>>,
    pub clock: Rc<Clock>,
    /// None: it answers as it does.
    pub outside: RefCell<Option<Arc<OutsideWorld>>>,
    /// How many tasks run.
    pub tasks: Cell<usize>,
    /// Of the call that has the thread.
    scope: RefCell<Option<Rc<Scope>>>,
}

#[derive(Default)]
struct Places {
    list: Vec<Place>,
    ids: HashMap<Place, usize>,
    names: HashMap<String, Arc<str>>,
    /// The files' texts, for hints about slips; only while the configuration is loaded.
    sources: HashMap<Arc<str>, Vec<u8>>,
    /// The calls that led to a place, when it was first met.
    calls: HashMap<Place, Vec<Call>>,
}

impl Host {
    pub fn new(folder: PathBuf, checking: bool, watch: Arc<Watch>, main: Handle) -> Rc<Host> {
        Rc::new(Host {
            folder,
            checking,
            watch,
            data: DataPort::default(),
            kept: Later::default(),
            supers: Later::default(),
            main,
            loading: Cell::new(true),
            places: RefCell::default(),
            mistakes: RefCell::default(),
            warnings: RefCell::default(),
            files: RefCell::default(),
            ids: Cell::new(0),
            slice: Cell::new(Instant::now()),
            hooks: Cell::new(0),
            overrun: Cell::new(false),
            seen: RefCell::default(),
            stretch: Cell::new(Duration::from_secs(60)),
            script: Cell::new(false),
            printed: RefCell::default(),
            clock: Rc::default(),
            outside: RefCell::default(),
            tasks: Cell::new(0),
            scope: RefCell::default(),
        })
    }

    pub fn ports(&self) -> Ports {
        Ports { data: self.data.clone(), kept: self.kept.clone(), supers: self.supers.clone() }
    }

    pub fn next_id(&self) -> u64 {
        self.ids.set(self.ids.get() + 1);
        self.ids.get()
    }

    pub fn loading(&self) -> bool {
        self.loading.get()
    }

    pub fn loaded(&self) {
        self.loading.set(false);
        let _ = self.take_surroundings();
    }

    /// What is shown beside mistakes; places are told without it from here on.
    pub fn take_surroundings(&self) -> Surroundings {
        let places = &mut *self.places.borrow_mut();
        Surroundings { sources: std::mem::take(&mut places.sources), calls: std::mem::take(&mut places.calls) }
    }

    pub fn mistake(&self, place: Place, subject: &str, text: String) {
        let mistake = Mistake { place, subject: subject.to_owned(), text };
        let mut all = self.mistakes.borrow_mut();
        if all.len() < MOST_MISTAKES && !all.contains(&mistake) {
            all.push(mistake);
        }
    }

    pub fn warn(&self, place: Place, text: String) {
        let mut all = self.warnings.borrow_mut();
        if all.len() < MOST_MISTAKES {
            all.push(Mistake { place, subject: String::new(), text });
        }
    }

    /// Unless its text was said already.
    pub fn warn_once(&self, warning: &Mistake) {
        let mut all = self.warnings.borrow_mut();
        if all.len() < MOST_MISTAKES && !all.iter().any(|w| w.text == warning.text) {
            all.push(warning.clone());
        }
    }

    pub fn take_mistakes(&self) -> Vec<Mistake> {
        std::mem::take(&mut *self.mistakes.borrow_mut())
    }

    pub fn take_warnings(&self) -> Vec<Mistake> {
        std::mem::take(&mut *self.warnings.borrow_mut())
    }

    /// A file was read; while the configuration is loaded that makes it a part of it.
    pub fn file_read(&self, path: &Path, content: &[u8]) {
        if self.loading() {
            let file = ReadFile::new(path, content);
            let mut files = self.files.borrow_mut();
            if !files.contains(&file) {
                files.push(file);
            }
        }
    }

    pub fn files(&self) -> Vec<ReadFile> {
        self.files.borrow().clone()
    }

    /// The name of a file, shared between all places that are in it.
    pub fn file_name(&self, name: &str) -> Arc<str> {
        let names = &mut self.places.borrow_mut().names;
        if let Some(shared) = names.get(name) {
            return shared.clone();
        }
        let shared: Arc<str> = name.into();
        names.insert(name.to_owned(), shared.clone());
        shared
    }

    pub fn keep_source(&self, name: Arc<str>, source: &[u8]) {
        if self.loading() {
            self.places.borrow_mut().sources.insert(name, source.to_owned());
        }
    }

    /// The texts of the configuration's own files, in the order of their names.
    pub fn sources(&self) -> Vec<(Arc<str>, Vec<u8>)> {
        let places = self.places.borrow();
        let mut all: Vec<_> = places.sources.iter().map(|(name, source)| (name.clone(), source.clone())).collect();
        all.sort();
        all
    }

    /// The text at a place.
    pub fn lines_at(&self, place: &Place) -> Lines {
        self.places.borrow().sources.get(&place.file).map(|source| Lines::of(source, place.line)).unwrap_or_default()
    }

    /// The text of whole lines of files that were read, each as a digest.
    pub fn digests<K: std::hash::Hash + Eq>(&self, wanted: impl Iterator<Item = (K, String, usize, usize)>) -> HashMap<K, u64> {
        let places = self.places.borrow();
        let mut starts: HashMap<&str, Vec<usize>> = HashMap::new();
        let mut found = HashMap::new();
        for (key, file, first, last) in wanted {
            let Some((name, source)) = places.sources.get_key_value(file.as_str()) else { continue };
            let starts = starts.entry(name).or_insert_with(|| {
                let after_breaks = source.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1);
                std::iter::once(0).chain(after_breaks).collect()
            });
            let from = starts.get(first.saturating_sub(1)).copied().unwrap_or(0);
            let to = starts.get(last).copied().unwrap_or(source.len());
            let mut hasher = DefaultHasher::new();
            source.get(from..to).hash(&mut hasher);
            found.insert(key, hasher.finish());
        }
        found
    }

    /// The line of a file that gives a key its value, if there is only one such line: for tables that are returned as a whole.
    pub fn only_line_of(&self, file: &str, key: &str) -> Option<u32> {
        let places = self.places.borrow();
        let source = String::from_utf8_lossy(places.sources.get(file)?);
        let gives = |line: &str| {
            line.match_indices(key).any(|(at, _)| {
                let word = |c: char| c.is_alphanumeric() || c == '_';
                let after = line[at + key.len()..].trim_start();
                !line[..at].ends_with(word) && after.starts_with('=') && !after.starts_with("==")
            })
        };
        let mut lines = source.lines().zip(1..).filter(|(line, _)| gives(line)).map(|(_, number)| number);
        lines.next().filter(|_| lines.next().is_none())
    }

    /// The shared name of a file that some place is in.
    pub fn known_file(&self, name: &str) -> Option<Arc<str>> {
        self.places.borrow().names.get(name).cloned()
    }

    /// Lua keeps a place as a number.
    pub fn keep_place(&self, place: Place) -> usize {
        let places = &mut *self.places.borrow_mut();
        if let Some(id) = places.ids.get(&place) {
            return *id;
        }
        let id = places.list.len();
        places.list.push(place.clone());
        places.ids.insert(place, id);
        id
    }

    pub fn kept_place(&self, id: usize) -> Place {
        self.places.borrow().list.get(id).cloned().unwrap_or_default()
    }

    /// The line of the configuration that is being carried out, and the lines of other files that led there.
    pub fn place(&self, lua: &Lua) -> Place {
        let mut frames = self.stack(lua, |file, line, _| (file, line));
        let Some((file, line)) = frames.next() else { return Place::default() };
        let mut from: Vec<(Arc<str>, u32)> = Vec::new();
        for (name, line) in frames {
            if from.len() < MOST_CALLERS && !from.iter().any(|(known, _)| *known == name) {
                from.push((name, line));
            }
        }
        // Helpers within one file need no history: the constructor's line and the name tell enough.
        if from.iter().all(|(name, _)| *name == file) {
            from.clear();
        }
        let place = Place { file, line, from };
        if self.loading() && !self.places.borrow().calls.contains_key(&place) {
            let calls = self.calls(lua);
            self.places.borrow_mut().calls.insert(place.clone(), calls);
        }
        place
    }

    /// Who called the function that is carried out, the nearest first.
    fn calls(&self, lua: &Lua) -> Vec<Call> {
        let call = |file: Arc<str>, line: u32, debug: &Debug| {
            let function = match (debug.source().what, debug.names().name) {
                ("main", _) => String::new(),
                (_, Some(name)) => name.into_owned(),
                _ => "a function".to_owned(),
            };
            Call { function, file, line }
        };
        self.stack(lua, call).take(MOST_CALLERS + 1).skip(1).collect()
    }

    /// One line per frame of the configuration's own files: `master.lua:12: in 'pick'`.
    pub fn traceback(&self, lua: &Lua) -> Vec<String> {
        let told = |file: Arc<str>, line: u32, debug: &Debug| {
            let source = debug.source();
            let within = match (source.what, debug.names().name) {
                ("main", _) => "in the file".to_owned(),
                (_, Some(name)) => format!("in '{name}'"),
                _ => format!("in the function of line {}", source.line_defined.unwrap_or(0)),
            };
            format!("{file}:{line}: {within}")
        };
        self.stack(lua, told).take(MOST_CALLERS).collect()
    }

    /// The frames of the configuration's own files, the innermost first.
    fn stack<'a, T: 'a>(&'a self, lua: &'a Lua, told: impl Fn(Arc<str>, u32, &Debug) -> T + 'a) -> impl Iterator<Item = T> + 'a {
        let frame = move |debug: &Debug| {
            let file = self.file_name(debug.source().source.as_deref()?.strip_prefix('@')?);
            Some(told(file, debug.current_line().unwrap_or(0) as u32, debug))
        };
        (0..STACK_DEPTH).map_while(move |level| lua.inspect_stack(level, &frame)).flatten()
    }

    /// A call is about to wait: who asks where the evaluation stays has to know.
    pub fn waits(&self, lua: &Lua) {
        if self.loading()
            && let Some((file, line)) = self.stack(lua, |file, line, _| (file, line)).next()
        {
            self.seen_at(&file, line);
        }
    }

    /// Where the hook found a call at work.
    pub fn seen_at(&self, file: &str, line: u32) {
        let (known, at) = &mut *self.seen.borrow_mut();
        if known != file {
            known.replace_range(.., file);
        }
        *at = line;
    }

    /// Where a call computed or began to wait last.
    pub fn last_seen(&self) -> Option<Place> {
        let (file, line) = &*self.seen.borrow();
        (!file.is_empty()).then(|| Place { file: self.file_name(file), line: *line, from: Vec::new() })
    }

    pub fn begin_slice(&self) {
        self.slice.set(Instant::now());
        self.hooks.set(0);
        self.overrun.set(false);
        self.clock.moved();
        self.watch.busy();
    }

    /// Was the call pre-empted?
    pub fn end_slice(&self) -> bool {
        self.watch.idle();
        self.hooks.get() > 0
    }

    /// The tasks of the call that has the thread now.
    pub fn scope(&self) -> Option<Rc<Scope>> {
        self.scope.borrow().clone()
    }

    /// Another call has the thread; which one had it before?
    pub fn enter(&self, scope: Option<Rc<Scope>>) -> Option<Rc<Scope>> {
        self.scope.replace(scope)
    }

    /// Called every so many instructions: has this slice held the thread for too long?
    pub fn hook(&self) -> bool {
        self.hooks.set(self.hooks.get().saturating_add(1));
        if self.hooks.get() > SLICE_HOOKS && self.slice.get().elapsed() > SLICE_LIMIT {
            self.overrun.set(true);
        }
        self.overrun.get()
    }

    pub fn overrun(&self) -> bool {
        self.overrun.get()
    }
}
