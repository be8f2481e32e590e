---@meta
-- Made by `buildmoon lua-types`; what is changed here is lost.

---@type Results
SUCCESS = 0

---@type Results
WARNINGS = 1

---@type Results
FAILURE = 2

---@type Results
SKIPPED = 3

---@type Results
EXCEPTION = 4

---@type Results
RETRY = 5

---@type Results
CANCELLED = 6

---@type { checking: boolean } `checking` is true under `checkconfig`.
buildmoon = nil

---A class of one's own: `init`, `super`, `isinstance`, `extend`, `mixin`.
---@param name string
---@param parent? any
---@return OwnClass
function class(name, parent) end

---Was `x` made by the class or by one below it? Also `x:isinstance(Class)`.
---@param x any
---@param Class any
---@return boolean
function isinstance(x, Class) end

---Python's rule: nil, false, None, 0, "" and empty tables are false.
---@param x any
---@return boolean
function truthy(x) end

---Waits; only this call does. Here and below text such as `"2h30m"` is a number of seconds, too.
---@param seconds number|string
function sleep(seconds) end

---Runs `f(…)` beside what follows; a task that ends with the call that made it. Errors that nobody waits for are logged.
---@param f function
---@param ... any
---@return Task
function spawn(f, ...) end

---`gather{ f, task, … }`: all at once, a list of their results in order, `n` of them. The first error ends the others and is raised.
---@param list (Task|function)[]
---@return any[]
function gather(list) end

---`f(…)`, ended with an error if it takes longer.
---@param seconds number|string
---@param f function
---@param ... any
---@return any
function timeout(seconds, f, ...) end

---A file of the configuration's folder, or a module `buildmoon.…`; evaluated once for each load.
---@param name string
---@return any
function require(name) end

---@class BuildFactory
local BuildFactory = {}

---One more step at the end.
---@param step Step
function BuildFactory:addStep(step) end

---Several, as in `f:addSteps{ a, b }`.
---@param list Step[]
function BuildFactory:addSteps(list) end

---@class EC2LatentWorker
local EC2LatentWorker = {}

---Within a method of a class that extends it: a call of Amazon's Query API with the worker's keys, in its region or at its `endpoint_url`. In the parameters lists are numbered: `Filter = { { Name = "tag:a", Value = { "b" } } }` is `Filter.1.Name` and `Filter.1.Value.1` (some services want `["Names.member"] = { … }`); `Version` may be left out for autoscaling, cloudformation, ec2, monitoring, rds, sns and sts. The answer is the XML as a table: every value is a text, elements `item` and `member` are a list, and so are those of one name. It is made once; an error has Amazon's code and message. At most 60 s and 16 MiB.
---@param service string
---@param action string
---@param params? table<string, any>
---@return table<string, any>
function EC2LatentWorker:aws(service, action, params) end

---@class base64lib
local base64lib = {}

---Any bytes as text; the URL-safe form has no padding.
---@param content string
---@param options? { url_safe?: boolean }
---@return string
function base64lib.encode(content, options) end

---The opposite; space between is skipped, padding may be missing.
---@param text string
---@param options? { url_safe?: boolean }
---@return string
function base64lib.decode(text, options) end

---@type base64lib
base64 = nil

---@class changeslib
local changeslib = {}

---@type changeslib
changes = nil

---@class configlib
local configlib = {}

---Settings from YAML, JSON, TOML or INI by the name's ending, laid over the defaults: names are merged, lists replaced, null leaves the default.
---@param name string
---@param options? { defaults?: table, optional?: boolean }
---@return any
function configlib.load(name, options) end

---@type configlib
config = nil

---@class dictlib
local dictlib = {}

---The names, sorted.
---@param t table
---@return string[]
function dictlib.keys(t) end

---The values, in the order of the names.
---@param t table
---@return any[]
function dictlib.values(t) end

---Pairs `{ name, value }`, in the order of the names.
---@param t table
---@return any[][]
function dictlib.items(t) end

---A new table with the same values.
---@param t table
---@return table
function dictlib.copy(t) end

