---@meta
-- Made by `buildmoon lua-types`; what is changed here is lost.

---@class Build
---@field number integer Its number.
---@field buildid integer Its number among all builds.
---@field builder { name: string } Its builder: `name`.
---@field workername string Its worker's name.
---@field reason string Why it was asked for.
---@field properties Properties Its properties, as `props`.
---@field getProperty (fun(self: Build, name: string, default?: any): any) One of them.
---@field hasProperty (fun(self: Build, name: string): boolean) Is there such a property?
---@field getProperties (fun(self: Build): Properties) All of them, as `props`.
---@field getWorkerName (fun(self: Build): string) Its worker's name.
---@field getSourceStamp (fun(self: Build, codebase?: string): SourceStamp?) The source stamp of a codebase.
---@field getAllSourceStamps (fun(self: Build): SourceStamp[]) The list of its source stamps.
---@field master Master The master.

---@class BuildRequest
---@field id integer Its number.
---@field bsid integer The number of its build set.
---@field priority integer Its priority.
---@field reason string Why it was made.
---@field submittedAt number When, in seconds since 1970.
---@field properties Properties Its properties, as a worker's.
---@field getProperty (fun(self: BuildRequest, name: string, default?: any): any) One of them.
---@field sources table<integer|string, SourceStamp> Its source stamps, by number and by codebase: `branch`, `revision`, `repository`, `project`, `codebase`.

---@class Builder
---@field name string Its name.
---@field tags string[] Its tags.
---@field builderid integer Its number.
---@field getBuilderId (fun(self: Builder): integer) The same.
---@field workers WorkerForBuilder[] Its workers as `wfb`, those that are not attached, too.
---@field building { number: integer, workername: string }[] The builds that it runs now: `number`, `workername`.
---@field get_highest_priority (fun(self: Builder): integer?) The highest priority of the requests that wait; nil without any.
---@field getOldestRequestTime (fun(self: Builder): number?) When the oldest of them came, in seconds since 1970; nil without any.
---@field getNewestCompleteTime (fun(self: Builder): number?) When its last build ended, in seconds since 1970; nil without any.
---@field master Master The master.

---@class ConnectedWorker
---@field name string Its name; also `workername`.
---@field properties Properties Its properties: `properties.os`, `properties:getProperty(name, default)`.
---@field max_builds integer? How many builds it takes at once; nil: any number.
---@field state string `ready`, `detached`, `paused`, `stopping` or `quarantined`.
---@field active_builds (fun(self: ConnectedWorker): integer) How many builds run on it.
---@field isPaused (fun(self: ConnectedWorker): boolean) Is it paused?
---@field info Properties What it said of itself: `version`, `system`, `basedir`, `numcpus`, `admin`, `host` …
---@field getProperty (fun(self: ConnectedWorker, name: string, default?: any): any) One of its properties.
---@field quarantine_timeout number How many seconds it rests when it is put in quarantine next; may be set.
---@field putInQuarantine (fun(self: ConnectedWorker)) It gets no build for so long; the next time is twice as long.
---@field resetQuarantine (fun(self: ConnectedWorker)) The next time is as short as the first again.

---@class DataApi
---@field get (fun(self: DataApi, path: string|(string|integer)[], asked?: table): any) What REST answers to GET at that path; nil where there is nothing.

---@class HttpResponse
---@field status integer Its status; also `code`.
---@field code integer The same.
---@field reason string What the status is called.
---@field ok boolean Is the status below 400?
---@field url string Where it came from in the end.
---@field headers table<string, string> By name; how a name is written does not matter.
---@field text string Its content.
---@field json any Its content, decoded.
---@field content (fun(): string) The content; what else is named like a function in Python is a value here.
---@field raise_for_status (fun()) Raises unless it is `ok`.
---@field body Stream? With `stream = true`, in place of `text`, `json` and `content`: what is read with the call that asked for it.

