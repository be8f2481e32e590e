//! One file that is run for what it does, with the same library as a configuration: `buildmoon lua`. It makes no configuration, and
//! nothing of it is left when it has ended.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::failure::Caught;
use super::host::Host;
use super::load::locate;
use super::modules;
use super::vm::Vm;
use super::watch::Watch;
use crate::config::{Mistake, Place};

/// What is run, and with what.
#[derive(Clone, Debug)]
pub struct Script {
    pub source: Source,
    /// `arg[1]` and so on, and what `...` is.
    pub args: Vec<String>,
}

#[derive(Clone, Debug)]
pub enum Source {
    File(PathBuf),
    /// The text itself, whose names of files are relative to the current folder.
    Text(Vec<u8>),
}

/// Run it to its end. `print` writes to the standard output. Dropping the future ends the run.
pub async fn run_script(script: Script) -> Result<Vec<Mistake>, Vec<Mistake>> {
    on_thread("lua-script", move |watch, main| run(script, watch, main)).await.unwrap_or_else(|text| Err(vec![mistake(text)]))
}

/// Work on a Lua thread of its own, which ends with it. The error says why there is no outcome.
pub(super) async fn on_thread<T: Send + 'static, F: Future<Output = T> + 'static>(
    name: &str,
    work: impl FnOnce(Arc<Watch>, Handle) -> F + Send + 'static,
) -> Result<T, String> {
    let watch = Watch::new();
    let started = |e: std::io::Error| format!("no thread could be started: {e}");
    Watch::guard(&watch, "lua-watch".into()).map_err(started)?;
    let (mut done, outcome) = oneshot::channel();
    let (thread_watch, main) = (watch.clone(), Handle::current());
    let thread = move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime,
            Err(e) => {
                let _ = done.send(Err(format!("no Lua thread: {e}")));
                return;
            }
        };
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async move {
            // A task of its own, which is polled only when it can go on.
            let work = tokio::task::spawn_local(work(thread_watch, main));
            let ended = tokio::select! {
                biased;
                () = done.closed() => return,
                ended = work => ended,
            };
            let _ = done.send(ended.map_err(|_| "the Lua thread failed".to_owned()));
        });
    };
    std::thread::Builder::new().name(name.into()).spawn(thread).map_err(started)?;
    tokio::select! {
        biased;
        outcome = outcome => outcome.unwrap_or_else(|_| Err("the Lua thread ended without an answer".into())),
        () = watch.stuck() => Err("the run is held by a single library call and can't be stopped".into()),
    }
}

fn mistake(text: String) -> Mistake {
    Mistake { place: Place::default(), subject: String::new(), text }
}

/// The warnings of a run that ended well.
async fn run(script: Script, watch: Arc<Watch>, main: Handle) -> Result<Vec<Mistake>, Vec<Mistake>> {
    let alone = |text: String| vec![mistake(text)];
    let (name, folder, source) = match &script.source {
        Source::File(path) if path.is_dir() => return Err(alone(format!("{} is a folder: name a file", path.display()))),
        Source::File(path) => {
            let (file, folder) = locate(path).map_err(alone)?;
            let source = modules::read(&file).map_err(|e| alone(format!("{}: {e}", path.display())))?;
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            (name, folder, source)
        }
        Source::Text(text) => {
            let folder = std::env::current_dir().map_err(|e| alone(format!("the current folder: {e}")))?;
            ("stdin".to_owned(), folder, text.clone())
        }
    };
    let host = Host::new(folder, false, watch, main);
    host.script.set(true);
    let broken = |e: mlua::Error| alone(format!("the host's own Lua failed: {e}"));
    let vm = Rc::new(Vm::new(host.clone()).map_err(broken)?);
    let arg = vm.lua.create_sequence_from(script.args.iter().map(String::as_str)).map_err(broken)?;
    arg.raw_set(0, name.as_str()).and_then(|()| vm.lua.globals().raw_set("arg", arg)).map_err(broken)?;

    let ended = match vm.compile(&name, &source) {
        Ok(chunk) => vm.call(&chunk, mlua::Variadic::from_iter(script.args)).await.map(|_| ()),
        Err(caught) => Err(caught),
    };
    let mut mistakes = host.take_mistakes();
    mistakes.extend(ended.err().map(Caught::into_mistake));
    if mistakes.is_empty() { Ok(host.take_warnings()) } else { Err(mistakes) }
}