---The same with the tables in it; objects are not copied.
---@param t any
---@return any
function dictlib.deepcopy(t) end

---A new table; the later wins.
---@param ... table?
---@return table
function dictlib.merge(...) end

---`pairs` in the order of the names.
---@param t table
---@return fun(): any, any
function dictlib.sorted_pairs(t) end

---@type dictlib
dict = nil

---@class fslib
local fslib = {}

---The content of a file of at most 16 MiB; names are relative to the configuration's folder. In callbacks these calls wait.
---@param name string
---@return string
function fslib.read(name) end

---Replaces a file as a whole. Under `checkconfig` this and the other changes are only told.
---@param name string
---@param content string
---@param options? { mode?: integer|string }
function fslib.write(name, content, options) end

---Adds to the end of a file.
---@param name string
---@param content string
function fslib.append(name, content) end

---Is there such a file or folder?
---@param name string
---@return boolean
function fslib.exists(name) end

---Is it a plain file?
---@param name string
---@return boolean
function fslib.is_file(name) end

---Is it a folder?
---@param name string
---@return boolean
function fslib.is_dir(name) end

---`type` (`file`, `folder`, `other`), `link`, `size`, `mode`, `uid`, `gid`, `mtime`; nil if there is nothing.
---@param name string
---@return { type: string, link: boolean, size: integer, mode: integer, uid: integer, gid: integer, mtime: number }?
function fslib.stat(name) end

---The names in a folder, sorted.
---@param folder? string
---@return string[]
function fslib.list(folder) end

---The files that a shell would name, sorted; `**` is any number of folders.
---@param pattern string
---@return string[]
function fslib.glob(pattern) end

---A folder and those above it, unless they are there.
---@param name string
---@param options? { mode?: integer|string }
function fslib.mkdir(name, options) end

---A file or folder; false if there was none.
---@param name string
---@param options? { recursive?: boolean }
---@return boolean
function fslib.remove(name, options) end

---A file with its mode, into a folder or under another name.
---@param from string
---@param to string
function fslib.copy(from, to) end

---Another name within one file system.
---@param from string
---@param to string
function fslib.rename(from, to) end

---The whole path, links resolved.
---@param name string
---@return string
function fslib.realpath(name) end

---@type fslib
fs = nil

---@class hashlib
local hashlib = {}

---In hexadecimal digits, or as bytes.
---@param content string
---@param options? { raw?: boolean }
---@return string
function hashlib.sha256(content, options) end

---The same.
---@param content string
---@param options? { raw?: boolean }
---@return string
function hashlib.sha512(content, options) end

---The same.
---@param content string
---@param options? { raw?: boolean }
---@return string
function hashlib.sha1(content, options) end

---The same.
---@param content string
---@param options? { raw?: boolean }
---@return string
function hashlib.md5(content, options) end

---The same.
---@param key string
---@param content string
---@param options? { raw?: boolean }
---@return string
function hashlib.hmac_sha256(key, content, options) end

---@type hashlib
hash = nil

---@class httplib
local httplib = {}

---`http.request{ method, url, … }`: one request, which waits. Options: `headers json form data body params files timeout connect_timeout auth bearer verify cert unix_socket proxy follow_redirects max_size check stream`. With `stream = true` the call answers when the head is there, and `answer.body` is read piece by piece; `timeout` is for each. The answer has `status headers text json ok url reason`, `code`, `content()`, `raise_for_status()`.
---@param options table
---@return HttpResponse
function httplib.request(options) end

---The same; `http.get{ url, … }` too.
---@param url string|table
---@param options? table
---@return HttpResponse
function httplib.get(url, options) end

---The same.
---@param url string|table
---@param options? table
---@return HttpResponse
function httplib.post(url, options) end

---The same.
---@param url string|table
---@param options? table
---@return HttpResponse
function httplib.put(url, options) end

---The same.
---@param url string|table
---@param options? table
---@return HttpResponse
function httplib.delete(url, options) end

---The same.
---@param url string|table
---@param options? table
---@return HttpResponse
function httplib.patch(url, options) end

