-- Classes and instances: how a class is called, extended, and what its instances remember.
-- Arguments are not checked here: the record of an instance is read by the host when the file has ended.
local P = ...
local host, lib = P.host, P.lib
local setmetatable, rawget, rawset, rawequal = lib.setmetatable, lib.rawget, rawset, rawequal
local type, pairs, ipairs, next, select, error, tostring = lib.type, lib.pairs, ipairs, next, lib.select, lib.error, lib.tostring
local NULL, records = P.null, P.records
local is_plain, is_object, only_names, sorted_names, split, mistake = P.is_plain, P.is_object, P.only_names, P.sorted_names, P.split, P.mistake

local infos = setmetatable({}, { __mode = "k" })   -- class -> what is known of it
local normal = setmetatable({}, { __mode = "k" })  -- a normalised argument table -> its positional items as they came
local objects = {}                                 -- every instance made while the file is read
P.objects = objects

local function all_objects(t)
  local n = #t
  if n == 0 then return false end
  local count = 0
  for key, value in next, t do
    count = count + 1
    if not is_object(value) then return false end
  end
  return count == n
end

local function is_dictionary(t, decl)
  if next(t) == nil then return false end
  for key in next, t do
    if type(key) ~= "string" or decl.by_name[key] then return false end
  end
  return true
end

-- Undo what `normalise` added, so that a table that is handed on to the parent gives nothing twice.
local function denormalise(decl, before, items, named)
  for position, name in pairs(decl and decl.positions or {}) do
    local came = before[position]
    if came ~= nil then
      if not rawequal(named[name], came) and named[name] ~= nil then items[position] = named[name] end
      named[name] = nil
    end
  end
end

-- The positional items and the named arguments of a call. The tables are new, the caller's own stay as they are.
local function arguments(info, ...)
  local n, first = select("#", ...), ...
  local decl = info.decl
  if n == 1 and is_plain(first) then
    if decl and decl.holds and (all_objects(first) or (decl.holds == "dict" and is_dictionary(first, decl))) then return { first }, {} end
    local items, named = split(first)
    if normal[first] then denormalise(decl, normal[first], items, named) end
    return items, named
  end
  local items = { ... }
  local last = items[n]
  if n > 1 and is_plain(last) and only_names(last) then
    items[n] = nil
    local _, named = split(last)
    return items, named
  end
  return items, {}
end

local function normalise(info, items, named)
  local args, before = {}, {}
  for key, value in pairs(named) do args[key] = value end
  for i, value in pairs(items) do args[i], before[i] = value, value end
  for position, name in pairs(info.decl and info.decl.positions or {}) do
    if args[name] == nil then args[name] = items[position] else before[position] = nil end
  end
  normal[args] = before
  return args
end

local function lookup(info, key)
  while info do
    local value = info.members[key]
    if value ~= nil then return value end
    info = info.parent
  end
end

-- A class's attribute stands for the argument of its name, in any spelling, that is not given; the nearest class counts.
local function attribute(info, arg)
  while info.custom do
    for _, name in ipairs(arg.spellings) do
      local value = rawget(info.members, name)
      if value ~= nil then return name, value end
    end
    info = info.parent
  end
end

local function take_attributes(info, items, named)
  for _, arg in ipairs(info.decl.arguments) do
    local there = arg.position and items[arg.position] ~= nil
    for _, name in ipairs(arg.spellings) do there = there or named[name] ~= nil end
    if not there then
      local name, value = attribute(info, arg)
      if name and (type(value) ~= "function" or arg.callable) then named[name] = value end
    end
  end
end

-- Where a chain of classes reaches the class of the host.
local function builtin_init(self, record, items, named)
  local info, decl = record.info, record.info.decl
  if record.ready then error(("init of %s called its parent's init twice"):format(info.name), 0) end
  for name in pairs(record.declared or {}) do
    if not (decl and decl.by_name[name]) then named[name] = nil end
  end
  if decl and decl.attributes and info.custom then take_attributes(info, items, named) end
  record.items, record.named, record.ready = items, named, true
end

local function init_owner(info)
  while info do
    if info.members.init then return info end
    info = info.parent
  end
end

local function run_init(info, self, ...)
  local record = records[self]
  if not record then error(("init needs the instance first: %s.super.init(self, …)"):format(info.name), 0) end
  local items, named = arguments(info, ...)
  local owner = init_owner(info)
  if owner then
    owner.members.init(self, normalise(info, items, named))
  elseif info.decl then
    builtin_init(self, record, items, named)
  end
end

local leave = setmetatable({}, { __close = host.end_init })
local function guarded_init(owner, self, args)
  host.begin_init()
  local _ <close> = leave
  owner.members.init(self, args)
end

