//! What the host offers to a file, as a page of the reference. A test compares it with what is really there.

/// The call as it is written, and what it does.
pub(in super::super) const LIBRARY: &[(&str, &str)] = &[
    ("class(name, parent?)", "A class of one's own: `init`, `super`, `isinstance`, `extend`, `mixin`."),
    ("Class:extend(name, body?)", "A class below one of the host's or one's own; the body holds attributes and methods."),
    ("Class:mixin(table)", "Copies what the class lacks."),
    ("Class.classname", "The name of the class; `Class.super` is its parent."),
    ("isinstance(x, Class)", "Was `x` made by the class or by one below it? Also `x:isinstance(Class)`."),
    ("truthy(x)", "Python's rule: nil, false, None, 0, \"\" and empty tables are false."),
    ("sleep(seconds)", "Waits; only this call does."),
    ("require(name)", "A file of the configuration's folder, or a module `buildmoon.…`; evaluated once for each load."),
    (
        "util.RemoteCommand{ name, { … }, decodeRC=, stdioLogName=, collectStdout=, collectStderr= }",
        "Any command that workers know, for `self:runCommand` of a step; `cmd.updates` has what the worker told (`files`, `stat` …), each a list.",
    ),
    (
        "util.giturlparse(url)",
        "`proto`, `user`, `domain`, `port`, `owner`, `repo` of a git URL; nil when it is none. `git@host:a/b` is ssh.",
    ),
    (
        "util.Properties{ name = value }",
        "Properties for use within Lua: `getProperty`, `setProperty(name, value, source?)`, `hasProperty`, `getPropertySource`, `update`, `asDict`, `asList`.",
    ),
    ("util.timedelta{ weeks=, days=, hours=, minutes=, seconds=, milliseconds= }", "A number of seconds."),
    ("util.hostname()", "The name of this machine."),
    ("util.fqdn()", "The same with its domain, if `/etc/hosts` knows it; no name server is asked."),
    ("util.cpu_count()", "How many processors the master may use."),
    ("fs.read(name)", "The content of a file; names are relative to the configuration's folder."),
    ("fs.exists(name)", "Is there such a file or folder?"),
    ("fs.list(folder?)", "The names in a folder, sorted."),
    ("json.decode(text, { null = None }?)", "Null is nil, or what `null` says."),
    (
        "json.encode(value, { indent = true }?)",
        "A table with items is a list, one with names an object; an empty table is the list `[]`; None is null. Keys are sorted.",
    ),
    ("json.load_file(name, { null = None }?)", "A file, decoded."),
    ("log.debug(…)", "A line of the master's log, with the line of the file that said it; `print` is `log.info`."),
    ("log.info(…)", "The same."),
    ("log.warn(…)", "The same."),
    ("log.error(…)", "The same."),
    ("time.now()", "Seconds since 1970, with fractions."),
    (
        "time.date{ at=, tz= }",
        "`year month day hour min sec weekday` (Monday is 0) `yday offset` (seconds) `zone` of a moment, or of now. A zone is a name as `Europe/Berlin` or an offset as `+02:00`; without one it is the machine's.",
    ),
    (
        "time.parse(text, { tz=, format= }?)",
        "Seconds since 1970 of a date as in ISO 8601, RFC 2822 or HTTP, or as the format (strptime) says; `tz` is for dates that name no zone.",
    ),
    ("time.format(seconds, format, { tz= }?)", "A date as text (strftime), in the machine's zone or another."),
    ("random.token_urlsafe(n?)", "Text of n bytes (32) of the system's generator, for URLs and names of files."),
    ("random.hex(n?)", "The same in hexadecimal digits."),
    ("random.integer(from, to)", "A whole number, both ends included."),
    ("random.choice(list)", "One of the items."),
    ("random.shuffle(list)", "A new list in another order."),
    ("url.quote(s, safe?)", "Percent-encoded, but for letters, digits, `_.-~` and what is safe (`/`)."),
    ("url.unquote(s)", "The opposite."),
    ("url.encode{ name = value }", "A query, in the order of the names; a list is one name with several values."),
    (
        "url.parse(url)",
        "`scheme host port` (the usual one if none is written) `path query fragment username password`, and `params`: the query as a table.",
    ),
    ("url.join(base, relative)", "The address to which a link leads."),
    ("hash.sha256(content, { raw = true }?)", "In hexadecimal digits, or as bytes."),
    ("hash.sha512(content, { raw = true }?)", "The same."),
    ("hash.sha1(content, { raw = true }?)", "The same."),
    ("hash.md5(content, { raw = true }?)", "The same."),
    ("hash.hmac_sha256(key, content, { raw = true }?)", "The same."),
    ("base64.encode(content, { url_safe = true }?)", "Any bytes as text; the URL-safe form has no padding."),
    ("base64.decode(text, { url_safe = true }?)", "The opposite; space between is skipped, padding may be missing."),
    (
        "regex.match(pattern, subject, flags?)",
        "A match at the start, or nil: `m[0]`, `m[1]`, …, `m.name` for a named group, `m.first` and `m.last` as `string.sub` takes them. Flags are `i`, `m`, `s`, `x`. Patterns are as in Python, but `$` is the very end unless `m` is given.",
    ),
    ("regex.search(pattern, subject, flags?)", "The first match anywhere, or nil."),
    ("regex.fullmatch(pattern, subject, flags?)", "A match of the whole, or nil."),
    ("regex.find_all(pattern, subject, flags?)", "A list of all matches."),
    (
        "regex.replace(pattern, replacement, subject, count?, flags?)",
        "The text with every match (or so many) replaced, and their number. In the replacement `\\1` and `\\g<name>` are groups; or it is a function of the match, which may wait.",
    ),
    ("regex.split(pattern, subject, count?, flags?)", "The parts between the matches, and the groups of the matches."),
    ("regex.escape(s)", "A pattern that matches just this text."),
    (
        "regex.compile(pattern, flags?)",
        "A pattern with the same as methods, without the first argument: `p:search(subject)`. It may stand where an argument takes a pattern.",
    ),
    ("list.concat(a, b, …)", "One new list; nil is skipped."),
    ("list.extend(into, from)", "Adds the items to `into`."),
    ("list.map(items, f)", "A new list of what `f` gives."),
    ("list.filter(items, f)", "A new list of those that `f` says yes to."),
    ("list.any(items, f?)", "Is any true?"),
    ("list.all(items, f?)", "Are all true?"),
    ("list.contains(items, x)", "Is it one of them?"),
    ("list.unique(items)", "Each once, in the order of the first."),
    ("list.set(items)", "A table in which each item is a key."),
    ("list.sorted(items, key?)", "A new list in order."),
    ("dict.keys(t)", "The names, sorted."),
    ("dict.values(t)", "The values, in the order of the names."),
    ("dict.items(t)", "Pairs `{ name, value }`, in the order of the names."),
    ("dict.copy(t)", "A new table with the same values."),
    ("dict.deepcopy(t)", "The same with the tables in it; objects are not copied."),
    ("dict.merge(a, b, …)", "A new table; the later wins."),
    ("dict.sorted_pairs(t)", "`pairs` in the order of the names."),
    ("text.startswith(s, start)", "Does it begin so?"),
    ("text.endswith(s, ending)", "Does it end so?"),
    ("text.strip(s)", "Without space around it."),
    ("text.split(s, separator?)", "A list of the parts; without a separator of the words."),
    ("text.lines(s)", "A list of the lines."),
    ("text.format(s, values)", "`{name}` and `{1}` are filled in."),
    ("text.repr(x)", "A value as Lua would write it."),
    ("path.join(a, b, …)", "One path."),
    ("path.basename(p)", "What follows the last slash."),
    ("path.dirname(p)", "What comes before it."),
];

