//! The keys of `BuildmasterConfig`: what is understood of each, without a look at the others.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::arguments::{Arguments, Reader, arguments};
use super::class::ArgDecl;
use super::convert::{Dict, FromValue, OneOrMany, Settings, Whole, Wrong};
use super::instance::{ReporterRef, SchedulerRef, SecretProviderRef, WorkerRef};
use super::listen::Endpoint;
use super::lua_type::LuaType;
use super::reporters::{Address, addresses};
use super::spec::{Collapse, Listen, LuaLimits, MasterConfig};
use super::value::{FnRef, Object, Table, Value};
use super::without_effect::{Ignored, NotUsed, NotYet};

/// Each look asks the providers for a whole list.
const SHORTEST_REAP_INTERVAL: Duration = Duration::from_secs(10);

arguments! {
    /// `c.…`
    RootArgs {
        "workers" | "slaves" workers: OneOrMany<WorkerRef> = OneOrMany(Vec::new()) => "{}", "The workers.", AtOnce;
        "builders" builders: OneOrMany<BuilderItem> = OneOrMany(Vec::new()) => "{}", "The builders: `BuilderConfig`s, or plain tables of their arguments.", AtOnce;
        "schedulers" schedulers: OneOrMany<SchedulerRef> = OneOrMany(Vec::new()) => "{}", "The schedulers.", AtOnce;
        "protocols" protocols: Settings = Settings::default() => "{}", "Where workers connect: `{ pb = { port = 9989 } }`.", Reopen;
        "slavePortnum" slave_port: Option<Endpoint> = None => "None", "The old spelling of `protocols = { pb = { port = … } }`.", Reopen;
        "www" www: Settings = Settings::default() => "{}", "The web server: `{ port = 8010 }`.", Reopen;
        "db" db: Settings = Settings::default() => "{}", "The database: `{ db_url = \"sqlite:///state.sqlite\" }`.", Restart;
        "db_url" db_url: Option<DbUrl> = None => "None", "The same, shorter.", Restart;
        "reap_interval" reap_interval: Duration = Duration::from_secs(300) => "300", "How often latent workers' backends are asked for machines that nobody knows.", AtOnce;
        "notify_on_leak" notify_on_leak: OneOrMany<Address> = OneOrMany(Vec::new()) => "{}", "Who is told of a machine that can't be stopped.", AtOnce;
        "title" title: String = "Buildbot".into() => "\"Buildbot\"", "The title of pages.", AtOnce;
        "titleURL" title_url: String = "https://buildbot.net/".into() => "\"https://buildbot.net/\"", "Where the title links to.", AtOnce;
        "buildbotURL" buildbot_url: String = "http://localhost:8080/".into() => "\"http://localhost:8080/\"", "The address under which people reach the master.", AtOnce;
        "properties" properties: Dict = Dict::default() => "{}", "Properties of every build.", NextBuild;
        "collapseRequests" | "mergeRequests" collapse_requests: Collapse = Collapse::Inherit => "None", "Are equal requests one? `function(master, builder, request, request)` decides on two; None: yes.", AtOnce;
        "prioritizeBuilders" prioritize_builders: Option<FnRef> = None => "None", "`function(master, builders)`: their order.", AtOnce;
        "select_next_worker" select_next_worker: Option<FnRef> = None => "None", "`nextWorker` of builders that have none.", AtOnce;
        "logMaxSize" log_max_size: Option<Whole<1>> = None => "None", "Bytes after which a log is cut off.", NextBuild;
        "logMaxTailSize" log_max_tail_size: Option<Whole<0>> = None => "None", "Bytes of its end that are kept of a log that was cut off.", NextBuild;
        "lua" lua: Settings = Settings::default() => "{}", "Limits of callbacks: `{ callback_timeout = 30, memory_limit = \"256MiB\" }`.", AtOnce;
        "notify_on_reload_failure" notify_on_reload_failure: OneOrMany<Address> = OneOrMany(Vec::new()) => "{}", "Who is told when a reload fails.", AtOnce;
        "buildbotNetUsageData" _usage: Ignored = Ignored => "None", "Nothing is ever sent.";
        "change_source" | "sources" _change_source: NotYet = NotYet => "{}", "Where changes come from.";
        "services" | "status" services: OneOrMany<ReporterRef> = OneOrMany(Vec::new()) => "{}", "Reporters.", AtOnce;
        "configurators" _configurators: NotYet = NotYet => "{}", "What adds to the configuration.";
        "secretsProviders" secrets: OneOrMany<SecretProviderRef> = OneOrMany(Vec::new()) => "{}", "Where secrets come from; asked in their order.", AtOnce;
        "codebaseGenerator" _codebase_generator: NotYet = NotYet => "None", "The codebase of a change.";
        "codebases" _codebases: NotYet = NotYet => "{}", "Codebases of projects.";
        "projects" _projects: NotYet = NotYet => "{}", "Projects.";
        "machines" _machines: NotYet = NotYet => "{}", "Machines that workers run on.";
        "manhole" _manhole: NotYet = NotYet => "None", "A shell within the master.";
        "user_managers" _user_managers: NotYet = NotYet => "{}", "Who manages users.";
        "multiMaster" _multi_master: NotYet = NotYet => "false", "Several masters share a database.";
        "mq" mq: Settings = Settings::default() => "{}", "How masters talk: only `{ type = \"simple\" }`.", NoEffect;
        "caches" _caches: Ignored = Ignored => "{}", "Has no effect.";
        "buildCacheSize" _build_cache: Ignored = Ignored => "None", "Has no effect.";
        "changeCacheSize" _change_cache: Ignored = Ignored => "None", "Has no effect.";
        "logCompressionLimit" _compression_limit: Ignored = Ignored => "None", "Has no effect.";
        "logCompressionMethod" _compression_method: Ignored = Ignored => "None", "Has no effect.";
        "changeHorizon" _change_horizon: NotUsed = NotUsed => "None", "How many changes are kept.";
        "logHorizon" _log_horizon: NotUsed = NotUsed => "None", "Gone from Buildbot.";
        "buildHorizon" _build_horizon: NotUsed = NotUsed => "None", "Gone from Buildbot.";
        "eventHorizon" _event_horizon: NotUsed = NotUsed => "None", "Gone from Buildbot.";
        "debugPassword" _debug_password: NotUsed = NotUsed => "None", "Gone from Buildbot.";
        "logEncoding" _log_encoding: NotUsed = NotUsed => "\"utf-8\"", "How workers encode output.";
        "metrics" _metrics: NotUsed = NotUsed => "None", "Counters in the log.";
        "validation" _validation: NotUsed = NotUsed => "{}", "What may come from outside.";
        "revlink" _revlink: NotUsed = NotUsed => "None", "Links to revisions.";
    }
}

