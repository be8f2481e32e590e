-- The arguments that classes of a file declare (`args = { … }`): their kinds, their defaults, and what an instance was given for them.
local P = ...
local lib, NULL, poison = P.lib, P.null, P.poison
local rawset, rawequal, type, pairs, ipairs, next, error, tostring = rawset, rawequal, lib.type, lib.pairs, ipairs, next, lib.error, lib.tostring
local is_plain, sorted_names, split, to_render, mistake = P.is_plain, P.sorted_names, P.split, P.to_render, P.mistake

local function fits(value, kind)
  if kind:sub(-1) == "?" then
    if value == nil or value == NULL then return true end
    kind = kind:sub(1, -2)
  end
  if rawequal(value, poison) then return true end
  if kind == "any" then return value ~= nil end
  if kind == "integer" then return lib.math_type(value) == "integer" end
  if kind == "list" then return is_plain(value) and (next(value) == nil or #value > 0) end
  local inner = kind:match("^list<(.*)>$")
  if inner then
    if not is_plain(value) then return false end
    local items, named = split(value)
    if next(named) ~= nil then return false end
    for _, item in ipairs(items) do
      if not fits(item, inner) then return false end
    end
    return true
  end
  return type(value) == kind
end

local kinds = { string = true, integer = true, number = true, boolean = true, ["function"] = true, table = true, list = true, any = true }
local function known_kind(kind)
  if type(kind) ~= "string" then return false end
  kind = kind:gsub("%?$", "")
  local inner = kind:match("^list<(.*)>$")
  if inner then return known_kind(inner) end
  return kinds[kind] == true
end

local function declare_args(info, args)
  if not is_plain(args) then error("args of " .. info.name .. " must be a table of names and types", 0) end
  for _, name in ipairs(sorted_names(args)) do
    local kind, default = args[name], nil
    if is_plain(kind) then
      for _, key in ipairs(sorted_names(kind)) do
        if key ~= 1 and key ~= "default" then
          local near = P.host.nearest(tostring(key), { "default" })
          error(("args of %s: '%s' has a type and a default, and the unknown key '%s'%s"):format(info.name, tostring(name), tostring(key),
            near and " (did you mean 'default'?)" or ""), 0)
        end
      end
      kind, default = kind[1], kind.default
    end
    if type(name) ~= "string" or not known_kind(kind) then
      error(("args of %s: '%s' has no known type (string, integer, number, boolean, function, table, list, list<…>, any, with ? for optional)")
        :format(info.name, tostring(name)), 0)
    end
    info.declared[name] = { kind = kind, default = default }
  end
end

-- Class attributes of this name, of the class and of those above it.
local function gathered(info, key)
  local all = {}
  while info and info.custom do
    for _, item in ipairs(is_plain(info.members[key]) and info.members[key] or {}) do all[item] = true end
    info = info.parent
  end
  return all
end

-- Of a machine that is started for a build anything but a function may differ from build to build.
local function is_rendered(info, arg)
  return info.decl ~= nil and info.decl.is_latent and arg.kind ~= "function" and arg.kind ~= "function?"
end

local function declared_arg(info, name)
  while info and info.custom do
    if info.declared[name] then return info.declared[name] end
    info = info.parent
  end
end

local function take_declared(info, self, record, items, named)
  local at = info
  local seen = {}
  local rendered = info.decl and info.decl.is_step and gathered(info, "renderables") or {}
  while at and at.custom do
    for _, name in ipairs(sorted_names(at.declared)) do
      if not seen[name] then
        seen[name] = true
        local arg, value = at.declared[name], named[name]
        -- One that the host's class has, too, may be given by its position there.
        local known = info.decl and info.decl.by_name[name]
        local by_position = false
        if value == nil and known and known.position then
          value = items[known.position]
          by_position = value ~= nil
        end
        if value == nil then
          value = arg.default
          if is_plain(value) then
            local copy = {}
            for k, v in pairs(value) do copy[k] = v end
            value = copy
          end
        end
        if value == nil and arg.kind:sub(-1) ~= "?" then
          mistake(("missing argument '%s'"):format(name), info.name, record.place)
        elseif value ~= nil and not fits(value, arg.kind) and not ((rendered[name] or is_rendered(info, arg)) and to_render(value)) then
          mistake(("'%s' must be %s, got %s"):format(name, (arg.kind:gsub("%?$", "")), P.describe(value)), info.name, record.place)
        end
        if record.fields then record.fields[name] = value else rawset(self, name, value) end
        if not by_position then named[name] = value end
      end
    end
    at = at.parent
  end
  record.declared = seen
end

P.declare_args, P.take_declared, P.declared_arg = declare_args, take_declared, declared_arg
P.fits, P.is_rendered, P.gathered = fits, is_rendered, gathered
