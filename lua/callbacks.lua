-- What functions of the file are called with, and what their answers may be. One entry per kind of callback in `P.invoke`.
local P = ...
local lib = P.lib
local setmetatable, rawget, type, pairs, ipairs, error, tostring = lib.setmetatable, lib.rawget, lib.type, lib.pairs, ipairs, lib.error, lib.tostring
local tonumber, tointeger, unpack = tonumber, math.tointeger, table.unpack
local NULL = P.null

local invoke = {}
P.invoke = invoke

local describe = P.describe
local function nothing(v) return v == nil or v == NULL end

-- Where JSON has null, functions see nil. Only a property that is null is kept as such: it is there, and is nothing.
local function clean(t)
  for key, value in next, t do
    if value == NULL then
      t[key] = nil
    elseif type(value) == "table" and key ~= "properties" then
      clean(value)
    end
  end
  return t
end
P.clean = clean

-- With plain data, for tests.
function invoke.plain(f, ...)
  local args = lib.pack(...)
  for i = 1, args.n do
    if args[i] == NULL then args[i] = nil elseif type(args[i]) == "table" then clean(args[i]) end
  end
  return f(unpack(args, 1, args.n))
end

-- Python's rule, so that a predicate that hands a property on means the same.
local function truthy(v)
  if nothing(v) or v == false or v == 0 or v == "" then return false end
  if type(v) == "table" and next(v) == nil and not P.records[v] then return false end
  return true
end
P.globals.truthy = truthy

local function strict(kind, methods, hints)
  return {
    __index = function(_, key)
      local value = methods[key]
      if value == nil and hints and hints[key] then error(hints[key], 0) end
      return value
    end,
    __name = kind, __metatable = kind, __tostring = function(t) return kind .. " " .. tostring(rawget(t, "name") or rawget(t, "id") or "") end,
  }
end

-- Properties of a build: `props.name` is the value, methods are found by the colon.
local values = setmetatable({}, { __mode = "k" })
local builds = setmetatable({}, { __mode = "k" }) -- properties -> their build
local props_methods = {}
function props_methods:getProperty(name, default)
  local value = values[self][name]
  if value == nil then return default end
  if value == NULL then return nil end
  return value
end
function props_methods:hasProperty(name) return values[self][name] ~= nil end
props_methods.has_key = props_methods.hasProperty
function props_methods:setProperty() error("properties can't be set here: use a SetProperty step", 0) end
function props_methods:getBuild() return builds[self] end
function props_methods:asDict()
  local all = {}
  for name, value in next, values[self] do
    if value ~= NULL then all[name] = value end
  end
  return all
end

