//! What the host offers to a file, as a page of the reference. A test compares it with what is really there.

/// The call as it is written, and what it does.
pub(in super::super) const LIBRARY: &[(&str, &str)] = &[
    ("class(name: string, parent?: any): OwnClass", "A class of one's own: `init`, `super`, `isinstance`, `extend`, `mixin`."),
    ("Class:extend(name: string, body?: table)", "A class below one of the host's or one's own; the body holds attributes and methods."),
    ("Class:mixin(from: table)", "Copies what the class lacks."),
    ("Class.classname", "The name of the class; `Class.super` is its parent."),
    ("BuildFactory:addStep(step: Step)", "One more step at the end."),
    ("BuildFactory:addSteps(list: Step[])", "Several, as in `f:addSteps{ a, b }`."),
    ("renderer:withArgs(...: any): renderer", "What the function is called with besides; rendered first, named values last in a table."),
    ("isinstance(x: any, Class: any): boolean", "Was `x` made by the class or by one below it? Also `x:isinstance(Class)`."),
    ("truthy(x: any): boolean", "Python's rule: nil, false, None, 0, \"\" and empty tables are false."),
    ("sleep(seconds: number|string)", "Waits; only this call does. Here and below text such as `\"2h30m\"` is a number of seconds, too."),
    (
        "spawn(f: function, ...: any): Task",
        "Runs `f(…)` beside what follows; a task that ends with the call that made it. Errors that nobody waits for are logged.",
    ),
    ("task:wait(): any", "What its function returned, or its error."),
    ("task:cancel()", "Ends it."),
    (
        "gather(list: (Task|function)[]): any[]",
        "`gather{ f, task, … }`: all at once, a list of their results in order, `n` of them. The first error ends the others and is raised.",
    ),
    ("timeout(seconds: number|string, f: function, ...: any): any", "`f(…)`, ended with an error if it takes longer."),
    ("require(name: string): any", "A file of the configuration's folder, or a module `buildmoon.…`; evaluated once for each load."),
    (
        "util.RemoteCommand(command: table): RemoteCommand",
        "`util.RemoteCommand{ name, { … }, decodeRC=, stdioLogName=, collectStdout=, collectStderr= }`: any command that workers know, for `self:runCommand` of a step; `cmd.updates` has what the worker told (`files`, `stat` …), each a list.",
    ),
    (
        "util.giturlparse(url: string): { proto: string, user?: string, domain: string, port?: integer, owner: string, repo: string }?",
        "`proto`, `user`, `domain`, `port`, `owner`, `repo` of a git URL; nil when it is none. `git@host:a/b` is ssh.",
    ),
    (
        "util.Properties(values?: table<string, any>): Properties",
        "Properties for use within Lua: `getProperty`, `setProperty(name, value, source?)`, `hasProperty`, `getPropertySource`, `update`, `asDict`, `asList`.",
    ),
    (
        "util.timedelta(parts: { weeks?: number, days?: number, hours?: number, minutes?: number, seconds?: number, milliseconds?: number, microseconds?: number }): number",
        "A number of seconds, as in `util.timedelta{ days = 180 }`.",
    ),
    ("util.hostname(): string", "The name of this machine."),
    ("util.fqdn(): string", "The same with its domain, if `/etc/hosts` knows it; no name server is asked."),
    ("util.cpu_count(): integer", "How many processors the master may use."),
    (
        "fs.read(name: string): string",
        "The content of a file of at most 16 MiB; names are relative to the configuration's folder. In callbacks these calls wait.",
    ),
    (
        "fs.write(name: string, content: string, options?: { mode?: integer|string })",
        "Replaces a file as a whole. Under `checkconfig` this and the other changes are only told.",
    ),
    ("fs.append(name: string, content: string)", "Adds to the end of a file."),
    ("fs.exists(name: string): boolean", "Is there such a file or folder?"),
    ("fs.is_file(name: string): boolean", "Is it a plain file?"),
    ("fs.is_dir(name: string): boolean", "Is it a folder?"),
    (
        "fs.stat(name: string): { type: string, link: boolean, size: integer, mode: integer, uid: integer, gid: integer, mtime: number }?",
        "`type` (`file`, `folder`, `other`), `link`, `size`, `mode`, `uid`, `gid`, `mtime`; nil if there is nothing.",
    ),
    ("fs.list(folder?: string): string[]", "The names in a folder, sorted."),
    ("fs.glob(pattern: string): string[]", "The files that a shell would name, sorted; `**` is any number of folders."),
    ("fs.mkdir(name: string, options?: { mode?: integer|string })", "A folder and those above it, unless they are there."),
    ("fs.remove(name: string, options?: { recursive?: boolean }): boolean", "A file or folder; false if there was none."),
    ("fs.copy(from: string, to: string)", "A file with its mode, into a folder or under another name."),
    ("fs.rename(from: string, to: string)", "Another name within one file system."),
    ("fs.realpath(name: string): string", "The whole path, links resolved."),
    (
        "process.run(command: string|(string|integer)[], options?: { cwd?: string, env?: table<string, any>, clear_env?: boolean, stdin?: string, timeout?: number|string, check?: boolean, max_output?: integer }): { status?: integer, signal?: integer, stdout: string, stderr: string }",
        "Runs a program (a list) or a text for the shell: `{ status, signal, stdout, stderr }`. `env` is added, None in it takes away; `check` raises unless the status is 0; more than `max_output` bytes (16 MiB) are an error. The processes end with the call. It runs under `checkconfig`, too.",
    ),
    (
        "process.start(command: string|(string|integer)[], options?: { cwd?: string, env?: table<string, any>, clear_env?: boolean, stdin?: string, stdout?: string, stderr?: string, detached?: boolean }): Process",
        "Starts a program that goes on beside what follows, and ends with the configuration that started it (if the master is killed it goes on); a `detached` one outlives the master (only in callbacks). `stdout` and `stderr` are `\"null\"`, `\"pipe\"` or a file that is added to, `stderr` may be `\"stdout\"`; `stdin` is `\"null\"` or `\"pipe\"`.",
    ),
    (
        "process.find(env: table<string, any>): { pid: integer, started: string, parent: integer, env: table<string, string> }[]",
        "The processes of this machine that have all these variables in their environment, with that value, or with any where it is true; what a marked process starts has its mark, too. Those of other users are not seen.",
    ),
    (
        "process.alive(which: { pid: integer, started: string }): boolean",
        "Does this very process still run? `which` is what `process.start` or `process.find` gave, or a table with its `pid` and `started`: a later process of the same number is another one.",
    ),
    (
        "process.kill(which: { pid: integer, started: string }, signal?: string|integer): boolean",
        "Sends a signal (`\"TERM\"`) to it, and to its group where it leads one; false if it is gone.",
    ),
    (
        "process.stop(which: { pid: integer, started: string }, grace?: number|string): boolean",
        "The same with TERM, after so long (10 s) with KILL; waits until it is gone. False if it was.",
    ),
    (
        "config.load(name: string, options?: { defaults?: table, optional?: boolean }): any",
        "Settings from YAML, JSON, TOML or INI by the name's ending, laid over the defaults: names are merged, lists replaced, null leaves the default.",
    ),
    (
        "settings:path(path: string|string[], default?: any): any",
        "What is there, however deep, or the default; a list of names may stand for the text.",
    ),
    ("yaml.decode(text: string, options?: { null?: any }): any", "YAML 1.2, so `yes` and `on` are text; dates are text; `<<` merges."),
    ("yaml.decode_all(text: string, options?: { null?: any }): any[]", "A list of the documents of one text."),
    ("yaml.encode(value: any): string", "As `json.encode` sees the value."),
    ("yaml.load_file(name: string, options?: { null?: any }): any", "A file, decoded."),
    ("toml.decode(text: string): any", "Dates are text."),
    ("toml.encode(value: table): string", "A table with names."),
    ("toml.load_file(name: string): any", "A file, decoded."),
    (
        "ini.decode(text: string): table<string, table<string, string>>",
        "A table of sections as Python's RawConfigParser reads them: options in lower case, sections as written, `DEFAULT` shows in all, values are text, nothing is interpolated.",
    ),
    ("ini.encode(sections: table<string, table<string, any>>): string", "The same, written."),
    ("ini.load_file(name: string): table<string, table<string, string>>", "A file, decoded."),
    ("json.decode(text: string, options?: { null?: any }): any", "Null is nil, or what `null` says."),
    (
        "json.encode(value: any, options?: { indent?: boolean }): string",
        "A table with items is a list, one with names an object; an empty table is the list `[]`; None is null. Keys are sorted.",
    ),
    ("json.load_file(name: string, options?: { null?: any }): any", "A file, decoded."),
    (
        "http.request(options: table): HttpResponse",
        "`http.request{ method, url, … }`: one request, which waits. Options: `headers json form data body params files timeout connect_timeout auth bearer verify cert unix_socket proxy follow_redirects max_size check stream`. With `stream = true` the call answers when the head is there, and `answer.body` is read piece by piece; `timeout` is for each. The answer has `status headers text json ok url reason`, `code`, `content()`, `raise_for_status()`.",
    ),
    ("http.get(url: string|table, options?: table): HttpResponse", "The same; `http.get{ url, … }` too."),
    ("http.post(url: string|table, options?: table): HttpResponse", "The same."),
    ("http.put(url: string|table, options?: table): HttpResponse", "The same."),
    ("http.delete(url: string|table, options?: table): HttpResponse", "The same."),
    ("http.patch(url: string|table, options?: table): HttpResponse", "The same."),
    ("http.head(url: string|table, options?: table): HttpResponse", "The same."),
    (
        "template.render(text: string, context?: table, options?: { strict?: boolean, html?: boolean }): string",
        "minijinja with Python's methods; functions of the context may be called, and may not wait.",
    ),
    (
        "template.compile(text: string, options?: { strict?: boolean, html?: boolean }): Template",
        "The same in two steps: an object with `:render(context)`.",
    ),
    ("log.debug(...: any)", "A line of the master's log, with the line of the file that said it; `print` is `log.info`."),
    ("log.info(...: any)", "The same."),
    ("log.warn(...: any)", "The same."),
    ("log.error(...: any)", "The same."),
    ("time.now(): number", "Seconds since 1970, with fractions."),
    (
        "time.date(options?: { at?: number, tz?: string }): { year: integer, month: integer, day: integer, hour: integer, min: integer, sec: integer, weekday: integer, yday: integer, offset: integer, zone: string }",
        "`year month day hour min sec weekday` (Monday is 0) `yday offset` (seconds) `zone` of a moment, or of now. A zone is a name as `Europe/Berlin` or an offset as `+02:00`; without one it is the machine's.",
    ),
    (
        "time.parse(text: string, options?: { tz?: string, format?: string }): number",
        "Seconds since 1970 of a date as in ISO 8601, RFC 2822 or HTTP, or as the format (strptime) says; `tz` is for dates that name no zone.",
    ),
    (
        "time.format(seconds: number, format: string, options?: { tz?: string }): string",
        "A date as text (strftime), in the machine's zone or another.",
    ),
    ("store.get(key: string): any", "What callbacks have kept under that name in the master's database; nil without it."),
    (
        "store.put(key: string, value: any)",
        "Keeps a JSON value over restarts, for all callbacks alike: begin a key with the name of who uses it. nil forgets it. At most 256 KiB each, 10000 values and 64 MiB in all; it is there for certain when the call returns.",
    ),
    (
        "latent.capacity(why: string)",
        "Ends `start_instance` where nothing was started since there is no room: the build waits, or goes elsewhere.",
    ),
    ("latent.retry(why: string, seconds?: number)", "The same where it may work after so many seconds (60)."),
    (
        "latent.config_error(why: string)",
        "The same where nothing helps but another configuration: the worker starts nothing until it is loaded again.",
    ),
    (
        "EC2LatentWorker:aws(service: string, action: string, params?: table<string, any>): table<string, any>",
        "Within a method of a class that extends it: a call of Amazon's Query API with the worker's keys, in its region or at its `endpoint_url`. In the parameters lists are numbered: `Filter = { { Name = \"tag:a\", Value = { \"b\" } } }` is `Filter.1.Name` and `Filter.1.Value.1` (some services want `[\"Names.member\"] = { … }`); `Version` may be left out for autoscaling, cloudformation, ec2, monitoring, rds, sns and sts. The answer is the XML as a table: every value is a text, elements `item` and `member` are a list, and so are those of one name. It is made once; an error has Amazon's code and message. At most 60 s and 16 MiB.",
    ),
    ("random.token_urlsafe(n?: integer): string", "Text of n bytes (32) of the system's generator, for URLs and names of files."),
    ("random.hex(n?: integer): string", "The same in hexadecimal digits."),
    ("random.integer(from: integer, to: integer): integer", "A whole number, both ends included."),
    ("random.choice(list: any[]): any", "One of the items."),
    ("random.shuffle(list: any[]): any[]", "A new list in another order."),
    ("url.quote(s: string, safe?: string): string", "Percent-encoded, but for letters, digits, `_.-~` and what is safe (`/`)."),
    ("url.unquote(s: string): string", "The opposite."),
    ("url.encode(params: table<string, any>): string", "A query, in the order of the names; a list is one name with several values."),
    (
        "url.parse(url: string): { scheme: string, host?: string, port?: integer, path: string, query?: string, fragment?: string, username?: string, password?: string, params: table<string, any> }",
        "`scheme host port` (the usual one if none is written) `path query fragment username password`, and `params`: the query as a table.",
    ),
    ("url.join(base: string, relative: string): string", "The address to which a link leads."),
    ("hash.sha256(content: string, options?: { raw?: boolean }): string", "In hexadecimal digits, or as bytes."),
    ("hash.sha512(content: string, options?: { raw?: boolean }): string", "The same."),
    ("hash.sha1(content: string, options?: { raw?: boolean }): string", "The same."),
    ("hash.md5(content: string, options?: { raw?: boolean }): string", "The same."),
    ("hash.hmac_sha256(key: string, content: string, options?: { raw?: boolean }): string", "The same."),
    ("base64.encode(content: string, options?: { url_safe?: boolean }): string", "Any bytes as text; the URL-safe form has no padding."),
    (
        "base64.decode(text: string, options?: { url_safe?: boolean }): string",
        "The opposite; space between is skipped, padding may be missing.",
    ),
    (
        "regex.match(pattern: string|Regex, subject: string, flags?: string): RegexMatch?",
        "A match at the start, or nil: `m[0]`, `m[1]`, …, `m.name` for a named group, `m.first` and `m.last` as `string.sub` takes them. Flags are `i`, `m`, `s`, `x`. Patterns are as in Python, but `$` is the very end unless `m` is given.",
    ),
    ("regex.search(pattern: string|Regex, subject: string, flags?: string): RegexMatch?", "The first match anywhere, or nil."),
    ("regex.fullmatch(pattern: string|Regex, subject: string, flags?: string): RegexMatch?", "A match of the whole, or nil."),
    ("regex.find_all(pattern: string|Regex, subject: string, flags?: string): RegexMatch[]", "A list of all matches."),
    (
        "regex.replace(pattern: string|Regex, replacement: string|(fun(match: RegexMatch): string), subject: string, count?: integer, flags?: string): string, integer",
        "The text with every match (or so many) replaced, and their number. In the replacement `\\1` and `\\g<name>` are groups; or it is a function of the match, which may wait.",
    ),
    (
        "regex.split(pattern: string|Regex, subject: string, count?: integer, flags?: string): string[]",
        "The parts between the matches, and the groups of the matches.",
    ),
    ("regex.escape(s: string): string", "A pattern that matches just this text."),
    (
        "regex.compile(pattern: string, flags?: string): Regex",
        "A pattern with the same as methods, without the first argument: `p:search(subject)`. It may stand where an argument takes a pattern.",
    ),
    ("list.concat(...: table?): any[]", "One new list; nil is skipped."),
    ("list.extend(into: table, from: table): any[]", "Adds the items to `into`."),
    ("list.map(items: table, f: fun(item: any): any): any[]", "A new list of what `f` gives."),
    ("list.filter(items: table, f: fun(item: any): any): any[]", "A new list of those that `f` says yes to."),
    ("list.any(items: table, f?: fun(item: any): any): boolean", "Is any true?"),
    ("list.all(items: table, f?: fun(item: any): any): boolean", "Are all true?"),
    ("list.contains(items: table, x: any): boolean", "Is it one of them?"),
    ("list.unique(items: table): any[]", "Each once, in the order of the first."),
    ("list.set(items: table): table<any, boolean>", "A table in which each item is a key."),
    (
        "list.sorted(items: any[], key?: fun(item: any): any): any[]",
        "A new list in order, of the items or of what `key` makes of each: a number, a text, or a list of them.",
    ),
    ("dict.keys(t: table): string[]", "The names, sorted."),
    ("dict.values(t: table): any[]", "The values, in the order of the names."),
    ("dict.items(t: table): any[][]", "Pairs `{ name, value }`, in the order of the names."),
    ("dict.copy(t: table): table", "A new table with the same values."),
    ("dict.deepcopy(t: any): any", "The same with the tables in it; objects are not copied."),
    ("dict.merge(...: table?): table", "A new table; the later wins."),
    ("dict.sorted_pairs(t: table): fun(): any, any", "`pairs` in the order of the names."),
    ("text.startswith(s: string, start: string): boolean", "Does it begin so?"),
    ("text.endswith(s: string, ending: string): boolean", "Does it end so?"),
    ("text.strip(s: string): string", "Without space around it."),
    ("text.split(s: string, separator?: string): string[]", "A list of the parts; without a separator of the words."),
    ("text.lines(s: string): string[]", "A list of the lines."),
    ("text.format(s: string, values: table): string", "`{name}` and `{1}` are filled in."),
    ("text.repr(x: any): string", "A value as Lua would write it."),
    ("path.join(...: string): string", "One path."),
    ("path.basename(p: string): string", "What follows the last slash."),
    ("path.dirname(p: string): string", "What comes before it."),
];