---@class LatentWorker
---@field [string] any The argument of that name, one that the class declares too, rendered for the build where it is to be rendered: `self.rack_url`. `self.name` is the worker's; `self.password` is known in `start_instance` only.
---@field launch_id string? What marks the machine from its birth, 32 hexadecimal digits; known in all methods of a backend but `list_instances`. A second start with one launch_id must start nothing and answer as the first.
---@field master_id string The mark of this master on its machines.
---@field master_host string? Where workers find the master: the interface that it listens on, or the machine's name.
---@field master_port integer? The port for workers.
---@field workername string The worker's name. Fields that a method sets are there in its next calls for this worker, until the configuration is loaded again: what a machine can't be stopped without belongs into its handle, which is in the ledger.

---@class Log
---@field addStdout (fun(self: Log, text: string)) Output.
---@field addStderr (fun(self: Log, text: string)) Error output.
---@field addHeader (fun(self: Log, text: string)) A header.
---@field addContent (fun(self: Log, text: string)) The same as `addStdout`.
---@field finish (fun(self: Log)) Nothing follows.
---@field getName (fun(self: Log): string) Its name.
---@field getText (fun(self: Log): string) Its content without headers.
---@field getTextWithHeaders (fun(self: Log): string) Its content.
---@field readlines (fun(self: Log): string[]) Its lines.

---@class Master
---@field config { title: string, titleURL: string, buildbotURL: string } What the configuration says: `title`, `titleURL`, `buildbotURL`.
---@field data DataApi `data:get("builders/1/builds?limit=5")` or `data:get({ "builders", 1, "builds" }, { limit = 5 })`: what the REST API answers to GET at that path, as `{ builds = { … }, meta = { total = … } }`; nil where there is no such thing. Waits.

---@class MessageContext
---@field results Results? How the build ended, or the build set; nil while it runs.
---@field result_names string[] What results are called: in a template `result_names[results]`, here `result_names[results + 1]`.
---@field mode string[] The modes of the generator.
---@field buildername string The builder.
---@field workername string The worker.
---@field build table The build as REST shows it, with `builder`, `buildrequest`, `buildset`, `url`, and as they are wanted `properties` (of name to value and source), `steps`, their `logs`, and `content` of these.
---@field builds table[] All of them, of a build set.
---@field buildset table The build set as REST shows it.
---@field is_buildset boolean Is the message about a build set?
---@field previous_results Results? How the builder's build before ended.
---@field status_detected string What became of it, such as `new failure`.
---@field summary string The same as a sentence.
---@field blamelist string[] Who is responsible.
---@field projects string The projects of the source stamps, or the title.
---@field sourcestamps string What was built.
---@field build_url string Where the build is shown.
---@field buildbot_title string The title of the configuration.
---@field buildbot_url string Where the master is.
---@field state string Of a worker: `missing` or `returned`.
---@field worker table Of a worker: `name`, `notify`, `workerinfo`, `last_connection`, `last_seen`, `connected_from`, `building`.

---@class Process
---@field pid integer Its number, which is its group's, too.
---@field started string What tells it from later processes of that number; text that may be kept.
---@field stdin ProcessInput? With `stdin = "pipe"`.
---@field stdout Stream? With `stdout = "pipe"`; what is not read makes the program wait.
---@field stderr Stream? With `stderr = "pipe"`.
---@field wait (fun(self: Process, seconds?: number|string): { status: integer?, signal: integer? }?) Waits for its end; nil if it still runs after that long.
---@field kill (fun(self: Process, signal?: string|integer): boolean) Sends a signal (`"TERM"`) to its group; false if it has ended.

---@class ProcessInput
---@field write (fun(self: ProcessInput, text: string)) Waits until the program has room for it.
---@field close (fun(self: ProcessInput)) The program sees the end of its input.

