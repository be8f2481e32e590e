//! Workers that are processes, `ProcessLatentWorker` and `FakeLatentWorker`: what a file may tell them. Their methods are
//! `lua/backends/process.lua` and `lua/backends/fake.lua`; what an argument may hold beyond its kind, `check_config` there says.

use std::time::Duration;

use super::arguments::{Arguments, Preset, Reader, arguments};
use super::assemble::{Assembly, Parsed};
use super::backends::{self, LatentWorkerArgs};
use super::class::{ClassDecl, Kind};
use super::convert::{Dict, FromValue, OneOrMany, Wrong};
use super::lua_type::LuaType;
use super::template::Arg;
use super::value::{Object, Value};

arguments! {
    ProcessArgs {
        include worker: LatentWorkerArgs;
        "host" host: Option<String> = None => "None", "The machine that runs it, as ssh knows it (`NAME` or `USER@NAME`), with a key that needs no password; None: this one.", NextLaunch;
        "ssh_options" ssh_options: OneOrMany<String> = OneOrMany(Vec::new()) => "{}", "Words for ssh, such as `{ \"-p\", \"2222\", \"-i\", \"KEY\" }`.", NextLaunch;
        "program" program: Arg<Option<String>> = Arg::default() => "\"buildbot-worker\"", "The stock worker's program.", NextLaunch;
        "command" command: Arg<OneOrMany<String>> = Arg::Const(OneOrMany(Vec::new())) => "{}", "A worker of one's own: what runs in its folder, in place of the stock worker. It finds `BUILDMASTER`, `BUILDMASTER_PORT`, `WORKERNAME` and `WORKERPASS` in its environment, and stays.", NextLaunch;
        "basedir" basedir: Arg<Option<String>> = Arg::default() => "None", "Its folder, which is made and kept; None: `workers/NAME`. Relative to the master's, on another machine to the home folder.", NextLaunch;
        "env" env: Arg<Dict> = Arg::default() => "{}", "Variables of its environment. Of the master's it gets no more than a login would: `PATH`, `HOME`, `LANG` and their like.", NextLaunch;
        "masterFQDN" master_fqdn: Arg<Option<String>> = Arg::default() => "None", "Where it finds the master, as `NAME` or `NAME:PORT`; None: on this machine directly, from elsewhere by the master's own name.", NextLaunch;
    }
}

arguments! {
    FakeArgs {
        include process: ProcessArgs;
        "start" start: Option<String> = None => "\"ok\"", "How its start ends: `ok`, `capacity`, `retry`, `config_error`, `error`, `false` (as each of these is returned or raised), `lost` (it runs, and the answer is an error), `hang` (it never ends).", NextLaunch;
        "start_time" start_time: Option<Seconds> = None => "0", "The seconds that it takes.", NextLaunch;
        "attach" attach: Option<bool> = None => "true", "Does a worker attach?", NextLaunch;
        "attach_time" attach_time: Option<Seconds> = None => "0", "The seconds until then.", NextLaunch;
        "lifetime" lifetime: Option<Seconds> = None => "0", "The seconds after which the instance dies; 0: it does not.", NextLaunch;
        "check" check: Option<String> = None => "None", "What `check_instance` finds wrong with it; no worker attaches then.", NextLaunch;
        "stop" stop: Option<String> = None => "\"ok\"", "How its stop ends: `ok`, `error`, `hang`.", NextLaunch;
        "stop_time" stop_time: Option<Seconds> = None => "0", "The seconds that it takes.", NextLaunch;
    }
}

/// What the shell counts; texts such as `"5m"` are not among it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seconds;

impl FromValue for Seconds {
    fn expected() -> String {
        "a number of seconds".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("number")
    }

    fn from_value(value: &Value) -> Result<Seconds, Wrong> {
        match value {
            Value::Int(_) | Value::Float(_) => {
                Duration::from_value(value).map(|_| Seconds).map_err(|_| Wrong::must(Self::expected(), value))
            }
            other => Err(Wrong::must(Self::expected(), other)),
        }
    }
}

pub(super) fn declare(list: &mut Vec<ClassDecl>) {
    const PRESETS: &[(&str, Preset)] = &[("missing_timeout", Preset::Int(1200))];
    let doc = "A worker that is a process of this machine or, by ssh, of another one: started for builds, stopped afterwards.";
    let process = ClassDecl::new::<ProcessArgs>("ProcessLatentWorker", Kind::Worker, process, doc);
    list.push(process.old(&["LocalLatentWorker"]).presets(PRESETS));
    let doc = "A machine that behaves as a build wishes, to try out a configuration: each argument but those of ProcessLatentWorker is a \
        wish, and the property `fake_NAME` of the build counts more. A process of this machine stands for it; builds really run.";
    let fake = ClassDecl::new::<FakeArgs>("FakeLatentWorker", Kind::Worker, fake, doc);
    list.push(fake.presets(PRESETS));
}

fn process(reader: &mut Reader, object: &Object, _: &mut Assembly) -> Option<Parsed> {
    let args = ProcessArgs::read(reader)?;
    worker(reader, object, args)
}

fn fake(reader: &mut Reader, object: &Object, _: &mut Assembly) -> Option<Parsed> {
    let args = FakeArgs::read(reader)?;
    worker(reader, object, args.process)
}

fn worker(reader: &mut Reader, object: &Object, args: ProcessArgs) -> Option<Parsed> {
    if args.command != Arg::Const(OneOrMany(Vec::new())) && args.program != Arg::Const(None) {
        reader.wrong("'command' and 'program' exclude each other");
    }
    let LatentWorkerArgs { latent, name, password } = args.worker;
    backends::worker(reader, object, latent, name, password)
}