arguments! {
    ProtocolsArgs {
        "pb" pb: Settings = Settings::default() => "{}", "Perspective Broker: `{ port = 9989 }`.", Reopen;
        "null" _null: Ignored = Ignored => "{}", "Local workers need nothing.";
        "msgpack_experimental_v7" _msgpack: NotYet = NotYet => "None", "MessagePack over WebSocket.";
        "wamp" _wamp: NotYet = NotYet => "None", "Several masters.";
    }
}

arguments! {
    PbArgs {
        "port" port: OneOrMany<Endpoint> = OneOrMany(Vec::new()) => "None", "The port; a bare number listens on every interface. `\"unix:w.sock:mode=660\"` is a socket to which its group may connect, too (without `mode` the master's own user alone).", Reopen;
    }
}

arguments! {
    WwwArgs {
        "port" port: Option<Endpoint> = None => "None", "The port; a bare number listens on 127.0.0.1. `\"unix:www.sock:mode=660\"` is a socket for a proxy of its group; over it nothing can be changed.", Reopen;
        "plugins" _plugins: NotUsed = NotUsed => "{}", "Parts of the pages.";
        "auth" _auth: NotUsed = NotUsed => "None", "How people log in.";
        "authz" _authz: NotUsed = NotUsed => "None", "Who may do what.";
        "change_hook_dialects" _dialects: NotUsed = NotUsed => "{}", "Who may tell of changes.";
        "change_hook_auth" _hook_auth: NotUsed = NotUsed => "None", "How they show who they are.";
        "allowed_origins" _origins: NotUsed = NotUsed => "{}", "Pages elsewhere that may call the API.";
        "avatar_methods" _avatars: NotUsed = NotUsed => "{}", "Where pictures of people come from.";
        "cookie_expiration_time" _cookie: NotUsed = NotUsed => "None", "How long a login lasts.";
        "custom_templates_dir" _templates: NotUsed = NotUsed => "None", "Templates of pages.";
        "default_page" _page: NotUsed = NotUsed => "None", "The first page.";
        "ui_default_config" _ui: NotUsed = NotUsed => "{}", "Settings of pages.";
        "versions" _versions: NotUsed = NotUsed => "{}", "Lines of the page about the master.";
        "jsonp" _jsonp: NotUsed = NotUsed => "None", "Answers as scripts.";
        "json_cache_seconds" _cache: NotUsed = NotUsed => "None", "How long answers may be kept.";
        "rest_minimum_version" _rest: NotUsed = NotUsed => "None", "The oldest API.";
        "debug" _debug: NotUsed = NotUsed => "false", "More in the log.";
        "logfileName" _logfile: NotUsed = NotUsed => "None", "The log of requests.";
        "logRotateLength" _rotate: NotUsed = NotUsed => "None", "Its size.";
        "maxRotatedFiles" _rotated: NotUsed = NotUsed => "None", "How many of it are kept.";
        "ws_ping_interval" _ping: NotUsed = NotUsed => "0", "Signs of life on WebSockets.";
        "project_widgets" _widgets: NotUsed = NotUsed => "None", "Parts of pages.";
        "theme" _theme: NotUsed = NotUsed => "None", "Colours of pages.";
        "graphql" _graphql: NotUsed = NotUsed => "None", "Gone from Buildbot.";
    }
}