---The same.
---@param url string|table
---@param options? table
---@return HttpResponse
function httplib.head(url, options) end

---@type httplib
http = nil

---@class inilib
local inilib = {}

---A table of sections as Python's RawConfigParser reads them: options in lower case, sections as written, `DEFAULT` shows in all, values are text, nothing is interpolated.
---@param text string
---@return table<string, table<string, string>>
function inilib.decode(text) end

---The same, written.
---@param sections table<string, table<string, any>>
---@return string
function inilib.encode(sections) end

---A file, decoded.
---@param name string
---@return table<string, table<string, string>>
function inilib.load_file(name) end

---@type inilib
ini = nil

---@class jsonlib
local jsonlib = {}

---Null is nil, or what `null` says.
---@param text string
---@param options? { null?: any }
---@return any
function jsonlib.decode(text, options) end

---A table with items is a list, one with names an object; an empty table is the list `[]`; None is null. Keys are sorted.
---@param value any
---@param options? { indent?: boolean }
---@return string
function jsonlib.encode(value, options) end

---A file, decoded.
---@param name string
---@param options? { null?: any }
---@return any
function jsonlib.load_file(name, options) end

---@type jsonlib
json = nil

---@class latentlib
local latentlib = {}

---Ends `start_instance` where nothing was started since there is no room: the build waits, or goes elsewhere.
---@param why string
function latentlib.capacity(why) end

---The same where it may work after so many seconds (60).
---@param why string
---@param seconds? number
function latentlib.retry(why, seconds) end

---The same where nothing helps but another configuration: the worker starts nothing until it is loaded again.
---@param why string
function latentlib.config_error(why) end

---@type latentlib
latent = nil

---@class listlib
local listlib = {}

---One new list; nil is skipped.
---@param ... table?
---@return any[]
function listlib.concat(...) end

---Adds the items to `into`.
---@param into table
---@param from table
---@return any[]
function listlib.extend(into, from) end

---A new list of what `f` gives.
---@param items table
---@param f fun(item: any): any
---@return any[]
function listlib.map(items, f) end

---A new list of those that `f` says yes to.
---@param items table
---@param f fun(item: any): any
---@return any[]
function listlib.filter(items, f) end

---Is any true?
---@param items table
---@param f? fun(item: any): any
---@return boolean
function listlib.any(items, f) end

---Are all true?
---@param items table
---@param f? fun(item: any): any
---@return boolean
function listlib.all(items, f) end

---Is it one of them?
---@param items table
---@param x any
---@return boolean
function listlib.contains(items, x) end

---Each once, in the order of the first.
---@param items table
---@return any[]
function listlib.unique(items) end

---A table in which each item is a key.
---@param items table
---@return table<any, boolean>
function listlib.set(items) end

---A new list in order, of the items or of what `key` makes of each: a number, a text, or a list of them.
---@param items any[]
---@param key? fun(item: any): any
---@return any[]
function listlib.sorted(items, key) end

---@type listlib
list = nil

---@class loglib
local loglib = {}

---A line of the master's log, with the line of the file that said it; `print` is `log.info`.
---@param ... any
function loglib.debug(...) end

---The same.
---@param ... any
function loglib.info(...) end

---The same.
---@param ... any
function loglib.warn(...) end

---The same.
---@param ... any
function loglib.error(...) end

---@type loglib
log = nil

---@class pathlib
local pathlib = {}

---One path.
---@param ... string
---@return string
function pathlib.join(...) end

---What follows the last slash.
---@param p string
---@return string
function pathlib.basename(p) end

---What comes before it.
---@param p string
---@return string
function pathlib.dirname(p) end

---@type pathlib
path = nil

---@class processlib
local processlib = {}

---Runs a program (a list) or a text for the shell: `{ status, signal, stdout, stderr }`. `env` is added, None in it takes away; `check` raises unless the status is 0; more than `max_output` bytes (16 MiB) are an error. The processes end with the call. It runs under `checkconfig`, too.
---@param command string|(string|integer)[]
---@param options? { cwd?: string, env?: table<string, any>, clear_env?: boolean, stdin?: string, timeout?: number|string, check?: boolean, max_output?: integer }
---@return { status?: integer, signal?: integer, stdout: string, stderr: string }
function processlib.run(command, options) end

