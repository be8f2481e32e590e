//! What calls of the library return and what is handed to functions besides, for the reference and for editors.

/// A type, and its members as `library` writes them.
pub(in super::super) const OBJECTS: &[(&str, &[(&str, &str)])] = &[
    (
        "HttpResponse",
        &[
            ("status: integer", "Its status; also `code`."),
            ("code: integer", "The same."),
            ("reason: string", "What the status is called."),
            ("ok: boolean", "Is the status below 400?"),
            ("url: string", "Where it came from in the end."),
            ("headers: table<string, string>", "By name; how a name is written does not matter."),
            ("text: string", "Its content."),
            ("json: any", "Its content, decoded."),
            ("content: fun(): string", "The content; what else is named like a function in Python is a value here."),
            ("raise_for_status: fun()", "Raises unless it is `ok`."),
            (
                "body: Stream?",
                "With `stream = true`, in place of `text`, `json` and `content`: what is read with the call that asked for it.",
            ),
        ],
    ),
    (
        "Stream",
        &[
            ("lines(): fun(): string?", "For `for line in stream:lines() do`: line by line, as they come, without their ends."),
            (
                "read(how?: string): string?",
                "What is there, at least a byte; `\"l\"`: a line, `\"a\"`: all that is left, at most 16 MiB. Nil at the end. It waits.",
            ),
            ("close()", "Nothing more is read."),
        ],
    ),
    (
        "Process",
        &[
            ("pid: integer", "Its number, which is its group's, too."),
            ("started: string", "What tells it from later processes of that number; text that may be kept."),
            ("stdin: ProcessInput?", "With `stdin = \"pipe\"`."),
            ("stdout: Stream?", "With `stdout = \"pipe\"`; what is not read makes the program wait."),
            ("stderr: Stream?", "With `stderr = \"pipe\"`."),
            (
                "wait(seconds?: number|string): { status: integer?, signal: integer? }?",
                "Waits for its end; nil if it still runs after that long.",
            ),
            ("kill(signal?: string|integer): boolean", "Sends a signal (`\"TERM\"`) to its group; false if it has ended."),
        ],
    ),
    (
        "ProcessInput",
        &[("write(text: string)", "Waits until the program has room for it."), ("close()", "The program sees the end of its input.")],
    ),
    (
        "Regex",
        &[
            ("match(subject: string): RegexMatch?", "As `regex.match`."),
            ("search(subject: string): RegexMatch?", "As `regex.search`."),
            ("fullmatch(subject: string): RegexMatch?", "As `regex.fullmatch`."),
            ("find_all(subject: string): RegexMatch[]", "As `regex.find_all`."),
            (
                "replace(replacement: string|(fun(match: RegexMatch): string), subject: string, count?: integer): string, integer",
                "As `regex.replace`.",
            ),
            ("split(subject: string, count?: integer): string[]", "As `regex.split`."),
        ],
    ),
    (
        "RegexMatch",
        &[
            ("first: integer", "Where it begins, as `string.sub` takes it."),
            ("last: integer", "Where it ends."),
            ("[integer]: any", "The groups; `m[0]` is the whole."),
            ("[string]: any", "The named groups."),
        ],
    ),
    ("WarningMatch", &[("group(which?: integer|string): string?", "The whole, a group by number or by name.")]),
    (
        "MessageContext",
        &[
            ("results: Results?", "How the build ended, or the build set; nil while it runs."),
            ("result_names: string[]", "What results are called: in a template `result_names[results]`, here `result_names[results + 1]`."),
            ("mode: string[]", "The modes of the generator."),
            ("buildername: string", "The builder."),
            ("workername: string", "The worker."),
            (
                "build: table",
                "The build as REST shows it, with `builder`, `buildrequest`, `buildset`, `url`, and as they are wanted `properties` (of name to value and source), `steps`, their `logs`, and `content` of these.",
            ),
            ("builds: table[]", "All of them, of a build set."),
            ("buildset: table", "The build set as REST shows it."),
            ("is_buildset: boolean", "Is the message about a build set?"),
            ("previous_results: Results?", "How the builder's build before ended."),
            ("status_detected: string", "What became of it, such as `new failure`."),
            ("summary: string", "The same as a sentence."),
            ("blamelist: string[]", "Who is responsible."),
            ("projects: string", "The projects of the source stamps, or the title."),
            ("sourcestamps: string", "What was built."),
            ("build_url: string", "Where the build is shown."),
            ("buildbot_title: string", "The title of the configuration."),
            ("buildbot_url: string", "Where the master is."),
            ("state: string", "Of a worker: `missing` or `returned`."),
            ("worker: table", "Of a worker: `name`, `notify`, `workerinfo`, `last_connection`, `last_seen`, `connected_from`, `building`."),
        ],
    ),
    ("Template", &[("render(context?: table): string", "The text for these values.")]),
    (
        "Properties",
        &[
            ("setProperty(name: string, value: any, source?: string)", "Where they can be changed."),
            ("getPropertySource(name: string): string?", "Of `util.Properties`."),
            ("update(values: table<string, any>, source?: string)", "Of `util.Properties`."),
            ("asList(): any[]", "Of `util.Properties`."),
        ],
    ),
    (
        "SourceStamp",
        &[
            ("branch: string?", "Its branch."),
            ("revision: string?", "Its revision."),
            ("repository: string", "Its repository."),
            ("project: string", "Its project."),
            ("codebase: string", "Its codebase."),
        ],
    ),
    (
        "DataApi",
        &[(
            "get(path: string|(string|integer)[], asked?: table): any",
            "What REST answers to GET at that path; nil where there is nothing.",
        )],
    ),
    (
        "RemoteCommand",
        &[
            ("rc: integer?", "What the command returned."),
            ("stdout: string?", "Its output, with `collectStdout`."),
            ("stderr: string?", "Its error output, with `collectStderr`."),
            ("updates: table<string, any[]>", "What the worker told besides."),
            ("results(): Results", "Its result."),
            ("didFail(): boolean", "Is that FAILURE?"),
            ("isRunning(): boolean", "Is it running?"),
        ],
    ),
    (
        "Log",
        &[
            ("addStdout(text: string)", "Output."),
            ("addStderr(text: string)", "Error output."),
            ("addHeader(text: string)", "A header."),
            ("addContent(text: string)", "The same as `addStdout`."),
            ("finish()", "Nothing follows."),
            ("getName(): string", "Its name."),
            ("getText(): string", "Its content without headers."),
            ("getTextWithHeaders(): string", "Its content."),
            ("readlines(): string[]", "Its lines."),
        ],
    ),
];

/// What the namespaces have besides classes and functions.
pub(in super::super) const FIELDS: &[(&str, &str, &str)] = &[
    ("util", "LogObserver", "OwnClass"),
    ("util", "LogLineObserver", "OwnClass"),
    ("util", "LineConsumerLogObserver", "OwnClass"),
    ("util", "BufferLogObserver", "OwnClass"),
    ("util", "OutputProgressObserver", "OwnClass"),
    ("steps", "ShellMixin", "table"),
    ("steps", "CommandMixin", "table"),
];