arguments! {
    DbArgs {
        "db_url" db_url: Option<DbUrl> = None => "\"sqlite:///state.sqlite\"", "Where the database is.", Restart;
        "engine_kwargs" _engine: Ignored = Ignored => "{}", "Has no effect.";
    }
}

arguments! {
    LuaArgs {
        "callback_timeout" callback_timeout: Option<Duration> = None => "None", "The longest that a callback may take.", AtOnce;
        "memory_limit" memory_limit: Option<Bytes> = None => "\"256MiB\"", "The most memory of a configuration.", AtOnce;
        "step_stretch" step_stretch: Option<Duration> = None => "60", "The longest that `run` of a step may compute without waiting for anything.", AtOnce;
    }
}

arguments! {
    MqArgs {
        "type" kind: Simple = Simple => "\"simple\"", "Only `simple`.", NoEffect;
        "debug" _debug: Ignored = Ignored => "false", "Has no effect.";
    }
}

/// A table of `BuildmasterConfig` with keys of its own.
pub(super) struct KeyTable {
    /// `protocols.pb`; empty for the root.
    pub path: String,
    pub doc: &'static str,
    pub args: Vec<ArgDecl>,
}

/// The root, and each table below it after the one that holds it.
pub(super) fn tables() -> Vec<KeyTable> {
    let mut tables = vec![KeyTable { path: String::new(), doc: "What the file fills, usually as `c`.", args: RootArgs::declared() }];
    let mut at = 0;
    while let Some(holder) = tables.get(at) {
        let path = |key: &str| if holder.path.is_empty() { key.to_owned() } else { format!("{}.{key}", holder.path) };
        let below: Vec<KeyTable> = holder
            .args
            .iter()
            .filter_map(|key| {
                let path = path(key.name);
                settings_of(&path).map(|args| KeyTable { path, doc: key.doc, args })
            })
            .collect();
        tables.extend(below);
        at += 1;
    }
    tables
}

/// The keys of `BuildmasterConfig`.
pub fn root_keys() -> Vec<ArgDecl> {
    RootArgs::declared()
}

/// What the keys hold before the objects in them are looked at.
pub(super) struct Root {
    pub workers: Vec<Arc<Object>>,
    pub builders: Vec<BuilderItem>,
    pub schedulers: Vec<Arc<Object>>,
    pub secrets_providers: Vec<Arc<Object>>,
    pub reporters: Vec<Arc<Object>>,
    /// Everything that needs no look at other objects.
    pub config: MasterConfig,
}