---Starts a program that goes on beside what follows, and ends with the configuration that started it (if the master is killed it goes on); a `detached` one outlives the master (only in callbacks). `stdout` and `stderr` are `"null"`, `"pipe"` or a file that is added to, `stderr` may be `"stdout"`; `stdin` is `"null"` or `"pipe"`.
---@param command string|(string|integer)[]
---@param options? { cwd?: string, env?: table<string, any>, clear_env?: boolean, stdin?: string, stdout?: string, stderr?: string, detached?: boolean }
---@return Process
function processlib.start(command, options) end

---The processes of this machine that have all these variables in their environment, with that value, or with any where it is true; what a marked process starts has its mark, too. Those of other users are not seen.
---@param env table<string, any>
---@return { pid: integer, started: string, parent: integer, env: table<string, string> }[]
function processlib.find(env) end

---Does this very process still run? `which` is what `process.start` or `process.find` gave, or a table with its `pid` and `started`: a later process of the same number is another one.
---@param which { pid: integer, started: string }
---@return boolean
function processlib.alive(which) end

---Sends a signal (`"TERM"`) to it, and to its group where it leads one; false if it is gone.
---@param which { pid: integer, started: string }
---@param signal? string|integer
---@return boolean
function processlib.kill(which, signal) end

---The same with TERM, after so long (10 s) with KILL; waits until it is gone. False if it was.
---@param which { pid: integer, started: string }
---@param grace? number|string
---@return boolean
function processlib.stop(which, grace) end

---@type processlib
process = nil

---@class randomlib
local randomlib = {}

---Text of n bytes (32) of the system's generator, for URLs and names of files.
---@param n? integer
---@return string
function randomlib.token_urlsafe(n) end

---The same in hexadecimal digits.
---@param n? integer
---@return string
function randomlib.hex(n) end

---A whole number, both ends included.
---@param from integer
---@param to integer
---@return integer
function randomlib.integer(from, to) end

---One of the items.
---@param list any[]
---@return any
function randomlib.choice(list) end

---A new list in another order.
---@param list any[]
---@return any[]
function randomlib.shuffle(list) end

---@type randomlib
random = nil

---@class regexlib
local regexlib = {}

---A match at the start, or nil: `m[0]`, `m[1]`, …, `m.name` for a named group, `m.first` and `m.last` as `string.sub` takes them. Flags are `i`, `m`, `s`, `x`. Patterns are as in Python, but `$` is the very end unless `m` is given.
---@param pattern string|Regex
---@param subject string
---@param flags? string
---@return RegexMatch?
function regexlib.match(pattern, subject, flags) end

---The first match anywhere, or nil.
---@param pattern string|Regex
---@param subject string
---@param flags? string
---@return RegexMatch?
function regexlib.search(pattern, subject, flags) end

---A match of the whole, or nil.
---@param pattern string|Regex
---@param subject string
---@param flags? string
---@return RegexMatch?
function regexlib.fullmatch(pattern, subject, flags) end

---A list of all matches.
---@param pattern string|Regex
---@param subject string
---@param flags? string
---@return RegexMatch[]
function regexlib.find_all(pattern, subject, flags) end

---The text with every match (or so many) replaced, and their number. In the replacement `\1` and `\g<name>` are groups; or it is a function of the match, which may wait.
---@param pattern string|Regex
---@param replacement string|(fun(match: RegexMatch): string)
---@param subject string
---@param count? integer
---@param flags? string
---@return string, integer
function regexlib.replace(pattern, replacement, subject, count, flags) end

---The parts between the matches, and the groups of the matches.
---@param pattern string|Regex
---@param subject string
---@param count? integer
---@param flags? string
---@return string[]
function regexlib.split(pattern, subject, count, flags) end

---A pattern that matches just this text.
---@param s string
---@return string
function regexlib.escape(s) end