/// What `self` of a running step offers.
pub(in super::super) const STEP: &[(&str, &str)] = &[
    (
        "run(): Results?",
        "To be written by a step of one's own; returns the result. It may wait for ever. `Class.super.run(self)` is what the host's step does.",
    ),
    (
        "evaluateCommand(cmd: RemoteCommand): Results",
        "May be written: the result of a command of the host's step; `cmd.rc`, `cmd:results()`, `cmd:didFail()`.",
    ),
    ("createSummary()", "May be written: called after a command of the host's step, to make logs of its own."),
    ("getCurrentSummary(): string|{ step?: string }", "May be written: text or `{ step = … }` while it runs."),
    (
        "getResultSummary(): string|{ step?: string, build?: string }",
        "May be written: text or `{ step = …, build = … }` at the end; `self.results` is known.",
    ),
    ("interrupt(reason: string)", "May be written: called when the build is to stop, beside `run`, whose command is interrupted."),
    (
        "makeRemoteShellCommand(options?: table): RemoteCommand",
        "A command line for the worker, as in `self:makeRemoteShellCommand{ command = … }`; what is not given is the step's own: all options of ShellCommand, `collectStdout`, `collectStderr`, `stdioLogName`.",
    ),
    (
        "runCommand(cmd: RemoteCommand): Results",
        "Runs it to its end and returns its result; raises when the worker is lost or the build stopped. Afterwards `cmd.rc`, `cmd.stdout`, `cmd.stderr`, `cmd:didFail()`.",
    ),
    ("runShellSequence(list: ShellArg[], options?: table): Results", "Runs `util.ShellArg`s one after the other and returns the result."),
    (
        "addLogObserver(log: string, observer: (fun(stream: string, line: string))|table)",
        "A `function(stream, line)` for output (`\"o\"`, `\"e\"`), or an instance of `util.LogLineObserver`, `LogObserver`, `LineConsumerLogObserver`, `BufferLogObserver`; in init or run.",
    ),
    (
        "addLog(name: string, type?: string): Log",
        "A new log, type `\"s\"` (output), `\"t\"` or `\"h\"`: `addStdout addStderr addHeader addContent finish`.",
    ),
    ("getLog(name: string): Log", "The newest log of that name: `getText()`, `getTextWithHeaders()`, `readlines()`, at most 16 MiB."),
    ("addCompleteLog(name: string, text: string)", "A log that is finished at once."),
    ("addHTMLLog(name: string, html: string)", "The same as HTML."),
    ("addURL(name: string, url: string)", "A link of the step."),
    ("updateSummary()", "Shows what `getCurrentSummary` says, twice a second at most."),
    ("render(x: any): any", "What `x` with all that is to be rendered in it is in this build."),
    ("getProperty(name: string, default?: any): any", "A property of the build, as it is now."),
    ("hasProperty(name: string): boolean", "Is there such a property?"),
    ("setProperty(name: string, value: any, source?: string)", "Sets a property of the build; plain data."),
    ("getProperties(): Properties", "`self.build.properties`."),
    ("setStatistic(name: string, value: any)", "A number or text for `getStatistic` and `self.build:getSummaryStatistic`."),
    ("getStatistic(name: string, default?: any): any", "What was set so."),
    ("hasStatistic(name: string): boolean", "Was it set?"),
    (
        "addStepsAfterCurrentStep(list: Step[])",
        "Further steps of this build, as in `self:addStepsAfterCurrentStep{ a, b }`, before all that wait.",
    ),
    ("addStepsAfterLastStep(list: Step[])", "The same after all that wait."),
    ("checkWorkerHasCommand(name: string)", "Raises if the worker does not know the command."),
    ("workerVersion(command: string, default?: string): string?", "The worker's version of a command."),
    ("workerVersionIsOlderThan(command: string, version: string): boolean", "Is it older, or not there?"),
    ("getWorkerName(): string", "The same as `self.workername`."),
    ("setProgress(metric: string, value: any)", "Has no effect."),
    ("setupShellMixin(args: table): table", "Returns `args`: every step takes the arguments of commands."),
];

