-- What functions of the file are called with, and what their answers may be. One entry per kind of callback in `P.invoke`.
local P = ...
local lib = P.lib
local setmetatable, rawget, type, pairs, ipairs, error, tostring = lib.setmetatable, lib.rawget, lib.type, lib.pairs, ipairs, lib.error, lib.tostring
local tonumber, tointeger, unpack = tonumber, math.tointeger, table.unpack
local NULL = P.null

local invoke = {}
P.invoke = invoke

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
function props_methods:getBuild() return rawget(self, "build") end

local props_mt = {
  __index = function(self, name)
    local method = props_methods[name]
    if method then return method end
    local value = values[self][name]
    if value == NULL then return nil end
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

local function with_properties(methods)
  function methods:getProperty(name, default) return self.properties:getProperty(name, default) end
  function methods:hasProperty(name) return self.properties:hasProperty(name) end
  return methods
end

local build_methods = with_properties{}
function build_methods:getProperties() return self.properties end
function build_methods:getWorkerName() return self.workername end
local build_mt = strict("Build", build_methods)
local function build(data, props)
  if not data then return nil end
  data.properties = props
  data.builder = { name = data.builder }
  return setmetatable(data, build_mt)
end

local builder_methods = {}
function builder_methods:getBuilderId() return self.builderid end
function builder_methods:get_highest_priority() return rawget(self, "highest_priority") end
function builder_methods:getNewestCompleteTime() return rawget(self, "newest_complete_time") end
function builder_methods:getOldestRequestTime() return rawget(self, "oldest_request_time") end
local builder_mt = strict("Builder", builder_methods)
local function builder(data)
  clean(data)
  local running = {}
  for i = 1, data.building or 0 do running[i] = { number = i } end
  data.building = running
  local workers = {}
  for i, name in ipairs(data.workers or {}) do workers[i] = { name = name, worker = { name = name } } end
  data.workers = workers
  return setmetatable(data, builder_mt)
end

local worker_methods = with_properties{}
function worker_methods:active_builds() return self.active end
function worker_methods:putInQuarantine() self.quarantined = true end
function worker_methods:resetQuarantine() self.quarantined = false end
function worker_methods:isPaused() return self.state == "paused" end
local worker_mt = strict("Worker", worker_methods)

local wfb_methods = {}
function wfb_methods:isBusy() return self.busy end
function wfb_methods:isAvailable()
  local worker = self.worker
  return self.attached and not self.busy and (nothing(worker.max_builds) or worker.active < worker.max_builds)
end
local wfb_mt = strict("WorkerForBuilder", wfb_methods)
local function worker_for_builder(data)
  clean(data)
  local worker = setmetatable({
    name = data.name, workername = data.name, max_builds = data.max_builds, state = data.state, active = data.active_builds,
    info = data.info, attached = data.attached, properties = properties(data.properties),
  }, worker_mt)
  return setmetatable({ name = data.name, worker = worker, attached = data.attached, busy = data.busy }, wfb_mt)
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

local function describe(v) return P.describe(v) end

local function master() return P.master end

-- The name of a builder or worker that a function gave back.
local function name_of(answer)
  if type(answer) == "string" then return answer end
  if type(answer) == "table" then
    local worker = rawget(answer, "worker")
    return (type(worker) == "table" and rawget(worker, "name")) or rawget(answer, "name")
  end
end

function invoke.render(f, input)
  local props = properties(clean(input).properties)
  if input.build then lib.rawset(props, "build", build(input.build, props)) end
  return f(props)
end

function invoke.transform(f, count, values)
  for i = 1, count do
    if values[i] == NULL then
      values[i] = nil
    elseif type(values[i]) == "table" then
      clean(values[i])
    end
  end
  return f(unpack(values, 1, count))
end

local step_mt = strict("Step", with_properties{})
local function step(input)
  local props = properties(clean(input).properties)
  return setmetatable({ name = input.name, properties = props, build = build(input.build, props) }, step_mt)
end

function invoke.step_condition(f, results, input)
  local answer
  if not nothing(results) then answer = f(results, step(input)) else answer = f(step(input)) end
  return truthy(answer)
end

function invoke.next_worker(f, b, workers, r)
  local offered = map(workers, worker_for_builder)
  local answer = f(builder(b), offered, request(r))
  if nothing(answer) then return nil end
  local name = name_of(answer)
  if not name then error("must return one of the workers or nil, got " .. describe(answer), 0) end
  for _, worker in ipairs(offered) do
    if worker.name == name then return name end
  end
  error(("returned the worker '%s', which was not offered"):format(tostring(name)), 0)
end

function invoke.next_build(f, b, requests)
  local offered = map(requests, request)
  local answer = f(builder(b), offered)
  if nothing(answer) then return nil end
  local id = type(answer) == "table" and rawget(answer, "id") or nil
  if id == nil then error("must return one of the requests or nil, got " .. describe(answer), 0) end
  for _, r in ipairs(offered) do
    if r.id == id then return id end
  end
  error(("returned the request %s, which was not offered"):format(tostring(id)), 0)
end

function invoke.can_start_build(f, b, w, r)
  local wfb = worker_for_builder(w)
  local answer, seconds = f(builder(b), wfb, request(r))
  if answer == true then return { yes = true } end
  if nothing(answer) or answer == false then
    if nothing(seconds) and rawget(wfb.worker, "quarantined") then seconds = rawget(wfb.worker, "quarantine_timeout") end
    if not nothing(seconds) and (type(seconds) ~= "number" or not (seconds >= 0 and seconds < 1e9)) then
      error("the second result must be a number of seconds, got " .. describe(seconds), 0)
    end
    return { yes = false, again_in = not nothing(seconds) and seconds or nil }
  end
  error("must return true or false, got " .. describe(answer), 0)
end

function invoke.prioritize_builders(f, builders)
  local offered = map(builders, builder)
  local given = {}
  for i, b in ipairs(offered) do given[i] = b end
  local answer = f(master(), given)
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
  return names
end

function invoke.collapse_requests(f, b, one, two)
  return truthy(f(master(), builder(b), request(one), request(two)))
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
    if type(file) == "table" and line == nil and text == nil then file, line, text = file[1], file[2], file[3] end
    if nothing(line) then line = nil end
    if line ~= nil then
      local number = tointeger(type(line) == "string" and tonumber(line) or line)
      if not number then error("must return the line's number or nil, got " .. describe(line), 0) end
      line = number
    end
    return { file = optional_text(file, "the file"), line = line, text = optional_text(text, "the text") }
  end)
end

function P.set_master(config)
  P.master = setmetatable({ config = config }, strict("Master", {}, { db = "there is no master.db: use master.data" }))
end
