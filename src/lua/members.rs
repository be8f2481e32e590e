//! What the objects have that functions of the file are called with, for the reference. A test compares it with what is really
//! there.

/// An object by the name that the table of callbacks uses, and its members.
pub(super) const MEMBERS: &[(&str, &[(&str, &str)])] = &[
    (
        "builder",
        &[
            ("name: string", "Its name."),
            ("tags: string[]", "Its tags."),
            ("builderid: integer", "Its number."),
            ("getBuilderId(): integer", "The same."),
            ("workers: WorkerForBuilder[]", "Its workers as `wfb`, those that are not attached, too."),
            ("building: { number: integer, workername: string }[]", "The builds that it runs now: `number`, `workername`."),
            ("get_highest_priority(): integer?", "The highest priority of the requests that wait; nil without any."),
            ("getOldestRequestTime(): number?", "When the oldest of them came, in seconds since 1970; nil without any."),
            ("getNewestCompleteTime(): number?", "When its last build ended, in seconds since 1970; nil without any."),
            ("master: Master", "The master."),
        ],
    ),
    (
        "wfb",
        &[
            ("name: string", "The worker's name."),
            ("worker: ConnectedWorker", "The worker."),
            ("attached: boolean", "Is it connected?"),
            ("isBusy(): boolean", "Does it run a build of this builder?"),
            ("isAvailable(): boolean", "Could it take a build of this builder now?"),
        ],
    ),
    (
        "wfb.worker",
        &[
            ("name: string", "Its name; also `workername`."),
            ("properties: Properties", "Its properties: `properties.os`, `properties:getProperty(name, default)`."),
            ("max_builds: integer?", "How many builds it takes at once; nil: any number."),
            ("state: string", "`ready`, `detached`, `paused`, `stopping` or `quarantined`."),
            ("active_builds(): integer", "How many builds run on it."),
            ("isPaused(): boolean", "Is it paused?"),
            ("info: Properties", "What it said of itself: `version`, `system`, `basedir`, `numcpus`, `admin`, `host` …"),
            ("getProperty(name: string, default?: any): any", "One of its properties."),
            ("quarantine_timeout: number", "How many seconds it rests when it is put in quarantine next; may be set."),
            ("putInQuarantine()", "It gets no build for so long; the next time is twice as long."),
            ("resetQuarantine()", "The next time is as short as the first again."),
        ],
    ),
    (
        "request",
        &[
            ("id: integer", "Its number."),
            ("bsid: integer", "The number of its build set."),
            ("priority: integer", "Its priority."),
            ("reason: string", "Why it was made."),
            ("submittedAt: number", "When, in seconds since 1970."),
            ("properties: Properties", "Its properties, as a worker's."),
            ("getProperty(name: string, default?: any): any", "One of them."),
            (
                "sources: table<integer|string, SourceStamp>",
                "Its source stamps, by number and by codebase: `branch`, `revision`, `repository`, `project`, `codebase`.",
            ),
        ],
    ),
    (
        "props",
        &[
            ("NAME", "The property of that name; also `props[\"a name\"]`. Nil without one, or if it is null."),
            ("getProperty(name: string, default?: any): any", "The same, with what stands in for one that is not there."),
            ("hasProperty(name: string): boolean", "Is there such a property? Also one that is null."),
            ("asDict(): table<string, any>", "All of them as a table."),
            ("getBuild(): Build", "The build; also `props.build`, where no property has that name."),
            ("master: Master", "The master, where no property has that name."),
        ],
    ),
    (
        "build",
        &[
            ("number: integer", "Its number."),
            ("buildid: integer", "Its number among all builds."),
            ("builder: { name: string }", "Its builder: `name`."),
            ("workername: string", "Its worker's name."),
            ("reason: string", "Why it was asked for."),
            ("properties: Properties", "Its properties, as `props`."),
            ("getProperty(name: string, default?: any): any", "One of them."),
            ("hasProperty(name: string): boolean", "Is there such a property?"),
            ("getProperties(): Properties", "All of them, as `props`."),
            ("getWorkerName(): string", "Its worker's name."),
            ("getSourceStamp(codebase?: string): SourceStamp?", "The source stamp of a codebase."),
            ("getAllSourceStamps(): SourceStamp[]", "The list of its source stamps."),
            ("master: Master", "The master."),
        ],
    ),
    (
        "step",
        &[
            ("name: string", "Its name."),
            ("build: Build", "Its build."),
            ("properties: Properties", "The build's properties."),
            ("getProperty(name: string, default?: any): any", "One of them."),
            ("hasProperty(name: string): boolean", "Is there such a property?"),
            ("master: Master", "The master."),
        ],
    ),
    (
        "backend",
        &[
            (
                "NAME",
                "The argument of that name, one that the class declares too, rendered for the build where it is to be rendered: `self.rack_url`. `self.name` is the worker's; `self.password` is known in `start_instance` only.",
            ),
            (
                "launch_id: string?",
                "What marks the machine from its birth, 32 hexadecimal digits; known in all methods of a backend but `list_instances`. A second start with one launch_id must start nothing and answer as the first.",
            ),
            ("master_id: string", "The mark of this master on its machines."),
            ("master_host: string?", "Where workers find the master: the interface that it listens on, or the machine's name."),
            ("master_port: integer?", "The port for workers."),
            (
                "workername: string",
                "The worker's name. Fields that a method sets are there in its next calls for this worker, until the configuration is loaded again: what a machine can't be stopped without belongs into its handle, which is in the ledger.",
            ),
        ],
    ),
    (
        "master",
        &[
            (
                "config: { title: string, titleURL: string, buildbotURL: string }",
                "What the configuration says: `title`, `titleURL`, `buildbotURL`.",
            ),
            (
                "data: DataApi",
                "`data:get(\"builders/1/builds?limit=5\")` or `data:get({ \"builders\", 1, \"builds\" }, { limit = 5 })`: what the REST \
                 API answers to GET at that path, as `{ builds = { … }, meta = { total = … } }`; nil where there is no such thing. Waits.",
            ),
        ],
    ),
];

/// What editors call such an object.
pub(super) fn type_name(object: &str) -> &str {
    match object {
        "builder" => "Builder",
        "wfb" => "WorkerForBuilder",
        "wfb.worker" => "ConnectedWorker",
        "request" => "BuildRequest",
        "props" => "Properties",
        "build" => "Build",
        "step" => "RunningStep",
        "backend" => "LatentWorker",
        "master" => "Master",
        other => other,
    }
}

/// As a section of the reference.
pub(super) fn markdown() -> String {
    let mut page = String::from("## What callbacks are called with\n\n");
    for (object, members) in MEMBERS {
        page.push_str(&format!("| `{object}` | |\n|---|---|\n"));
        for (member, meaning) in *members {
            page.push_str(&format!("| `{}` | {} |\n", member.replace('|', "\\|"), meaning.replace('|', "\\|")));
        }
        page.push('\n');
    }
    page
}
