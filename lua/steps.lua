-- Steps of one's own while they run: what `self` offers, the objects that it hands out, and the observers of logs.
-- A step is made anew for each build; `record.live` is the host's side of the running step, nothing before and after.
local P = ...
local G, host, lib, records = P.globals, P.host, P.lib, P.records
local setmetatable, rawget, rawset, type, pairs, ipairs, error, tostring = lib.setmetatable, lib.rawget, lib.rawset, lib.type, lib.pairs, ipairs, lib.error, lib.tostring
local gmatch, concat, sort, next, tonumber = string.gmatch, lib.concat, lib.sort, next, tonumber
local NULL, own_member, to_render, is_plain = P.null, P.own_member, P.to_render, P.is_plain

-- The record of a step that runs now.
local function running(self, method)
  local record = records[self]
  if not record then error(("write self:%s(…), with a colon"):format(method), 0) end
  if not record.live then error(("self:%s works only while the step runs: call it in run()"):format(method), 0) end
  return record
end

local function text_of(value, method, what)
  if type(value) == "number" then return tostring(value) end
  if type(value) ~= "string" then error(("%s: %s must be text, got %s"):format(method, what, P.describe(value)), 0) end
  return value
end

local function objects_of(kind, methods)
  return {
    __index = function(_, key) return methods[key] end, __name = kind, __metatable = kind,
    __tostring = function(t) return kind .. " " .. tostring(rawget(t, "name") or "") end,
  }
end

-- Logs.

local log_methods = {}
local log_mt = objects_of("Log", log_methods)
local function log_object(record, id, name) return setmetatable({ live = record.live, id = id, name = name }, log_mt) end