/// Reads all keys. `told` gets each table of settings with what was wrong in it.
pub(super) fn read(root: &Table, told: &mut dyn FnMut(&str, Reader)) -> Option<Root> {
    let mut reader = Reader::of_settings(&RootArgs::declared(), root);
    let args = RootArgs::read(&mut reader).or_else(|| without_wrong_keys(root, &reader));
    if let Some(args) = &args
        && args.slave_port.is_some()
    {
        reader.warn_of("slavePortnum", "'slavePortnum' is the old spelling of protocols = { pb = { port = … } }");
    }
    if args.as_ref().is_some_and(|args| !["http://", "https://"].iter().any(|start| args.buildbot_url.starts_with(start))) {
        reader.warn_of("buildbotURL", "'buildbotURL' must begin with http:// or https:// for links in mails and pages to lead anywhere");
    }
    if args.as_ref().is_some_and(|args| args.reap_interval < SHORTEST_REAP_INTERVAL) {
        reader.wrong("'reap_interval' must be 10 seconds or more");
    }
    if let (Some(url), Some(Value::Table(db))) = (root.named.get("db_url"), root.named.get("db"))
        && db.named.get("db_url").is_some_and(|other| other != url)
    {
        reader.wrong_of("db_url", "'db_url' is given twice, in c.db too, and they differ");
    }
    told("", reader);
    // Whatever is wrong with other keys: these can be told.
    let table = |key: &str| match root.named.get(key) {
        Some(Value::Table(table)) => Settings(table.clone()),
        _ => Settings::default(),
    };
    let protocols: Option<ProtocolsArgs> = settings(&table("protocols"), "protocols", told);
    let pb: Option<PbArgs> = protocols.and_then(|p| settings(&p.pb, "protocols.pb", told));
    let www: Option<WwwArgs> = settings(&table("www"), "www", told);
    let db: Option<DbArgs> = settings(&table("db"), "db", told);
    let lua: Option<LuaArgs> = settings(&table("lua"), "lua", told);
    let mq: Option<MqArgs> = settings(&table("mq"), "mq", told);
    let args = args?;
    let (pb, www, db, lua, _) = (pb?, www?, db?, lua?, mq?);

    let mut buildbot_url = args.buildbot_url;
    if !buildbot_url.ends_with('/') {
        buildbot_url.push('/');
    }
    let mut pb: Vec<Listen> = pb.port.0.into_iter().map(|e| e.or_on(None)).collect();
    pb.extend(args.slave_port.map(|e| e.or_on(None)));
    let www = www.port.map(|e| e.or_on(Some("127.0.0.1")));
    let mut reader = Reader::default();
    for (i, one) in pb.iter().enumerate() {
        if pb[i + 1..].iter().any(|other| one.excludes(other)) {
            reader.wrong_of("protocols", format!("protocols.pb can't listen on {one} twice"));
        }
        if www.as_ref().is_some_and(|web| one.excludes(web)) {
            reader.wrong_of("www", format!("protocols.pb and www can't both listen on {one}"));
        }
    }
    told("", reader);
    let size = |n: i64| n.unsigned_abs();
    Some(Root {
        workers: args.workers.0.into_iter().map(|w| w.0).collect(),
        builders: args.builders.0,
        schedulers: args.schedulers.0.into_iter().map(|s| s.0).collect(),
        reporters: args.services.0.into_iter().map(|r| r.0).collect(),
        secrets_providers: args.secrets.0.into_iter().map(|p| p.0).collect(),
        config: MasterConfig {
            reap_interval: args.reap_interval,
            title: args.title,
            title_url: args.title_url,
            buildbot_url,
            pb,
            www,
            sqlite: args.db_url.or(db.db_url).map_or_else(|| PathBuf::from("state.sqlite"), |url| url.0),
            properties: args.properties.0,
            collapse_requests: args.collapse_requests,
            prioritize_builders: args.prioritize_builders,
            select_next_worker: args.select_next_worker,
            notify_on_leak: addresses(args.notify_on_leak),
            notify_on_reload_failure: addresses(args.notify_on_reload_failure),
            log_max_size: args.log_max_size.map(|n| size(n.0)),
            log_max_tail_size: args.log_max_tail_size.map(|n| size(n.0)),
            limits: LuaLimits {
                callback_timeout: lua.callback_timeout.filter(|t| !t.is_zero()),
                memory_bytes: lua.memory_limit.map_or(LuaLimits::default().memory_bytes, |b| b.0),
                step_stretch: lua.step_stretch.filter(|t| !t.is_zero()).unwrap_or(LuaLimits::default().step_stretch),
            },
            ..MasterConfig::default()
        },
    })
}

/// Keys whose objects are told one by one.
const OF_OBJECTS: [&str; 4] = ["workers", "builders", "schedulers", "services"];

/// The keys of `BuildmasterConfig` but those of objects.
pub(super) fn keys() -> Vec<ArgDecl> {
    RootArgs::declared().into_iter().filter(|key| !OF_OBJECTS.contains(&key.name)).collect()
}

/// The keys of a table of settings, by its path.
pub(super) fn settings_of(path: &str) -> Option<Vec<ArgDecl>> {
    Some(match path {
        "protocols" => ProtocolsArgs::declared(),
        "protocols.pb" => PbArgs::declared(),
        "www" => WwwArgs::declared(),
        "db" => DbArgs::declared(),
        "lua" => LuaArgs::declared(),
        "mq" => MqArgs::declared(),
        _ => return None,
    })
}

fn settings<A: Arguments>(settings: &Settings, name: &str, told: &mut dyn FnMut(&str, Reader)) -> Option<A> {
    let mut reader = Reader::of_settings(&A::declared(), &settings.0);
    let args = A::read(&mut reader);
    told(name, reader);
    // As if it were not there, for what can be told of other keys.
    args.or_else(|| A::read(&mut Reader::of_settings(&A::declared(), &Table::default())))
}

