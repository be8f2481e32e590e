-- `util.Properties`: properties of one's own, for use within Lua. Those of a build are in `callbacks`.
local P = ...
local lib = P.lib
local setmetatable, type, error, pairs, ipairs, sort = lib.setmetatable, lib.type, lib.error, lib.pairs, ipairs, lib.sort

local kept = setmetatable({}, { __mode = "k" })
local methods = {}

local function of(self, method)
  local all = kept[self]
  if not all then error(("%s is a method: call it with a colon, properties:%s(…)"):format(method, method), 3) end
  return all
end

local function name_of(name, level)
  if type(name) ~= "string" then error("Properties: a name must be text, got " .. P.describe(name), level) end
  return name
end

local function sorted_names(all)
  local names = {}
  for name in pairs(all) do names[#names + 1] = name end
  sort(names)
  return names
end

function methods:getProperty(name, default)
  local found = of(self, "getProperty")[name]
  if found == nil then return default end
  return found.value
end
function methods:hasProperty(name) return of(self, "hasProperty")[name] ~= nil end
methods.has_key = methods.hasProperty
function methods:getPropertySource(name)
  local found = of(self, "getPropertySource")[name]
  return found and found.source
end
function methods:setProperty(name, value, source)
  of(self, "setProperty")[name_of(name, 3)] = { value = value, source = source or "Lua" }
end
function methods:update(values, source)
  local all = of(self, "update")
  if type(values) ~= "table" then error("Properties: update needs a table of names, got " .. P.describe(values), 2) end
  for name, value in pairs(values) do all[name_of(name, 3)] = { value = value, source = source or "Lua" } end
end
-- Pairs of a value and its source, by name.
function methods:asDict()
  local out = {}
  for name, it in pairs(of(self, "asDict")) do out[name] = { it.value, it.source } end
  return out
end
-- Name, value and source, in the order of the names.
function methods:asList()
  local all, out = of(self, "asList"), {}
  for i, name in ipairs(sorted_names(all)) do out[i] = { name, all[name].value, all[name].source } end
  return out
end

local mt = {
  __index = function(self, name)
    if methods[name] then return methods[name] end
    local found = kept[self][name]
    return found and found.value
  end,
  __newindex = function(self, name, value) kept[self][name_of(name, 3)] = { value = value, source = "Lua" } end,
  __pairs = function(self)
    local all = kept[self]
    local names, i = sorted_names(all), 0
    return function()
      i = i + 1
      if names[i] ~= nil then return names[i], all[names[i]].value end
    end
  end,
  __name = "Properties", __metatable = "Properties",
  __tostring = function(self) return "Properties " .. lib.concat(sorted_names(kept[self]), ", ") end,
}

lib.rawset(P.globals.util, "Properties", function(values)
  local self = setmetatable({}, mt)
  kept[self] = {}
  if values ~= nil then
    if type(values) ~= "table" then error("Properties needs a table of names, got " .. P.describe(values), 2) end
    for name, value in pairs(values) do kept[self][name_of(name, 3)] = { value = value, source = "Lua" } end
  end
  return self
end)