local props_mt = {
  __index = function(self, name)
    local method = props_methods[name]
    if method then return method end
    local value = values[self][name]
    if value == NULL then return nil end
    -- A property of that name hides what is beside the properties.
    if value == nil and name == "build" then return builds[self] end
    if value == nil and name == "master" then return P.master end
    return value
  end,
  __newindex = function() error("properties can't be set here: use a SetProperty step", 0) end,
  __pairs = function(self)
    local names = {}
    for name in pairs(values[self]) do names[#names + 1] = name end
    lib.sort(names)
    local i = 0
    return function()
      i = i + 1
      if names[i] ~= nil then
        local value = values[self][names[i]]
        if value == NULL then value = false end
        return names[i], value
      end
    end
  end,
  __name = "Properties", __metatable = "Properties",
}

local function properties(table_of_values)
  local self = setmetatable({}, props_mt)
  values[self] = table_of_values
  for _, value in next, table_of_values do
    if type(value) == "table" then clean(value) end
  end
  return self
end

P.properties_of = properties

-- What the host reads of an object that is no more than a table of values.
P.plain = values

local function with_properties(methods)
  function methods:getProperty(name, default) return self.properties:getProperty(name, default) end
  function methods:hasProperty(name) return self.properties:hasProperty(name) end
  return methods
end

local build_methods = with_properties{}
function build_methods:getProperties() return self.properties end
function build_methods:getWorkerName() return self.workername end
function build_methods:getAllSourceStamps() return self.sources end
function build_methods:getSourceStamp(codebase)
  for _, source in ipairs(self.sources) do
    if source.codebase == (codebase or "") then return source end
  end
end
local no_db = { db = "there is no master.db: use master.data" }
local build_mt = strict("Build", build_methods)
local function build(data, props)
  if not data then return nil end
  data.properties, data.master = props, P.master
  data.builder = { name = data.builder, master = P.master }
  builds[props] = setmetatable(data, build_mt)
  return data
end

function P.build_of(data, props) return build(data, props) end
P.clean, P.nothing = clean, nothing

local worker_methods = with_properties{}
local rests = setmetatable({}, { __mode = "k" })  -- worker -> how long it would rest, as it was told
local orders = setmetatable({}, { __mode = "k" }) -- worker -> what was ordered for it
function worker_methods:active_builds() return self.active end
function worker_methods:putInQuarantine() orders[self] = "put" end
function worker_methods:resetQuarantine() orders[self] = "reset" end
function worker_methods:isPaused() return self.state == "paused" end
local worker_mt = strict("Worker", worker_methods)

-- The workers that a call is about, by name: builders that share one see the same object.
local function crew(list)
  local workers = {}
  for _, data in ipairs(list) do
    clean(data)
    workers[data.name] = setmetatable({
      name = data.name, workername = data.name, max_builds = data.max_builds, state = data.state, active = data.active_builds,
      info = properties(data.info), attached = data.attached, properties = properties(data.properties),
      quarantine_timeout = data.quarantine_timeout,
    }, worker_mt)
    rests[workers[data.name]] = data.quarantine_timeout
  end
  return workers
end

-- An answer, with what was ordered for the workers.
local function decided(answer, workers)
  local names, list = {}, {}
  for name in pairs(workers) do names[#names + 1] = name end
  lib.sort(names)
  for _, name in ipairs(names) do
    local worker = workers[name]
    local rest = rawget(worker, "quarantine_timeout")
    if type(rest) ~= "number" or not (rest >= 0 and rest < 1e9) then
      error("quarantine_timeout must be a number of seconds, got " .. describe(rest), 0)
    end
    local set = rest ~= rests[worker]
    if set or orders[worker] then
      list[#list + 1] = { worker = name, order = orders[worker], seconds = set and rest or nil }
    end
  end
  return { answer = answer, orders = list }
end

local wfb_methods = {}
function wfb_methods:isBusy() return self.busy end
function wfb_methods:isAvailable()
  local worker = self.worker
  return self.attached and not self.busy and worker.state == "ready" and (worker.max_builds == nil or worker.active < worker.max_builds)
end
local wfb_mt = strict("WorkerForBuilder", wfb_methods)

local builder_methods = {}
function builder_methods:getBuilderId() return self.builderid end
function builder_methods:get_highest_priority() return rawget(self, "highest_priority") end
function builder_methods:getNewestCompleteTime() return rawget(self, "newest_complete_time") end
function builder_methods:getOldestRequestTime() return rawget(self, "oldest_request_time") end
local builder_mt = strict("Builder", builder_methods)
local function builder(data, crew)
  clean(data)
  local busy = {}
  for _, running in ipairs(data.building) do busy[running.workername] = true end
  local workers = {}
  for _, name in ipairs(data.workers) do
    local worker = crew[name]
    if worker then
      workers[#workers + 1] = setmetatable({
        name = name, workername = name, worker = worker, attached = worker.attached, busy = busy[name] or false,
      }, wfb_mt)
    end
  end
  data.workers, data.master = workers, P.master
  return setmetatable(data, builder_mt)
end

-- The builder's view of its workers of these names.
local function among(builder, names)
  local wanted, found = {}, {}
  for _, name in ipairs(names) do wanted[name] = true end
  for _, wfb in ipairs(builder.workers) do
    if wanted[wfb.name] then found[#found + 1] = wfb end
  end
  return found
end

local request_methods = with_properties{}
local request_mt = strict("BuildRequest", request_methods)
local function request(data)
  clean(data)
  data.properties = properties(data.properties)
  for i, source in ipairs(data.sources or {}) do data.sources[source.codebase] = source end
  return setmetatable(data, request_mt)
end

local function map(list, f)
  local out = {}
  for i, item in ipairs(list) do out[i] = f(item) end
  return out
end

-- The name of a builder or worker that a function gave back.
local function name_of(answer)
  if type(answer) == "string" then return answer end
  if type(answer) == "table" then
    local worker = rawget(answer, "worker")
    return (type(worker) == "table" and rawget(worker, "name")) or rawget(answer, "name")
  end
end

-- Values that were rendered, as a function is to see them.
local function plain(count, values)
  for i = 1, count do
    if values[i] == NULL then
      values[i] = nil
    elseif type(values[i]) == "table" then
      clean(values[i])
    end
  end
  return unpack(values, 1, count)
end

function invoke.render(f, input, count, values)
  local props = properties(clean(input).properties)
  build(input.build, props)
  return f(props, plain(count, values))
end

function invoke.transform(f, count, values) return f(plain(count, values)) end

local step_mt = strict("Step", with_properties{})
local function step(input)
  local props = properties(clean(input).properties)
  return setmetatable({ name = input.name, properties = props, build = build(input.build, props), master = P.master }, step_mt)
end

function invoke.step_condition(f, results, input)
  local answer
  if not nothing(results) then answer = f(results, step(input)) else answer = f(step(input)) end
  if type(answer) == "function" or (type(answer) == "table" and lib.getmetatable(answer) ~= nil) then
    error("must return true or false, got " .. describe(answer), 0)
  end
  return truthy(answer)
end

function invoke.next_worker(f, b, workers, names, r)
  local crew = crew(workers)
  local asked = builder(b, crew)
  local offered = among(asked, names)
  local answer = f(asked, map(offered, function(wfb) return wfb end), request(r))
  if nothing(answer) then return decided(nil, crew) end
  local name = name_of(answer)
  if type(name) ~= "string" then error("must return one of the workers or nil, got " .. describe(answer), 0) end
  for _, wfb in ipairs(offered) do
    if wfb.name == name then return decided(name, crew) end
  end
  error(("returned the worker '%s', which was not offered"):format(name), 0)
end

function invoke.next_build(f, b, workers, requests)
  local crew, offered = crew(workers), {}
  local answer = f(builder(b, crew), map(requests, function(r)
    offered[r.id] = true
    return request(r)
  end))
  if nothing(answer) then return decided(nil, crew) end
  local id = type(answer) == "table" and rawget(answer, "id") or nil
  if id == nil then error("must return one of the requests or nil, got " .. describe(answer), 0) end
  if not offered[id] then error(("returned the request %s, which was not offered"):format(tostring(id)), 0) end
  return decided(id, crew)
end

function invoke.can_start_build(f, b, workers, name, r)
  local crew = crew(workers)
  local asked = builder(b, crew)
  local wfb = among(asked, { name })[1]
  local answer, seconds = f(asked, wfb, request(r))
  if answer == true then return decided({ yes = true }, crew) end
  if not nothing(answer) and answer ~= false then error("must return true or false, got " .. describe(answer), 0) end
  if nothing(seconds) and orders[wfb.worker] == "put" then seconds = rawget(wfb.worker, "quarantine_timeout") end
  if not nothing(seconds) and (type(seconds) ~= "number" or not (seconds >= 0 and seconds < 1e9)) then
    error("the second result must be a number of seconds, got " .. describe(seconds), 0)
  end
  return decided({ yes = false, again_in = not nothing(seconds) and seconds or nil }, crew)
end

function invoke.prioritize_builders(f, builders, workers)
  local crew = crew(workers)
  local offered = map(builders, function(b) return builder(b, crew) end)
  local answer = f(P.master, map(offered, function(b) return b end))
  if type(answer) ~= "table" then error("must return the list of builders, got " .. describe(answer), 0) end
  local known, taken, names = {}, {}, {}
  for _, b in ipairs(offered) do known[b.name] = true end
  for _, b in ipairs(answer) do
    local name = name_of(b)
    if not name or not known[name] then
      error(("returned %s, which was not offered"):format(name and "the builder '" .. tostring(name) .. "'" or describe(b)), 0)
    end
    if not taken[name] then
      taken[name] = true
      names[#names + 1] = name
    end
  end
  for _, b in ipairs(offered) do
    if not taken[b.name] then names[#names + 1] = b.name end
  end
  return decided(names, crew)
end

function invoke.collapse_requests(f, b, workers, one, two)
  local crew = crew(workers)
  local answer = f(P.master, builder(b, crew), request(one), request(two))
  if nothing(answer) then answer = false end
  if type(answer) ~= "boolean" then error("must return true or false, got " .. describe(answer), 0) end
  return decided(answer, crew)
end

function invoke.choices(f)
  local answer = f()
  if type(answer) ~= "table" or P.records[answer] then error("must return a list of texts, got " .. describe(answer), 0) end
  local list = {}
  for i, item in ipairs(answer) do
    if type(item) ~= "string" then error(("must return a list of texts, got %s at [%d]"):format(describe(item), i), 0) end
    list[i] = item
  end
  if #list > 10000 then error(("must return 10000 texts at most, got %d"):format(#list), 0) end
  if #list == 0 and next(answer) ~= nil then error("must return a list of texts, got a table of names", 0) end
  return list
end

function invoke.parse_parameter(f, entered)
  local answer = f(entered)
  if type(answer) == "table" and lib.getmetatable(answer) ~= nil then error("must return plain data, got " .. describe(answer), 0) end
  if nothing(answer) then return nil end
  return answer
end

function invoke.extract(f, rc, stdout, stderr)
  local answer = f(rc, stdout, stderr)
  if type(answer) ~= "table" then error("must return a table of properties, got " .. describe(answer), 0) end
  return answer
end

-- The value is never told, not even if it is of the wrong kind.
function invoke.secret(get, name)
  local answer = get(name)
  if nothing(answer) then return nil end
  if type(answer) ~= "string" then error("must give the secret as text or nil, got a " .. type(answer), 0) end
  return answer
end

function invoke.lookup(f, name)
  local answer = f(name)
  if nothing(answer) then return nil end
  if type(answer) ~= "string" then error("must give an address of mail or nil, got " .. describe(answer), 0) end
  return answer
end

function invoke.send_message(f, reports) f(clean(reports)) end

function invoke.message_needed(f, build) return truthy(f(clean(build))) end

local match_methods = {}
function match_methods:group(which)
  if which == nil then which = 0 end
  local value
  if type(which) == "number" then value = self.groups_list[which + 1] else value = self.names[which] end
  if value == NULL then return nil end
  return value
end
local match_mt = strict("Match", match_methods)

local function optional_text(value, what)
  if nothing(value) then return nil end
  if type(value) ~= "string" then error(("must return %s as text or nil, got %s"):format(what, describe(value)), 0) end
  return value
end

function invoke.extract_warnings(f, input, found)
  local seen = step(input)
  return map(found, function(one)
    local file, line, text = f(seen, one.line, setmetatable({ groups_list = one.groups, names = one.names }, match_mt))
    if type(file) == "table" and lib.getmetatable(file) == nil and line == nil and text == nil then file, line, text = file[1], file[2], file[3] end
    if nothing(line) then line = nil end
    if line ~= nil then
      local number = tointeger(type(line) == "string" and tonumber(line) or line)
      if not number then error("must return the line's number or nil, got " .. describe(line), 0) end
      line = number
    end
    return { file = optional_text(file, "the file"), line = line, text = optional_text(text, "the text") }
  end)
end

-- `master.data:get(path)`: the path of the REST API, as text or in parts; what is asked for besides may stand in a table.
local function escaped(text)
  return (tostring(text):gsub("[^%w%-_.~]", function(c) return ("%%%02X"):format(c:byte()) end))
end

local function query_of(asked)
  local names, parts = {}, {}
  for name in pairs(asked) do
    if type(name) ~= "string" then error("master.data:get(path, { limit = 5, … }): the second argument has names only", 0) end
    names[#names + 1] = name
  end
  lib.sort(names)
  for _, name in ipairs(names) do
    local value = asked[name]
    for _, one in ipairs(type(value) == "table" and value or { value }) do parts[#parts + 1] = escaped(name) .. "=" .. escaped(one) end
  end
  return lib.concat(parts, "&")
end

local data = {}
function data:get(path, asked)
  if self ~= P.master.data then error("write master.data:get(path), with a colon", 0) end
  if type(path) == "table" then
    local parts = {}
    for i, part in ipairs(path) do
      if type(part) ~= "string" and lib.math_type(part) ~= "integer" then
        error(("master.data:get: part %d of the path must be text or a whole number, got %s"):format(i, describe(part)), 0)
      end
      parts[i] = escaped(part)
    end
    path = lib.concat(parts, "/")
  elseif type(path) ~= "string" then
    error("master.data:get needs a path such as \"builders/1/builds\", got " .. describe(path), 0)
  end
  if not nothing(asked) then
    if type(asked) ~= "table" then error("master.data:get(path, { limit = 5, … }): the second argument must be a table", 0) end
    path = path .. (path:find("?", 1, true) and "&" or "?") .. query_of(asked)
  end
  return P.host.data_get(path)
end

function P.set_master(config)
  P.master = setmetatable({
    config = config,
    data = setmetatable({}, strict("Data", data, { set = "master.data is read only" })),
  }, strict("Master", {}, no_db))
end