/// What `self` of a running step offers.
pub(in super::super) const STEP: &[(&str, &str)] = &[
    (
        "run()",
        "To be written by a step of one's own; returns the result. It may wait for ever. `Class.super.run(self)` is what the host's step does.",
    ),
    ("evaluateCommand(cmd)", "May be written: the result of a command of the host's step; `cmd.rc`, `cmd:results()`, `cmd:didFail()`."),
    ("createSummary()", "May be written: called after a command of the host's step, to make logs of its own."),
    ("getCurrentSummary()", "May be written: text or `{ step = … }` while it runs."),
    ("getResultSummary()", "May be written: text or `{ step = …, build = … }` at the end; `self.results` is known."),
    ("interrupt(reason)", "May be written: called when the build is to stop, beside `run`, whose command is interrupted."),
    (
        "makeRemoteShellCommand{ command=, workdir=, env=, collectStdout=, stdioLogName=, … }",
        "A command line for the worker; what is not given is the step's own: all options of ShellCommand, `collectStdout`, `collectStderr`, `stdioLogName`.",
    ),
    (
        "runCommand(cmd)",
        "Runs it to its end and returns its result; raises when the worker is lost or the build stopped. Afterwards `cmd.rc`, `cmd.stdout`, `cmd.stderr`, `cmd:didFail()`.",
    ),
    ("runShellSequence(list, options?)", "Runs `util.ShellArg`s one after the other and returns the result."),
    (
        "addLogObserver(log, observer)",
        "A `function(stream, line)` for output (`\"o\"`, `\"e\"`), or an instance of `util.LogLineObserver`, `LogObserver`, `LineConsumerLogObserver`, `BufferLogObserver`; in init or run.",
    ),
    ("addLog(name, type?)", "A new log, type `\"s\"` (output), `\"t\"` or `\"h\"`: `addStdout addStderr addHeader addContent finish`."),
    ("getLog(name)", "The newest log of that name: `getText()`, `getTextWithHeaders()`, `readlines()`, at most 16 MiB."),
    ("addCompleteLog(name, text)", "A log that is finished at once."),
    ("addHTMLLog(name, html)", "The same as HTML."),
    ("addURL(name, url)", "A link of the step."),
    ("updateSummary()", "Shows what `getCurrentSummary` says, twice a second at most."),
    ("render(x)", "What `x` with all that is to be rendered in it is in this build."),
    ("getProperty(name, default?)", "A property of the build, as it is now."),
    ("hasProperty(name)", "Is there such a property?"),
    ("setProperty(name, value, source?)", "Sets a property of the build; plain data."),
    ("getProperties()", "`self.build.properties`."),
    ("setStatistic(name, value)", "A number or text for `getStatistic` and `self.build:getSummaryStatistic`."),
    ("getStatistic(name, default?)", "What was set so."),
    ("hasStatistic(name)", "Was it set?"),
    ("addStepsAfterCurrentStep{ … }", "Further steps of this build, before all that wait."),
    ("addStepsAfterLastStep{ … }", "The same after all that wait."),
    ("checkWorkerHasCommand(name)", "Raises if the worker does not know the command."),
    ("workerVersion(command, default?)", "The worker's version of a command."),
    ("workerVersionIsOlderThan(command, version)", "Is it older, or not there?"),
    ("getWorkerName()", "The same as `self.workername`."),
    ("setProgress(metric, value)", "Has no effect."),
    ("setupShellMixin(args)", "Returns `args`: every step takes the arguments of commands."),
];

/// As a page of the reference.
pub(in super::super) fn markdown() -> String {
    let mut page = String::from("# Library\n\n| Call | Meaning |\n|---|---|\n");
    for (call, meaning) in LIBRARY {
        page.push_str(&format!("| `{call}` | {meaning} |\n"));
    }
    page.push_str("\n# Steps of one's own\n\nMethods and members of `self` while it runs; further members: `name`, `workdir`, `workername`, `worker.name`, \
        `build` (`number`, `builder.name`, `properties`, `getProperty`, `getSourceStamp(codebase)`, `getSummaryStatistic(name, f, initial)`), \
        and every argument, rendered. `steps.CommandMixin` adds `runMkdir runRmdir runRmFile pathExists runGlob`. `renderables = { … }` \
        lists further attributes that are rendered before `run`.\n\n| Method | Meaning |\n|---|---|\n");
    for (call, meaning) in STEP {
        page.push_str(&format!("| `self:{call}` | {meaning} |\n"));
    }
    page
}