---A pattern with the same as methods, without the first argument: `p:search(subject)`. It may stand where an argument takes a pattern.
---@param pattern string
---@param flags? string
---@return Regex
function regexlib.compile(pattern, flags) end

---@type regexlib
regex = nil

---@class renderer
local renderer = {}

---What the function is called with besides; rendered first, named values last in a table.
---@param ... any
---@return renderer
function renderer:withArgs(...) end

---@class reporterslib
---@field MailNotifier MailNotifier.Class Sends mail about builds and missing workers; nothing is lost while the server is away.
---@field HttpStatusPush HttpStatusPush.Class Posts each report as JSON; tried again while the server is away.
---@field ReporterBase ReporterBase.Class The base of reporters of one's own: their `sendMessage(self, reports)` is called with each report, again later if it raises.
---@field BuildStatusGenerator BuildStatusGenerator.Class One message for each build that ends.
---@field BuildSetStatusGenerator BuildSetStatusGenerator.Class One message for all builds of a set, when its last one has ended.
---@field BuildSetCombinedStatusGenerator BuildSetCombinedStatusGenerator.Class One message for the set as a whole, made by one call of the formatter.
---@field BuildStartEndStatusGenerator BuildStartEndStatusGenerator.Class A message when a build starts and one when it ends, whatever its result.
---@field BuildRequestGenerator BuildRequestGenerator.Class A message when a build is asked for, and when that is taken back before it started.
---@field WorkerMissingGenerator WorkerMissingGenerator.Class A message to those in `notify_on_missing` of a worker that stays away.
---@field MessageFormatter MessageFormatter.Class What a message about builds says, by templates.
---@field MessageFormatterRenderable MessageFormatterRenderable.Class What a message about a build says, rendered with the build's properties.
---@field MessageFormatterFunction MessageFormatterFunction.Class What a message says, by a function.
---@field MessageFormatterFunctionRaw MessageFormatterFunctionRaw.Class The whole message by a function.
---@field MessageFormatterEmpty MessageFormatterEmpty.Class No text: for services that are told only how a build stands.
---@field MessageFormatterMissingWorker MessageFormatterMissingWorker.Class What a message says about a worker that is missing or has returned.
local reporterslib = {}

---@type reporterslib
reporters = nil

---@class schedulerslib
---@field ForceScheduler ForceScheduler.Class Starts builds when a person asks for them.
---@field FixedParameter FixedParameter.Class Always the same value.
---@field StringParameter StringParameter.Class A line of text.
---@field TextParameter TextParameter.Class Lines of text.
---@field IntParameter IntParameter.Class A whole number.
---@field BooleanParameter BooleanParameter.Class Yes or no.
---@field UserNameParameter UserNameParameter.Class Who asks for the build.
---@field ChoiceStringParameter ChoiceStringParameter.Class One of several texts.
---@field WorkerChoiceParameter WorkerChoiceParameter.Class The worker that is to be used.
---@field FileParameter FileParameter.Class A file's contents.
---@field AnyPropertyParameter AnyPropertyParameter.Class Any property: a name and a value.
---@field NestedParameter NestedParameter.Class Parameters that belong together.
---@field CodebaseParameter CodebaseParameter.Class Branch, revision, repository and project of a codebase.
local schedulerslib = {}

---@type schedulerslib
schedulers = nil

---@class secretslib
---@field SecretInAFile SecretInAFile.Class Secrets in files of a folder, one in each.
---@field SecretInPass SecretInPass.Class Secrets in the password store `pass`: the first line of each entry.
---@field SecretInCommand SecretInCommand.Class Secrets that a command on the master prints.
---@field SecretInEnvironment SecretInEnvironment.Class Secrets in the environment of the master.
---@field SecretProviderBase SecretProviderBase.Class To be extended by a class with the method `get(self, name)`, which gives the secret as text or nil and may wait.
local secretslib = {}

---@type secretslib
secrets = nil

---@class Settings
local Settings = {}

---What is there, however deep, or the default; a list of names may stand for the text.
---@param path string|string[]
---@param default? any
---@return any
function Settings:path(path, default) end

