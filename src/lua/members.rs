//! What the objects have that functions of the file are called with, for the reference. A test compares it with what is really
//! there.

/// An object by the name that the table of callbacks uses, and its members.
pub(super) const MEMBERS: &[(&str, &[(&str, &str)])] = &[
    (
        "builder",
        &[
            ("name", "Its name."),
            ("tags", "Its tags."),
            ("builderid", "Its number."),
            ("getBuilderId()", "The same."),
            ("workers", "Its workers as `wfb`, those that are not attached, too."),
            ("building", "The builds that it runs now: `number`, `workername`."),
            ("get_highest_priority()", "The highest priority of the requests that wait; nil without any."),
            ("getOldestRequestTime()", "When the oldest of them came, in seconds since 1970; nil without any."),
            ("getNewestCompleteTime()", "When its last build ended, in seconds since 1970; nil without any."),
            ("master", "The master."),
        ],
    ),
    (
        "wfb",
        &[
            ("name", "The worker's name."),
            ("worker", "The worker."),
            ("attached", "Is it connected?"),
            ("isBusy()", "Does it run a build of this builder?"),
            ("isAvailable()", "Could it take a build of this builder now?"),
        ],
    ),
    (
        "wfb.worker",
        &[
            ("name", "Its name; also `workername`."),
            ("properties", "Its properties: `properties.os`, `properties:getProperty(name, default)`."),
            ("max_builds", "How many builds it takes at once; nil: any number."),
            ("state", "`ready`, `detached`, `paused`, `stopping` or `quarantined`."),
            ("active_builds()", "How many builds run on it."),
            ("isPaused()", "Is it paused?"),
            ("info", "What it said of itself: `version`, `system`, `basedir`, `numcpus`, `admin`, `host` …"),
            ("getProperty(name, default)", "One of its properties."),
            ("quarantine_timeout", "How many seconds it rests when it is put in quarantine next; may be set."),
            ("putInQuarantine()", "It gets no build for so long; the next time is twice as long."),
            ("resetQuarantine()", "The next time is as short as the first again."),
        ],
    ),
    (
        "request",
        &[
            ("id", "Its number."),
            ("bsid", "The number of its build set."),
            ("priority", "Its priority."),
            ("reason", "Why it was made."),
            ("submittedAt", "When, in seconds since 1970."),
            ("properties", "Its properties, as a worker's."),
            ("getProperty(name, default)", "One of them."),
            ("sources", "Its source stamps, by number and by codebase: `branch`, `revision`, `repository`, `project`, `codebase`."),
        ],
    ),
    (
        "props",
        &[
            ("NAME", "The property of that name; also `props[\"a name\"]`. Nil without one, or if it is null."),
            ("getProperty(name, default)", "The same, with what stands in for one that is not there."),
            ("hasProperty(name)", "Is there such a property? Also one that is null."),
            ("asDict()", "All of them as a table."),
            ("getBuild()", "The build; also `props.build`, where no property has that name."),
            ("master", "The master, where no property has that name."),
        ],
    ),
    (
        "build",
        &[
            ("number", "Its number."),
            ("buildid", "Its number among all builds."),
            ("builder", "Its builder: `name`."),
            ("workername", "Its worker's name."),
            ("reason", "Why it was asked for."),
            ("properties", "Its properties, as `props`."),
            ("getProperty(name, default)", "One of them."),
            ("hasProperty(name)", "Is there such a property?"),
            ("getProperties()", "All of them, as `props`."),
            ("getWorkerName()", "Its worker's name."),
            ("getSourceStamp(codebase?)", "The source stamp of a codebase."),
            ("getAllSourceStamps()", "The list of its source stamps."),
            ("master", "The master."),
        ],
    ),
    (
        "step",
        &[
            ("name", "Its name."),
            ("build", "Its build."),
            ("properties", "The build's properties."),
            ("getProperty(name, default)", "One of them."),
            ("hasProperty(name)", "Is there such a property?"),
            ("master", "The master."),
        ],
    ),
    (
        "master",
        &[
            ("config", "What the configuration says: `title`, `titleURL`, `buildbotURL`."),
            (
                "data",
                "`data:get(\"builders/1/builds?limit=5\")` or `data:get({ \"builders\", 1, \"builds\" }, { limit = 5 })`: what the REST \
                 API answers to GET at that path, as `{ builds = { … }, meta = { total = … } }`; nil where there is no such thing. Waits.",
            ),
        ],
    ),
];

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
