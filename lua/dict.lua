-- dict: functions on tables with names. Orders are by key.
local check = ...
local pairs, ipairs, select, type, tostring, sort, getmetatable = pairs, ipairs, select, type, tostring, table.sort, getmetatable
local dict = {}

local function before(a, b)
  if type(a) == type(b) and (type(a) == "number" or type(a) == "string") then return a < b end
  return type(a) < type(b) or (type(a) == type(b) and tostring(a) < tostring(b))
end

local function keys_of(t)
  local out = {}
  for key in pairs(t) do out[#out + 1] = key end
  sort(out, before)
  return out
end

function dict.keys(t)
  check.table("dict.keys", "t", t)
  return (keys_of(t))
end

function dict.values(t)
  check.table("dict.values", "t", t)
  local out = {}
  for i, key in ipairs(keys_of(t)) do out[i] = t[key] end
  return out
end

function dict.items(t)
  check.table("dict.items", "t", t)
  local out = {}
  for i, key in ipairs(keys_of(t)) do out[i] = { key, t[key] } end
  return out
end

function dict.copy(t)
  check.table("dict.copy", "t", t)
  local out = {}
  for key, value in pairs(t) do out[key] = value end
  return out
end

function dict.merge(...)
  local out = {}
  for i = 1, select("#", ...) do
    local t = (select(i, ...))
    if t ~= nil then
      check.table("dict.merge", "argument " .. i, t)
      for key, value in pairs(t) do out[key] = value end
    end
  end
  return out
end

-- Deeper than any data that a person writes; Lua's own stack would end later, with a worse message.
local DEEPEST = 150

local function deepcopy(t, copies, depth)
  if type(t) ~= "table" or getmetatable(t) ~= nil then return t end
  if copies[t] then return copies[t] end
  if depth > DEEPEST then return nil end
  local out = {}
  copies[t] = out
  for key, value in pairs(t) do
    local copy = deepcopy(value, copies, depth + 1)
    if copy == nil then return nil end
    out[key] = copy
  end
  return out
end

-- Objects (whatever has a metatable) are left alone; a table that is met twice is copied once.
function dict.deepcopy(t)
  if t == nil then return nil end
  local out = deepcopy(t, {}, 1)
  if out == nil then check.fail("dict.deepcopy", "nested deeper than " .. DEEPEST) end
  return out
end

function dict.sorted_pairs(t)
  check.table("dict.sorted_pairs", "t", t)
  local keys, i = keys_of(t), 0
  return function()
    i = i + 1
    if keys[i] ~= nil then return keys[i], t[keys[i]] end
  end
end

return dict