---@class stepslib
---@field BuildStep BuildStep.Class A step of one's own: extend it and write `run()`.
---@field ShellCommand ShellCommand.Class Runs a command on the worker.
---@field Configure Configure.Class Runs `./configure`.
---@field WarningCountingShellCommand WarningCountingShellCommand.Class Runs a command and counts warnings in its output.
---@field Compile Compile.Class Runs `make all` and counts warnings in its output.
---@field Test Test.Class Runs `make test` and counts what its output tells.
---@field ShellSequence ShellSequence.Class Runs commands one after the other.
---@field SetProperty SetProperty.Class Sets a property of the build.
---@field SetProperties SetProperties.Class Sets properties of the build.
---@field SetPropertyFromCommand SetPropertyFromCommand.Class Sets properties from a command's output.
---@field ShellMixin table
---@field CommandMixin table
local stepslib = {}

---@type stepslib
steps = nil

---@class storelib
local storelib = {}

---What callbacks have kept under that name in the master's database; nil without it.
---@param key string
---@return any
function storelib.get(key) end

---Keeps a JSON value over restarts, for all callbacks alike: begin a key with the name of who uses it. nil forgets it. At most 256 KiB each, 10000 values and 64 MiB in all; it is there for certain when the call returns.
---@param key string
---@param value any
function storelib.put(key, value) end

---@type storelib
store = nil

---@class Task
local Task = {}

---What its function returned, or its error.
---@return any
function Task:wait() end

---Ends it.
function Task:cancel() end

---@class templatelib
local templatelib = {}

---minijinja with Python's methods; functions of the context may be called, and may not wait.
---@param text string
---@param context? table
---@param options? { strict?: boolean, html?: boolean }
---@return string
function templatelib.render(text, context, options) end

---The same in two steps: an object with `:render(context)`.
---@param text string
---@param options? { strict?: boolean, html?: boolean }
---@return Template
function templatelib.compile(text, options) end

---@type templatelib
template = nil

---@class textlib
local textlib = {}

---Does it begin so?
---@param s string
---@param start string
---@return boolean
function textlib.startswith(s, start) end

---Does it end so?
---@param s string
---@param ending string
---@return boolean
function textlib.endswith(s, ending) end

---Without space around it.
---@param s string
---@return string
function textlib.strip(s) end

---A list of the parts; without a separator of the words.
---@param s string
---@param separator? string
---@return string[]
function textlib.split(s, separator) end

---A list of the lines.
---@param s string
---@return string[]
function textlib.lines(s) end

---`{name}` and `{1}` are filled in.
---@param s string
---@param values table
---@return string
function textlib.format(s, values) end

---A value as Lua would write it.
---@param x any
---@return string
function textlib.repr(x) end

---@type textlib
text = nil

---@class timelib
local timelib = {}

---Seconds since 1970, with fractions.
---@return number
function timelib.now() end

---`year month day hour min sec weekday` (Monday is 0) `yday offset` (seconds) `zone` of a moment, or of now. A zone is a name as `Europe/Berlin` or an offset as `+02:00`; without one it is the machine's.
---@param options? { at?: number, tz?: string }
---@return { year: integer, month: integer, day: integer, hour: integer, min: integer, sec: integer, weekday: integer, yday: integer, offset: integer, zone: string }
function timelib.date(options) end

---Seconds since 1970 of a date as in ISO 8601, RFC 2822 or HTTP, or as the format (strptime) says; `tz` is for dates that name no zone.
---@param text string
---@param options? { tz?: string, format?: string }
---@return number
function timelib.parse(text, options) end

---A date as text (strftime), in the machine's zone or another.
---@param seconds number
---@param format string
---@param options? { tz?: string }
---@return string
function timelib.format(seconds, format, options) end

---@type timelib
time = nil

---@class tomllib
local tomllib = {}

---Dates are text.
---@param text string
---@return any
function tomllib.decode(text) end

---A table with names.
---@param value table
---@return string
function tomllib.encode(value) end

---A file, decoded.
---@param name string
---@return any
function tomllib.load_file(name) end

---@type tomllib
toml = nil

---@class urllib
local urllib = {}