local function make(info, place, ...)
  local decl = info.decl
  local items, named = arguments(info, ...)
  local self = setmetatable({}, info.instances)
  local record = { id = host.new_id(), info = info, class = decl and decl.name, custom = info.custom and info.name or nil, place = place }
  if decl and decl.is_step then
    record.constructing = true
    if info.custom then record.fields, record.call = {}, lib.pack(...) end
  end
  records[self] = record
  if P.loading and decl then objects[#objects + 1] = self end
  if info.custom then P.take_declared(info, self, record, items, named) end
  local owner = init_owner(info)
  if owner then
    guarded_init(owner, self, normalise(info, items, named))
    if decl and not record.ready then
      mistake(("init must call %s.super.init(self, …)"):format(owner.name), info.name, record.place)
    end
  else
    builtin_init(self, record, items, named)
  end
  record.constructing = nil
  return self
end

local function construct(info, ...)
  local decl = info.decl
  -- A running step may make steps that follow it.
  if decl and decl.closed and not decl.is_step and not P.loading then
    error(("%s may only be used while the configuration is loaded"):format(info.name), 0)
  end
  return make(info, host.place(), ...)
end

local function given(record, arg)
  if not record.ready then return nil end
  local value = record.named[arg.name]
  if value == nil and arg.position then value = record.items[arg.position] end
  return value
end

local function argument(info, key)
  local decl = info.decl
  return decl and (decl.by_name[key] or (key == "workername" and decl.is_worker and decl.by_name.name)) or nil
end

-- An instance with its name, as the host tells of it.
local function subject_of(record)
  local decl = record.info.decl
  local name = decl and decl.by_name.name and given(record, decl.by_name.name)
  if type(name) ~= "string" then return record.info.name end
  return ('%s "%s"'):format(record.info.name, name)
end

-- A list is shown as a table of the instance's own: what is put into it counts as given.
local function default_of(record, arg)
  if not is_plain(arg.default) then return arg.default end
  record.shown = record.shown or {}
  local shown = record.shown[arg.name]
  if not shown then
    shown = {}
    for i, value in ipairs(arg.default) do shown[i] = value end
    record.shown[arg.name] = shown
  end
  return shown
end

local function instance_index(info)
  return function(self, key)
    local record = records[self]
    local fields = record.fields
    if fields and fields[key] ~= nil then return fields[key] end
    local arg = argument(info, key)
    local value
    if arg then
      value = record.rendered and record.rendered[arg.name]
      if value == nil then value = given(record, arg) end
    end
    if value == nil then value = lookup(info, key) end
    if value == nil and arg then value = default_of(record, arg) end
    if arg and arg.secret and type(value) == "string" then return "***" end
    if value == NULL and record.live then return nil end
    if value == nil and key == "super" then
      error("self.super would loop in a third generation: write the class's name, as in " .. info.name .. ".super", 0)
    end
    return value
  end
end

-- A step belongs to one build: only its own `init` and what runs in the build may set its fields.
local function set_on_step(record, arg, key, value)
  local info = record.info
  if record.live and arg then
    record.rendered[arg.name] = value == nil and NULL or value
  elseif record.constructing and record.ready and arg then
    if arg.position and record.items[arg.position] ~= nil then record.items[arg.position] = value else record.named[arg.name] = value end
  elseif record.live or record.constructing then
    record.fields[key] = value
  elseif arg then
    mistake(("a step is made anew for every build: give '%s' to the constructor of %s"):format(key, info.name), subject_of(record))
  else
    mistake(("a step is made anew for every build: set '%s' in the init of %s"):format(tostring(key), info.name), subject_of(record))
  end
end

local function instance_newindex(info)
  return function(self, key, value)
    local record, decl = records[self], info.decl
    local arg = argument(info, key)
    if record.fields then return set_on_step(record, arg, key, value) end
    if arg then
      if not P.loading then error(("%s: '%s' can't be changed any more: the configuration is loaded"):format(info.name, key), 0) end
      if decl.is_step and record.ready then
        host.mistake(("a step is made anew for every build: give '%s' to the constructor of %s"):format(key, info.name), subject_of(record))
        return
      end
      if not record.ready then
        rawset(self, key, value)
      elseif arg.position and record.items[arg.position] ~= nil then
        record.items[arg.position] = value
      else
        record.named[arg.name] = value
      end
      record.places = record.places or {}
      record.places[arg.name] = host.place()
    elseif info.custom or not decl or decl.open then
      rawset(self, key, value)
    elseif P.loading then
      local near = host.nearest(tostring(key), decl.names)
      host.mistake(("unknown argument '%s'%s"):format(tostring(key), near and (" (did you mean '" .. near .. "'?)") or ""), subject_of(record))
    else
      error(("%s has no '%s'"):format(info.name, tostring(key)), 0)
    end
  end
end

local function isinstance(value, class)
  local info = infos[class]
  if not info then error("isinstance(value, Class): the second must be a class", 0) end
  local record = type(value) == "table" and records[value]
  local at = record and record.info
  while at do
    if at == info then return true end
    at = at.parent
  end
  return false
end

local new_class, mixin

local function extend(class, name, body)
  local info = infos[class]
  if not info then error("write Class:extend(\"Name\", { … }), with a colon", 0) end
  if type(name) ~= "string" or name == "" then error(info.name .. ":extend needs the name of the new class first", 0) end
  if name:find("%c") then error(info.name .. ":extend: the name of a class is one line of text, got " .. P.describe(name), 0) end
  if info.decl and not info.decl.extensible then error(info.name .. " can't be extended", 0) end
  if body ~= nil and not is_plain(body) then error(info.name .. ":extend: the body must be a table", 0) end
  local made = new_class{ name = name, parent = info, decl = info.decl, custom = true }
  for _, key in ipairs(sorted_names(body or {})) do
    if key ~= "mixins" then made[key] = body[key] end
  end
  local mixins = body and body.mixins
  if mixins ~= nil and not (is_plain(mixins) and (#mixins > 0 or next(mixins) == nil)) then
    error(info.name .. ":extend: mixins must be a list of tables", 0)
  end
  for _, from in ipairs(mixins or {}) do mixin(made, from) end
  return made
end

P.subject_of = subject_of

-- What the host's own classes have is no reason to leave a method out: a mixin is there to override it.
local function own_member(info, key)
  while info and info.custom do
    if info.members[key] ~= nil then return info.members[key] end
    info = info.parent
  end
end

P.own_member, P.given, P.lookup, P.make = own_member, given, lookup, make
function P.is_class(value) return infos[value] ~= nil end

function mixin(class, from)
  local info = infos[class]
  if not info or not info.custom then error("mixin works on classes of your own: write Class:mixin(table)", 0) end
  if type(from) ~= "table" then error(info.name .. ":mixin needs a table", 0) end
  if infos[from] then error(info.name .. ":mixin needs a table of methods, not the class " .. infos[from].name, 0) end
  for _, key in ipairs(sorted_names(from)) do
    if own_member(info, key) == nil then class[key] = from[key] end
  end
  return class
end

-- A method that is nearly one that the host would call.
local function warn_of_slip(info, key)
  if type(key) ~= "string" or lookup(info, key) ~= nil or argument(info, key) or info.declared[key] then return end
  local near = host.one_edit(key, info.decl and info.decl.methods or { "init" })
  if near then host.warn(("%s: the method '%s' overrides nothing (did you mean '%s'?)"):format(info.name, key, near)) end
end

function new_class(info)
  info.members = info.members or {}
  info.declared = {}
  local class = {}
  info.class = class
  infos[class] = info
  local function init(self, ...) return run_init(info, self, ...) end
  setmetatable(class, {
    __call = function(_, ...) return construct(info, ...) end,
    __index = function(_, key)
      if key == "super" then return info.parent and info.parent.class end
      if key == "classname" then return info.name end
      if key == "extend" then return extend end
      if key == "mixin" then return mixin end
      if key == "init" then return init end
      local value = lookup(info, key)
      if value == nil then
        local arg = info.decl and info.decl.attributes and info.decl.by_name[key]
        value = arg and arg.default
      end
      return value
    end,
    __newindex = function(_, key, value)
      if not info.custom then error(("%s belongs to the host: extend it"):format(info.name), 0) end
      if not P.loading then error("classes can't be changed any more: the configuration is loaded", 0) end
      if key == "super" or key == "classname" or key == "extend" then error(("'%s' of a class can't be set"):format(key), 0) end
      if key == "args" then return P.declare_args(info, value) end
      if key == "init" and type(value) ~= "function" then error("init must be a function", 0) end
      if type(value) == "function" then warn_of_slip(info, key) end
      info.members[key] = value
    end,
    __tostring = function() return "class " .. info.name end,
    __name = "class", __metatable = "class",
  })
  info.instances = {
    __index = instance_index(info), __newindex = instance_newindex(info), __name = info.name, __metatable = "object",
    __tostring = function(self)
      -- Which one, never what it is.
      if info.name == "Secret" and info.decl then return "Secret(" .. tostring(self.name) .. ")" end
      return info.name .. " (" .. host.place_text(records[self].place) .. ")"
    end,
  }
  return class
end

-- A class of the host that a file only uses and extends: nothing of it is read at the end.
function P.plain_class(name, members, parent)
  members.isinstance = isinstance
  return new_class{ name = name, custom = false, members = members, parent = parent and infos[parent] }
end

function P.builtin_class(decl)
  local class = new_class{ name = decl.name, decl = decl, custom = false, members = { isinstance = isinstance } }
  if decl.name == "BuildFactory" then P.factory = class end
  return class
end

function P.add_members(class, members)
  for name, value in pairs(members) do infos[class].members[name] = value end
end

P.globals.isinstance = isinstance

-- A plain class of the file's own.
function P.globals.class(name, parent)
  if type(name) ~= "string" or name == "" or name:find("%c") then error('class needs a name: class("Name")', 0) end
  if parent ~= nil then return extend(parent, name) end
  return new_class{ name = name, custom = true, members = { isinstance = isinstance } }
end