/// The keys as they would be without the wrong ones, whose mistakes are told: what objects say of each other can be told as well. None where
/// the objects themselves are among them.
fn without_wrong_keys(root: &Table, reader: &Reader) -> Option<RootArgs> {
    let wrong: Vec<&str> = reader.mistakes.iter().filter_map(|fault| fault.about.as_deref()).collect();
    if wrong.iter().any(|key| OF_OBJECTS.contains(key) || *key == "secretsProviders") {
        return None;
    }
    let mut rest = root.clone();
    rest.named.retain(|key, _| !wrong.contains(&key.as_str()));
    RootArgs::read(&mut Reader::of_settings(&RootArgs::declared(), &rest))
}

/// A builder: an instance, or the table of its arguments.
#[derive(Clone, Debug)]
pub(super) enum BuilderItem {
    Object(Arc<Object>),
    Table(Arc<Table>),
}

impl FromValue for BuilderItem {
    fn expected() -> String {
        "a BuilderConfig".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("BuilderConfig").or(LuaType::Name("BuilderConfig.Arguments"))
    }

    fn plural() -> String {
        "BuilderConfig".into()
    }

    fn from_value(value: &Value) -> Result<BuilderItem, Wrong> {
        match value {
            Value::Object(o) if o.class == "BuilderConfig" => Ok(BuilderItem::Object(o.clone())),
            Value::Table(t) if t.items.is_empty() && !t.named.is_empty() => Ok(BuilderItem::Table(t.clone())),
            other => Err(Wrong::must("a BuilderConfig", other)),
        }
    }
}

/// The file of an SQLite database, as a URL of SQLAlchemy.
#[derive(Clone, Debug)]
pub(super) struct DbUrl(PathBuf);

impl FromValue for DbUrl {
    fn expected() -> String {
        "a text such as \"sqlite:///state.sqlite\"".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("string")
    }

    fn from_value(value: &Value) -> Result<DbUrl, Wrong> {
        let Value::Text(url) = value else { return Err(Wrong::must(Self::expected(), value)) };
        let kind = url.split(':').next().unwrap_or_default();
        match url.strip_prefix("sqlite:///") {
            Some(path) => match path.split('?').next().unwrap_or_default() {
                "" | ":memory:" => Err(Wrong::says("must name a file: what is kept in memory is lost with the master")),
                path => Ok(DbUrl(PathBuf::from(path))),
            },
            None if url == "sqlite://" => Err(Wrong::says("must name a file: what is kept in memory is lost with the master")),
            // The address may hold a password: only its first word is shown.
            None if ["postgresql", "postgres", "mysql"].iter().any(|k| kind.starts_with(k)) => {
                Err(Wrong::says(format!("can't be a {kind} database: only SQLite is supported yet")))
            }
            None => Err(Wrong::says(format!("must be {}, got one of \"{kind}\"", Self::expected()))),
        }
    }
}

/// A size of memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes(usize);

/// Less than that no configuration fits in.
const LEAST_MEMORY: usize = 1 << 20;

impl FromValue for Bytes {
    fn expected() -> String {
        "a number of bytes (at least 1 MiB) or a size such as \"256MiB\"".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("integer").or(LuaType::Name("string"))
    }

    fn from_value(value: &Value) -> Result<Bytes, Wrong> {
        let bytes = match value {
            Value::Text(text) => {
                let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
                let unit: Option<usize> = match text[digits..].trim().to_ascii_lowercase().as_str() {
                    "b" => Some(1),
                    "k" | "kb" | "kib" => Some(1 << 10),
                    "m" | "mb" | "mib" => Some(1 << 20),
                    "g" | "gb" | "gib" => Some(1 << 30),
                    _ => None,
                };
                unit.and_then(|unit| text[..digits].parse::<usize>().ok()?.checked_mul(unit))
            }
            other => i64::from_value(other).ok().and_then(|n| usize::try_from(n).ok()),
        };
        bytes.filter(|b| *b >= LEAST_MEMORY).map(Bytes).ok_or_else(|| Wrong::must(Self::expected(), value))
    }
}

/// The only kind of message queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Simple;

impl FromValue for Simple {
    fn expected() -> String {
        "\"simple\"".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("\"simple\"")
    }

    fn from_value(value: &Value) -> Result<Simple, Wrong> {
        match value {
            Value::Text(text) if text == "simple" => Ok(Simple),
            Value::Text(text) if text == "wamp" => Err(Wrong::says("can't be \"wamp\": several masters are not supported yet")),
            other => Err(Wrong::must("\"simple\"", other)),
        }
    }
}
