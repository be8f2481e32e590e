-- What a value of the file is (a plain table, an instance, something to render, a name that is not there), and how messages tell of it.
local P = ...
local host, lib = P.host, P.lib
local getmetatable, setmetatable, rawequal, next = lib.getmetatable, lib.setmetatable, rawequal, next
local type, pairs, error, tostring = lib.type, lib.pairs, lib.error, lib.tostring
local NULL, text = P.null, P.api.text

local records = setmetatable({}, { __mode = "k" }) -- instance -> its record
P.records = records

-- What stands in for an unknown name, so that one reading finds more than the first such mistake.
local uses = 0
local poison
local function absorb()
  uses = uses + 1
  if uses > 1000 then error("too much depends on a name that is not defined", 0) end
  return poison
end
poison = setmetatable({}, {
  __index = function(_, key) if type(key) == "string" then return absorb() end end,
  __newindex = function() end, __call = absorb, __concat = absorb, __len = function() return 0 end,
  __pairs = function() return function() end end, __tostring = function() return "an undefined name" end, __metatable = "undefined",
})
P.poison = poison

local function is_plain(v) return type(v) == "table" and getmetatable(v) == nil end
local function is_object(v) return records[v] ~= nil or rawequal(v, poison) end

local function sorted_names(t)
  local names = {}
  for name in pairs(t) do names[#names + 1] = name end
  lib.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  return names
end

local function only_names(t)
  if next(t) == nil then return false end
  for key in next, t do
    if type(key) ~= "string" then return false end
  end
  return true
end

local function split(t)
  local items, named = {}, {}
  local n = #t
  for key, value in next, t do
    if lib.math_type(key) == "integer" and key >= 1 and key <= n then items[key] = value else named[key] = value end
  end
  return items, named
end

-- Something that gives a value for each build, or holds such.
local function to_render(value, depth)
  if type(value) == "function" then return true end
  if type(value) ~= "table" then return false end
  local record = records[value]
  if record then return record.info.decl ~= nil and record.info.decl.renderable end
  if not is_plain(value) then return false end
  if depth == 0 then return true end
  for _, item in next, value do
    if to_render(item, (depth or 50) - 1) then return true end
  end
  return false
end
P.to_render = to_render

function P.describe(value)
  if value == NULL then return "None" end
  local record = records[value]
  if record then return (record.info.name:find("^[AEIO]") and "an " or "a ") .. record.info.name end
  -- In one line; what is cut off may begin within a letter.
  if type(value) == "string" then return text.repr(#value > 40 and value:sub(1, 40):gsub("[\xc2-\xf4][\x80-\xbf]*$", "") .. "…" or value) end
  if type(value) == "number" or type(value) == "boolean" or value == nil then return tostring(value) end
  return "a " .. type(value)
end

-- While the file is read all mistakes are gathered; afterwards the first one ends the call.
local function mistake(text, about, place)
  if not P.loading then error((about and about .. ": " or "") .. text, 0) end
  host.mistake(text, about, place)
end

P.is_plain, P.is_object, P.only_names, P.sorted_names, P.split, P.mistake = is_plain, is_object, only_names, sorted_names, split, mistake
