-- Where names live: the namespaces, the top level, older spellings, and what a name that is not there is told.
local P = ...
local G, host, lib = P.globals, P.host, P.lib
local setmetatable, type, pairs, ipairs, error, tostring, rawset = lib.setmetatable, lib.type, lib.pairs, ipairs, lib.error, lib.tostring, rawset
local rawget, rawequal = lib.rawget, rawequal

local function names_of(t)
  local names = {}
  for name in next, t do
    if type(name) == "string" then names[#names + 1] = name end
  end
  return names
end

local spaces = {}

-- What is no class may live in another namespace, too.
local function elsewhere(name)
  for _, space in ipairs(P.space_names) do
    if rawget(spaces[space], name) ~= nil then return ("it is %s.%s"):format(space, name) end
  end
end

local function undefined_text(shown, name, table_of_names)
  local near = host.nearest(name, names_of(table_of_names))
  if near and #shown > #name then near = shown:sub(1, -#name - 1) .. near end
  local hint = P.absent[shown] or elsewhere(name) or host.known(name)
  local guess = near and ("did you mean '" .. near .. "'?") or nil
  if hint and hint:find("^did you mean") then
    guess, hint = guess or hint, nil
  end
  if hint then return ("'%s' is not there: %s"):format(shown, hint) end
  return ("'%s' is not defined%s"):format(shown, guess and " (" .. guess .. ")" or "")
end

local told = 0
local function undefined(shown, name, table_of_names)
  local text = undefined_text(shown, name, table_of_names)
  told = told + 1
  -- A loop that waits for such a name would never end.
  if not P.loading or P.script or told > 1000 then error(text, 0) end
  host.mistake(text)
  return P.poison
end

local warned = {}
local function now_called(old, today) return ("'%s' is now '%s'"):format(old, today) end
local function old_spelling(old, today, value)
  if not warned[old] then
    warned[old] = true
    host.warn(now_called(old, today))
  end
  return value
end

local old = { [""] = {} }
local function space(name)
  if spaces[name] then return spaces[name] end
  local t = setmetatable({}, {
    __index = function(t, key)
      if type(key) ~= "string" then return nil end
      local known = old[name] and old[name][key]
      if known then return old_spelling(name .. "." .. key, known.today, known.class) end
      return undefined(name .. "." .. key, key, t)
    end,
    __newindex = function(_, key) error(("'%s.%s' can't be set: %s belongs to the host"):format(name, tostring(key), name), 0) end,
    __metatable = "host",
  })
  spaces[name] = t
  return t
end

P.space_names = { "worker", "steps", "util", "schedulers", "changes", "reporters", "secrets" }
for _, name in ipairs(P.space_names) do G[name] = space(name) end

for _, decl in ipairs(P.decls) do
  local class = P.builtin_class(decl)
  local methods = P.methods[decl.name]
  if methods then P.add_members(class, methods) end
  local today = decl.top_level and decl.name
  for _, name in ipairs(decl.namespaces) do
    rawset(space(name), decl.name, class)
    today = today or (name .. "." .. decl.name)
  end
  for _, name in ipairs(decl.namespaces) do
    if not G[name] then G[name] = space(name) end
  end
  if decl.top_level then G[decl.name] = class end
  for _, spelling in ipairs(decl.old_names) do
    local prefix, name = spelling:match("^(.*)%.([^.]*)$")
    if not prefix then prefix, name = "", spelling end
    old[prefix] = old[prefix] or {}
    old[prefix][name] = { today = today, class = class }
    if prefix ~= "" and not G[prefix] then G[prefix] = space(prefix) end
    if prefix == "" then
      for _, within in ipairs(decl.namespaces) do
        old[within] = old[within] or {}
        old[within][name] = { today = today, class = class }
      end
    end
  end
end

for name, number in pairs{ SUCCESS = 0, WARNINGS = 1, FAILURE = 2, SKIPPED = 3, EXCEPTION = 4, RETRY = 5, CANCELLED = 6 } do
  G[name] = number
  rawset(G.util, name, number)
end
for name, value in pairs(P.util) do rawset(G.util, name, value) end

G.None = P.null
-- Each key remembers the line that first set it.
P.key_places = {}
G.BuildmasterConfig = setmetatable({}, { __newindex = function(t, key, value)
  if type(key) == "string" and P.loading then P.key_places[key] = host.place() end
  rawset(t, key, value)
end })
G.buildmoon = setmetatable({ checking = P.checking }, { __newindex = function() error("buildmoon belongs to the host", 0) end, __metatable = "host" })

function P.new_global(name) return ("'%s' would be a new global: write 'local %s'"):format(name, name) end

-- Plain tables of the host: a constant field of theirs that is not there is a slip.
local tables = {}

-- What is to be said of a name that stands in the file: nothing if it is there, else a text, whether that is only a warning,
-- and whether the file may ask if there is such a name.
function P.look_up(name, field)
  if field == nil or (name == "_G" and rawequal(rawget(G, "_G"), G)) then
    name = field or name
    if rawget(G, name) ~= nil then return nil end
    local known = old[""][name]
    if known then return now_called(name, known.today), true end
    return undefined_text(name, name, G)
  end
  local t, shown = rawget(G, name), name .. "." .. field
  if t == nil then return nil end
  if rawequal(t, spaces[name]) then
    if rawget(t, field) ~= nil then return nil end
    local known = old[name] and old[name][field]
    if known then return now_called(shown, known.today), true end
    return undefined_text(shown, field, t)
  end
  if not rawequal(t, tables[name]) or rawget(t, field) ~= nil then return nil end
  return name == "os" and P.no_os(field) or undefined_text(shown, field, t), false, name ~= "os"
end

-- From here on the globals are sealed.
function P.seal()
  for name, value in next, G do
    local plain = type(value) == "table" and lib.getmetatable(value) == nil
    if (plain and value ~= G) or name == "os" then tables[name] = value end
  end
  setmetatable(G, {
    __index = function(_, key)
      if type(key) ~= "string" then return nil end
      local known = old[""][key]
      if known then return old_spelling(key, known.today, known.class) end
      return undefined(key, key, G)
    end,
    __newindex = function(t, key, value)
      local text = P.new_global(tostring(key))
      if not P.loading then error(text, 0) end
      host.mistake(text)
      rawset(t, key, value)
    end,
    __metatable = "host",
  })
end
