-- What instances leave to the host: the steps that methods of factories add, steps that are made anew, and the end of the file.
local P = ...
local host, lib, records, objects, NULL = P.host, P.lib, P.records, P.objects, P.null
local type, pairs, ipairs, select, error = lib.type, lib.pairs, ipairs, lib.select, lib.error
local rawequal, next, is_plain, is_object, isinstance = rawequal, next, P.is_plain, P.is_object, P.globals.isinstance

-- Was anything put into a default that was shown?
local function changed(shown, default)
  local count = 0
  for key, value in next, shown do
    count = count + 1
    if not rawequal(default[key], value) then return true end
  end
  return count ~= #default
end

-- Which methods the classes of a file define, for the host; none if the class is the host's own.
local function methods_of(info)
  if not (info.custom and info.decl and info.decl.is_step) then return nil end
  local names, seen = {}, {}
  while info.custom do
    for name, value in pairs(info.members) do
      if type(value) == "function" and not seen[name] then
        seen[name] = true
        names[#names + 1] = name
      end
    end
    info = info.parent
  end
  return names
end

-- Steps that are made anew for each build, by number; and how many need each: the file, and what builds add.
local scripted, needed = {}, {}
function P.keep_step(step)
  local record = records[step]
  local id = record.id
  record.methods = methods_of(record.info)
  if record.methods then scripted[id], needed[id] = step, (needed[id] or 0) + 1 end
  return record
end

-- One needs it no more.
function P.forget_step(id)
  local left = (needed[id] or 0) - 1
  if left > 0 then needed[id] = left else scripted[id], needed[id] = nil, nil end
end

function P.made_anew(id)
  local old = records[scripted[id]]
  local step = P.make(old.info, old.place, lib.unpack(old.call, 1, old.call.n))
  local record = records[step]
  record.methods = old.methods
  return step, record
end

-- Methods of the host's classes.
P.methods = { BuildFactory = {} }

local Factory = P.methods.BuildFactory

local function add(self, step)
  local record = records[self]
  if not (record and isinstance(self, P.factory)) then
    error("write f:addStep(…) and f:addSteps{ … } with a colon, f being the factory", 0)
  end
  if not P.loading then error("no step can be added any more: the configuration is loaded", 0) end
  local of = records[step]
  if not is_object(step) or (of and not (of.info.decl and of.info.decl.is_step)) then
    host.mistake(("addStep needs a step, got %s"):format(P.is_class(step) and "the class itself: call it" or P.describe(step)), record.info.name)
    return
  end
  record.added = record.added or {}
  record.added[#record.added + 1] = step
end

function Factory:addStep(step) add(self, step) end

-- A key of a list that is not among its first `count` items; the smallest, so that the order of `pairs` does not show.
local function beyond(list, count)
  for _, key in ipairs(P.sorted_names(list)) do
    if not (lib.math_type(key) == "integer" and key >= 1 and key <= count) then return key end
  end
end
P.beyond = beyond

function Factory:addSteps(...)
  local n, first = select("#", ...), ...
  if not isinstance(self, P.factory) then add(self) end
  if n ~= 1 or not is_plain(first) then
    for i = 1, n do self:addStep((select(i, ...))) end
    return
  end
  local count = 0
  for i, step in ipairs(first) do
    self:addStep(step)
    count = i
  end
  local key = beyond(first, count)
  if key == nil then return end
  local name = records[self].info.name
  if lib.math_type(key) == "integer" and key > count then
    host.mistake(("addSteps: item %d of the list is nil, and more follows: leave it out, or write the step"):format(count + 1), name)
  else
    host.mistake(("addSteps takes a list of steps, got the key '%s'"):format(lib.tostring(key)), name)
  end
end

-- The methods of a class of the file, its parents' among them, for the difference to the next configuration: one table for each class.
local function code_of(codes, info)
  if not codes[info] then
    local code, custom = {}, info
    while custom.custom do
      for name, value in pairs(custom.members) do
        if type(name) == "string" and type(value) == "function" and code[name] == nil then code[name] = value end
      end
      custom = custom.parent
    end
    codes[info] = code
  end
  return codes[info]
end

-- The items with more behind the last; whatever is wrong with the list stays in it, to be told.
local function extended(list, more)
  local all, last = {}, 0
  for key, item in next, list do
    all[key] = item
    if lib.math_type(key) == "integer" and key > last then last = key end
  end
  for i, item in ipairs(more) do all[last + i] = item end
  return all
end

-- What methods added joins the arguments, in tables of the host's own: the list that was given, or the steps themselves.
local function join_steps(record)
  local items, named = record.items, record.named
  local first, steps = items[1], named.steps
  if steps ~= nil and steps ~= NULL then
    if is_plain(steps) then named.steps = extended(steps, record.added) end
  elseif next(items) == nil or (#items == 1 and (first == NULL or is_plain(first))) then
    named.steps = nil
    items[1] = extended(is_plain(first) and first or {}, record.added)
  else
    record.items = extended(items, record.added)
  end
end

-- What an instance whose init ended well leaves besides its arguments.
local function finish(self, record)
  local info, decl = record.info, record.info.decl
  if record.class == "SecretProviderBase" then
    local get = self.get
    record.named.get = type(get) == "function" and function(name) return self:get(name) end or nil
  end
  for name, shown in pairs(record.shown or {}) do
    if record.named[name] == nil and changed(shown, decl.by_name[name].default) then record.named[name] = shown end
  end
  if decl.is_parameter then P.bind(self, record) end
  if info.custom then P.bind_methods(self, record) end
  if decl.is_formatter then P.bind_formatter(self, record) end
  if decl.is_latent then P.bind_backend(self, record) end
  if record.added then join_steps(record) end
end

-- The end of the file.
function P.finish()
  local codes = {}
  for _, self in ipairs(objects) do
    local record = P.keep_step(self)
    if record.info.custom and record.class ~= "BuildFactory" then record.code = code_of(codes, record.info) end
    if record.ready then finish(self, record) end
  end
  P.loading = false
end