---@class Properties
---@field [string] any The property of that name; also `props["a name"]`. Nil without one, or if it is null.
---@field getProperty (fun(self: Properties, name: string, default?: any): any) The same, with what stands in for one that is not there.
---@field hasProperty (fun(self: Properties, name: string): boolean) Is there such a property? Also one that is null.
---@field asDict (fun(self: Properties): table<string, any>) All of them as a table.
---@field getBuild (fun(self: Properties): Build) The build; also `props.build`, where no property has that name.
---@field master Master The master, where no property has that name.
---@field setProperty (fun(self: Properties, name: string, value: any, source?: string)) Where they can be changed.
---@field getPropertySource (fun(self: Properties, name: string): string?) Of `util.Properties`.
---@field update (fun(self: Properties, values: table<string, any>, source?: string)) Of `util.Properties`.
---@field asList (fun(self: Properties): any[]) Of `util.Properties`.

---@class Regex
---@field match (fun(self: Regex, subject: string): RegexMatch?) As `regex.match`.
---@field search (fun(self: Regex, subject: string): RegexMatch?) As `regex.search`.
---@field fullmatch (fun(self: Regex, subject: string): RegexMatch?) As `regex.fullmatch`.
---@field find_all (fun(self: Regex, subject: string): RegexMatch[]) As `regex.find_all`.
---@field replace (fun(self: Regex, replacement: string|(fun(match: RegexMatch): string), subject: string, count?: integer): string, integer) As `regex.replace`.
---@field split (fun(self: Regex, subject: string, count?: integer): string[]) As `regex.split`.

---@class RegexMatch
---@field first integer Where it begins, as `string.sub` takes it.
---@field last integer Where it ends.
---@field [integer] any The groups; `m[0]` is the whole.
---@field [string] any The named groups.

---@class RemoteCommand
---@field rc integer? What the command returned.
---@field stdout string? Its output, with `collectStdout`.
---@field stderr string? Its error output, with `collectStderr`.
---@field updates table<string, any[]> What the worker told besides.
---@field results (fun(self: RemoteCommand): Results) Its result.
---@field didFail (fun(self: RemoteCommand): boolean) Is that FAILURE?
---@field isRunning (fun(self: RemoteCommand): boolean) Is it running?

---@class RunningStep
---@field name string Its name.
---@field build Build Its build.
---@field properties Properties The build's properties.
---@field getProperty (fun(self: RunningStep, name: string, default?: any): any) One of them.
---@field hasProperty (fun(self: RunningStep, name: string): boolean) Is there such a property?
---@field master Master The master.

---@class SourceStamp
---@field branch string? Its branch.
---@field revision string? Its revision.
---@field repository string Its repository.
---@field project string Its project.
---@field codebase string Its codebase.

---@class Stream
---@field lines (fun(self: Stream): fun(): string?) For `for line in stream:lines() do`: line by line, as they come, without their ends.
---@field read (fun(self: Stream, how?: string): string?) What is there, at least a byte; `"l"`: a line, `"a"`: all that is left, at most 16 MiB. Nil at the end. It waits.
---@field close (fun(self: Stream)) Nothing more is read.

---@class Template
---@field render (fun(self: Template, context?: table): string) The text for these values.

---@class WarningMatch
---@field group (fun(self: WarningMatch, which?: integer|string): string?) The whole, a group by number or by name.

---@class WorkerForBuilder
---@field name string The worker's name.
---@field worker ConnectedWorker The worker.
---@field attached boolean Is it connected?
---@field isBusy (fun(self: WorkerForBuilder): boolean) Does it run a build of this builder?
---@field isAvailable (fun(self: WorkerForBuilder): boolean) Could it take a build of this builder now?

---A running step, for `run` and the other methods of one's own.