---Percent-encoded, but for letters, digits, `_.-~` and what is safe (`/`).
---@param s string
---@param safe? string
---@return string
function urllib.quote(s, safe) end

---The opposite.
---@param s string
---@return string
function urllib.unquote(s) end

---A query, in the order of the names; a list is one name with several values.
---@param params table<string, any>
---@return string
function urllib.encode(params) end

---`scheme host port` (the usual one if none is written) `path query fragment username password`, and `params`: the query as a table.
---@param url string
---@return { scheme: string, host?: string, port?: integer, path: string, query?: string, fragment?: string, username?: string, password?: string, params: table<string, any> }
function urllib.parse(url) end

---The address to which a link leads.
---@param base string
---@param relative string
---@return string
function urllib.join(base, relative) end

---@type urllib
url = nil

---@class utillib
---@field BuilderConfig BuilderConfig.Class A builder: what is built, how, and where.
---@field BuildFactory BuildFactory.Class The steps of a build. Methods: `addStep(step)`, `addSteps{ … }`.
---@field ShellArg ShellArg.Class One command of a `ShellSequence`.
---@field FixedParameter FixedParameter.Class Always the same value.
---@field StringParameter StringParameter.Class A line of text.
---@field TextParameter TextParameter.Class Lines of text.
---@field IntParameter IntParameter.Class A whole number.
---@field BooleanParameter BooleanParameter.Class Yes or no.
---@field UserNameParameter UserNameParameter.Class Who asks for the build.
---@field ChoiceStringParameter ChoiceStringParameter.Class One of several texts.
---@field WorkerChoiceParameter WorkerChoiceParameter.Class The worker that is to be used.
---@field FileParameter FileParameter.Class A file's contents.
---@field AnyPropertyParameter AnyPropertyParameter.Class Any property: a name and a value.
---@field NestedParameter NestedParameter.Class Parameters that belong together.
---@field CodebaseParameter CodebaseParameter.Class Branch, revision, repository and project of a codebase.
---@field Property Property.Class The value of a property of the build.
---@field Interpolate Interpolate.Class A text with values of the build in it.
---@field WithProperties WithProperties.Class Gone from Buildbot; use `Interpolate`.
---@field Transform Transform.Class What a function gives for arguments that are rendered.
---@field renderer renderer.Class What a function gives for a build; a plain function does as well, but for `:withArgs(a, b, { name = c })`: values that are rendered and follow the properties, the named ones in a table.
---@field FlattenList FlattenList.Class A list of what is in lists of lists.
---@field UserData UserData.Class User data that makes a worker of a plain Linux image: a script for cloud-init that installs buildbot-worker, gives it the worker's name and its password for this launch, starts it, and powers the machine off when the setup fails or the master stays out of reach. A place for it is `user_data`.
---@field Secret Secret.Class The value of a secret, asked of `c.secretsProviders` once for each build. Logs, properties and whatever else is shown have `<NAME>` in its place, of several lines in place of each; what a program makes of it otherwise is not hidden.
---@field LogObserver OwnClass
---@field LogLineObserver OwnClass
---@field LineConsumerLogObserver OwnClass
---@field BufferLogObserver OwnClass
---@field OutputProgressObserver OwnClass
---@field SUCCESS Results
---@field WARNINGS Results
---@field FAILURE Results
---@field SKIPPED Results
---@field EXCEPTION Results
---@field RETRY Results
---@field CANCELLED Results
local utillib = {}

---`util.RemoteCommand{ name, { … }, decodeRC=, stdioLogName=, collectStdout=, collectStderr= }`: any command that workers know, for `self:runCommand` of a step; `cmd.updates` has what the worker told (`files`, `stat` …), each a list.
---@param command table
---@return RemoteCommand
function utillib.RemoteCommand(command) end

---`proto`, `user`, `domain`, `port`, `owner`, `repo` of a git URL; nil when it is none. `git@host:a/b` is ssh.
---@param url string
---@return { proto: string, user?: string, domain: string, port?: integer, owner: string, repo: string }?
function utillib.giturlparse(url) end

