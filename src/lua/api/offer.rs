//! How a function that touches files is offered: while the configuration is evaluated it answers at once, so that it works in `init`
//! and in `table.sort` too; later it waits on the main runtime, so that a slow disk holds up no other callback.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use mlua::{FromLuaMulti, Function, IntoLuaMulti, Lua, MultiValue, Table};

use super::super::host::Host;
use super::super::modules::read;
use super::wait::on_main;

/// What Lua gets of the result.
type Finish<T> = Box<dyn FnOnce(&Lua, &Host, T) -> mlua::Result<MultiValue>>;

/// A call that is ready to be carried out.
pub(super) struct Job<T> {
    /// The arguments as messages show them.
    pub shown: String,
    /// On whatever thread.
    pub work: Box<dyn FnOnce() -> Result<T, String> + Send>,
    /// On the Lua thread.
    pub finish: Finish<T>,
}

impl<T: IntoLuaMulti> Job<T> {
    pub fn new(shown: String, work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Job<T> {
        Job { shown, work: Box::new(work), finish: Box::new(|lua, _, done| done.into_lua_multi(lua)) }
    }
}

/// A file that was read, and what was made of its content.
pub(super) struct FileRead<T> {
    /// None where there was no file.
    path: Option<PathBuf>,
    content: Vec<u8>,
    made: T,
}

impl<T> FileRead<T> {
    pub fn missing(made: T) -> FileRead<T> {
        FileRead { path: None, content: Vec::new(), made }
    }
}

/// A call that reads a file; while loading that makes it a part of the configuration.
pub(super) fn reading<T: Send + 'static>(
    host: &Host,
    name: impl AsRef<Path>,
    make: impl FnOnce(&[u8]) -> Result<T, String> + Send + 'static,
    finish: impl FnOnce(&Lua, T, Vec<u8>) -> mlua::Result<MultiValue> + 'static,
) -> Job<FileRead<T>> {
    let path = host.folder.join(&name);
    Job {
        shown: format!("{:?}", name.as_ref().to_string_lossy()),
        work: Box::new(move || {
            let content = read(&path)?;
            let made = make(&content)?;
            Ok(FileRead { path: Some(path.canonicalize().unwrap_or(path)), content, made })
        }),
        finish: Box::new(|lua, host, file| {
            if let Some(path) = &file.path {
                host.file_read(path, &file.content);
            }
            finish(lua, file.made, file.content)
        }),
    }
}

/// Put a function into a table; `call` is its full name, as in `fs.read`.
pub(super) fn offer<A, T, P>(lua: &Lua, host: &Rc<Host>, into: &Table, call: &'static str, prepare: P) -> mlua::Result<()>
where
    A: FromLuaMulti + 'static,
    T: Send + 'static,
    P: Fn(&Lua, &Host, A) -> mlua::Result<Job<T>> + 'static,
{
    let prepare = Rc::new(prepare);
    let (h, p) = (host.clone(), prepare.clone());
    let now = lua.create_function(move |lua, args: A| {
        let job = p(lua, &h, args)?;
        let done = (job.work)().map_err(|e| mlua::Error::runtime(format!("{call}({}): {e}", job.shown)))?;
        (job.finish)(lua, &h, done)
    })?;
    let (h, p) = (host.clone(), prepare);
    let later = lua.create_async_function(move |lua, args: A| {
        let (h, job) = (h.clone(), p(&lua, &h, args));
        async move {
            let Job { shown, work, finish } = job?;
            let work = async { tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(e.to_string())) };
            let done = on_main(lua.clone(), h.clone(), &format!("{call}({shown})"), work).await?;
            finish(&lua, &h, done)
        }
    })?;
    let h = host.clone();
    let loading = lua.create_function(move |_, ()| Ok(h.loading()))?;
    let choose = "local loading, now, later = ... return function(...) if loading() then return now(...) end return later(...) end";
    let choose = lua.load(choose).set_name(format!("=[builtin {call}]")).into_function()?;
    let name = call.rsplit('.').next().unwrap_or(call);
    into.raw_set(name, choose.call::<Function>((loading, now, later))?)
}