/// As a page of the reference.
pub(in super::super) fn markdown() -> String {
    let mut page = String::from("# Library\n\n| Call | Meaning |\n|---|---|\n");
    for (call, meaning) in LIBRARY {
        page.push_str(&row(call, meaning));
    }
    page.push_str("\n## What calls return\n\n");
    for (object, members) in super::objects::OBJECTS {
        page.push_str(&format!("| `{object}` | |\n|---|---|\n"));
        for (member, meaning) in *members {
            page.push_str(&row(member, meaning));
        }
        page.push('\n');
    }
    page.push_str("# Steps of one's own\n\nMethods and members of `self` while it runs; further members: `name`, `workdir`, `workername`, `worker.name`, \
        `build` (`number`, `builder.name`, `properties`, `getProperty`, `getSourceStamp(codebase)`, `getSummaryStatistic(name, f, initial)`), \
        and every argument, rendered. `steps.CommandMixin` adds `runMkdir runRmdir runRmFile pathExists runGlob`. `renderables = { … }` \
        lists further attributes that are rendered before `run`.\n\n| Method | Meaning |\n|---|---|\n");
    for (call, meaning) in STEP {
        page.push_str(&row(&format!("self:{call}"), meaning));
    }
    page
}

/// A bar would end the cell.
fn row(call: &str, meaning: &str) -> String {
    format!("| `{}` | {} |\n", call.replace('|', "\\|"), meaning.replace('|', "\\|"))
}