---Properties for use within Lua: `getProperty`, `setProperty(name, value, source?)`, `hasProperty`, `getPropertySource`, `update`, `asDict`, `asList`.
---@param values? table<string, any>
---@return Properties
function utillib.Properties(values) end

---A number of seconds, as in `util.timedelta{ days = 180 }`.
---@param parts { weeks?: number, days?: number, hours?: number, minutes?: number, seconds?: number, milliseconds?: number, microseconds?: number }
---@return number
function utillib.timedelta(parts) end

---The name of this machine.
---@return string
function utillib.hostname() end

---The same with its domain, if `/etc/hosts` knows it; no name server is asked.
---@return string
function utillib.fqdn() end

---How many processors the master may use.
---@return integer
function utillib.cpu_count() end

---@type utillib
util = nil

---@class workerlib
---@field Worker Worker.Class A worker that connects by itself.
---@field LocalWorker LocalWorker.Class A worker inside the master. What its commands leave running when the master is killed is ended at the next start; a program whose environment lacks `BUILDMOON_OWNER` is not.
---@field LatentWorker LatentWorker.Class A worker on a machine that methods of a class of your own start and stop: `LatentWorker:extend("Name")`.
---@field DockerLatentWorker DockerLatentWorker.Class A worker in a container that a Docker engine runs. It finds `BUILDMASTER`, `BUILDMASTER_PORT`, `WORKERNAME`, `WORKERPASS` and `BUILDMASTER_PROTOCOL` in its environment. A class of your own may write `container_spec(self, build)`: it changes and returns what `Class.super.container_spec(self, build)` made, the body of the engine's `POST /containers/create`.
---@field LibVirtWorker LibVirtWorker.Class A worker in a virtual machine that libvirt runs, by the programs `virsh` and `qemu-img` of the master's machine. The domain's metadata has its login: `<auth username= password= master=/>` of the namespace `http://buildbot.net/`. Disks that were made for a launch are removed with it.
---@field OpenStackLatentWorker OpenStackLatentWorker.Class A worker on a server of an OpenStack cloud, over Keystone v3, Nova, Glance and Neutron.
---@field ProcessLatentWorker ProcessLatentWorker.Class A worker that is a process of this machine or, by ssh, of another one: started for builds, stopped afterwards.
---@field FakeLatentWorker FakeLatentWorker.Class A machine that behaves as a build wishes, to try out a configuration: each argument but those of ProcessLatentWorker is a wish, and the property `fake_NAME` of the build counts more. A process of this machine stands for it; builds really run.
---@field EC2LatentWorker EC2LatentWorker.Class A worker on an instance of Amazon EC2 that is started when a build wants it and stopped afterwards. Where `instance_type`, `ami`, `volumes` or `tags` differ from build to build, each build gets an instance of its own. A class of your own may write `launch_choices(self, build)`: the list of `{ instance_type = …, subnet_id = …, placement = …, ami = …, spot_price = … }` that are tried in turn, of which `Class.super.launch_choices(self, build)` is the usual one; what a choice leaves out is as configured. It may override `start_instance`, `stop_instance`, `check_instance` and `list_instances` and call `Class.super.start_instance(self, build)`, whose result it returns: an error after that stops the instance. `self:aws("ec2", "CreateTags", { … })` calls Amazon with the worker's keys.
---@field EC2LatentBuildSlave EC2LatentBuildSlave.Class The old spelling of `EC2LatentWorker`.
local workerlib = {}

---@type workerlib
worker = nil

---@class yamllib
local yamllib = {}

---YAML 1.2, so `yes` and `on` are text; dates are text; `<<` merges.
---@param text string
---@param options? { null?: any }
---@return any
function yamllib.decode(text, options) end

---A list of the documents of one text.
---@param text string
---@param options? { null?: any }
---@return any[]
function yamllib.decode_all(text, options) end

---As `json.encode` sees the value.
---@param value any
---@return string
function yamllib.encode(value) end

---A file, decoded.
---@param name string
---@param options? { null?: any }
---@return any
function yamllib.load_file(name, options) end

---@type yamllib
yaml = nil