function log_methods:addStdout(text) self.live:log_write(self.id, "o", text_of(text, "addStdout", "the text")) end
function log_methods:addStderr(text) self.live:log_write(self.id, "e", text_of(text, "addStderr", "the text")) end
function log_methods:addHeader(text) self.live:log_write(self.id, "h", text_of(text, "addHeader", "the text")) end
function log_methods:addContent(text) self.live:log_write(self.id, "o", text_of(text, "addContent", "the text")) end
function log_methods:finish() self.live:log_finish(self.id) end
function log_methods:getName() return self.name end
function log_methods:getText() return self.live:log_text(self.id, "oe") end
function log_methods:getTextWithHeaders() return self.live:log_text(self.id, "oeh") end
function log_methods:readlines()
  local lines = {}
  for line in gmatch(self.live:log_text(self.id, "o"), "([^\n]*)\n") do lines[#lines + 1] = line end
  return lines
end

-- Observers of logs: a function, or an object with one of these methods for each stream.

local received = {
  o = { "outLineReceived", "outReceived" }, e = { "errLineReceived", "errReceived" }, h = { "headerLineReceived", "headerReceived" },
}

local function feed(observer, stream, text)
  if type(observer) == "function" then
    if stream == "h" then return end
    for line in gmatch(text, "([^\n]*)\n") do observer(stream, line) end
    return
  end
  local by_line = observer[received[stream][1]]
  if by_line then
    for line in gmatch(text, "([^\n]*)\n") do by_line(observer, line) end
  else
    local whole = observer[received[stream][2]]
    if whole then whole(observer, text) end
  end
end

local function nothing() end
local LogObserver = P.plain_class("LogObserver", { outReceived = nothing, errReceived = nothing, headerReceived = nothing })
local LogLineObserver = P.plain_class("LogLineObserver", { outLineReceived = nothing, errLineReceived = nothing, headerLineReceived = nothing })
local Consumer = P.plain_class("LineConsumerLogObserver", {}, LogLineObserver)
P.add_members(Consumer, {
  init = function(self, args)
    local f = args[1] or args.consumerFunction
    if type(f) ~= "function" then error("LineConsumerLogObserver needs a function(stream, line), got " .. P.describe(f), 0) end
    self.consumer = f
  end,
  outLineReceived = function(self, line) self.consumer("o", line) end,
  errLineReceived = function(self, line) self.consumer("e", line) end,
})
local most_buffered = 16 * 1024 * 1024
local function keep(self, parts, text)
  self.size = self.size + #text
  if self.size > most_buffered then error("BufferLogObserver holds at most 16 MiB", 0) end
  parts[#parts + 1] = text
end
local Buffer = P.plain_class("BufferLogObserver", {
  init = function(self, args)
    self.stdout, self.stderr, self.size = {}, {}, 0
    self.wantStdout, self.wantStderr = args.wantStdout ~= false, args.wantStderr == true
  end,
  outReceived = function(self, text) if self.wantStdout then keep(self, self.stdout, text) end end,
  errReceived = function(self, text) if self.wantStderr then keep(self, self.stderr, text) end end,
  getStdout = function(self) return concat(self.stdout) end,
  getStderr = function(self) return concat(self.stderr) end,
}, LogObserver)
local Progress = P.plain_class("OutputProgressObserver", {}, LogObserver)
for name, class in pairs{
  LogObserver = LogObserver, LogLineObserver = LogLineObserver, LineConsumerLogObserver = Consumer, BufferLogObserver = Buffer,
  OutputProgressObserver = Progress,
} do rawset(G.util, name, class) end

-- Commands on the worker.

local cmd_methods = {}
function cmd_methods:results() return rawget(self, "result") end
function cmd_methods:didFail() return rawget(self, "result") == G.FAILURE end
function cmd_methods:isRunning() return rawget(self, "runs") == true end
local cmd_mt = objects_of("RemoteCommand", cmd_methods)

local function observed(record)
  local names = {}
  for name in pairs(record.observers or {}) do names[#names + 1] = name end
  sort(names)
  return names
end

-- Runs it to its end. Observers see the output meanwhile; an error in one of them ends the command.
local function carry_out(record, request, cmd)
  local handle <close> = record.live:start(request, observed(record))
  local ended
  repeat
    local pieces
    pieces, ended = handle:next()
    for i = 1, #pieces, 3 do
      local log, stream, text = pieces[i], pieces[i + 1], pieces[i + 2]
      for _, observer in ipairs(record.observers and record.observers[log] or {}) do feed(observer, stream, text) end
    end
  until ended
  if ended.lost then error("the worker was lost: " .. ended.lost, 0) end
  if ended.stopped then error("the build is stopped: " .. ended.stopped, 0) end
  if ended.failed then error(ended.failed, 0) end
  for name, value in pairs(ended) do cmd[name] = value end
  return cmd
end

-- Any command that workers know: util.RemoteCommand{ "mkdir", { dir = "x" } } or util.RemoteCommand("mkdir", { dir = "x" }).
rawset(G.util, "RemoteCommand", function(first, args, options)
  local name = first
  if is_plain(first) then
    name, args, options = first[1] or first.remote_command, first[2] or first.args, {}
    for key, value in pairs(first) do
      if type(key) == "string" and key ~= "remote_command" and key ~= "args" then options[key] = value end
    end
  end
  if type(name) ~= "string" then error("RemoteCommand needs the command's name first, got " .. P.describe(name), 0) end
  if args ~= nil and not is_plain(args) then error("RemoteCommand: the arguments must be a table, got " .. P.describe(args), 0) end
  return setmetatable({ remote_command = name, args = args or {}, request = P.remote_request(name, args or {}, options or {}) }, cmd_mt)
end)

local base = {}
P.step_methods = base

function base:makeRemoteShellCommand(options)
  local record = running(self, "makeRemoteShellCommand")
  if options ~= nil and not is_plain(options) then error("makeRemoteShellCommand takes named arguments: { command = … }", 0) end
  local given = P.shell_arguments(self, record, options)
  return setmetatable({ remote_command = "shell", command = given.command, request = P.shell_request(given) }, cmd_mt)
end

-- The step's own options, and over them those of the call.
function P.shell_arguments(self, record, options)
  local given, by_name = {}, record.info.decl.by_name
  for _, name in ipairs(P.shell_options) do
    local value = record.fields[name]
    local arg = by_name[name]
    if value == nil and arg then
      value = record.rendered[arg.name]
      if value == nil then value = P.given(record, arg) end
      if value == nil and name == "command" then value = arg.default end
    end
    given[name] = value
  end
  for name, value in pairs(options or {}) do given[name] = value end
  return given
end

function base:runCommand(cmd)
  local record = running(self, "runCommand")
  if type(cmd) ~= "table" or lib.getmetatable(cmd) ~= "RemoteCommand" then
    error("runCommand needs what makeRemoteShellCommand or util.RemoteCommand made, got " .. P.describe(cmd), 0)
  end
  if cmd.ran then error("a command runs once: make another", 0) end
  cmd.ran = true
  carry_out(record, cmd.request, cmd)
  return cmd:results()
end

function base:runShellSequence(commands, options)
  local record = running(self, "runShellSequence")
  if not is_plain(commands) then error("runShellSequence needs a list of util.ShellArg, got " .. P.describe(commands), 0) end
  local given = P.shell_arguments(self, record, options)
  given.command = nil
  return carry_out(record, P.sequence_request(commands, given), {}).result
end

-- What the step of the host does; a step below BuildStep itself has its own.
function base:run()
  local record = running(self, "run")
  local cmd = setmetatable({ remote_command = "shell" }, cmd_mt)
  carry_out(record, nil, cmd)
  if own_member(record.info, "createSummary") then
    record.stage = "createSummary"
    self:createSummary()
    record.stage = "run"
  end
  if own_member(record.info, "evaluateCommand") then
    record.stage = "evaluateCommand"
    local answer = self:evaluateCommand(cmd)
    P.check_result(answer)
    record.stage = "run"
    return answer
  end
  return cmd:results()
end
function base:evaluateCommand(cmd) return cmd:results() end
base.createSummary, base.interrupt, base.setProgress, base.setupShellMixin = nothing, nothing, nothing, function(_, args) return args end

function base:getCurrentSummary()
  return { step = running(self, "getCurrentSummary").live:current_state() }
end
function base:getResultSummary()
  return { step = running(self, "getResultSummary").live:result_state(self.results or G.SUCCESS) }
end

-- Summaries come as text, or as { step = …, build = … }.
local function summary_of(answer, method)
  if answer == nil or answer == NULL then return nil, nil end
  if type(answer) == "string" then return answer, nil end
  if not is_plain(answer) then error(("%s must return text or { step = … }, got %s"):format(method, P.describe(answer)), 0) end
  local step, build = answer.step, answer.build
  for _, value in ipairs{ step or "", build or "" } do
    if type(value) ~= "string" then error(("%s: a summary must be text, got %s"):format(method, P.describe(value)), 0) end
  end
  return step, build
end

function base:updateSummary()
  local record = running(self, "updateSummary")
  if record.live:summary_due() then record.live:show_summary((summary_of(self:getCurrentSummary(), "getCurrentSummary"))) end
end

function base:addLogObserver(log, observer)
  local record = records[self]
  if not record or not (record.live or record.constructing) then error("addLogObserver is for init and run()", 0) end
  text_of(log, "addLogObserver", "the log's name")
  local fits = type(observer) == "function"
  if type(observer) == "table" and lib.getmetatable(observer) ~= "class" then
    for _, names in pairs(received) do fits = fits or observer[names[1]] ~= nil or observer[names[2]] ~= nil end
  end
  if not fits then
    error("addLogObserver needs a function(stream, line) or an instance such as util.LogLineObserver:extend(\"X\")(), got " ..
      (lib.getmetatable(observer) == "class" and "the class itself: call it" or P.describe(observer)), 0)
  end
  if type(observer) == "table" then observer.step = self end
  record.observers = record.observers or {}
  record.observers[log] = record.observers[log] or {}
  local list = record.observers[log]
  list[#list + 1] = observer
end

function base:addLog(name, kind)
  local record = running(self, "addLog")
  text_of(name, "addLog", "the name")
  if is_plain(kind) then kind = kind.type or kind.logType end
  return log_object(record, record.live:add_log(name, kind or "s"), name)
end

function base:getLog(name)
  local record = running(self, "getLog")
  local id = record.live:log_named(text_of(name, "getLog", "the name"))
  if not id then error(("the step has no log '%s' yet"):format(name), 0) end
  return log_object(record, id, name)
end

local function whole_log(self, method, name, text, kind)
  local record = running(self, method)
  local id = record.live:add_log(text_of(name, method, "the name"), kind)
  record.live:log_write(id, "o", text_of(text, method, "the text"))
  record.live:log_finish(id)
end
function base:addCompleteLog(name, text) whole_log(self, "addCompleteLog", name, text, "t") end
function base:addHTMLLog(name, html) whole_log(self, "addHTMLLog", name, html, "h") end

function base:addURL(name, url)
  running(self, "addURL").live:add_url(text_of(name, "addURL", "the name"), text_of(url, "addURL", "the address"))
end

function base:render(value)
  local record = running(self, "render")
  if not to_render(value) then return value end
  value = record.live:render{ value = value }.value
  if value == NULL then return nil end
  return value
end

function base:setStatistic(name, value) running(self, "setStatistic").live:set_statistic(text_of(name, "setStatistic", "the name"), value) end
function base:getStatistic(name, default)
  local value = running(self, "getStatistic").live:statistic(name)
  if value == nil then return default end
  return value
end
function base:hasStatistic(name) return running(self, "hasStatistic").live:statistic(name) ~= nil end

function base:workerVersion(command, default)
  local version = running(self, "workerVersion").live:command_version(command)
  if version == nil then return default end
  return version
end
function base:checkWorkerHasCommand(command)
  if not running(self, "checkWorkerHasCommand").live:command_version(text_of(command, "checkWorkerHasCommand", "the name")) then
    error(("worker %s does not know the command '%s'"):format(self.workername, command), 0)
  end
end
function base:workerVersionIsOlderThan(command, version)
  local there = running(self, "workerVersionIsOlderThan").live:command_version(command)
  local a, b = gmatch(there or "", "%d+"), gmatch(text_of(version, "workerVersionIsOlderThan", "the version"), "%d+")
  if not there then return true end
  while true do
    local x, y = tonumber((a())), tonumber((b()))
    if not y then return false end
    if not x or x < y then return true end
    if x > y then return false end
  end
end
function base:getWorkerName() return running(self, "getWorkerName") and self.workername end

local function add_steps(live, steps, where, method)
  if records[steps] then steps = { steps } end
  if not is_plain(steps) then error(("%s needs a list of steps, got %s"):format(method, P.describe(steps)), 0) end
  local count = 0
  for i, step in ipairs(steps) do
    local record = records[step]
    if not (record and record.info.decl and record.info.decl.is_step) then
      error(("%s needs steps, got %s"):format(method, P.describe(step)), 0)
    end
    count = i
  end
  local beyond = P.beyond(steps, count)
  if beyond ~= nil then error(("%s: item %d of the list is nil, and there is more: [%s]"):format(method, count + 1, tostring(beyond)), 0) end
  live:add_steps(steps, where)
end
function base:addStepsAfterCurrentStep(steps)
  add_steps(running(self, "addStepsAfterCurrentStep").live, steps, "next", "addStepsAfterCurrentStep")
end
function base:addStepsAfterLastStep(steps)
  add_steps(running(self, "addStepsAfterLastStep").live, steps, "last", "addStepsAfterLastStep")
end

-- Properties are asked for when they are looked at: a step and its observers see what was set a moment ago.

local props_methods = {}
local function get(live, name, default)
  local value = live:property(text_of(name, "getProperty", "the name"))
  if value == nil then return default end
  if value == NULL then return nil end
  return value
end
local function set(live, name, value, source)
  if value == nil then value = NULL end
  live:set_property(text_of(name, "setProperty", "the name"), value, source ~= nil and text_of(source, "setProperty", "the source") or nil)
end
local lives = setmetatable({}, { __mode = "k" }) -- properties -> the host's side of their step
function props_methods:getProperty(name, default) return get(lives[self], name, default) end
function props_methods:hasProperty(name) return lives[self]:property(name) ~= nil end
props_methods.has_key = props_methods.hasProperty
function props_methods:setProperty(name, value, source) set(lives[self], name, value, source) end
function props_methods:asDict() return lives[self]:properties() end
function props_methods:getBuild() return rawget(self, "build") end
local props_mt = {
  __index = function(self, name)
    local method = props_methods[name]
    if method then return method end
    return get(lives[self], name)
  end,
  __newindex = function(self, name, value) set(lives[self], name, value) end,
  __pairs = function(self)
    local all, names, i = lives[self]:properties(), {}, 0
    for name in pairs(all) do names[#names + 1] = name end
    sort(names)
    return function()
      i = i + 1
      return names[i], names[i] and all[names[i]]
    end
  end,
  __name = "Properties", __metatable = "Properties",
}

function base:getProperty(name, default) return get(running(self, "getProperty").live, name, default) end
function base:hasProperty(name) return running(self, "hasProperty").live:property(name) ~= nil end
function base:setProperty(name, value, source) set(running(self, "setProperty").live, name, value, source) end
function base:getProperties() return self.build.properties end

-- The build.

local build_methods = {}
local build_mt = objects_of("Build", build_methods)
function build_methods:getProperty(name, default) return get(self.live, name, default) end
function build_methods:hasProperty(name) return self.live:property(name) ~= nil end
function build_methods:setProperty(name, value, source) set(self.live, name, value, source) end
function build_methods:getProperties() return self.properties end
function build_methods:getWorkerName() return self.workername end
function build_methods:addStepsAfterCurrentStep(steps) add_steps(self.live, steps, "next", "addStepsAfterCurrentStep") end
function build_methods:addStepsAfterLastStep(steps) add_steps(self.live, steps, "last", "addStepsAfterLastStep") end
function build_methods:getSourceStamp(codebase)
  for _, source in ipairs(self.sources) do
    if source.codebase == (codebase or "") then return source end
  end
end
function build_methods:getAllSourceStamps() return self.sources end
-- What steps said so far under this name, added up by a function of two values.
function build_methods:getSummaryStatistic(name, add, initial)
  local all = self.live:statistics(name)
  local from = 1
  if initial == nil then initial, from = all[1], 2 end
  for i = from, #all do initial = add(initial, all[i]) end
  return initial
end

local function build_object(live, facts)
  local build = facts.build
  build.live, build.builder, build.sources = live, { name = build.builder, builderid = build.builderid }, facts.sources
  build.properties = setmetatable({}, props_mt)
  lives[build.properties] = live
  rawset(build.properties, "build", setmetatable(build, build_mt))
  return build
end

-- Rendered before `run`: the arguments of the host's class, and what the class lists in `renderables`.
local function render_arguments(record, self)
  local want
  local function look(name, value)
    if to_render(value) then
      want = want or {}
      want[name] = value
    end
  end
  for name, arg in pairs(record.info.decl.by_name) do
    if arg.renderable and name == arg.name and name ~= "name" then look(name, P.given(record, arg)) end
  end
  local own = P.gathered(record.info, "renderables")
  for name in pairs(own) do
    if type(name) ~= "string" then error("renderables must be a list of names", 0) end
    look(name, self[name])
  end
  if not want then return end
  local by_name = record.info.decl.by_name
  for name, value in pairs(record.live:render(want)) do
    if by_name[name] then
      record.rendered[name] = value
    else
      if value == NULL then value = nil end
      record.fields[name] = value
    end
  end
end

function P.check_result(results)
  if lib.math_type(results) ~= "integer" or results < 0 or results > 6 then
    local got = results == nil and "nothing" or P.describe(results)
    error("must return a result such as util.SUCCESS or util.FAILURE, got " .. got, 0)
  end
end

local begin = {}
P.step = begin

function begin.run(self, live, facts)
  local record = records[self]
  record.live, record.rendered, record.stage = live, { name = facts.name }, "run"
  local fields = record.fields
  fields.build, fields.worker, fields.workername = build_object(live, facts), facts.worker, facts.worker.name
  fields.stepid, fields.number = facts.stepid, facts.number
  render_arguments(record, self)
  local workdir = record.info.decl.by_name.workdir
  if record.rendered.workdir == nil and (P.given(record, workdir) == nil or P.given(record, workdir) == NULL) then
    record.rendered.workdir = facts.workdir
  end
  local results = self:run()
  record.stage = "run"
  P.check_result(results)
  fields.results = results
  local step, build
  if own_member(record.info, "getResultSummary") then
    record.stage = "getResultSummary"
    step, build = summary_of(self:getResultSummary(), "getResultSummary")
  end
  return { results = results, step = step, build = build }
end

function begin.interrupt(self, _, reason)
  self:interrupt(reason)
end

function begin.current_summary(self)
  return (summary_of(self:getCurrentSummary(), "getCurrentSummary"))
end

for _, decl in ipairs(P.decls) do
  if decl.is_step then P.add_members(rawget(G.steps, decl.name), base) end
end

-- Mixins as Buildbot has them: every step can run commands, so the first is there for its name.

rawset(G.steps, "ShellMixin", { setupShellMixin = base.setupShellMixin })

local command = {}
local function remote(self, name, args, abandon)
  local cmd = G.util.RemoteCommand(name, args)
  self:runCommand(cmd)
  if abandon and cmd:didFail() then
    -- Whoever catches it and goes on has not abandoned the step.
    local why = ("%s failed with %s"):format(name, tostring(cmd.rc))
    records[self].abandoned = why
    error(why, 0)
  end
  return cmd
end
local function abandons(options)
  return not (is_plain(options) and options.abandonOnFailure == false)
end
function command:runRmdir(dir, options)
  return not remote(self, "rmdir", { dir = dir, logEnviron = false }, abandons(options)):didFail()
end
function command:runRmFile(path, options)
  return not remote(self, "rmfile", { path = path, logEnviron = false }, abandons(options)):didFail()
end
function command:runMkdir(dir, options)
  return not remote(self, "mkdir", { dir = dir, logEnviron = false }, abandons(options)):didFail()
end
function command:pathExists(path)
  return not remote(self, "stat", { file = path, logEnviron = false }, false):didFail()
end
function command:runGlob(path, options)
  local cmd = remote(self, "glob", { path = path, logEnviron = false }, abandons(options))
  local files = cmd.updates.files
  return files and files[#files] or {}
end
rawset(G.steps, "CommandMixin", command)