---@class Step
---@field run (fun(self: Step): Results?) To be written by a step of one's own; returns the result. It may wait for ever. `Class.super.run(self)` is what the host's step does.
---@field evaluateCommand (fun(self: Step, cmd: RemoteCommand): Results) May be written: the result of a command of the host's step; `cmd.rc`, `cmd:results()`, `cmd:didFail()`.
---@field createSummary (fun(self: Step)) May be written: called after a command of the host's step, to make logs of its own.
---@field getCurrentSummary (fun(self: Step): string|{ step?: string }) May be written: text or `{ step = … }` while it runs.
---@field getResultSummary (fun(self: Step): string|{ step?: string, build?: string }) May be written: text or `{ step = …, build = … }` at the end; `self.results` is known.
---@field interrupt (fun(self: Step, reason: string)) May be written: called when the build is to stop, beside `run`, whose command is interrupted.
---@field makeRemoteShellCommand (fun(self: Step, options?: table): RemoteCommand) A command line for the worker, as in `self:makeRemoteShellCommand{ command = … }`; what is not given is the step's own: all options of ShellCommand, `collectStdout`, `collectStderr`, `stdioLogName`.
---@field runCommand (fun(self: Step, cmd: RemoteCommand): Results) Runs it to its end and returns its result; raises when the worker is lost or the build stopped. Afterwards `cmd.rc`, `cmd.stdout`, `cmd.stderr`, `cmd:didFail()`.
---@field runShellSequence (fun(self: Step, list: ShellArg[], options?: table): Results) Runs `util.ShellArg`s one after the other and returns the result.
---@field addLogObserver (fun(self: Step, log: string, observer: (fun(stream: string, line: string))|table)) A `function(stream, line)` for output (`"o"`, `"e"`), or an instance of `util.LogLineObserver`, `LogObserver`, `LineConsumerLogObserver`, `BufferLogObserver`; in init or run.
---@field addLog (fun(self: Step, name: string, type?: string): Log) A new log, type `"s"` (output), `"t"` or `"h"`: `addStdout addStderr addHeader addContent finish`.
---@field getLog (fun(self: Step, name: string): Log) The newest log of that name: `getText()`, `getTextWithHeaders()`, `readlines()`, at most 16 MiB.
---@field addCompleteLog (fun(self: Step, name: string, text: string)) A log that is finished at once.
---@field addHTMLLog (fun(self: Step, name: string, html: string)) The same as HTML.
---@field addURL (fun(self: Step, name: string, url: string)) A link of the step.
---@field updateSummary (fun(self: Step)) Shows what `getCurrentSummary` says, twice a second at most.
---@field render (fun(self: Step, x: any): any) What `x` with all that is to be rendered in it is in this build.
---@field getProperty (fun(self: Step, name: string, default?: any): any) A property of the build, as it is now.
---@field hasProperty (fun(self: Step, name: string): boolean) Is there such a property?
---@field setProperty (fun(self: Step, name: string, value: any, source?: string)) Sets a property of the build; plain data.
---@field getProperties (fun(self: Step): Properties) `self.build.properties`.
---@field setStatistic (fun(self: Step, name: string, value: any)) A number or text for `getStatistic` and `self.build:getSummaryStatistic`.
---@field getStatistic (fun(self: Step, name: string, default?: any): any) What was set so.
---@field hasStatistic (fun(self: Step, name: string): boolean) Was it set?
---@field addStepsAfterCurrentStep (fun(self: Step, list: Step[])) Further steps of this build, as in `self:addStepsAfterCurrentStep{ a, b }`, before all that wait.
---@field addStepsAfterLastStep (fun(self: Step, list: Step[])) The same after all that wait.
---@field checkWorkerHasCommand (fun(self: Step, name: string)) Raises if the worker does not know the command.
---@field workerVersion (fun(self: Step, command: string, default?: string): string?) The worker's version of a command.
---@field workerVersionIsOlderThan (fun(self: Step, command: string, version: string): boolean) Is it older, or not there?
---@field getWorkerName (fun(self: Step): string) The same as `self.workername`.
---@field setProgress (fun(self: Step, metric: string, value: any)) Has no effect.
---@field setupShellMixin (fun(self: Step, args: table): table) Returns `args`: every step takes the arguments of commands.
---@field results Results?
---@field build Build
---@field worker { name: string }
---@field workername string
